"""检查笔记和工具的写法：中文、宽度、一行一句、导入、标题、图的说明。

--self-test：检查规则自己；--table：每本笔记的字数、分钟、疏密；
--nbs DIR：看别处的笔记（另一份检出）。
"""
import argparse
import ast
import json
import re
import sys
import unicodedata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 100  # 列；一个汉字算两列

TERMS = {  # 不用 → 用
    '要素地图': '特征图', '要素图': '特征图', '特征映射图': '特征图', '汇聚层': '池化层',
    '最大汇聚': '最大池化', '声道': '通道', '广阔的道路': '扩展路径', '扩张路径': '扩展路径',
    '膨胀路径': '扩展路径', '承包路径': '收缩路径', '逆卷积': '转置卷积', '反卷积': '转置卷积',
    '步长': '步幅', '感知野': '感受野', '感受域': '感受野', '蒙版': '掩码', '遮罩': '掩码',
    '掩膜': '掩码', '掩模': '掩码', '跳跃式连接': '跳跃连接', '跳过连接': '跳跃连接',
    '跳连': '跳跃连接', '编码机': '编码器', '解码机': '解码器', '象素': '像素', '互熵': '交叉熵',
    '权值图': '权重图', '弹性变形': '弹性形变', '数据增广': '数据增强', '数据扩充': '数据增强',
    '重叠平铺': '重叠切块', '镜像填补': '镜像填充', '纪元': '轮', '批次': '批量',
    '学习速率': '学习率', '冲量': '动量', '丢弃法': '随机失活', '暂退法': '随机失活',
    '检查站': '检查点', '并交比': '交并比',
}

HAN = r'\u3400-\u9fff'
WIDE = HAN + r'\u3000-\u303f\uff00-\uffef'  # 汉字和全角标点（弯引号英文也用，不算）
CODE, MATH = '\ue000', '\ue001'             # 行内代码、公式的占位


# 中文

def prose(lines):
    "去掉代码块、公式块、行内代码、公式、链接地址和 HTML 标记；行数不变"
    text = '\n'.join(lines)

    def blank(m):
        return '\n'*m[0].count('\n')

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


def punct(c):
    "标点、符号，或者行内代码、公式的占位"
    return unicodedata.category(c)[0] in 'PS' or c in CODE + MATH


def is_char(c):
    "一个字：不是空白，不是标点"
    return bool(c) and not c.isspace() and not punct(c)


def bold_problems(line):
    "加粗的两端：句末标点在里面，或者标点挨着字而渲染不出来"
    pieces = line.split('**')
    for i in range(1, len(pieces) - 1, 2):
        before, inside, after = pieces[i - 1][-1:], pieces[i], pieces[i + 1][:1]
        if inside[-1:] in tuple('，。：；！？、,.:;!?'):
            yield f'**{inside}** → 把标点移到加粗外面'
            continue
        if not inside:
            continue
        if is_char(before) and punct(inside[0]) or punct(inside[-1]) and is_char(after):
            yield f'{before}**{inside}**{after} → 加粗渲染不出来：标点或代码不要同时挨着星号和字'


def plain(line):
    "普通文字的一行：不是空行、标题、表格、列表、引用、围栏、图或 HTML"
    mark = r'\s*(#|\||[-*+] |\d+[.)] |>|:::|```|!\[|<|\$\$|\[\^)'
    return bool(line.strip()) and not re.match(mark, line)


SPACED = rf'[{WIDE}] +[A-Za-z0-9{MATH}]|[A-Za-z0-9{MATH}%] +[{WIDE}]'
HALF = rf'.?(?:(?<=[{WIDE}])[,.:;?!()]|[,.:;?!()](?=[{WIDE}])|[,:;?!] +(?=[{HAN}])).?'


def chinese_line(line):
    "一行的中文规则"
    for wrong, right in TERMS.items():
        if wrong in line:
            yield f'{wrong} → {right}'
    if '您' in line:
        yield '您 → 你'
    if re.search(r'(?<![申邀])请(?!求)', line):
        yield '不用“请”，直接说做什么'
    yield from bold_problems(line)
    bare = re.sub(r'\*+|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])', '', line)
    for m in re.finditer(SPACED, bare):
        yield f'“{m[0]}” → 中文与英文、数字、公式之间不留空格'
    for m in re.finditer(HALF, bare):
        yield f'“{m[0]}” → 中文里用全角标点'


