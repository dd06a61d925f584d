"""训练的进程在随机的时刻被kill -9，用unet_train --resume接着练，练完与没被杀过的一次比。

用法：python benchmarks/resume.py，结果写进nbs/results/resume.json。
二十次轮着三种杀法：启动之后随便什么时候；存过一次新的状态之后随便什么时候；等到正在存盘（临时文件夹
出现）。论文的配方，学习率按余弦降，两步的梯度合起来走一步（六帧训练，一轮三步）。
"""
import csv
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import save, show

from unet_repro.synthetic import make_synthetic

KILLS, EPOCHS = 20, 60
TRAIN = str(Path(sys.executable).parent / "unet_train")
FILES = ("last/model.safetensors", "best/model.safetensors", "curves.png", "prediction.png")


def start(*args):
    "开一个训练的进程"
    return subprocess.Popen(
        [TRAIN, *map(str, args)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_for_state(child, out, before):
    "等到存下一个新的状态"
    while set(out.glob("state-*")) <= before:
        if child.poll() is not None:
            raise SystemExit(f"训练自己停了：{child.stderr.read()[-500:]}")
        time.sleep(0.002)


def kill_once(args, out, when):
    "开练，到时候杀掉；返回杀在了什么时候"
    before = set(out.glob("state-*"))
    partial = out / ".state.partial"
    child = start(*args)
    if when == "any":
        time.sleep(random.uniform(0, 12))
    else:
        wait_for_state(child, out, before)
        time.sleep(random.uniform(0, 0.8))
    if when == "saving":
        while not partial.exists() and child.poll() is None:
            pass
        time.sleep(random.uniform(0, 0.01))
    child.kill()
    child.wait()
    done = max((int(f.name[6:]) for f in out.glob("state-*")), default=0)
    return dict(when=when, epochs_done=done, torn_state_left=partial.exists())


def history(out):
    "历史，除去用时"
    with open(out / "history.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["seconds"]
    return rows


def main():
    "没被杀过的一次，被杀二十次的一次，比结果"
    random.seed(0)
    with tempfile.TemporaryDirectory() as tmp:
        data = make_synthetic(Path(tmp) / "data", frames=12, size=(400, 420))
        whole, killed = Path(tmp) / "whole", Path(tmp) / "killed"
        args = ["--data", data, "--width", 4, "--epochs", EPOCHS, "--recipe", "paper",
                "--decay", "--accumulate", 2, "--out"]
        assert start(*args, whole).wait() == 0
        kills = []
        for i in range(KILLS):
            go_on = ["--resume", killed] if i else [*args, killed]
            kills.append(kill_once(go_on, killed, ("later", "saving", "any")[i % 3]))
            print(kills[-1], flush=True)
        assert start("--resume", killed).wait() == 0
        same = {name: (whole / name).read_bytes() == (killed / name).read_bytes()
                for name in FILES}
        same_history = history(whole) == history(killed)
    return dict(
        kills=len(kills),
        while_saving=sum(k["torn_state_left"] and k["when"] == "saving" for k in kills),
        starting=sum(k["when"] == "any" for k in kills), epochs=EPOCHS,
        same_weights=same["last/model.safetensors"] and same["best/model.safetensors"],
        same_history=same_history, same_files=same, each=kills)


if __name__ == "__main__":
    show(save("resume", main()), "each")
