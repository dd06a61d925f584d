// 在网页里量；tools/browse.py 把它放进每一页，再读 look() 的结果。
async function look() {
  const all = (sel) => [...document.querySelectorAll(sel)];
  const bad = [], root = document.documentElement, main = document.querySelector("main");
  all("details").forEach((e) => { e.open = true; });  // 折起来的答案也看
  const name = (e) => `${e.tagName.toLowerCase()}${e.id ? "#" + e.id : ""}“${(e.alt || e.textContent).trim().slice(0, 20)}”`;

  const figures = all("main img");
  figures.forEach((e) => { e.loading = "eager"; });  // 平时用到才取的，也都取来看
  await Promise.all(figures.map((e) => e.decode().catch(() => {})));
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));

  // 语言和界面上的字
  if (!root.lang.startsWith("zh")) bad.push(`lang 是“${root.lang}”，不是中文`);
  for (const e of all("[title], [placeholder]")) for (const text of [e.title, e.placeholder])
    if (text && !/[\u4e00-\u9fff]/.test(text)) bad.push(`界面上有英文：${text}`);
  for (const e of all("figcaption, caption")) if (/^\s*[图表]\s*\d+\s*:/.test(e.textContent)) bad.push(`图题里是半角的冒号：${name(e)}`);
  for (const e of all("main td, main .card > p"))
    if (e.textContent.includes("`")) bad.push(`表里有没画的反引号：${name(e)}`);
  for (const e of all("main em, main i")) if (getComputedStyle(e).fontStyle === "italic" && /[\u4e00-\u9fff]/.test(e.textContent)) bad.push(`斜的汉字：${name(e)}`);

  // 图：不放大，不变形；比正文宽的缩到正文宽；是文件，用到才取，先留好地方
  for (const e of figures) {
    const box = e.getBoundingClientRect(), frame = e.closest("figure > *, td, button, .cell-output-display, p, div, main"), own = +e.getAttribute("width") || e.naturalWidth;
    const style = getComputedStyle(frame), column = frame.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const width = Math.min(own, column), height = width * e.naturalHeight / e.naturalWidth;
    if (!e.alt) bad.push(`图没有说明：${e.src.slice(0, 40)}`);
    if (e.src.startsWith("data:") && e.src.length > 4000) bad.push(`图写在网页里：${name(e)}`);
    if (e.src.endsWith(".webp") && !(e.hasAttribute("width") && e.hasAttribute("height"))) bad.push(`图没有留好地方：${name(e)}`);
    if (!e.naturalWidth) bad.push(`图没有画出来：${name(e)}`);
    else if (Math.abs(box.width - width) > 1 || Math.abs(box.height - height) > 1)
      bad.push(`图的大小是${box.width}×${box.height}，应该是${width}×${height}：${name(e)}`);
  }

  // 公式：都有大小，没有剩下的 TeX
  const formulas = all("math");
  for (const e of formulas) {
    const box = e.getBoundingClientRect();
    if (!box.width || !box.height) bad.push(`公式没有画出来：${name(e)}`);
  }
  const copy = main.cloneNode(true);
  copy.querySelectorAll("pre, code, annotation").forEach((e) => e.remove());
  for (const m of copy.textContent.matchAll(/\\[a-zA-Z]{2,}|\\[()[\]]|\$[^$\n]+\$/g)) bad.push(`剩下没画的 TeX：${m[0]}`);

  // 宽度：超出窗口的东西要在自己的框里横着滚
  const scrolls = (e) => e !== main && (/auto|scroll/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  if (root.scrollWidth > innerWidth) bad.push(`整页要横着滚：${root.scrollWidth}像素`);
  for (const e of main.querySelectorAll("*"))
    if (e.getBoundingClientRect().right > innerWidth + 1 && !scrolls(e)) bad.push(`超出窗口：${name(e)}`);

  // 输出折行，不截断；表可以横着滚，要说明；宽的窗口里代码折行；一行不超过四十来个汉字
  for (const e of all("main :is(pre, table)")) {
    const cut = e.scrollWidth > e.clientWidth + 1, code = e.classList.contains("sourceCode");
    if (cut && (e.matches("table") || e.classList.contains("columns")) && !e.nextElementSibling?.classList.contains("swipe")) bad.push(`横着滚，没有说明：${name(e)}`);
    if (cut && e.matches("pre:not(.columns)") && !(code && innerWidth <= 600)) bad.push(`${code ? "代码" : "输出"}没有折行：${name(e)}`);
  }
  for (const e of all("main p, main li")) if (e.getBoundingClientRect().width > 42 * parseFloat(getComputedStyle(e).fontSize) && !e.matches(".defined, figure > *")) bad.push(`一行太长：${name(e)}`);

  // 对比：字与底的对比不低于 WCAG AA
  const rgba = (s) => {
    const v = s.match(/[\d.]+/g).map(Number), k = s.startsWith("color(") ? 255 : 1;
    return [v[0] * k, v[1] * k, v[2] * k, v[3] ?? 1];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
  const ground = (e) => {
    if (!e) return [255, 255, 255];
    const c = rgba(getComputedStyle(e).backgroundColor);
    return c[3] === 1 ? c.slice(0, 3) : over(c, ground(e.parentElement));
  };
  const opacity = (e) => e ? getComputedStyle(e).opacity * opacity(e.parentElement) : 1;
  const light = (c) => {
    const [r, g, b] = c.map((v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const texts = new Set(), walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) if (walk.currentNode.data.trim()) texts.add(walk.currentNode.parentElement);
  let lowest = 21;
  for (const e of texts) {
    const style = getComputedStyle(e), under = ground(e), ink = rgba(style.color), clear = opacity(e);
    if (!clear || !e.checkVisibility({ visibilityProperty: true }) || e.matches("annotation")) continue;
    const [a, b] = [light(over([...ink.slice(0, 3), ink[3] * clear], under)), light(under)].sort();
    const contrast = (b + .05) / (a + .05), size = parseFloat(style.fontSize);
    const large = size >= 24 || size >= 18.66 && style.fontWeight >= 700;
    if (!large) lowest = Math.min(lowest, contrast);
    if (contrast < (large ? 3 : 4.5)) bad.push(`对比只有${contrast.toFixed(2)}：${name(e)}`);
  }

  return {
    bad: [...new Set(bad)], figures: figures.length, formulas: formulas.length, texts: texts.size, lowest,
    links: [...new Set(all("a[href]").map((e) => e.href))],
    assets: [...new Set([...all("link[href]").map((e) => e.href), ...all("[src]").map((e) => e.src)])], ids: all("[id]").map((e) => e.id),
  };
}
