"""在有显卡的机器上，照论文的宽度跑08章的整张主表；不用网络。用法：

    UNET_REPRO_DATA=数据的文件夹 python benchmarks/gpu.py

每套数据、每种划分、每套配方一次，几次一起跑，结果写成nbs/results/reproduce/名字.json，已有的跳过。
到了--minutes分钟就停下，没练完的再来一遍接着练。在CPU上试一遍（几分钟）：

    python benchmarks/gpu.py --steps 2 --width 4 --device cpu --out /tmp/gpu --minutes 60
"""
import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from common import RESULTS
from reproduce import DATA, execute, name_of

from unet_repro.recipe import RECIPES


def all_runs(args):
    "名字 → 一次训练的设定"
    runs = {}
    for data in DATA.values():
        for protocol in data.protocols:
            for recipe in RECIPES:
                run = dict(data=data.name, recipe=recipe, protocol=protocol, width=args.width,
                           change="gpu", seed=args.seed, steps=args.steps,
                           epochs=min(10, args.steps))
                runs[name_of(run)] = run
    return runs


def run_here(name, run, args):
    "在这个进程里跑一次；显存不够说怎么办"
    cuda = args.device == "cuda"
    torch.set_float32_matmul_precision("high")  # TF32
    torch.backends.cudnn.benchmark = True
    try:
        execute(name, run, args.out, args.out / "unfinished" / f"{args.steps}",
                args.workers, "bf16" if cuda else "fp32")
    except torch.OutOfMemoryError:
        sys.exit(f"显存不够：--jobs从{args.jobs}调小，少几次一起跑；已是1的，--width从"
                 f"{args.width}调小")


def run_all(runs, args):
    "几个子进程一起跑，到时候停下；返回没跑完的名字"
    deadline = time.monotonic() + 60 * args.minutes
    env = dict(os.environ)
    if args.device == "cpu":
        env["CUDA_VISIBLE_DEVICES"] = ""
    options = [f"--{key}={getattr(args, key)}"
               for key in ("steps", "width", "device", "seed", "workers", "jobs", "out")]

    def run_one(name):
        if time.monotonic() > deadline:
            return
        child = subprocess.Popen([sys.executable, __file__, name, *options], env=env)
        try:
            child.wait(deadline - time.monotonic())
        except subprocess.TimeoutExpired:
            child.terminate()
            child.wait()

    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(run_one, unfinished(runs, args)))
    return unfinished(runs, args)


def unfinished(runs, args):
    "还没有结果的名字"
    return [name for name in runs if not (args.out / f"{name}.json").exists()]


def main():
    "跑一次，或整张表"
    parser = argparse.ArgumentParser()
    parser.add_argument("name", nargs="?", help="只跑这一次")
    parser.add_argument("--steps", type=int, default=2000, help="每次训练多少块")
    parser.add_argument("--width", type=int, default=64, help="网络第0级的通道数")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--jobs", type=int, default=4, help="几次训练一起跑")
    parser.add_argument("--workers", type=int, default=3, help="每次几个进程备数据")
    parser.add_argument("--minutes", type=float, default=8.5, help="到了就停下")
    parser.add_argument("--out", type=Path, default=RESULTS / "reproduce")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("这台机器上没有CUDA显卡：在CPU上试用--device cpu，并把--steps、--width调小")
    runs, start = all_runs(args), time.monotonic()
    if args.name:
        return run_here(args.name, runs[args.name], args)
    left = run_all(runs, args)
    print(f"{len(runs)}次里跑完{len(runs) - len(left)}次，用了{time.monotonic() - start:.0f}秒")
    if left:
        print("没跑完的，再来一遍接着练：", *left)
    return len(left)


if __name__ == "__main__":
    sys.exit(main())
