"""搜索的索引：建好的网页里，每个h2、h3和每个导出的名字各一条；tools/site.js 用它。

读的是网页，不是笔记：图题、输出都在里面，两种渲染器一样。
"""
import re
from html.parser import HTMLParser

HEADS = ('h1', 'h2', 'h3')
SKIPPED = ('script', 'style', 'annotation', 'button', 'nav')  # 里面的字不算
VOID = ('br', 'hr', 'img', 'input', 'meta', 'link', 'source', 'wbr', 'col')


class Sections(HTMLParser):
    "一页的各节：锚点、标题、正文、代码；和导出的名字"
    def __init__(self, page):
        super().__init__()
        self.page, self.inside, self.skipped = page, False, 0
        self.heading, self.ids, self.code = None, [], 0
        self.found, self.symbols = [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.inside |= tag == 'main'
        if not self.inside or tag in VOID:
            if self.inside and tag == 'img' and self.found:
                self.found[-1]['text'] += attrs.get('alt') or ''
            return
        self.skipped += tag in SKIPPED
        self.code += tag == 'pre' and 'sourceCode' in (attrs.get('class') or '')
        if tag == 'section':
            self.ids.append(attrs.get('id', ''))
        if tag in HEADS:
            name = attrs.get('data-anchor-id') or attrs.get('id') or (self.ids or [''])[-1]
            href = self.page if tag == 'h1' else f'{self.page}#{name}'
            self.found.append(dict(href=href, head='', level=int(tag[1]), text='', code=''))
            self.heading = tag
        if 'data-name' in attrs:
            self.symbols.append(dict(
                href=f'{self.page}#{attrs["id"]}', head=attrs['data-name'], level=0,
                text=attrs.get('data-text') or '', code=''))

    def handle_endtag(self, tag):
        if tag == 'main':
            self.inside = False
        if not self.inside:
            return
        self.skipped -= tag in SKIPPED
        self.code -= tag == 'pre' and self.code > 0
        if tag == 'section' and self.ids:
            self.ids.pop()
        if tag == self.heading:
            self.heading = None
        elif self.found and tag in ('p', 'li', 'td', 'th', 'pre', 'figcaption', 'div'):
            for key in ('text', 'code'):
                if self.found[-1][key][-1:].strip():
                    self.found[-1][key] += ' '

    def handle_data(self, data):
        if not self.inside or self.skipped or not self.found:
            return
        key = 'head' if self.heading else 'code' if self.code else 'text'
        self.found[-1][key] += data


def squeeze(text):
    "空白各压成一个空格"
    return ' '.join(text.split())


def entries(docs, pages):
    "每页的每节和每个名字各一条；名字在前"
    symbols, sections = [], []
    for name in pages:
        reader = Sections(name)
        page = (docs/name).read_text(encoding='utf-8')
        reader.feed(re.sub(r'<p class="downloads">.*?</p>', '', page, flags=re.S))
        title = reader.found[0]['head'] if reader.found else name
        for kept, found in ((symbols, reader.symbols), (sections, reader.found)):
            for entry in found:
                words = {key: squeeze(entry[key]) for key in ('head', 'text', 'code')}
                kept.append(entry | words | {'page': squeeze(title)})
    return symbols + sections
