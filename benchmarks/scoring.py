"""同一个网络，不同的打分办法和分水岭参数，分数差多少。

用法：先make reproduce（至少跑完paper-01to02-w16-s0），再python benchmarks/scoring.py，
结果写进nbs/results/scoring.json。
"""
import numpy as np
from common import ROOT, real_data, save, show

from unet_repro.data import SegmentationDataset, find_frames
from unet_repro.evaluate import _count_pixels, seg_measure, valid_pixels
from unet_repro.files import read_mask
from unet_repro.model import UNet
from unet_repro.predict import label_instances, predict_image
from unet_repro.train import iou_and_dice

RUN = "paper-01to02-w16-s0"
BORDER = 50
NECKS = (0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def pixel_iou(results, truths, marks, border):
    "全部测试帧的前景交并比；marks是None时，漏标的细胞当作误报"
    counts = np.zeros(3)
    for found, truth, mark in zip(results, truths, marks or [None] * len(truths)):
        counts += _count_pixels(found, truth, valid_pixels(found, truth, mark, border))
    return iou_and_dice(counts)[0]


def main():
    "打分办法四种，脖子七种"
    frames = [frame for frame in find_frames(real_data()) if frame.group == "02"]
    dataset = SegmentationDataset(frames)
    model = UNet.from_pretrained(ROOT / "runs/reproduce" / RUN / "last")
    probabilities = [predict_image(model, image) for image in dataset.images]
    marks = [read_mask(frame.marks) for frame in dataset.frames]

    def label(neck):
        return [label_instances(p, neck=neck) for p in probabilities]

    default = label(0.7)
    ignore = []
    for border in (BORDER, 0):
        for markers in (True, False):
            score = pixel_iou(default, dataset.masks, marks if markers else None, border)
            ignore.append(dict(border=border, markers=markers, iou=score))
    necks = []
    for neck in NECKS:
        score = seg_measure(label(neck), dataset.masks, border=BORDER)
        necks.append(dict(neck=neck, SEG=score))
    return dict(run=RUN, ignore=ignore, neck=necks)


if __name__ == "__main__":
    show(save("scoring", main()))
