// --- images, framed as in training: data/readers/image_preprocessing.py -----------------------

const MAX_PIXELS = 2 ** 24, { height: HEIGHT, width: WIDTH } = encoder;

async function encode(sample) { // base64, or rows of gray levels
  const levels = typeof sample === "string" ? await decode(sample) : fromRows(sample);
  const row = encoder.kind === "pixels" ? normalize(foreground(levels)) : letterbox(levels);
  const columns = [...row.keys()].filter((column) => row[column]);
  return { columns, values: columns.map((column) => row[column]), warnings: [], seen: { height: HEIGHT, width: WIDTH, levels: row } };
}

// A grayscale image: height, width, levels 0 to 255 in row order, and whether all levels are integers
const gray = (height, width, level, whole) => ({ height, width, level, whole });

function fromRows(rows) {
  const level = Float64Array.from(rows.flat());
  return gray(rows.length, rows[0].length, level, level.every(Number.isInteger));
}

async function decode(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes])).catch(() => {
    throw new Error("samples.0: must be an image that this browser can show");
  });
  const { height, width } = image;
  if (height * width > MAX_PIXELS) throw new Error(`samples.0: must have at most ${MAX_PIXELS} pixels, got ${width} × ${height}`);
  const canvas = Object.assign(document.createElement("canvas"), { height, width }), drawn = canvas.getContext("2d", { willReadFrequently: true });
  drawn.drawImage(image, 0, 0);
  return fromColors(height, width, drawn.getImageData(0, 0, width, height).data);
}

function fromColors(height, width, data) { // the background of transparent pixels: white if the content is dark, otherwise black
  const count = height * width, level = new Float64Array(count);
  let opaque = true, visible = 0, weight = 0;
  for (let k = 3; k < data.length && opaque; k += 4) opaque = data[k] === 255;
  for (let k = 0; k < count; k++) {
    const [red, green, blue, alpha] = data.subarray(4 * k, 4 * k + 4);
    if (opaque) level[k] = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16; // rounded as in Pillow
    else [level[k], visible, weight] = [0.299 * red + 0.587 * green + 0.114 * blue, visible + level[k] * alpha, weight + alpha];
  }
  return opaque ? gray(height, width, level, true) : blend(height, width, level, data);
}

function blend(height, width, level, data) {
  const alpha = level.map((_, k) => data[4 * k + 3] / 255), total = alpha.reduce((sum, each) => sum + each, 0);
  const mean = level.reduce((sum, each, k) => sum + each * alpha[k], 0) / Math.max(total, 1e-6);
  return gray(height, width, level.map((each, k) => each * alpha[k] + (mean < 128 ? 255 : 0) * (1 - alpha[k])), false);
}

function roundEven(x) { // halves to even, as in Python
  const low = Math.floor(x);
  return x - low === 0.5 ? low + (low % 2) : Math.round(x);
}

