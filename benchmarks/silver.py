"""银标（ST，挑战赛组织者由各家较好的结果合出来的标注）对金标打分：同样的测试帧、同样的打分办法，08章拿它当参照。

用法：python benchmarks/silver.py，结果写进nbs/results/silver.json。要真实数据，里面有01_ST、02_ST。
"""
import json, sys
from pathlib import Path

from reproduce import mask_of, score_labels, split
from unet_repro.cli import _provenance
from unet_repro.data import SegmentationDataset, find_data, read_mask

if __name__ == "__main__":
    frames = SegmentationDataset(find_data("PhC-C2DH-U373")).frames
    if not mask_of(frames[0], "ST").exists(): sys.exit("要带银标的真实数据：放进Datasets/，或用UNET_REPRO_DATA指出装着它的文件夹")
    scores = {}
    for protocol in ("01to02", "02to01", "blocks"):
        test = [frames[i] for i in split(frames, protocol)[1]]
        scores[protocol] = score_labels(test, [read_mask(mask_of(f, "ST")) for f in test])
        print(protocol, {k: round(scores[protocol][k], 3) for k in ("iou", "SEG", "DET")})
    (Path(__file__).parents[1] / "nbs/results/silver.json").write_text(json.dumps(dict(scores=scores) | _provenance(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
