// --- images, framed as in training: data/readers/image_preprocessing.py -----------------------

const MAX_PIXELS = 2 ** 24, { height: HEIGHT, width: WIDTH } = encoder;

async function encode(sample) { // base64, or rows of gray levels
  const image = typeof sample === "string" ? await decode(sample) : fromRows(sample);
  const row = encoder.kind === "pixels" ? normalize(foreground(image)) : letterbox(image);
  const columns = [...row.keys()].filter((column) => row[column]);
  return { columns, values: columns.map((column) => row[column]), warnings: [], seen: { height: HEIGHT, width: WIDTH, levels: row } };
}

// A grayscale image: height, width, levels 0 to 255 in row order, and whether all levels are integers
const gray = (height, width, levels, integral) => ({ height, width, levels, integral });

function fromRows(rows) {
  const levels = Float64Array.from(rows.flat());
  return gray(rows.length, rows[0].length, levels, levels.every(Number.isInteger));
}

async function decode(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes])).catch(() => {
    throw new Error("samples.0: must be an image that this browser can show");
  });
  const { height, width } = image;
  if (height * width > MAX_PIXELS) throw new Error(`samples.0: must have at most ${MAX_PIXELS} pixels, got ${width} × ${height}`);
  const canvas = Object.assign(document.createElement("canvas"), { height, width }), context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return fromColors(height, width, context.getImageData(0, 0, width, height).data);
}

function fromColors(height, width, data) { // the background of transparent pixels: white if the content is dark, otherwise black
  const count = height * width, levels = new Float64Array(count);
  let opaque = true;
  for (let k = 3; k < data.length && opaque; k += 4) opaque = data[k] === 255;
  for (let k = 0; k < count; k++) {
    const [red, green, blue] = data.subarray(4 * k, 4 * k + 3);
    if (opaque) levels[k] = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16; // rounded as in Pillow
    else levels[k] = 0.299 * red + 0.587 * green + 0.114 * blue;
  }
  return opaque ? gray(height, width, levels, true) : blend(height, width, levels, data);
}

function blend(height, width, levels, data) {
  const alpha = levels.map((_, k) => data[4 * k + 3] / 255), total = alpha.reduce((sum, each) => sum + each, 0);
  const mean = levels.reduce((sum, each, k) => sum + each * alpha[k], 0) / Math.max(total, 1e-6);
  return gray(height, width, levels.map((each, k) => each * alpha[k] + (mean < 128 ? 255 : 0) * (1 - alpha[k])), false);
}

function roundEven(x) { // halves to even, as in Python
  const low = Math.floor(x);
  return x - low === 0.5 ? low + (low % 2) : Math.round(x);
}

