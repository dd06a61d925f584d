"""渲染之后：公式变成 MathML，界面变成中文，不向外面的服务器要东西，放进可下载的笔记。两种渲染器都经过这里。"""
import html, re, shutil
from pathlib import Path

from latex2mathml.converter import convert

ROOT = Path(__file__).resolve().parent.parent

WORDS = {  # smalldocs 的界面只有英文；Quarto 按 lang 自己翻译
    'Search': '搜索', 'No results': '没有结果', 'Copy to Clipboard': '复制到剪贴板', 'Copied!': '已复制', 'Anchor': '本节的链接',
    'Toggle dark mode': '切换深色与浅色', 'Toggle navigation': '展开或收起菜单', 'Toggle sidebar navigation': '展开或收起目录',
    'breadcrumb': '当前位置', 'Note': '注释', 'Tip': '提示', 'Warning': '警告', 'Important': '重要', 'Caution': '小心',
}
THIN = '<mspace width="0.167em"></mspace>'


def formulas(page):
    "smalldocs 留给 KaTeX 的公式变成 MathML（Quarto 的已经是）；函数名两边补上 TeX 有而 MathML 没有的空隙"
    def mathml(m):
        text = convert(html.unescape(m[2]), display={'inline': 'inline', 'display': 'block'}[m[1]])
        text = re.sub(r'<mo[^>]*>(&#x0002F;|&#x0007C;)</mo>', r'<mi>\1</mi>', text)                     # 斜杠和竖线两边不空
        return re.sub(r'((?:&#x0003D;|&#x00028;)</mo>)<mo>(&#x02212;)</mo>', r'\1<mi>\2</mi>', text)  # 负号不是减号
    def name(m): return f'{THIN}<mi>{m[1]}</mi>{m[2] or ""}{THIN if m[3] else ""}'
    page = re.sub(r'<span class="math (inline|display)">\\[(\[](.*?)\\[)\]]</span>', mathml, page, flags=re.S)
    page = re.sub(r'<m[io][^>]*>([a-z]{2,})</m[io]>(<mo>&#8289;</mo></mrow>)?(?=(<m[in])|)', name, page)
    inline = r'(?:<span class="math inline">)?<math(?:(?!</math>).)*</math>(?:</span>)?'
    return re.sub(rf'({inline}[，。；：、）！？”]+)', r'<span class="text-nowrap">\1</span>', page)  # 标点不落到下一行的开头

def chinese(page):
    "界面上的英文换成中文"
    words = '|'.join(map(re.escape, WORDS))
    return re.sub(rf'((?:title|aria-label|placeholder)="|callout-title-container flex-fill">\s*)({words})(?=["<\s])', lambda m: m[1] + WORDS[m[2]], page)

def finish(docs, names):
    "加工 docs 里的网页、样式和脚本；names 里的每本笔记放进 nbs/，并打成 nbs.zip"
    for path in docs.rglob('*.html'):
        page = chinese(formulas(path.read_text(encoding='utf-8')))
        path.write_text(re.sub(r'<(link|script)\b[^>]*\bkatex\b[^>]*>(</script>)?', '', page), encoding='utf-8')
    for path in docs.rglob('*.css'):  # Bootswatch 的主题一开头就要谷歌的字体
        css = path.read_text(encoding='utf-8')
        path.write_text(re.sub(r'@import\s*(url\()?\s*["\']?https?://[^)"\']*["\']?\)?[^;]*;', '', css), encoding='utf-8')
    for path in docs.rglob('smalldocs.js'):
        js = path.read_text(encoding='utf-8')
        path.write_text(re.sub(r'(?<=[">])(Copied!|Copy to Clipboard|Anchor|No results)(?=["<])', lambda m: WORDS[m[1]], js), encoding='utf-8')
    shutil.copytree(ROOT/'nbs'/'results', docs/'nbs'/'results')
    for name in names: shutil.copy2(ROOT/'nbs'/name, docs/'nbs')
    shutil.make_archive(str(docs/'nbs'), 'zip', docs, 'nbs')