function median(values) {
  const sorted = Float64Array.from(values).sort(), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function foreground({ height, width, level, whole }) { // how far each pixel differs from the level at the edge, with noise removed
  const edge = [...level.subarray(0, width), ...level.subarray(-width)];
  for (let row = 0; row < height; row++) edge.push(level[row * width], level[(row + 1) * width - 1]);
  const uniform = edge.every((each) => each === edge[0]), background = uniform ? edge[0] : median(edge);
  const noise = uniform ? 0 : 6 * median(edge.map((each) => Math.abs(each - background)));
  let lightest = -Infinity, darkest = Infinity;
  for (const each of level) [lightest, darkest] = [Math.max(lightest, each), Math.min(darkest, each)];
  const strongest = Math.max(lightest - background, background - darkest);
  if (strongest < Math.max(encoder.contrast, 2 * noise)) throw new Error("samples.0: must show something: the image is blank");
  const stretch = strongest / (strongest - noise), least = noise + encoder.boxThreshold * (strongest - noise);
  const difference = level.map((each) => Math.abs(each - background));
  const strength = noise ? difference.map((each) => Math.min(Math.max((each - noise) * stretch, 0), 255)) : difference;
  const oneSided = lightest <= background || darkest >= background; // all darker or all lighter than the background
  return { ...gray(height, width, strength, whole && oneSided && !noise), box: box(height, width, (at) => difference[at] > least) };
}

function box(height, width, inside) { // bounding box of the pixels inside: first row, first column, height, width
  const rows = [...Array(height).keys()].filter((row) => anyOf(width, (column) => inside(row * width + column)));
  const columns = [...Array(width).keys()].filter((column) => anyOf(height, (row) => inside(row * width + column)));
  return [rows[0] ?? 0, columns[0] ?? 0, (rows.at(-1) ?? height - 1) - (rows[0] ?? 0) + 1, (columns.at(-1) ?? width - 1) - (columns[0] ?? 0) + 1];
}

function anyOf(count, holds) {
  for (let k = 0; k < count; k++) if (holds(k)) return true;
  return false;
}

function normalize({ height, width, level, whole, box: [top, left, rows, columns] }) {
  const drawn = gray(height, width, level, whole);
  if (height === HEIGHT && width === WIDTH && matches(drawn)) return [...level].map(roundEven);
  if (encoder.box === null) {
    const small = resize(drawn, Math.min(HEIGHT / height, WIDTH / width));
    return paste(small, (HEIGHT - small.height) >> 1, (WIDTH - small.width) >> 1);
  }
  const part = new Float64Array(rows * columns).map((_, k) => level[(top + Math.floor(k / columns)) * width + left + (k % columns)]);
  const small = resize(gray(rows, columns, part, whole), encoder.box / Math.max(rows, columns)), center = centerOf(small);
  return paste(small, ...encoder.centre.map((each, k) => roundEven(each - center[k])));
}

function matches(drawn) { // whether it is framed like the training images, to within one pixel
  if (encoder.box === null) return true;
  const center = centerOf(drawn), [, , rows, columns] = box(drawn.height, drawn.width, (at) => drawn.level[at] > 0);
  return center.every((each, k) => Math.abs(each - encoder.centre[k]) <= 1) && Math.abs(Math.max(rows, columns) - encoder.box) <= 1;
}

function centerOf({ width, level }) { // center of mass: row and column
  let [total, row, column] = [0, 0, 0];
  level.forEach((each, k) => { total += each; row += each * Math.floor(k / width); column += each * (k % width); });
  return [row / Math.max(total, Number.MIN_VALUE), column / Math.max(total, Number.MIN_VALUE)];
}

function resize({ height, width, level, whole }, factor) { // Pillow's bilinear filter: columns first, then rows
  const [rows, columns] = [height, width].map((side) => Math.max(1, roundEven(side * factor)));
  const round = whole ? (x) => Math.min(Math.max(Math.floor(x + 0.5), 0), 255) : (x) => x;
  const across = new Float64Array(height * columns), down = new Float64Array(rows * columns);
  weights(width, columns).forEach(([first, shares], column) => {
    for (let row = 0; row < height; row++) across[row * columns + column] = round(shares.reduce((sum, share, k) => sum + share * level[row * width + first + k], 0));
  });
  weights(height, rows).forEach(([first, shares], row) => {
    for (let column = 0; column < columns; column++) down[row * columns + column] = round(shares.reduce((sum, share, k) => sum + share * across[(first + k) * columns + column], 0));
  });
  return gray(rows, columns, down, whole);
}

function weights(from, to) { // for each new pixel: the first old pixel, and the weights of that pixel and the following ones
  const scale = from / to, support = Math.max(scale, 1);
  return Array.from({ length: to }, (_, k) => {
    const center = (k + 0.5) * scale, first = Math.max(Math.trunc(center - support + 0.5), 0), end = Math.min(Math.trunc(center + support + 0.5), from);
    const all = Array.from({ length: end - first }, (_, x) => Math.max(0, 1 - Math.abs((x + first - center + 0.5) / support)));
    const total = all.reduce((sum, share) => sum + share, 0);
    return [first, all.map((share) => share / total)];
  });
}

function paste({ height, width, level }, top, left) { // onto black, stretched to full contrast, cropped to the frame
  const row = Array(HEIGHT * WIDTH).fill(0), stretch = 255 / Math.max(level.reduce((most, each) => Math.max(most, each), 0), 1e-6);
  for (let y = Math.max(0, -top); y < Math.min(height, HEIGHT - top); y++)
    for (let x = Math.max(0, -left); x < Math.min(width, WIDTH - left); x++) row[(y + top) * WIDTH + x + left] = roundEven(level[y * width + x] * stretch);
  return row;
}

function letterbox(levels) { // scaled to fit, centered, padded with the median level of the corners
  const { height, width, level } = levels, whole = (each) => Math.min(Math.max(roundEven(each), 0), 255);
  if (height === HEIGHT && width === WIDTH) return [...level].map(whole);
  const small = resize({ ...levels, whole: false }, Math.min(HEIGHT / height, WIDTH / width));
  const row = Array(HEIGHT * WIDTH).fill(whole(median([level[0], level[width - 1], level.at(-width), level.at(-1)])));
  const rows = Math.min(small.height, HEIGHT), columns = Math.min(small.width, WIDTH), top = (HEIGHT - rows) >> 1, left = (WIDTH - columns) >> 1;
  for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) row[(y + top) * WIDTH + x + left] = whole(small.level[y * small.width + x]);
  return row;
}
