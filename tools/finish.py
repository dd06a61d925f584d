"""渲染之后，两种渲染器都经过这里：公式、界面、图、顶上一条、搜索的索引、可下载的笔记。

网站不向外面的服务器要东西。样子在 nbs/styles.css，动作在 tools/site.js。
"""
import base64
import hashlib
import html
import io
import json
import re
import shutil
from itertools import groupby
from pathlib import Path

from latex2mathml.converter import convert
from lint import columns
from nbdev.config import get_config
from PIL import Image
from search import entries

ROOT = Path(__file__).resolve().parent.parent

WORDS = {  # smalldocs 的界面只有英文；Quarto 按 lang 自己翻译，也漏几个
    'Search': '搜索', 'Copy to Clipboard': '复制到剪贴板', 'Copied!': '已复制',
    'Anchor': '本节的链接', 'Toggle sidebar navigation': '展开或收起目录',
    'Toggle section': '展开或收起这一部分', 'breadcrumb': '当前位置', 'Note': '注释', 'Tip': '提示',
    'Warning': '警告', 'Important': '重要', 'Caution': '小心',
}
LARGE = 60_000  # 字节
DISPLAY = {'inline': 'inline', 'display': 'block'}
THIN = '<mspace width="0.167em"></mspace>'


# 公式与文字

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
    "界面上的英文换成中文；图表编号后面用全角的冒号"
    words = '|'.join(map(re.escape, WORDS))
    attribute = r'(?:title|aria-label|placeholder)="'
    callout = r'callout-title-container flex-fill">\s*'
    text = rf'({attribute}|{callout})({words})(?=["<\s])'
    page = re.sub(text, lambda m: m[1] + WORDS[m[2]], page)
    number = r'(<(?:fig)?caption[^>]*>\s*)(图|表)(?:\s|&nbsp;)*(\d+)[:：]\s*'
    return re.sub(number, r'\1\2\3：', page)


def unbroken(page):
    "行内代码里短的、带连字符的词（`--classes`）不在连字符处折行"
    def whole(m):
        return re.sub(r'(?<![^\s>])[\w.]*-[-\w.]*\w(?![^\s<])', nowrap, m[0])

    def nowrap(m):
        return f'<span class="text-nowrap">{m[0]}</span>' if len(m[0]) <= 24 else m[0]

    return re.sub(r'(?<!<pre>)<code>[^<]*</code>', whole, page)


# 骨架：自己的顶栏；smalldocs 的主题、图标、Bootstrap 和 Fuse 都用不着

SCHEME = """<script>(() => {
  const root = document.documentElement, system = matchMedia("(prefers-color-scheme: dark)");
  const set = () => {
    let kept = null;
    try { kept = localStorage.getItem("scheme"); } catch (e) { /* 无痕窗口 */ }
    root.classList.toggle("quarto-dark", kept ? kept === "dark" : system.matches);
  };
  set();
  system.addEventListener("change", set);
})();</script>"""


def bar():
    "顶上一条：首页、搜索、仓库、深浅"
    cfg = get_config()
    return (
        f'<nav class="bar" aria-label="顶栏"><a class="home" href="index.html">{cfg.title}</a>'
        '<div class="search" role="search"><input type="search" placeholder="搜索"'
        ' aria-label="搜索" autocomplete="off"><div class="found" hidden></div></div>'
        f'<a class="repo" href="{cfg.git_url}" title="仓库：{cfg.git_url}">GitHub</a>'
        '<button class="scheme" title="切换深色与浅色">◐</button></nav>')


def skeleton(page):
    "换上自己的顶栏和脚本，拿掉骨架以外的"
    unused = r'<link [^>]*site_libs/(?:themes|bootstrap-icons)/[^>]*>'
    unused += r'|<script src="site_libs/(?:bootstrap|fuse)/[^>]*></script>'
    if 'content="smalldocs' in page:
        page = re.sub(unused, '', page)
        page = re.sub(r'<script>\(function\(\)\{var d=.*?</script>', lambda _: SCHEME, page)
    page = re.sub(r'<(link|script)\b[^>]*\bkatex\b[^>]*>(</script>)?', '', page)
    page = re.sub(r'<nav class="navbar\b.*?</nav>', lambda _: bar(), page, count=1, flags=re.S)
    scripts = ['site.js'] + ['touch.js']*('data-touch=' in page)
    tags = ''.join(f'<script src="{name}" defer></script>' for name in scripts)
    return page.replace('</head>', f'{tags}</head>', 1)


