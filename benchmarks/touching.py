"""每一帧里挨着的细胞（挖掉几个像素、编号）、边界项的高度、漏标的细胞：各种划分的训练帧里有没有，决定配方的这几样有没有东西可学。

用法：python benchmarks/touching.py，结果写进nbs/results/touching.json。要真实数据。
"""
import json, sys
from pathlib import Path

import numpy as np
from reproduce import mask_of, split
from unet_repro.cli import _provenance
from unet_repro.data import SegmentationDataset, find_data, read_mask
from unet_repro.recipe import border_weight_map, separate_touching

if __name__ == "__main__":
    folder = find_data("PhC-C2DH-U373")
    if not folder.name.startswith("PhC-C2DH-U373"): sys.exit("要真实数据：放进Datasets/，或用UNET_REPRO_DATA指出装着它的文件夹")
    data, rows = SegmentationDataset(folder), []
    for frame, mask in zip(data.frames, data.masks):
        gap, marks = separate_touching(mask), read_mask(mask_of(frame, "TRA"))
        border = border_weight_map(gap, balance=False)[gap == 0].max() - 1
        rows.append(dict(frame=1000 * int(frame.seq) + frame.number, gap=int((gap != mask).sum()), touching=np.unique(mask[gap != mask]).tolist(), border=round(float(border), 2),
                         unlabelled=sum(not (mask[marks == k] > 0).any() for k in np.unique(marks[marks > 0]))))
    splits = {p: [[rows[i]["frame"] for i in side] for side in split(data.frames, p)] for p in ("01to02", "02to01", "blocks", "random")}
    (Path(__file__).parents[1] / "nbs/results/touching.json").write_text(json.dumps(dict(rows=rows, splits=splits) | _provenance(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    for p, sides in splits.items(): print(p, *(f"{name}：挨着的{sum(r['gap'] > 0 for r in rows if r['frame'] in side)}帧，漏标的{sum(r['unlabelled'] for r in rows if r['frame'] in side)}个" for name, side in zip(("训练", "测试"), sides)))
