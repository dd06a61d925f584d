"""两个进程（gloo，CPU）与一个进程在同样的全局批量下练出同样的损失；死了一个进程，另一个不会一直等。

用法：python benchmarks/processes.py，结果写进nbs/results/processes.json。七帧训练、五帧测试（都不能被2整除），块取居中的，
顺序固定，于是两边每一步看到的是同样的两帧。优化器用SGD：Adam会把梯度里的舍入误差放大，另报一行，再用双精度的Adam报一行：差没有了，就说明只是舍入。
再用两个进程打乱次序练四轮，和练两轮停下、再接着练两轮的比权重；记下各进程每轮取了哪几帧，留下了哪些文件。
"""
import json, os, signal, subprocess, sys, tempfile, time
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import set_seed
from torch.utils.data import DataLoader, Subset
from unet_repro.cli import _provenance
from unet_repro.data import SegmentationDataset, Tile, make_synthetic
from unet_repro.model import UNet
from unet_repro.train import train_and_evaluate


class Noted(SegmentationDataset):
    "记下取过哪几帧的数据集"
    def __getitem__(self, i): self.seen = [*getattr(self, "seen", []), i]; return super().__getitem__(i)


def train(folder, batch_size, optimizer, epochs, out=""):
    "一个进程里的训练；主进程打印历史。写了out就打乱次序、存状态、能接着练，各进程打印取过的帧"
    torch.set_num_threads(1)
    if optimizer == "Adam64": torch.set_default_dtype(torch.float64)
    data = Noted(folder, Tile(412, 228))
    data.seen = []  # 造的时候试取过一帧
    set_seed(0)
    model = UNet(1, 1, width=4, dropout=0.5 if out else 0)
    optimizer = torch.optim.SGD(model.parameters(), 1e-2) if optimizer == "SGD" else torch.optim.Adam(model.parameters(), 1e-3)
    frames, test = Subset(data, range(7)), Subset(SegmentationDataset(folder, Tile(412, 228)), range(5))
    batch = lambda items: tuple(torch.stack(x).to(torch.get_default_dtype()) for x in zip(*items))
    history = train_and_evaluate(model, DataLoader(frames, int(batch_size), shuffle=bool(out), collate_fn=batch), DataLoader(test, collate_fn=batch), int(epochs), optimizer=optimizer, out=out or None, resume=bool(out))
    if out: print(f"取过{data.seen}")
    elif PartialState().is_main_process: print(json.dumps(history))


def command(folder, processes, *args):
    "一个或两个进程的命令，全局批量都是2"
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"] if processes == 2 else [sys.executable]
    return [*launch, __file__, str(folder), str(2 // processes), *map(str, args)]


def compare(folder, optimizer):
    "一个进程与两个进程的历史，和最大的差"
    one, two = (json.loads(subprocess.run(command(folder, n, optimizer, 5), capture_output=True, text=True, check=True).stdout.splitlines()[-1]) for n in (1, 2))
    return {f"largest_{k}_difference": max(abs(a[k] - b[k]) for a, b in zip(one, two)) for k in ("train_loss", "test_loss", "iou")} | dict(optimizer=optimizer, one=one, two=two)


def shuffled(folder):
    "两个进程打乱次序：一口气练四轮，与练两轮停下再接着练的比"
    def go(out, epochs):
        said = subprocess.run(command(folder, 2, "Adam", epochs, out), capture_output=True, text=True, check=True).stdout
        return [json.loads(line.removeprefix("取过")) for line in said.splitlines() if line.startswith("取过")]
    whole, halves = folder.parent / "whole", folder.parent / "halves"
    seen = go(whole, 4); go(halves, 2); go(halves, 4)
    epochs = [sum((rank[4 * e:4 * e + 4] for rank in seen), []) for e in range(4)]  # 七帧分给两个进程，各四帧，重复的一帧不算进损失
    same = (whole / "last/model.safetensors").read_bytes() == (halves / "last/model.safetensors").read_bytes()
    return dict(same_weights=same, frames_each_epoch=epochs, every_frame_seen=all(set(e) == set(range(7)) for e in epochs), files=sorted(str(f.relative_to(whole)) for f in whole.rglob("*") if f.is_file()))


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
            result = dict(runs=[compare(folder, name) for name in ("SGD", "Adam", "Adam64")], shuffled=shuffled(folder), dead_worker=dead_worker(folder)) | _provenance()
        (Path(__file__).parents[1] / "nbs/results/processes.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        print(*({k: v for k, v in r.items() if k not in ("one", "two")} for r in result["runs"]), result["shuffled"], result["dead_worker"], sep="\n")
