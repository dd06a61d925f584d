"""建“在网页里试”的那一页：计算引擎、导出的小模型、三张合成图像，和 web/ 里的脚本。

单独建：python tools/trypage.py [文件夹]，默认 _docs
"""
import base64
import hashlib
import json
import os
import shutil
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT/'web'
CACHE = Path(os.environ.get('XDG_CACHE_HOME') or Path.home()/'.cache')/'unet_repro'
VERSION = '1.30.0'
SHA512 = 'q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=='
URL = f'https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz'
ENGINE = {  # 包里的文件 → 网站上的名字；单线程用的这一个引擎不要别的文件
    'ort.wasm.bundle.min.mjs': 'ort.js', 'ort-wasm-simd-threaded.wasm': 'ort.wasm',
}
SAMPLES = [  # 种子（训练没有用过）、哪一段、(高, 宽)
    (401, '01', (520, 696)), (402, '02', (520, 696)), (403, '01', (416, 560)),
]
MIT = """onnxruntime-web (ort.js, ort.wasm)
MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


def right(path):
    "缓存里的包在不在，校验值对不对"
    if not path.exists():
        return False
    return base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode() == SHA512


def engine(out):
    "把计算引擎放进 out；拿不到时返回原因"
    package = CACHE/f'onnxruntime-web-{VERSION}.tgz'
    if not right(package):
        try:
            package.parent.mkdir(parents=True, exist_ok=True)
            with urllib.request.urlopen(URL, timeout=60) as answer:
                content = answer.read()
            partial = package.with_name(f'.{package.name}.{os.getpid()}')
            partial.write_bytes(content)
            os.replace(partial, package)
        except OSError as e:
            return f'计算引擎下载不了（{type(e).__name__}）'
        if not right(package):
            package.unlink()
            return '下载的计算引擎校验值不符，已删除'
    with tarfile.open(package) as tar:
        for name, new in ENGINE.items():
            (out/new).write_bytes(tar.extractfile(f'package/dist/{name}').read())
    return None


def key(folder):
    "导出的模型由什么定：权重、导出和网络的代码、torch 的版本"
    import torch
    sha = hashlib.sha256(torch.__version__.encode())
    sources = [ROOT/'unet_repro'/name for name in ('export.py', 'model.py')]
    for path in [*sorted(folder.glob('*')), *sources]:
        sha.update(path.read_bytes())
    return sha.hexdigest()[:16]


def model(out, folder):
    "把folder里的模型导出到 out；导出慢，存一份在缓存里。缺少导出的库时返回原因"
    from unet_repro.export import describe_model, export_model
    from unet_repro.model import UNet
    net, saved = UNet.from_pretrained(folder), CACHE/f'model-{key(folder)}.onnx'
    if not saved.exists():
        saved.parent.mkdir(parents=True, exist_ok=True)
        partial = saved.with_name(f'.{os.getpid()}-{saved.name}')
        try:
            export_model(net, partial)
        except ImportError as e:
            return f'导出模型缺少{e.name}'
        os.replace(partial, saved)
        partial.with_suffix('.json').unlink()
    shutil.copy2(saved, out/'model.onnx')
    text = json.dumps(describe_model(net), ensure_ascii=False, indent=1)
    (out/'model.json').write_text(text, encoding='utf-8')
    return None


def samples(out):
    "合成三张图像；返回按钮的 HTML"
    from unet_repro.files import read_image
    from unet_repro.synthetic import make_synthetic
    buttons = []
    with tempfile.TemporaryDirectory() as folder:
        for i, (seed, part, size) in enumerate(SAMPLES, 1):
            place = make_synthetic(Path(folder)/str(seed), frames=2, size=size, seed=seed)
            name = f'sample{i}.png'
            image = read_image(place/part/'t001.tif')
            Image.fromarray(image).save(out/name, optimize=True)
            buttons.append(
                f'<button type="button" data-file="{name}"><img src="try/{name}" '
                f'width="{size[1]}" height="{size[0]}" '
                f'alt="第{i}张合成的相差显微图像">合成{i}</button>')
    return ''.join(buttons)


def notice(reasons):
    "缺了什么，怎样补上"
    if not reasons:
        return ''
    return (
        f'<p class="notice" data-missing="yes">这一页没有建全：{"；".join(reasons)}。'
        f'补上的办法：下载<a href="{URL}">onnxruntime-web-{VERSION}.tgz</a>，'
        '放进<code>~/.cache/unet_repro</code>；'
        "<code>pip install -e '.[dev]'</code>；再运行<code>make docs</code>。</p>")


def build(docs, folder=ROOT/'models'/'synthetic'):
    "在 docs 里建 try.html 和 try/；返回缺了什么，一句一条"
    docs = Path(docs)
    out = docs/'try'
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for name in ('try.js', 'worker.js', 'cells.js', 'files.js', 'try.css'):
        shutil.copy2(WEB/name, out)
    if not (docs/'favicon.svg').exists():
        shutil.copy2(ROOT/'nbs'/'favicon.svg', docs)
    missing = [reason for reason in (engine(out), model(out, folder)) if reason]
    (out/'LICENSE.txt').write_text(MIT, encoding='utf-8')
    page = (WEB/'try.html').read_text(encoding='utf-8').format(
        notice=notice(missing), samples=samples(out), version=VERSION,
        model=f'models/{folder.name}')
    (docs/'try.html').write_text(page, encoding='utf-8')
    return missing


if __name__ == '__main__':
    sys.path.insert(0, str(ROOT))
    for problem in build(*(sys.argv[1:] or [ROOT/'_docs'])):
        print(f'  try.html：{problem}')
