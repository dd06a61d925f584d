"""轮廓差几个像素：真细胞整个收进、放大一个像素各得几分；银标和我们的网络的轮廓离真相多远。

用法：先make reproduce（跑完几次也行），再python benchmarks/contour.py，量主表里宽16、
runs/reproduce留着权重的各次，结果写进nbs/results/contour.json，量过的跳过。要带银标的真实数据。
"""
import sys

import numpy as np
from common import RESULTS, load, real_data, save
from reproduce import PROTOCOLS, U373, WORK, all_runs, frame_id, silver_mask, split
from scipy import ndimage

from unet_repro.data import SegmentationDataset
from unet_repro.evaluate import keep_inside, match_objects, seg_measure
from unet_repro.files import provenance, read_mask
from unet_repro.model import UNet
from unet_repro.predict import label_instances, predict_image

BORDER = 50
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def outward(mask):
    "每个像素离轮廓多远，像素：外正内负；轮廓在内外像素之间"
    outside = ndimage.distance_transform_edt(~mask)
    inside = ndimage.distance_transform_edt(mask)
    return outside - inside + np.where(mask, 0.5, -0.5)


def rim(mask):
    "紧贴轮廓的一圈里面的像素；图像的边不是轮廓"
    return mask & ~ndimage.binary_erosion(mask, border_value=1)


def truth_cells(frames, masks):
    "每个真细胞：帧、编号、面积，整个收进、放大一个像素的Jaccard"
    rows = []
    for frame, mask in zip(frames, masks):
        for i in np.unique(keep_inside(mask, BORDER))[1:]:
            depth = outward(mask == i)
            area, inner, outer = (int((depth < d).sum()) for d in (0, -1, 1))
            rows.append(dict(frame=frame_id(frame), id=int(i), area=area,
                             shrunk=inner / area, grown=area / outer))
    return rows


def offset(found, truth):
    "两条轮廓平均差几个像素，结果的偏大（正）还是偏小（负）"
    # 两个方向都量：结果的轮廓在真相的外面多远，真相的轮廓在结果的里面多远；里面的像素离轮廓半个像素
    signed = np.concatenate([
        outward(truth)[rim(found)] + 0.5,
        -outward(found)[rim(truth)] - 0.5])
    return np.abs(signed).mean(), signed.mean()


def summary(results, truths):
    "全部帧里匹配上、Jaccard至少0.7的细胞：平均差几个像素、平均偏大几个像素、有几个"
    rows = []
    for found, truth in zip(results, truths):
        found, truth = keep_inside(found, BORDER), keep_inside(truth, BORDER)
        for i, j, score in zip(*match_objects(found, truth)):
            if score >= 0.7:
                rows.append(offset(found == j, truth == i))
    off, bias = np.array(rows).T
    return dict(off=off.mean(), bias=bias.mean(), cells=len(rows))


def measure(model, images, truths):
    "一个网络在各个阈值上"
    probabilities, rows = [predict_image(model, image) for image in images], []
    for threshold in THRESHOLDS:
        found = [label_instances(p, threshold) for p in probabilities]
        rows.append(dict(threshold=threshold, SEG=seg_measure(found, truths, BORDER),
                         **summary(found, truths)))
    half = rows[THRESHOLDS.index(0.5)]
    return {key: half[key] for key in ("off", "bias", "cells")} | dict(thresholds=rows)


def wanted(name, run):
    "主表里宽16、留着权重、有成绩的"
    kept = (WORK / name / "last").exists() and (RESULTS / f"reproduce/{name}.json").exists()
    ours = run["data"] == U373.name and run["width"] == 16 and not run["change"]
    return ours and kept


def main():
    "量还没量的，连同已有的一起写下"
    folder, ours = real_data(silver=True), load("contour").get("runs", {})
    runs = {name: run for name, run in all_runs().items()
            if name not in ours and wanted(name, run)}
    if not runs:
        sys.exit("没有还没量的：先用make reproduce跑完主表里宽16的一次")
    data, silver = SegmentationDataset(folder), {}
    for protocol in PROTOCOLS:
        test = split(data.frames, protocol)[1]
        found = [read_mask(silver_mask(data.frames[i])) for i in test]
        silver[protocol] = summary(found, [data.masks[i] for i in test])
        print(f"{protocol}：银标差{silver[protocol]['off']:.2f}像素，"
              f"偏{silver[protocol]['bias']:+.2f}")
    for name, run in runs.items():
        test = split(data.frames, run["protocol"])[1]
        result = measure(UNet.from_pretrained(WORK / name / "last"),
                         [data.images[i] for i in test], [data.masks[i] for i in test])
        settings = {key: run[key] for key in ("recipe", "protocol", "seed")}
        ours[name] = settings | result | provenance()
        curve = [f"{row['threshold']}：{row['SEG']:.3f}" for row in result["thresholds"]]
        print(f"{name}：差{result['off']:.2f}像素，偏{result['bias']:+.2f}；", *curve, flush=True)
    cells = truth_cells(data.frames, data.masks)
    save("contour", dict(cells=cells, silver=silver, runs=dict(sorted(ours.items()))))


if __name__ == "__main__":
    main()
