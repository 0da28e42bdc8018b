// --- texts, split as in training: data/readers/tokenizer.py -----------------------------------

const columnOf = new Map(encoder.vocabulary.split("\n").map((word, k) => [word, k + encoder.first]));
const [SEPARATORS, APOSTROPHES, CHARACTER_WORDS, FILTERS] = encoder.patterns.map((pattern) => new RegExp(pattern, "gu"));

function split(text) {
  let lower = text.toLowerCase();
  if (/[^\0-\x7f]/.test(lower)) {
    lower = lower.replaceAll(encoder.softHyphen, "").normalize("NFC").replace(SEPARATORS, " ").replace(APOSTROPHES, "'");
    lower = lower.replace(CHARACTER_WORDS, " $& ").replace(/\p{Cs}/gu, "?");
  }
  return lower.replace(FILTERS, " ").split(" ").filter(Boolean);
}

function encode(text) { // multi-hot: a 1 in the column that every text has, and in those of the words and of the known pairs
  const sequence = split(text), words = [...new Set(sequence)], pairs = [...new Set(sequence.slice(1).map((word, k) => `${sequence[k]} ${word}`))].filter((pair) => columnOf.has(pair));
  if (!words.length) throw new Error("samples.0: must contain at least one word, got none");
  const known = words.filter((word) => columnOf.has(word)), columnFor = (word) => columnOf.get(word) ?? encoder.dropped;
  const columns = [...new Set([encoder.start, ...words.map(columnFor), ...pairs.map(columnFor)])];
  const shared = words.length - known.length > 1; // without one of the unknown words, the others still set their shared column
  const omitted = (word) => [...(shared && !columnOf.has(word) ? [] : [columnFor(word)]), ...pairs.filter((pair) => pair.split(" ").includes(word)).map(columnFor)];
  return {
    columns,
    values: columns.map(() => 1),
    words: [...words.map((word) => ({ word, known: columnOf.has(word), omitted: omitted(word) })), ...pairs.map((pair) => ({ word: pair, known: true, omitted: [columnFor(pair)] }))],
    warnings: known.length + pairs.length ? [] : ["no word of this text is in the vocabulary"],
  };
}
