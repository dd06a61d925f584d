"""检查笔记的写法：中文、导入独占单元格、第一个单元格、单元格长度。--self-test：检查规则自己。"""
import ast, json, re, statistics, sys, unicodedata
from pathlib import Path

NBS = Path(__file__).resolve().parent.parent/'nbs'
MAX_LINES = 40

TERMS = {  # 不用 → 用
    '要素地图': '特征图', '要素图': '特征图', '特征映射图': '特征图', '汇聚层': '池化层', '最大汇聚': '最大池化',
    '声道': '通道', '广阔的道路': '扩展路径', '扩张路径': '扩展路径', '膨胀路径': '扩展路径', '承包路径': '收缩路径',
    '逆卷积': '转置卷积', '反卷积': '转置卷积', '步长': '步幅', '感知野': '感受野', '感受域': '感受野',
    '蒙版': '掩码', '遮罩': '掩码', '掩膜': '掩码', '掩模': '掩码', '跳跃式连接': '跳跃连接', '跳过连接': '跳跃连接', '跳连': '跳跃连接',
    '编码机': '编码器', '解码机': '解码器', '象素': '像素', '互熵': '交叉熵', '权值图': '权重图', '弹性变形': '弹性形变',
    '数据增广': '数据增强', '数据扩充': '数据增强', '重叠平铺': '重叠切块', '镜像填补': '镜像填充', '纪元': '轮', '批次': '批量',
    '学习速率': '学习率', '冲量': '动量', '丢弃法': '随机失活', '暂退法': '随机失活', '检查站': '检查点', '并交比': '交并比',
}

HAN = r'\u3400-\u9fff'
WIDE = HAN + r'\u3000-\u303f\uff00-\uffef'  # 汉字和全角标点（弯引号英文也用，不算）
CODE, MATH = '\ue000', '\ue001'             # 行内代码、公式的占位


def prose(lines):
    "去掉代码块、公式块、行内代码、公式、链接地址和 HTML 标记；行数不变"
    text = '\n'.join(lines)
    def blank(m): return '\n'*m[0].count('\n')
    text = re.sub(r'^ *(```+|~~~+).*?^ *\1 *$', blank, text, flags=re.S | re.M)
    text = re.sub(r'(`+)(?!`).*?(?<!`)\1(?!`)', CODE, text)
    text = re.sub(r'\$\$.*?\$\$', blank, text, flags=re.S)
    text = re.sub(r'(?<![\\$])\$(?=\S)[^$\n]+\$', MATH, text)
    text = re.sub(r'<!--.*?-->', blank, text, flags=re.S)
    text = re.sub(r'<[^<>\n]+>', '', text)
    text = re.sub(r'!?\[([^\]\n]*)\]\([^)\n]*\)', r'\1', text)
    text = re.sub(r'https?://[!-~]+', CODE, text)
    text = re.sub(r'\{[#.][^}\n]*\}', '', text)
    return text.split('\n')

def bold_problems(line):
    "加粗的两端：句末标点在里面，或者标点挨着字而渲染不出来"
    def punct(c): return unicodedata.category(c)[0] in 'PS' or c in CODE + MATH
    def char(c): return bool(c) and not c.isspace() and not punct(c)
    pieces = line.split('**')
    for i in range(1, len(pieces) - 1, 2):
        before, inside, after = pieces[i - 1][-1:], pieces[i], pieces[i + 1][:1]
        if inside[-1:] in tuple('，。：；！？、,.:;!?'): yield f'**{inside}** → 把标点移到加粗外面'
        elif inside and (char(before) and punct(inside[0]) or punct(inside[-1]) and char(after)):
            yield f'{before}**{inside}**{after} → 加粗渲染不出来：标点或代码不要同时挨着星号和字'

def plain(line):
    "普通文字的一行：不是空行、标题、表格、列表、引用、围栏、图或 HTML"
    return bool(line.strip()) and not re.match(r'\s*(#|\||[-*+] |\d+[.)] |>|:::|```|!\[|<|\$\$|\[\^)', line)

