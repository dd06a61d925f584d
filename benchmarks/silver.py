"""银标（ST，挑战赛组织者由各家较好的结果合出来的标注）对金标打分：同样的测试帧、同样的打分办法。

用法：python benchmarks/silver.py，结果写进nbs/results/silver.json，08章拿它当参照。
要真实数据U373和HeLa，里面有01_ST、02_ST。
"""
from common import real_data, save
from reproduce import HELA, PREFIX, U373, score_labels, silver_mask, split

from unet_repro.data import find_frames
from unet_repro.files import read_mask


def main():
    "逐种划分打分"
    scores = {}
    for data in (U373, HELA):
        frames = find_frames(real_data(data.name, silver=True))
        for protocol in data.protocols:
            test = [frames[i] for i in split(frames, protocol)[1]]
            found = [read_mask(silver_mask(frame)) for frame in test]
            row = scores[PREFIX[data.name] + protocol] = score_labels(test, found, data.border)
            print(data.name, protocol,
                  *(f"{name} {row[name]:.3f}" for name in ("iou", "SEG", "DET")))
    save("silver", dict(scores=scores))


if __name__ == "__main__":
    main()
