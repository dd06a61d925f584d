"""梯度累积、反向时重算各省多少内存，keep_memory多占多少（只看头一步）。用法：python benchmarks/train_memory.py，结果写进nbs/results/train_memory.json。

每一行用一个新的进程：先用很小的输入走一步，把库载入的开销算进起点；再走一步，记下这一步里进程内存的峰值（VmHWM，Linux）超出起点多少，
和PyTorch的张量占用的峰值（由它的分析器数，不含oneDNN的工作区）。批量4与累积4步每步1帧算出同样的梯度。
"""
import json, os, platform, subprocess, sys, time
from importlib.metadata import version
from pathlib import Path

CASES = [(16, 572, 4, 1, False, False), (16, 572, 1, 4, False, False), (16, 892, 1, 1, False, False), (16, 892, 1, 1, True, False), (64, 572, 1, 1, False, False), (64, 572, 1, 1, True, False),
         (64, 892, 1, 1, False, False), (64, 892, 1, 1, True, False), (64, 892, 1, 1, False, True), (64, 892, 1, 1, True, True)]  # 宽、边长、批量、累积、重算、keep_memory


def peak():
    "进程内存到此为止的峰值，字节；然后重新记起"
    high = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
    Path("/proc/self/clear_refs").write_text("5")
    return high


def measure(width, size, batch, accumulate, recompute, kept):
    "在这个进程里走一步，打印一行结果"
    import torch
    from torch.nn.functional import cross_entropy
    from unet_repro.model import UNet
    from unet_repro.train import checkpoint_activations, keep_memory
    if kept: keep_memory()
    torch.manual_seed(0)
    model = UNet(1, 2, width).to(memory_format=torch.channels_last)
    if recompute: checkpoint_activations(model)
    def step(size):
        for _ in range(accumulate):
            out = model(torch.randn(batch, 1, size, size).contiguous(memory_format=torch.channels_last))
            cross_entropy(out, torch.zeros(batch, *out.shape[-2:], dtype=torch.long)).backward()
    step(188); peak()
    base, start = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"), time.perf_counter()
    step(size)
    row = dict(width=width, size=size, batch=batch, accumulate=accumulate, recompute=recompute, kept=kept, seconds=time.perf_counter() - start, process=peak() - base)
    with torch.profiler.profile(profile_memory=True) as profile: step(size)
    tensors = largest = 0
    for e in profile.profiler.kineto_results.events():
        if e.name() == "[memory]": tensors += e.nbytes(); largest = max(largest, tensors)
    print(json.dumps(row | dict(tensors=largest)))


if __name__ == "__main__":
    if len(sys.argv) > 1: measure(*json.loads(sys.argv[1]))
    else:
        rows = [json.loads(subprocess.run([sys.executable, __file__, json.dumps(case)], check=True, capture_output=True, text=True).stdout.splitlines()[-1]) for case in CASES]
        result = dict(command="python benchmarks/train_memory.py", rows=rows, versions=dict(torch=version("torch"), python=platform.python_version()), machine=f"{platform.machine()}，{os.cpu_count()}核")
        (Path(__file__).parents[1] / "nbs/results/train_memory.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        for row in rows: print(row)
