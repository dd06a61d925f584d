"""训练的进程在随机的时刻被kill -9，用unet_train --resume接着练，练完与没被杀过的一次比。

用法：python benchmarks/resume.py，结果写进nbs/results/resume.json。二十次里有一半等到正在存盘（临时文件夹出现）才杀。
"""
import csv, json, os, platform, random, subprocess, sys, tempfile, time
from importlib.metadata import version
from pathlib import Path

from unet_repro.data import make_synthetic

KILLS, EPOCHS = 20, 100
TRAIN = str(Path(sys.executable).parent / "unet_train")


def start(*args):
    "开一个训练的进程"
    return subprocess.Popen([TRAIN, *args], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def kill_once(args, out, saving):
    "开练，等它至少存过一次新的状态，再等一个随机的时刻杀掉；返回杀在了什么时候"
    before, child, seen = set(out.glob("state-*")), start(*args), False
    while set(out.glob("state-*")) <= before:
        if child.poll() is not None: raise SystemExit(f"训练自己停了：{child.stderr.read()[-500:]}")
        time.sleep(0.002)
    time.sleep(random.uniform(0, 0.8))
    while saving and not (seen := (out / ".state.partial").exists()) and child.poll() is None: pass
    time.sleep(random.uniform(0, 0.01) if saving else 0)
    partial = (out / ".state.partial").exists()
    child.kill(); child.wait()
    return dict(epochs_done=max((int(f.name[6:]) for f in out.glob("state-*")), default=0), waited_for_save=saving, torn_state_left=partial)


def history(out):
    "历史，除去用时"
    return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(open(out / "history.csv"))]


def main():
    random.seed(0)
    with tempfile.TemporaryDirectory() as tmp:
        data, whole, killed = make_synthetic(Path(tmp) / "data", frames=4, size=(400, 420)), Path(tmp) / "whole", Path(tmp) / "killed"
        fresh = lambda out: ("--data", str(data), "--width", "4", "--epochs", str(EPOCHS), "--recipe", "paper", "--out", str(out))
        assert start(*fresh(whole)).wait() == 0
        kills = []
        for i in range(KILLS):
            kills.append(kill_once(fresh(killed) if i == 0 else ("--resume", str(killed)), killed, saving=i % 2 == 1))
            print(kills[-1], flush=True)
        assert start("--resume", str(killed)).wait() == 0
        same = {name: (whole / name).read_bytes() == (killed / name).read_bytes() for name in ("last/model.safetensors", "best/model.safetensors", "curves.png", "prediction.png")}
        result = dict(command="python benchmarks/resume.py", kills=len(kills), while_saving=sum(k["torn_state_left"] for k in kills), epochs=EPOCHS,
                      same_weights=same["last/model.safetensors"] and same["best/model.safetensors"], same_history=history(whole) == history(killed),
                      same_files=same, each=kills, versions={p: version(p) for p in ("torch", "accelerate")} | {"python": platform.python_version()}, machine=f"{platform.machine()}，{os.cpu_count()}核")
    (Path(__file__).parents[1] / "nbs/results/resume.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in result.items() if k != "each"}, ensure_ascii=False, indent=1))


if __name__ == "__main__": main()
