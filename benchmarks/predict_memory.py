"""预测的内存峰值随图像大小的变化。用法：python benchmarks/predict_memory.py，结果写进nbs/results/predict_memory.json。

一张一千见方的合成图像铺成一千到两万见方，存成不压缩的TIFF；每种大小用一个新的进程调用predict_file，
记下那个进程全程的峰值（ru_maxrss）。网络宽8，权重设成只看亮度，所以分出的细胞数与面积成正比。
"""
import json, os, platform, resource, subprocess, sys, tempfile, time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tifffile

SIDES = (1000, 2000, 5000, 10_000, 20_000)


def write_image(path, side):
    "把一块合成的画面铺成side见方"
    from unet_repro.data import make_synthetic, read_image
    with tempfile.TemporaryDirectory() as tmp: one = read_image(sorted((make_synthetic(Path(tmp) / "s") / "01").glob("*.tif"))[0])
    out = tifffile.memmap(path, shape=(side, side), dtype=np.uint8)
    for y in range(0, side, len(one)):
        band = np.tile(one, (1, -(-side // one.shape[1])))[:side - y, :side]
        out[y:y + len(band)] = band
    out.flush()


def measure(path, out):
    "在这个进程里预测一张图像，打印一行结果"
    import torch
    from unet_repro.model import UNet
    from unet_repro.predict import plan_tiles, predict_file
    middle = float(np.median(tifffile.memmap(path)[:500, :500]))
    model = UNet(1, 1, width=8, value_range=(middle - 20, middle + 20))
    for p in model.parameters(): p.data.zero_()
    model.head.bias.data.fill_(-8)  # 权重全是0，只留一条从图像到输出的直路：比中位数亮出一截的像素算细胞
    model.encoder[0][0].weight.data[0, 0, 1, 1] = model.encoder[0][2].weight.data[0, 0, 1, 1] = 1
    model.decoder[-1][0].weight.data[0, 0, 1, 1] = model.decoder[-1][2].weight.data[0, 0, 1, 1] = 1
    model.head.weight.data[0, 0] = 20
    base, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, time.perf_counter()
    cells = predict_file(model, path, out, max_memory=200 * 10**6)
    side = tifffile.TiffFile(path).pages[0].shape[0]
    print(json.dumps(dict(side=side, tiles=len(plan_tiles((side, side), model, 200 * 10**6)), cells=cells, base=base,
                          peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, seconds=time.perf_counter() - start)))


if __name__ == "__main__":
    if len(sys.argv) > 2: write_image(sys.argv[2], int(sys.argv[3])) if sys.argv[1] == "write" else measure(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        rows = []
        for side in SIDES:
            with tempfile.TemporaryDirectory() as tmp:
                run = lambda *args: subprocess.run([sys.executable, __file__, *args], check=True, capture_output=True, text=True).stdout
                run("write", f"{tmp}/image.tif", str(side))  # 也用新的进程：峰值会从父进程继承
                rows.append(json.loads(run("measure", f"{tmp}/image.tif", f"{tmp}/out").splitlines()[-1]))
            print(rows[-1], flush=True)
        result = dict(command="python benchmarks/predict_memory.py", max_memory=200 * 10**6, rows=rows,
                      versions={p: version(p) for p in ("torch", "numpy", "scipy", "tifffile")} | {"python": platform.python_version()}, machine=f"{platform.machine()}，{os.cpu_count()}核")
        (Path(__file__).parents[1] / "nbs/results/predict_memory.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