def chinese(lines):
    "中文规则：逐行给出 (行号, 问题)"
    clean = prose(lines)
    for n, line in enumerate(clean, 1):
        for problem in chinese_line(line):
            yield n, problem
    clean = [re.sub(r'^\s*(> ?)+', '', line) for line in clean]
    for n, (line, following) in enumerate(zip(clean, clean[1:]), 1):
        ends = not line.strip() or line.endswith(('  ', '\\'))
        if ends or re.match(r'\s*(#|\||:::|<|!\[)', line) or not plain(following):
            continue
        if re.search(rf'[{WIDE}]$', line) or re.match(rf'\s*[{WIDE}]', following):
            yield n, '一段写成一行：段内换行会显示成空格'


# Python

def columns(line):
    "一行有几列：汉字和全角标点算两列"
    return sum(1 + (ord(c) > 0x2e7f) for c in line)


def directives(source):
    "单元格的 `#|` 指令"
    found = re.finditer(r'^#\|\s*([\w-]+):?(.*)$', source, re.M)
    return {m[1]: m[2].strip() for m in found}


def python(source):
    "代码里的 Python：不算 IPython 的魔法命令；行数不变"
    return re.sub(r'^[%!].*$', 'pass', source, flags=re.M)


def is_import(node):
    return isinstance(node, (ast.Import, ast.ImportFrom))


def is_heading(node):
    "函数、类、循环、分支的头"
    return isinstance(node, ast.stmt) and bool(getattr(node, 'body', None))


COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def blocks(tree):
    "各个语句块：`(谁的, 各句)`"
    for node in ast.walk(tree):
        for name in ('body', 'orelse', 'finalbody'):
            found = getattr(node, name, None)
            if isinstance(found, list) and found:  # 表达式里的条件、lambda不是
                yield node, found


def statements(tree):
    "一行一句：同一行开始的第二句，也包括跟在冒号后面的"
    taken = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            taken.setdefault(node.lineno, []).append(node)
    for line, nodes in taken.items():
        if len(nodes) > 1:
            yield line, '一行只写一句'
    for _, block in blocks(tree):
        for before, after in zip(block, block[1:]):
            if before.end_lineno == after.lineno and before.lineno != after.lineno:
                yield after.lineno, '一行只写一句'


def crowded(tree, lines):
    "`else: x`、`try: x`、`case …: x`这样跟在冒号后面的一句"
    for node, (first, *_) in blocks(tree):
        before = lines[first.lineno - 1].encode()[:first.col_offset].decode()
        elif_ = isinstance(first, ast.If) and lines[first.lineno - 1].strip().startswith('elif')
        if before.strip() and not elif_ and not isinstance(node, ast.Module):
            yield first.lineno, '一行只写一句：冒号后面换行'


def expressions(tree):
    "表达式的规则：不给 lambda 起名，推导式不套推导式，不用海象"
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Lambda):
            yield node.lineno, '给 lambda 起了名 → 用 def'
        if isinstance(node, ast.NamedExpr):
            yield node.lineno, '海象 := → 先赋值，再用'
        if isinstance(node, COMPREHENSIONS):
            inner = [o for o in ast.walk(node) if isinstance(o, COMPREHENSIONS) and o is not node]
            if inner:
                yield node.lineno, '推导式里还有推导式 → 用循环，或先起个名字'


def code_style(source):
    "代码的写法：(行号, 问题)"
    lines = source.splitlines()
    for n, line in enumerate(lines, 1):
        if not line.startswith('#|') and columns(line) > WIDTH:
            yield n, f'{columns(line)} 列 → 折到 {WIDTH} 列以内'
    try:
        tree = ast.parse(python(source))
    except SyntaxError as e:
        yield e.lineno, f'不是 Python：{e.msg}'
        return
    found = {*statements(tree), *crowded(tree, lines), *expressions(tree)}
    seen = set()
    for n, problem in sorted(found):
        kind = n, problem.split('：')[0]
        if kind not in seen:
            yield n, problem
        seen.add(kind)


# 单元格

