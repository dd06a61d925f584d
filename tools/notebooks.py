"""从上到下跑每本笔记，在 nbs/ 的副本里跑，不动工作区。

不带参数：比对这次的输出与存下的输出；--write：把这次的输出存进笔记；
--data DIR：在 DIR 里的数据上跑，只要求不出错；--slow：标了 `#| slow` 的单元格也跑。
"""
import argparse, json, os, re, shutil, subprocess, sys, tempfile, time, traceback
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path

from execnb.nbio import read_nb, write_nb
from nbdev.clean import nbdev_clean
from nbdev.config import get_config
from nbdev.process import NBProcessor

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT/'nbs'
SECONDS = NBS/'results'/'chapters.json'  # --write 时每本跑了几秒，首页用
FLAGS = set(get_config(path=ROOT).tst_flags.split())

JOBS = 2     # 同时跑两本
THREADS = 1  # 线程数影响浮点结果的末几位，所以存与比对用同一个数
# 小数在不同的处理器上末几位不同，经过训练还会放大：相差 2%，或接近零时相差 0.002，都算相同。
# 整数是尺寸与个数，必须相等；用整数写的百分数来自小数，按小数比。
RELATIVE, ABSOLUTE = 2e-2, 2e-3

NUMBER = re.compile(
    r'(?P<number>(?<![A-Za-z0-9_.])[-+−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d*)?(?:[eE][-+]?\d+)?'
    r'|(?<![A-Za-z0-9_])[-+]?(?:nan|inf)(?![A-Za-z0-9_]))'
    r'(?:(?P<time>\s*(?:毫秒|秒|分钟|(?:ms|µs|μs|s|min|it/s|steps/s)(?![A-Za-z])))|(?P<percent>\s*%))?')
BAR = re.compile(r'%\||\d+it \[|\?it/s')        # tqdm 的进度条
CURSOR = re.compile(r'\x1b\[[0-9;]*[A-K]')       # tqdm 在几条进度条之间移动光标
ADDRESS = re.compile(r' at 0x[0-9a-fA-F]+')
TEMP = re.compile(r'(?:/[\w.+-]+)*/tmp[a-z0-9_]{8}(?![a-z0-9_])')


# 输出

def without_bars(text):
    "去掉进度条；被 \\r 覆盖的行只留最后一次"
    lines = []
    for line in text.split('\n'):
        if not (BAR.search(line) or '\r' in line or CURSOR.search(line)): lines.append(line)
        else:
            seen = [s for s in CURSOR.sub('', line).split('\r') if s.strip() and not BAR.search(s)]
            lines += seen[-1:]
    return '\n'.join(lines) if any(l.strip() for l in lines) else ''

def stable(text):
    "去掉每次都不同的部分：进度条、内存地址、临时文件夹"
    return TEMP.sub('…', ADDRESS.sub('', without_bars(text))).replace(str(ROOT), '…')

def stable_outputs(outputs):
    "要存的输出：文字是稳定的，空的不存"
    res = []
    for o in outputs:
        if o['output_type'] == 'stream':
            o['text'] = stable(''.join(o['text'])).splitlines(True)
            if not o['text']: continue
        for k, v in o.get('data', {}).items():
            if k.startswith('text/'): o['data'][k] = stable(''.join(v)).splitlines(True)
        res.append(o)
    return res

def texts(outputs):
    "一个单元格的输出：类别 → 文字；图只记幅数"
    res, images = {}, 0
    for o in outputs:
        if o['output_type'] == 'error': items = {'error': f"{o['ename']}: {o['evalue']}"}
        else: items = {o['name']: o['text']} if o['output_type'] == 'stream' else o['data']
        for kind, v in items.items():
            if kind.startswith('image/'): images += 1
            elif text := stable(''.join(v)).rstrip(): res[kind] = res.get(kind, '') + text + '\n'
    return {**res, '图': f'{images} 幅'} if images else res

def words(line):
    "一行里数字以外的文字"
    return ' '.join(NUMBER.sub(lambda m: ' ⏱ ' if m['time'] else f" # {m['percent'] or ''}", line).split())

def numbers(line):
    "一行里要比对的数字：(写法, 是不是百分数)"
    return [(m['number'].replace(',', '').replace('−', '-'), m['percent']) for m in NUMBER.finditer(line) if not m['time']]

def close(a, b):
    "两个数字算不算相同"
    (x, percent), (y, _) = a, b
    if x == y: return True
    if not percent and re.fullmatch(r'[-+]?\d+', x) and re.fullmatch(r'[-+]?\d+', y): return int(x) == int(y)
    x, y = float(x), float(y)
    return abs(x - y) <= max(ABSOLUTE, RELATIVE*max(abs(x), abs(y)))

def differences(stored, fresh, chaotic):
    "比对一个单元格两次的输出：每个类别第一处不同"
    for kind in sorted(stored.keys() | fresh.keys()):
        for a, b in zip_longest(stored.get(kind, '').splitlines(), fresh.get(kind, '').splitlines(), fillvalue='（没有）'):
            if words(a) != words(b) or not (chaotic or all(map(close, numbers(a), numbers(b)))):
                yield f'{kind}\n    存下的：{a}\n    这次的：{b}'
                break


# 在单独的进程里跑一本

