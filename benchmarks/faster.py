"""同一张2048×2048的图像，PyTorch、ONNX Runtime、OpenVINO谁快；8位整数快多少，SEG差多少。

用法：pip install onnx onnxscript onnxruntime openvino nncf（要与MONAI比再加monai），
然后python benchmarks/faster.py，结果写进nbs/results/faster.json。--try在很小的图像、很窄的网络上
几十秒走一遍，只打印，不存。
网络在合成数据的01上照教程配方练，宽16和64各一个，存在runs/faster里，有就不再练。五种引擎：
PyTorch；ONNX Runtime和OpenVINO的单精度；这两家的8位整数（静态量化，用01的各帧定范围：ONNX
Runtime的QDQ、逐通道，NNCF的默认）。换的只是网络的前向，切块、镜像、拼接都是predict_image的，块也
一样大，所以比的是引擎。各做两次，轮流，取快的一次；宽64另与MONAI的sliding_window_inference比
（predict_speed.py的写法，连续的排法）。gap是概率与PyTorch的最大差多少，SEG在02的各帧上算，概率都
过label_instances的默认值。
"""
import argparse
import copy
import importlib.util
import tempfile
from pathlib import Path

import nncf
import numpy as np
import onnxruntime
import openvino
import torch
from common import ROOT, save, show, timed
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process
from predict_speed import peer

from unet_repro.data import find_frames, normalize
from unet_repro.evaluate import seg_measure
from unet_repro.export import export_model
from unet_repro.files import read_image, read_mask
from unet_repro.model import UNet
from unet_repro.predict import foreground, label_instances, plan_tiles, predict_image
from unet_repro.prepare import tutorial_recipe
from unet_repro.synthetic import make_synthetic
from unet_repro.train import train_and_evaluate

FULL = dict(side=2048, epochs={16: 30, 64: 15})  # 宽度 → 练几轮
TRY = dict(side=256, epochs={4: 2})
WORK = ROOT / "runs/faster"


class Swapped(UNet):
    "前向换成别的引擎，其余照旧"
    def forward(self, x):
        return torch.from_numpy(self.run(x.contiguous().numpy()))


def swap(model, run):
    "model的一份，前向是run：数组进，数组出"
    other = copy.copy(model)
    other.__class__, other.run = Swapped, run
    return other


class Tiles(quantization.CalibrationDataReader):
    "一块一块地交给量化器"
    def __init__(self, tiles):
        self.rest = iter(tiles)

    def get_next(self):
        tile = next(self.rest, None)
        return None if tile is None else {"x": tile}


def run_onnx(path):
    "ONNX Runtime读这个文件：一个函数"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})[0]


def run_openvino(network):
    "OpenVINO编译这个网络：一个函数；没有量化的运算用单精度"
    compiled = openvino.Core().compile_model(network, "CPU", {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"})
    return lambda x: compiled(x)[0]


def engines(model, tiles, folder):
    "`{名字: 网络}`"
    plain, ready, small = (folder / f"{name}.onnx" for name in ("plain", "ready", "small"))
    export_model(model, plain)
    quant_pre_process(plain, ready, skip_symbolic_shape=True)
    quantization.quantize_static(
        ready, small, Tiles(tiles), per_channel=True,
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8)
    network = openvino.Core().read_model(plain)
    samples = nncf.Dataset(tiles, lambda tile: {"x": tile})
    integers = nncf.quantize(network, samples, subset_size=len(tiles))
    runs = {
        "ONNX Runtime fp32": run_onnx(plain), "ONNX Runtime int8": run_onnx(small),
        "OpenVINO fp32": run_openvino(network), "OpenVINO int8": run_openvino(integers)}
    return {"PyTorch": model} | {name: swap(model, run) for name, run in runs.items()}


def train(folder, width, epochs):
    "照教程配方练好的网络"
    kept = WORK / f"w{width}"
    if not kept.exists():
        torch.manual_seed(0)
        parts = tutorial_recipe(folder, width=width)
        train_and_evaluate(**parts, num_epochs=epochs)
        parts["model"].save_pretrained(kept)
    return UNet.from_pretrained(kept).eval()


def seg(model, frames):
    "这些帧上的SEG"
    found = [label_instances(foreground(predict_image(model, read_image(f.image))))
             for f in frames]
    return seg_measure(found, [read_mask(f.mask) for f in frames])


def measure(width, side, epochs, folder):
    "一种宽度：各引擎的秒数、SEG、与PyTorch的差"
    data = folder / "Synthetic"
    if not data.exists():
        make_synthetic(data)
    model = train(data, width, epochs)
    frames = find_frames(data)
    seen = [read_image(f.image) for f in frames if f.group == "01"]
    held = [f for f in frames if f.group == "02"]
    tiles = [normalize(image[:508, :508], model.value_range)[None].numpy() for image in seen]
    models = engines(model, tiles, folder)
    image = np.tile(seen[0], (-(-side // 520), -(-side // 696)))[:side, :side]
    jobs = {name: lambda m=m: predict_image(m, image) for name, m in models.items()}
    if width == 64 and importlib.util.find_spec("monai"):
        x = normalize(image, model.value_range)[None]
        with torch.inference_mode():
            jobs["MONAI"] = peer("contiguous_format", x)
    seconds, results = {name: [] for name in jobs}, {}
    for _ in range(2):
        for name, job in jobs.items():
            with torch.inference_mode():
                results[name], spent = timed(job)
            seconds[name].append(spent)
            print(width, name, spent, flush=True)
    rows = []
    for name in jobs:
        row = dict(width=width, engine=name, seconds=seconds[name])
        if name in models:
            gap = float(np.abs(results[name] - results["PyTorch"]).max())
            row |= dict(gap=gap, SEG=seg(models[name], held))
        rows.append(row)
    return rows, len(plan_tiles((side, side), model))


def main(side, epochs):
    "各种宽度"
    rows, tiles = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for width in epochs:
            more, tiles[width] = measure(width, side, epochs[width], Path(folder))
            rows += more
    return dict(side=side, epochs=epochs, tiles=tiles, threads=torch.get_num_threads(), rows=rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--try", dest="small", action="store_true")
    if parser.parse_args().small:
        show(main(**TRY))
    else:
        packages = ["onnxruntime", "openvino", "nncf"]
        packages += ["monai"] if importlib.util.find_spec("monai") else []
        show(save("faster", main(**FULL), packages))