def imports(source):
    "导入规则：建网站时会单独重跑含 import 的单元格；只有导入的单元格在网页上折起来"
    d = directives(source)
    if d.get('eval') == 'false':
        return
    try:
        body = ast.parse(python(source)).body
    except SyntaxError:
        return  # code_style 会说
    if d.keys() & {'export', 'exports', 'exporti'}:  # 导出的函数里可以有
        found = [node for node in body if is_import(node)]
    else:
        found = [node for tree in body for node in ast.walk(tree) if is_import(node)]
    rest = [node for node in body if not is_import(node) and not isinstance(node, ast.Pass)]
    if found and rest:
        yield found[0].lineno, '把 import 移到只有导入的单元格'
    shown = d.get('echo') != 'false' and not d.keys() & {'hide', 'exporti'}
    if found and not rest and shown and d.get('code-fold') != 'true':
        yield 1, '导入折起来 → 开头写 #| code-fold: true 和 #| code-summary: "导入"'


def code_cell(source):
    "一个代码单元格的问题"
    yield from imports(source)
    yield from code_style(source)
    d = directives(source)
    if d.get('label', '').startswith('fig-'):
        for key in ('fig-cap', 'fig-alt'):
            if not d.get(key):
                yield 1, f'图没有 #| {key}'
    for n, line in enumerate(source.splitlines(), 1):
        caption = re.match(r'#\|\s*(?:fig-cap|tbl-cap|fig-alt|code-summary):(.*)', line)
        if caption:
            for _, problem in chinese([caption[1].strip().strip('"\'')]):
                yield n, problem


def headings(lines):
    "标题自成一格"
    clean = prose(lines)
    kept = [line for line in clean if line.strip()]
    for n, line in enumerate(clean, 1):
        if re.match(r'#{2,} ', line) and len(kept) > 1:
            yield n, '标题自成一格：这一格里只留标题'


def first_cell(cell):
    "第一个单元格：标题和一句话"
    source = ''.join(cell['source'])
    kept = [line for line in source.split('\n') if line.strip()]
    if cell['cell_type'] != 'markdown' or [line[:2] for line in kept] != ['# ', '> ']:
        yield 1, '第一个单元格只写两行：# 标题，> 一句话'
    if ':' in source:
        yield 1, '第一个单元格里的半角冒号会变成 YAML → 用全角冒号'


def cell_problems(cell):
    "一个单元格的问题"
    source = ''.join(cell['source'])
    if cell['cell_type'] == 'code':
        yield from code_cell(source)
    if cell['cell_type'] == 'markdown':
        if isinstance(cell['source'], str):
            yield 1, 'source 是一个字符串 → 存成一行一项的列表，像 Jupyter 那样'
        lines = source.split('\n')
        yield from chinese(lines)
        yield from headings(lines)


def notebook(nb):
    "一本笔记的问题：(单元格, 行, 问题)"
    for line, problem in first_cell(nb['cells'][0]):
        yield 1, line, problem
    for i, cell in enumerate(nb['cells'], 1):
        for line, problem in cell_problems(cell):
            yield i, line, problem


# 全部

def read(path):
    "一本笔记"
    return json.loads(path.read_text(encoding='utf-8'))


def code_lines(source):
    "代码的行：不算空行和指令"
    return [line for line in source.splitlines() if line.strip() and not line.startswith('#|')]


def nodes(source):
    "语法树有几个节点"
    try:
        return sum(1 for _ in ast.walk(ast.parse(python(source))))
    except SyntaxError:
        return 0


def measure(cells):
    "一些单元格的字数、分钟、代码行数、节点数、太宽的行数、最长的单元格"
    markdown = [''.join(c['source']) for c in cells if c['cell_type'] == 'markdown']
    code = [''.join(c['source']) for c in cells if c['cell_type'] == 'code']
    counts = [len(code_lines(source)) for source in code]
    words = sum(map(len, markdown))
    long = [line for source in code for line in code_lines(source) if columns(line) > WIDTH]
    return {
        'cells': len(cells), 'chars': words + sum(map(len, code)),
        'minutes': words/300 + sum(counts)/12, 'lines': sum(counts),
        'nodes': sum(map(nodes, code)), 'wide': len(long), 'longest': max(counts, default=0),
    }


