"""轮廓差几个像素：真细胞整个收进、放大一个像素各得几分，银标和我们的网络的轮廓离真相多远；真细胞有多大。

用法：先make reproduce（跑完几次也行），再python benchmarks/contour.py，量主表里宽16、runs/reproduce留着权重的各次，结果写进nbs/results/contour.json，量过的跳过。要带银标的真实数据。
"""
import json, sys
from pathlib import Path

import numpy as np
from reproduce import RESULTS, WORK, all_runs, mask_of, split
from scipy import ndimage
from unet_repro.cli import _provenance
from unet_repro.data import SegmentationDataset, find_data, read_mask
from unet_repro.evaluate import keep_inside, match_objects, seg_measure
from unet_repro.model import UNet
from unet_repro.predict import label_instances, predict_image

OUT = Path(__file__).parents[1] / "nbs/results/contour.json"
BORDER, THRESHOLDS = 50, (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def outward(mask):
    "每个像素离轮廓多远，像素：外正内负；轮廓在内外像素之间"
    return ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask) + np.where(mask, 0.5, -0.5)


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
            rows.append(dict(frame=1000 * int(frame.seq) + frame.number, id=int(i), area=area, shrunk=inner / area, grown=area / outer))
    return rows


def offsets(found, truth):
    "一帧里匹配上、Jaccard至少0.7的细胞：两条轮廓平均差几个像素，结果的偏大（正）还是偏小（负）"
    rows, found, truth = [], keep_inside(found, BORDER), keep_inside(truth, BORDER)
    for r, s, j in zip(*match_objects(found, truth)):
        if j < 0.7: continue
        R, S = truth == r, found == s
        # 两个方向都量：结果的轮廓在真相的外面多远，真相的轮廓在结果的里面多远；里面的像素离轮廓半个像素
        signed = np.concatenate([outward(R)[rim(S)] + 0.5, -outward(S)[rim(R)] - 0.5])
        rows.append((np.abs(signed).mean(), signed.mean()))
    return rows


def summary(results, truths):
    "全部帧：平均差几个像素、平均偏大几个像素、有几个细胞"
    off, bias = np.array([row for f, t in zip(results, truths) for row in offsets(f, t)]).T
    return dict(off=off.mean(), bias=bias.mean(), cells=len(off))


if __name__ == "__main__":
    runs, folder = all_runs(), find_data("PhC-C2DH-U373")
    ours = json.loads(OUT.read_text(encoding="utf-8"))["runs"] if OUT.exists() else {}
    names = [n for n, r in runs.items() if n not in ours and r["width"] == 16 and not r["change"] and (WORK / n / "last").exists() and (RESULTS / f"{n}.json").exists()]
    if not names: sys.exit("没有还没量的：先用make reproduce跑完主表里宽16的一次")
    data = SegmentationDataset(folder)
    if not mask_of(data.frames[0], "ST").exists(): sys.exit("要带银标的真实数据：放进Datasets/，或用UNET_REPRO_DATA指出装着它的文件夹")
    silver = {}
    for protocol in ("01to02", "02to01", "blocks"):
        test = split(data.frames, protocol)[1]
        silver[protocol] = summary([read_mask(mask_of(data.frames[i], "ST")) for i in test], [data.masks[i] for i in test])
    for name in names:
        test, model = split(data.frames, runs[name]["protocol"])[1], UNet.from_pretrained(WORK / name / "last")
        probabilities, truths = [predict_image(model, data.images[i]) for i in test], [data.masks[i] for i in test]
        labels = {t: [label_instances(p, t) for p in probabilities] for t in THRESHOLDS}
        rows = [dict(threshold=t, SEG=seg_measure(found, truths, BORDER), **summary(found, truths)) for t, found in labels.items()]
        half = rows[THRESHOLDS.index(0.5)]
        ours[name] = {k: runs[name][k] for k in ("recipe", "protocol", "seed")} | {k: half[k] for k in ("off", "bias", "cells")} | dict(thresholds=rows) | _provenance()
        print(f"{name}：差{half['off']:.2f}像素，偏{half['bias']:+.2f}；", *(f"{r['threshold']}：{r['SEG']:.3f}" for r in rows), flush=True)
    result = dict(cells=truth_cells(data.frames, data.masks), silver=silver, runs=dict(sorted(ours.items()))) | _provenance()
    OUT.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(*(f"{p}：银标差{s['off']:.2f}像素，偏{s['bias']:+.2f}" for p, s in silver.items()), sep="\n")
