"""两个进程（gloo，CPU）与一个进程在同样的全局批量下练出同样的损失；死了一个进程，另一个不会一直等。

用法：python benchmarks/processes.py，结果写进nbs/results/processes.json。
七帧训练、五帧测试（都不能被2整除），块取居中的，顺序固定，于是两边每一步看到的是同样的两帧。优化器
用SGD：Adam会把梯度里的舍入误差放大，另报一行，再用双精度的Adam报一行：差没有了，就说明只是舍入。
再用两个进程打乱次序练四轮，和练两轮停下、再接着练两轮的比权重；记下各进程每轮取了哪几帧，留下了
哪些文件。
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import set_seed
from common import output, save
from torch.utils.data import DataLoader, Subset

from unet_repro.data import SegmentationDataset, Tile
from unet_repro.engine import train_run
from unet_repro.model import UNet
from unet_repro.synthetic import make_synthetic

TRAIN, TEST = 7, 5  # 帧数
TILE = 412, 228
SAW = "取过"        # 各进程打印取过的帧，这样起头


class Noted(SegmentationDataset):
    "记下取过哪几帧的数据集"
    seen = ()

    def __getitem__(self, i):
        self.seen = [*self.seen, i]
        return super().__getitem__(i)


def stack(items):
    "各帧叠成批量，换成默认的精度"
    return tuple(torch.stack(x).to(torch.get_default_dtype()) for x in zip(*items))


def train(folder, batch_size, optimizer, epochs, out=None):
    "一个进程里的训练；主进程打印历史。给了out就打乱次序、存状态、能接着练，各进程打印取过的帧"
    torch.set_num_threads(1)
    if optimizer == "Adam64":
        torch.set_default_dtype(torch.float64)
    data = Noted(folder, Tile(*TILE))
    data.seen = []  # 造的时候试取过一帧
    set_seed(0)
    model = UNet(1, 1, width=4, dropout=0.5 if out else 0, value_range=data.value_range)
    if optimizer == "SGD":
        optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    else:
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    frames = Subset(data, range(TRAIN))
    test = Subset(SegmentationDataset(folder, Tile(*TILE)), range(TEST))
    history = train_run(
        model,
        DataLoader(frames, int(batch_size), shuffle=bool(out), collate_fn=stack),
        DataLoader(test, collate_fn=stack),
        int(epochs), optimizer=optimizer, out=out, resume=bool(out))
    if out:
        print(f"{SAW}{data.seen}")
    elif PartialState().is_main_process:
        print(json.dumps(history))


def command(folder, processes, *args):
    "一个或两个进程的命令，全局批量都是2"
    launch = [sys.executable]
    if processes == 2:
        launch += ["-m", "torch.distributed.run", "--nproc-per-node", "2"]
    return [*launch, __file__, str(folder), str(2 // processes), *map(str, args)]


def compare(folder, optimizer):
    "一个进程与两个进程的历史，和最大的差"
    one = json.loads(output(command(folder, 1, optimizer, 5))[-1])
    two = json.loads(output(command(folder, 2, optimizer, 5))[-1])
    largest = {}
    for key in ("train_loss", "test_loss", "iou"):
        gaps = [abs(a[key] - b[key]) for a, b in zip(one, two)]
        largest[f"largest_{key}_difference"] = max(gaps)
    return largest | dict(optimizer=optimizer, one=one, two=two)


def shuffled(folder):
    "两个进程打乱次序：一口气练四轮，与练两轮停下再接着练的比"
    def go(out, epochs):
        lines = output(command(folder, 2, "Adam", epochs, out))
        return [json.loads(line.removeprefix(SAW)) for line in lines if line.startswith(SAW)]

    whole, halves = folder.parent / "whole", folder.parent / "halves"
    seen = go(whole, 4)
    go(halves, 2)
    go(halves, 4)
    share = (TRAIN + 1) // 2  # 七帧分给两个进程，各四帧，重复的一帧不算进损失
    epochs = []
    for first in range(0, 4 * share, share):
        epochs.append([i for rank in seen for i in rank[first:first + share]])
    weights = "last/model.safetensors"
    return dict(
        same_weights=(whole / weights).read_bytes() == (halves / weights).read_bytes(),
        frames_each_epoch=epochs,
        every_frame_seen=all(set(taken) == set(range(TRAIN)) for taken in epochs),
        files=sorted(str(f.relative_to(whole)) for f in whole.rglob("*") if f.is_file()))


def dead_worker(folder):
    "杀掉两个进程里的一个，量整个命令多久以后以非零的退出码结束"
    run = subprocess.Popen(
        command(folder, 2, "SGD", 10_000), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(12)
    workers = output(["pgrep", "-P", str(run.pid)])
    os.kill(int(workers[-1]), signal.SIGKILL)
    start = time.perf_counter()
    return dict(exit_code=run.wait(timeout=300), seconds=time.perf_counter() - start)


def main():
    "三种优化器各比一次，再打乱，再杀一个"
    with tempfile.TemporaryDirectory() as tmp:
        folder = make_synthetic(Path(tmp) / "data", frames=8)
        runs = [compare(folder, name) for name in ("SGD", "Adam", "Adam64")]
        result = dict(runs=runs, shuffled=shuffled(folder), dead_worker=dead_worker(folder))
    save("processes", result)
    for run in runs:
        print({key: value for key, value in run.items() if key not in ("one", "two")})
    print(result["shuffled"], result["dead_worker"], sep="\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        train(*sys.argv[1:])
    else:
        main()
