"""梯度累积、反向时重算各省多少内存，keep_memory多占多少（只看头一步）。

用法：python benchmarks/train_memory.py，结果写进nbs/results/train_memory.json。
每一行用一个新的进程：先用很小的输入走一步，把库载入的开销算进起点；再走一步，记下这一步里进程内存的
峰值（VmHWM，Linux）超出起点多少，和PyTorch的张量占用的峰值（由它的分析器数，不含oneDNN的工作区）。
批量4与累积4步每步1帧算出同样的梯度。
"""
import json
import os
import sys
import time
from pathlib import Path

from common import fresh, save

KEYS = ("width", "size", "batch", "accumulate", "recompute", "kept")
CASES = [  # 宽、边长、批量、累积、重算、keep_memory
    (16, 572, 4, 1, False, False),
    (16, 572, 1, 4, False, False),
    (16, 892, 1, 1, False, False),
    (16, 892, 1, 1, True, False),
    (64, 572, 1, 1, False, False),
    (64, 572, 1, 1, True, False),
    (64, 892, 1, 1, False, False),
    (64, 892, 1, 1, True, False),
    (64, 892, 1, 1, False, True),
    (64, 892, 1, 1, True, True),
]


def peak():
    "进程内存到此为止的峰值，字节；然后重新记起"
    status = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def resident():
    "进程此刻的内存，字节"
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def tensor_peak(f):
    "f里张量占用的峰值，字节"
    import torch
    with torch.profiler.profile(profile_memory=True) as profile:
        f()
    now = largest = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            largest = max(largest, now)
    return largest


def measure(width, size, batch, accumulate, recompute, kept):
    "在这个进程里走一步，打印一行结果"
    import torch
    from torch.nn.functional import cross_entropy
    from unet_repro.memory import checkpoint_activations, keep_memory
    from unet_repro.model import UNet
    if kept:
        keep_memory()
    torch.manual_seed(0)
    layout = torch.channels_last
    model = UNet(1, 2, width).to(memory_format=layout)
    if recompute:
        checkpoint_activations(model)

    def step(size):
        for _ in range(accumulate):
            x = torch.randn(batch, 1, size, size).contiguous(memory_format=layout)
            out = model(x)
            target = torch.zeros(batch, *out.shape[-2:], dtype=torch.long)
            cross_entropy(out, target).backward()

    step(188)
    peak()
    base = resident()
    start = time.perf_counter()
    step(size)
    seconds = time.perf_counter() - start
    process = peak() - base
    case = dict(zip(KEYS, (width, size, batch, accumulate, recompute, kept)))
    tensors = tensor_peak(lambda: step(size))
    print(json.dumps(case | dict(seconds=seconds, process=process, tensors=tensors)))


def main():
    "每种情形一个新的进程"
    rows = []
    for case in CASES:
        rows.append(fresh(__file__, json.dumps(case)))
        print(rows[-1], flush=True)
    save("train_memory", dict(rows=rows))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(*json.loads(sys.argv[1]))
    else:
        main()
