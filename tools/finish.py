"""渲染之后：公式变成 MathML，界面变成中文，不向外面的服务器要东西，放进可下载的笔记。

两种渲染器都经过这里。
"""
import html
import json
import re
import shutil
from pathlib import Path

from latex2mathml.converter import convert

ROOT = Path(__file__).resolve().parent.parent

WORDS = {  # smalldocs 的界面只有英文；Quarto 按 lang 自己翻译
    'Search': '搜索', 'No results': '没有结果', 'Copy to Clipboard': '复制到剪贴板',
    'Copied!': '已复制', 'Anchor': '本节的链接', 'Toggle dark mode': '切换深色与浅色',
    'Toggle navigation': '展开或收起菜单', 'Toggle sidebar navigation': '展开或收起目录',
    'Toggle section': '展开或收起这一部分', 'breadcrumb': '当前位置', 'Note': '注释', 'Tip': '提示',
    'Warning': '警告', 'Important': '重要', 'Caution': '小心',
}
DISPLAY = {'inline': 'inline', 'display': 'block'}
THIN = '<mspace width="0.167em"></mspace>'


def mathml(m):
    "一个公式：斜杠和竖线两边不空，负号不是减号"
    text = convert(html.unescape(m[2]), display=DISPLAY[m[1]])
    text = re.sub(r'<mo[^>]*>(&#x0002F;|&#x0007C;)</mo>', r'<mi>\1</mi>', text)
    negative = r'((?:&#x0003D;|&#x00028;)</mo>)<mo>(&#x02212;)</mo>'
    return re.sub(negative, r'\1<mi>\2</mi>', text)


def formulas(page):
    """smalldocs 留给 KaTeX 的公式变成 MathML（Quarto 的已经是）。

    函数名两边补上 TeX 有而 MathML 没有的空隙；标点不落到下一行的开头
    """
    def name(m):
        return f'{THIN}<mi>{m[1]}</mi>{m[2] or ""}{THIN if m[3] else ""}'

    tex = r'<span class="math (inline|display)">\\[(\[](.*?)\\[)\]]</span>'
    page = re.sub(tex, mathml, page, flags=re.S)
    function = r'<m[io][^>]*>([a-z]{2,})</m[io]>(<mo>&#8289;</mo></mrow>)?(?=(<m[in])|)'
    page = re.sub(function, name, page)
    inline = r'(?:<span class="math inline">)?<math(?:(?!</math>).)*</math>(?:</span>)?'
    end = r'[，。；：、）！？”]+'
    return re.sub(rf'({inline}{end})', r'<span class="text-nowrap">\1</span>', page)


def chinese(page):
    "界面上的英文换成中文"
    words = '|'.join(map(re.escape, WORDS))
    attribute = r'(?:title|aria-label|placeholder)="'
    callout = r'callout-title-container flex-fill">\s*'
    text = rf'({attribute}|{callout})({words})(?=["<\s])'
    return re.sub(text, lambda m: m[1] + WORDS[m[2]], page)


def rewrite(folder, pattern, change):
    "照change改folder里的每个这样的文件"
    for path in folder.rglob(pattern):
        path.write_text(change(path.read_text(encoding='utf-8')), encoding='utf-8')


def finish_page(page):
    "一页：公式、界面，不要 KaTeX"
    katex = r'<(link|script)\b[^>]*\bkatex\b[^>]*>(</script>)?'
    return re.sub(katex, '', chinese(formulas(page)))


def finish_css(css):
    "Bootswatch 的主题一开头就要谷歌的字体"
    outside = r'@import\s*(url\()?\s*["\']?https?://[^)"\']*["\']?\)?[^;]*;'
    return re.sub(outside, '', css)


def finish_js(js):
    "smalldocs 的脚本写出的界面文字"
    words = r'(?<=[">])(Copied!|Copy to Clipboard|Anchor|No results)(?=["<])'
    return re.sub(words, lambda m: WORDS[m[1]], js)


def index(docs):
    "源码就在眼前的名字没有标题，也要搜得到：每个名字一条"
    path = docs/'search.json'
    entries = json.loads(path.read_text(encoding='utf-8'))
    titles = {entry['href'].partition('#')[0]: entry['title'] for entry in entries}
    span = r'<span id="([^"]*)" data-name="([^"]*)" data-text="([^"]*)">'
    for page in sorted(docs.glob('*.html')):
        for m in re.finditer(span, page.read_text(encoding='utf-8')):
            href = f'{page.name}#{m[1]}'
            entries.append({
                'objectID': href, 'href': href, 'title': titles.get(page.name, ''),
                'section': m[2], 'text': html.unescape(m[3])})
    path.write_text(json.dumps(entries, ensure_ascii=False), encoding='utf-8')


def finish(docs, names):
    "加工 docs 里的网页、样式和脚本；names 里的每本笔记放进 nbs/，并打成 nbs.zip"
    rewrite(docs, '*.html', finish_page)
    rewrite(docs, '*.css', finish_css)
    rewrite(docs, 'smalldocs.js', finish_js)
    index(docs)
    shutil.copytree(ROOT/'nbs'/'results', docs/'nbs'/'results')
    for name in names:
        shutil.copy2(ROOT/'nbs'/name, docs/'nbs')
    shutil.make_archive(str(docs/'nbs'), 'zip', docs, 'nbs')
