// 由概率图分出细胞：05章label_instances的浏览器版，每一步与那里同名的函数逐像素相等。
// 掩码是 {h, w, data}，data是Uint8Array；外框是 [top, left, bottom, right]，下、右不含。

const GAUSS = [0.39894346935609776, 0.24197144565660073, 0.05399112742070441,
  0.0044318616200312655, 0.00013383062461474175];  // 标准差1，两边各4个像素，和是1

function clip(v, low, high) {
  return Math.min(Math.max(v, low), high);
}

// 四邻的连通域，编号照从上到下、从左到右遇到的先后；返回 {labels, count}
export function label(mask) {
  const { h, w, data } = mask, labels = new Int32Array(h * w), stack = [];
  let count = 0;
  const visit = (i) => {
    if (data[i] && !labels[i]) {
      labels[i] = count;
      stack.push(i);
    }
  };
  for (let start = 0; start < data.length; start++) {
    if (!data[start] || labels[start]) continue;
    count++;
    visit(start);
    while (stack.length) {
      const i = stack.pop(), x = i % w;
      if (x > 0) visit(i - 1);
      if (x < w - 1) visit(i + 1);
      if (i >= w) visit(i - w);
      if (i < data.length - w) visit(i + w);
    }
  }
  return { labels, count };
}

// 编号1到count各自的外框；没有的编号是undefined
function findBoxes(labels, h, w, count) {
  const boxes = new Array(count);
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      const v = labels[i];
      if (v < 1) continue;
      const box = boxes[v - 1] ??= [y, x, y + 1, x + 1];
      box[2] = y + 1;
      box[1] = Math.min(box[1], x);
      box[3] = Math.max(box[3], x + 1);
    }
  }
  return boxes;
}

// 一条线上，每个点最近的背景；fy、fx是各点目前的候选（-1是还没有），就地改
function voronoi(fy, fx, start, step, n, along, across, place) {
  const a0 = new Float64Array(n), c0 = new Float64Array(n), stack = new Int32Array(n);
  for (let i = 0; i < n; i++) {
    a0[i] = along[start + i * step];
    c0[i] = across[start + i * step] - place;
  }
  let last = -1;
  for (let i = 0; i < n; i++) {
    if (fy[start + i * step] < 0) continue;
    const wR = c0[i] * c0[i];
    while (last >= 1) {
      const one = stack[last], two = stack[last - 1];
      const a = a0[one] - a0[two], b = a0[i] - a0[one], c = a + b;
      const uR = c0[two] * c0[two], vR = c0[one] * c0[one];
      if (c * vR - b * uR - a * wR - a * b * c <= 0) break;
      last--;
    }
    stack[++last] = i;
  }
  if (last < 0) return;
  const far = (l, i) => (a0[stack[l]] - i) ** 2 + c0[stack[l]] ** 2;
  for (let i = 0, l = 0; i < n; i++) {
    let best = far(l, i);
    while (l < last) {
      const next = far(l + 1, i);
      if (best <= next) break;
      best = next;
      l++;
    }
    along[start + i * step] = a0[stack[l]];
    across[start + i * step] = c0[stack[l]] + place;
  }
}

// 每个像素最近的背景在哪里：scipy的distance_transform_edt，同样近的取哪一个也一样
function nearestBackground({ h, w, data }) {
  const fy = new Int32Array(h * w), fx = new Int32Array(h * w);
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      fy[i] = data[i] ? -1 : y;
      fx[i] = data[i] ? -1 : x;
    }
  }
  for (let x = 0; x < w; x++) voronoi(fy, fx, x, w, h, fy, fx, x);
  for (let y = 0; y < h; y++) voronoi(fy, fx, y * w, 1, w, fx, fy, y);
  return { fy, fx };
}

// 前景的每个像素到背景的距离；没有背景就处处一样高
function height(mask) {
  const { h, w, data } = mask, result = new Float64Array(h * w);
  if (data.every((v) => v)) return result.fill(1);
  const { fy, fx } = nearestBackground(mask);
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      const dy = fy[i] - y, dx = fx[i] - x;
      result[i] = Math.sqrt(dy * dy + dx * dx);
    }
  }
  return result;
}

