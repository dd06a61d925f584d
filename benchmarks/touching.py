"""每一帧里挨着的细胞（挖掉几个像素、编号）、边界项的高度、漏标的细胞。

各种划分的训练帧里有没有，决定配方的这几样有没有东西可学。
用法：python benchmarks/touching.py，结果写进nbs/results/touching.json。要真实数据。
"""
import numpy as np
from common import real_data, save
from reproduce import PROTOCOLS, frame_id, split

from unet_repro.data import SegmentationDataset
from unet_repro.files import read_mask
from unet_repro.recipe import border_weight_map, separate_touching


def describe(frame, mask):
    "一帧的情形"
    gap, marks = separate_touching(mask), read_mask(frame.marks)
    changed = gap != mask
    border = border_weight_map(gap, balance=False)[gap == 0].max() - 1
    return dict(
        frame=frame_id(frame), gap=int(changed.sum()), touching=np.unique(mask[changed]).tolist(),
        border=round(float(border), 2),
        unlabelled=len(np.setdiff1d(marks[marks > 0], marks[mask > 0])))


def main():
    "逐帧数，再按划分汇总"
    data = SegmentationDataset(real_data())
    rows = {frame_id(frame): describe(frame, mask) for frame, mask in zip(data.frames, data.masks)}
    splits = {}
    for protocol in (*PROTOCOLS, "random"):
        splits[protocol] = []
        for name, side in zip(("训练", "测试"), split(data.frames, protocol)):
            picked = [rows[frame_id(data.frames[i])] for i in side]
            splits[protocol].append([row["frame"] for row in picked])
            print(f"{protocol}，{name}：挨着的{sum(row['gap'] > 0 for row in picked)}帧，"
                  f"漏标的{sum(row['unlabelled'] for row in picked)}个")
    save("touching", dict(rows=list(rows.values()), splits=splits))


if __name__ == "__main__":
    main()
