"""从上到下跑每本笔记，在 nbs/ 的副本里跑，不动工作区。

不带参数：比对这次的输出与存下的输出；--write：把这次的输出存进笔记；
--data DIR：改在 DIR 里的数据上跑，只要求不出错；--also DIR：比对之外，用到数据的再在那里跑一遍；
--slow：标了 `#| slow` 的单元格也跑。标了 `#| data: any` 的换了数据也一样，在 DIR 的数据上不跑；
标了 `#| fig-format: svg` 的图存成 SVG。
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import zip_longest
from pathlib import Path

from execnb.nbio import read_nb, write_nb
from nbdev.clean import nbdev_clean
from nbdev.config import get_config
from nbdev.process import NBProcessor

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT/'nbs'
SECONDS = NBS/'results'/'chapters.json'  # --write 时每本的处理器时间，秒：首页用，排先后也用
FLAGS = set(get_config(path=ROOT).tst_flags.split())

JOBS = 2      # 同时跑两本
THREADS = 1   # 线程数影响浮点结果的末几位，所以存与比对用同一个数
UNKNOWN = 60  # 没量过的一本，当它要这么多秒
COSTLY = 10   # 秒；一个单元格用了这么久，就说出来
# 小数在不同的处理器上末几位不同，经过训练还会放大：相差 2%，或接近零时相差 0.002，都算相同。
# 整数是尺寸与个数，必须相等；用整数写的百分数来自小数，按小数比。
RELATIVE, ABSOLUTE = 2e-2, 2e-3

NUMBER = re.compile(
    r'(?P<number>(?<![A-Za-z0-9_.])[-+−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d*)?'
    r'(?:[eE][-+]?\d+)?|(?<![A-Za-z0-9_])[-+]?(?:nan|inf)(?![A-Za-z0-9_]))'
    r'(?:(?P<time>\s*(?:毫秒|秒|分钟|(?:ms|µs|μs|s|min|it/s|steps/s)(?![A-Za-z])))'
    r'|(?P<percent>\s*%))?')
BAR = re.compile(r'%\||\d+it \[|\?it/s')        # tqdm 的进度条
CURSOR = re.compile(r'\x1b\[[0-9;]*[A-K]')       # tqdm 在几条进度条之间移动光标
ADDRESS = re.compile(r' at 0x[0-9a-fA-F]+')
TEMP = re.compile(r'(?:/[\w.+-]+)*/tmp[a-z0-9_]{8}(?![a-z0-9_])')
DATA = re.compile(r'find_data|UNET_REPRO_DATA|\bunet_(?:data|train|predict|evaluate|doctor)\b')


# 输出

def without_bars(text):
    "去掉进度条；被 \\r 覆盖的行只留最后一次"
    lines = []
    for line in text.split('\n'):
        if not (BAR.search(line) or '\r' in line or CURSOR.search(line)):
            lines.append(line)
            continue
        pieces = CURSOR.sub('', line).split('\r')
        lines += [piece for piece in pieces if piece.strip() and not BAR.search(piece)][-1:]
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
            if not o['text']:
                continue
        for kind, text in o.get('data', {}).items():
            if kind.startswith('text/'):
                o['data'][kind] = stable(''.join(text)).splitlines(True)
        res.append(o)
    return res


def items(output):
    "一个输出的各个类别"
    if output['output_type'] == 'error':
        return {'error': f"{output['ename']}: {output['evalue']}"}
    if output['output_type'] == 'stream':
        return {output['name']: output['text']}
    return output['data']


def texts(outputs):
    "一个单元格的输出：类别 → 文字；图只记幅数"
    res, images = {}, 0
    for output in outputs:
        for kind, value in items(output).items():
            if kind.startswith('image/'):
                images += 1
                continue
            text = stable(''.join(value)).rstrip()
            if text:
                res[kind] = res.get(kind, '') + text + '\n'
    return {**res, '图': f'{images} 幅'} if images else res


def words(line):
    "一行里数字以外的文字"
    def blank(m):
        return ' ⏱ ' if m['time'] else f" # {m['percent'] or ''}"

    return ' '.join(NUMBER.sub(blank, line).split())


def numbers(line):
    "一行里要比对的数字：(写法, 是不是百分数)"
    found = [m for m in NUMBER.finditer(line) if not m['time']]
    return [(m['number'].replace(',', '').replace('−', '-'), m['percent']) for m in found]


def close(a, b):
    "两个数字算不算相同"
    (x, percent), (y, _) = a, b
    if x == y:
        return True
    whole = r'[-+]?\d+'
    if not percent and re.fullmatch(whole, x) and re.fullmatch(whole, y):
        return int(x) == int(y)
    x, y = float(x), float(y)
    return abs(x - y) <= max(ABSOLUTE, RELATIVE*max(abs(x), abs(y)))


def same(a, b, chaotic):
    "两行算不算相同"
    return words(a) == words(b) and (chaotic or all(map(close, numbers(a), numbers(b))))


def differences(stored, fresh, chaotic):
    "比对一个单元格两次的输出：每个类别第一处不同"
    for kind in sorted(stored.keys() | fresh.keys()):
        old, new = stored.get(kind, '').splitlines(), fresh.get(kind, '').splitlines()
        for a, b in zip_longest(old, new, fillvalue='（没有）'):
            if not same(a, b, chaotic):
                yield f'{kind}\n    存下的：{a}\n    这次的：{b}'
                break


# 在单独的进程里跑一本

def skipped(cell, slow, real):
    "不跑的：markdown、`#| eval: false`、没有 --slow 时的 `#| slow`，真实数据上的 `#| data: any`"
    d = cell.directives_
    if cell.cell_type != 'code' or d.get('eval:') == ['false']:
        return True
    return not slow and bool(FLAGS & d.keys()) or real and d.get('data:') == ['any']


def own_traceback(exc):
    "异常的回溯，去掉 IPython 自己的几层"
    te = traceback.TracebackException.from_exception(exc)
    frames = [frame for frame in te.stack if 'IPython/core' not in frame.filename]
    te.stack = traceback.StackSummary.from_list(frames)
    return ''.join(te.format())


def processor():
    "这个进程和它等过的子进程用了处理器几秒；别的程序再忙也不变"
    return sum(os.times()[:4])


def figure_format(cell):
    "图存成PNG；标了`#| fig-format: svg`的示意图存成SVG，里面不写日期"
    svg = cell.directives_.get('fig-format:') == ['svg']
    return "'svg', metadata={'Date': None}" if svg else "'png'"


def execute(path, slow):
    """跑一本笔记，输出写回同一个文件；返回跑了的单元格数、出错时的 (哪里, 说明)、处理器用了几秒。

    费时的单元格也在里面：(第几个, 几秒)
    """
    from execnb.shell import CaptureShell
    nb = NBProcessor(path, rm_directives=False).nb
    shell = CaptureShell(mpl_format='png')
    shell.run_cell("import matplotlib; "
                   "matplotlib.rcParams.update({'figure.dpi': 100, 'svg.hashsalt': 'nbs'})")
    ran, error, costly = 0, None, []
    for n, cell in enumerate(nb.cells, 1):
        if skipped(cell, slow, 'UNET_REPRO_DATA' in os.environ):
            continue
        cell.outputs = []
        before = processor()
        shell.run_cell(f'set_matplotlib_formats({figure_format(cell)})')
        shell.cell(cell)
        ran += 1
        if processor() - before >= COSTLY:
            costly.append((n, round(processor() - before)))
        if shell.exc:
            error = f'的单元格 {n}', f'{cell.source}\n\n{own_traceback(shell.exc)}'
            break
    write_nb(nb, path)
    return ran, error, processor(), costly


def environment(tmp, data):
    "子进程的环境：自己的临时文件夹，一个线程，导入这份检出"
    env = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': str(THREADS), 'TMPDIR': tmp}
    env.pop('UNET_REPRO_DATA', None)
    if data:
        env['UNET_REPRO_DATA'] = str(data.resolve())
    return env


def run(path, data, slow):
    "在副本和单独的进程里跑一本笔记；返回跑完的笔记，和execute返回的"
    with tempfile.TemporaryDirectory() as tmp:
        copy = Path(tmp)/'nbs'
        shutil.copytree(NBS, copy, ignore=shutil.ignore_patterns('.*', 'Datasets', 'runs'))
        command = [sys.executable, __file__, *['--slow']*slow, '--execute', path.name]
        p = subprocess.run(
            command, cwd=copy, env=environment(tmp, data), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, encoding='utf-8',
            errors='replace')
        result = Path(tmp)/'result.json'
        if result.exists():
            done = json.loads(result.read_text(encoding='utf-8'))
        else:
            error = '的进程', f'意外结束，退出码 {p.returncode}\n{p.stderr[-3000:]}'
            done = 1, error, 0, []
        return read_nb(copy/path.name), *done


# 全部

def compare(path, nb):
    "比对一本笔记两次的输出，打印不同；返回没通过的单元格数和比对过的输出数"
    failed = compared = 0
    for n, (old, new) in enumerate(zip(read_nb(path).cells, nb.cells), 1):
        if old.cell_type != 'code':
            continue
        stored, fresh = texts(old.outputs), texts(new.outputs)
        chaotic = re.search(r'^#\|\s*numbers:\s*chaotic', old.source, re.M)
        found = list(differences(stored, fresh, chaotic))
        compared += len(stored.keys() | fresh.keys())
        failed += bool(found)
        for difference in found:
            print(f'\n{path.name} 的单元格 {n} 输出变了：{difference}')
    return failed, compared


def save(path, nb):
    "把一本笔记这次的输出存进 nbs/"
    for cell in nb.cells:
        if cell.cell_type == 'code':
            cell.outputs = stable_outputs(cell.outputs)
    write_nb(nb, path)
    nbdev_clean.__wrapped__(str(path))


def measured():
    "上次每本用了几秒"
    return json.loads(SECONDS.read_text(encoding='utf-8')) if SECONDS.exists() else {}


def save_seconds(took):
    "记下每本用了几秒；没有了的笔记去掉"
    there = {path.stem for path in NBS.glob('*.ipynb')}
    kept = {name: n for name, n in {**measured(), **took}.items() if name in there}
    partial = SECONDS.with_name('.chapters.partial')
    partial.write_text(json.dumps(kept, indent=1, sort_keys=True) + '\n', encoding='utf-8')
    os.replace(partial, SECONDS)


def uses_data(path):
    "这本笔记的代码找数据吗：不找的，换一种数据跑还是一样"
    cells = [cell for cell in read_nb(path).cells if cell.cell_type == 'code']
    return any(DATA.search(cell.source) for cell in cells)


def chosen(names):
    "选中的笔记：名字，或者章号；不写就是全部"
    paths = sorted(NBS.glob('*.ipynb'))
    for name in names:
        if not any(path.stem.startswith(Path(name).stem) for path in paths):
            sys.exit(f'没有笔记 {name}')
    starts = tuple(Path(name).stem for name in names) or ('',)
    return [path for path in paths if path.stem.startswith(starts)]


def jobs(args):
    "要跑的：(笔记, 数据)，长的在前，于是没有一个核闲到最后"
    paths = chosen(args.names)
    found = [(path, args.data) for path in paths]
    if args.also:
        found += [(path, args.also) for path in paths if uses_data(path)]
    seconds = measured()
    return sorted(found, key=lambda job: -seconds.get(job[0].stem, UNKNOWN))


def arguments():
    "命令行"
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('names', nargs='*', help='只跑这几本，例如 01_model 或 01；不写就全跑')
    ap.add_argument('--write', action='store_true', help='把这次的输出存进笔记')
    ap.add_argument('--data', type=Path, help='只在这个文件夹里的数据集上跑')
    ap.add_argument('--also', type=Path, help='也在这个文件夹里的数据集上跑')
    ap.add_argument('--slow', action='store_true', help='慢的单元格也跑')
    ap.add_argument('--execute', help=argparse.SUPPRESS)  # 子进程
    return ap.parse_args()


def main(args):
    "跑选中的笔记，跑完一本报一本，最后打印总数"
    todo = jobs(args)
    ran = failed = compared = 0
    took, wrong = {}, []
    with ThreadPoolExecutor(JOBS) as pool:
        futures = {pool.submit(run, *job, args.slow): job for job in todo}
        for future in as_completed(futures):
            path, data = futures[future]
            nb, n, error, seconds, costly = future.result()
            ran += n
            where = f'（{data}）' if data else ''
            bad = bool(error)
            if error:
                print(f'\n{path.name} {error[0]}出错：\n{error[1]}')
            elif args.write:
                save(path, nb)
                took[path.stem] = round(seconds)
            elif not data:
                bad, count = compare(path, nb)
                compared += count
            failed += bad
            wrong += [path.stem + where] * bool(bad)
            more = ''.join(f'，单元格 {i} 用了 {s} 秒' for i, s in costly)
            print(f'  {path.stem}{where}：{n} 个单元格，{seconds:.0f} 秒{more}', flush=True)
    if args.write:
        save_seconds(took)
    print(f'{len(todo)} 本笔记，跑了 {ran} 个单元格，{failed} 个没通过，比对了 {compared} 处输出')
    if wrong:
        print('没通过的：' + '、'.join(wrong))  # CI的记录只留末尾
    return bool(failed)


if __name__ == '__main__':
    options = arguments()
    if options.execute:
        sys.path[0] = ''  # 像 Jupyter 一样从当前文件夹导入，而不是从 tools/
        done = execute(options.execute, options.slow)
        Path('../result.json').write_text(json.dumps(done), encoding='utf-8')
    else:
        os.chdir(ROOT)
        sys.exit(main(options))
