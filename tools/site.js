// 网站的动作：搜索、深浅、横着滚的提示。两种渲染器都用；tools/finish.py 放进每一页。
(() => {
  "use strict";
  const all = (sel, root = document) => [...root.querySelectorAll(sel)];

  // 深浅：Quarto 有自己的开关
  const toggle = () => {
    const dark = !document.documentElement.classList.contains("quarto-dark");
    document.documentElement.classList.toggle("quarto-dark", dark);
    try { localStorage.setItem("scheme", dark ? "dark" : "light"); } catch (e) { /* 无痕窗口 */ }
  };
  all(".bar .scheme").forEach((e) => e.addEventListener("click", () => (window.quartoToggleColorScheme || toggle)()));

  // 比框宽的：写明可以左右滑，键盘也能滚
  const mark = () => all("main :is(table, pre.columns)").forEach((e) => {
    const cut = e.scrollWidth > e.clientWidth + 1, hint = e.nextElementSibling;
    if (cut && !hint?.classList.contains("swipe")) {
      e.tabIndex = 0;
      e.insertAdjacentHTML("afterend", '<span class="swipe">左右滑动，看全</span>');
    } else if (!cut && hint?.classList.contains("swipe")) hint.remove();
  });
  mark();
  addEventListener("resize", mark);
  all("details").forEach((e) => e.addEventListener("toggle", mark));

  // 搜索：同一行的词当成一个意思
  const SAME = [
    "显存 内存 memory oom 爆显存", "断点续训 断点 续训 接着练 崩溃 断了 断电 停电 中断 接着训练 resume 恢复训练", "检查点 checkpoint 存盘",
    "过拟合 overfitting overfit 背下", "学习率 learning_rate lr", "分割 segmentation", "语义分割 semantic_segmentation",
    "实例分割 instance_segmentation", "预测 推理 推断 inference predict prediction", "训练 training train", "评分 评估 打分 evaluate evaluation",
    "数据增强 augmentation 数据增广 数据扩充", "弹性形变 弹性变形 elastic", "损失 loss", "交叉熵 cross_entropy", "批量 batch batch_size 批大小",
    "掩码 mask 遮罩 掩膜", "标签 label", "标注 annotation labelme", "交并比 iou jaccard", "感受野 receptive_field", "跳跃连接 skip_connection skip",
    "镜像 mirror reflect", "填充 padding", "转置卷积 反卷积 transposed_convolution deconvolution convtranspose", "卷积 convolution conv",
    "池化 pooling maxpool", "上采样 upsampling", "下采样 downsampling", "随机失活 dropout", "动量 momentum", "权重图 weight_map 权重地图",
    "边界 border", "重叠切块 overlap-tile 滑窗 滑动窗口 sliding_window", "切块 tile patch 分块", "初始化 initialization init", "参数量 数参数 parameters",
    "显卡 gpu cuda", "多卡 几个进程 多进程 分布式 ddp distributed", "混合精度 精度 amp bf16 fp16 半精度", "梯度累积 合起来走一步 accumulate",
    "报错 出错 错误 error exception", "导出 export onnx 部署 deploy", "全黑 black", "轮 epoch", "类别 多分类 multiclass", "下载 download",
    "分水岭 watershed", "大图 大图像 比内存还大 large_image", "安装 install pip", "数据集 dataset", "合成 synthetic", "特征图 feature_map", "命令行 cli command",
    "灰度 grayscale", "尺寸 size 边长", "细胞 cell", "膜 membrane", "复现 reproduce", "自己的 own custom 自定义", "自己的图像 我的图像 自己的图片 我的图片 自己的数据 我的数据", "图像 图片", "门槛 阈值 threshold", "体检 doctor 看病", "复制 copy", "日志 记录器 tensorboard logger",
  ].map((line) => line.split(" ").map((word) => word.replace(/_/g, " ")));
  const STOP = /^(怎样用?|怎么用?|如何用?|为什么是?|为何|什么是|哪里|我想|我要)|(是什么|什么意思|怎么办|怎么做|怎样做|的)$|[？?，。！、：]/g;

  const plain = (text) => text.normalize("NFKC").toLowerCase();
  const phrases = SAME.flat().filter((word) => word.includes(" "));
  const words = (query) => {
    let kept = query.replace(STOP, " ").trim() || query;
    const whole = phrases.filter((phrase) => kept.includes(phrase));
    for (const phrase of whole) kept = kept.replace(phrase, " ");
    return [...whole, ...kept.split(/\s+/)].filter(Boolean);
  };
  // 一个词的各种说法：自己的分量是 1，同义的低一点
  const ways = (word) => {
    const also = SAME.filter((line) => line.includes(word)).flat().filter((other) => other !== word);
    return [[word, 1], ...also.map((other) => [other, .75])];
  };
  const ascii = (word) => /^[\x20-\x7e]+$/.test(word);
  const count = (text, word) => text.split(word).length - 1;
  // “lr”不该在“already”里；英文短词要整个的
  const has = (text, word) => ascii(word) && word.length < 4
    ? new RegExp(`(^|[^a-z0-9])${word.replace(/[^\w ]/g, "\\$&")}($|[^a-z0-9])`).test(text) : text.includes(word);
  const value = (entry, word, own) => {
    if (entry.level === 0) {
      if (entry.low.head === word && own) return 120;
      if (entry.low.head.startsWith(word) && word.length > 2 && own) return 50;
      return has(entry.low.head, word) ? (own ? 30 : 8) : has(entry.low.text, word) ? 6 : 0;
    }
    if (entry.low.head === word) return 100;
    let score = 0;
    if (has(entry.low.head, word)) score += 40 + 30 * word.length / entry.low.head.length;
    if (entry.level === 1 && has(entry.low.text, word)) score += 2;
    if (has(entry.low.text, word)) score += 4 + 8 * Math.min(1, count(entry.low.text, word) * word.length * 25 / (entry.low.text.length + 200)) + (has(entry.low.page, word) ? 6 : 0);
    if (has(entry.low.code, word)) score += 2;
    return score;
  };
  const best = (entry, word) => Math.max(...ways(word).map(([way, weight]) => weight * value(entry, way, way === word)));
  const rank = (index, parts, need) => index
    .map((entry) => ({ entry, got: parts.map((word) => best(entry, word)) }))
    .filter(({ got }) => got.filter(Boolean).length >= need * got.length)
    .map(({ entry, got }) => ({ entry, score: got.reduce((a, b) => a + b, 0) }))
    .sort((a, b) => b.score - a.score);
  // 还搜不到，拆成两个字两个字的，多数对上就算
  const pairs = (query) => plain(query).match(/[\u3400-\u9fff]+|[a-z0-9_.]+/g)?.flatMap((run) =>
    /[a-z0-9]/.test(run) || run.length < 3 ? [run] : [...run].slice(1).map((_, i) => run.slice(i, i + 2))) || [];
  // 整句搜不到时，先找句子里认得的词，长的在先
  const known = SAME.flat().filter((word) => !ascii(word)).sort((a, b) => b.length - a.length);
  const spot = (query) => known.filter((word) => {
    const there = query.includes(word);
    query = query.replace(word, " ");
    return there;
  }).concat(query.match(/[a-z0-9_.]+/g) || []);
  const find = (index, query) => {
    let found = rank(index, words(plain(query)), 1);
    const spotted = spot(plain(query));
    if (!found.length && spotted.length) found = rank(index, spotted, 1);
    if (!found.length) found = rank(index, pairs(query), .6);
    return found.slice(0, 20).map(({ entry }) => entry);
  };

  let index = null;
  const load = async () => {
    if (index) return;
    index = await (await fetch("search.json")).json();
    for (const entry of index) entry.low = Object.fromEntries(["head", "text", "code", "page"].map((key) => [key, plain(entry[key]).replace(/^\d\d:/, "")]));
  };
  const safe = (text) => text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
  const light = (text, looked) => {
    const marks = looked.map((word) => safe(word).replace(/[^\w\s\u0080-\uffff]/g, "\\$&")).join("|");
    return safe(text).replace(new RegExp(marks, "ig"), (m) => `<mark>${m}</mark>`);
  };
  const excerpt = (entry, looked) => {
    const text = looked.some((word) => entry.low.text.includes(word)) ? entry.text : entry.text || entry.code;
    const at = Math.min(...looked.map((word) => plain(text).indexOf(word)).filter((i) => i >= 0), 1e9);
    const start = at === 1e9 ? 0 : Math.max(0, at - 30);
    return (start ? "…" : "") + light(text.slice(start, start + 120), looked);
  };
  const line = (entry, looked) => `<a href="${entry.href}"><b>${light(entry.head, looked)}</b>`
    + (entry.level === 1 ? "" : ` <span class="where">${safe(entry.page)}</span>`) + `<span class="text">${excerpt(entry, looked)}</span></a>`;

  all(".search").forEach((box) => {
    const input = box.querySelector("input"), found = box.querySelector(".found");
    let active = -1, asked = 0;
    const run = async () => {
      const query = input.value.trim(), mine = ++asked;
      found.hidden = !query;
      if (!query) return;
      try { await load(); } catch (e) { found.innerHTML = "<span>读不到索引：直接打开文件时不能搜索，用python -m http.server提供这个文件夹</span>"; return; }
      if (mine !== asked) return;
      const looked = words(plain(query)).flatMap((word) => ways(word).map(([way]) => way));
      active = -1;
      found.innerHTML = find(index, query).map((entry) => line(entry, looked)).join("") || "<span>没有结果</span>";
    };
    input.addEventListener("input", run);
    input.addEventListener("focus", run);
    input.addEventListener("keydown", (event) => {
      const lines = all("a", found);
      if (event.key === "Escape") { found.hidden = true; input.blur(); }
      if (!lines.length || !["ArrowDown", "ArrowUp", "Enter"].includes(event.key)) return;
      event.preventDefault();
      if (event.key === "Enter") { lines[Math.max(active, 0)].click(); return; }
      active = (active + (event.key === "ArrowDown" ? 1 : lines.length - 1)) % lines.length;
      lines.forEach((e, i) => e.classList.toggle("active", i === active));
      lines[active].scrollIntoView({ block: "nearest" });
    });
    document.addEventListener("click", (event) => { if (!box.contains(event.target) || event.target.closest(".found a")) found.hidden = true; });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || /^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) return;
      event.preventDefault();
      input.focus();
    });
  });
})();
