"""在有显卡的机器上，照论文的宽度跑08章的整张主表；不用网络。用法：

    UNET_REPRO_DATA=数据的文件夹 python benchmarks/gpu.py

每套数据、每种划分、每套配方一次，几次一起跑，结果写成nbs/results/reproduce/名字.json，已有的跳过。
到了--minutes分钟就停下，没练完的再来一遍接着练（不逐位相同：备数据的进程换了随机数）；练到一半的
留在--work里，练完的删掉。在CPU上试一遍（几分钟）：

    python benchmarks/gpu.py --steps 2 --width 4 --device cpu --out /tmp/gpu --minutes 60
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from common import RESULTS, real_data
from reproduce import DATA, WORK, execute, name_of

from unet_repro.data import find_frames
from unet_repro.files import provenance
from unet_repro.recipe import RECIPES

FULL = ("放不下最小的一块|out of memory|unable to find an engine|No valid execution plans|"
        "ALLOC_FAILED")


def all_runs(args):
    "名字 → 一次训练的设定；HeLa打分最久，先跑"
    runs, epochs = {}, min(10, args.steps)
    for data in sorted(DATA.values(), key=lambda data: "HeLa" not in data.name):
        for protocol in data.protocols:
            for recipe in RECIPES:
                run = dict(data=data.name, recipe=recipe, protocol=protocol, width=args.width,
                           change="gpu", seed=args.seed, steps=args.steps // epochs * epochs,
                           epochs=epochs)
                runs[name_of(run)] = run
    return runs


def run_here(name, run, args):
    "在这个进程里跑一次；显存不够说怎么办"
    torch.set_float32_matmul_precision("high")  # TF32
    work = args.work / f"{args.steps}"
    try:
        execute(name, run, args.out, work, args.workers,
                "bf16" if args.device == "cuda" else "fp32")
    except (RuntimeError, OSError, ValueError) as e:
        if not re.search(FULL, f"{e}{e.__cause__}"):
            raise
        sys.exit(f"显存不够：--jobs从{args.jobs}调小，少几次一起跑；已是1的，--width从"
                 f"{args.width}调小")
    shutil.rmtree(work / name)


def run_all(runs, args):
    "几个子进程一起跑，各写各的记录，到时候停下；返回没跑成的名字"
    deadline, failed = time.monotonic() + 60 * args.minutes, []
    options = [f"--{key}={value}" for key, value in vars(args).items() if key != "name"]
    args.work.mkdir(parents=True, exist_ok=True)

    def run_one(name):
        if time.monotonic() > deadline:
            return
        log = args.work / f"{name}.log"
        with open(log, "w", encoding="utf-8") as file:
            child = subprocess.Popen([sys.executable, __file__, name, *options],
                                     stdout=file, stderr=file)
            try:
                code = child.wait(deadline - time.monotonic())
            except subprocess.TimeoutExpired:  # 到时候了
                child.terminate()
                return child.wait()
        last = log.read_text(encoding="utf-8").splitlines()[-1:]
        if code:
            failed.append(name)
            last = [f"没跑成，看{log}：", *last]
        print(*last, flush=True)

    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(run_one, unfinished(runs, args)))
    return failed


def unfinished(runs, args):
    "还没有结果，或步数不同的名字"
    def done(name):
        file = args.out / f"{name}.json"
        return file.exists() and json.loads(file.read_text())["steps"] == runs[name]["steps"]
    return [name for name in runs if not done(name)]


def main():
    "跑一次，或整张表"
    parser = argparse.ArgumentParser()
    parser.add_argument("name", nargs="?", help="只跑这一次")
    parser.add_argument("--steps", type=int, default=2000, help="每次训练多少块")
    parser.add_argument("--width", type=int, default=64, help="网络第0级的通道数")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--jobs", type=int, default=7, help="几次训练一起跑")
    parser.add_argument("--workers", type=int, default=2, help="每次几个进程备数据")
    parser.add_argument("--minutes", type=float, default=8.5, help="到了就停下")
    parser.add_argument("--out", type=Path, default=RESULTS / "reproduce")
    parser.add_argument("--work", type=Path, default=WORK.with_name("gpu"))
    args = parser.parse_args()
    if args.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif not torch.cuda.is_available():
        sys.exit("这台机器上没有CUDA显卡：在CPU上试用--device cpu，并把--steps、--width调小")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # 子进程的；打分时不抢彼此的核
    runs, start = all_runs(args), time.monotonic()
    if args.name:
        return run_here(args.name, runs[args.name], args)
    provenance()  # 缺什么，开工前就知道
    for data in DATA.values():
        find_frames(real_data(data.name))[0].read()
    failed = run_all(runs, args)
    left = [name for name in unfinished(runs, args) if name not in failed]
    print(f"{len(runs)}次里跑完{len(runs) - len(left) - len(failed)}次，"
          f"用了{time.monotonic() - start:.0f}秒")
    if left:
        print("没跑完的，再来一遍接着练：", *left)
    return len(left) + len(failed)


if __name__ == "__main__":
    sys.exit(main())
