// 页面：选图像、看进度、调三个数、下载。费时的事都在worker.js里。
import { colour, table } from "./cells.js";
import { writeTiff } from "./files.js";

const $ = (id) => document.getElementById(id);
const FIELDS = { in_channels: 1, out_channels: 1, depth: 1 };  // model.json里至少要有的整数
let worker, waiting = new Map(), asked = 0;  // 后台，和等它回话的
let engine, model;        // 后台里装着的模型，和要用的模型 {bytes, card, name}
const chosen = { threshold: .5, neck: .7, minSize: 100 };  // 分细胞的三个数：滑块会取整，这里不会
let image, found, name = "", turn = 0, labelling = false, again = false;

// 后台

function start() {
  worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }) => {
    if (data.kind === "progress") return progress(data);
    const { resolve, reject } = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.kind === "failed") reject(new Error(data.text));
    else resolve(data);
  };
  worker.onerror = () => abandon("后台的脚本没有跑起来。刷新再试，或换一个新一些的浏览器");
}

function ask(kind, message = {}) {
  if (!worker) start();
  return new Promise((resolve, reject) => {
    waiting.set(++asked, { resolve, reject });
    worker.postMessage({ kind, id: asked, ...message });
  });
}

// 关掉后台；等着的都不等了
function abandon(text) {
  worker?.terminate();
  worker = engine = null;
  for (const { reject } of waiting.values()) reject(new Error(text));
  waiting = new Map();
}

function progress({ done, total }) {
  $("bar").value = done / total;
  say(`预测到第${done}块，共${total}块`);
}

function say(text, bad = false) {
  $("said").textContent = text;
  $("said").classList.toggle("bad", bad);
}

// 模型

// 网站上的一个文件的字节；取的时候按了停下、换了一张，就到此为止
async function get(address) {
  const mine = turn, answer = await fetch(new URL(address, import.meta.url));
  if (!answer.ok) throw new Error(`网站上没有${address}，这一页没有建全`);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  if (mine !== turn) throw new Error("停下了");
  return bytes;
}

async function defaultModel() {
  if (document.querySelector("[data-missing]")) throw new Error("这一页没有建全，见上面的说明");
  const [bytes, card] = await Promise.all([get("model.onnx"), get("model.json")]);
  return { bytes, card: check(new TextDecoder().decode(card)), name: $("model").textContent };
}

// model.json的文字变成卡片；不对就说缺什么
function check(text) {
  let card = null;
  try {
    card = JSON.parse(text);
  } catch { /* 下面说 */ }
  if (!card || typeof card !== "object") throw new Error("model.json不是JSON，照“换成自己的模型”里的写");
  for (const key of Object.keys(FIELDS)) {
    if (!Number.isInteger(card[key]) || card[key] < 1) throw new Error(`model.json里没有${key}，或它不是正整数`);
  }
  const range = card.value_range;
  if (!Array.isArray(range) || range.length !== 2 || !(range[0] < range[1])) {
    throw new Error("model.json里的value_range要是先小后大的两个数，是模型记住的灰度范围");
  }
  if (!["valid", "same"].includes(card.padding ??= "valid")) throw new Error("model.json里的padding要是valid或same");
  return card;
}

async function useModel(onnx, json) {
  if (!onnx || !json) {
    throw new Error(`只有${(onnx ?? json).name}。model.onnx与model.json要一起放进来`);
  }
  const mine = turn, card = check(await json.text()), bytes = new Uint8Array(await onnx.arrayBuffer());
  if (mine !== turn) throw new Error("停下了");
  const before = model;
  model = { bytes, card, name: onnx.name };
  try {
    await load();
  } catch (error) {
    model = before;  // 还用原来的
    throw error;
  }
  $("model").textContent = model.name;
}

async function load() {
  model ??= await defaultModel();
  if (engine === model) return;
  engine = null;
  await ask("model", { bytes: model.bytes, card: model.card });
  engine = model;
  const { threshold = .5, neck = .7, min_size: minSize = 100 } = model.card;
  Object.assign(chosen, { threshold, neck, minSize });
  $("minSize").max = Math.max(5000, 4 * minSize);
  for (const id in chosen) $(id).value = chosen[id];
  const classes = model.card.out_channels, names = model.card.classes ?? [];
  $("whichRow").hidden = classes < 3;
  $("which").replaceChildren(...["不是背景的", ...Array.from({ length: classes - 1 }, (_, i) => names[i + 1] ?? `第${i + 1}类`)]
    .map((text, i) => new Option(text, i)));
  if (model.card.kind === "border") $("which").value = 1;  // 边界会把细胞连起来
  showValues();
}

// 一张图像

async function run(task) {
  const mine = ++turn;
  abandonIfBusy();
  $("result").hidden = true;
  $("notes").replaceChildren();
  $("bar").removeAttribute("value");
  $("running").hidden = false;
  try {
    await task();
  } catch (error) {
    if (mine === turn) say(error.message, true);
  }
  if (mine === turn) $("running").hidden = true;
}

function abandonIfBusy() {
  if (waiting.size) abandon("换了一张");
}

async function open(bytes, title) {
  say("在读图像……");
  image = null;
  image = (await ask("image", { bytes })).image;
  name = title.replace(/\.[^.]*$/, "");
  $("name").textContent = `${title}：${image.w}×${image.h}像素，${image.bits}位${image.channels === 3 ? "RGB" : "灰度"}`;
  await predict();
}

