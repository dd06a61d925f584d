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
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import set_seed
from common import RESULTS, ROOT, real_data, save
from PIL import Image
from scipy import ndimage
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, WeightedRandomSampler
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

from unet_repro.data import find_frames, split_dataset
from unet_repro.engine import train_run
from unet_repro.evaluate import iou, label_like_authors, score_folder, seg_measure
from unet_repro.membrane import (
    labels_rand_error, pixel_error, rand_error, rand_info, warping_error)
from unet_repro.memory import keep_memory
from unet_repro.model import UNet, init_he
from unet_repro.predict import label_instances, predict_image
from unet_repro.prepare import prepare as prepare_training
from unet_repro.recipe import RECIPES, WeightedCrossEntropy, WithWeights, ignore_unlabelled

WORK = ROOT / "runs/reproduce"


@dataclass(frozen=True)
class Data:
    "论文三个实验里的一套数据"
    name: str = "PhC-C2DH-U373"
    protocols: tuple = ("01to02", "02to01", "blocks")  # 主表的划分
    border: int = 50  # 视野：打分时四周几个像素不算
    cells: bool = True  # 掩码是一个个细胞的编号；否则0是膜，255是内部


U373 = Data()
HELA = Data("DIC-C2DH-HeLa", ("01to02", "02to01"))
EM = Data("ISBI-2012-EM", ("front", "back"), border=0, cells=False)
DATA = {data.name: data for data in (U373, HELA, EM)}
PREFIX = {U373.name: "", HELA.name: "hela-", EM.name: "em-"}  # 一次训练的名字的开头
PROTOCOLS = U373.protocols
BLOCKS = {  # EM是一叠相连的切片：留出10张，中间空3张不用
    "front": (range(17), range(20, 30)),
    "back": (range(13, 30), range(10)),
}
NECKS, SIZES = (0.5, 0.7, 0.85, 1), (100, 500, 1000)  # 在训练的帧上选切法，从这些里选
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)  # 门槛也是；没有记下门槛的几次用的是0.5
BUDGET = {16: (1500, 20), 32: (1500, 20), 64: (500, 10)}  # 各宽度训练多少块、分几轮
ABLATION_BUDGET = 600, 8  # 逐项比较都用这个预算
LONG_BUDGET = 10_000, 50  # 长训：两套配方各练一万块，看论文的配方是不是只差步数
OURS_LONG_BUDGET = 5_000, 25  # 我们的配方离定下的目标、离论文还差的，是不是差步数


# 逐项比较

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


class Gamma(v2.Transform):
    "灰度（在[-1, 1]里）先变到0到1，再取随机的次方，0.7到1.4；只动图像"
    def make_params(self, flat_inputs):
        "抽次方"
        return dict(power=0.7 * 2**torch.rand(1).item())

    def transform(self, inpt, params):
        "掩码不动"
        if isinstance(inpt, tv_tensors.Mask):
            return inpt
        return tv_tensors.wrap(2 * TF.adjust_gamma((inpt + 1) / 2, params["power"]) - 1, like=inpt)


class Averaged(torch.optim.RAdam):
    "RAdam，每步以后记权重的滑动平均（EMA）：新的占百分之一"
    def step(self, closure=None):
        loss = super().step(closure)
        for group in self.param_groups:
            for p in group["params"]:
                if "average" not in self.state[p]:
                    self.state[p]["average"] = p.detach().clone()
                self.state[p]["average"].lerp_(p.detach(), 0.01)
        return loss

    @torch.no_grad()
    def finish(self):
        "打分以前，换上平均的权重"
        for group in self.param_groups:
            for p in group["params"]:
                p.copy_(self.state[p]["average"])


# 步数少时，SGD的种子之间差得太多，比不出别的：先换成Adam，再换各自的一样
ADAM = dict(optimizer=torch.optim.Adam, lr=1e-3)
LETTER = dict(  # 论文说了的，一字不改；求和的步子大了一块的像素数那么多倍，学习率就除以它
    balance=True, precomputed=True, loss=partial(WeightedCrossEntropy, "sum"), lr=5e-3 / 388**2,
    max_norm=float("inf"), quiet=False, flips=())
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
    "letter": LETTER,
    "no_border": ADAM | dict(w0=0),
    "no_tra": ADAM | dict(radius=0),
}
OURS_ABLATIONS = {  # 我们的配方换掉、去掉一样
    "start": {},
    "adam": dict(optimizer=torch.optim.Adam),
    "no_neighbours": dict(neighbours=0),
    "alone": dict(neighbours=0),  # 同上，练主表那么多步
    "no_border": dict(w0=0),
    "flat": dict(w0=0),  # 同上，练主表那么多步：只看训练的录像，四种划分去掉它都升
    "no_scale": dict(scale=0),
    "no_rim": dict(margin=0, radius=0),
    "no_turn": dict(degrees=0),
    "no_decay": dict(decay=False),
    "grey": dict(contrast=0.25, brightness=0.1),  # 添上一样
    "gamma": dict(flips=(*RECIPES["ours"].flips, Gamma)),
    "ema": dict(optimizer=Averaged),
    "silver": {},  # 数据不同，见prepare
}
LEFT_OUT = "start", "no_neighbours", "no_border", "no_scale", "no_rim"  # 照旧，和去掉一样
FOLDS = "01front", "01back", "02front", "02back"  # 一段录像之内：前、后三分之二练，其余测
ELSEWHERE = {  # 不只在01to02上比的
    "adam": ("01to02", "random", "02to01"),
    "no_border": ("random",),  # U373里挨着的细胞只在02里，训练、测试两边都有的只有随机划分
    "no_tra": ("02to01",),  # 只有TRA标记的细胞都在02里
}


