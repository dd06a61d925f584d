"""训练一步多久：本包的UNet、MONAI的BasicUNet、segmentation_models_pytorch的Unet；还有数据管线占一步的几成。

用法：pip install monai segmentation-models-pytorch，然后python benchmarks/train_speed.py，结果写进nbs/results/train_speed.json。
一步是前向、交叉熵、反向、SGD（动量0.99），572见方、单通道进两通道出、批量1、单精度。三个网络都是宽64、深4：BasicUNet补零，带它默认的
实例归一化；Unet用没有归一化的VGG13编码器，通道数与论文最像，边长要16的倍数，给它576。它们都试两种内存排法，取快的；各做四步，轮流，
取最快的一步。这样比两遍：内存照系统的办法管（kept为假），再调用keep_memory，三个网络都沾光（kept为真）。
矩阵乘的速率照predict_speed.py量两种，第一遍前、第二遍后各量一次，取快的。网络的份额是“每秒运算次数÷矩阵乘的速率”，运算次数用FlopCounterMode数。
管线的用时是从DataLoader里取一块（形变、裁块、权重图），占一步（内存留着）的几成，两种配方、三种宽度各量一次；合成数据与真实数据一样大，用合成的。
"""
import json, os, platform, tempfile, time
from importlib.metadata import version
from pathlib import Path

import torch
from monai.networks.nets import BasicUNet
from segmentation_models_pytorch import Unet
from torch.nn import functional as F

from predict_speed import flops, matmul_rates, timed
from unet_repro.cli import tutorial_recipe
from unet_repro.data import make_synthetic
from unet_repro.model import UNet
from unet_repro.recipe import paper_recipe
from unet_repro.train import keep_memory

STEPS = 4
PEERS = {"monai": lambda: BasicUNet(spatial_dims=2, in_channels=1, out_channels=2, features=(64, 128, 256, 512, 1024, 64)),
         "smp": lambda: Unet("vgg13", encoder_depth=4, encoder_weights=None, decoder_use_norm=False, decoder_channels=(512, 256, 128, 64), in_channels=1, classes=2)}


def make_step(model, size=572, layout="channels_last"):
    "一个函数：训练一步，返回输出的边长"
    layout = getattr(torch, layout)
    model.train().to(memory_format=layout)
    optimizer, x = torch.optim.SGD(model.parameters(), 1e-4, 0.99), torch.randn(1, 1, size, size).contiguous(memory_format=layout)
    def step():
        out = model(x)
        F.cross_entropy(out, torch.zeros(1, *out.shape[-2:], dtype=torch.long)).backward()
        optimizer.step(); optimizer.zero_grad()
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
                loader, step = parts["train_dataloader"], make_step(parts["model"])
                fetch = min(timed(lambda: list(loader))[1] for _ in range(5)) / len(loader)
                seconds = min(timed(step)[1] for _ in range(STEPS))
                rows.append(dict(recipe=recipe, width=width, fetch=fetch, step=seconds, share=fetch / (fetch + seconds)))
                print(rows[-1], flush=True)
    return rows


def main():
    torch.manual_seed(0)
    jobs = {"unet_repro": make_step(UNet(1, 2, 64))}
    for name, make in PEERS.items():
        for layout in ("contiguous_format", "channels_last"): jobs[f"{name}, {layout}"] = make_step(make(), 576 if name == "smp" else 572, layout)
    rates, rows, seconds = matmul_rates(), [], []
    work, sides = {name: flops(job) for name, job in jobs.items()}, {name: job() for name, job in jobs.items()}
    for kept in (False, True):
        if kept:
            keep_memory()
            for job in jobs.values(): job()  # 热身
        seconds.append({name: [] for name in jobs})
        for _ in range(STEPS):
            for name, job in jobs.items():
                seconds[-1][name].append(timed(job)[1])
                print(kept, name, round(seconds[-1][name][-1], 2), flush=True)
        for name in ("unet_repro", *PEERS):
            best = min((key for key in jobs if key.startswith(name)), key=lambda key: min(seconds[-1][key]))
            s = min(seconds[-1][best])
            rows.append(dict(name=name, kept=kept, job=best, output=sides[best], steps_per_second=1 / s, flops=work[best], flops_per_second=work[best] / s, pixels_per_second=sides[best]**2 / s))
    rates = {name: max(rates[name], r) for name, r in matmul_rates().items()}
    for row in rows: row["share_of_matmul"] = {k: row["flops_per_second"] / r for k, r in rates.items()}
    return dict(command="python benchmarks/train_speed.py", seconds=seconds, rows=rows, matmul_flops_per_second=rates, pipeline=pipeline(), threads=torch.get_num_threads(),
                versions={p: version(p) for p in ("torch", "monai", "segmentation-models-pytorch")} | {"python": platform.python_version()}, machine=f"{platform.machine()}，{os.cpu_count()}核")


if __name__ == "__main__":
    result = main()
    (Path(__file__).parents[1] / "nbs/results/train_speed.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result["rows"], indent=1))