async function predict() {
  say("在打开模型（第一次要取14 MB）……");
  await load();
  say("在预测……");
  const began = performance.now(), { notes } = await ask("predict", { image });
  for (const note of [image.note, ...notes].filter(Boolean)) {
    $("notes").append(Object.assign(document.createElement("li"), { textContent: note }));
  }
  await relabel();
  say(`预测完了，用了${((performance.now() - began) / 1000).toFixed(1)}秒。`);
  $("result").hidden = false;
}

// 三个数变了：再分一次细胞；分的时候又变了，分完再来一次
async function relabel() {
  if (labelling) {
    again = true;
    return;
  }
  labelling = true;
  try {
    do {
      again = false;
      found = await ask("label", { ...chosen, which: Number($("which").value) });
    } while (again);
  } finally {
    labelling = false;
  }
  const areas = found.cells.map((cell) => cell.area).sort((a, b) => a - b);
  const middle = areas.length ? `，面积的中位数是${areas[areas.length >> 1]}像素` : "。门槛调低一些试试";
  $("count").textContent = `${found.count}个细胞${middle}`;
  draw();
}

function showValues() {
  for (const id in chosen) document.querySelector(`output[for=${id}]`).textContent = chosen[id];
}

// 图像的灰度拉到0到255：两头各去掉0.5%
function stretch() {
  if (image.grey) return image.grey;
  const { data } = image, step = Math.ceil(data.length / 2 ** 18);
  const some = data.filter((_, i) => i % step === 0).sort();
  const low = some[Math.floor(some.length * .005)], high = some[Math.ceil(some.length * .995) - 1];
  const scale = 255 / Math.max(high - low, 1);
  return image.grey = Uint8ClampedArray.from(data, (v) => (v - low) * scale);
}

// 编号不同的像素在thick之内，就是轮廓
function onEdge(labels, w, h, i, thick) {
  const x = i % w, y = Math.floor(i / w), v = labels[i];
  for (let d = 1; d <= thick; d++) {
    if (x >= d && labels[i - d] !== v || x + d < w && labels[i + d] !== v) return true;
    if (y >= d && labels[i - d * w] !== v || y + d < h && labels[i + d * w] !== v) return true;
  }
  return false;
}

function draw() {
  const { w, h, channels } = image, grey = stretch(), { labels } = found, canvas = $("view");
  Object.assign(canvas, { width: w, height: h });
  const context = canvas.getContext("2d"), picture = context.createImageData(w, h), rgba = picture.data;
  const colours = Array.from({ length: found.count + 1 }, (_, id) => colour(id));
  const thick = Math.max(1, Math.round(Math.max(w, h) / 350)), outline = $("outline").checked;
  for (let i = 0; i < w * h; i++) {
    const edge = outline && labels[i] && onEdge(labels, w, h, i, thick) && colours[labels[i]];
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = edge ? edge[c] : grey[channels === 3 ? 3 * i + c : i];
    rgba[4 * i + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
  canvas.setAttribute("aria-label", `${name}，轮廓里是${found.count}个细胞`);
}

function save(part, ending) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(part);
  link.download = name + ending;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// 用户做的事

async function take(files) {
  const ends = (ending) => files.find((file) => file.name.toLowerCase().endsWith(ending));
  const pictures = files.filter((file) => !/\.(onnx|json)$/i.test(file.name));
  let ready = true;
  if (ends(".onnx") || ends(".json")) {
    ready = false;
    await run(async () => {
      await useModel(ends(".onnx"), ends(".json"));
      say(`模型换成了${model.name}。`);
      ready = true;
      if (image && !pictures.length) await predict();
    });
  }
  if (!ready) return;
  if (pictures.length > 1) say("一次放一张图像；一个文件夹的图像用命令unet_predict", true);
  if (pictures.length !== 1) return;
  await run(async () => {
    const mine = turn, bytes = new Uint8Array(await pictures[0].arrayBuffer());
    if (mine === turn) await open(bytes, pictures[0].name);
  });
}

$("file").addEventListener("change", ({ target }) => {
  take([...target.files]);
  target.value = "";
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  $("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") take([...event.dataTransfer.files]);
  });
}
for (const button of document.querySelectorAll("#samples button")) {
  button.addEventListener("click", () => run(async () => {
    await open(await get(button.dataset.file), button.dataset.file);
  }));
}
$("stop").addEventListener("click", () => {
  turn++;
  abandon("停下了");
  $("running").hidden = true;
  say("停下了。再选一张，从头开始。");
});
for (const id of ["threshold", "neck", "minSize", "which"]) {
  $(id).addEventListener("input", () => {
    if (id in chosen) chosen[id] = Number($(id).value);
    showValues();
    if (!$("result").hidden) relabel().catch((error) => say(error.message, true));
  });
}
$("outline").addEventListener("change", draw);
$("tiff").addEventListener("click", () => save(new Blob([writeTiff(found, image.w, image.h)]), "_label.tif"));
$("csv").addEventListener("click", () => save(new Blob([table(found.cells)]), "_cells.csv"));
$("png").addEventListener("click", () => $("view").toBlob((blob) => save(blob, "_overlay.png")));
showValues();
$("closed").remove();
document.body.dataset.ready = "yes";  // 测试等它