def recipe_of(run):
    "一次训练的配方"
    recipe, table = RECIPES[run["recipe"]], dict(paper=ABLATIONS, ours=OURS_ABLATIONS)
    changes = dict(decay=True, width=run["width"])
    if run["recipe"] == "tutorial":
        changes["loss"] = PlainBCE
    return replace(recipe, **changes | table.get(run["recipe"], {}).get(run["change"], {}))


def name_of(run):
    "一次训练的名字"
    change = run["change"] + "-" if run["change"] else ""
    return (f"{PREFIX[run['data']]}{run['recipe']}-{run['protocol']}-w{run['width']}-"
            f"{change}s{run['seed']}")


def all_runs():
    "名字 → 一次训练的设定，按要跑的先后"
    runs = {}

    def add(seed, width, recipe="paper", protocol="01to02", change=None, budget=ABLATION_BUDGET,
            data=U373):
        run = dict(data=data.name, recipe=recipe, protocol=protocol, width=width,
                   change=change, seed=seed)
        runs[name_of(run)] = run | dict(zip(("steps", "epochs"), budget))

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
    for width, recipe in product((16, 32), ("paper", "tutorial")):
        add(0, width, recipe, "01to02", "long", LONG_BUDGET)
    for seed, way in product((0, 1), (0, 1)):  # 先把一个种子、一个方向跑完
        for data, recipe in product((HELA, EM), ("tutorial", "paper")):
            add(seed, 16, recipe, data.protocols[way], None, BUDGET[16], data)
    for seed, change in product((0, 1), ("adam", "no_border")):  # HeLa的细胞处处挨着
        add(seed, 16, "paper", "01to02", change, data=HELA)
    for seed, data, way in product((0, 1), (U373, HELA, EM), (0, 1)):
        add(seed, 16, "ours", data.protocols[way], None, BUDGET[16], data)
    for seed, data, way in product((0, 1), (U373, HELA), (0, 1)):
        add(seed, 16, "ours", data.protocols[way], "adam", BUDGET[16], data)
    for seed, way in product((0, 1), (0, 1)):  # 边界项值多少，步数与主表一样
        add(seed, 16, "ours", HELA.protocols[way], "no_border", BUDGET[16], HELA)
    for seed in (0, 1):
        add(seed, 16, "ours", "blocks", None, BUDGET[16])
    for protocol, recipe in product(("01to02", "02to01"), ("tutorial", "paper")):
        add(3, 16, recipe, protocol, budget=BUDGET[16])  # 前三个种子没有试别的切法
    for change, seed in product(OURS_ABLATIONS, (0, 1)):
        if change not in ("adam", "alone", "flat"):
            add(seed, 16, "ours", "01to02", change)
    for change, seed, way in product(("alone", "flat"), (0, 1), (0, 1)):
        add(seed, 16, "ours", U373.protocols[way], change, BUDGET[16])
    for protocol, seed in product(EM.protocols, (0, 1)):
        add(seed, 16, "ours", protocol, "long", OURS_LONG_BUDGET, EM)
    for seed, data, way in product((0, 1), (U373, HELA), (0, 1)):
        add(seed, 16, "ours", data.protocols[way], "long", OURS_LONG_BUDGET, data)
    add(0, 16, "ours", "blocks", "long", OURS_LONG_BUDGET)
    for seed, change in product((0, 1), LEFT_OUT):  # 02→01默认的切法低：是哪一样
        add(seed, 16, "ours", "02to01", change)
    for change, fold in product((*LEFT_OUT, "grey", "gamma"), FOLDS):  # 只看训练的录像，选得一样吗
        add(0, 16, "ours", fold, change)
    for data, recipe, way in product(DATA.values(), RECIPES, (0, 1)):  # 宽一倍的
        add(0, 32, recipe, data.protocols[way], None, BUDGET[32], data)
    add(0, 32, "ours", "blocks", None, BUDGET[32])
    return runs


# 训练