def table(folder):
    "每本笔记一行：字数、分钟（每分钟 300 字、12 行代码）、每行代码的节点数、太宽的行"
    print(f'  {"":16}{"格":>4}{"字符":>8}{"分钟":>6}{"代码行":>5}'
          f'{"节点/行":>7}{"超宽":>6}{"最长":>6}')
    total = dict.fromkeys(measure([]), 0)
    paths = sorted(folder.glob('*.ipynb'))
    rows = [(path.stem, measure(read(path)['cells'])) for path in paths]
    for _, row in rows:
        for key in total:
            total[key] = max(total[key], row[key]) if key == 'longest' else total[key] + row[key]
    for name, row in [*rows, ('合计', total)]:
        density = row['nodes']/max(row['lines'], 1)
        name += ' '*(16 - columns(name))
        print(f'  {name}{row["cells"]:>5}{row["chars"]:>10,}{row["minutes"]:>8.1f}'
              f'{row["lines"]:>8}{density:>10.1f}{row["wide"]:>8}{row["longest"]:>8}')


def find(folder, names):
    "笔记和工具的问题，一行一个"
    for path in sorted(folder.glob('*.ipynb')):
        if names and not path.stem.startswith(tuple(names)):
            continue
        for cell, line, problem in notebook(read(path)):
            yield f'{path.name} 单元格 {cell} 第 {line} 行：{problem}'
    if names or folder != ROOT/'nbs':
        return
    for part in ('tools', 'benchmarks'):
        for path in sorted((ROOT/part).glob('*.py')):
            for line, problem in code_style(path.read_text(encoding='utf-8')):
                yield f'{part}/{path.name} 第 {line} 行：{problem}'


def main(args):
    "打印问题，或者表"
    if args.table:
        table(args.nbs)
        return False
    bad = list(find(args.nbs.resolve(), args.names))
    for problem in bad:
        print(f'  {problem}')
    print(f'  {len(bad)} 个问题')
    return bool(bad)


# 每条规则一个坏样本

