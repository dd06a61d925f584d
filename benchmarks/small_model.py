"""练models/synthetic：宽8的网络，只见过合成的细胞；再练五帧“自己的”图像，看从它起步差多少。

用法：python benchmarks/small_model.py，权重写进models/synthetic，结果写进nbs/results里的
small_model.json和start.json；--start_only：模型不重练，只比起步。几分钟，不要真实数据。
"""
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import set_seed
from common import ROOT, save, show, timed
from PIL import Image
from torch.utils.data import DataLoader, RandomSampler

from unet_repro.data import find_frames
from unet_repro.evaluate import seg_measure
from unet_repro.model import UNet
from unet_repro.predict import label_instances, predict_image
from unet_repro.prepare import prepare
from unet_repro.recipe import TUTORIAL
from unet_repro.synthetic import make_synthetic
from unet_repro.train import train_and_evaluate

MODEL = ROOT / "models/synthetic"
RECIPE = replace(TUTORIAL, width=8)
TRAIN_SEEDS, TEST_SEED, EPOCHS = range(8), 100, 10
OWN_SEED, STEPS, ROUNDS = 200, 20, 3
LOOKS = {"一样的明暗": False, "反过来的明暗": True}
SHRINK = 0.75  # 自己的图像里，细胞小四分之一
WAYS = {  # 从不从models/synthetic起步，学习率
    "从头练": (False, 1e-3), "起步，不再练": (True, 0),
    "起步再练": (True, 1e-3), "起步再练，学习率十分之一": (True, 1e-4)}
SEEDS = 0, 1


def segmentation(model, dataset, indices):
    "几帧的SEG"
    images = [dataset.images[i] for i in indices]
    masks = [dataset.masks[i] for i in indices]
    found = [label_instances(predict_image(model, image)) for image in images]
    return float(seg_measure(found, masks))


def measures(parts, history):
    "一次训练的成绩：逐轮的IoU，最后的SEG"
    test = parts["test_dataloader"].dataset
    score = segmentation(parts["model"].eval(), test.dataset, test.indices)
    return dict(iou=[row["iou"] for row in history], SEG=score)


def train_small(place):
    "练出models/synthetic"
    seeds = [*TRAIN_SEEDS, TEST_SEED]
    sets = [find_frames(make_synthetic(place / str(seed), frames=8, seed=seed)) for seed in seeds]
    n = sum(map(len, sets[:-1]))
    indices = range(n), range(n, n + len(sets[-1]))
    set_seed(0)
    parts = prepare(RECIPE, sum(sets, []), indices=indices)
    history, seconds = timed(lambda: train_and_evaluate(**parts, num_epochs=EPOCHS))
    parts["model"].save_pretrained(MODEL)
    size = sum(file.stat().st_size for file in MODEL.iterdir())
    result = dict(
        frames=n, test_frames=len(sets[-1]), steps=n * EPOCHS, seconds=round(seconds), bytes=size,
        parameters=sum(p.numel() for p in parts["model"].parameters()),
        **measures(parts, history))
    show(save("small_model", result))


def own_frames(place, inverted):
    "自己的图像：种子没见过，细胞小一些，也可以明暗相反；01训练、02测试，各五帧"
    source = make_synthetic(place / "source", frames=10, seed=OWN_SEED)
    for i, frame in enumerate(find_frames(source)):
        for kind, path in (("images", frame.image), ("masks", frame.mask)):
            picture, target = Image.open(path), place / kind / frame.group / f"{i}.png"
            size = [round(side * SHRINK) for side in picture.size]
            how = Image.Resampling.BOX if kind == "images" else Image.Resampling.NEAREST
            pixels = np.asarray(picture.resize(size, how))
            target.parent.mkdir(parents=True, exist_ok=True)
            flip = inverted and kind == "images"
            Image.fromarray(255 - pixels if flip else pixels).save(target)
    return place


def train_own(folder, start, lr, seed):
    "练五帧；start：从models/synthetic起步；lr是0：不练"
    set_seed(seed)
    parts = prepare(replace(RECIPE, lr=lr), folder)
    train = parts["train_dataloader"].dataset
    if start:
        parts["model"].load_state_dict(UNet.from_pretrained(MODEL).state_dict())
    sampler = RandomSampler(train, replacement=True, num_samples=STEPS)
    parts["train_dataloader"] = DataLoader(train, sampler=sampler)
    return measures(parts, train_and_evaluate(**parts, num_epochs=ROUNDS) if lr else [])


def compare_start(place):
    "两种明暗，两个种子，有没有起步"
    rows = []
    for look, inverted in LOOKS.items():
        folder = own_frames(place / look, inverted)
        for way, (start, lr) in WAYS.items():
            for seed in SEEDS if lr else SEEDS[:1]:  # 不练的，种子不起作用
                row = dict(look=look, way=way, start=start, lr=lr, seed=seed)
                rows.append(row | train_own(folder, start, lr, seed))
    show(save("start", dict(frames=5, steps=STEPS * ROUNDS, shrink=SHRINK, rows=rows)))


def main():
    "练，再比"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        if "--start_only" not in sys.argv:
            train_small(Path(place) / "small")
        compare_start(Path(place) / "own")


if __name__ == "__main__":
    main()
