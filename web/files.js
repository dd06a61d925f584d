// 读TIFF、PNG、JPEG，写TIFF。图像是 {w, h, channels, bits, data}：灰度1个通道，RGB 3个，data是Uint8Array或Uint16Array。

export class Fault extends Error {}  // 给人看的错误，话是中文的

const MOST = 2 ** 26;  // 再大的图像，浏览器的内存不够

// 一串字节，按文件自己的字节序读
class Bytes {
  constructor(bytes, little) {
    Object.assign(this, { bytes, little });
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  u8(at) { return this.view.getUint8(at); }
  u16(at) { return this.view.getUint16(at, this.little); }
  u32(at) { return this.view.getUint32(at, this.little); }
}

// 第一页的各个标签：{号码: [数, ……]}，和有没有第二页
function readTags(file) {
  const sizes = { 1: 1, 2: 1, 3: 2, 4: 4 }, tags = {};
  const start = file.u32(4), n = file.u16(start);
  for (let k = 0; k < n; k++) {
    const at = start + 2 + 12 * k, kind = file.u16(at + 2), count = file.u32(at + 4);
    if (!sizes[kind]) continue;  // 分数、浮点，这里用不着
    const place = sizes[kind] * count > 4 ? file.u32(at + 8) : at + 8;
    const read = { 1: "u8", 2: "u8", 3: "u16", 4: "u32" }[kind];
    if (place + sizes[kind] * count > file.bytes.length) throw new Fault("TIFF不完整，后面缺了一截");
    tags[file.u16(at)] = Array.from({ length: count }, (_, i) => file[read](place + i * sizes[kind]));
  }
  return { tags, more: file.u32(start + 2 + 12 * n) };
}

// 要旋转才能看的
function turned() {
  return new Fault("图像带着转过方向的标记，像素与看到的不在一处。用ImageJ打开，另存为TIFF");
}

// TIFF的LZW：码长从9位起，字典快满时提前一个加长
function unpackLzw(bytes, size) {
  const out = new Uint8Array(size), prefix = new Int32Array(4097), start = new Int32Array(4097);
  const length = new Int32Array(4097);
  let written = 0, next = 258, bits = 9, old = -1, buffer = 0, have = 0;
  for (const byte of bytes) {
    buffer = (buffer << 8 | byte) & 0xffffff;
    have += 8;
    if (have < bits) continue;
    have -= bits;
    const code = buffer >> have & (1 << bits) - 1;
    if (code === 257 || written >= size) break;
    if (code === 256) {
      next = 258;
      bits = 9;
      old = -1;
      continue;
    }
    if (code > next || code === next && old < 0) throw new Fault("TIFF里压缩的数据坏了");
    const here = written;
    if (code < 256) {
      out[written++] = code;
    } else {  // 字典里的一项是前面写过的一段
      for (let i = 0; i < length[code] && written < size; i++) out[written++] = out[start[code] + i];
    }
    if (old >= 0 && next < 4096) next++;
    if (next < 4097) {  // 下一项：这一段，再加上接着来的一个字节
      start[next] = here;
      length[next] = (code < 256 ? 1 : length[code]) + 1;
    }
    bits = next >= 2047 ? 12 : next >= 1023 ? 11 : next >= 511 ? 10 : 9;
    old = code;
  }
  return out;
}

// PackBits：一个字节说后面抄几个，或重复几次
function unpackBits(bytes, size) {
  const out = new Uint8Array(size);
  for (let i = 0, written = 0; i < bytes.length && written < size;) {
    const n = bytes[i++] << 24 >> 24;
    if (n >= 0) {
      out.set(bytes.subarray(i, i + Math.min(n + 1, size - written)), written);
      i += n + 1;
      written += n + 1;
    } else if (n > -128) {
      out.fill(bytes[i++], written, written + 1 - n);
      written += 1 - n;
    }
  }
  return out;
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  try {
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch {
    throw new Fault("压缩的数据坏了，文件可能不完整");
  }
}

function unpack(bytes, compression, size) {
  if (compression === 1) return bytes;
  if (compression === 5) return unpackLzw(bytes, size);
  if (compression === 32773) return unpackBits(bytes, size);
  if (compression === 8 || compression === 32946) return inflate(bytes);
  throw new Fault(`TIFF的压缩方法（${compression}）这里不认识。用ImageJ另存一次`);
}

// 认得的TIFF的样子；不认得的，说出是什么
function tiffKind(tags) {
  const one = (tag, otherwise) => tags[tag]?.[0] ?? otherwise;
  const kind = {
    w: one(256, 0), h: one(257, 0), bits: one(258, 1), compression: one(259, 1), meaning: one(262, 1),
    channels: one(277, 1), planar: one(284, 1), predictor: one(317, 1), format: one(339, 1),
  };
  if (!kind.w || !kind.h || kind.w * kind.h > MOST) {
    throw new Fault(`图像是${kind.w}×${kind.h}像素，这一页最多读${MOST}个像素。更大的用命令unet_predict`);
  }
  if (kind.format !== 1 || ![8, 16].includes(kind.bits)) {
    throw new Fault(`TIFF是${kind.bits}位${{ 2: "有符号的", 3: "浮点的" }[kind.format] || ""}，这里读8位或16位的无符号整数。用ImageJ另存`);
  }
  const grey = kind.meaning <= 1 && kind.channels === 1, rgb = kind.meaning === 2 && kind.channels === 3;
  if (!grey && !rgb) {
    throw new Fault(`TIFF有${kind.channels}个通道（颜色的写法是第${kind.meaning}种），这里读灰度或RGB。用ImageJ另存`);
  }
  if (one(274, 1) !== 1) throw turned();
  if (kind.predictor > 2) throw new Fault("TIFF的预测方法这里不认识。用ImageJ另存一次");
  return kind;
}

// 横向差分的还原，就地
function undoPredictor(block, width, channels, mask) {
  for (let row = 0; row < block.length; row += width * channels) {
    for (let i = row + channels; i < Math.min(row + width * channels, block.length); i++) {
      block[i] = block[i] + block[i - channels] & mask;
    }
  }
}

// 字节变成数
function samples(bytes, bits, little, n) {
  if (bits === 8) return bytes.slice(0, n);
  const view = new Bytes(bytes, little), out = new Uint16Array(Math.min(n, bytes.length >> 1));
  for (let i = 0; i < out.length; i++) out[i] = view.u16(2 * i);
  return out;
}

export async function readTiff(bytes) {
  const file = new Bytes(bytes, bytes[0] === 0x49);
  if (file.u16(2) === 43) throw new Fault("这是BigTIFF，这里不读。用ImageJ另存成普通的TIFF");
  const { tags, more } = readTags(file), kind = tiffKind(tags);
  const { w, h, bits, channels, planar } = kind, tiled = Boolean(tags[322]);
  const width = tiled ? tags[322][0] : w, tall = tiled ? tags[323][0] : Math.min(tags[278]?.[0] ?? h, h);
  const offsets = tags[tiled ? 324 : 273], counts = tags[tiled ? 325 : 279];
  const across = Math.ceil(w / width), down = Math.ceil(h / tall), planes = planar === 2 ? channels : 1;
  const each = channels / planes;
  if (!width || !tall || offsets?.length < across * down * planes || !offsets) {
    throw new Fault("TIFF里没有像素放在哪里。文件坏了，用ImageJ另存一次");
  }
  const data = new (bits === 8 ? Uint8Array : Uint16Array)(w * h * channels);
  for (let k = 0; k < across * down * planes; k++) {
    const plane = Math.floor(k / (across * down)), place = k % (across * down);
    const top = Math.floor(place / across) * tall, left = place % across * width;
    const rows = tiled ? tall : Math.min(tall, h - top), n = width * rows * each;
    const count = counts?.[k] ?? n * bits / 8;
    if (offsets[k] + count > bytes.length) throw new Fault("TIFF不完整，后面缺了一截");
    const packed = bytes.subarray(offsets[k], offsets[k] + count);
    const raw = await unpack(packed, kind.compression, n * bits / 8);
    const block = samples(raw, bits, file.little, n);
    if (block.length < n) throw new Fault("TIFF不完整，像素不够");
    if (kind.predictor === 2) undoPredictor(block, width, each, 2 ** bits - 1);
    for (let y = top; y < Math.min(top + rows, h); y++) {
      for (let x = left; x < Math.min(left + width, w); x++) {
        for (let c = 0; c < each; c++) {
          data[(y * w + x) * channels + plane + c] = block[((y - top) * width + x - left) * each + c];
        }
      }
    }
  }
  if (kind.meaning === 0) data.forEach((v, i) => { data[i] = 2 ** bits - 1 - v; });  // 白为零
  const note = more ? "TIFF有几页，只看了第一页" : "";
  return { w, h, channels, bits, data, note };
}

const ODD = "16位的PNG带着透明，或是隔行存的，浏览器只读得出8位。用ImageJ另存成TIFF";

// 8位、16位的灰度和RGB的PNG自己读：浏览器会把16位的变成8位。别的样子返回null
async function readPng(bytes) {
  const file = new Bytes(bytes, false), parts = [];
  const w = file.u32(16), h = file.u32(20), bits = file.u8(24), kind = file.u8(25);
  const odd = ![0, 2].includes(kind) || bits < 8 || file.u8(28);
  if (bits === 16 && odd) throw new Fault(ODD);
  if (odd) return null;
  if (w * h > MOST) throw new Fault(`图像是${w}×${h}像素，这一页最多读${MOST}个像素。更大的用命令unet_predict`);
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = file.u32(at), name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (name === "IDAT") parts.push(bytes.subarray(at + 8, at + 8 + length));
    if (name === "tRNS" && bits === 16) throw new Fault(ODD);
    if (name === "tRNS") return null;
    at += 12 + length;
  }
  const channels = kind === 2 ? 3 : 1, pixel = channels * bits / 8, row = w * pixel;
  const raw = await inflate(await new Blob(parts).arrayBuffer()), out = new Uint8Array(h * row);
  if (raw.length < h * (row + 1)) throw new Fault("PNG不完整，像素不够");
  for (let y = 0; y < h; y++) {
    const filter = raw[y * (row + 1)];
    for (let i = 0; i < row; i++) {
      const at = y * row + i, a = i < pixel ? 0 : out[at - pixel], b = y ? out[at - row] : 0;
      const c = y && i >= pixel ? out[at - row - pixel] : 0;
      out[at] = raw[y * (row + 1) + 1 + i] + guess(filter, a, b, c);
    }
  }
  return { w, h, channels, bits, data: samples(out, bits, false, w * h * channels), note: "" };
}

// PNG的五种猜法：左、上、平均、最像的
function guess(filter, a, b, c) {
  if (filter < 3) return [0, a, b][filter];
  if (filter === 3) return a + b >> 1;
  const p = a + b - c, da = Math.abs(p - a), db = Math.abs(p - b), dc = Math.abs(p - c);
  return da <= db && da <= dc ? a : db <= dc ? b : c;
}

// JPEG的EXIF里记的方向：浏览器照着转，像素就与文件里的不在一处；没有EXIF，或坏了，是1
function orientation(bytes) {
  const file = new Bytes(bytes, false);
  try {
    for (let at = 2; file.u16(at) !== 0xffda; at += 2 + file.u16(at + 2)) {  // 到像素为止，一段段看
      if (file.u16(at) !== 0xffe1 || file.u32(at + 4) !== 0x45786966) continue;  // 这一段不是Exif
      const exif = bytes.subarray(at + 10, at + 2 + file.u16(at + 2));
      return readTags(new Bytes(exif, exif[0] === 0x49)).tags[274]?.[0] || 1;
    }
  } catch {
    return 1;
  }
  return 1;
}

// 其余的交给浏览器
async function readOther(bytes) {
  if (orientation(bytes) !== 1) throw turned();
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(new Blob([bytes]), options).catch(() => {
    throw new Fault("认不出是什么图像。这里读TIFF、PNG、JPEG；别的格式用ImageJ另存成TIFF");
  });
  const { width: w, height: h } = bitmap;
  if (w * h > MOST) throw new Fault(`图像是${w}×${h}像素，这一页最多读${MOST}个像素。更大的用命令unet_predict`);
  const context = new OffscreenCanvas(w, h).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, w, h).data;
  let grey = true;
  for (let i = 0; i < rgba.length; i += 4) {
    if (rgba[i + 3] < 255) throw new Fault("图像有透明的像素，看到的颜色要看底下是什么。另存为不透明的RGB");
    grey &&= rgba[i] === rgba[i + 1] && rgba[i] === rgba[i + 2];
  }
  const channels = grey ? 1 : 3, data = new Uint8Array(w * h * channels);
  for (let i = 0; i < w * h; i++) {
    for (let c = 0; c < channels; c++) data[i * channels + c] = rgba[4 * i + c];
  }
  return { w, h, channels, bits: 8, data, note: "" };
}

