// 能动手的图。没有脚本时，留着笔记里写的那行字，就是滑块没动时的那行；数由这里算，tools/browse.py 与包里的逐个比对。
// 笔记里放一格：<div class="touch" data-touch="sizes">…</div>，data-touch是哪一幅

// 搭起滑块、画（picture）、怎样看它（about）和一行话，动一下就重画
// sliders：[名字, 说明, 最小, 最大, 起初, 一步]；draw给出那行话
function build(box, picture, about, sliders, draw) {
  box.dataset.still = box.textContent.trim();
  box.innerHTML = `<form></form><${picture} role="img"></${picture}><small>${about}</small><p aria-live="polite"></p>`;
  const [form, paper, , text] = box.children;
  for (const [name, label, min, max, value, step = 1] of sliders) form.insertAdjacentHTML("beforeend",
    `<label>${label} <output></output><input type="range" name="${name}" min="${min}" max="${max}" step="${step}" value="${value}"></label>`);
  const update = () => {
    for (const input of form.querySelectorAll("input")) input.previousElementSibling.value = input.value;
    text.innerHTML = draw(Object.fromEntries(sliders.map(([name]) => [name, +form[name].value])), paper);
  };
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
}

// 一幅像素画：colour(i)给出第i个像素的 [红, 绿, 蓝]
function paint(canvas, [h, w], colour) {
  Object.assign(canvas, { height: h, width: w });
  const pen = canvas.getContext("2d"), image = pen.createImageData(w, h);
  for (let i = 0; i < h * w; i++) image.data.set([...colour(i), 255], 4 * i);
  pen.putImageData(image, 0, 0);
}

// 边长n的图像走过深度depth的网络：每一级两个卷积吃掉4，池化折半（要偶数），上采样加倍
function sizes(n, depth) {
  const down = [], up = [];
  let side = n, problem = null;
  for (let level = 0; level <= depth && !problem; level++) {
    const after = side - 4;
    down.push([side, after]);
    if (after < 1) problem = { level, text: `第${level}级的两个卷积要吃掉4，边长只有${side}` };
    else if (level < depth && after % 2) problem = { level, text: `第${level + 1}次池化遇到奇数${after}` };
    else side = level < depth ? after / 2 : after;
  }
  for (let level = depth - 1; level >= 0 && !problem; level--) {
    up.push([2 * side, 2 * side - 4]);
    side = 2 * side - 4;
    if (side < 1) problem = { level, text: "扩展路径上卷积把边长吃光了" };
  }
  return { down, up, problem, output: problem ? null : side };
}

function touchSizes(box) {
  const max = 700;
  const bar = (x, y, [from, to], bad) => {
    const width = (v) => 6 + 100 * Math.max(v, 0) / max;
    return `<rect class="from" x="${x - width(from) / 2}" y="${y}" width="${width(from)}" height="8"/>
      <rect class="${bad ? "bad" : "to"}" x="${x - width(to) / 2}" y="${y + 9}" width="${width(to)}" height="8"/>
      <text x="${x}" y="${y - 4}">${from} → ${to}</text>`;
  };
  const nearest = (n, depth) => {
    const legal = (m) => sizes(m, depth).output !== null;
    let low = n - 1, high = n + 1;
    while (low > 0 && !legal(low)) low--;
    while (!legal(high)) high++;
    return (low > 0 ? [low, high] : [high]).join("和");
  };
  build(box, "svg", "灰条进，蓝条出，长短是边长", [["side", "输入边长", 16, max, 572], ["depth", "深度", 1, 5, 4]], ({ side: n, depth }, svg) => {
    const { down, up, problem, output } = sizes(n, depth);
    const row = (level) => 18 + 34 * level, shift = (level) => 75 + 80 * level / depth;
    const lines = down.map((pair, level) => bar(level === depth ? 180 : shift(level), row(level), pair, problem?.level === level && !up.length));
    up.forEach((pair, i) => lines.push(bar(360 - shift(depth - 1 - i), row(depth - 1 - i), pair, problem && i === up.length - 1)));
    svg.setAttribute("viewBox", `0 0 360 ${row(depth) + 24}`);
    svg.setAttribute("aria-label", output ? `${n}进${output}出` : `${n}不合法`);
    svg.innerHTML = lines.join("");
    return output !== null ? `<b>合法</b>：${n}进，${output}出，四周各少${(n - output) / 2}像素。`
      : `<b>不合法</b>：${problem.text}。最近的合法边长是${nearest(n, depth)}。`;
  });
}

