// 在网页里量；tools/browse.py 把它放进每一页，再读 look() 的结果。
function look() {
  const all = (sel) => [...document.querySelectorAll(sel)];
  const bad = [], root = document.documentElement, main = document.querySelector("main");
  all("details").forEach((e) => { e.open = true; });  // 折起来的答案也看
  const name = (e) => `${e.tagName.toLowerCase()}${e.id ? "#" + e.id : ""}“${(e.alt || e.textContent).trim().slice(0, 20)}”`;

  // 语言和界面上的字
  if (!root.lang.startsWith("zh")) bad.push(`lang 是“${root.lang}”，不是中文`);
  for (const e of all("[title], [placeholder]")) for (const text of [e.title, e.placeholder])
    if (text && !/[\u4e00-\u9fff]/.test(text)) bad.push(`界面上有英文：${text}`);

  // 图：不放大，不变形；比正文宽的缩到正文宽
  const figures = all("main img");
  for (const e of figures) {
    const box = e.getBoundingClientRect(), column = e.parentElement.getBoundingClientRect();
    const width = Math.min(e.naturalWidth, column.width), height = width * e.naturalHeight / e.naturalWidth;
    if (!e.alt) bad.push(`图没有说明：${e.src.slice(0, 40)}`);
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
