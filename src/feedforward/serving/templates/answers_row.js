// --- rows, with cells read as in training: data/readers/cells.py and columns.py ---------------

const { decimal, missing } = encoder, LARGEST = 1e100; // as in cells.py
const wholeMatch = (pattern) => new RegExp(`^(?:${pattern})$`);
const [PLAIN, GROUPED, OTHER_SIGN, CANONICAL, DATE] = ["plain", "grouped", "otherSign", "canonical", "date"].map((name) => wholeMatch(encoder.patterns[name]));
const SYMBOL = new RegExp(encoder.patterns.symbol, "g");
// Whitespace and invisible characters at either end of a text
const EDGE = new RegExp(`^[\\s\\x1c-\\x1f\\x85${encoder.invisible}]+|[\\s\\x1c-\\x1f\\x85${encoder.invisible}]+$`, "g");

function encode(sample) {
  const row = Object.fromEntries(Object.entries(sample).map(([name, value]) => [asText(name), value]));
  const columns = [], values = [], warnings = [];
  const cell = (name) => {
    if (!(name in row)) throw new Error(`samples.0: expected a column '${name}', got ${Object.keys(row).join(", ") || "none"}`);
    return row[name];
  };
  encoder.numeric.forEach(([name, mean, deviation], k) => {
    const standardized = (number(cell(name), name) - mean) / deviation;
    columns.push(k);
    values.push(Number.isNaN(standardized) ? 0 : Math.min(Math.max(standardized, -encoder.largest), encoder.largest));
  });
  let start = encoder.numeric.length;
  for (const [name, categories] of encoder.categorical) {
    const value = category(cell(name)), index = categories.indexOf(value);
    if (index < 0) warnings.push(`${name}=${value.slice(0, 40) || "(missing)"}: does not occur in the training data and is ignored`);
    else { columns.push(start + index); values.push(1); }
    start += categories.length;
  }
  return { columns, values, warnings };
}

function asText(value) {
  if (value === null || Number.isNaN(value)) return "";
  return typeof value === "string" ? value.normalize("NFC").replace(EDGE, "") : String(value);
}

function category(value) { // normalized; empty if missing
  const normalized = normalize(asText(value));
  return encoder.missingCategories.includes(normalized) ? "" : normalized;
}

function normalize(text) { // in its canonical spelling
  const lower = text.toLowerCase();
  if (encoder.alwaysMissing.includes(lower)) return "";
  if (lower === "true" || lower === "false") return lower;
  const match = CANONICAL.exec(text);
  if (!match) return text;
  const fraction = (match[3] ?? "").replace(/0+$/, ""), digits = fraction ? `${match[2]}.${fraction}` : match[2];
  return match[1] === "-" && digits !== "0" ? `-${digits}` : digits;
}

function number(value, name) { // NaN if it is missing, infinite or larger than LARGEST
  if (typeof value === "number") return finiteOrNaN(value);
  const text = asText(value), lower = text.toLowerCase();
  if (missing.includes(text) || encoder.missingInNumbers.includes(lower) || encoder.infinite.includes(lower.replace(/^[+-]+/, ""))) return NaN;
  const refusal = `samples.0.${name}: expected a number${decimal === "," ? " with a decimal comma" : ""}, got '${text.slice(0, 40)}'`;
  if (DATE.test(text)) {
    const day = days(text);
    if (day === null) throw new Error(refusal);
    const result = finiteOrNaN(day);
    if (encoder.dates?.includes(name) !== false || Number.isNaN(result)) return result; // null: unknown
    throw new Error(`samples.0.${name}: '${text.slice(0, 40)}' is a date, but in the training data this column contains numbers; write a number`);
  }
  const isNegative = text.startsWith("(") && text.endsWith(")");
  let numeral = (isNegative ? text.slice(1, -1) : text).replaceAll("\u2212", "-");
  for (let k = 0; k < 2; k++) numeral = numeral.replace(SYMBOL, "$1").replace(EDGE, ""); // one before the number, one after it
  const isAmbiguous = GROUPED.test(numeral) && OTHER_SIGN.test(numeral) && encoder.grouped?.includes(name) === false; // null: unknown
  if (GROUPED.test(numeral)) numeral = numeral.replace(decimal === "," ? /[^\d,+-]/g : /[^\d.+-]/g, "");
  else if (!PLAIN.test(numeral)) throw new Error(refusal);
  const result = finiteOrNaN(Number(numeral.replace(",", ".")) * (isNegative ? -1 : 1));
  if (isAmbiguous && !Number.isNaN(result)) {
    const meanings = `${result} or ${String(result / 1000).replace(".", decimal)}`;
    throw new Error(`samples.0.${name}: '${text.slice(0, 40)}' is ambiguous, because this column of the training data has no thousands separators; write ${meanings}`);
  }
  return result;
}

const finiteOrNaN = (value) => (Math.abs(value) <= LARGEST && !encoder.missingNumbers.includes(value) ? value : NaN);

function days(date) { // days since 1970; a date without an offset is in UTC; null if there is no such day
  const [, year, month, day, hour = 0, minute = 0, second = 0, sign, offHour = 0, offMinute = 0] =
    /^(\d+)-(\d+)-(\d+)(?:[T ](\d+):(\d+)(?::([\d.]+))?(?:Z|([+-])(\d\d):?(\d\d))?)?$/.exec(date);
  const offset = (sign === "-" ? -1 : 1) * (60 * offHour + Number(offMinute)), midnight = Date.UTC(year, month - 1, day);
  if (new Date(midnight).toISOString().slice(0, 10) !== date.slice(0, 10)) return null;
  return midnight / 864e5 + (60 * (60 * hour + Number(minute) - offset) + Number(second)) / 86400;
}