def split(frames, protocol):
    "训练帧、测试帧的下标"
    if protocol == "random":
        return [part.indices for part in split_dataset(frames)]
    if protocol in BLOCKS:
        train, test = BLOCKS[protocol]
        return ([i for i, frame in enumerate(frames) if frame.number in train],
                [i for i, frame in enumerate(frames) if frame.number in test])
    if protocol == "blocks":  # 第40到79帧测试，两边各空10帧不用
        train = [i for i, frame in enumerate(frames) if not 30 <= frame.number < 90]
        return train, [i for i, frame in enumerate(frames) if 40 <= frame.number < 80]
    if protocol in FOLDS:
        inside = [i for i, frame in enumerate(frames) if frame.group == protocol[:2]]
        back = protocol.endswith("back")
        cut = len(inside) // 3 if back else len(inside) - len(inside) // 3
        parts = inside[:cut], inside[cut:]
        return parts[::-1] if back else parts
    train_seq, test_seq = protocol.split("to")
    train = [i for i, frame in enumerate(frames) if frame.group == train_seq]
    return train, [i for i, frame in enumerate(frames) if frame.group == test_seq]


def silver_mask(frame):
    "这一帧的银标"
    return frame.mask.parents[2] / f"{frame.group}_ST/SEG" / frame.mask.name


def silver_frames(frames):
    "一段录像里没有金标、有银标的帧，掩码是银标；frames是有金标的帧"
    first, known, found = frames[0], {frame.number for frame in frames}, []
    for mask in sorted(silver_mask(first).parent.glob("man_seg*.tif")):
        digits = mask.stem.removeprefix("man_seg")
        if int(digits) not in known:
            found.append(replace(
                first, number=int(digits), mask=mask, image=first.image.with_name(f"t{digits}.tif"),
                marks=first.marks.with_name(f"man_track{digits}.tif")))
    if not found:
        sys.exit(f"{silver_mask(first).parent}里没有银标：重新解压数据")
    return found


