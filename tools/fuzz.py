"""胡乱弄坏输入，看每一次是不是说得清楚。

    python tools/fuzz.py --count 1000            一千份坏输入（种子相同，坏法相同）
    python tools/fuzz.py --count 50 --family 模型  只弄坏一类

每一次的结局归成一类：读出（读得对，或坏处不影响结果）、说清（一句中文，带治法）、
说不清（没有中文或没有治法）、堆栈（不该有的异常）、读错（像素与写进去的不同）、卡住、内存。
后五类是毛病，有一个就以退出码1结束；--show 打印每一个是怎样弄坏的。
"""
import argparse
import contextlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import tifffile
import torch
from PIL import Image

SECONDS = 20  # 一次至多多久，更久算卡住
MEMORY = 4 * 2**30  # 比开始时至多多占多少地址空间，字节
BAD = ("说不清", "堆栈", "读错", "卡住", "内存")
CHINESE = re.compile("[\u4e00-\u9fff]")


class Hang(BaseException):
    "到时间了还没有结局"


class Wrong(Exception):
    "读出来的与写进去的不同"


def outcome(action):
    "做一次，返回`(结局, 说明)`"
    def ring(*_):
        raise Hang
    signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            with warnings.catch_warnings(action="ignore"):
                action()
        return "读出", ""
    except Hang:
        return "卡住", f"{SECONDS}秒没有结局"
    except Wrong as e:
        return "读错", str(e)
    except MemoryError as e:
        return "内存", str(e)
    except SystemExit as e:
        text = str(e.code)
        clear = e.code in (0, 1) or CHINESE.search(text)
        return ("说清" if clear else "说不清"), text
    except (OSError, ValueError) as e:
        clear = CHINESE.search(str(e)) and "Traceback" not in str(e)
        return ("说清" if clear else "说不清"), f"{type(e).__name__}: {e}"
    except Exception as e:
        kind = "内存" if "allocate" in str(e) else "堆栈"
        return kind, f"{type(e).__name__}: {e}"
    finally:
        signal.alarm(0)


# 弄坏一个文件

def damage(path, rng):
    "截断、改几个字节、清空、接上垃圾，或什么也不做；返回做了什么"
    data = bytearray(path.read_bytes())
    way = rng.choice(["原样", "原样", "截断", "改头", "改中间", "清空", "加尾"])
    if way == "截断":
        data = data[:rng.randrange(len(data) + 1)]
    elif way == "改头":
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(min(len(data), 200))] = rng.randrange(256)
    elif way == "改中间":
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif way == "清空":
        data = b""
    elif way == "加尾":
        data += bytes(rng.randrange(256) for _ in range(rng.randint(1, 500)))
    path.write_bytes(bytes(data))
    return way


# 图像文件

def image_case(rng, tmp):
    "一个随机写法的图像文件，可能再弄坏；读它"
    from unet_repro.files import read_image, read_mask
    kinds = ["uint8", "uint16", "uint8", "uint16", "int16", "int32", "int64", "uint32",
             "float32", "float64", "bool", "complex64"]
    kind = rng.choice(kinds)
    shape = (rng.randint(1, 40), rng.randint(1, 40), *rng.choice([(), (), (), (3,), (4,), (5,)]))
    values = np.random.default_rng(rng.randrange(2**32)).integers(0, 200, shape)
    array = values.astype(kind)
    suffix = rng.choice([".tif", ".tif", ".tif", ".TIFF", ".png", ".jpg", ".bmp"])
    path = tmp / f"图{suffix}"
    options = {}
    if suffix.lower().startswith(".tif"):
        rgb = shape[2:] == (3,)
        options = dict(
            byteorder=rng.choice("<>"),
            bigtiff=rng.random() < 0.2,
            compression=rng.choice([None, None, "zlib", "lzw", "packbits"]),
            photometric="rgb" if rgb else rng.choice(["minisblack", "minisblack", "miniswhite"]))
        if rng.random() < 0.1:
            options["extratags"] = [(274, "H", 1, rng.randint(1, 8), True)]
        if rng.random() < 0.1:
            array = np.stack([array] * 2)
        try:
            tifffile.imwrite(path, array, metadata=None, **options)
        except (ValueError, TypeError, KeyError):
            tifffile.imwrite(path, np.zeros((5, 5), np.uint8))
            array = np.zeros((5, 5), np.uint8)
            options = {}
    else:
        try:
            Image.fromarray(array).save(path)
        except (OSError, TypeError, KeyError, ValueError):
            Image.new("L", (5, 5)).save(path)
            array = np.zeros((5, 5), np.uint8)
    way = damage(path, rng)
    read = rng.choice([read_image, read_mask])

    def action():
        found = read(path)
        expected = array
        white = options.get("photometric") == "miniswhite" and array.dtype.kind == "u"
        if white and read is read_image:
            expected = np.iinfo(array.dtype).max - array
        exact = suffix not in (".jpg", ".bmp")  # JPEG有损，BMP丢掉透明
        intact = exact and way in ("原样", "加尾")
        if intact and not np.array_equal(np.squeeze(found), np.squeeze(expected)):
            raise Wrong(f"{kind}{shape}，{options}")
    return f"{read.__name__} {suffix} {kind}{shape} {options} {way}", action


