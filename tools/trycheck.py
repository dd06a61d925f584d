"""在真正的 Chromium 里用“在网页里试”：细胞与 Python 的一样，坏文件说得清，停得下，手机上看得全。

--more：再试一个补零、多类、RGB 的模型（要导出一次，慢）。
"""
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import tifffile
from browse import LOOK, ROOT, Ears, serve, start
from PIL import Image
from scipy import ndimage
from trypage import build

CASES = [  # 平滑的尺度、门槛、min_size、neck
    (3, .5, 100, .7), (3, .5, 400, .7), (4, .45, 100, .9), (4, .4, 60, .5), (5, .55, 30, 1),
    (5, .42, 200, .7), (2, .5, 50, .7), (6, .48, 100, 0), (6, .46, 300, .8), (3, .4, 1000, .6),
    (2.5, .46, 0, .7), (4, .38, 150, .95),
]
LABELS = """async ([folder, cases]) => {
  const { growBack, labelInstances } = await import(folder + "try/cells.js");
  const get = async (name, Kind) => new Kind(await (await fetch(folder + name)).arrayBuffer());
  const wrong = [];
  for (const { name, h, w, threshold, size, neck } of cases) {
    const p = await get(name + ".p", Float32Array), wanted = await get(name + ".ids", Int32Array);
    const found = labelInstances(p, h, w, threshold, size, neck);
    const inside = await get(name + ".inside", Float32Array), grown = growBack(found, inside, h, w);
    const given = await get(name + ".grown", Int32Array);
    const differs = (v, i) => (v !== wanted[i]) + (grown.labels[i] !== given[i]);
    wrong.push(found.labels.reduce((sum, v, i) => sum + differs(v, i), 0));
  }
  return wrong;
}"""
DECODE = """async ([folder, files]) => {
  const { readImage } = await import(folder + "try/files.js"), wrong = [];
  for (const [name, expected, w, channels] of files) {
    const get = async (name) => new Uint8Array(await (await fetch(folder + name)).arrayBuffer());
    try {
      const image = await readImage(await get(name)), data = image.data;
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      const wanted = await get(expected);
      const same = image.w === w && image.channels === channels && bytes.length === wanted.length
        && bytes.every((v, i) => v === wanted[i]);
      if (!same) wrong.push(name);
    } catch (error) {
      wrong.push(`${name}（${error.message}）`);
    }
  }
  return wrong;
}"""


def fields(docs):
    "各种概率图和Python分出的细胞，写进 docs；返回给浏览器的单子"
    from unet_repro.classes import grow_back
    from unet_repro.predict import label_instances
    rng, cases = np.random.default_rng(0), []
    for i, (scale, threshold, size, neck) in enumerate(CASES):
        h, w = 190 + 7 * i, 260 - 5 * i
        noise = ndimage.gaussian_filter(rng.normal(size=(h, w)), scale)
        noise += .4 * ndimage.gaussian_filter(rng.normal(size=(h, w)), 2.5 * scale)
        p = (.5 + .18 * noise / noise.std()).clip(0, 1).astype(np.float32)
        p[rng.random((h, w)) < .002] = 0  # 洞
        name = f'case{i}'
        p.tofile(docs/f'{name}.p')
        labels = label_instances(p, threshold, size, neck).astype(np.int32)
        inside = (p + rng.choice([.02, .06, .1], (h, w))).astype(np.float32)
        labels.tofile(docs/f'{name}.ids')
        inside.tofile(docs/f'{name}.inside')
        grow_back(labels, inside > .5).astype(np.int32).tofile(docs/f'{name}.grown')
        cases.append(dict(name=name, h=h, w=w, threshold=threshold, size=size, neck=neck))
    return cases


