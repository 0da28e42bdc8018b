// Computes in the page what the service would answer. The script with the encoder follows, such as answers_text.js.
const POLL = 0, STORES = false; // nothing changes while the page is open, and corrections cannot be stored
const model = JSON.parse($("model").textContent), encoder = model.encoder;

class Stopped extends Error {}

async function call(path, body) { // GET /datasets and POST /predict/{dataset}
  if (!body) return { datasets: { [model.name]: model.entry } };
  const predictions = [];
  for (const sample of body.samples) predictions.push(answerTo(await encode(sample), body));
  return { predictions };
}

function answerTo(sample, { explain, variants }) {
  const answer = describe(outputsOf("champion", sample));
  if (sample.warnings.length) answer.warnings = sample.warnings;
  const others = Object.keys(model.entry.variants);
  if (variants) answer.variants = Object.fromEntries(others.map((name) => [name, describe(outputsOf(name, sample))]));
  if (explain && sample.seen) answer.seen = sample.seen;
  if (explain && sample.words && model.entry.answers === "class") answer.words = effects(sample);
  return answer;
}

function describe(values) {
  const { answers, labels } = model.entry;
  if (answers === "value") return { value: values[0] };
  const probabilities = Object.fromEntries(labels.map((label, k) => [label, values[k]]));
  if (answers === "labels") return { labels: labels.filter((_, k) => values[k] > 0.5), probabilities };
  const best = values.indexOf(Math.max(...values));
  return { label: labels[best], probability: values[best], probabilities };
}

// --- the network: sum the kernel rows of the features, then multiply small matrices ----------

const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))); // log(1 + exp(x))
const sigmoid = (x) => Math.exp(-softplus(-x));
const ACTIVATIONS = {
  relu: (x) => Math.max(x, 0),
  tanh: Math.tanh,
  sigmoid,
  elu: (x) => (x > 0 ? x : Math.expm1(x)),
  gelu: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  silu: (x) => x * sigmoid(x),
};
const networks = Object.create(null); // by name, decoded on first use

function erf(x) { // Taylor series; beyond 4, erf differs from its limit by less than 2e-8
  if (Math.abs(x) > 4) return Math.sign(x);
  let term = x, sum = x;
  for (let n = 1; Math.abs(term) > 1e-12; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 * sum) / Math.sqrt(Math.PI);
}

function fromHalf(bits) { // IEEE 754 binary16
  const exponent = (bits >> 10) & 31, fraction = (bits & 1023) / 1024;
  const size = exponent ? (1 + fraction) * 2 ** (exponent - 15) : fraction * 2 ** -14;
  return bits & 0x8000 ? -size : size;
}

function decodeNumbers({ bits, base64: text }) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  return bits === 32 ? new Float32Array(bytes) : Float32Array.from(new Uint16Array(bytes), fromHalf);
}

function network(name) {
  const decode = ({ activation, units, kernel, bias }) => ({ activation, units, kernel: decodeNumbers(kernel), bias: decodeNumbers(bias) });
  return (networks[name] ??= { ...model.networks[name], layers: model.networks[name].layers.map(decode) });
}

function product(values, columns, { kernel, bias, units }) { // values: the inputs in `columns`; all other inputs are 0
  const sums = Float64Array.from(bias);
  values.forEach((value, k) => {
    for (let unit = 0, at = columns[k] * units; unit < units; unit++, at++) sums[unit] += value * kernel[at];
  });
  return sums;
}

function firstSums({ scale, layers }, { columns, values }) {
  return product(values.map((value) => value * scale), columns, layers[0]);
}

function logits({ layers }, sums) {
  return layers.slice(1).reduce((inputs, layer, k) => {
    const values = inputs.map(ACTIVATIONS[layers[k].activation]);
    return product(values, [...values.keys()], layer);
  }, sums);
}

function logProbabilities({ layers, temperature }, outputs) {
  const [first, ...others] = outputs.map((output) => output / temperature);
  if (layers.at(-1).activation === "sigmoid") return [-softplus(first), -softplus(-first)];
  const scaled = [first, ...others], highest = Math.max(...scaled);
  const total = highest + Math.log(scaled.reduce((sum, logit) => sum + Math.exp(logit - highest), 0));
  return scaled.map((logit) => logit - total);
}

function outputsOf(name, sample) { // probabilities, or the value in the unit of the target
  const chosen = network(name), outputs = logits(chosen, firstSums(chosen, sample));
  if (model.entry.answers === "class") return logProbabilities(chosen, outputs).map(Math.exp);
  const [mean, deviation] = chosen.target, last = chosen.layers.at(-1).activation;
  const activated = (output) => (last === "sigmoid" ? sigmoid(output / chosen.temperature) : output);
  return Array.from(outputs, (output) => activated(output) * deviation + mean);
}

// --- words and pairs: how much the log odds drop if one of them is left out of the text ------

function effects({ words, columns, values }) {
  const champion = network("champion"), sums = firstSums(champion, { columns, values }), [{ kernel, units }] = champion.layers;
  const outputs = logits(champion, sums), labels = model.entry.labels;
  const label = labels.length === 2 ? 1 : outputs.indexOf(Math.max(...outputs));
  const logOddsOf = (values) => logOdds(logProbabilities(champion, values), label);
  const removed = (omitted, unit) => omitted.reduce((sum, column) => sum + kernel[column * units + unit] * champion.scale, 0);
  const effect = ({ omitted }) => logOddsOf(outputs) - logOddsOf(logits(champion, sums.map((sum, unit) => sum - removed(omitted, unit))));
  return { towards: labels[label], effects: words.map((word) => ({ word: word.word, known: word.known, effect: effect(word) })) };
}

function logOdds(logarithms, label) { // logarithms: of the probabilities
  const others = logarithms.filter((_, k) => k !== label), highest = Math.max(...others);
  return logarithms[label] - highest - Math.log(others.reduce((sum, each) => sum + Math.exp(each - highest), 0));
}