# 数据集

def dataset_case(rng, tmp):
    "一套小数据，动一两处手脚；打开、体检"
    from unet_repro.data import SegmentationDataset, Tile, make_synthetic, split_by_sequence
    from unet_repro.doctor import check_dataset
    good = Path(tempfile.gettempdir()) / "好数据"
    if not good.exists():
        make_synthetic(good, frames=4, size=(200, 240))
    bad = tmp / "数据"
    shutil.copytree(good, bad)
    ways = [change(bad, rng) for _ in range(rng.randint(1, 2))]

    def open_it():
        split_by_sequence(SegmentationDataset(bad, Tile(252, 68)))

    def check_it():
        str(check_dataset(bad))
    action = rng.choice([open_it, check_it])
    return f"{action.__name__} {'；'.join(ways)}", action


def change(folder, rng):
    "动一处手脚，返回做了什么"
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    file = rng.choice(files)
    name = file.relative_to(folder)
    way = rng.choice(["删文件", "删文件夹", "弄坏", "改名", "换尺寸", "换类型", "常数",
                      "变文件夹", "隐藏文件", "链接绕圈", "乱码名", "换通道"])
    if way == "删文件":
        file.unlink()
    elif way == "删文件夹":
        shutil.rmtree(file.parent)
    elif way == "弄坏":
        way += damage(file, rng)
    elif way == "改名":
        file.rename(file.with_name(rng.choice(["x.tif", "t99999999999999999999.tif", "t001.TIF",
                                               "t001.png", "man_seg.tif", "细胞.tif"])))
    elif way == "换尺寸":
        tifffile.imwrite(file, np.zeros((rng.randint(1, 99), rng.randint(1, 99)), np.uint8))
    elif way == "换类型":
        kind = rng.choice(["float32", "int64", "uint32", "int8", "bool"])
        tifffile.imwrite(file, np.ones((200, 240), kind))
    elif way == "常数":
        tifffile.imwrite(file, np.full((200, 240), rng.choice([0, 1, 255]), np.uint8))
    elif way == "换通道":
        tifffile.imwrite(file, np.ones((200, 240, rng.choice([2, 3, 4])), np.uint8))
    elif way == "变文件夹":
        file.unlink()
        file.mkdir()
    elif way == "隐藏文件":
        (file.parent / f"._{file.name}").write_bytes(b"Mac OS X")
        (file.parent / ".DS_Store").write_bytes(b"\0")
    elif way == "链接绕圈":
        file.unlink()
        file.symlink_to(file.name)
    elif way == "乱码名":
        Path(os.fsdecode(os.fsencode(file.parent) + b"/t0\xff.tif")).write_bytes(b"x")
    return f"{way} {name}"


# 模型文件夹

JUNK = [None, [], {}, "", "x", -1, 0, 1, 2.5, 10**9, 10**30, True, "1" * 50, [1, 2, 3], 1e308]

def model_case(rng, tmp):
    "一个小模型，弄坏config.json或权重；读它"
    from unet_repro.model import UNet
    good = Path(tempfile.gettempdir()) / "好模型"
    if not good.exists():
        UNet(1, 1, width=2, depth=2).save_pretrained(good)
    bad = tmp / "模型"
    shutil.copytree(good, bad)
    config = bad / "config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    way = rng.choice([
        "改值", "改值", "改值", "删键", "添键", "整个换", "弄坏", "弄坏权重", "弄坏权重",
        "管道", "记事本", "文件夹"])
    if way == "改值":
        key = rng.choice(sorted(values))
        values[key] = rng.choice(JUNK)
        way += f" {key}={values[key]!r}"[:60]
        config.write_text(json.dumps(values))
    elif way == "删键":
        key = rng.choice(sorted(values))
        del values[key]
        config.write_text(json.dumps(values))
        way += f" {key}"
    elif way == "添键":
        config.write_text(json.dumps(values | {"norm": rng.choice(JUNK)}))
    elif way == "整个换":
        config.write_text(json.dumps(rng.choice(JUNK)))
    elif way == "弄坏":
        way += damage(config, rng)
    elif way == "弄坏权重":
        way += damage(bad / "model.safetensors", rng)
    elif way == "管道":
        config.unlink()
        os.mkfifo(config)
    elif way == "记事本":
        config.write_text(config.read_text(encoding="utf-8"), encoding="utf-8-sig")
    elif way == "文件夹":
        config.unlink()
        config.mkdir()

    def action():
        UNet.from_pretrained(bad)
    return f"from_pretrained {way}", action