// 抹掉一个像素的坑洼：先竖后横，相加的先后也照scipy
function smooth(values, h, w) {
  let from = values;
  for (const [n, step, lines, stride] of [[h, w, w, 1], [w, 1, h, w]]) {
    const to = new Float64Array(h * w);
    for (let line = 0; line < lines; line++) {
      const start = line * stride;
      for (let i = 0; i < n; i++) {
        let sum = from[start + i * step] * GAUSS[0];
        for (let k = 4; k > 0; k--) {
          const before = from[start + clip(i - k, 0, n - 1) * step];
          const after = from[start + clip(i + k, 0, n - 1) * step];
          sum += (before + after) * GAUSS[k];
        }
        to[start + i * step] = sum;
      }
    }
    from = to;
  }
  return from;
}

// 每个像素一直走向八邻里最高的；返回各个像素的山是第几座，和山有几座
function climb(peaks, width) {
  const basin = new Int32Array(peaks.length).fill(-1), to = new Int32Array(peaks.length);
  for (let i = 0; i < peaks.length; i++) {
    if (!peaks[i]) continue;
    let best = -1;
    for (const dy of [-width, 0, width]) {
      for (let near = i + dy - 1; near <= i + dy + 1; near++) {
        if (peaks[near] > best) {
          best = peaks[near];
          to[i] = near;
        }
      }
    }
  }
  let count = 0;
  for (let i = 0; i < peaks.length; i++) {
    if (peaks[i] && to[i] === i) basin[i] = count++;
  }
  const path = [];
  for (let i = 0; i < peaks.length; i++) {
    if (!peaks[i]) continue;
    let top = i;
    while (basin[top] < 0) {
      path.push(top);
      top = to[top];
    }
    for (const step of path) basin[step] = basin[top];
    path.length = 0;
  }
  return { basin, count };
}

// 相邻两座山之间最高的垭口，由高到低：[垭口的高, 一座, 另一座]
function passes(basin, count, heights, width) {
  const highest = new Map();
  for (let i = 0; i < basin.length; i++) {
    if (basin[i] < 0) continue;
    for (const near of [i + 1, i + width]) {
      const a = basin[i], b = basin[near];
      if (b < 0 || a === b) continue;
      const saddle = Math.min(heights[i], heights[near]);
      const pair = Math.min(a, b) * count + Math.max(a, b), old = highest.get(pair);
      if (!old || order([saddle, a, b], old) < 0) highest.set(pair, [saddle, a, b]);
    }
  }
  return [...highest.values()].sort(order);
}

function order(one, two) {
  return two[0] - one[0] || two[1] - one[1] || two[2] - one[2];
}

// 从最高的垭口起一对一对地合并；返回每座山归了哪一座
function merge(found, peak, area, neck, minSize) {
  const owner = peak.map((_, i) => i);
  const root = (i) => {
    while (owner[i] !== i) {
      owner[i] = owner[owner[i]];
      i = owner[i];
    }
    return i;
  };
  for (const [saddle, one, two] of found) {
    let [low, high] = [root(one), root(two)];
    if (peak[high] < peak[low]) [low, high] = [high, low];
    const shallow = saddle > neck * peak[low] || Math.min(area[low], area[high]) < minSize;
    if (low !== high && shallow) {
      owner[low] = high;
      area[high] += area[low];
    }
  }
  return owner.map((_, i) => root(i));
}

