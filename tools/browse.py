"""在真正的 Chromium 里看建好的网站：宽窄两种窗口，浅色深色两种配色；还看 Quarto 会写的元素。

--self-test：弄坏几页，每项检查都要发现。
"""
import functools
import os
import shutil
import sys
import tempfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag

from finish import Figures, finish_page, lighter
from nbdev.config import get_config

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT/'_docs'
FIXTURE = ROOT/'tools'/'quarto.html'
LOOK = (ROOT/'tools'/'browse.js').read_text(encoding='utf-8')
FLAGS = [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
]
VIEWS = [(width, scheme) for width in (1280, 390) for scheme in ('light', 'dark')]
TERMS = {  # 搜什么 → 第一个结果在哪一页，标题里有什么
    'UNet': ('model', 'UNet'), 'border_weight_map': ('recipe', 'border_weight_map'),
    'predict_image': ('predict', 'predict_image'), '跳跃连接': ('model', '跳跃连接'),
    '弹性形变': ('recipe', '弹性形变'), '重叠切块': ('predict', '预测'), '权重图': ('recipe', ''),
    '推理': ('predict', '预测'), '黑': ('faq', '预测全黑'), '显存': ('memory', '内存'),
    '断点续训': ('engine', '接着练'), 'overfitting': ('train', '背下一张图'),
    'learning rate': ('train', '学习率'), '学习率 lr': ('train', '学习率'),
    'segmentation': ('data', ''), '为什么388': ('faq', '388'),
    'SEG是什么': ('evaluate', 'SEG'),
    '自己的图像': ('own', '自己的图像'), '崩溃': ('engine', '接着练'),
    '多卡': ('engine', '几个进程'), '测试分数高': ('faq', '高得可疑'),
    '我的图像': ('own', '自己的图像'), '怎么用我自己的图片': ('own', '自己的图像'),
    '为什么是388': ('faq', '388'), '断电了怎么办': ('engine', '接着练'),
    '断了怎么接着训练': ('engine', '接着练'), '阈值': ('evaluate', '门槛'),
    'loss 不降': ('faq', '损失不降'), '分水岭': ('predict', '分水岭'),
}
COUNTS = ('requests', 'figures', 'formulas', 'texts')


class Server(SimpleHTTPRequestHandler):
    "像 GitHub Pages 那样，网站在 /unet_repro/ 下面"
    base = get_config().doc_baseurl

    def translate_path(self, path):
        if not path.startswith(self.base + '/'):
            return super().translate_path('/没有')
        return super().translate_path(path.removeprefix(self.base))

    def log_message(self, *args):
        pass


def serve(docs):
    "在本机的一个空端口上提供 docs；返回网址"
    server = ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Server, directory=docs))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f'http://127.0.0.1:{server.server_port}{Server.base}/'


class Ears:
    "听一页的动静：控制台的错误、失败的请求、向外面的请求"
    def __init__(self, page, site):
        self.page, self.site = page, site
        self.bad, self.asked, self.open = [], [], set()
        self.hears = {
            'console': self.console, 'pageerror': self.error, 'request': self.request,
            'response': self.response, 'requestfinished': self.finished,
            'requestfailed': self.failed,
        }

    def __enter__(self):
        for event, hear in self.hears.items():
            self.page.on(event, hear)
        return self

    def __exit__(self, *_):
        for event, hear in self.hears.items():
            self.page.remove_listener(event, hear)

    def console(self, message):
        if message.type == 'error':
            self.bad.append(f'控制台：{message.text}')

    def error(self, e):
        self.bad.append(f'脚本出错：{e}')

    def request(self, request):
        self.open.add(request)
        self.asked.append(request.url)
        if not request.url.startswith((self.site, 'data:', 'blob:')):
            self.bad.append(f'向外面要东西：{request.url}')

    def response(self, response):
        if response.status >= 400:
            self.bad.append(f'没有要到（{response.status}）：{response.url}')

    def finished(self, request):
        self.open.discard(request)

    def failed(self, request):
        "浏览器自己取消的不算（它没取完图标就去了下一页），那些文件在不在由assets问"
        self.open.discard(request)
        if request.failure != 'net::ERR_ABORTED':
            self.bad.append(f'没有要到：{request.url}')

    def wait(self, seconds=10):
        "等到没有在路上的请求"
        end = time.monotonic() + seconds
        while self.open and time.monotonic() < end:
            self.page.wait_for_timeout(10)


