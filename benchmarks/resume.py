"""训练、预测的进程在随机的时刻被kill -9，接着做完，与没被杀过的一次比。

用法：python benchmarks/resume.py --kills 200，结果写进nbs/results/resume.json。
训练用unet_train --resume接着练，轮着三种杀法：启动之后随便什么时候；存过一次新的状态之后随便什么
时候；等到正在存盘（临时文件夹出现）。论文的配方，学习率按余弦降，两步的梯度合起来走一步（六帧训练，
一轮三步）。预测再运行同一条命令，杀的次数是训练的五分之一。
"""
import argparse
import csv
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import save, show

from unet_repro.synthetic import make_synthetic

BIN = Path(sys.executable).parent
FILES = ("last/model.safetensors", "best/model.safetensors", "curves.png", "prediction.png")


def start(*args, command="unet_train"):
    "开一个进程"
    return subprocess.Popen([BIN / command, *map(str, args)], text=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


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


def files(folder):
    "文件夹里的文件，连同内容；正在写的不该留下"
    return {f.relative_to(folder): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def kill_training(data, tmp, times):
    "没被杀过的一次，被杀times次的一次，比结果"
    whole, killed, kills = tmp / "whole", tmp / "killed", []
    epochs = 3 * times
    args = ["--data", data, "--width", 4, "--epochs", epochs, "--recipe", "paper",
            "--decay", "--accumulate", 2, "--out"]
    assert start(*args, whole).wait() == 0
    for i in range(times):
        again = ["--resume", killed] if (killed / "args.json").exists() else [*args, killed]
        kills.append(kill_once(again, killed, ("later", "saving", "any")[i % 3]))
        print(i, kills[-1], flush=True)
    assert start("--resume", killed).wait() == 0
    same = {name: (whole / name).read_bytes() == (killed / name).read_bytes() for name in FILES}
    return dict(
        kills=len(kills),
        while_saving=sum(k["torn_state_left"] and k["when"] == "saving" for k in kills),
        starting=sum(k["when"] == "any" for k in kills), epochs=epochs,
        same_weights=same["last/model.safetensors"] and same["best/model.safetensors"],
        same_history=history(whole) == history(killed), same_files=same, each=kills)


def kill_predictions(data, tmp, times):
    "预测一段录像，被杀times次：每次杀完再运行一遍，与没被杀过的比；返回几次全同"
    model, whole = tmp / "killed/last", tmp / "predicted"
    assert start(model, data / "02", "--out", whole, command="unet_predict").wait() == 0
    wanted, same = files(whole), 0
    for i in range(times):
        out = tmp / f"predicted{i}"
        child = start(model, data / "02", "--out", out, command="unet_predict")
        if i % 2:
            while not out.exists() and child.poll() is None:
                time.sleep(0.01)
        time.sleep(random.uniform(0, 6))
        child.kill()
        child.wait()
        assert start(model, data / "02", "--out", out, command="unet_predict").wait() == 0
        same += files(out) == wanted
    return dict(predict_kills=times, same_predictions=same)


def main():
    "各杀几次"
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    times = parser.parse_args().kills
    random.seed(0)
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        data = make_synthetic(tmp / "data", frames=12, size=(400, 420))
        return kill_training(data, tmp, times) | kill_predictions(data, tmp, times // 5)


if __name__ == "__main__":
    show(save("resume", main()), "each")
