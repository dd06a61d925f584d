"""建网站到 _docs：nbdev 处理笔记，有 Quarto 用 Quarto，没有用 smalldocs；然后检查站内链接。"""
import json, os, re, shutil, subprocess, sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import yaml
from nbdev.config import get_config
from nbdev.doclinks import NbdevLookup
from nbdev.quarto import refresh_quarto_yml
from nbdev.serve import proc_nbs

from finish import finish

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT/'_docs'


# 准备：两种渲染器从同一份处理好的笔记开始，所以网页和地址都一样

def check_sidebar():
    "侧栏列出的正好是全部笔记"
    listed = set(re.findall(r'[\w-]+\.ipynb', (ROOT/'nbs'/'sidebar.yml').read_text(encoding='utf-8')))
    there = {p.name for p in (ROOT/'nbs').glob('*.ipynb')}
    for name in sorted(there - listed): yield f'nbs/sidebar.yml 缺 {name}，添一行'
    for name in sorted(listed - there): yield f'nbs/sidebar.yml 多了 {name}：没有这本笔记'

def take_name(path, nb):
    "nbdev 定的网页名字，例如 model.html；从头信息里拿走，文件名会直接用它。标题添上章号，正文里说的“01章”才找得到"
    cell = nb['cells'][0]
    meta = yaml.safe_load(''.join(cell['source']).strip().strip('-'))
    name = meta.pop('output-file')
    if number := re.match(r'\d+', path.name): meta['title'] = f'{number[0]}：{meta["title"]}'
    cell['source'] = f'---\n{yaml.dump(meta, allow_unicode=True)}---\n'.splitlines(True)
    return name

def shown(nb):
    "这一页上 show_doc 写出的名字，也就是 nbdev 的链接能跳到的锚点"
    docs = [''.join(o['data'].get('text/markdown', '')) for c in nb['cells'] for o in c.get('outputs', []) if 'data' in o]
    return {m.lower() for d in docs for m in re.findall(r'^#+ ([\w.]+)$', d, re.M)}

def relink(lines, names, anchors):
    "到笔记和到本站的链接改成相对的网页地址"
    def local(m):
        "`UNet.forward` 没有自己的锚点时退到 `UNet`，再没有就到页首"
        there = [a for a in (m[3], m[3].split('.')[0]) if a in anchors.get(m[2], ())]
        return m[1] + m[2] + ''.join(f'#{a}' for a in there[:1])
    cfg = get_config()
    site = re.escape(f'{cfg.doc_host}{cfg.doc_baseurl}/')
    text = re.sub(rf'(\]\(|href="){site}([\w-]+\.html)#([\w.]+)', local, ''.join(lines))
    text = re.sub(r'(\]\(|href=")(?:\./)?([\w-]+\.ipynb)', lambda m: m[1] + names.get(m[2], m[2]), text)
    return text.splitlines(True)

def link_names(lines):
    "反引号里的名字链到它的参考。nbdev 也做，但它遇到含空格的代码会配错反引号，漏掉同一行后面的名字；标题里不留链接"
    lookup, text = NbdevLookup(), ''.join(lines)
    def name(m):
        url = m[1] and m[1][0] != '_' and lookup.doc(re.sub(r'\(.*\)$', '', m[1]))
        return f'[{m[0]}]({url})' if url else m[0]
    text = re.sub(r'^```.*?^```|\[[^\]\n]*\]\([^)\n]*\)|`([^`\n]+)`', name, text, flags=re.M | re.S)
    return re.sub(r'^#+ .*', lambda m: re.sub(r'\[(`[^`]+`)\]\([^)]*\)', r'\1', m[0]), text, flags=re.M).splitlines(True)

def unlink_code(lines):
    "代码块里不能有链接：nbdev给签名注释里的名字也加了，去掉"
    plain = lambda m: re.sub(r'\[(`[^`\n]+`)\]\([^)\n]*\)', r'\1', m[0])
    return re.sub(r'^```.*?^```', plain, ''.join(lines), flags=re.M | re.S).splitlines(True)

def downloads(name):
    "章首的一行：下载、在Colab打开、要先装什么"
    cfg = get_config()
    return {'cell_type': 'markdown', 'metadata': {}, 'source': [
        f'<p class="downloads">运行这一章：<a href="nbs/{name}" download>下载{name}</a>，或<a href="nbs.zip" download>全部笔记</a>，',
        f'或<a href="https://colab.research.google.com/github/{cfg.user}/{cfg.repo}/blob/{cfg.branch}/nbs/{name}">在Colab打开</a>；',
        f'先<code>git clone {cfg.git_url} &amp;&amp; pip install ./{cfg.repo}</code>，在<code>{cfg.repo}/nbs</code>里运行（Colab里用<code>%cd</code>进去），有几章要读那里的<code>results/</code></p>\n']}