def downloads(name):
    "章首的一行：下载、在Colab打开、要先装什么"
    cfg = get_config()
    colab = f'https://colab.research.google.com/github/{cfg.user}/{cfg.repo}'
    return (
        f'<p class="downloads">运行这一章：<a href="nbs/{name}" download>下载{name}</a>，'
        '或<a href="nbs.zip" download>全部笔记</a>，'
        f'或<a href="{colab}/blob/{cfg.branch}/nbs/{name}">在Colab打开</a>；'
        f'先<code>git clone {cfg.git_url} &amp;&amp; pip install ./{cfg.repo}</code>，'
        f'在<code>{cfg.repo}/nbs</code>里运行（Colab里用<code>%cd</code>进去），'
        '有几章要读那里的<code>results/</code></p>\n')


# 输出与图

def bare(text):
    "去掉标记的文字"
    return html.unescape(re.sub(r'<[^>]*>', '', text))


def aligned(line):
    "这一行是不是对齐的表或树的一行，或者一条横线：折了就没法看"
    return bool(re.search(r'\S {2,}\S|[├└│]|^[-=]{9,}$', bare(line)))


def shape(line):
    "一行除去数字和空白的样子：同一张表的几行样子一样"
    return re.sub(r'[\d.,\s]+', '', line)


def in_tables(lines):
    "各行是不是表里的：对齐的，与旁边的表行样子一样的，夹在表里、不到60列的"
    table = [aligned(line) for line in lines]
    order = range(1, len(lines))
    for i, near in [*((i, i - 1) for i in order), *((i - 1, i) for i in reversed(order))]:
        table[i] |= table[near] and shape(lines[i]) == shape(lines[near])
    runs = [list(run) for _, run in groupby(range(len(lines)), table.__getitem__)]
    for run in runs[1:-1]:
        if all(columns(bare(lines[i])) < 60 for i in run):
            for i in run:
                table[i] = True
    return table


def outputs(page):
    "输出里的表横着滚；别的话，和别的输出，折行"
    def split(m):
        lines = m[1].split('\n')
        parts = []
        for table, run in groupby(zip(in_tables(lines), lines), lambda pair: pair[0]):
            text = [line for _, line in run]
            kind = ' class="columns"' if table and len(text) > 1 else ''
            if any(line.strip() for line in text):
                parts.append(f'<pre{kind}><code>{chr(10).join(text)}</code></pre>')
        return ''.join(parts) if 'class="columns"' in ''.join(parts) else m[0]

    return re.sub(r'<pre><code>(.*?)</code></pre>', split, page, flags=re.S)


def tables(page):
    "第一列的字多的表，手机上第一列宽一点"
    def mark(m):
        first = re.findall(r'<tr[^>]*>\s*<t[dh][^>]*>(.*?)</t[dh]>', m[0], re.S)
        long = max((len(bare(cell).strip()) for cell in first), default=0) > 5
        return m[0].replace('<table', '<table data-first="long"', 1) if long else m[0]

    return re.sub(r'<table.*?</table>', mark, page, flags=re.S)