def visit(page, url, site):
    "打开一页；给出看到的，问题里包括听到的"
    with Ears(page, site) as ears:
        page.goto(url, wait_until='load')
        page.evaluate('document.fonts.ready')
        ears.wait()
        seen = page.evaluate(f'{LOOK}\nlook()')
        ears.wait()
    seen['bad'] += ears.bad
    return seen | {'requests': len(ears.asked)}


def search(page, site, term, where):
    "在首页的搜索框里搜一个词，看结果写得清不清楚，点第一个"
    file, heading = where
    page.goto(site + 'index.html')
    page.locator('.search input').fill(term)
    first = page.locator('.found a').first
    try:
        first.wait_for(timeout=5000)
    except Exception:
        yield f'搜“{term}”：没有结果'
        return
    for problem in page.evaluate(f'{LOOK}\nlook()')['bad']:
        yield f'搜“{term}”的结果：{problem}'
    found = first.locator('b').text_content()
    first.click()
    page.wait_for_load_state()
    if not page.url.startswith(f'{site}{file}.html') or heading not in found:
        yield (f'搜“{term}”：第一个结果是{unquote(page.url)}的“{found}”，'
               f'应该在{file}.html的“{heading}”')


def sidebar(page, site):
    "手机上，点一下目录按钮，目录就出来"
    page.goto(site + 'index.html')
    try:
        page.locator('.quarto-btn-toggle').first.click(timeout=5000)
        page.locator('#quarto-sidebar a[href*="model.html"]').click(timeout=5000)
    except Exception:
        yield '手机上打不开目录'


def assets(page, site, seen):
    "页面用到的站内文件（图标、样式、脚本、图），每个自己要一次"
    users = {}
    for url, one in seen.items():
        for asset in one['assets']:
            if asset.startswith(site):
                users.setdefault(asset, url)
    for asset, url in users.items():
        answer = page.request.get(asset)
        if not answer.ok:
            yield f'{url}：没有要到（{answer.status}）：{unquote(asset)}'


def broken(page, site, seen):
    "站内的链接：文件都在，锚点都有"
    files = {}
    for url, one in seen.items():
        for link in one['links']:
            file, anchor = urldefrag(link)
            if not file.startswith(site):
                continue
            if file not in files:
                files[file] = page.request.get(file).ok
            if not files[file]:
                yield f'{url}：链接{unquote(link)}没有这个文件'
            elif anchor and file in seen and unquote(anchor) not in seen[file]['ids']:
                yield f'{url}：链接{unquote(link)}没有这个锚点'


def view(browser, site, size, names):
    "一种窗口里看这几页：页面（还开着），每页看到的"
    width, scheme = size
    viewport = {'width': width, 'height': 900}
    page = browser.new_context(viewport=viewport, color_scheme=scheme).new_page()
    return page, {site + name: visit(page, site + name, site) for name in names}


def browse(browser, docs, names, terms, views=VIEWS, menu=True):
    "看 docs 里的这几页，搜这几个词；给出问题和各项的个数"
    site = serve(docs)
    bad, count, lowest = [], dict.fromkeys(COUNTS, 0), 21
    for size in views:
        page, seen = view(browser, site, size, names)
        for url, one in seen.items():
            where = f'{url.removeprefix(site)}（{size[0]}像素，{size[1]}）'
            bad += [f'{where}：{problem}' for problem in one['bad']]
            lowest = min(lowest, one['lowest'])
            for key in count:
                count[key] += one[key]
        if size == views[0]:
            for term, where in terms.items():
                bad += search(page, site, term, where)
            bad += [*broken(page, site, seen), *assets(page, site, seen)]
        if menu and size == views[-1]:
            bad += sidebar(page, site)
        page.context.close()
    links = sum(len(one['links']) for one in seen.values())
    return bad, count | {'links': links, 'lowest': lowest}