BAD = {
    '您': ['您好'], '请': ['请看'], '特征图': ['得到要素地图'], '不留空格': ['用 U-Net分割'],
    '中文与英文': ['共23 层'], '公式之间': ['其中 $x$是输入'], '全角': ['先卷积,再池化'],
    '全角标点': ['如下(见图)'], '用全角': ['See U-Net, 然后训练'],
    '一段写成一行': ['这一段被', '断成了两行'], '显示成空格': ['> 引用也', '> 不断行'],
    '移到加粗外面': ['**真，**她'], '渲染不出来': ['用**`UNet`**训练'],
}
GOOD = [
    '# 标题', '', '我们用U-Net（2015）把**前景**与*背景*分开，见[第2节](https://x.org/a b?c=1:2)。',
    '', '尺寸是 `(1, 388, 388)`，即$388 = 572 - 184$个像素。', '', '- 第一项', '- 第二项，含`a: b`',
    '1. 先 `make demo`', '', '| 名字 | 值 |', '|---|---|', '| 步 | 1 |', '', '```text',
    '步长 is 您, 请(看)', '```', '', '$$', 'x, y: 请', '$$', '', '> 一句引用。', '',
    'A short English paragraph: it is fine, (really).', 'And wrapped too.',
]
BAD_CODE = {
    '100 列': ['x' * 101, '# ' + '宽' * 50], '不是 Python': ['f('],
    '一行只写一句': [
        'x = 1; y = 2', 'if x: y', 'for x in y: z', 'while x: y', 'with x: y',
        'def f(): return 1', 'def f(): "文档"', 'class A: pass', 'async def f(): x',
        'if x:\n    y\nelse: z', 'if x:\n    a\nelif y: b', 'for x in y:\n    a\nelse: b',
        'try: x\nfinally:\n    y', 'try:\n    x\nexcept E: y', 'try:\n    x\nfinally: y',
        'match x:\n    case 1: y', 'f(\n  1); g()', '%time\nif x: y',
    ],
    '用 def': ['f = lambda x: x', 'f: F = lambda: 0'],
    ':=': ['f(x := 1)'],
    '推导式': [
        '[[a for a in b] for b in c]', '{a: {b for b in a} for a in c}',
        'list(sum(x for x in y) for y in z)',
    ],
}
GOOD_CODE = [
    '#| fig-cap: "' + '宽' * 99 + '"\n' + 'x' * 100, 'x = y if z else w',
    'if x:\n    y\nelif z:\n    w\nelse:\n    v', 'f(\n    1,\n    2)\ng()',
    'sorted(a, key=lambda x: -x)', '[a for b in c for a in b]',
    'class A:\n    @property\n    def f(self):\n        pass', '@f\ndef g():\n    "一句"',
    'try:\n    x\nexcept E:\n    y\nelse:\n    z\nfinally:\n    w', '%matplotlib inline\nx = 1',
    'x = ' + '"'*3 + '\nif a: b; c\n' + '"'*3, 'match x:\n    case 1:\n        y',
    'with a, b:\n    c',
    'def f(): # 注\n    return 1',
]
FOLD = '#| code-fold: true\n#| code-summary: "导入"\n'
FIGURE = '#| label: fig-a\n#| fig-cap: "一幅图"\n'
BAD_CELLS = {
    '移到只有导入': [
        'import os\nx = 1', 'def f():\n    import os',
        '#| export\nimport os\ndef f():\n    pass',
    ],
    '折起来': ['import os', '#| export\nimport os\nfrom a import b'],
    'fig-alt': [FIGURE + 'x'],
    'fig-cap': ['#| label: fig-a\n#| fig-alt: "一幅图"\nx'],
    '不留空格': ['#| fig-cap: "图 1"\nx', '#| fig-alt: "图 1"\nx'],
}
GOOD_CELLS = [
    '#| hide\nimport os\nfrom a import b', FOLD + 'import os', '#| export\n' + FOLD + 'import os',
    FOLD + '%matplotlib inline\nimport os', '#| export\ndef f():\n    import os', 'x = 1',
    '#| eval: false\nimport os\nx = 1', '#| fig-cap: "一幅图"\nx', '#| label: tbl-a\nx',
    FIGURE + '#| fig-alt: "左边亮"\nx', 'x = 1\n'*60,
]
BAD_HEADINGS = [['## 甲', '', '文字'], ['文字', '', '### 乙'], ['## 甲', '### 乙']]
GOOD_HEADINGS = [
    ['## 甲'], ['### 乙', ''], ['# 甲', '> 乙'], ['文字', '```', '## 不是标题', '```'],
]


def found(rule, sample):
    "一条规则在一个样本上找到的问题"
    return [problem for _, problem in rule(sample)]


def catches(rule, bad, good):
    "坏样本每个都要被发现，好样本不能被误报"
    for message, samples in bad.items():
        for sample in samples:
            problems = found(rule, sample)
            assert any(message in problem for problem in problems), (message, sample, problems)
    for sample in good:
        assert not found(rule, sample), (sample, found(rule, sample))


def one_cell(source, kind='markdown'):
    "只有一个单元格的笔记"
    return {'cells': [{'cell_type': kind, 'source': source}]}


def self_test():
    "每条规则都试"
    catches(chinese, {message: [lines] for message, lines in BAD.items()}, [GOOD])
    catches(code_style, BAD_CODE, GOOD_CODE)
    catches(code_cell, BAD_CELLS, GOOD_CELLS)
    catches(headings, {'自成一格': BAD_HEADINGS}, GOOD_HEADINGS)
    title, line = '# 标题\n', '> 一句话\n'
    for first in ([title], [title, line, '更多'], [title, '> a: b'], title + line):
        assert list(notebook(one_cell(first))), first
    assert list(notebook(one_cell([title, line], 'code')))
    assert not list(notebook(one_cell([title, '\n', '> 一句话：好'])))
    row = measure([{'cell_type': 'markdown', 'source': ['字'*600]},
                   {'cell_type': 'code', 'source': ['#| hide\n', '\n', 'x = 1\n'*12]}])
    assert (row['minutes'], row['lines'], row['nodes']) == (3, 12, 1 + 12*4), row


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('names', nargs='*', help='只看这几章，例如05')
    parser.add_argument('--self-test', action='store_true')
    parser.add_argument('--table', action='store_true')
    parser.add_argument('--nbs', type=Path, default=ROOT/'nbs')
    args = parser.parse_args()
    sys.exit(self_test() if args.self_test else main(args))
