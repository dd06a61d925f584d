"""`make test`：做 CI 的每项检查，做完才停，最后一行是通过与没通过的个数。`check.py 05`：只查一章。

两条道同时走：一条跑笔记，另一条做其余的，长的在前，于是两个核都不闲。
"""
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent/'shared'/'Datasets'
TALKING = threading.Lock()  # 一项的话连在一起
PREPARE = '运行 make prepare，再提交'
FOLLOW = '照上面每一行改'


@dataclass
class Step:
    "一项检查"
    what: str      # 检查什么
    cure: str      # 不通过时怎么办
    command: list  # tools/ 里的命令
    live: bool = False   # 边跑边显示
    needs: str = ''      # 先要通过的命令，例如 docs.py
    code: int = 1        # 退出码；没做完是 1
    ran: int = 0         # 跑了几个单元格
    failed: int = 0      # 几个没通过


def whole():
    "`make test`的两条道"
    also = ['--also', DATA] if DATA.is_dir() else []
    where = '在合成数据和真实数据上' if also else '在合成数据上'
    notebooks = Step(
        f'每本笔记{where}跑通，输出与存下的一致',
        '改正代码，让它在两种数据上都成立；若改变是有意的，运行 make prepare，再提交',
        ['notebooks.py', *also], live=True)
    others = [
        Step('检查写法的工具自己没有坏', '改正 tools/lint.py', ['lint.py', '--self-test']),
        Step('写法：中文、宽度、一行一句、导入、标题、图的说明', FOLLOW, ['lint.py']),
        Step('笔记是干净的：nbdev_clean 之后不变', PREPARE, ['in_step.py', 'clean']),
        Step('unet_repro/ 与笔记一致', PREPARE, ['in_step.py', 'library']),
        Step('README.md 与 nbs/index.ipynb 一致', PREPARE, ['readme.py', '--check']),
        Step('网站建得成，站内链接都通', FOLLOW, ['docs.py']),
        Step('看网站的工具自己没有坏', '改正 tools/browse.py', ['browse.py', '--self-test'],
             needs='docs.py'),
        Step('在浏览器里，网站的每一页都看得、用得', FOLLOW, ['browse.py'], needs='docs.py'),
        Step('在网页里试：细胞与Python的一样，坏文件说得清，停得下', FOLLOW, ['trycheck.py'],
             needs='docs.py'),
        Step('坏的输入都说得清', '改正代码；tools/fuzz.py --show 列出每一处', ['fuzz.py']),
    ]
    return [notebooks], others


def one(number):
    "`make check NB=05`的两条道"
    notebook = Step(
        '在合成数据上跑通，输出与存下的一致',
        f'改正代码；若改变是有意的，tools/notebooks.py --write {number}',
        ['notebooks.py', number], live=True)
    others = [
        Step('写法', FOLLOW, ['lint.py', number]),
        Step('笔记是干净的', f'tools/notebooks.py --write {number}',
             ['in_step.py', 'clean', number]),
        Step('模块与笔记一致', '运行 nbdev_export', ['in_step.py', 'library', number]),
    ]
    return [notebook], others


def say(text):
    "说一句，不与别的一项混在一起"
    with TALKING:
        print(text, end='', flush=True)


def run(step, title):
    "做一项；说的话连在一起，live 的边跑边说"
    said = [f'{title}\n']
    if step.live:
        say(said.pop())
    tool, *args = map(str, step.command)
    process = subprocess.Popen(
        [sys.executable, str(ROOT/'tools'/tool), *args], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, encoding='utf-8', errors='replace')
    for line in process.stdout:
        found = re.search(r'跑了 (\d+) 个单元格，(\d+) 个没通过', line)
        if found:
            step.ran, step.failed = int(found[1]), int(found[2])
        said.append(line)
        if step.live:
            say(said.pop())
    step.code = process.wait()
    say(''.join(said))


def lane(steps, titles, passed):
    "一条道：依次做；前面的没通过，靠它的不做"
    for step in steps:
        if not (ROOT/'tools'/step.command[0]).exists():
            step.code = 0
            continue
        if step.needs and step.needs not in passed:
            say(f'{titles[id(step)]}\n  没做：{step.needs} 没通过\n')
            step.code = 0
            continue
        run(step, titles[id(step)])
        if step.code == 0:
            passed.add(step.command[0])


def main(number=None):
    "做每项检查；最后一行是通过与没通过的单元格数，CI 读它"
    if number and not list((ROOT/'nbs').glob(f'{number}*.ipynb')):
        sys.exit(f'没有{number}章')
    lanes = one(number) if number else whole()
    steps = [step for steps in lanes for step in steps]
    titles = {id(step): f'[{i}/{len(steps)}] {step.what}' for i, step in enumerate(steps, 1)}
    passed = set()
    threads = [threading.Thread(target=lane, args=(steps, titles, passed)) for steps in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bad = [step for step in steps if step.code]
    for step in bad:
        step.failed = max(step.failed, 1)
        print(f'没通过：{step.what}\n怎么办：{step.cure}')
    ran = sum(step.ran for step in steps)
    failed = sum(step.failed for step in steps)
    cells = sum(step.failed for step in steps if step.ran)
    print(f'{ran - min(cells, ran)} passed, {failed} failed')
    return bool(bad)


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
