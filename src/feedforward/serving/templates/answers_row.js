// --- rows, with cells read as in training: data/readers/cells.py and columns.py ---------------

const { decimal, missing } = encoder, LARGEST = 1e100;
const anchored = (pattern) => new RegExp(`^(?:${pattern})$`);
const [PLAIN, GROUPED, CANONICAL, DATE] = ["plain", "grouped", "canonical", "date"].map((name) => anchored(encoder.patterns[name]));
const SYMBOL = new RegExp(encoder.patterns.symbol, "g");
const EDGE = new RegExp(`^[\\s\\x1c-\\x1f\\x85${encoder.invisible}]+|[\\s\\x1c-\\x1f\\x85${encoder.invisible}]+$`, "g");

function encode(sample) {
  const row = Object.fromEntries(Object.entries(sample).map(([name, value]) => [asText(name), value]));
  const columns = [], values = [], warnings = [];
  const cell = (name) => {
    if (!(name in row)) throw new Error(`samples.0: expected a column '${name}', got ${Object.keys(row).join(", ") || "none"}`);
    return row[name];
  };
  encoder.numeric.forEach(([name, mean, deviation], k) => {
    const standard = (number(cell(name), name) - mean) / deviation;
    columns.push(k);
    values.push(Number.isNaN(standard) ? 0 : Math.min(Math.max(standard, -encoder.largest), encoder.largest));
  });
  let start = encoder.numeric.length;
  for (const [name, categories] of encoder.categorical) {
    const value = category(cell(name)), at = categories.indexOf(value);
    if (at < 0) warnings.push(`${name}=${value.slice(0, 40) || "(missing)"}: does not occur in the training data and is ignored`);
    else { columns.push(start + at); values.push(1); }
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

function normalize(plain) {
  const lower = plain.toLowerCase();
  if (encoder.alwaysMissing.includes(lower)) return "";
  if (lower === "true" || lower === "false") return lower;
  const match = CANONICAL.exec(plain);
  if (!match) return plain;
  const fraction = (match[3] ?? "").replace(/0+$/, ""), digits = fraction ? `${match[2]}.${fraction}` : match[2];
  return match[1] === "-" && digits !== "0" ? `-${digits}` : digits;
}

function number(value, name) { // NaN if it is missing or infinite
  if (typeof value === "number") return finite(value);
  const plain = asText(value), lower = plain.toLowerCase();
  if (missing.includes(plain) || encoder.missingInNumbers.includes(lower) || encoder.infinite.includes(lower.replace(/^[+-]+/, ""))) return NaN;
  if (DATE.test(plain)) return finite(days(plain));
  const isNegative = plain.startsWith("(") && plain.endsWith(")");
  let bare = (isNegative ? plain.slice(1, -1) : plain).replaceAll("\u2212", "-");
  for (let k = 0; k < 2; k++) bare = bare.replace(SYMBOL, "$1").replace(EDGE, ""); // one before the number, one after it
  if (GROUPED.test(bare)) bare = bare.replace(decimal === "," ? /[^\d,+-]/g : /[^\d.+-]/g, "");
  else if (!PLAIN.test(bare)) throw new Error(`samples.0.${name}: expected a number, got '${plain.slice(0, 40)}'`);
  return finite(Number(bare.replace(",", ".")) * (isNegative ? -1 : 1));
}

const finite = (value) => (Math.abs(value) <= LARGEST && !encoder.missingNumbers.includes(value) ? value : NaN);

function days(date) { // days since 1970; in UTC unless the date has an offset
  const [, year, month, day, hour = 0, minute = 0, second = 0, sign, offHour = 0, offMinute = 0] =
    /^(\d+)-(\d+)-(\d+)(?:[T ](\d+):(\d+)(?::([\d.]+))?(?:Z|([+-])(\d\d):?(\d\d))?)?$/.exec(date);
  const offset = (sign === "-" ? -1 : 1) * (60 * offHour + Number(offMinute)), midnight = Date.UTC(year, month - 1, day);
  if (new Date(midnight).toISOString().slice(0, 10) !== date.slice(0, 10)) throw new Error(`samples.0: not a date: '${date}'`);
  return midnight / 864e5 + (60 * (60 * hour + Number(minute) - offset) + Number(second)) / 86400;
}
