"""同一张2048×2048的图像，本包的predict_image与MONAI的BasicUNet加sliding_window_inference谁快。

用法：pip install monai，然后python benchmarks/predict_speed.py，
结果写进nbs/results/predict_speed.json。
两个网络都是宽64、深4、单通道进两通道出、单精度、推理模式；权重随机（不影响速度）。MONAI的窗口512、
重叠0.25（它的默认），按它文档的写法使用；另外也给它channels_last试一次，取快的。各做两次，轮流，
取快的一次。矩阵乘的速率量两种，各取五次里最快的：2048见方的单精度torch.mm（MKL），和1×1卷积
（oneDNN，算的也是矩阵乘）。在AMD的处理器上MKL不用AVX-512而oneDNN用，两者能差一倍，份额按快的一种
算。运算次数用torch的FlopCounterMode数，一次乘加算2次。
"""
import numpy as np
import torch
from common import fastest, save, show, timed
from torch.utils.flop_counter import FlopCounterMode

SIDE = 2048
LAYOUTS = ("contiguous_format", "channels_last")


def flops(f):
    "f里的浮点运算次数"
    with FlopCounterMode(display=False) as counter:
        f()
    return counter.get_total_flops()


def matmul_rates():
    "每秒多少次浮点运算：2048见方的矩阵乘，和等价的1×1卷积，各取五次里最快的"
    a = torch.rand(2048, 2048)
    x = torch.rand(1, 512, 256, 256).contiguous(memory_format=torch.channels_last)
    conv = torch.nn.Conv2d(512, 512, 1).to(memory_format=torch.channels_last)
    return {
        "torch.mm": 2 * 2048**3 / fastest(lambda: a @ a, 5),
        "1x1 conv": 2 * 512**2 * 256**2 / fastest(lambda: conv(x), 5),
    }


def monai_net():
    "MONAI的网络"
    from monai.networks.nets import BasicUNet
    features = (64, 128, 256, 512, 1024, 64)
    return BasicUNet(spatial_dims=2, in_channels=1, out_channels=2, features=features)


def peer(layout, x):
    "MONAI的一次预测，用这种内存排法：一个没有参数的函数"
    from monai.inferers import sliding_window_inference
    layout = getattr(torch, layout)
    model = monai_net().eval().to(memory_format=layout)
    x = x.contiguous(memory_format=layout)
    return lambda: sliding_window_inference(x, (512, 512), 1, model, overlap=0.25)


@torch.inference_mode()
def main():
    "轮流计时，数运算次数"
    from unet_repro.data import normalize
    from unet_repro.model import UNet
    from unet_repro.predict import plan_tiles, predict_image
    torch.manual_seed(0)
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), np.uint8)
    ours = UNet(1, 2, 64).eval()
    jobs = {"unet_repro": lambda: predict_image(ours, image)}
    for layout in LAYOUTS:
        jobs[f"monai, {layout}"] = peer(layout, normalize(image)[None])

    before = matmul_rates()
    seconds = {name: [] for name in jobs}
    for _ in range(2):
        for name, job in jobs.items():
            seconds[name].append(timed(job)[1])
            print(name, seconds[name][-1], flush=True)
    rates = {name: max(before[name], rate) for name, rate in matmul_rates().items()}

    best = {
        "unet_repro": min(seconds["unet_repro"]),
        "monai": min(min(seconds[f"monai, {layout}"]) for layout in LAYOUTS),
    }
    work = {
        "unet_repro": flops(jobs["unet_repro"]),
        "monai": flops(jobs["monai, channels_last"]),
    }
    top = max(rates.values())
    return dict(
        side=SIDE, seconds=seconds, ratio=best["monai"] / best["unet_repro"],
        tiles=len(plan_tiles((SIDE, SIDE), ours)), flops=work,
        matmul_flops_per_second=rates,
        share_of_matmul={name: work[name] / best[name] / top for name in work},
        threads=torch.get_num_threads())


if __name__ == "__main__":
    show(save("predict_speed", main(), ["monai"]))