def chinese(lines):
    "中文规则：逐行给出 (行号, 问题)"
    clean = prose(lines)
    for n, line in enumerate(clean, 1):
        for wrong, right in TERMS.items():
            if wrong in line: yield n, f'{wrong} → {right}'
        if '您' in line: yield n, '您 → 你'
        if re.search(r'(?<![申邀])请(?!求)', line): yield n, '不用“请”，直接说做什么'
        for problem in bold_problems(line): yield n, problem
        bare = re.sub(r'\*+|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])', '', line)
        for m in re.finditer(rf'[{WIDE}] +[A-Za-z0-9{MATH}]|[A-Za-z0-9{MATH}%] +[{WIDE}]', bare):
            yield n, f'“{m[0]}” → 中文与英文、数字、公式之间不留空格'
        for m in re.finditer(rf'.?(?:(?<=[{WIDE}])[,.:;?!()]|[,.:;?!()](?=[{WIDE}])|[,:;?!] +(?=[{HAN}])).?', bare):
            yield n, f'“{m[0]}” → 中文里用全角标点'
    for n, (a, b) in enumerate(zip(clean, clean[1:]), 1):
        a, b = re.sub(r'^\s*(> ?)+', '', a), re.sub(r'^\s*(> ?)+', '', b)
        if re.match(r'\s*(#|\||:::|<|!\[)', a) or not a.strip() or a.endswith(('  ', '\\')) or not plain(b): continue
        if re.search(rf'[{WIDE}]$', a) or re.match(rf'\s*[{WIDE}]', b):
            yield n, '一段写成一行：段内换行会显示成空格'

def directives(source):
    "单元格的 `#|` 指令"
    return {m[1]: m[2].strip() for m in re.finditer(r'^#\|\s*([\w-]+):?(.*)$', source, re.M)}

def imports(source):
    "导入规则：建网站时会单独重跑含 import 的单元格"
    d = directives(source)
    if d.get('eval') == 'false': return
    try: body = ast.parse(re.sub(r'^[%!].*$', '', source, flags=re.M)).body
    except SyntaxError as e:
        yield e.lineno, f'不是 Python：{e.msg}'
        return
    def is_import(node): return isinstance(node, (ast.Import, ast.ImportFrom))
    exported = d.keys() & {'export', 'exports', 'exporti'}
    found = [o for tree in body for o in ([tree] if exported else ast.walk(tree)) if is_import(o)]
    if found and not all(map(is_import, body)): yield found[0].lineno, '把 import 移到只有导入的单元格'

def code_lines(source):
    "代码行数：不算空行和指令"
    return sum(bool(l.strip()) and not l.startswith('#|') for l in source.splitlines())

def code_cell(source):
    "一个代码单元格的问题"
    yield from imports(source)
    if (n := code_lines(source)) > MAX_LINES: yield 1, f'{n} 行 → 拆到 {MAX_LINES} 行以内'
    for n, line in enumerate(source.splitlines(), 1):
        if m := re.match(r'#\|\s*(?:fig|tbl)-cap:(.*)', line): yield from ((n, o) for _, o in chinese([m[1].strip().strip('"\'')]))

def notebook(nb):
    "一本笔记的问题：(单元格, 行, 问题)"
    for i, cell in enumerate(nb['cells'], 1):
        if cell['cell_type'] == 'markdown' and isinstance(cell['source'], str):
            yield i, 1, 'source 是一个字符串 → 存成一行一项的列表，像 Jupyter 那样'
        source = ''.join(cell['source'])
        lines = source.split('\n')
        if i == 1:
            kept = [l for l in lines if l.strip()]
            if cell['cell_type'] != 'markdown' or [l[:2] for l in kept] != ['# ', '> ']:
                yield i, 1, '第一个单元格只写两行：# 标题，> 一句话'
            if ':' in source: yield i, 1, '第一个单元格里的半角冒号会变成 YAML → 用全角冒号'
        if cell['cell_type'] == 'markdown': yield from ((i, *o) for o in chinese(lines))
        if cell['cell_type'] == 'code': yield from ((i, *o) for o in code_cell(source))

