"""训练的进程在随机的时刻被kill -9，用unet_train --resume接着练，练完与没被杀过的一次比。

用法：python benchmarks/resume.py，结果写进nbs/results/resume.json。二十次轮着三种杀法：启动之后随便什么时候；存过一次新的状态之后随便什么时候；
等到正在存盘（临时文件夹出现）。论文的配方，学习率按余弦降，两步的梯度合起来走一步（六帧训练，一轮三步）。
"""
import csv, json, random, subprocess, sys, tempfile, time
from pathlib import Path

from unet_repro.cli import _provenance
from unet_repro.data import make_synthetic

KILLS, EPOCHS = 20, 60
TRAIN = str(Path(sys.executable).parent / "unet_train")


def start(*args):
    "开一个训练的进程"
    return subprocess.Popen([TRAIN, *args], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def kill_once(args, out, when):
    "开练，到时候杀掉；返回杀在了什么时候"
    before, child = set(out.glob("state-*")), start(*args)
    time.sleep(random.uniform(0, 12) if when == "any" else 0)
    while when != "any" and set(out.glob("state-*")) <= before:
        if child.poll() is not None: raise SystemExit(f"训练自己停了：{child.stderr.read()[-500:]}")
        time.sleep(0.002)
    time.sleep(random.uniform(0, 0.8) if when != "any" else 0)
    while when == "saving" and not (out / ".state.partial").exists() and child.poll() is None: pass
    time.sleep(random.uniform(0, 0.01) if when == "saving" else 0)
    child.kill(); child.wait()
    return dict(when=when, epochs_done=max((int(f.name[6:]) for f in out.glob("state-*")), default=0), torn_state_left=(out / ".state.partial").exists())


def history(out):
    "历史，除去用时"
    return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(open(out / "history.csv"))]


def main():
    random.seed(0)
    with tempfile.TemporaryDirectory() as tmp:
        data, whole, killed = make_synthetic(Path(tmp) / "data", frames=12, size=(400, 420)), Path(tmp) / "whole", Path(tmp) / "killed"
        fresh = lambda out: ("--data", str(data), "--width", "4", "--epochs", str(EPOCHS), "--recipe", "paper", "--decay", "--accumulate", "2", "--out", str(out))
        assert start(*fresh(whole)).wait() == 0
        kills = []
        for i in range(KILLS):
            kills.append(kill_once(fresh(killed) if i == 0 else ("--resume", str(killed)), killed, ("later", "saving", "any")[i % 3]))
            print(kills[-1], flush=True)
        assert start("--resume", str(killed)).wait() == 0
        same = {name: (whole / name).read_bytes() == (killed / name).read_bytes() for name in ("last/model.safetensors", "best/model.safetensors", "curves.png", "prediction.png")}
        result = dict(kills=len(kills), while_saving=sum(k["torn_state_left"] and k["when"] == "saving" for k in kills), starting=sum(k["when"] == "any" for k in kills), epochs=EPOCHS,
                      same_weights=same["last/model.safetensors"] and same["best/model.safetensors"], same_history=history(whole) == history(killed),
                      same_files=same, each=kills) | _provenance()
    (Path(__file__).parents[1] / "nbs/results/resume.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in result.items() if k != "each"}, ensure_ascii=False, indent=1))


if __name__ == "__main__": main()
