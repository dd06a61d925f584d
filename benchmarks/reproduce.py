"""08章的表：每次训练写成nbs/results/reproduce/名字.json，已经有的跳过。用法：

    python benchmarks/reproduce.py              还没跑的全跑，两个一起，各用一个线程
    python benchmarks/reproduce.py --list       列出每一次，跑过的打勾
    python benchmarks/reproduce.py 名字          只跑这一次，用全部的核
"""
import argparse, json, os, subprocess, sys, tempfile, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import set_seed
from PIL import Image
from torch.utils.data import DataLoader, RandomSampler
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

import unet_repro.model
from unet_repro.cli import _provenance, tutorial_recipe
from unet_repro.data import Tile, find_data, split_dataset
from unet_repro.evaluate import score_folder
from unet_repro.predict import label_instances, predict_image
from unet_repro.recipe import WithWeights, ignore_unlabelled, paper_recipe
from unet_repro.train import keep_memory, train_and_evaluate

ROOT = Path(__file__).resolve().parents[1]
RESULTS, WORK = ROOT / "nbs/results/reproduce", ROOT / "runs/reproduce"
BUDGET = {16: (1500, 20), 32: (1500, 20), 64: (500, 10)}  # 各宽度训练多少块、分几轮（每轮测一次、降一次学习率）；宽度64一块要几秒，只练500块
ABLATION_BUDGET = 600, 8  # 逐项比较都用这个预算
LONG_BUDGET = 10_000, 50  # 长训：两套配方各练一万块，看论文的配方是不是只差步数

ABLATIONS = {"01to02": ("base", "adam", "no_elastic", "balance", "top_left", "resized", "no_rim", "no_dropout", "bicubic", "no_decay", "no_clip", "loud_head"),  # 各是什么，见08章；base什么也不换
             "random": ("adam", "no_border"),  # 挨着的细胞只在02里，训练、测试两边都有的只有随机划分
             "02to01": ("adam", "no_tra")}  # 只有TRA标记的细胞都在02里
SGD = ("base", "no_clip", "loud_head", "long")  # 用配方自己的SGD；其余的都先换成Adam，再换各自的一样：步数少时，SGD的种子之间差得太多，比不出别的


def all_runs():
    "名字 → 一次训练的设定，按要跑的先后"
    runs = {}
    def add(seed, width, recipe="paper", protocol="01to02", change=None):
        name = f"{recipe}-{protocol}-w{width}-{change + '-' if change else ''}s{seed}"
        steps, epochs = LONG_BUDGET if change == "long" else ABLATION_BUDGET if change else BUDGET[width]
        runs[name] = dict(recipe=recipe, protocol=protocol, width=width, change=change, seed=seed, steps=steps, epochs=epochs)
    table = [(recipe, protocol) for protocol in ("01to02", "02to01", "blocks") for recipe in ("paper", "tutorial")]
    for seed in (0, 1, 2):
        for row in table: add(seed, 16, *row)
    for protocol, change in [(p, c) for p, cs in ABLATIONS.items() for c in cs]:
        for seed in (0, 1): add(seed, 16, "paper", protocol, change)
    for width in (32, 64):
        for row in table: add(0, width, *row)
    for recipe in ("paper", "tutorial"): add(0, 16, recipe, "01to02", "long")
    return runs


def split(frames, protocol):
    "训练帧、测试帧的下标"
    if protocol == "random": return [s.indices for s in split_dataset(frames)]
    if protocol == "blocks":  # 第40到79帧测试，两边各空10帧不用
        return [i for i, f in enumerate(frames) if not 30 <= f.number < 90], [i for i, f in enumerate(frames) if 40 <= f.number < 80]
    return [[i for i, f in enumerate(frames) if f.seq == seq] for seq in protocol.split("to")]


class Field(v2.Transform):
    "打分的视野，整个一块：掩码去掉四周50像素，596×420，正好是合法的输出；图像镜像补边，凑足92像素的上下文"
    def transform(self, inpt, params):
        "掩码裁，图像补"
        h, w = inpt.shape[-2:]
        return TF.crop(inpt, 50, 50, h - 100, w - 100) if isinstance(inpt, tv_tensors.Mask) else TF.pad(inpt, [42], padding_mode="reflect")


