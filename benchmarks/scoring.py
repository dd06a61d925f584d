"""同一个网络，不同的打分办法和分水岭参数，分数差多少。

用法：先make reproduce（至少跑完paper-01to02-w16-s0），再python benchmarks/scoring.py，结果写进nbs/results/scoring.json。
"""
import json, sys
from pathlib import Path

import numpy as np
from unet_repro.cli import _provenance
from unet_repro.data import SegmentationDataset, find_data, read_mask
from unet_repro.evaluate import iou_and_dice, seg_measure, valid_pixels
from unet_repro.model import UNet
from unet_repro.predict import label_instances, predict_image

ROOT, RUN = Path(__file__).resolve().parents[1], "paper-01to02-w16-s0"


def pixel_iou(results, truths, marks, border, use):
    "全部测试帧的前景交并比；use为假时，漏标的细胞当作误报"
    counts = np.zeros(3)
    for found, truth, mark in zip(results, truths, marks):
        valid = valid_pixels(found, truth, mark if use else None, border)
        a, b = (found > 0)[valid], (truth > 0)[valid]
        counts += [(a & b).sum(), (a & ~b).sum(), (~a & b).sum()]
    return iou_and_dice(counts)[0]


def main():
    folder = find_data("PhC-C2DH-U373")
    if not folder.name.startswith("PhC-C2DH-U373"): sys.exit("要真实数据：放进Datasets/，或用UNET_REPRO_DATA指出装着它的文件夹")
    dataset, model = SegmentationDataset(folder, sequences=("02",)), UNet.from_pretrained(ROOT / "runs/reproduce" / RUN / "last")
    probabilities = [predict_image(model, image) for image in dataset.images]
    marks = [read_mask(f.mask.parents[1] / "TRA" / f.mask.name.replace("seg", "track")) for f in dataset.frames]
    label = lambda neck: [label_instances(p, neck=neck) for p in probabilities]
    default = label(0.7)
    result = dict(run=RUN, ignore=[dict(border=border, markers=use, iou=pixel_iou(default, dataset.masks, marks, border, use)) for border in (50, 0) for use in (True, False)],
                  neck=[dict(neck=neck, SEG=seg_measure(label(neck), dataset.masks, border=50)) for neck in (0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)]) | _provenance()
    (ROOT / "nbs/results/scoring.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, ensure_ascii=False, indent=1))


if __name__ == "__main__": main()
