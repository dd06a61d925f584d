"""同一张2048×2048的图像，本包的predict_image与MONAI的BasicUNet加sliding_window_inference谁快。

用法：pip install monai，然后python benchmarks/predict_speed.py，结果写进nbs/results/predict_speed.json。
两个网络都是宽64、深4、单通道进两通道出、单精度、推理模式；权重随机（不影响速度）。MONAI的窗口512、重叠0.25（它的默认），
按它文档的写法使用；另外也给它channels_last试一次，取快的。各做两次，轮流，取快的一次。
矩阵乘的速率量两种，各取五次里最快的：2048见方的单精度torch.mm（MKL），和1×1卷积（oneDNN，算的也是矩阵乘）。在AMD的处理器上
MKL不用AVX-512而oneDNN用，两者能差一倍，份额按快的一种算。运算次数用torch的FlopCounterMode数，一次乘加算2次。
"""
import json, os, platform, time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from monai.networks.nets import BasicUNet
from torch.utils.flop_counter import FlopCounterMode
from unet_repro.data import normalize
from unet_repro.model import UNet
from unet_repro.predict import plan_tiles, predict_image

SIDE = 2048


def timed(f):
    "结果和秒数"
    start = time.perf_counter()
    result = f()
    return result, time.perf_counter() - start


def flops(f):
    "f里的浮点运算次数"
    with FlopCounterMode(display=False) as counter: f()
    return counter.get_total_flops()


def matmul_rates():
    "每秒多少次浮点运算：2048见方的矩阵乘，和等价的1×1卷积，各取五次里最快的"
    a, x, one = torch.rand(2048, 2048), torch.rand(1, 512, 256, 256).contiguous(memory_format=torch.channels_last), torch.nn.Conv2d(512, 512, 1).to(memory_format=torch.channels_last)
    best = lambda f, work: work / min(timed(f)[1] for _ in range(5))
    return {"torch.mm": best(lambda: a @ a, 2 * 2048**3), "1x1 conv": best(lambda: one(x), 2 * 512**2 * 256**2)}


@torch.inference_mode()
def main():
    torch.manual_seed(0)
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), np.uint8)
    x, ours = normalize(image)[None], UNet(1, 2, 64).eval()
    monai = {layout: BasicUNet(spatial_dims=2, in_channels=1, out_channels=2, features=(64, 128, 256, 512, 1024, 64)).eval().to(memory_format=getattr(torch, layout))
             for layout in ("contiguous_format", "channels_last")}
    slide = lambda layout: sliding_window_inference(x.contiguous(memory_format=getattr(torch, layout)), (512, 512), 1, monai[layout], overlap=0.25)
    jobs = {"unet_repro": lambda: predict_image(ours, image)} | {f"monai, {layout}": lambda layout=layout: slide(layout) for layout in monai}
    before, seconds = matmul_rates(), {name: [] for name in jobs}
    for _ in range(2):
        for name, job in jobs.items():
            seconds[name].append(timed(job)[1])
            print(name, seconds[name][-1], flush=True)
    rates = {name: max(before[name], r) for name, r in matmul_rates().items()}
    rate = max(rates.values())
    best, peer = min(seconds["unet_repro"]), min(min(s) for name, s in seconds.items() if name != "unet_repro")
    work = {"unet_repro": flops(jobs["unet_repro"]), "monai": flops(jobs["monai, channels_last"])}
    return dict(command="python benchmarks/predict_speed.py", side=SIDE, seconds=seconds, ratio=peer / best, tiles=len(plan_tiles((SIDE, SIDE), ours)), flops=work, matmul_flops_per_second=rates,
                share_of_matmul={"unet_repro": work["unet_repro"] / best / rate, "monai": work["monai"] / peer / rate}, threads=torch.get_num_threads(),
                versions={p: version(p) for p in ("torch", "monai", "numpy")} | {"python": platform.python_version()}, machine=f"{platform.machine()}，{os.cpu_count()}核")


if __name__ == "__main__":
    result = main()
    (Path(__file__).parents[1] / "nbs/results/predict_speed.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, ensure_ascii=False, indent=1))
