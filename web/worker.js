// 在后台做费时的事：读图像、逐块预测、分细胞；页面一直点得动。要停，页面就把它整个关掉。
import * as ort from "./ort.js";
import { growBack, labelInstances, measureCells } from "./cells.js";
import { Fault, readImage } from "./files.js";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL("ort.wasm", import.meta.url).href };
ort.env.logLevel = "fatal";

const SPAN = 288;  // 输出窗口的边长大约多少像素
const GREY = [.299, .587, .114];
let session, about, planes, size, picture;  // planes：前景的概率，后面是各类的（多于两类时）

// 镜像填充之后的第i个像素取自原图的哪里：05章的mirror_index
export function mirror(i, n) {
  const turn = Math.max(1, 2 * (n - 1)), k = (i % turn + turn) % turn;
  return Math.min(k, 2 * (n - 1) - k);
}

// 一条边：步幅（2^depth的倍数），和各个输出窗口的起点
function spans(n, step, extra) {
  const span = Math.max(1, n - extra), count = Math.ceil(span / Math.max(step, SPAN));
  const stride = Math.ceil(span / count / step) * step, starts = [];
  for (let at = 0; at < span; at += stride) starts.push(at);
  return { stride, starts };
}

// 一块输入，归一化到[-1, 1]：05章的predict_tiles与00章的normalize，每步都是单精度
function cutTile(image, top, left, h, w) {
  const { data, channels } = image, [low, high] = about.value_range.map(Math.fround);
  const wanted = about.in_channels, tile = new Float32Array(wanted * h * w);
  const gap = Math.fround(Math.max(about.value_range[1] - about.value_range[0], 1e-6));
  const cols = Int32Array.from({ length: w }, (_, x) => mirror(left + x, image.w));
  for (let y = 0, i = 0; y < h; y++) {
    const row = mirror(top + y, image.h) * image.w;
    for (let x = 0; x < w; x++, i++) {
      const at = (row + cols[x]) * channels;
      for (let c = 0; c < wanted; c++) {
        let v = data[at + (channels === 3 ? c : 0)];
        if (channels === 3 && wanted === 1) {
          v = data[at] * GREY[0] + data[at + 1] * GREY[1] + data[at + 2] * GREY[2];
        }
        v = Math.fround(Math.fround(Math.fround(v) - low) / gap);
        tile[c * h * w + i] = Math.min(Math.max(Math.fround(v * 2 - 1), -1), 1);
      }
    }
  }
  return new ort.Tensor("float32", tile, [1, wanted, h, w]);
}

// 一个像素的logits变成概率：前景的，多于两类时后面还有各类的
function probabilities(z) {
  const sigmoid = (v) => 1 / (1 + Math.exp(-v));
  if (z.length === 1) return [sigmoid(z[0])];
  if (z.length === 2) return [sigmoid(z[1] - z[0])];
  const most = Math.max(...z), powers = z.map((v) => Math.exp(v - most));
  const total = powers.reduce((a, b) => a + b), p = powers.map((v) => v / total);
  return [1 - p[0], ...p.slice(1)];
}

function checkFit({ data, channels, w, h, bits }) {
  const notes = [], [low, high] = about.value_range, step = Math.ceil(data.length / 65536);
  let outside = 0, bright = 0, seen = 0, min = Infinity, max = -Infinity, flat = w * h > 1;
  for (let i = 0; i < data.length; i += step, seen++) {
    outside += data[i] < low || data[i] > high;
    bright += data[i] > 255;
    min = Math.min(min, data[i]);
    max = Math.max(max, data[i]);
  }
  for (let i = channels; flat && i < data.length; i++) flat = data[i] === data[i - channels];
  if (channels !== about.in_channels) {
    if (![1, 3].includes(about.in_channels)) {
      throw new Fault(`模型要${about.in_channels}个通道，图像有${channels}个。换一个模型`);
    }
    notes.push(channels === 3 ? "模型要灰度，图像是RGB，已按亮度转成灰度" : "模型要RGB，图像是灰度，已复制成三个通道");
  }
  if (flat) notes.push("图像处处一样，没有东西可分。看看文件是不是空的");
  else if (outside / seen > .5 || (high > 255 ? bits === 8 : bright / seen > .01)) {
    notes.push(`图像的灰度是${min}到${max}，与模型记住的${low}到${high}不合，结果不可信。`
      + "给原来的灰度，位数也要与训练时相同；别种显微镜的图像要用那种图像训练的模型");
  }
  return notes;
}