// 输出的第row行看到输入的第几行到第几行，只走到第level级：从输出倒推，两个卷积多出4，上采样折半，池化加倍
function field(row, depth, level = depth) {
  let low = row, high = row;
  for (let i = 0; i < level; i++) [low, high] = [low >> 1, high + 4 >> 1];
  if (level < depth) {  // 跳跃连接：卷积，裁掉的一圈
    const crop = 6 * 2 ** (depth - level) - 8;
    [low, high] = [low + crop, high + 4 + crop];
  }
  for (let i = level; i > 0; i--) [low, high] = [2 * low, 2 * (high + 4) + 1];
  return [low, high + 4];
}

function touchField(box) {
  const inputs = [80, 104, 156, 252, 444];  // 深度1到5，输出都有六十几像素
  const about = "灰底是输入，虚线框是输出的窗口，十字是输出的一个像素；蓝底是它看到的，蓝框是它经各级跳跃连接看到的";
  build(box, "svg", about, [["depth", "深度", 1, 5, 4], ["row", "输出像素在第几行、第几列", 0, 63, 30]], ({ depth, row }, svg) => {
    const n = inputs[depth - 1], lost = 6 * 2 ** depth - 4;
    const square = (kind, low, high) => `<rect class="${kind}" x="${low}" y="${low}" width="${high - low + 1}" height="${high - low + 1}"/>`;
    const seen = Array.from({ length: depth + 1 }, (_, level) => field(row, depth, level)).reverse(), side = ([low, high]) => high - low + 1;
    const at = lost + row + .5, arm = n / 50, [[low, high], ...skips] = seen;
    svg.setAttribute("class", "square");
    svg.setAttribute("viewBox", `-1 -1 ${n + 2} ${n + 2}`);
    svg.setAttribute("aria-label", `${n}见方的输入里，一个${high - low + 1}见方的框`);
    svg.innerHTML = square("paper", 0, n - 1) + square("field", low, high) + skips.map((rows) => square("skip", ...rows)).join("")
      + square("window", lost, n - 1 - lost) + `<path class="cross" d="M${at - arm} ${at}h${2 * arm}M${at} ${at - arm}v${2 * arm}"/>`;
    return `输出的第${row}行看到输入的第${low}到${high}行，${high - low + 1}见方；各级跳跃连接看到${skips.map(side).reverse().join("、")}见方。`;
  });
}

// 两个半径20的圆细胞，中间隔gap个像素
function twoCells(gap) {
  const h = 61, w = 132, labels = new Uint8Array(h * w);
  [30, 71 + gap].forEach((centre, k) => {
    for (let i = 0; i < h * w; i++) if (Math.hypot(Math.floor(i / w) - 30, i % w - centre) <= 20) labels[i] = k + 1;
  });
  return { h, w, labels };
}

// 式2：1加边界项，边界项只加在背景上；d1、d2是到两个细胞最近的像素的距离
function weightMap({ h, w, labels }, w0, sigma) {
  const rims = [[], []], weights = new Float64Array(h * w).fill(1);
  labels.forEach((v, i) => {
    if (v && [1, -1, w, -w].some((step) => labels[i + step] !== v)) rims[v - 1].push([Math.floor(i / w), i % w]);
  });
  for (let i = 0; i < h * w; i++) if (!labels[i]) {
    let sum = 0;
    for (const rim of rims) {
      let least = Infinity;
      for (const [y, x] of rim) least = Math.min(least, (y - Math.floor(i / w)) ** 2 + (x - i % w) ** 2);
      sum += Math.sqrt(least);
    }
    weights[i] += w0 * Math.exp(-(sum ** 2) / (2 * sigma ** 2));
  }
  return weights;
}