class Field(v2.Transform):
    """打分的视野，整个一块：掩码去掉四周border像素，再裁到合法的输出（U373是596×420）；
    图像镜像补边，凑足92像素的上下文"""
    def __init__(self, border):
        super().__init__()
        self.border = border

    def transform(self, inpt, params):
        "掩码裁，图像补"
        h, w = inpt.shape[-2:]
        size = [n - 2 * self.border for n in (h, w)]
        size = [n - (n - 4) % 16 for n in size]
        if isinstance(inpt, tv_tensors.Mask):
            return TF.center_crop(inpt, size)
        pad_y, pad_x = [(n + 184 - old) // 2 for n, old in zip(size, (h, w))]
        return TF.pad(inpt, [pad_x, pad_y], padding_mode="reflect")


def prepare(run, workers=0):
    "一次训练的`train_run`参数；workers：几个进程备数据"
    recipe, data = recipe_of(run), DATA[run["data"]]
    silver = run["change"] == "silver"
    frames = find_frames(real_data(data.name, silver))
    learned, held = split(frames, run["protocol"])
    gold = len(learned)
    if silver:
        more = silver_frames([frames[i] for i in learned])
        learned = [*learned, *range(len(frames), len(frames) + len(more))]
        frames = [*frames, *more]
    parts = prepare_training(recipe, frames, indices=(learned, held))
    train, test = parts["train_dataloader"].dataset, parts["test_dataloader"].dataset
    if not data.cells:  # 内部的每个连通域是一个细胞
        train.dataset.masks[:] = [ndimage.label(mask)[0] for mask in train.dataset.masks]
    each_epoch = run["steps"] // run["epochs"]
    sampler = RandomSampler(train, num_samples=each_epoch)
    if silver:  # 金标、银标各一半
        shares = [1 / gold] * gold + [1 / (len(train) - gold)] * (len(train) - gold)
        sampler = WeightedRandomSampler(shares, each_epoch)
    parts["train_dataloader"] = DataLoader(
        train, sampler=sampler, num_workers=workers,
        persistent_workers=workers > 0, pin_memory=torch.cuda.is_available())
    # 逐轮测试的视野与打分的一样，漏标的细胞周围也不算，不管训练时算不算
    test.dataset.masks = list(test.dataset.masks)
    ignore_unlabelled(test.dataset, margin=data.border)
    if not recipe.resize:
        view = [Field(data.border), WithWeights(gap=False, w0=0, balance=False)]
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


def frame_id(frame):
    "两段录像的帧号错开1000"
    return 1000 * int(frame.group) + frame.number


def score_labels(frames, labels, border=50):
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
        return score_folder(tmp / "RES", tmp / "GT", border=border)


def predict_all(model, part, run, average=False):
    "训练或测试的各帧，前景的概率"
    return [predict(model, part.dataset.images[i], run, average) for i in part.indices]


def true_labels(part):
    "训练或测试的各帧，真相的编号图"
    return [np.maximum(part.dataset.masks[i], 0) for i in part.indices]


def score_membranes(found, test):
    "EM：内部的概率，24章的五种量法，和前景的IoU"
    inside = [labels > 0 for labels in true_labels(test)]
    v_rand, v_info = rand_info(found, inside)
    return dict(iou=iou(np.stack(found) > 0.5, np.stack(inside)),
                pixel_error=pixel_error(found, inside), rand_error=rand_error(found, inside),
                warping_error=warping_error(found, inside), V_rand=v_rand, V_info=v_info)


def choose_threshold(found, train):
    "在训练的帧的预测上，挑像素IoU最高的门槛；不算的像素不看"
    known = [train.dataset.masks[i] >= 0 for i in train.indices]
    pixels = np.concatenate([p[k] for p, k in zip(found, known)])
    truth = np.concatenate([(m > 0)[k] for m, k in zip(true_labels(train), known)])
    return max(THRESHOLDS, key=lambda threshold: iou(pixels > threshold, truth))


def least(found, train, cuttings, cost):
    "在训练的帧的预测上，挑cost最小的切法"
    truth = true_labels(train)

    def total(cutting):
        return cost([label_instances(p, **cutting) for p in found], truth)

    return min(cuttings, key=total)


def choose_cutting(found, train, border, threshold):
    "在训练的帧的预测上，挑SEG最高的neck和min_size"
    cuttings = [dict(threshold=threshold, neck=neck, min_size=min_size)
                for neck, min_size in product(NECKS, SIZES)]
    return least(found, train, cuttings, lambda *labels: -seg_measure(*labels, border))


def choose_blocks(found, train):
    "EM：在训练的切片的预测上，挑Rand错误最低的门槛和neck"
    cuttings = [dict(threshold=threshold, neck=neck, min_size=0)
                for threshold, neck in product(THRESHOLDS[::2], (0, 0.3, 0.5, 0.7))]
    return least(found, train, cuttings, labels_rand_error)


def score(model, train, test, run):
    """测试帧的成绩：默认的做法；主表的还有8种朝向平均，细胞的再有挑过的切法，和作者脚本的做法；
    早先几次的authors是另一种：平均8种朝向，4连通；fitted是挑过切法、不平均的"""
    data, main = DATA[run["data"]], run["steps"] != ABLATION_BUDGET[0]
    frames = [test.dataset.frames[i] for i in test.indices]
    found = dict(plain=predict_all(model, test, run))
    if main:
        found["average"] = predict_all(model, test, run, average=True)
    if not data.cells:
        result = {way: score_membranes(maps, test) for way, maps in found.items()}
        if main:
            cutting = result["cutting"] = choose_blocks(predict_all(model, train, run), train)
            labels = [label_instances(p, **cutting) for p in found["average"]]
            result["both"] = dict(rand_error=labels_rand_error(labels, true_labels(test)))
        return result

    def score_cut(maps, cut=label_instances, **cutting):
        return score_labels(frames, [cut(p, **cutting) for p in maps], data.border)

    result = {way: score_cut(maps) for way, maps in found.items()}
    if main:
        seen = predict_all(model, train, run)
        threshold = choose_threshold(seen, train)
        cutting = result["cutting"] = choose_cutting(seen, train, data.border, threshold)
        result["both"] = score_cut(found["average"], **cutting)
        flips = predict_all(model, test, run, "flips")
        result["release"] = score_cut(flips, partial(label_like_authors, border=data.border))
    return result


def execute(name, run, out=RESULTS / "reproduce", work=WORK, workers=0, precision="fp32"):
    "训练、打分，写out里的JSON；练到一半的留在work里"
    keep_memory()
    set_seed(run["seed"])
    parts = prepare(run, workers)
    model = parts["model"]
    train, test = parts["train_dataloader"].dataset, parts["test_dataloader"].dataset
    history = train_run(**parts, out=work / name, resume=True,  # 被打断的接着练
                        precision=precision)
    if isinstance(parts["optimizer"], Averaged):
        parts["optimizer"].finish()
    start = time.perf_counter()
    scores = score(model, train, test, run)
    result = run | dict(
        train_frames=len(train), test_frames=len(test), threads=torch.get_num_threads(),
        device=device_name(model), precision=precision, history=history) | scores
    training = sum(row["seconds"] for row in history)
    result["seconds"] = training + time.perf_counter() - start
    save(out.resolve() / name, result)
    shown = "，".join(f"{key} {value:.3f}" for key, value in scores["plain"].items()
                     if isinstance(value, float))
    print(f"{name}：{shown}；{result['seconds']:.0f}秒", flush=True)


def device_name(model):
    "网络在哪里：显卡的名字，或cpu"
    device = next(model.parameters()).device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


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
