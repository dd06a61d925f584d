"""预测的内存峰值随图像大小的变化。

用法：python benchmarks/predict_memory.py，结果写进nbs/results/predict_memory.json。
一张一千见方的合成图像铺成一千到两万见方，存成不压缩的TIFF；每种大小用一个新的进程调用predict_file，
记下那个进程全程的峰值（ru_maxrss）。网络宽8，权重设成只看亮度，所以分出的细胞数与面积成正比。
"""
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
from common import fresh, output, save

SIDES = (1000, 2000, 5000, 10_000, 20_000)
MAX_MEMORY = 200 * 10**6  # 字节


def write_image(path, side):
    "把一块合成的画面铺成side见方"
    from unet_repro.files import read_image
    from unet_repro.synthetic import make_synthetic
    with tempfile.TemporaryDirectory() as tmp:
        folder = make_synthetic(Path(tmp) / "s") / "01"
        one = read_image(sorted(folder.glob("*.tif"))[0])
    out = tifffile.memmap(path, shape=(side, side), dtype=np.uint8)
    repeats = -(-side // one.shape[1])
    for y in range(0, side, len(one)):
        band = np.tile(one, (1, repeats))[:side - y, :side]
        out[y:y + len(band)] = band
    out.flush()


def brightness_model(middle):
    "一个只看亮度的网络：权重全是0，只留一条从图像到输出的直路；比middle亮出一截的像素算细胞"
    from unet_repro.model import UNet
    model = UNet(1, 1, width=8, value_range=(middle - 20, middle + 20))
    for p in model.parameters():
        p.data.zero_()
    for block in (model.encoder[0], model.decoder[-1]):
        block[0].weight.data[0, 0, 1, 1] = 1
        block[2].weight.data[0, 0, 1, 1] = 1
    model.head.weight.data[0, 0] = 20
    model.head.bias.data.fill_(-8)
    return model


def peak():
    "这个进程到此为止的内存峰值，字节"
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(path, out):
    "在这个进程里预测一张图像，打印一行结果"
    from unet_repro.large import predict_file
    from unet_repro.predict import plan_tiles
    model = brightness_model(float(np.median(tifffile.memmap(path)[:500, :500])))
    base = peak()
    start = time.perf_counter()
    cells = predict_file(model, path, out, max_memory=MAX_MEMORY)
    seconds = time.perf_counter() - start
    side = tifffile.TiffFile(path).pages[0].shape[0]
    tiles = len(plan_tiles((side, side), model, MAX_MEMORY))
    print(json.dumps(dict(
        side=side, tiles=tiles, cells=cells, base=base, peak=peak(), seconds=seconds)))


def main():
    "每种大小：写一张图像，预测它；都用新的进程，因为峰值会从父进程继承"
    rows = []
    for side in SIDES:
        with tempfile.TemporaryDirectory() as tmp:
            image = f"{tmp}/image.tif"
            output([sys.executable, __file__, "write", image, str(side)])
            rows.append(fresh(__file__, "measure", image, f"{tmp}/out"))
        print(rows[-1], flush=True)
    save("predict_memory", dict(max_memory=MAX_MEMORY, rows=rows), ["scipy", "tifffile"])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write", path, side]:
            write_image(path, int(side))
        case ["measure", path, out]:
            measure(Path(path), Path(out))
        case _:
            main()