// 把一个连通域在脖子处切开；返回1、2、3……的编号，背景是0
function cut(mask, neck, minSize) {
  const { h, w, data } = mask, high = height(mask), soft = smooth(high, h, w), width = w + 2;
  const heights = new Float64Array((h + 2) * width), peaks = new Float64Array((h + 2) * width);
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      const there = (y + 1) * width + x + 1;
      heights[there] = high[i];
      peaks[there] = data[i] * soft[i];
    }
  }
  const { basin, count } = climb(peaks, width);
  const area = new Array(count).fill(0), peak = new Array(count).fill(0);
  for (let i = 0; i < basin.length; i++) {
    if (basin[i] < 0) continue;
    area[basin[i]]++;
    peak[basin[i]] = Math.max(peak[basin[i]], heights[i]);
  }
  const owner = merge(passes(basin, count, heights, width), peak, area, neck, minSize);
  const number = new Map([...new Set(owner)].sort((a, b) => a - b).map((v, i) => [v, i + 1]));
  const cells = new Int32Array(h * w);
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      const mountain = basin[(y + 1) * width + x + 1];
      if (mountain >= 0) cells[i] = number.get(owner[mountain]);
    }
  }
  return { cells, count: number.size };
}

// 小于minSize个像素的洞：外框比洞多一圈，和外框里的掩码
function smallHoles({ h, w, data }, minSize) {
  const { labels, count } = label({ h, w, data: data.map((v) => 1 - v) });
  if (count < 2) return [];
  const size = new Int32Array(count + 1);
  for (const v of labels) size[v]++;
  const holes = [];
  findBoxes(labels, h, w, count).forEach(([top, left, bottom, right], k) => {
    if (size[k + 1] >= minSize) return;
    if (top === 0 || left === 0 || bottom === h || right === w) return;
    const box = [top - 1, left - 1, bottom + 1, right + 1];
    holes.push({ box, hole: crop(labels, w, box, (v) => v === k + 1) });
  });
  return holes;
}

// 一块里合条件的像素
function crop(values, w, [top, left, bottom, right], test) {
  const data = new Uint8Array((bottom - top) * (right - left));
  for (let y = top, i = 0; y < bottom; y++) {
    for (let x = left; x < right; x++, i++) data[i] = test(values[y * w + x]);
  }
  return { h: bottom - top, w: right - left, data };
}

// 洞周围的细胞，和洞里各个像素离哪个细胞最近
function around({ box, hole }, cells, width) {
  const { h, w, data } = hole, [top, left] = box;
  const at = (y, x) => cells[(y + top) * width + x + left];
  const { fy, fx } = nearestBackground(crop(cells, width, box, (v) => v === 0));
  const ring = new Set(), share = new Int32Array(h * w);
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      if (!data[i]) continue;
      share[i] = at(fy[i], fx[i]);
      for (let dy = -1; dy <= 1; dy++) {
        for (let dx = -1; dx <= 1; dx++) ring.add(at(y + dy, x + dx));
      }
    }
  }
  ring.delete(0);
  return { near: [...ring].sort((a, b) => a - b), share };
}

// 一对细胞，各带上自己的一份洞
function pairMask(one, two, { box }, share, cells, width, boxes) {
  const frames = [box, boxes[one - 1], boxes[two - 1]];
  const [top, left] = [0, 1].map((k) => Math.min(...frames.map((frame) => frame[k])));
  const [bottom, right] = [2, 3].map((k) => Math.max(...frames.map((frame) => frame[k])));
  const belongs = (v) => v === one || v === two;
  const h = bottom - top + 2, w = right - left + 2, data = new Uint8Array(h * w);
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      data[(y - top + 1) * w + x - left + 1] = belongs(cells[y * width + x]);
    }
  }
  for (let y = box[0], i = 0; y < box[2]; y++) {
    for (let x = box[1]; x < box[3]; x++, i++) {
      if (belongs(share[i])) data[(y - top + 1) * w + x - left + 1] = 1;
    }
  }
  return { h, w, data };
}

// 洞在一个细胞里吗：周围的细胞两两都切不开
function inOneCell(hole, cells, width, boxes, neck, minSize) {
  const { near, share } = around(hole, cells, width);
  for (let i = 0; i < near.length; i++) {
    for (let j = i + 1; j < near.length; j++) {
      const pair = pairMask(near[i], near[j], hole, share, cells, width, boxes);
      if (cut(pair, neck, minSize).count > 1) return false;
    }
  }
  return true;
}

