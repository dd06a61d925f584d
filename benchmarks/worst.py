"""SEG差在哪里：留着权重的几次训练，每个真细胞少的分拆成四种错的像素；最差的三个画出来看。

用法：python benchmarks/worst.py 名字…，权重在runs/reproduce/名字/last；结果添进
nbs/results/worst.json，图写在权重旁边，worst1.png等（真实的图像，不进仓库）。要真实数据。
"""
import sys

import numpy as np
from common import load, save
from reproduce import (
    DATA, WORK, all_runs, choose_cutting, choose_threshold, frame_id, predict_all, prepare,
    true_labels)

from unet_repro.evaluate import keep_inside, match_objects, show_scores
from unet_repro.model import UNet
from unet_repro.predict import label_instances

AROUND = 60  # 图上细胞的四周留几个像素


def lost(found, truth, border):
    """每个真细胞：编号、面积、Jaccard，四种错的像素各占并集的几成：结果连着别的细胞、画到背景上，
    细胞断给别的结果、没有画到。没有配上的，按盖得最多的结果算，视野外的也看"""
    rows = []
    for i, j, jaccard in zip(*match_objects(keep_inside(found, border),
                                            keep_inside(truth, border))):
        cell = truth == i
        if not j:
            shared = np.bincount(found[cell], minlength=2)
            shared[0] = 0
            j = shared.argmax() if shared.any() else -1
        block = found == j
        wrong = dict(
            merged=block & ~cell & (truth > 0), extra=block & (truth == 0),
            split=cell & ~block & (found > 0), missed=cell & (found == 0))
        union = np.count_nonzero(cell | block)
        rows.append(dict(id=int(i), area=int(cell.sum()), jaccard=float(jaccard),
                         **{kind: float(at.sum() / union) for kind, at in wrong.items()}))
    return rows


def draw(cell, image, found, truth, file):
    "一个细胞和四周：真相黄，结果蓝，数字是各个真细胞的Jaccard"
    ax = show_scores(image, found, truth).axes[0]
    ys, xs = np.nonzero(truth == cell["id"])
    ax.set_xlim(xs.min() - AROUND, xs.max() + AROUND)
    ax.set_ylim(ys.max() + AROUND, ys.min() - AROUND)
    ax.set_title(f"frame {cell['frame']}, cell {cell['id']}: {cell['jaccard']:.2f}")
    for text in ax.texts:
        text.set_clip_on(True)
    ax.figure.savefig(file, dpi=100, bbox_inches="tight")


def look(name):
    "一次训练：平均8种朝向，切法照训练的帧挑；细胞从最差的起"
    run = all_runs()[name]
    border = DATA[run["data"]].border
    parts = prepare(run)
    train, test = (parts[f"{side}_dataloader"].dataset for side in ("train", "test"))
    model = UNet.from_pretrained(WORK / name / "last")
    seen = predict_all(model, train, run)
    cutting = choose_cutting(seen, train, border, choose_threshold(seen, train))
    found = [label_instances(p, **cutting) for p in predict_all(model, test, run, average=True)]
    truth, cells = true_labels(test), []
    for k, i in enumerate(test.indices):
        frame = frame_id(test.dataset.frames[i])
        cells += [(k, dict(frame=frame) | row) for row in lost(found[k], truth[k], border)]
    cells.sort(key=lambda pair: pair[1]["jaccard"])
    for place, (k, cell) in enumerate(cells[:3], 1):
        image = test.dataset.images[test.indices[k]]
        draw(cell, image, found[k], truth[k], WORK / name / f"worst{place}.png")
    return dict(name=name, cutting=cutting, cells=[cell for _, cell in cells])


def main():
    "逐个看，添进结果"
    for name in sys.argv[1:]:
        row = look(name)
        scores = [cell["jaccard"] for cell in row["cells"]]
        print(f"{name}：SEG {np.mean(scores):.3f}，最差的", *row["cells"][:3], sep="\n", flush=True)
        rows = {old["name"]: old for old in load("worst").get("rows", [])} | {name: row}
        save("worst", dict(rows=[rows[key] for key in sorted(rows)]))


if __name__ == "__main__":
    main()
