// 能动手的图。没有脚本时，留着笔记里写的那行数字；数由这里算，tools/browse.py 与包里的 output_size 逐个比对。
// 笔记里放一格：<div class="touch" data-touch="sizes">572 → 568 → …</div>

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
  const still = box.textContent, max = 700;
  box.innerHTML = `<form><label>输入边长 <output></output><input type="range" name="side" min="16" max="${max}" value="572"></label>
    <label>深度 <output></output><input type="range" name="depth" min="1" max="5" value="4"></label></form>
    <svg viewBox="0 0 360 200" role="img"></svg><p aria-live="polite"></p>`;
  const form = box.querySelector("form"), svg = box.querySelector("svg"), text = box.querySelector("p");
  const [sideText, depthText] = box.querySelectorAll("output");
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
  const draw = () => {
    const n = +form.side.value, depth = +form.depth.value, { down, up, problem, output } = sizes(n, depth);
    sideText.value = n;
    depthText.value = depth;
    const row = (level) => 18 + 34 * level, shift = (level) => 75 + 80 * level / depth;
    const lines = down.map((pair, level) => bar(level === depth ? 180 : shift(level), row(level), pair, problem?.level === level && !up.length));
    up.forEach((pair, i) => lines.push(bar(360 - shift(depth - 1 - i), row(depth - 1 - i), pair, problem && i === up.length - 1)));
    svg.setAttribute("viewBox", `0 0 360 ${row(depth) + 24}`);
    svg.setAttribute("aria-label", output ? `${n}进${output}出` : `${n}不合法`);
    svg.innerHTML = lines.join("");
    text.innerHTML = output !== null ? `<b>合法</b>：${n}进，${output}出，四周各少${(n - output) / 2}像素。`
      : `<b>不合法</b>：${problem.text}。最近的合法边长是${nearest(n, depth)}。`;
  };
  form.addEventListener("input", draw);
  form.addEventListener("submit", (event) => event.preventDefault());
  box.dataset.still = still;
  draw();
}

document.querySelectorAll('[data-touch="sizes"]').forEach(touchSizes);
