"""自己的图像，从文件夹到结果，四种来历各走一遍，只用命令；量每条命令的秒数和成绩。

用法：python benchmarks/own.py，结果写进nbs/results/own.json，几分钟。
十二张合成的图像，300×320：黑白的掩码、四种颜色的类、labelme的文件夹、ImageJ的RoiSet.zip。
"""
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import roifile
from common import save, show, timed
from matplotlib import pyplot as plt
from PIL import Image
from scipy import ndimage

from unet_repro.data import find_frames
from unet_repro.synthetic import make_synthetic

BIN = Path(sys.executable).parent
COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)


def outlines(mask):
    "每个细胞的外圈，一圈`(N, 2)`的x、y，整数是像素的角"
    for i in np.unique(mask[mask > 0]):
        padded = np.pad(mask == i, 1).astype(float)
        contours = plt.contour(padded, [0.5])
        ring = max(contours.allsegs[0], key=len)
        plt.close()
        yield int(i), (ring - 0.5).round(2)


def by_depth(mask):
    "四类：背景，细胞由外到里三层"
    return np.digitize(ndimage.distance_transform_edt(mask > 0), [1, 5, 12])


def write(folder, sets):
    "四种来历的文件夹；每套两段录像，各三张"
    for kind in ("黑白/图像", "黑白/掩码", "颜色/图像", "颜色/掩码", "labelme", "ImageJ"):
        (folder / kind).mkdir(parents=True)
    for letter, frame in ((s, frame) for s in "甲乙" for frame in find_frames(sets[s])):
        image, mask = frame.read()
        name = f"{letter}{frame.group}_{frame.number}"
        picture = Image.fromarray(image)
        for place in ("黑白/图像", "颜色/图像", "labelme", "ImageJ"):
            picture.save(folder / place / f"{name}.png")
        Image.fromarray(np.uint8(255 * (mask > 0))).save(folder / f"黑白/掩码/{name}_mask.png")
        Image.fromarray(COLOURS[by_depth(mask)]).save(folder / f"颜色/掩码/{name}.png")
        rings = list(outlines(mask))
        shapes = [dict(label="细胞", shape_type="polygon", points=ring.tolist(), group_id=None)
                  for _, ring in rings]
        sheet = dict(version="5.0", flags={}, shapes=shapes, imagePath=f"{name}.png",
                     imageHeight=mask.shape[0], imageWidth=mask.shape[1], imageData=None)
        text = json.dumps(sheet, ensure_ascii=False)
        (folder / f"labelme/{name}.json").write_text(text, encoding="utf-8")
        rois = [roifile.ImagejRoi.frompoints(ring, name=f"细胞-{i}") for i, ring in rings]
        roifile.roiwrite(folder / f"ImageJ/{name}_RoiSet.zip", rois)


def run(line, folder):
    "一条命令：秒数和它说的话"
    command = [BIN / line.split()[0], *line.split()[1:]]
    done, seconds = timed(lambda: subprocess.run(
        command, cwd=folder, capture_output=True, text=True, encoding="utf-8"))
    if done.returncode:
        sys.exit(f"{line}\n{done.stdout}{done.stderr}")
    said = [part for part in re.split(r"[\n\r]", done.stdout) if part.strip()]
    print(f"$ {line}（{seconds:.0f}秒）", *said, sep="\n", flush=True)
    return dict(command=line, seconds=round(seconds, 1), said=said[-3:])


def journey(folder, name, source, import_first=""):
    "导入（若要）、体检、训练、评分、预测"
    lines = [import_first] if import_first else []
    lines += [f"unet_data check {source.removeprefix('--data ')}",
              f"unet_train {source} --test 0.2 --epochs 40 --out runs/{name}",
              f"unet_evaluate runs/{name}",
              f"unet_predict runs/{name} {name}的新图 --out 结果/{name}"]
    new = folder / f"{name}的新图"
    new.mkdir()
    images = sorted(folder.glob("黑白/图像/乙02*"))[:2]
    for image in images:
        (new / image.name).write_bytes(image.read_bytes())
    steps = [run(line, folder) for line in lines]
    scores = json.loads(next(folder.glob(f"runs/{name}/*_RES/scores.json")).read_text("utf-8"))
    kept = {key: scores[key] for key in ("iou", "SEG", "mean_iou", "class_iou") if key in scores}
    files = sorted(file.name for file in (folder / f"结果/{name}").iterdir())
    return dict(steps=steps, scores=kept, files=files)


def main():
    "四种来历"
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp)
        sets = {letter: make_synthetic(folder / letter, frames=6, size=(300, 320), seed=seed)
                for letter, seed in {"甲": 91, "乙": 92}.items()}
        write(folder, sets)
        return dict(
            black_white=journey(folder, "黑白", "--images 黑白/图像 --masks 黑白/掩码"),
            colours=journey(folder, "颜色", "--images 颜色/图像 --masks 颜色/掩码"),
            labelme=journey(folder, "标注", "--data 标注的", "unet_data import labelme 标注的"),
            imagej=journey(folder, "ROI", "--data ROI的", "unet_data import ImageJ ROI的"))


if __name__ == "__main__":
    show(save("own", main()))
