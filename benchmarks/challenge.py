"""U373的一段录像训练，追踪另一段的每一帧，写成挑战赛的结果，由py-ctcmetrics来查、来打分。

用法：python benchmarks/challenge.py，权重和结果写进runs/challenge（有了的不再做，删掉它从头来），
成绩写进nbs/results/challenge.json，约一小时。要两套真实数据。
"""
import contextlib
import importlib
import io
import sys
import tempfile
from pathlib import Path
from unittest import mock

from common import ROOT, output, real_data, save, show

from unet_repro import challenge
from unet_repro.cli import unet_track
from unet_repro.evaluate import overlap_table, score_folder
from unet_repro.files import read_mask

RUNS = ROOT / "runs/challenge"
BORDER = 50
LEAST = (0, 0.5)  # 交并比不到它的不连


def official(res, truth, measures):
    "挑战赛的工具给的分"
    tool = importlib.import_module("ctc_metrics")
    with contextlib.redirect_stdout(io.StringIO()):
        scores = tool.evaluate_sequence(str(res), str(truth), ["Valid", *measures], threads=1)
    return {name: float(scores[name]) for name in ("Valid", *measures)}


def train(test_seq):
    "留下一段录像，其余的训练；练过的不再练"
    run = RUNS / test_seq
    if not (run / "metrics.json").is_file():
        command = Path(sys.executable).parent / "unet_train"
        output([command, "--data", real_data(), "--test_seq", test_seq, "--out", run])
    return run


def track(seq):
    "追踪没有练过的一段，两家各打一遍分"
    film, res = real_data() / seq, RUNS / f"{seq}_RES"
    truth = film.with_name(f"{seq}_GT")
    run = train(seq)
    if not res.is_dir():
        unet_track(str(run), str(film), out=str(res), border=BORDER)
    theirs = official(res, truth, ["SEG", "DET", "TRA"])
    ours, inside = (score_folder(res, truth, border) for border in (0, BORDER))
    row = dict(seq=seq, frames=len(list(res.glob("mask*.tif"))), valid=int(theirs["Valid"]))
    row |= {name: theirs[name] for name in ("SEG", "DET", "TRA")}
    return row | dict(
        tracks=len(challenge.check_result(res)),
        true_tracks=len(challenge.read_tracks(truth / "TRA/man_track.txt")),
        gap={name: ours[name] - theirs[name] for name in ("SEG", "DET")},
        inside={name: inside[name] for name in ("SEG", "DET")})


def stricter(least):
    "照`match_cells`连，交并比不到least的再去掉"
    plain = challenge.match_cells

    def match(before, after):
        same, mothers = plain(before, after)
        old, new, shared = overlap_table(after, before)
        size = {(a, b): n for a, b, n in zip(old.tolist(), new.tolist(), shared.tolist())}

        def iou(a, b):
            whole = shared[old == a].sum() + shared[new == b].sum() - size[a, b]
            return size[a, b] / whole

        return {b: a for b, a in same.items() if iou(a, b) >= least}, mothers

    return mock.patch.object(challenge, "match_cells", match)


def check(name, seq, place):
    "标注的编号和表原样写出；银标抹掉前后的关系，重新连"
    film = real_data(name, silver=True) / seq
    truth, images = film.with_name(f"{seq}_GT"), challenge.film_images(film)

    def read(folder):
        return [read_mask(file) for file in sorted(folder.glob("*.tif"))]

    table = challenge.read_tracks(truth / "TRA/man_track.txt")
    res = challenge.write_result(place / "truth", images, read(truth / "TRA"), table)
    silver, linked = read(film.with_name(f"{seq}_ST") / "SEG"), {}
    scores = dict(truth=official(res, truth, ["TRA"])["TRA"])
    for least in LEAST:
        with stricter(least):
            labels, tracks = challenge.link_frames(silver)
        res = challenge.write_result(place / "linked", images, labels, tracks)
        found = official(res, truth, ["DET", "TRA"])
        linked[str(least)] = found["TRA"]
        scores["DET"] = found["DET"]
    return dict(data=name, seq=seq, **scores, linked=linked)


def main():
    "两段录像各一次；四段录像的真相和银标"
    rows = [track(seq) for seq in ("01", "02")]
    with tempfile.TemporaryDirectory() as place:
        checks = [check(name, seq, Path(place))
                  for name in ("PhC-C2DH-U373", "DIC-C2DH-HeLa") for seq in ("01", "02")]
    result = dict(recipe="tutorial", width=16, epochs=30, border=BORDER, rows=rows, checks=checks)
    show(save("challenge", result, ("py-ctcmetrics",)))


if __name__ == "__main__":
    main()