function median(values) {
  const sorted = Float64Array.from(values).sort(), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function foreground({ height, width, levels, integral }) { // how far each pixel differs from the background, without noise; the level of the background is that of the edge
  const edge = [...levels.subarray(0, width), ...levels.subarray(-width)];
  for (let row = 0; row < height; row++) edge.push(levels[row * width], levels[(row + 1) * width - 1]);
  const uniform = edge.every((each) => each === edge[0]), background = uniform ? edge[0] : median(edge);
  const noise = uniform ? 0 : 6 * median(edge.map((each) => Math.abs(each - background)));
  let lightest = -Infinity, darkest = Infinity;
  for (const each of levels) [lightest, darkest] = [Math.max(lightest, each), Math.min(darkest, each)];
  const strongest = Math.max(lightest - background, background - darkest);
  if (strongest < Math.max(encoder.contrast, 2 * noise)) throw new Error("samples.0: must show something: the image is blank");
  const stretch = strongest / (strongest - noise), threshold = noise + encoder.boxThreshold * (strongest - noise);
  const difference = levels.map((each) => Math.abs(each - background));
  const strength = noise ? difference.map((each) => Math.min(Math.max((each - noise) * stretch, 0), 255)) : difference;
  const oneSided = lightest <= background || darkest >= background; // all darker or all lighter than the background
  return { ...gray(height, width, strength, integral && oneSided && !noise), box: box(height, width, (pixel) => difference[pixel] > threshold) };
}

function box(height, width, inside) { // bounding box of the pixels for which `inside` is true: first row, first column, height, width
  const rows = [...Array(height).keys()].filter((row) => anyOf(width, (column) => inside(row * width + column)));
  const columns = [...Array(width).keys()].filter((column) => anyOf(height, (row) => inside(row * width + column)));
  return [rows[0] ?? 0, columns[0] ?? 0, (rows.at(-1) ?? height - 1) - (rows[0] ?? 0) + 1, (columns.at(-1) ?? width - 1) - (columns[0] ?? 0) + 1];
}

function anyOf(count, holds) {
  for (let k = 0; k < count; k++) if (holds(k)) return true;
  return false;
}

function normalize({ height, width, levels, integral, box: [top, left, rows, columns] }) {
  const image = gray(height, width, levels, integral);
  if (height === HEIGHT && width === WIDTH && matches(image)) return [...levels].map(roundEven);
  if (encoder.box === null) {
    const small = resize(image, Math.min(HEIGHT / height, WIDTH / width));
    return paste(small, (HEIGHT - small.height) >> 1, (WIDTH - small.width) >> 1);
  }
  const part = new Float64Array(rows * columns).map((_, k) => levels[(top + Math.floor(k / columns)) * width + left + (k % columns)]);
  const small = resize(gray(rows, columns, part, integral), encoder.box / Math.max(rows, columns)), center = centerOf(small);
  return paste(small, ...encoder.centre.map((each, k) => roundEven(each - center[k])));
}

function matches(image) { // whether the image is framed like the training images
  if (encoder.box === null) return true;
  const center = centerOf(image), [, , rows, columns] = box(image.height, image.width, (pixel) => image.levels[pixel] > 0);
  return center.every((each, k) => Math.abs(each - encoder.centre[k]) <= (encoder.tolerance ?? 1)) && Math.abs(Math.max(rows, columns) - encoder.box) <= 1;
}

function centerOf({ width, levels }) { // center of mass: row and column
  let [total, row, column] = [0, 0, 0];
  levels.forEach((each, k) => { total += each; row += each * Math.floor(k / width); column += each * (k % width); });
  return [row / Math.max(total, Number.MIN_VALUE), column / Math.max(total, Number.MIN_VALUE)];
}

function resize({ height, width, levels, integral }, factor) { // Pillow's bilinear filter: columns first, then rows
  const [rows, columns] = [height, width].map((side) => Math.max(1, roundEven(side * factor)));
  const round = integral ? (x) => Math.min(Math.max(Math.floor(x + 0.5), 0), 255) : (x) => x;
  const across = new Float64Array(height * columns), down = new Float64Array(rows * columns);
  weights(width, columns).forEach(([first, shares], column) => {
    for (let row = 0; row < height; row++) across[row * columns + column] = round(shares.reduce((sum, share, k) => sum + share * levels[row * width + first + k], 0));
  });
  weights(height, rows).forEach(([first, shares], row) => {
    for (let column = 0; column < columns; column++) down[row * columns + column] = round(shares.reduce((sum, share, k) => sum + share * across[(first + k) * columns + column], 0));
  });
  return gray(rows, columns, down, integral);
}

function weights(from, to) { // for each new pixel: the first old pixel, and the weights of this pixel and the following ones
  const scale = from / to, support = Math.max(scale, 1);
  return Array.from({ length: to }, (_, k) => {
    const center = (k + 0.5) * scale, first = Math.max(Math.trunc(center - support + 0.5), 0), end = Math.min(Math.trunc(center + support + 0.5), from);
    const all = Array.from({ length: end - first }, (_, x) => Math.max(0, 1 - Math.abs((x + first - center + 0.5) / support)));
    const total = all.reduce((sum, share) => sum + share, 0);
    return [first, all.map((share) => share / total)];
  });
}

function paste({ height, width, levels }, top, left) { // onto black, stretched to full contrast, cropped to the frame
  const row = Array(HEIGHT * WIDTH).fill(0), stretch = 255 / Math.max(levels.reduce((most, each) => Math.max(most, each), 0), 1e-6);
  for (let y = Math.max(0, -top); y < Math.min(height, HEIGHT - top); y++)
    for (let x = Math.max(0, -left); x < Math.min(width, WIDTH - left); x++) row[(y + top) * WIDTH + x + left] = roundEven(levels[y * width + x] * stretch);
  return row;
}

function letterbox(image) { // scaled to fit, centered, padded with the median of the corners
  const { height, width, levels } = image, toByte = (each) => Math.min(Math.max(roundEven(each), 0), 255);
  if (height === HEIGHT && width === WIDTH) return [...levels].map(toByte);
  const small = resize({ ...image, integral: false }, Math.min(HEIGHT / height, WIDTH / width));
  const row = Array(HEIGHT * WIDTH).fill(toByte(median([levels[0], levels[width - 1], levels.at(-width), levels.at(-1)])));
  const rows = Math.min(small.height, HEIGHT), columns = Math.min(small.width, WIDTH), top = (HEIGHT - rows) >> 1, left = (WIDTH - columns) >> 1;
  for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) row[(y + top) * WIDTH + x + left] = toByte(small.levels[y * small.width + x]);
  return row;
}
