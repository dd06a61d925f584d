"""训练一步多久：本包的UNet、MONAI的BasicUNet、segmentation_models_pytorch的Unet；数据管线占几成。

用法：pip install monai segmentation-models-pytorch，然后python benchmarks/train_speed.py，
结果写进nbs/results/train_speed.json。
一步是前向、交叉熵、反向、SGD（动量0.99），572见方、单通道进两通道出、批量1、单精度。三个网络都是
宽64、深4：BasicUNet补零，带它默认的实例归一化；Unet用没有归一化的VGG13编码器，通道数与论文最像，
边长要16的倍数，给它576。它们都试两种内存排法，取快的；各做四步，轮流，取最快的一步。这样比两遍：
内存照系统的办法管（kept为假），再调用keep_memory，三个网络都沾光（kept为真）。
矩阵乘的速率照predict_speed.py量两种，第一遍前、第二遍后各量一次，取快的。网络的份额是
“每秒运算次数÷矩阵乘的速率”，运算次数用FlopCounterMode数。
管线的用时是从DataLoader里取一块（形变、裁块、权重图），占一步（内存留着）的几成，两种配方、三种宽度
各量一次；合成数据与真实数据一样大，用合成的。
"""
import tempfile
from pathlib import Path

import torch
from common import fastest, save, show, timed
from predict_speed import LAYOUTS, flops, matmul_rates, monai_net
from torch.nn import functional as F

from unet_repro.memory import keep_memory
from unet_repro.model import UNet
from unet_repro.prepare import paper_recipe, tutorial_recipe
from unet_repro.synthetic import make_synthetic

STEPS = 4


def smp_net():
    "segmentation_models_pytorch的网络"
    from segmentation_models_pytorch import Unet
    return Unet(
        "vgg13", encoder_depth=4, encoder_weights=None, decoder_use_norm=False,
        decoder_channels=(512, 256, 128, 64), in_channels=1, classes=2)


PEERS = {"monai": (monai_net, 572), "smp": (smp_net, 576)}  # 网络，边长


def make_step(model, size=572, layout="channels_last"):
    "一个函数：训练一步，返回输出的边长"
    layout = getattr(torch, layout)
    model.train().to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, 0.99)
    x = torch.randn(1, 1, size, size).contiguous(memory_format=layout)

    def step():
        out = model(x)
        target = torch.zeros(1, *out.shape[-2:], dtype=torch.long)
        F.cross_entropy(out, target).backward()
        optimizer.step()
        optimizer.zero_grad()
        return out.shape[-1]
    return step


def pipeline():
    "两种配方、三种宽度：取一块多少秒，网络走一步多少秒，取一块占几成"
    rows = []
    with tempfile.TemporaryDirectory() as tmp:
        data = make_synthetic(Path(tmp) / "data")
        for recipe, make in (("tutorial", tutorial_recipe), ("paper", paper_recipe)):
            for width in (16, 32, 64):
                parts = make(data, "02", width)
                loader = parts["train_dataloader"]
                fetch = fastest(lambda: list(loader), 5) / len(loader)
                step = fastest(make_step(parts["model"]), STEPS)
                share = fetch / (fetch + step)
                rows.append(dict(recipe=recipe, width=width, fetch=fetch, step=step, share=share))
                print(rows[-1], flush=True)
    return rows


def take_turns(jobs):
    "轮流各做四步：名字 → 各步的秒数"
    seconds = {name: [] for name in jobs}
    for _ in range(STEPS):
        for name, job in jobs.items():
            seconds[name].append(timed(job)[1])
            print(name, round(seconds[name][-1], 2), flush=True)
    return seconds


def best_of(name, seconds):
    "一个网络的几种内存排法里最快的一种"
    return min((job for job in seconds if job.startswith(name)), key=lambda job: min(seconds[job]))


def main():
    "两遍比赛，再量管线"
    torch.manual_seed(0)
    jobs = {"unet_repro": make_step(UNet(1, 2, 64))}
    for name, (make, size) in PEERS.items():
        for layout in LAYOUTS:
            jobs[f"{name}, {layout}"] = make_step(make(), size, layout)
    before = matmul_rates()
    work = {name: flops(job) for name, job in jobs.items()}
    sides = {name: job() for name, job in jobs.items()}

    rounds, rows = [], []
    for kept in (False, True):
        if kept:
            keep_memory()
            for job in jobs.values():  # 热身
                job()
        rounds.append(take_turns(jobs))
        for name in ("unet_repro", *PEERS):
            job = best_of(name, rounds[-1])
            rate = 1 / min(rounds[-1][job])
            rows.append(dict(
                name=name, kept=kept, job=job, output=sides[job], steps_per_second=rate,
                flops=work[job], flops_per_second=work[job] * rate,
                pixels_per_second=sides[job]**2 * rate))

    rates = {name: max(before[name], rate) for name, rate in matmul_rates().items()}
    for row in rows:
        shares = {name: row["flops_per_second"] / rate for name, rate in rates.items()}
        row["share_of_matmul"] = shares
    return dict(
        seconds=rounds, rows=rows, matmul_flops_per_second=rates, pipeline=pipeline(),
        threads=torch.get_num_threads())


if __name__ == "__main__":
    result = save("train_speed", main(), ["monai", "segmentation-models-pytorch"])
    show(dict(rows=result["rows"]))