def pictures(docs):
    "各种写法的 TIFF、PNG，和里面的像素；返回给浏览器的单子"
    rng, files = np.random.default_rng(1), []
    ways = [
        dict(), dict(byteorder='>'), dict(compression='lzw'),
        dict(compression='lzw', byteorder='>'), dict(compression='lzw', predictor=True),
        dict(compression='lzw', predictor=True, byteorder='>'),
        dict(tile=(64, 48)), dict(tile=(64, 48), compression='lzw', predictor=True),
        dict(rowsperstrip=7), dict(rowsperstrip=7, compression='lzw'), dict(compression='deflate'),
        dict(compression='packbits'), dict(photometric='miniswhite'), dict(planarconfig='separate'),
    ]
    for kind in (np.uint8, np.uint16):
        for channels in (1, 3):
            shape = (201, 333) if channels == 1 else (201, 333, 3)
            noise = rng.normal(0, np.iinfo(kind).max / 200, shape)
            ramp = np.linspace(0, .9 * np.iinfo(kind).max, 333)
            image = (ramp[:, None] if channels == 3 else ramp) + noise
            image = image.clip(0, np.iinfo(kind).max).astype(kind)
            stem = f'{image.dtype}-{channels}'
            image.tofile(docs/f'{stem}.raw')
            for i, way in enumerate(ways):
                colour = dict(photometric='rgb' if channels == 3 else 'minisblack') | way
                if way.keys() & {'photometric' if channels == 3 else 'planarconfig'}:
                    continue  # 白为零的只有灰度，分面的只有RGB
                stored = image if way.get('photometric') != 'miniswhite' else ~image
                if 'planarconfig' in way:
                    stored = np.moveaxis(stored, -1, 0)
                name = f'{stem}-{i}.tif'
                tifffile.imwrite(docs/name, stored, **colour)
                files.append([name, f'{stem}.raw', 333, channels])
            if kind == np.uint8 or channels == 1:
                Image.fromarray(image).save(docs/f'{stem}.png')
                files.append([f'{stem}.png', f'{stem}.raw', 333, channels])
    return files


def wait(page, text, seconds=60):
    "等页面说出这句话"
    page.locator('#said', has_text=text).wait_for(timeout=1000 * seconds)


def download(page, button):
    "点一个下载的按钮，返回文件"
    with page.expect_download() as got:
        page.locator(button).click()
    return Path(got.value.path())


def scores(path, model):
    "Python的概率和编号，照模型自己的三个数"
    from unet_repro.files import read_image
    from unet_repro.predict import cutting, foreground, label_instances, predict_image
    probability = foreground(predict_image(model, read_image(path)))
    return probability, label_instances(probability, **cutting(model))


def compare(page, path, model):
    "页面上的结果与Python比：编号不同的像素数，表里不同的行数"
    from unet_repro.files import read_image
    from unet_repro.large import _write_table, measure_cells
    probability, wanted = scores(path, model)
    labels = tifffile.imread(download(page, '#tiff'))
    with tempfile.TemporaryDirectory() as folder:
        table = measure_cells(wanted, probability, read_image(path))
        _write_table(table, Path(folder)/'cells.csv')
        rows = (Path(folder)/'cells.csv').read_bytes().splitlines()
    got = download(page, '#csv').read_bytes().splitlines()
    different = sum(one != two for one, two in zip(rows, got)) + abs(len(rows) - len(got))
    return int((labels != wanted).sum()), different, int(wanted.max())


def samples(page, docs, model):
    "三张样本"
    for i in (1, 2, 3):
        page.locator(f'[data-file="sample{i}.png"]').click()
        page.locator('#name', has_text=f'sample{i}').wait_for()
        wait(page, '预测完了')
        pixels, rows, count = compare(page, docs/'try'/f'sample{i}.png', model)
        print(f'  合成{i}：{count}个细胞，{pixels}个像素的编号不同，表里{rows}行不同')
        if pixels or rows > 1 + count // 5:  # 第四位小数会差一点
            yield f'合成{i}：{pixels}个像素的编号与Python不同，表里{rows}行不同'


def sliders(page):
    "三个数一动，细胞就重新分"
    for name, value in (('minSize', 5000), ('threshold', .02)):
        before = page.locator('#count').inner_text()
        page.locator(f'#{name}').fill(str(value))
        page.wait_for_timeout(600)
        if page.locator('#count').inner_text() == before:
            yield f'动了{name}，细胞没有变'


