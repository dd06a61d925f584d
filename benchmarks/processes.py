"""两个进程（gloo，CPU）与一个进程在同样的全局批量下练出同样的损失；死了一个进程，另一个不会一直等。

用法：python benchmarks/processes.py，结果写进nbs/results/processes.json。七帧训练、五帧测试（都不能被2整除），块取居中的，
顺序固定，于是两边每一步看到的是同样的两帧。优化器用SGD：Adam会把梯度里的舍入误差放大，另报一行。
"""
import json, os, platform, signal, subprocess, sys, tempfile, time
from importlib.metadata import version
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import set_seed
from torch.utils.data import DataLoader, Subset
from unet_repro.data import SegmentationDataset, Tile, make_synthetic
from unet_repro.model import UNet
from unet_repro.train import train_and_evaluate


def train(folder, batch_size, optimizer, epochs):
    "一个进程里的训练；主进程打印历史"
    torch.set_num_threads(1)
    data = SegmentationDataset(folder, Tile(412, 228))
    set_seed(0)
    model = UNet(1, 1, width=4)
    optimizer = {"SGD": torch.optim.SGD(model.parameters(), 1e-2), "Adam": torch.optim.Adam(model.parameters(), 1e-3)}[optimizer]
    history = train_and_evaluate(model, DataLoader(Subset(data, range(7)), int(batch_size)), DataLoader(Subset(data, range(5))), int(epochs), optimizer=optimizer)
    if PartialState().is_main_process: print(json.dumps(history))


def command(folder, processes, optimizer, epochs):
    "一个或两个进程的命令，全局批量都是2"
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"] if processes == 2 else [sys.executable]
    return [*launch, __file__, str(folder), str(2 // processes), optimizer, str(epochs)]


def compare(folder, optimizer):
    "一个进程与两个进程的历史，和最大的差"
    one, two = (json.loads(subprocess.run(command(folder, n, optimizer, 5), capture_output=True, text=True, check=True).stdout.splitlines()[-1]) for n in (1, 2))
    return {f"largest_{k}_difference": max(abs(a[k] - b[k]) for a, b in zip(one, two)) for k in ("train_loss", "test_loss", "iou")} | dict(optimizer=optimizer, one=one, two=two)


def dead_worker(folder):
    "杀掉两个进程里的一个，量整个命令多久以后以非零的退出码结束"
    run = subprocess.Popen(command(folder, 2, "SGD", 10_000), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(12)
    workers = subprocess.run(["pgrep", "-P", str(run.pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(workers[-1]), signal.SIGKILL)
    start = time.perf_counter()
    return dict(exit_code=run.wait(timeout=300), seconds=time.perf_counter() - start)


if __name__ == "__main__":
    if len(sys.argv) > 1: train(*sys.argv[1:])
    else:
        with tempfile.TemporaryDirectory() as tmp:
            folder = make_synthetic(Path(tmp) / "data", frames=8)
            result = dict(command="python benchmarks/processes.py", runs=[compare(folder, name) for name in ("SGD", "Adam")], dead_worker=dead_worker(folder),
                          versions={p: version(p) for p in ("torch", "accelerate")} | {"python": platform.python_version()}, machine=f"{platform.machine()}，{os.cpu_count()}核")
        (Path(__file__).parents[1] / "nbs/results/processes.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        print({k: v for k, v in result["runs"][0].items() if k not in ("one", "two")}, {k: v for k, v in result["runs"][1].items() if k not in ("one", "two")}, result["dead_worker"])