async function predict(image) {
  const step = 2 ** about.depth, valid = about.padding === "valid", extra = valid ? 4 % step : 0;
  const rim = 6 * step - (valid ? 4 : 0), trim = valid ? 0 : rim;
  const rows = spans(image.h, step, extra), cols = spans(image.w, step, extra);
  const h = rows.stride + extra, w = cols.stride + extra, total = rows.starts.length * cols.starts.length;
  const classes = about.out_channels, z = new Array(classes), pixels = image.w * image.h;
  planes = Array.from({ length: classes > 2 ? classes : 1 }, () => new Float32Array(pixels));
  size = { w: image.w, h: image.h };
  picture = image;
  let done = 0;
  for (const top of rows.starts) {
    for (const left of cols.starts) {
      const x = cutTile(image, top - rim, left - rim, h + 2 * rim, w + 2 * rim);
      const y = (await session.run({ [session.inputNames[0]]: x }))[session.outputNames[0]];
      const [, channels, tall, wide] = y.dims;
      if (channels !== classes || tall !== h + 2 * trim || wide !== w + 2 * trim) {
        throw new Fault(`模型给的输出是${y.dims.join("×")}，与model.json说的不合。两个文件要是同一个模型的`);
      }
      for (let r = top; r < Math.min(top + h, image.h); r++) {
        for (let c = left; c < Math.min(left + w, image.w); c++) {
          const at = (r - top + trim) * wide + c - left + trim;
          for (let k = 0; k < classes; k++) z[k] = y.data[k * tall * wide + at];
          probabilities(z).forEach((p, k) => { planes[k][r * image.w + c] = p; });
        }
      }
      done++;
      postMessage({ kind: "progress", done, total });
    }
  }
}

const ACTIONS = {
  async model({ bytes, card }) {
    about = card;
    session = null;
    try {
      session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
    } catch (error) {
      const engine = /wasm|fetch|backend/i.test(String(error)) && !/protobuf|model|Load/i.test(String(error));
      throw new Fault(engine ? "计算引擎没有打开（ort.wasm）。刷新再试，或换一个新一些的浏览器"
        : "读不了这个模型。要export_model写的.onnx，不是.pt2，也不是训练的文件夹");
    }
    if (session.outputNames[0] !== "logits") {
      throw new Fault("这是完整的图（unet_export、whole=True写的）。这里要只有网络的：export_model(模型, 'model.onnx')");
    }
    return {};
  },
  async image({ bytes }) {
    const image = await readImage(bytes);
    return { image };
  },
  async predict({ image }) {
    const notes = checkFit(image);
    try {
      await predict(image);
    } catch (error) {
      if (error instanceof Fault) throw error;
      const memory = /memory|alloc|RangeError/i.test(String(error));
      throw new Fault(memory ? "浏览器的内存不够。关掉别的标签页，或把图像裁小"
        : "模型算不了这张图像：model.json里的通道数、层数要与模型的一致");
    }
    return { notes };
  },
  async label({ threshold, minSize, neck, which }) {
    const rim = about.kind === "border" && which === 1, { h, w } = size;
    let found = labelInstances(planes[which], h, w, threshold, minSize, neck);
    if (rim) found = growBack(found, planes[0], h, w);
    return { ...found, cells: measureCells(found, planes[rim ? 0 : which], picture) };
  },
  async probability() {
    return { planes };
  },
};

onmessage = async ({ data }) => {
  try {
    postMessage({ kind: "done", id: data.id, ...await ACTIONS[data.kind](data) });
  } catch (error) {
    const text = error instanceof Fault ? error.message : `程序出错了（${error}）。刷新再试`;
    postMessage({ kind: "failed", id: data.id, text });
  }
};