def quarto(browser):
    "Quarto 会写的元素，配上这个网站的样式；深色是 body 上的 quarto-dark"
    with tempfile.TemporaryDirectory() as folder:
        docs = Path(folder)
        for name in ('nbs/styles.css', 'nbs/favicon.svg', 'tools/site.js', 'tools/touch.js'):
            shutil.copy2(ROOT/name, docs)
        page = finish_page(FIXTURE.read_text(encoding='utf-8'), Figures(docs))
        (docs/'light.html').write_text(page, encoding='utf-8')
        (docs/'dark.html').write_text(page.replace('quarto-light', 'quarto-dark'),
                                      encoding='utf-8')
        shutil.copy2(docs/'light.html', docs/'index.html')
        bad, _ = browse(browser, docs, ['light.html', 'dark.html'], {}, VIEWS[::2], menu=False)
        return bad


# 能动手的图：脚本算的数与包里的一样

def package_size(n, depth):
    "包里的 output_size；不合法是 None"
    from unet_repro.model import output_size
    try:
        return output_size(n, depth)
    except ValueError:
        return None


def same_sizes(page):
    "输入边长1到700、深度1到5，输出多大"
    grid = 'Array.from({length: 700}, (_, n) => sizes(n + 1, depth).output)'
    for depth in range(1, 6):
        shown = page.evaluate(f'(() => {{ const depth = {depth}; return {grid}; }})()')
        for n, output in enumerate(shown, 1):
            if output != package_size(n, depth):
                yield f'边长{n}、深度{depth}是{output}，包里是{package_size(n, depth)}'


def package_field(depth, level, rows):
    "包里的网络只走到第level级，输出的这几行各看到输入的哪几行：导数不为零的那些"
    import torch

    from unet_repro.model import UNet, input_size
    torch.manual_seed(0)
    net = UNet(1, 1, width=1, depth=depth)
    for p in net.parameters():
        p.data.abs_()
    if level < depth:
        net.up[depth - 1 - level].weight.data.zero_()
    n = input_size(64, depth)
    x = torch.rand(1, 1, n, n, requires_grad=True)
    output = net(x)
    for row in rows:
        gradient = torch.autograd.grad(output[0, 0, row].sum(), x, retain_graph=True)[0]
        seen = gradient[0, 0].sum(1).nonzero()
        yield [seen.min().item(), seen.max().item()]


def same_field(page):
    "深度1到5的感受野，和深度4的每一级跳跃连接看到的"
    rows = [0, 15, 30, 63]
    pairs = [(depth, depth) for depth in range(1, 6)] + [(4, level) for level in range(4)]
    for depth, level in pairs:
        shown = page.evaluate(f'{rows}.map((row) => field(row, {depth}, {level}))')
        for row, ours, theirs in zip(rows, shown, package_field(depth, level, rows)):
            if ours != theirs:
                yield f'深度{depth}、到第{level}级，第{row}行看到{ours}，包里是{theirs}'