def footer():
    "页脚：版本、提交日期、提交号；不在 git 里时只有版本"
    cfg = get_config()
    git = subprocess.run(['git', 'log', '-1', '--format=%cs %h %H'], capture_output=True, text=True).stdout.split()
    built = f' · {git[0]} · [{git[1]}]({cfg.git_url}/commit/{git[2]})' if git else ''
    return f'{cfg.lib_name} {cfg.version}{built}'

def write_nav(path, names):
    "侧栏里的文件名换成改过的；添上页脚"
    site = yaml.safe_load(path.read_text(encoding='utf-8'))
    side = site['website']['sidebar']
    side['contents'] = [names[o].replace('.html', '.ipynb') for o in side['contents']]
    site['website']['page-footer'] = {'center': footer()}
    path.write_text(yaml.dump(site, allow_unicode=True), encoding='utf-8')

def prepare():
    "在 _proc 里备好笔记：处理过、改了名、改了链接"
    sys.path.insert(0, str(ROOT))  # nbdev 的子进程照抄它，于是导入的是这份检出
    refresh_quarto_yml()
    proc = proc_nbs(force=True, skip_folder_re=r'^([_.]|Datasets$|runs$)')
    nbs = {p: json.loads(p.read_text(encoding='utf-8')) for p in sorted(proc.glob('*.ipynb'))}
    names = {p.name: take_name(p, nb) for p, nb in nbs.items()}
    anchors = {names[p.name]: shown(nb) for p, nb in nbs.items()}
    for path, nb in nbs.items():
        for cell in nb['cells']:
            if cell['cell_type'] == 'markdown': cell['source'] = relink(link_names(cell['source']), names, anchors)
            for out in cell.get('outputs', []):
                for kind in {'text/markdown', 'text/html'} & out.get('data', {}).keys():
                    out['data'][kind] = [re.sub(r'^\[source\]', '[源码]', l) for l in unlink_code(relink(out['data'][kind], names, anchors))]
        if path.name != 'index.ipynb': nb['cells'].insert(1, downloads(path.name))
        path.unlink()
        (proc/names[path.name]).with_suffix('.ipynb').write_text(json.dumps(nb, ensure_ascii=False, indent=1), encoding='utf-8')
    write_nav(proc/'sidebar.yml', names)
    return proc, names

def render(proc):
    "把 _proc 渲染到 _docs"
    if shutil.which('quarto'): subprocess.run(['quarto', 'render'], cwd=proc, check=True)
    else:
        try: from smalldocs.site import build
        except ImportError: sys.exit('没有 Quarto，也没有 smalldocs（它要 Python 3.11 或更新）：装上其中一个')
        for w in build(proc, quiet=True).warnings:
            if not re.search(r'(html-math-method|respect-user-color-scheme) is ignored', w): print(f'  smalldocs：{w}')
    shutil.rmtree(DOCS, ignore_errors=True)
    shutil.move(proc/'_docs', DOCS)


# 检查

class Page(HTMLParser):
    "一页里的锚点、链接和正文长度"
    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.chars, self.inside = set(), [], 0, 0
        self.feed(path.read_text(encoding='utf-8'))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids |= {attrs.get('id'), attrs.get('name')}
        self.links += [attrs[k] for k in ('href', 'src') if attrs.get(k)]
        self.inside += tag == 'main'

    def handle_endtag(self, tag): self.inside -= tag == 'main'
    def handle_data(self, data): self.chars += bool(self.inside)*len(data.strip())

def check_links(names):
    "每本笔记都成了一页，每页都有正文，站内链接和锚点都找得到"
    pages = {p: Page(p) for p in DOCS.rglob('*.html') if 'site_libs' not in p.parts}
    for name in names.values():
        if DOCS/name not in pages: yield f'没有建成 {name}'
    for path, page in pages.items():
        where = path.relative_to(DOCS)
        if page.chars < 100: yield f'{where} 没有正文'
        for link in dict.fromkeys(page.links):
            if re.match(r'[a-z][a-z0-9+.-]*:|//', link, re.I): continue
            file, _, anchor = link.partition('#')
            target = (path.parent/unquote(file.partition('?')[0])).resolve() if file else path
            if target.is_dir(): target /= 'index.html'
            if not target.is_file(): yield f'{where} 里的链接 {link}：没有这个文件'
            elif anchor and target in pages and unquote(anchor) not in pages[target].ids: yield f'{where} 里的链接 {link}：没有这个锚点'

def main():
    "建网站，再检查"
    os.chdir(ROOT)
    bad = list(check_sidebar())
    if not bad:
        proc, names = prepare()
        render(proc)
        finish(DOCS, names)
        bad = list(check_links(names))
    for o in bad: print(f'  {o}')
    if not bad: print(f'  {len(names)} 页，在浏览器里打开 {(DOCS/"index.html").relative_to(ROOT)}')
    return bool(bad)


if __name__ == '__main__': sys.exit(main())