def skipped(cell, slow):
    "这个单元格不跑吗：markdown、`#| eval: false`，以及没有 --slow 时的 `#| slow`"
    d = cell.directives_
    return cell.cell_type != 'code' or d.get('eval:') == ['false'] or not slow and bool(FLAGS & d.keys())

def own_traceback(exc):
    "异常的回溯，去掉 IPython 自己的几层"
    te = traceback.TracebackException.from_exception(exc)
    te.stack = traceback.StackSummary.from_list([f for f in te.stack if 'IPython/core' not in f.filename])
    return ''.join(te.format())

def execute(path, slow):
    "跑一本笔记，输出写回同一个文件；返回跑了的单元格数，和出错时的 (哪里, 说明)"
    from execnb.shell import CaptureShell
    nb = NBProcessor(path, rm_directives=False).nb
    shell = CaptureShell(mpl_format='png')
    shell.run_cell("import matplotlib; matplotlib.rcParams['figure.dpi'] = 100")
    ran, error = 0, None
    for n, cell in enumerate(nb.cells, 1):
        if skipped(cell, slow): continue
        cell.outputs = []
        shell.cell(cell)
        ran += 1
        if shell.exc:
            error = f'的单元格 {n}', f'{cell.source}\n\n{own_traceback(shell.exc)}'
            break
    write_nb(nb, path)
    return ran, error

def run(path, args):
    "在副本和单独的进程里跑一本笔记；返回跑完的笔记、跑了的单元格数、出错处、秒数"
    start = time.time()
    with tempfile.TemporaryDirectory() as tmp:
        copy = Path(tmp)/'nbs'
        shutil.copytree(NBS, copy, ignore=shutil.ignore_patterns('.*', 'Datasets', 'runs'))
        env = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': str(THREADS), 'TMPDIR': tmp}
        env.pop('UNET_REPRO_DATA', None)
        if args.data: env['UNET_REPRO_DATA'] = str(args.data.resolve())
        p = subprocess.run([sys.executable, __file__, *['--slow']*args.slow, '--execute', path.name], cwd=copy, env=env,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                           text=True, encoding='utf-8', errors='replace')
        result = Path(tmp)/'result.json'
        if result.exists(): ran, error = json.loads(result.read_text(encoding='utf-8'))
        else: ran, error = 1, ('的进程', f'意外结束，退出码 {p.returncode}\n{p.stderr[-3000:]}')
        return read_nb(copy/path.name), ran, error, time.time() - start


# 全部

def report(path, nb, error, compare):
    "打印一本笔记的问题；返回没通过的单元格数和比对过的输出数"
    if error:
        print(f'\n{path.name} {error[0]}出错：\n{error[1]}')
        return 1, 0
    failed = compared = 0
    if compare:
        for n, (old, new) in enumerate(zip(read_nb(path).cells, nb.cells), 1):
            if old.cell_type != 'code': continue
            stored, fresh = texts(old.outputs), texts(new.outputs)
            chaotic = re.search(r'^#\|\s*numbers:\s*chaotic', old.source, re.M)
            diffs = list(differences(stored, fresh, chaotic))
            compared += len(stored.keys() | fresh.keys())
            failed += bool(diffs)
            for d in diffs: print(f'\n{path.name} 的单元格 {n} 输出变了：{d}')
    return failed, compared

def save(path, nb):
    "把一本笔记这次的输出存进 nbs/"
    for cell in nb.cells:
        if cell.cell_type == 'code': cell.outputs = stable_outputs(cell.outputs)
    write_nb(nb, path)
    nbdev_clean.__wrapped__(str(path))

def main():
    "跑选中的笔记，最后打印总数"
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('names', nargs='*', help='只跑这几本，例如 01_model；不写就全跑')
    ap.add_argument('--write', action='store_true', help='把这次的输出存进笔记')
    ap.add_argument('--data', type=Path, help='数据集所在的文件夹')
    ap.add_argument('--slow', action='store_true', help='慢的单元格也跑')
    ap.add_argument('--execute', help=argparse.SUPPRESS)  # 子进程
    args = ap.parse_args()
    if args.execute:
        sys.path[0] = ''  # 像 Jupyter 一样从当前文件夹导入，而不是从 tools/
        Path('../result.json').write_text(json.dumps(execute(args.execute, args.slow)), encoding='utf-8')
        return 0

    os.chdir(ROOT)
    paths = [NBS/f'{Path(n).stem}.ipynb' for n in args.names] or sorted(NBS.glob('*.ipynb'))
    ran, failed, compared, took = 0, 0, 0, {}
    with ThreadPoolExecutor(JOBS) as pool:
        for path, (nb, n, error, seconds) in zip(paths, pool.map(lambda p: run(p, args), paths)):
            bad, c = report(path, nb, error, compare=not (args.write or args.data))
            if args.write and not error: save(path, nb); took[path.stem] = round(seconds)
            print(f'  {path.stem}：{n} 个单元格，{seconds:.0f} 秒', flush=True)
            ran, failed, compared = ran + n, failed + bad, compared + c
    if args.write: SECONDS.write_text(json.dumps({**json.loads(SECONDS.read_text()), **took}, indent=1, sort_keys=True) + '\n')
    print(f'{len(paths)} 本笔记，跑了 {ran} 个单元格，{failed} 个没通过，比对了 {compared} 处输出')
    return bool(failed)


if __name__ == '__main__': sys.exit(main())
