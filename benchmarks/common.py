"""各项测量共用的：存结果、带上来历，计时，开新的进程，找真实数据。"""
import json
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from unet_repro.data import find_data
from unet_repro.files import provenance, replacing

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "nbs/results"


def save(name, result, packages=()):
    "结果添上来历，整个写成nbs/results/NAME.json；packages是还要记下版本的包；返回写下的"
    origin = provenance()
    origin["versions"] |= {package: version(package) for package in packages}
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result | origin, ensure_ascii=False, indent=1)
    with replacing(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    return result | origin


def load(name):
    "读nbs/results/NAME.json；没有时是空的字典"
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def show(result, *without):
    "打印结果；without里的几项太长，不打印"
    kept = {key: value for key, value in result.items() if key not in without}
    print(json.dumps(kept, ensure_ascii=False, indent=1))


def timed(f):
    "f()的结果和秒数"
    start = time.perf_counter()
    result = f()
    return result, time.perf_counter() - start


def fastest(f, times):
    "f()做times次，最快的一次的秒数"
    return min(timed(f)[1] for _ in range(times))


def output(command):
    "运行一条命令，要它成功；返回它打印的各行"
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    return done.stdout.splitlines()


def fresh(file, *args):
    "在新的进程里运行这个文件；返回它打印的最后一行，是JSON"
    return json.loads(output([sys.executable, file, *map(str, args)])[-1])


def real_data(name="PhC-C2DH-U373", silver=False):
    "真实数据的文件夹；silver：要带银标。没有就停下"
    folder = find_data(name)
    if not folder.name.startswith(name) or silver and not (folder / "01_ST").is_dir():
        what = "带银标的" if silver else ""
        sys.exit(f"要{what}真实数据{name}：放进Datasets/，或用UNET_REPRO_DATA指出装着它的文件夹")
    return folder
