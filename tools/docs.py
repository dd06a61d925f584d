"""建网站到 _docs：nbdev 处理笔记，smalldocs 渲染（--quarto：用 Quarto）；然后检查站内链接。"""
import html
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import groupby
from pathlib import Path
from urllib.parse import unquote

import yaml
from cards import defined, reference
from finish import finish
from lint import read as read_nb
from nbdev.config import get_config
from nbdev.doclinks import NbdevLookup
from nbdev.quarto import refresh_quarto_yml
from nbdev.serve import proc_nbs
from trypage import build as build_try

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT/'_docs'
# 这样起头的折叠，输出也折起来
FOLDED = r'"?(答案|第[\d一二三四五六七八九十]+题|犯一次|练一个|检查)'


# 准备：两种渲染器从同一份处理好的笔记开始，所以网页和地址都一样

def listed(contents):
    "侧栏里的笔记，不管在哪一部分"
    for item in contents:
        if isinstance(item, str):
            yield item
        else:
            yield from listed(item['contents'])


def check_front():
    "首页写死的仓库地址与 settings.ini 一致"
    cfg = get_config()
    text = (ROOT/'nbs'/'index.ipynb').read_text(encoding='utf-8')
    for name in set(re.findall(r'//(?:colab\.[\w./]*/)?github(?:\.com)?/([\w-]+/[\w-]+)', text)):
        if name != f'{cfg.user}/{cfg.repo}':
            yield f'首页写的仓库是{name}，settings.ini里是{cfg.user}/{cfg.repo}'


def read_yaml(path):
    "一个 YAML 文件"
    return yaml.safe_load(path.read_text(encoding='utf-8'))


def check_sidebar():
    "侧栏列出的正好是全部笔记"
    side = read_yaml(ROOT/'nbs'/'sidebar.yml')['website']['sidebar']
    names = list(listed(side['contents']))
    there = {path.name for path in (ROOT/'nbs').glob('*.ipynb')}
    for name in sorted(there - set(names)):
        yield f'nbs/sidebar.yml 缺 {name}，添一行'
    for name in sorted(set(names) - there):
        yield f'nbs/sidebar.yml 多了 {name}：没有这本笔记'
    if len(set(names)) < len(names):
        yield 'nbs/sidebar.yml 里有一本列了两次'


def source(cell):
    "单元格的文字"
    return ''.join(cell.get('source', ''))


def markdown(text):
    "一个 Markdown 单元格"
    return {'cell_type': 'markdown', 'metadata': {}, 'source': text.splitlines(True)}


def take_name(path, nb):
    """nbdev 定的网页名字，例如 model.html；从头信息里拿走，文件名会直接用它。

    标题添上章号，正文里说的“01章”才找得到
    """
    cell = nb['cells'][0]
    meta = yaml.safe_load(source(cell).strip().strip('-'))
    name = meta.pop('output-file')
    number = re.match(r'\d+', path.name)
    if number:
        meta['title'] = f'{number[0]}：{meta["title"]}'
    front = yaml.dump(meta, allow_unicode=True)
    cell['source'] = f'---\n{front}---\n'.splitlines(True)
    return name


# 每个名字在一页上只出现一次：源码在眼前的，不再要 nbdev 的卡片

def outputs(nb, kind):
    "各个单元格的这一种输出"
    for cell in nb['cells']:
        for out in cell.get('outputs', []):
            if kind in out.get('data', {}):
                yield out['data']


def card(cell):
    "nbdev 添的 show_doc 单元格写的是哪个名字；别的单元格是 None"
    found = re.search(r'^show_doc\(([\w.]+)\)', source(cell), re.M)
    return found[1] if found and cell['cell_type'] == 'code' else None


def printed(cell):
    "nbdev 的卡片写的：源码在 GitHub 上的地址，一句话的说明"
    found = outputs({'cells': [cell]}, 'text/markdown')
    text = '\n'.join(''.join(data['text/markdown']) for data in found)
    url = re.search(r'^\[source\]\(([^)]*)\)', text, re.M)
    said = re.search(r'^\*(.+)\*$', text, re.M)
    return url and url[1], said[1] if said else ''


def anchor(cell):
    "代替一张卡片：它的锚点，和 GitHub 上的源码；名字和一句话的说明给搜索用"
    name = card(cell)
    url, said = printed(cell)
    inside = f'<a href="{html.escape(url)}">{html.escape(name)}的源码</a>' if url else ''
    return (f'<span id="{name.lower()}" data-name="{name}" data-text="{html.escape(said)}">'
            f'{inside}</span>')