// 切开，填上各个细胞里的洞，填过的再切一次；mask就地改
function cutAndFill(mask, neck, minSize) {
  const found = cut(mask, neck, minSize), holes = smallHoles(mask, minSize);
  if (!holes.length) return found;
  const boxes = findBoxes(found.cells, mask.h, mask.w, found.count);
  let filled = false;
  for (const one of holes) {
    if (!inOneCell(one, found.cells, mask.w, boxes, neck, minSize)) continue;
    const { box: [top, left], hole } = one;
    for (let i = 0; i < hole.data.length; i++) {
      const y = top + Math.floor(i / hole.w), x = left + i % hole.w;
      if (hole.data[i]) mask.data[y * mask.w + x] = 1;
    }
    filled = true;
  }
  return filled ? cut(mask, neck, minSize) : found;
}

// 由概率图分出细胞：返回 {labels, count}，0是背景，1、2、3……由上到下编号
export function labelInstances(probability, h, w, threshold, minSize, neck) {
  const data = new Uint8Array(h * w), limit = Math.fround(threshold);
  for (let i = 0; i < data.length; i++) data[i] = probability[i] > limit;
  const { labels, count: parts } = label({ h, w, data });
  let count = 0;
  findBoxes(labels, h, w, parts).forEach(([y0, x0, y1, x1], k) => {
    const box = [Math.max(0, y0 - 1), Math.max(0, x0 - 1), Math.min(h, y1 + 1), Math.min(w, x1 + 1)];
    if ((box[2] - box[0]) * (box[3] - box[1]) < minSize) return;
    const mask = crop(labels, w, box, (v) => v === k + 1);
    const area = mask.data.reduce((sum, v) => sum + v, 0);
    if (area < Math.max(1, minSize)) return;
    const found = cutAndFill(mask, neck, minSize);
    for (let y = box[0], i = 0; y < box[2]; y++) {
      for (let x = box[1]; x < box[3]; x++, i++) {
        if (mask.data[i]) labels[y * w + x] = -found.cells[i] - count;
      }
    }
    count += found.count;
  });
  for (let i = 0; i < labels.length; i++) labels[i] = Math.max(-labels[i], 0);
  return { labels, count };
}

// 边界单列一类的模型：细胞在边界里面，把边界归还给连得上的细胞；16章的grow_back，inside是前景的概率
export function growBack({ labels, count }, inside, h, w, reach = 5) {
  if (!count) return { labels, count };
  const { fy, fx } = nearestBackground({ h, w, data: Uint8Array.from(labels, (v) => v === 0) });
  const given = labels.slice();
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      const near = (fy[i] - y) ** 2 + (fx[i] - x) ** 2 <= reach ** 2;
      if (inside[i] > .5 && near) given[i] = labels[fy[i] * w + fx[i]];
    }
  }
  let kept = Uint8Array.from(labels, (v) => v > 0);
  for (let n = 0; n < 2 * reach; n++) {  // 一步一步连过去，连不上的碎点不给
    const next = kept.slice();
    for (let y = 0, i = 0; y < h; y++) {
      for (let x = 0; x < w; x++, i++) {
        if (kept[i] || !given[i]) continue;
        const joins = (j) => kept[j] && given[j] === given[i];
        if (y && joins(i - w) || y < h - 1 && joins(i + w)) next[i] = 1;
        if (x && joins(i - 1) || x < w - 1 && joins(i + 1)) next[i] = 1;
      }
    }
    kept = next;
  }
  return { labels: given.map((v, i) => kept[i] ? v : 0), count };
}

// 像numpy那样取到四位小数：正好一半时取偶数
function round4(v) {
  const big = v * 10000, low = Math.floor(big), rest = big - low;
  const up = rest > .5 || rest === .5 && low % 2 === 1;
  return (up ? low + 1 : low) / 10000;
}

// 边上的像素，按它的8个邻居里哪些也在边上给几步：14章的_WEIGHTS
const STEPS = new Float64Array(50);
for (const code of [5, 7, 15, 17, 25, 27]) STEPS[code] = 1;
for (const code of [21, 33]) STEPS[code] = Math.SQRT2;
for (const code of [13, 23]) STEPS[code] = (1 + Math.SQRT2) / 2;