def large(page, docs):
    "2048×2048：说得出进度；中途停得下，停了还能再来"
    image = np.asarray(Image.open(docs/'try'/'sample1.png'))
    image = np.pad(image, ((0, 2048 - 520), (0, 2048 - 696)), 'reflect')
    tifffile.imwrite(docs/'large.tif', image, compression='lzw')
    page.locator('#file').set_input_files(docs/'large.tif')
    wait(page, '预测到第')
    page.locator('#stop').click()
    wait(page, '停下了', 2)
    page.wait_for_timeout(1000)
    if '停下了' not in page.locator('#said').inner_text() or page.locator('#running').is_visible():
        yield '停下之后还在算'
    page.locator('#file').set_input_files(docs/'large.tif')
    wait(page, '预测到第')
    share = float(page.locator('#bar').get_attribute('value') or 0)
    if not 0 < share < 1:
        yield f'进度是{share}'
    wait(page, '预测完了', 90)
    said = [page.locator(place).inner_text() for place in ('#count', '#said')]
    print(f'  2048×2048：{"；".join(said)}')


def wrong_files(page, docs):
    "坏的文件，各有一句中文"
    good = (docs/'large.tif').read_bytes()
    tifffile.imwrite(docs/'float.tif', np.zeros((50, 60), np.float32))
    for name, content in [
            ('cut.tif', good[:len(good) // 3]), ('text.tif', b'hello'), ('head.tif', b'II*\0'),
            ('text.png', b'\x89PNG\r\n\x1a\n' + bytes(9)), ('text.jpg', b'hello'),
            ('empty.png', b''),
            ('bad.onnx', b'hello'), ('bad.json', b'{')]:
        (docs/name).write_bytes(content)
    card, whole = docs/'try'/'model.json', onnx.load(docs/'try'/'model.onnx')
    for node in whole.graph.node:
        node.output[:] = ['p' if name == 'logits' else name for name in node.output]
    whole.graph.output[0].name = 'p'
    onnx.save(whole, docs/'whole.onnx')
    Image.fromarray(np.zeros((50, 60), np.uint16)).save(docs/'seen.png', transparency=5)
    tifffile.imwrite(docs/'turned.tif', np.zeros((50, 60), np.uint8), extratags=[(274, 3, 1, 6)])
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.zeros((50, 60), np.uint8)).save(docs/'turned.jpg', exif=exif)
    for names, word in [
            (['cut.tif'], '完整'), (['text.tif'], '认不出'), (['head.tif'], '完整'),
            (['text.png'], '完整'),
            (['text.jpg'], '认不出'), (['empty.png'], '认不出'), (['float.tif'], '浮点'),
            (['bad.onnx'], '一起放'), (['bad.onnx', 'bad.json'], '不是JSON'),
            (['bad.onnx', card], '读不了这个模型'), (['whole.onnx', card], '完整的图'),
            (['seen.png'], '16位'), (['turned.tif'], '方向'), (['turned.jpg'], '方向'),
            (['large.tif', 'float.tif'], '一次放一张')]:
        page.evaluate('document.querySelector("#said").textContent = ""')
        page.locator('#file').set_input_files([docs/name for name in names])
        try:
            wait(page, word, 20)
        except Exception:
            yield f'{names}：要说“{word}”，说的是“{page.locator("#said").inner_text()}”'


def own_model(page, docs, folder, image):
    "把自己的模型和一张图像一起放进去"
    page.locator('#file').set_input_files([folder/'model.onnx', folder/'model.json', image])
    wait(page, '预测完了')
    page.locator('#name', has_text=image.name).wait_for()
    page.locator('#model', has_text='model.onnx').wait_for(state='attached')


def exact(page, docs, model):
    "模型记着的三个数不在滑块的格子上，也照它们分"
    odd, folder = dict(threshold=.43, min_size=345, neck=.72), docs/'odd'
    folder.mkdir()
    shutil.copy(docs/'try'/'model.onnx', folder)
    card = json.loads((docs/'try'/'model.json').read_text(encoding='utf-8'))
    (folder/'model.json').write_text(json.dumps(card | odd), encoding='utf-8')
    model.about = model.about | odd
    own_model(page, docs, folder, docs/'try'/'sample2.png')
    pixels, _, count = compare(page, docs/'try'/'sample2.png', model)
    print(f'  门槛0.43、最小345、脖子0.72：{count}个细胞，{pixels}个像素的编号不同')
    if pixels:
        yield f'模型记着的三个数，页面用的不是：{pixels}个像素的编号不同'
    deep = np.asarray(Image.open(docs/'try'/'sample2.png')).astype(np.uint16)
    deep[::25, ::2] = 1000
    tifffile.imwrite(docs/'deep.tif', deep)
    page.locator('#file').set_input_files(docs/'deep.tif')
    page.locator('#name', has_text='deep').wait_for()
    wait(page, '预测完了')
    if '不合' not in page.locator('#notes').inner_text():
        yield '16位的图像给练8位的模型，没有说'


def phone(browser, site, shot):
    "手机那么窄，浅色深色：不横着滚"
    for scheme in ('light', 'dark'):
        viewport = dict(width=390, height=844)
        context = browser.new_context(
            viewport=viewport, color_scheme=scheme, has_touch=True)
        page = context.new_page()
        page.goto(site + 'try.html')
        page.locator('[data-file="sample2.png"]').tap()
        wait(page, '预测完了')
        page.locator('summary').tap()
        width = page.evaluate('document.documentElement.scrollWidth')
        if width > 390:
            yield f'手机上要横着滚：{width}像素'
        for problem in page.evaluate(f'{LOOK}\nlook()')['bad']:
            yield f'手机上，{scheme}：{problem}'
        if shot:
            page.screenshot(path=f'{shot}-{scheme}.png', full_page=True)
        context.close()


def more(page, docs):
    "补零、两级、RGB、三类的模型，权重是随机的"
    import torch
    from trypage import model as export
    from unet_repro.model import UNet
    torch.manual_seed(0)
    net = UNet(3, 3, width=4, depth=2, padding='same')
    with torch.no_grad():
        net.head.weight *= 3
    net.about = dict(classes=['背景', '红的', '绿的'], min_size=20)
    folder = docs/'other'
    net.save_pretrained(folder/'net')
    export(folder, folder/'net')
    rng = np.random.default_rng(2)
    image = ndimage.gaussian_filter(rng.normal(size=(301, 420, 3)), (5, 5, 0)) * 900 + 128
    tifffile.imwrite(folder/'rgb.tif', image.clip(0, 255).astype(np.uint8), photometric='rgb')
    own_model(page, docs, folder, folder/'rgb.tif')
    pixels, rows, count = compare(page, folder/'rgb.tif', UNet.from_pretrained(folder/'net'))
    print(f'  补零、RGB、三类：{count}个细胞，{pixels}个像素的编号不同，表里{rows}行不同')
    if pixels > 50:
        yield f'自己的模型：{pixels}个像素不同'


def main(browser):
    "建一份只有这一页的网站，逐项试"
    sys.path.insert(0, str(ROOT))
    from unet_repro.model import UNet
    shot = next((arg[7:] for arg in sys.argv if arg.startswith('--shot=')), '')
    with tempfile.TemporaryDirectory() as folder:
        docs = Path(folder)
        missing = build(docs)
        if missing:
            print(f'  在网页里试：没有试，{"；".join(missing)}')
            return False
        model = UNet.from_pretrained(ROOT/'models'/'synthetic')
        site, bad = serve(docs), []
        page = browser.new_context(viewport=dict(width=1280, height=900)).new_page()
        with Ears(page, site) as ears:
            page.goto(site + 'try.html')
            page.locator('body[data-ready]').wait_for()
            cases = fields(docs)
            wrong = page.evaluate(LABELS, [site, cases])
            print(f'  {len(cases)}幅概率图：{sum(wrong)}个像素的编号不同')
            bad += [f'{case}：{n}个像素的编号不同' for case, n in zip(CASES, wrong) if n]
            files = pictures(docs)
            wrong = page.evaluate(DECODE, [site, files])
            print(f'  {len(files)}种TIFF和PNG：{len(wrong)}种读错')
            bad += [f'{name}读错了' for name in wrong]
            bad += samples(page, docs, model)
            if shot:
                page.screenshot(path=f'{shot}-wide.png', full_page=True)
            bad += sliders(page)
            bad += large(page, docs)
            bad += wrong_files(page, docs)
            own_model(page, docs, docs/'try', docs/'try'/'sample3.png')
            bad += exact(page, docs, model)
            if '--more' in sys.argv:
                bad += more(page, docs)
        bad += ears.bad
        outside = [url for url in ears.asked if not url.startswith((site, 'blob:', 'data:'))]
        print(f'  {len(ears.asked)}个请求，向外面的{len(outside)}个')
        bad += phone(browser, site, shot)
    for problem in bad:
        print(f'  {problem}')
    return bool(bad)


if __name__ == '__main__':
    sys.exit(start(main))