def once(nb, codes):
    """每串卡片：源码就在前面的，换成源码前面的锚点；其余照定义的先后排（nbdev 会倒过来），
    写成参数表。

    codes 是笔记里定义的名字和它们的源码，按先后
    """
    order = {name: i for i, name in enumerate(codes)}
    cells = []
    for is_card, run in groupby(nb['cells'], lambda cell: bool(card(cell))):
        run = list(run)
        if not is_card:
            cells += run
            continue
        run.sort(key=lambda cell: order.get(card(cell), len(order)))
        here = set(defined(source(cells[-1]))) if cells[-1]['cell_type'] == 'code' else ()
        anchors = [anchor(cell) for cell in run if card(cell) in here]
        if anchors:
            cells.insert(-1, markdown(f'<p class="defined">{" ".join(anchors)}</p>\n'))
        for cell in run:
            name = card(cell)
            if name not in here:
                url, _ = printed(cell)
                opening, code, closing = reference(name, codes[name], url)
                cells += [markdown(opening), markdown(f'```python\n{code}\n```\n'),
                          markdown(closing)]
    nb['cells'] = cells


def shown(nb):
    "这一页上 nbdev 的链接能跳到的锚点：卡片，和代替卡片的"
    for cell in nb['cells']:
        if cell['cell_type'] == 'markdown':
            yield from re.findall(r'<\w+ [^>]*id="([\w.]+)" data-name=', source(cell))


def fold_answers(nb):
    "折起来的答案和演示，输出也折进去"
    cells = []
    for cell in nb['cells']:
        summary = re.search(r'^#\| *code-summary: *(.*)$', source(cell), re.M)
        if cell['cell_type'] != 'code' or not summary or not re.match(FOLDED, summary[1]):
            cells.append(cell)
            continue
        lines = source(cell).splitlines(True)
        cell['source'] = [l for l in lines if not re.match(r'#\| *code-(fold|summary):', l)]
        title = html.escape(summary[1].strip().strip('"\''))
        opening = f'<details class="code-fold answer"><summary>{title}</summary>\n'
        cells += [markdown(opening), cell, markdown('</details>\n')]
    nb['cells'] = cells


def bare_svg(nb):
    "SVG输出去掉XML的头，从`<svg`开始，渲染器才写得上图的说明"
    for data in outputs(nb, 'image/svg+xml'):
        text = ''.join(data['image/svg+xml'])
        data['image/svg+xml'] = text[text.index('<svg'):].splitlines(True)


# 链接

def relink(lines, names, anchors):
    "到笔记和到本站的链接改成相对的网页地址"
    def local(m):
        "`UNet.forward` 没有自己的锚点时退到 `UNet`，再没有就到页首"
        there = [a for a in (m[3], m[3].split('.')[0]) if a in anchors.get(m[2], ())]
        return m[1] + m[2] + ''.join(f'#{a}' for a in there[:1])

    cfg = get_config()
    site = re.escape(f'{cfg.doc_host}{cfg.doc_baseurl}/')
    text = re.sub(rf'(\]\(|href="){site}([\w-]+\.html)#([\w.]+)', local, ''.join(lines))
    notebook = r'(\]\(|href=")(?:\./)?([\w-]+\.ipynb)'
    text = re.sub(notebook, lambda m: m[1] + names.get(m[2], m[2]), text)
    return text.splitlines(True)


def link_names(lines):
    """反引号里的名字链到它的参考；标题里不留链接。

    nbdev 也做，但它遇到含空格的代码会配错反引号，漏掉同一行后面的名字
    """
    lookup = NbdevLookup()

    def link(m):
        if not m[1] or m[1][0] == '_':
            return m[0]
        url = lookup.doc(re.sub(r'\(.*\)$', '', m[1]))
        return f'[{m[0]}]({url})' if url else m[0]

    def unlink(m):
        return re.sub(r'\[(`[^`]+`)\]\([^)]*\)', r'\1', m[0])

    skipped = r'^```.*?^```|\[[^\]\n]*\]\([^)\n]*\)'
    text = re.sub(rf'{skipped}|`([^`\n]+)`', link, ''.join(lines), flags=re.M | re.S)
    return re.sub(r'^#+ .*', unlink, text, flags=re.M).splitlines(True)


def link_all(nb, names, anchors):
    "一本笔记里的链接，正文的和输出的"
    for cell in nb['cells']:
        if cell['cell_type'] == 'markdown':
            cell['source'] = relink(link_names(cell['source']), names, anchors)
    for kind in ('text/markdown', 'text/html'):
        for data in outputs(nb, kind):
            data[kind] = relink(data[kind], names, anchors)


# 每页添的，和整个网站的

def footer():
    "页脚：版本、提交日期、提交号；不在 git 里时只有版本"
    cfg = get_config()
    command = ['git', 'log', '-1', '--format=%cs %h %H']
    git = subprocess.run(command, capture_output=True, text=True).stdout.split()
    built = f' · {git[0]} · [{git[1]}]({cfg.git_url}/commit/{git[2]})' if git else ''
    return f'{cfg.lib_name} {cfg.version}{built}'


