"""在真正的 Chromium 里看建好的网站：宽窄两种窗口，浅色深色两种配色。--self-test：弄坏几页，每项检查都要发现。"""
import functools, os, shutil, sys, tempfile, threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag

from nbdev.config import get_config

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT/'_docs'
LOOK = (ROOT/'tools'/'browse.js').read_text(encoding='utf-8')
FLAGS = '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'
VIEWS = [(width, scheme) for width in (1280, 390) for scheme in ('light', 'dark')]
TERMS = {  # 搜什么 → 第一个结果在哪一页
    '跳跃连接': 'model.html', '权重图': 'recipe.html', '弹性形变': 'recipe.html', '重叠切块': 'predict.html', 'UNet': 'model.html', 'border_weight_map': 'recipe.html',
}


class Server(SimpleHTTPRequestHandler):
    "像 GitHub Pages 那样，网站在 /unet_repro/ 下面"
    base = get_config().doc_baseurl
    def translate_path(self, path): return super().translate_path(path.removeprefix(self.base) if path.startswith(self.base + '/') else '/没有')
    def log_message(self, *args): pass

def serve(docs):
    "在本机的一个空端口上提供 docs；返回网址"
    server = ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Server, directory=docs))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f'http://127.0.0.1:{server.server_port}{Server.base}/'

def visit(page, url, site):
    "打开一页；给出看到的，问题里包括控制台的错误、失败的请求、向外面的请求"
    bad, asked = [], []
    def console(m):
        if m.type == 'error': bad.append(f'控制台：{m.text}')
    def request(r):
        asked.append(r.url)
        if not r.url.startswith((site, 'data:', 'blob:')): bad.append(f'向外面要东西：{r.url}')
    def response(r):
        if r.status >= 400: bad.append(f'没有要到（{r.status}）：{r.url}')
    hears = {'console': console, 'request': request, 'response': response, 'pageerror': lambda e: bad.append(f'脚本出错：{e}'),
             'requestfailed': lambda r: bad.append(f'没有要到：{r.url}')}
    for event, hear in hears.items(): page.on(event, hear)
    page.goto(url, wait_until='networkidle')
    page.evaluate('document.fonts.ready')
    seen = page.evaluate(f'{LOOK}\nlook()')
    for event, hear in hears.items(): page.remove_listener(event, hear)
    seen['bad'] += bad
    return seen | {'requests': len(asked)}

def search(page, site, term, where):
    "在首页的搜索框里搜一个词，看结果写得清不清楚，点第一个"
    page.goto(site + 'index.html')
    page.locator('#quarto-search input').first.fill(term)
    first = page.locator('.search-result, .search-result-link').first
    try: first.wait_for(timeout=5000)
    except Exception:
        yield f'搜“{term}”：没有结果'
        return
    for o in page.evaluate(f'{LOOK}\nlook()')['bad']: yield f'搜“{term}”的结果：{o}'
    first.click()
    page.wait_for_load_state()
    if not page.url.startswith(site + where): yield f'搜“{term}”：第一个结果是{unquote(page.url)}，应该在{where}'

def sidebar(page, site):
    "手机上，点一下目录按钮，目录就出来"
    page.goto(site + 'index.html')
    try:
        page.locator('.quarto-btn-toggle').first.click(timeout=5000)
        page.locator('#quarto-sidebar a[href*="model.html"]').click(timeout=5000)
    except Exception: yield '手机上打不开目录'

def broken(page, site, seen):
    "站内的链接：文件都在，锚点都有"
    files = {}
    for url, one in seen.items():
        for link in one['links']:
            file, anchor = urldefrag(link)
            if not file.startswith(site): continue
            if file not in files: files[file] = page.request.get(file).ok
            if not files[file]: yield f'{url}：链接{unquote(link)}没有这个文件'
            elif anchor and file in seen and unquote(anchor) not in seen[file]['ids']: yield f'{url}：链接{unquote(link)}没有这个锚点'

