"""边界权重图：分块计算比照定义计算快多少。

用法：python benchmarks/weight_map.py，结果写进nbs/results/weight_map.json。
一千个细胞、2048×2048。照定义要给每个细胞做一次全图的距离变换，一千张距离图放不下内存，
所以边算边留最近的两个；两种办法在同一次运行里计时。
"""
import numpy as np
from common import save, show, timed
from scipy import ndimage

from unet_repro.recipe import border_weight_map


def scattered_cells(size=2048, cells=1000, radius=26):
    "size×size里至多cells个互不相同的圆细胞，先画的不被盖住；返回标签图"
    rng = np.random.default_rng(0)
    labels = np.zeros((size, size), np.int32)
    y, x = np.mgrid[-radius:radius + 1, -radius:radius + 1]
    disk = np.hypot(y, x) <= radius
    count = 0
    while count < cells:
        top, left = rng.integers(0, size - 2 * radius - 1, 2)
        part = labels[top:top + 2 * radius + 1, left:left + 2 * radius + 1]
        free = disk & (part == 0)
        if free.sum() < 0.5 * disk.sum():
            continue
        count += 1
        part[free] = count
    return labels


def plain(labels, w0=10, sigma=5):
    "照定义：每个细胞一次全图的距离变换"
    d1 = np.full(labels.shape, np.inf)
    d2 = np.full(labels.shape, np.inf)
    for i in range(1, labels.max() + 1):
        d = ndimage.distance_transform_edt(labels != i)
        d2 = np.minimum(d2, np.maximum(d1, d))
        d1 = np.minimum(d1, d)
    return 1 + w0 * np.exp(-(d1 + d2)**2 / (2 * sigma**2)) * (labels == 0)


def main():
    "两种办法各算一次，比结果与用时"
    labels = scattered_cells()
    fast, fast_seconds = timed(lambda: border_weight_map(labels, balance=False))
    slow, slow_seconds = timed(lambda: plain(labels))
    return dict(
        size=list(labels.shape), cells=int(labels.max()),
        seconds_plain=slow_seconds, seconds_ours=fast_seconds,
        ratio=slow_seconds / fast_seconds,
        largest_difference=float(np.abs(fast - slow).max()))


if __name__ == "__main__":
    show(save("weight_map", main(), ["scipy"]))
