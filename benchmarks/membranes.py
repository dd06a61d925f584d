"""EM的Rand错误错在哪里：留着权重的几次训练，错的像素对里，误连的、误断的，最大的三处误连占几成；
门槛和切法在训练的切片上挑，又是多少；还有弯曲错误。

用法：python benchmarks/membranes.py 名字…，权重在runs/reproduce/名字/last；
结果添进nbs/results/membranes.json。要真实数据。
"""
import sys

import numpy as np
from common import load, real_data, save
from reproduce import WORK, all_runs, choose_blocks, predict_all, prepare, true_labels
from scipy import ndimage

from unet_repro.evaluate import overlap_table
from unet_repro.membrane import THRESHOLDS, labels_rand_error, warping_error
from unet_repro.model import UNet
from unet_repro.predict import label_instances


def wrong_pairs(found, truth):
    "`(误连的像素对，每块一项, 误断的像素对，每块一项)`；只看真相的内部，判成膜的不数"
    merged, split = [], []
    for labels, inside in zip(found, truth):
        both = (labels > 0) & inside
        real, block, n = overlap_table(labels[both], ndimage.label(inside)[0][both])
        for ids, out in ((block, merged), (real, split)):
            total, squares = (np.bincount(ids, k) for k in (n.astype(float), n.astype(float) ** 2))
            out += (total**2 - squares)[total > 0].tolist()
    return sorted(merged, reverse=True), sorted(split, reverse=True)


def blocks(found, threshold):
    "过门槛，4连通的各块"
    return [ndimage.label(p > threshold)[0] for p in found]


def look(name):
    "一次训练：平均8种朝向，最好的门槛下的错，和事先挑好切法的"
    run = all_runs()[name]
    parts = prepare(run)
    train, test = (parts[f"{side}_dataloader"].dataset for side in ("train", "test"))
    model = UNet.from_pretrained(WORK / name / "last")
    found = predict_all(model, test, run, average=True)
    truth = [labels > 0 for labels in true_labels(test)]
    errors = [labels_rand_error(blocks(found, t), truth) for t in THRESHOLDS]
    threshold = float(THRESHOLDS[np.argmin(errors)])
    merged, split = wrong_pairs(blocks(found, threshold), truth)
    cutting = choose_blocks(predict_all(model, train, run), train)
    cut = [label_instances(p, **cutting) for p in found]
    return dict(
        name=name, recipe=run["recipe"], protocol=run["protocol"], width=run["width"],
        rand_error=min(errors), threshold=threshold,
        merges=sum(n > 0 for n in merged), merged=sum(merged), split=sum(split),
        worst_three=sum(merged[:3]) / sum(merged), cutting=cutting,
        cut_rand_error=labels_rand_error(cut, truth), warping_error=warping_error(found, truth))


def main():
    "逐个看，添进结果"
    real_data("ISBI-2012-EM")
    for name in sys.argv[1:]:
        row = look(name)
        print(row, flush=True)
        rows = {old["name"]: old for old in load("membranes").get("rows", [])} | {name: row}
        save("membranes", dict(rows=[rows[key] for key in sorted(rows)]))


if __name__ == "__main__":
    main()