function touchWeights(box) {
  const stops = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];
  const fire = (v) => {  // 0到1，由黑到亮黄
    const k = Math.min(Math.floor(4 * v), 3);
    return stops[k].map((low, i) => low + (stops[k + 1][i] - low) * (4 * v - k));
  };
  build(box, "canvas", "灰的是细胞；背景黑的权重是1，越亮越大", [["gap", "缝宽，像素", 0, 30, 5], ["w0", "w0", 0, 20, 10], ["sigma", "σ，像素", 1, 15, 5]], ({ gap, w0, sigma }, canvas) => {
    const cells = twoCells(gap), weights = weightMap(cells, w0, sigma), inside = weights[30 * cells.w + 51];
    paint(canvas, [cells.h, cells.w], (i) => cells.labels[i] ? [128, 136, 146] : fire(Math.sqrt((weights[i] - 1) / 20)));
    canvas.setAttribute("aria-label", `两个灰色的圆细胞，缝宽${gap}像素；背景越亮，权重越大`);
    return gap ? `缝宽${gap}像素，最近处的权重是${inside.toFixed(2)}，其中1是w<sub>c</sub>，其余是边界项。` : "缝宽0像素，最近处没有背景，权重是1。";
  });
}

// 4连通的各块；编号从1起
function components(mask, [h, w]) {
  const labels = new Int32Array(h * w);
  let count = 0;
  for (let start = 0; start < h * w; start++) if (mask[start] && !labels[start]) {
    const waiting = [start];
    labels[start] = ++count;
    while (waiting.length) {
      const i = waiting.pop(), x = i % w;
      for (const near of [x > 0 ? i - 1 : -1, x < w - 1 ? i + 1 : -1, i - w, i + w]) if (mask[near] && !labels[near]) {
        labels[near] = count;
        waiting.push(near);
      }
    }
  }
  return { labels, count };
}

// 过门槛，一个连通域算一个细胞；IoU数像素，SEG给每个真相物体找盖住它一半以上的
function score({ probability, truth, shape }, threshold) {
  const { labels, count } = components(probability.map((p) => p > threshold), shape);
  const found = new Map(), real = new Map(), shared = new Map(), more = (map, key) => map.set(key, (map.get(key) ?? 0) + 1);
  let both = 0, either = 0;
  labels.forEach((s, i) => {
    const r = truth[i];
    both += s && r ? 1 : 0;
    either += s || r ? 1 : 0;
    if (s) more(found, s);
    if (r) more(real, r);
    if (s && r) more(shared, `${r} ${s}`);
  });
  let sum = 0;
  for (const [pair, n] of shared) {
    const [r, s] = pair.split(" ").map(Number);
    if (2 * n > real.get(r)) sum += n / (real.get(r) + found.get(s) - n);
  }
  return { labels, count, iou: either ? both / either : 1, seg: sum / real.size, cells: real.size };
}

// 存在data-里的概率图（一个字一个像素，64级）和真相（编号 个数 编号 个数……）
function readMap({ shape, probability, truth }) {
  const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_", runs = truth.split(" ").map(Number), ids = [];
  for (let i = 0; i < runs.length; i += 2) ids.push(...Array(runs[i + 1]).fill(runs[i]));
  return { shape: shape.split(" ").map(Number), probability: Array.from(probability, (c) => digits.indexOf(c) / 63), truth: ids };
}

function touchThreshold(box) {
  const map = readMap(box.dataset), { probability, truth, shape } = map, w = shape[1];
  const hue = (id, k) => 255 * Math.min(Math.max(Math.abs((id * .618 + k / 3) % 1 * 6 - 3) - 1, 0), 1);
  build(box, "canvas", "灰的深浅是概率，一种颜色一块，黄线是真相", [["threshold", "门槛", .05, .95, .5, .05]], ({ threshold }, canvas) => {
    const { labels, count, iou, seg, cells } = score(map, threshold), said = `门槛${threshold}：IoU ${iou.toFixed(3)}，SEG ${seg.toFixed(3)}；分出${count}块，真相有${cells}个细胞`;
    paint(canvas, shape, (i) => {
      if ([i + w, i + 1].some((near) => truth[near] !== undefined && truth[near] !== truth[i] && (near !== i + 1 || near % w))) return [240, 228, 66];
      return [0, 1, 2].map((k) => labels[i] ? 100 * probability[i] + .6 * hue(labels[i], k) : 255 * probability[i]);
    });
    canvas.setAttribute("aria-label", `概率图上的${count}块颜色，和真相的黄线`);
    return `${said}。`;
  });
}

const TOUCH = { sizes: touchSizes, field: touchField, weights: touchWeights, threshold: touchThreshold };
document.querySelectorAll("[data-touch]").forEach((box) => TOUCH[box.dataset.touch](box));