def renamed(contents, names):
    "侧栏里的文件名换成改过的，各部分里也换"
    for item in contents:
        if isinstance(item, str):
            yield names[item].replace('.html', '.ipynb')
        else:
            yield item | {'contents': list(renamed(item['contents'], names))}


def write_nav(path, names):
    "侧栏里的文件名换成改过的；添上页脚"
    site = read_yaml(path)
    side = site['website']['sidebar']
    side['contents'] = list(renamed(side['contents'], names))
    site['website']['page-footer'] = {'center': footer()}
    path.write_text(yaml.dump(site, allow_unicode=True, sort_keys=False), encoding='utf-8')


def defined_in(path):
    "一本笔记里定义的名字和它们的源码，按先后"
    codes = [source(c) for c in read_nb(path)['cells'] if c['cell_type'] == 'code']
    return {name: code for text in codes for name, code in defined(text).items()}


def prepare():
    "在 _proc 里备好笔记：处理过、改了名、改了链接"
    sys.path.insert(0, str(ROOT))  # nbdev 的子进程照抄它，于是导入的是这份检出
    refresh_quarto_yml()
    proc = proc_nbs(force=True, skip_folder_re=r'^([_.]|Datasets$|runs$)')
    nbs = {path: read_nb(path) for path in sorted(proc.glob('*.ipynb'))}
    names = {path.name: take_name(path, nb) for path, nb in nbs.items()}
    for path, nb in nbs.items():
        once(nb, defined_in(ROOT/'nbs'/path.name))
        fold_answers(nb)
        bare_svg(nb)
    anchors = {}
    for path, nb in nbs.items():
        anchors[names[path.name]] = {name.lower() for name in shown(nb)}
    for path, nb in nbs.items():
        link_all(nb, names, anchors)
        path.unlink()
        out = (proc/names[path.name]).with_suffix('.ipynb')
        out.write_text(json.dumps(nb, ensure_ascii=False, indent=1), encoding='utf-8')
    write_nav(proc/'sidebar.yml', names)
    return proc, names


def render(proc, quarto):
    "把 _proc 渲染到 _docs"
    if quarto:
        subprocess.run(['quarto', 'render'], cwd=proc, check=True)
    else:
        from smalldocs.site import build
        for warning in build(proc, quiet=True).warnings:
            if not re.search(r'(html-math-method|respect-user-color-scheme) is ignored', warning):
                print(f'  smalldocs：{warning}')
    shutil.rmtree(DOCS, ignore_errors=True)
    shutil.move(proc/'_docs', DOCS)


# 检查

class Page(HTMLParser):
    "一页里的锚点、链接和正文长度"
    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.chars, self.inside = [], [], 0, 0
        self.feed(path.read_text(encoding='utf-8'))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids += [attrs[k] for k in ('id', 'name') if attrs.get(k)]
        self.links += [attrs[k] for k in ('href', 'src') if attrs.get(k)]
        self.inside += tag == 'main'

    def handle_endtag(self, tag):
        self.inside -= tag == 'main'

    def handle_data(self, data):
        self.chars += bool(self.inside)*len(data.strip())


def check_link(link, path, pages):
    "一个站内链接的问题，没有就是 None"
    if re.match(r'[a-z][a-z0-9+.-]*:|//', link, re.I):
        return None
    file, _, name = link.partition('#')
    target = path
    if file:
        target = (path.parent/unquote(file.partition('?')[0])).resolve()
    if target.is_dir():
        target /= 'index.html'
    if not target.is_file():
        return '没有这个文件'
    if name and target in pages and unquote(name) not in pages[target].ids:
        return '没有这个锚点'
    return None


def check_links(names):
    "每本笔记都成了一页，每页都有正文，站内链接和锚点都找得到"
    pages = {p: Page(p) for p in DOCS.rglob('*.html') if 'site_libs' not in p.parts}
    for name in names.values():
        if DOCS/name not in pages:
            yield f'没有建成 {name}'
    for path, page in pages.items():
        where = path.relative_to(DOCS)
        if page.chars < 100:
            yield f'{where} 没有正文'
        for link in dict.fromkeys(page.links):
            problem = check_link(link, path, pages)
            if problem:
                yield f'{where} 里的链接 {link}：{problem}'


def main():
    "建网站，再检查"
    os.chdir(ROOT)
    bad = [*check_sidebar(), *check_front()]
    if not bad:
        proc, names = prepare()
        render(proc, '--quarto' in sys.argv)
        finish(DOCS, names)
        for problem in build_try(DOCS):
            print(f'  try.html：{problem}')
        bad = list(check_links(names))
    for problem in bad:
        print(f'  {problem}')
    if not bad:
        print(f'  {len(names)} 页，在浏览器里打开 {(DOCS/"index.html").relative_to(ROOT)}')
    return bool(bad)


if __name__ == '__main__':
    sys.exit(main())
