"""由 nbs/index.ipynb 生成 README.md 和 images/readme-*.png，不需要 Quarto。--check：只比对。"""
import base64
import posixpath
import re
import sys
from pathlib import Path

import yaml
from execnb.nbio import read_nb

ROOT = Path(__file__).resolve().parent.parent


def options(source):
    "单元格的 `#|` 指令，和去掉指令的代码"
    lines = source.splitlines()
    found = {}
    for line in lines:
        if line.startswith('#|'):
            line = line[2:].strip()
            found.update(yaml.safe_load(line) if ': ' in line else {line.rstrip(':'): True})
    code = [line for line in lines if not line.startswith('#|')]
    return found, '\n'.join(code).strip()


def relink(text):
    "相对链接从 nbs/ 起算，改成从项目根起算；代码块不动"
    def link(m):
        if re.match(r'[a-z]+:|#|/', m[2]):
            return m[0]
        return f"{m[1]}({posixpath.normpath('nbs/' + m[2])})"

    parts = re.split(r'(```.*?```|`[^`\n]*`)', text, flags=re.S)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r'(\])\(([^)\s]+)\)', link, parts[i])
    return ''.join(parts)


def fence(text, lang=''):
    "围成代码块"
    return f'```{lang}\n{text.rstrip()}\n```'


def output(out, opts, images):
    "一个输出的 Markdown；图片放进 images"
    if out['output_type'] == 'stream':
        return fence(''.join(out['text']), 'text')
    data = out['data']
    if 'text/markdown' in data:
        return relink(''.join(data['text/markdown']).strip())
    if 'image/png' in data:
        name = f'images/readme-{len(images) + 1}.png'
        images[name] = base64.b64decode(data['image/png'])
        return f"![{opts.get('fig-alt') or opts.get('fig-cap', '')}]({name})"
    if 'text/html' in data:
        return ''.join(data['text/html']).strip()
    return fence(''.join(data['text/plain']), 'text')


def code_cell(cell, images):
    "一个代码单元格的各段"
    opts, code = options(cell.source)
    if 'hide' in opts or opts.get('include') is False:
        return
    if code and opts.get('echo') is not False:
        yield fence(code, 'python')
    if opts.get('output') is not False:
        for out in cell.outputs:
            yield output(out, opts, images)


def readme(nb):
    "README 的文字，和它用到的图片"
    parts, images = ['<!-- 由 nbs/index.ipynb 生成（make prepare），不要手改 -->'], {}
    for cell in nb.cells:
        if cell.cell_type == 'markdown':
            parts.append(relink(cell.source.strip()))
        if cell.cell_type == 'code':
            parts += code_cell(cell, images)
    return '\n\n'.join(parts) + '\n', images


def main(check):
    "写出 README 和图片，或者只比对"
    text, images = readme(read_nb(ROOT/'nbs'/'index.ipynb'))
    new = {'README.md': text.encode('utf-8'), **images}
    there = [*ROOT.glob('README.md'), *ROOT.glob('images/readme-*.png')]
    old = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in there}
    bad = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
    for k in bad:
        if check:
            print(f'  {k}')
        elif k in new:
            (ROOT/k).parent.mkdir(exist_ok=True)
            (ROOT/k).write_bytes(new[k])
        else:
            (ROOT/k).unlink()
    return check and bool(bad)


if __name__ == '__main__':
    sys.exit(main('--check' in sys.argv))