def browse(browser, docs, names, terms):
    "看 docs 里的这几页，搜这几个词；给出问题和各项的个数"
    site, bad, count = serve(docs), [], dict.fromkeys(('requests', 'figures', 'formulas', 'texts'), 0)
    lowest = 21
    for width, scheme in VIEWS:
        context = browser.new_context(viewport={'width': width, 'height': 900}, color_scheme=scheme)
        page, seen = context.new_page(), {}
        for name in names:
            seen[site + name] = one = visit(page, site + name, site)
            bad += [f'{name}（{width}像素，{scheme}）：{o}' for o in one['bad']]
            for k in count: count[k] += one[k]
            lowest = min(lowest, one['lowest'])
        for term, where in terms.items() if width == VIEWS[0][0] else (): bad += search(page, site, term, where)
        if width == VIEWS[-1][0]: bad += sidebar(page, site)
        if (width, scheme) == VIEWS[0]: bad += broken(page, site, seen)
        context.close()
    count['links'] = sum(len(o['links']) for o in seen.values())
    return bad, count | {'lowest': lowest}

def main(browser):
    "看整个网站，打印个数"
    names = sorted(p.name for p in DOCS.glob('*.html'))
    bad, n = browse(browser, DOCS, names, TERMS)
    for o in bad: print(f'  {o}')
    print(f'  {len(names)}页 × {len(VIEWS)}种窗口：{n["requests"]}个请求，{n["figures"]}幅图，{n["formulas"]}个公式，'
          f'{n["texts"]}处文字（最低对比{n["lowest"]:.2f}），{n["links"]}个链接，{len(TERMS)}个搜索；{len(bad)}个问题')
    return bool(bad)


# 每项检查一处坏的

BAD = {
    '脚本出错': '<script>throw Error("坏")</script>', '控制台': '<script>console.error("坏")</script>', '没有要到（404）': '<script src="没有.js"></script>',
    '向外面要东西': '<link rel="stylesheet" href="https://fonts.invalid/a.css">', '界面上有英文': '<input placeholder="Search">',
    '图的大小': '<style>main img { width: 300px !important; height: 300px !important }</style>', '图没有画出来': '<img src="data:image/png;base64,AAAA" alt="坏">',
    '公式没有画出来': '<math></math>', '剩下没画的 TeX': r'<p>\(x\)</p>', '整页要横着滚': '<style>body { width: 3000px }</style>',
    '超出窗口': '<div style="width: 3000px">宽</div>', '对比只有': '<p style="color: #777; background: #888">灰</p>',
    '没有这个文件': '<a href="nowhere.html">坏</a>', '没有这个锚点': '<a href="#nowhere">坏</a>',
}

def self_test(browser):
    "弄坏的每一页都要被发现；搜不到的词、打不开的目录也要被发现"
    with tempfile.TemporaryDirectory() as folder:
        docs = Path(shutil.copytree(DOCS, Path(folder)/'docs'))
        index = (docs/'index.html').read_text(encoding='utf-8')
        for i, piece in enumerate(BAD.values()): (docs/f'bad{i}.html').write_text(index.replace('</main>', piece + '</main>'), encoding='utf-8')
        (docs/'index.html').write_text(index.replace('quarto-btn-toggle', 'nothing').replace('lang="zh"', 'lang="en"'), encoding='utf-8')
        bad, _ = browse(browser, docs, ['index.html', *(f'bad{i}.html' for i in range(len(BAD)))], {'甲乙丙丁戊': 'model.html', 'UNet': 'cli.html'})
    for i, what in enumerate(BAD): assert any(f'bad{i}.html' in o and what in o for o in bad), what
    for what in ('不是中文', '没有结果', '第一个结果', '打不开目录'): assert any(what in o for o in bad), what
    print(f'  {len(BAD) + 4}处坏的都发现了')

def start(work):
    "打开 Chromium 做 work；没有 Chromium 时，在 CI 里算没通过，在自己的电脑上跳过"
    chromium = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
    if not chromium:
        print('  没有 Chromium，没有在浏览器里看网站。装上再跑，例如 sudo apt install chromium fonts-noto-cjk')
        return 'CI' in os.environ
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p: return work(p.chromium.launch(executable_path=chromium, args=FLAGS.split()))


if __name__ == '__main__': sys.exit(start(self_test if '--self-test' in sys.argv else main))