def same_weights(page):
    "几种缝宽、w0、sigma的整张权重图"
    import numpy as np

    from unet_repro.recipe import border_weight_map
    cases = [(0, 10, 5), (1, 10, 5), (5, 10, 5), (5, 20, 1), (12, 3, 15), (30, 20, 9)]
    for gap, w0, sigma in cases:
        h, w, labels, weights = page.evaluate(
            f'(() => {{ const cells = twoCells({gap}), weights = weightMap(cells, {w0}, {sigma}); '
            'return [cells.h, cells.w, [...cells.labels], [...weights]]; })()')
        labels = np.reshape(labels, (h, w))
        gaps = (labels[30] == 0)[30:71 + gap].sum()
        worst = np.abs(border_weight_map(labels, w0, sigma, False) - np.reshape(weights, (h, w)))
        if gaps != gap or worst.max() > 1e-4:
            yield f'缝宽{gap}（是{gaps}）、w0={w0}、sigma={sigma}，相差{worst.max():.1e}'


def same_scores(page):
    "九个门槛的IoU、SEG、块数"
    import numpy as np

    from unet_repro.evaluate import iou, seg_measure
    from unet_repro.predict import label_instances
    shape, probability, truth = page.evaluate(
        '(() => { const map = readMap(document.querySelector("[data-touch=threshold]").dataset); '
        'return [map.shape, map.probability, map.truth]; })()')
    probability, truth = np.reshape(probability, shape), np.reshape(truth, shape)
    for k in range(1, 10):
        shown = page.evaluate(
            '(() => { const box = document.querySelector("[data-touch=threshold]"); '
            f'const {{ iou, seg, count }} = score(readMap(box.dataset), {k} / 10); '
            'return [iou, seg, count]; })()')
        labels = label_instances(probability, k / 10, min_size=0, neck=0)
        right = [iou(labels, truth), seg_measure(labels, truth), int(labels.max())]
        if np.abs(np.subtract(shown, right)).max() > 1e-9:
            yield f'门槛{k / 10}是{shown}，包里是{right}'


TOUCH = {  # 哪一幅 → 在哪一页，怎样比
    'sizes': ('model', same_sizes), 'field': ('model', same_field),
    'weights': ('recipe', same_weights), 'threshold': ('evaluate', same_scores),
}


def touch(browser, site):
    "能动手的图：数与包里的一样，没有脚本时写的那行也对，键盘能用"
    page = browser.new_page()
    for name, (file, same) in TOUCH.items():
        page.goto(f'{site}{file}.html')
        box = page.locator(f'[data-touch={name}]')
        if box.count() != 1:
            yield f'{file}.html没有能动手的图{name}'
            continue
        for problem in same(page):
            yield f'能动手的图{name}：{problem}'
        still, said = box.get_attribute('data-still'), box.locator('p').text_content()
        if still != said:
            yield f'能动手的图{name}：没有脚本时写的是“{still}”，应该是“{said}”'
        for slider in box.locator('input').all():
            before = box.inner_html()
            slider.press('ArrowRight')
            if box.inner_html() == before:
                yield f'能动手的图{name}：键盘按右，没有动'
    page.close()


def main(browser):
    "看整个网站，打印个数"
    names = sorted(path.name for path in DOCS.glob('*.html'))
    bad, n = browse(browser, DOCS, names, TERMS)
    bad += [f'Quarto的{problem}' for problem in quarto(browser)]
    bad += touch(browser, serve(DOCS))
    for problem in bad:
        print(f'  {problem}')
    print(f'  {len(names)}页 × {len(VIEWS)}种窗口：{n["requests"]}个请求，{n["figures"]}幅图，'
          f'{n["formulas"]}个公式，{n["texts"]}处文字（最低对比{n["lowest"]:.2f}），'
          f'{n["links"]}个链接，{len(TERMS)}个搜索；{len(bad)}个问题')
    return bool(bad)


# 每项检查一处坏的