// 文件的字节变成图像；读不了时报Fault
export async function readImage(bytes) {
  const start = String.fromCharCode(...bytes.subarray(0, 4));
  try {
    if (start === "II*\0" || start === "MM\0*" || start === "II+\0" || start === "MM\0+") return await readTiff(bytes);
    return start === "\x89PNG" && await readPng(bytes) || await readOther(bytes);
  } catch (error) {
    if (error instanceof RangeError) throw new Fault("图像不完整，或太大了");
    throw error;
  }
}

// 编号写成TIFF，不压缩；65535个以内16位，否则32位
export function writeTiff({ labels, count }, w, h) {
  const bits = count < 65536 ? 16 : 32, size = w * h * bits / 8;
  const tags = [[256, w], [257, h], [258, bits], [259, 1], [262, 1], [273, 8], [277, 1], [278, h], [279, size], [339, 1]];
  const bytes = new Uint8Array(8 + size + 6 + 12 * tags.length), view = new DataView(bytes.buffer);
  bytes.set([0x49, 0x49, 42, 0]);
  view.setUint32(4, 8 + size, true);
  bytes.set(new Uint8Array((bits === 16 ? Uint16Array : Uint32Array).from(labels).buffer), 8);
  view.setUint16(8 + size, tags.length, true);
  tags.forEach(([tag, value], k) => {
    const at = 10 + size + 12 * k;
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, 4, true);
    view.setUint32(at + 4, 1, true);
    view.setUint32(at + 8, value, true);
  });
  return bytes;
}
