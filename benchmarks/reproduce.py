"""08章的表：每次训练写成nbs/results/reproduce/名字.json，已经有的跳过。用法：

    python benchmarks/reproduce.py              还没跑的全跑，两个一起，各用一个线程
    python benchmarks/reproduce.py --list       列出每一次，跑过的打勾
    python benchmarks/reproduce.py 名字          只跑这一次，用全部的核
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import set_seed
from common import RESULTS, ROOT, real_data, save
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, RandomSampler
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

from unet_repro import recipe as recipes
from unet_repro.data import find_frames, split_dataset
from unet_repro.engine import keep_memory, train_run
from unet_repro.evaluate import score_folder
from unet_repro.model import UNet, init_he
from unet_repro.predict import label_instances, predict_image
from unet_repro.recipe import PAPER, TUTORIAL, Recipe, WithWeights, ignore_unlabelled

WORK = ROOT / "runs/reproduce"
PROTOCOLS = ("01to02", "02to01", "blocks")  # 主表的划分
BUDGET = {16: (1500, 20), 32: (1500, 20), 64: (500, 10)}  # 各宽度训练多少块、分几轮
ABLATION_BUDGET = 600, 8  # 逐项比较都用这个预算
LONG_BUDGET = 10_000, 50  # 长训：两套配方各练一万块，看论文的配方是不是只差步数


# 逐项比较

@dataclass(frozen=True)
class Trial(Recipe):
    "一次训练的配方，和配方以外的一样"
    decay: bool = True  # 学习率是否按余弦降到接近0


class TopLeft(UNet):
    "跳跃连接从左上角裁：原教程的错误三"
    def _expand(self, i, x, skip):
        x = self.up[i](x)
        skip = skip[..., :x.shape[-2], :x.shape[-1]]
        return self.decoder[i](torch.cat([skip, x], dim=1))


def drawn_twice(*args, **kwargs):
    "He初始化抽两遍的网络：表里的数是这样跑出来的"
    model = UNet(*args, **kwargs)
    init_he(model)
    return model


class PlainBCE(nn.BCEWithLogitsLoss):
    "教程的损失不看权重；打分的视野带着权重，只为了不数漏标的细胞"
    def forward(self, outputs, mask, weight=None):
        return super().forward(outputs, mask)


# 步数少时，SGD的种子之间差得太多，比不出别的：先换成Adam，再换各自的一样
ADAM = dict(optimizer=torch.optim.Adam, lr=1e-3)
ABLATIONS = {  # 名字：论文的配方换掉什么；各是什么，见08章
    "base": {},
    "adam": ADAM,
    "no_elastic": ADAM | dict(sigma=0),
    "balance": ADAM | dict(balance=True),
    "top_left": ADAM | dict(network=TopLeft),
    "resized": ADAM | dict(resize=388),
    "no_rim": ADAM | dict(margin=0),
    "no_dropout": ADAM | dict(dropout=0),
    "bicubic": ADAM | dict(mode="bicubic"),
    "no_decay": ADAM | dict(decay=False),
    "no_clip": dict(max_norm=float("inf")),
    "loud_head": dict(quiet=False, network=drawn_twice),
    "no_border": ADAM | dict(w0=0),
    "no_tra": ADAM | dict(radius=0),
}
ELSEWHERE = {  # 不只在01to02上比的
    "adam": ("01to02", "random", "02to01"),
    "no_border": ("random",),  # 挨着的细胞只在02里，训练、测试两边都有的只有随机划分
    "no_tra": ("02to01",),  # 只有TRA标记的细胞都在02里
}


def recipe_of(run):
    "一次训练的配方"
    if run["recipe"] == "tutorial":
        trial, changes = Trial(**vars(replace(TUTORIAL, loss=PlainBCE))), {}
    else:
        trial, changes = Trial(**vars(PAPER)), ABLATIONS.get(run["change"], {})
    return replace(trial, width=run["width"], **changes)


def all_runs():
    "名字 → 一次训练的设定，按要跑的先后"
    runs = {}

    def add(seed, width, recipe="paper", protocol="01to02", change=None, budget=ABLATION_BUDGET):
        name = f"{recipe}-{protocol}-w{width}-{change + '-' if change else ''}s{seed}"
        steps, epochs = budget
        runs[name] = dict(recipe=recipe, protocol=protocol, width=width, change=change,
                          seed=seed, steps=steps, epochs=epochs)

    def add_table(seed, width):
        for protocol in PROTOCOLS:
            for recipe in ("paper", "tutorial"):
                add(seed, width, recipe, protocol, budget=BUDGET[width])

    for seed in (0, 1, 2):
        add_table(seed, 16)
    for protocol in ("01to02", "random", "02to01"):
        for change in ABLATIONS:
            if protocol in ELSEWHERE.get(change, ("01to02",)):
                add(0, 16, "paper", protocol, change)
                add(1, 16, "paper", protocol, change)
    for width in (32, 64):
        add_table(0, width)
    for recipe in ("paper", "tutorial"):
        add(0, 16, recipe, "01to02", "long", LONG_BUDGET)
    return runs


# 训练

def split(frames, protocol):
    "训练帧、测试帧的下标"
    if protocol == "random":
        return [part.indices for part in split_dataset(frames)]
    if protocol == "blocks":  # 第40到79帧测试，两边各空10帧不用
        train = [i for i, frame in enumerate(frames) if not 30 <= frame.number < 90]
        return train, [i for i, frame in enumerate(frames) if 40 <= frame.number < 80]
    train_seq, test_seq = protocol.split("to")
    train = [i for i, frame in enumerate(frames) if frame.group == train_seq]
    return train, [i for i, frame in enumerate(frames) if frame.group == test_seq]


class Field(v2.Transform):
    """打分的视野，整个一块：掩码去掉四周50像素，596×420，正好是合法的输出；
    图像镜像补边，凑足92像素的上下文"""
    def transform(self, inpt, params):
        "掩码裁，图像补"
        h, w = inpt.shape[-2:]
        if isinstance(inpt, tv_tensors.Mask):
            return TF.crop(inpt, 50, 50, h - 100, w - 100)
        return TF.pad(inpt, [42], padding_mode="reflect")


def prepare(run):
    "一次训练的`train_run`参数"
    recipe, frames = recipe_of(run), find_frames(real_data())
    parts = recipes.prepare(recipe, frames, indices=split(frames, run["protocol"]))
    train, test = parts["train_dataloader"].dataset, parts["test_dataloader"].dataset
    sampler = RandomSampler(train, num_samples=run["steps"] // run["epochs"])
    parts["train_dataloader"] = DataLoader(train, sampler=sampler)
    # 逐轮测试的视野与打分的一样，漏标的细胞周围也不算，不管训练时算不算
    test.dataset.masks = list(test.dataset.masks)
    ignore_unlabelled(test.dataset)
    if not recipe.resize:
        view = [Field(), WithWeights(gap=False, w0=0, balance=False)]
        test.dataset.transform = v2.Compose(view)
    return parts | dict(num_epochs=run["epochs"], decay=recipe.decay)


# 打分

def predict(model, image, run, average):
    "前景的概率；压过的网络看到的是压过的图"
    side = recipe_of(run).resize
    if not side:
        return predict_image(model, image, average=average)
    resized = np.asarray(Image.fromarray(image).resize((side, side), Image.BILINEAR))
    small = torch.from_numpy(predict_image(model, resized, average=average))
    return F.interpolate(small[None, None], image.shape, mode="bilinear")[0, 0].clamp(0, 1).numpy()


def silver_mask(frame):
    "这一帧的银标"
    return frame.mask.parents[2] / f"{frame.group}_ST/SEG" / frame.mask.name


def frame_id(frame):
    "两段录像的帧号错开1000"
    return 1000 * int(frame.group) + frame.number


def score_labels(frames, labels):
    "各帧的编号图写成一个结果文件夹，按挑战赛的办法打分"
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        for name in ("RES", "GT/SEG", "GT/TRA"):
            (tmp / name).mkdir(parents=True)
        for frame, found in zip(frames, labels):
            number = f"{frame_id(frame):04}"
            Image.fromarray(found.astype("uint16")).save(tmp / f"RES/mask{number}.tif")
            (tmp / f"GT/SEG/man_seg{number}.tif").symlink_to(frame.mask.absolute())
            (tmp / f"GT/TRA/man_track{number}.tif").symlink_to(frame.marks.absolute())
        return score_folder(tmp / "RES", tmp / "GT", border=50)


def score(model, test, run, average):
    "测试帧的成绩"
    images = [test.dataset.images[i] for i in test.indices]
    labels = [label_instances(predict(model, image, run, average)) for image in images]
    return score_labels([test.dataset.frames[i] for i in test.indices], labels)


def execute(name, run):
    "训练、打分、写JSON"
    keep_memory()
    set_seed(run["seed"])
    parts = prepare(run)
    model = parts["model"]
    train, test = parts["train_dataloader"].dataset, parts["test_dataloader"].dataset
    history = train_run(**parts, out=WORK / name, resume=True)  # 被打断的接着练
    start = time.perf_counter()
    result = run | dict(
        train_frames=len(train), test_frames=len(test), threads=torch.get_num_threads(),
        plain=score(model, test, run, False), history=history)
    if run["change"] in (None, "long"):
        result["average"] = score(model, test, run, True)
    training = sum(row["seconds"] for row in history)
    result["seconds"] = training + time.perf_counter() - start
    save(f"reproduce/{name}", result)
    plain = result["plain"]
    print(f"{name}：IoU {plain['iou']:.3f}，SEG {plain['SEG']:.3f}，DET {plain['DET']:.3f}；"
          f"{result['seconds']:.0f}秒", flush=True)


def spawn(name):
    "在子进程里用一个线程跑一次，输出写进runs/reproduce/名字.log；不成就说一声"
    WORK.mkdir(parents=True, exist_ok=True)
    log = WORK / f"{name}.log"
    with open(log, "w") as file:
        code = subprocess.call([sys.executable, __file__, name], stdout=file, stderr=file,
                               env=os.environ | {"OMP_NUM_THREADS": "1"})
    print(f"没跑成，看{log}：{name}" if code else f"完成：{name}", flush=True)
    return code


def main():
    "列出、跑一次或全跑"
    parser, runs = argparse.ArgumentParser(), all_runs()
    parser.add_argument("name", nargs="?", choices=runs, metavar="名字")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    todo = [name for name in runs if not (RESULTS / f"reproduce/{name}.json").exists()]
    if args.name:
        return execute(args.name, runs[args.name])
    if not args.list:
        with ThreadPoolExecutor(2) as pool:
            return any(pool.map(spawn, todo))
    for name in runs:
        print(f"{'  ' if name in todo else '✓ '}{name}")


if __name__ == "__main__":
    sys.exit(main())