def to_webp(data):
    """一幅PNG变成WebP，和它该占的宽、高：每英寸200点的占一半，密的屏幕上清楚。

    无损的小一半；还大的是照片似的，用看不出区别的有损
    """
    image = Image.open(io.BytesIO(data))
    scale = max(1, round(image.info.get('dpi', (100, 100))[0] / 100))
    if image.mode == 'RGBA' and image.getextrema()[3][0] == 255:
        image = image.convert('RGB')
    for options in ({'lossless': True}, {'quality': 90, 'method': 6}):
        out = io.BytesIO()
        image.save(out, 'webp', **options)
        if out.tell() < LARGE:
            break
    return out.getvalue(), (image.width // scale, image.height // scale)


def lighter(svg):
    "一幅SVG去掉说明和注释，坐标留两位小数：轻三成，看不出区别；缩放的倍数不动"
    svg = re.sub(r'<metadata>.*?</metadata>|<!--.*?-->', '', svg, flags=re.S)
    svg = re.sub(r'(scale\([^)]*\))|(\d\.\d{2})\d+', lambda m: m[1] or m[2], svg)
    return re.sub(r'\s*\n\s*', '\n', svg)


class Figures:
    "网站的图：各成一个文件，不写在网页里"
    def __init__(self, docs):
        self.docs, self.sizes, self.files, self.drawings = docs, {}, {}, {}
        for path in sorted(docs.glob('*_files/**/*.png')):
            self.add(path.read_bytes(), path.relative_to(docs).with_suffix('.webp').as_posix())
            path.unlink()
        for path in sorted(docs.glob('*_files/**/*.svg')):
            text = path.read_text(encoding='utf-8')
            light = lighter(text[text.index('<svg'):])
            path.write_text(light, encoding='utf-8')
            self.drawings[light.strip()] = path.relative_to(docs).as_posix()

    def add(self, data, name=None):
        "存下一幅PNG；给出文件名"
        key = hashlib.sha256(data).hexdigest()
        if key not in self.files:
            name = name or f'figures/{key[:12]}.webp'
            webp, self.sizes[name] = to_webp(data)
            (self.docs/name).parent.mkdir(parents=True, exist_ok=True)
            (self.docs/name).write_bytes(webp)
            self.files[key] = name
        return self.files[key]

    def image(self, m):
        "一个img：换成文件，写上宽高，用到才取；大的点一下看原图"
        tag = m[0]
        src = re.search(r'src="([^"]*)"', tag)[1].removeprefix('./')
        if src.startswith('data:image/png;base64,'):
            src = self.add(base64.b64decode(src.partition(',')[2]))
        elif src.endswith('.png'):
            src = re.sub(r'\.png$', '.webp', src)
        tag = re.sub(r'src="[^"]*"', f'src="{src}"', tag)
        tag = re.sub(r' (width|height|loading)="[^"]*"', '', tag)
        if src not in self.sizes:
            return tag.replace('<img', '<img loading="lazy"', 1)
        width, height = self.sizes[src]
        about = f'width="{width}" height="{height}" loading="lazy" decoding="async"'
        tag = tag.replace('<img', f'<img {about}', 1)
        return f'<a class="enlarge" href="{src}" title="看原图">{tag}</a>'

    def drawing(self, m):
        "一幅matplotlib的SVG：也成文件；它的宽高以点计，一点是4/3像素"
        alt = re.search(r' alt="([^"]*)"', m[1])
        size = [re.search(rf' {side}="([\d.]+)pt"', m[1]) for side in ('width', 'height')]
        if not all(size):
            return m[0]
        light = lighter(re.sub(r' alt="[^"]*"', '', m[0], count=1))
        name = self.drawings.get(light)
        if not name:
            name = f'figures/{hashlib.sha256(light.encode()).hexdigest()[:12]}.svg'
            (self.docs/'figures').mkdir(exist_ok=True)
            (self.docs/name).write_text(light, encoding='utf-8')
        self.sizes[name] = [round(float(side[1])*4/3) for side in size]
        return f'<img src="{name}" alt="{alt[1] if alt else ""}" class="img-fluid">'

    def page(self, page):
        "一页里的图"
        page = re.sub(r'<svg\b([^>]*)>.*?</svg>', self.drawing, page, flags=re.S)
        return re.sub(r'<img\b[^>]*>', self.image, page)


# 整个网站

def finish_page(page, figures, notebook=None):
    "一页；notebook是它的笔记的文件名"
    page = tables(outputs(skeleton(unbroken(chinese(formulas(page))))))
    page = figures.page(page)
    if notebook and notebook != 'index.ipynb':
        header = r'<header id="title-block-header".*?</header>'
        add = downloads(notebook)
        page = re.sub(header, lambda m: m[0] + add, page, count=1, flags=re.S)
    return page


def finish_css(css):
    "Bootswatch 的主题一开头就要谷歌的字体"
    outside = r'@import\s*(url\()?\s*["\']?https?://[^)"\']*["\']?\)?[^;]*;'
    return re.sub(outside, '', css)


def finish_js(js):
    "smalldocs 的脚本写出的界面文字"
    words = r'(?<=[">])(Copied!|Copy to Clipboard|Anchor)(?=["<])'
    return re.sub(words, lambda m: WORDS[m[1]], js)


def rewrite(folder, pattern, change):
    "照change改folder里的每个这样的文件"
    for path in folder.rglob(pattern):
        path.write_text(change(path.read_text(encoding='utf-8')), encoding='utf-8')


def finish(docs, names):
    "加工 docs 里的网页、样式和脚本；names：笔记 → 网页，每本放进 nbs/，并打成 nbs.zip"
    figures = Figures(docs)
    notebooks = {page: notebook for notebook, page in names.items()}
    for path in sorted(docs.glob('*.html')):
        page = path.read_text(encoding='utf-8')
        page = finish_page(page, figures, notebooks.get(path.name))
        path.write_text(page, encoding='utf-8')
    rewrite(docs, '*.css', finish_css)
    rewrite(docs, 'smalldocs.js', finish_js)
    rewrite(docs, '*.llms.md', lambda text: re.sub(r'(_files/\S+)\.png', r'\1.webp', text))
    if (docs/'site_libs'/'smalldocs.js').exists():
        for unused in ('themes', 'bootstrap-icons', 'bootstrap', 'fuse'):
            shutil.rmtree(docs/'site_libs'/unused, ignore_errors=True)
    for script in ('site.js', 'touch.js'):
        shutil.copy2(ROOT/'tools'/script, docs)
    found = entries(docs, list(names.values()))
    (docs/'search.json').write_text(json.dumps(found, ensure_ascii=False), encoding='utf-8')
    shutil.copytree(ROOT/'nbs'/'results', docs/'nbs'/'results')
    for name in names:
        shutil.copy2(ROOT/'nbs'/name, docs/'nbs')
    shutil.make_archive(str(docs/'nbs'), 'zip', docs, 'nbs')