# 函数的参数

NUMBERS = [None, 0, 1, -1, 2, 16, 0.5, 1.5, -0.5, float("nan"), float("inf"), 10**6, "3", True,
           (), (1,), (0, 255), (255, 0), "valid", "same", [1, 2]]

def arguments_case(rng, tmp):
    "随手给函数一个不合适的参数"
    from unet_repro.data import Tile, normalize
    from unet_repro.evaluate import det_measure, iou, seg_measure
    from unet_repro.model import UNet, input_size, output_size
    from unet_repro.predict import label_instances, predict_image
    from unet_repro.recipe import ElasticDeform, border_weight_map
    value = rng.choice(NUMBERS)  # 构造参数什么类型都拦；函数只给数，类型错了Python自己会说
    number = value if isinstance(value, (int, float)) else 0
    shape = rng.choice([(0, 3), (1, 1), (5, 7), (30, 30), (2, 3, 4), (9,), (6, 6, 3)])
    kind = rng.choice(["float32", "float64", "uint8", "int32", "bool"])
    array = np.random.default_rng(rng.randrange(2**32)).random(shape).astype(kind)
    if rng.random() < 0.2 and array.dtype.kind == "f" and array.size:
        array.flat[0] = rng.choice([np.nan, np.inf, -1, 2])
    small = UNet(1, 1, width=2, depth=1)
    key = rng.choice(["in_channels", "out_channels", "width", "depth", "padding", "dropout",
                      "value_range"])
    option = rng.choice(["threshold", "min_size", "neck"])
    calls = {
        f"UNet({key}={value!r})": lambda: UNet(**{"width": 2, "depth": 1, key: value}),
        f"output_size({number!r})": lambda: output_size(number),
        f"input_size({number!r})": lambda: input_size(number),
        f"label_instances({kind}{shape})": lambda: label_instances(array),
        f"label_instances({option}={number!r})":
            lambda: label_instances(np.zeros((9, 9), np.float32), **{option: number}),
        f"predict_image({kind}{shape})": lambda: predict_image(small, array),
        f"predict_image(max_memory={number!r})":
            lambda: predict_image(small, np.zeros((9, 9)), max_memory=number),
        f"border_weight_map({kind}{shape})": lambda: border_weight_map(array),
        f"border_weight_map(sigma={number!r})":
            lambda: border_weight_map(np.zeros((9, 9), int), sigma=number),
        f"seg_measure({kind}{shape})": lambda: seg_measure(array, array),
        f"det_measure(border={number!r})":
            lambda: det_measure(np.zeros((9, 9), int), np.zeros((9, 9), int), border=number),
        f"iou({kind}{shape})": lambda: iou(array, array),
    }
    name = rng.choice(sorted(calls))
    return name, calls[name]


# 全部

FAMILIES = {"图像": image_case, "数据": dataset_case, "模型": model_case, "参数": arguments_case}

def run(count, seed, families, show):
    "弄坏count次，打印各类的次数；返回毛病的个数"
    counts, bad = Counter(), []
    for number in range(count):
        rng = random.Random(f"{seed}-{number}")
        family = families[number % len(families)]
        with tempfile.TemporaryDirectory() as tmp:
            what, action = FAMILIES[family](rng, Path(tmp))
            kind, said = outcome(action)
            counts[family, kind] += 1
            if kind in BAD:
                report = f"  {number} {family} {what}\n    {kind}：{said[:300]}"
                bad.append(report.replace(tmp, "…"))
    for family in families:
        row = "，".join(f"{k}{n}" for (f, k), n in sorted(counts.items()) if f == family)
        print(f"  {family}：{row}")
    print(*(bad if show else bad[:10]), sep="\n")
    print(f"  {count}份坏输入，{len(bad)}处毛病")
    return len(bad)

def main():
    "读参数，弄坏，汇总"
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=80, help="弄坏几次")
    parser.add_argument("--seed", type=int, default=0, help="种子")
    parser.add_argument("--family", choices=FAMILIES, help="只弄坏一类")
    parser.add_argument("--show", action="store_true", help="打印每一处毛病")
    args = parser.parse_args()
    torch.set_num_threads(1)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    with tempfile.TemporaryDirectory() as tmp:
        tempfile.tempdir = tmp
        families = [args.family] if args.family else list(FAMILIES)
        return bool(run(args.count, args.seed, families, args.show))


if __name__ == "__main__":
    sys.exit(main())