def main():
    "检查所有笔记，打印问题和代码单元格的长度"
    bad, rows = 0, []
    for path in sorted(NBS.glob('*.ipynb')):
        nb = json.loads(path.read_text(encoding='utf-8'))
        for cell, line, problem in notebook(nb):
            print(f'  {path.name} 单元格 {cell} 第 {line} 行：{problem}')
            bad += 1
        sizes = [code_lines(''.join(c['source'])) for c in nb['cells'] if c['cell_type'] == 'code']
        if sizes: rows.append(f'  {path.stem:<16}{len(sizes):>4}{statistics.median(sizes):>8g}{max(sizes):>6}')
    print('  代码单元格        个数  中位行数  最长', *rows, sep='\n')
    return bool(bad)


# 每条规则一个坏样本

BAD = {
    '您': ['您好'], '请': ['请看'], '特征图': ['得到要素地图'], '不留空格': ['用 U-Net分割'], '中文与英文': ['共23 层'], '公式之间': ['其中 $x$是输入'],
    '全角': ['先卷积,再池化'], '全角标点': ['如下(见图)'], '用全角': ['See U-Net, 然后训练'], '一段写成一行': ['这一段被', '断成了两行'],
    '显示成空格': ['> 引用也', '> 不断行'], '移到加粗外面': ['**真，**她'], '渲染不出来': ['用**`UNet`**训练'],
}
GOOD = [
    '# 标题', '', '我们用U-Net（2015）把**前景**与*背景*分开，见[第2节](https://x.org/a b?c=1:2)。', '', '尺寸是 `(1, 388, 388)`，即$388 = 572 - 184$个像素。', '',
    '- 第一项', '- 第二项，含`a: b`', '1. 先 `make demo`', '', '| 名字 | 值 |', '|---|---|', '| 步 | 1 |', '', '```text', '步长 is 您, 请(看)', '```', '',
    '$$', 'x, y: 请', '$$', '', '> 一句引用。', '', 'A short English paragraph: it is fine, (really).', 'And wrapped too.',
]

def self_test():
    "坏样本每个都要被发现，好样本不能被误报"
    for message, lines in BAD.items(): assert any(message in o for _, o in chinese(lines)), (message, lines)
    assert not list(chinese(GOOD)), list(chinese(GOOD))
    for source in ('import os\nx = 1', 'def f():\n    import os', '#| export\nimport os\ndef f(): pass', 'f('): assert list(imports(source)), source
    for source in ('#| hide\nimport os\nfrom a import b', '#| export\ndef f():\n    import os', 'x = 1', '#| eval: false\nimport os\nx = 1', '%matplotlib inline\nimport os'):
        assert not list(imports(source)), source
    assert list(code_cell('x = 1\n'*41)) and not list(code_cell('#| label: fig-a\n' + 'x = 1\n'*40))
    assert list(code_cell('#| fig-cap: "图 1"\nx')) and not list(code_cell('#| fig-cap: "一幅图"\nx'))
    def nb(first, kind='markdown'): return {'cells': [{'cell_type': kind, 'source': first}]}
    for first in (['# 标题'], ['# 标题\n', '> 一句话\n', '更多'], ['# 标题\n', '> a: b'], '# 标题\n> 一句话'): assert list(notebook(nb(first))), first
    assert list(notebook(nb(['# 标题\n', '> 一句话'], 'code'))) and not list(notebook(nb(['# 标题\n', '\n', '> 一句话：好'])))


if __name__ == '__main__': sys.exit(self_test() if '--self-test' in sys.argv else main())