BAD = {
    '脚本出错': '<script>throw Error("坏")</script>',
    '控制台': '<script>console.error("坏")</script>',
    '没有要到（404）': '<script src="没有.js"></script>',
    '向外面要东西': '<link rel="stylesheet" href="https://fonts.invalid/a.css">',
    '界面上有英文': '<input placeholder="Search">',
    '图的大小': '<style>main img { width: 300px !important; height: 300px !important }</style>',
    '图没有画出来': '<img src="data:image/png;base64,AAAA" alt="坏">',
    '图没有说明': '<img src="favicon.svg">',
    '公式没有画出来': '<math></math>',
    '剩下没画的 TeX': r'<p>\(x\)</p>',
    '整页要横着滚': '<style>body { width: 3000px }</style>',
    '超出窗口': '<div style="width: 3000px">宽</div>',
    '对比只有': '<p style="color: #777; background: #888">灰</p>',
    '图题里是半角的冒号': '<figure><figcaption>图 1: 坏</figcaption></figure>',
    '表里有没画的反引号': '<table><tr><td>`坏`</td></tr></table>',
    '斜的汉字': '<em style="font-style: italic">坏</em>',
    '图写在网页里': f'<img alt="坏" src="data:image/svg+xml,{"a" * 5000}">',
    '图没有留好地方': '<img alt="坏" src="坏.webp">',
    '横着滚，没有说明': '<pre class="columns"><code>一张表</code></pre><script>onload = () => '
                 '{ document.querySelector("pre.columns").style.width = "9px" }</script>',
    '输出没有折行': f'<div><pre style="white-space: pre">{"坏" * 300}</pre></div>',
    '一行太长': f'<p style="max-width: none">{"坏" * 300}</p>',
    '没有这个文件': '<a href="nowhere.html">坏</a>',
    '没有这个锚点': '<a href="#nowhere">坏</a>',
    '图标.svg': '<img src="图标.svg" alt="坏">',
}
ELSE = ('不是中文', '没有结果', '第一个结果', '打不开目录')
SMALL = ('<main><h1>一页</h1><p>公式<math><mi>x</mi></math>。</p>'
         '<img src="favicon.svg" alt="图标"></main>')


def self_test(browser):
    "弄坏的每一页都要被发现；搜不到的词、打不开的目录也要被发现"
    with tempfile.TemporaryDirectory() as folder:
        docs = Path(shutil.copytree(DOCS, Path(folder)/'docs'))
        index = (docs/'index.html').read_text(encoding='utf-8')
        before, after = index.split('<main')[0], index.split('</main>')[1]
        for i, piece in enumerate(BAD.values()):
            page = before + SMALL.replace('</main>', piece + '</main>') + after
            (docs/f'bad{i}.html').write_text(page, encoding='utf-8')
        index = index.replace('quarto-btn-toggle', 'nothing').replace('lang="zh"', 'lang="en"')
        (docs/'index.html').write_text(index, encoding='utf-8')
        names = ['index.html', *(f'bad{i}.html' for i in range(len(BAD)))]
        terms = {'龘靐齉爩': ('model', ''), 'UNet': ('cli', '')}
        bad, _ = browse(browser, docs, names, terms, [VIEWS[0], VIEWS[-1]])
    for i, what in enumerate(BAD):
        assert any(f'bad{i}.html' in problem and what in problem for problem in bad), what
    for what in ELSE:
        assert any(what in problem for problem in bad), what
    assert lighter('<g x="1.2345" transform="scale(0.0156)"/>') == (
        '<g x="1.23" transform="scale(0.0156)"/>')
    print(f'  {len(BAD) + len(ELSE)}处坏的都发现了')


def chromium():
    "本机的 Chromium，没有时是 None"
    names = ('chromium', 'chromium-browser', 'google-chrome')
    return next(filter(None, map(shutil.which, names)), None)


def start(work):
    "打开 Chromium 做 work；没有 Chromium 时，在 CI 里算没通过，在自己的电脑上跳过"
    path = chromium()
    if not path:
        print('  没有 Chromium，没有在浏览器里看网站。'
              '装上再跑，例如 sudo apt install chromium fonts-noto-cjk')
        return 'CI' in os.environ
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        return work(p.chromium.launch(executable_path=path, args=FLAGS))


if __name__ == '__main__':
    sys.exit(start(self_test if '--self-test' in sys.argv else main))
