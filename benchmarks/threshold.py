"""门槛与分数：小模型预测的一张概率图和它的真相，存给06章能动手的图。

用法：python benchmarks/threshold.py，结果写进nbs/results/threshold.json。
种子427在训练没有用过的种子里挑出：有两个细胞轻轻挨着，门槛高低看得出差别。
"""
import tempfile
from itertools import groupby
from pathlib import Path

import numpy as np
from common import ROOT, save, show

from unet_repro.files import read_image, read_mask
from unet_repro.model import UNet
from unet_repro.predict import predict_image
from unet_repro.synthetic import make_synthetic

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"


def main(seed=427, size=(260, 348)):
    "隔一个像素取一个；概率64级，一个字一个像素；真相写成“编号 个数 编号 个数……”"
    model = UNet.from_pretrained(ROOT / "models/synthetic")
    with tempfile.TemporaryDirectory() as folder:
        place = make_synthetic(Path(folder) / "data", frames=2, size=size, seed=seed)
        truth = read_mask(sorted((place / "01_GT/SEG").glob("*.tif"))[-1])[::2, ::2]
        probability = predict_image(model, read_image(place / "01/t001.tif"))[::2, ::2]
    levels = np.rint(probability * 63).astype(int).ravel()
    runs = [(number, len(list(run))) for number, run in groupby(truth.ravel().tolist())]
    return dict(
        seed=seed, shape=" ".join(map(str, truth.shape)),
        probability="".join(DIGITS[level] for level in levels),
        truth=" ".join(f"{number} {n}" for number, n in runs))


if __name__ == "__main__":
    show(save("threshold", main()), "probability", "truth")
