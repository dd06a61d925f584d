"""训练、预测的进程在随机的时刻被kill -9，接着做完，与没被杀过的一次比。

用法：python benchmarks/resume.py --kills 200，结果写进nbs/results/resume.json。
训练用unet_train --resume接着练，轮着三种杀法：启动之后随便什么时候；存过一次新的状态之后随便什么
时候；等到正在存盘（临时文件夹出现）。论文的配方，学习率按余弦降，两步的梯度合起来走一步（六帧训练，
一轮三步）。预测再运行同一条命令，杀的次数是训练的五分之一。进程由导入好了的父进程分出来（fork），
省得每次导入几秒；最先的几次是从头启动的真命令。
"""
import argparse
import csv
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import save, show

from unet_repro import cli
from unet_repro.synthetic import make_synthetic

BIN = Path(sys.executable).parent
FRESH = 6  # 开头几次从头启动
FILES = ("last/model.safetensors", "best/model.safetensors", "curves.png", "prediction.png")


def run(command, words):
    "在分出来的进程里运行一条命令"
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    sys.argv = [command, *words]
    getattr(cli, command)()


class Child:
    "一个进程：从头启动的，或分出来的"
    def __init__(self, *args, command="unet_train", fresh=False):
        words = list(map(str, args))
        if fresh:
            self.process = subprocess.Popen([BIN / command, *words], stdout=subprocess.DEVNULL,
                                            stderr=subprocess.DEVNULL)
        else:
            fork = multiprocessing.get_context("fork")
            self.process = fork.Process(target=run, args=(command, words))
            self.process.start()

    def alive(self):
        "还在不在"
        if isinstance(self.process, subprocess.Popen):
            return self.process.poll() is None
        return self.process.is_alive()

    def kill(self):
        "kill -9"
        self.process.kill()
        self.succeeds()

    def succeeds(self):
        "等它结束；退出码是不是0"
        if isinstance(self.process, subprocess.Popen):
            return self.process.wait() == 0
        self.process.join()
        return self.process.exitcode == 0


def wait_for_state(child, out, before):
    "等到存下一个新的状态"
    while set(out.glob("state-*")) <= before:
        if not child.alive():
            raise SystemExit("训练自己停了")
        time.sleep(0.002)


def kill_once(args, out, when, fresh):
    "开练，到时候杀掉；返回杀在了什么时候"
    before = set(out.glob("state-*"))
    partial = out / ".state.partial"
    child = Child(*args, fresh=fresh)
    if when == "any":
        time.sleep(random.uniform(0, 12 if fresh else 2))
    else:
        wait_for_state(child, out, before)
        time.sleep(random.uniform(0, 0.8))
    if when == "saving":
        while not partial.exists() and child.alive():
            pass
        time.sleep(random.uniform(0, 0.01))
    child.kill()
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
    assert Child(*args, whole).succeeds()
    for i in range(times):
        again = ["--resume", killed] if (killed / "args.json").exists() else [*args, killed]
        kills.append(kill_once(again, killed, ("later", "saving", "any")[i % 3], i < FRESH))
        print(i, kills[-1], flush=True)
    assert Child("--resume", killed).succeeds()
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

    def predict(out, fresh=False):
        return Child(model, data / "02", "--out", out, command="unet_predict", fresh=fresh)

    assert predict(whole).succeeds()
    wanted, same = files(whole), 0
    for i in range(times):
        out = tmp / f"predicted{i}"
        child = predict(out, i < FRESH)
        while i % 2 and not out.exists() and child.alive():
            time.sleep(0.01)
        time.sleep(random.uniform(0, 6 if i < FRESH else 2))
        child.kill()
        assert predict(out).succeeds()
        same += files(out) == wanted
        print(i, same, flush=True)
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