def prepare(run):
    "一次训练的`train_and_evaluate`参数"
    change, folder = run["change"], find_data("PhC-C2DH-U373")
    if not folder.name.startswith("PhC-C2DH-U373"): sys.exit("要真实数据：放进Datasets/，或用UNET_REPRO_DATA指出装着它的文件夹")
    options = {"no_border": dict(w0=0), "no_elastic": dict(sigma=0), "balance": dict(balance=True)}.get(change, {})
    parts = (paper_recipe if run["recipe"] == "paper" else tutorial_recipe)(folder, "02", run["width"], **options)
    train, test = parts["train_dataloader"].dataset, parts["test_dataloader"].dataset
    train.indices, test.indices = split(test.dataset.frames, run["protocol"])
    if run["recipe"] == "paper":  # 起步猜的前景占比，只看训练的帧
        share = np.mean([(train.dataset.masks[i] > 0).mean() for i in train.indices])
        parts["model"].head.bias.data[1] = float(np.log(share / (1 - share)))
    if change == "top_left": unet_repro.model.center_crop = lambda x, size: x[..., :size[0], :size[1]]
    if run["recipe"] == "paper" and change and change not in SGD: parts["optimizer"] = torch.optim.Adam(parts["model"].parameters())
    if change == "no_clip": parts["optimizer"].max_norm = float("inf")
    if change == "loud_head": unet_repro.model.init_he(parts["model"])
    if change == "bicubic": train.dataset.transform.transforms[0].mode = "bicubic"
    if change == "no_dropout": parts["model"].dropout.p = 0
    if run["recipe"] == "tutorial": parts["criterion"] = lambda outputs, mask, weight=None: F.binary_cross_entropy_with_logits(outputs, mask)
    if change in ("no_rim", "no_tra"):
        train.dataset.masks = [np.maximum(m, 0) for m in train.dataset.masks]
        ignore_unlabelled(train.dataset, **{"no_rim": dict(margin=0), "no_tra": dict(radius=0)}[change])
    if change == "resized": train.dataset.transform = v2.Compose([v2.Resize((388, 388)), train.dataset.transform])
    test.dataset.masks = list(test.dataset.masks)  # 逐轮测试的视野与打分的一样，漏标的细胞周围也不算
    ignore_unlabelled(test.dataset)
    view = [v2.Resize((388, 388)), Tile()] if change == "resized" else [Field()]
    test.dataset.transform = v2.Compose([*view, WithWeights(gap=False, w0=0, balance=False)])
    parts["train_dataloader"] = DataLoader(train, sampler=RandomSampler(train, num_samples=run["steps"] // run["epochs"]))
    return parts | dict(num_epochs=run["epochs"], decay=change != "no_decay")


def predict(model, image, run, average):
    "前景的概率；resized的网络看到的是压过的图"
    if run["change"] != "resized": return predict_image(model, image, average=average)
    small = predict_image(model, np.asarray(Image.fromarray(image).resize((388, 388), Image.BILINEAR)), average=average)
    return F.interpolate(torch.from_numpy(small)[None, None], image.shape, mode="bilinear")[0, 0].clamp(0, 1).numpy()


def mask_of(frame, kind):
    "这一帧的另一种掩码：`TRA`标记或`ST`银标"
    seg = frame.mask
    return seg.parents[1] / "TRA" / seg.name.replace("seg", "track") if kind == "TRA" else seg.parents[2] / f"{frame.seq}_ST/SEG" / seg.name


def score_labels(frames, labels):
    "各帧的编号图写成一个结果文件夹，按挑战赛的办法打分；两段录像的帧号错开1000"
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        for d in ("RES", "GT/SEG", "GT/TRA"): (tmp / d).mkdir(parents=True)
        for frame, found in zip(frames, labels):
            number = f"{1000 * int(frame.seq) + frame.number:04}"
            Image.fromarray(found.astype("uint16")).save(tmp / f"RES/mask{number}.tif")
            (tmp / f"GT/SEG/man_seg{number}.tif").symlink_to(frame.mask.absolute())
            (tmp / f"GT/TRA/man_track{number}.tif").symlink_to(mask_of(frame, "TRA").absolute())
        return score_folder(tmp / "RES", tmp / "GT", border=50)


def score(model, test, run, average):
    "测试帧的成绩"
    return score_labels([test.dataset.frames[i] for i in test.indices], [label_instances(predict(model, test.dataset.images[i], run, average)) for i in test.indices])


def execute(name, run):
    "训练、打分、写JSON"
    keep_memory()
    set_seed(run["seed"])
    parts = prepare(run)
    model, train, test = parts["model"], parts["train_dataloader"].dataset, parts["test_dataloader"].dataset
    history = train_and_evaluate(**parts, out=WORK / name, resume=True)  # 被打断的接着练
    scoring = time.perf_counter()
    result = run | dict(train_frames=len(train), test_frames=len(test), threads=torch.get_num_threads(), plain=score(model, test, run, False), history=history)
    if run["change"] in (None, "long"): result["average"] = score(model, test, run, True)
    result |= dict(seconds=sum(h["seconds"] for h in history) + time.perf_counter() - scoring) | _provenance()
    tmp = WORK / f"{name}.json"
    tmp.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    RESULTS.mkdir(parents=True, exist_ok=True)
    os.replace(tmp, RESULTS / f"{name}.json")
    print(f"{name}：IoU {result['plain']['iou']:.3f}，SEG {result['plain']['SEG']:.3f}，DET {result['plain']['DET']:.3f}；{result['seconds']:.0f}秒", flush=True)


def spawn(name):
    "在子进程里用一个线程跑一次，输出写进runs/reproduce/名字.log；不成就说一声"
    WORK.mkdir(parents=True, exist_ok=True)
    with open(WORK / f"{name}.log", "w") as log: code = subprocess.call([sys.executable, __file__, name], stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})
    print(f"{'完成' if not code else '没跑成，看' + str(WORK / name) + '.log'}：{name}", flush=True)
    return code


if __name__ == "__main__":
    parser, runs = argparse.ArgumentParser(), all_runs()
    parser.add_argument("name", nargs="?", choices=runs, metavar="名字")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    todo = [name for name in runs if not (RESULTS / f"{name}.json").exists()]
    if args.list: print("\n".join(f"{'  ' if name in todo else '✓ '}{name}" for name in runs))
    elif args.name: execute(args.name, runs[args.name])
    else:
        with ThreadPoolExecutor(2) as pool: sys.exit(any(pool.map(spawn, todo)))
