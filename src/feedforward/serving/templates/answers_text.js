// --- texts, split as for training: data/readers/tokenizer.py ----------------------------------

const columnOf = new Map(encoder.vocabulary.split("\n").map((word, k) => [word, k + encoder.first]));
const [BLANK, UNSPACED, FILTERS] = encoder.patterns.map((pattern) => new RegExp(pattern, "gu"));

function split(text) {
  let lower = text.toLowerCase();
  if (/[^\0-\x7f]/.test(lower)) lower = lower.replace(BLANK, " ").replace(UNSPACED, " $& ").replace(/\p{Cs}/gu, "?");
  return lower.replace(FILTERS, " ").split(" ").filter(Boolean);
}

function encoded(text) { // a 1 in the column of each word and known pair that occurs, and in that of the start
  const all = split(text), words = [...new Set(all)], pairs = [...new Set(all.slice(1).map((word, k) => `${all[k]} ${word}`))].filter((pair) => columnOf.has(pair));
  if (!words.length) throw new Error("samples.0: must hold at least one word, got an empty text");
  const known = words.filter((word) => columnOf.has(word)), own = (word) => columnOf.get(word) ?? encoder.dropped;
  const columns = [...new Set([encoder.start, ...words.map(own), ...pairs.map(own)])];
  const shared = words.length - known.length > 1; // the other unknown words keep their common column set
  const left = (word) => [...(shared && !columnOf.has(word) ? [] : [own(word)]), ...pairs.filter((pair) => pair.split(" ").includes(word)).map(own)];
  return {
    columns,
    values: columns.map(() => 1),
    words: [...words.map((word) => ({ word, known: columnOf.has(word), left: left(word) })), ...pairs.map((pair) => ({ word: pair, known: true, left: [own(pair)] }))],
    warnings: known.length + pairs.length ? [] : ["no word of this text is in the vocabulary"],
  };
}