// 各个编号的周长：14章的_perimeters
function perimeters(labels, count, h, w) {
  const at = (y, x) => y < 0 || x < 0 || y >= h || x >= w ? 0 : labels[y * w + x];
  const edge = new Uint8Array(h * w), total = new Float64Array(count + 1);
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      const id = labels[i];
      edge[i] = id && (at(y - 1, x) !== id || at(y + 1, x) !== id || at(y, x - 1) !== id || at(y, x + 1) !== id);
    }
  }
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      if (!edge[i]) continue;
      let code = 1;
      for (let dy = -1; dy <= 1; dy++) {
        for (let dx = -1; dx <= 1; dx++) {
          if (!dy && !dx || at(y + dy, x + dx) !== labels[i] || !edge[i + dy * w + dx]) continue;
          code += dy && dx ? 10 : 2;
        }
      }
      total[labels[i]] += STEPS[code];
    }
  }
  return total;
}

// 由像素数、坐标的和、平方的和、积的和到离心率：14章的_eccentricity
function eccentricity({ area: n, dy, dx, yy, xx, yx }) {
  const a = n * yy - dy * dy, b = n * xx - dx * dx, c = n * yx - dy * dx;
  const root = Math.hypot((a - b) / 2, c), long = (a + b) / 2 + root, short = (a + b) / 2 - root;
  return long ? Math.sqrt(1 - Math.max(short, 0) / long) : 0;
}

// 每个细胞的面积、中心、周长、离心率、平均灰度、平均概率、外框：14章的measure_cells
export function measureCells({ labels, count }, probability, { data, channels, h, w }) {
  const cells = Array.from({ length: count }, (_, i) =>
    ({ id: i + 1, area: 0, y: 0, x: 0, dy: 0, dx: 0, yy: 0, xx: 0, yx: 0,
      intensity_mean: 0, probability: 0, top: h, left: w, bottom: 0, right: 0 }));
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      if (!labels[i]) continue;
      const cell = cells[labels[i] - 1];
      if (!cell.area) [cell.top, cell.from] = [y, x];  // 从第一个像素量起
      const dy = y - cell.top, dx = x - cell.from;
      cell.area++;
      cell.y += y;
      cell.x += x;
      cell.dy += dy;
      cell.dx += dx;
      cell.yy += dy * dy;
      cell.xx += dx * dx;
      cell.yx += dy * dx;
      for (let k = 0; k < channels; k++) cell.intensity_mean += data[i * channels + k] / channels;
      cell.probability += probability[i];
      cell.left = Math.min(cell.left, x);
      cell.bottom = y + 1;
      cell.right = Math.max(cell.right, x + 1);
    }
  }
  const around = perimeters(labels, count, h, w);
  for (const cell of cells) {
    cell.perimeter = round4(around[cell.id]);
    cell.eccentricity = round4(eccentricity(cell));
    for (const key of ["y", "x", "intensity_mean", "probability"]) cell[key] = round4(cell[key] / cell.area);
  }
  return cells;
}

// cells.csv的文字，开头有BOM，Excel才认得出是UTF-8
export function table(cells) {
  const real = ["y", "x", "perimeter", "eccentricity", "intensity_mean", "probability"];
  const names = ["id", "area", ...real, "top", "left", "bottom", "right"];
  const whole = (v) => Number.isInteger(v) ? `${v}.0` : `${v}`;
  const text = (cell, name) => real.includes(name) ? whole(cell[name]) : cell[name];
  const rows = cells.map((cell) => names.map((name) => text(cell, name)).join(","));
  return "\ufeff" + [names.join(","), ...rows].map((row) => row + "\r\n").join("");
}

// 编号的颜色，各在0到255里
export function colour(id) {
  return [0, 2 / 3, 1 / 3].map((shift) =>
    Math.round(255 * clip(Math.abs((id * .618 + shift) % 1 * 6 - 3) - 1, 0, 1)));
}
