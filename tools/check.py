"""`make test`：依次做 CI 的每项检查，第一项不通过就停下。"""
import re, subprocess, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent/'shared'/'Datasets'

STEPS = [  # 检查什么；不通过时怎么办；tools/ 里的命令
    ('笔记是干净的：nbdev_clean 之后不变', '运行 make prepare，再提交', 'in_step.py', 'clean'),
    ('unet_repro/ 与笔记一致', '运行 make prepare，再提交', 'in_step.py', 'library'),
    ('README.md 与 nbs/index.ipynb 一致', '运行 make prepare，再提交', 'readme.py', '--check'),
    ('每本笔记在合成数据上跑通，输出与存下的一致', '改正代码；若改变是有意的，运行 make prepare，再提交', 'notebooks.py'),
    ('每本笔记在真实数据上跑通', '改正代码，让它在两种数据上都成立', 'notebooks.py', '--data', DATA),
    ('检查写法的工具自己没有坏', '改正 tools/lint.py', 'lint.py', '--self-test'),
    ('笔记的写法：导入独占单元格、中文、单元格长度', '照上面每一行改', 'lint.py'),
    ('网站建得成，站内链接都通', '照上面每一行改', 'docs.py'),
    ('看网站的工具自己没有坏', '改正 tools/browse.py', 'browse.py', '--self-test'),
    ('在浏览器里，网站的每一页都看得、用得', '照上面每一行改', 'browse.py'),
]


def run(tool, *args):
    "运行一项检查，边跑边显示；返回退出码，和跑了、没通过的单元格数"
    p = subprocess.Popen([sys.executable, ROOT/'tools'/tool, *args], cwd=ROOT,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding='utf-8')
    ran = failed = 0
    for line in p.stdout:
        print(line, end='', flush=True)
        if m := re.search(r'跑了 (\d+) 个单元格，(\d+) 个没通过', line): ran, failed = int(m[1]), int(m[2])
    return p.wait(), ran, failed

def main():
    "依次做每项检查；最后一行是通过与没通过的单元格数，CI 读它"
    passed = 0
    for i, (what, cure, *command) in enumerate(STEPS, 1):
        print(f'[{i}/{len(STEPS)}] {what}', flush=True)
        if DATA in command and not DATA.is_dir():
            print(f'  跳过：没有 {DATA}')
            continue
        code, ran, failed = run(*command)
        passed += ran - failed
        if code:
            print(f'没通过：{what}\n怎么办：{cure}\n{passed} passed, {max(failed, 1)} failed')
            return 1
    print(f'{passed} passed, 0 failed')


if __name__ == '__main__': sys.exit(main())
