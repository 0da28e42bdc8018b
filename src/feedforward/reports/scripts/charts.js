"use strict";
// Explorable charts for the JSON data in the element #chart-data. Without this script, a page shows static charts
// instead. Names enter the page as text nodes and attributes, never as markup.


const DATA = JSON.parse(document.getElementById("chart-data").textContent);

function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function shape(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function button(text, onclick, attributes = {}) {
  const element = make("button", { type: "button", ...attributes }, text);
  element.onclick = onclick;
  return element;
}

function choice(text, options, onchange) { // a labeled <select>; options: [value, text] pairs
  const select = make("select", {}, ...options.map(([value, shown]) => make("option", { value }, shown)));
  select.onchange = () => onchange(select.value);
  return [make("label", {}, `${text} `, select), select];
}

// --- numbers -----------------------------------------------------------------------------------

function number(value, decimals) { // same as analysis.numerals.number
  if (decimals === null) return significant(value);
  const tie = Number.isInteger(value * 2 ** (decimals + 1)) && Math.abs((value * 10 ** decimals) % 1) === 0.5; // round half to even
  const text = (tie ? (2 * Math.round((value * 10 ** decimals) / 2)) / 10 ** decimals : value).toFixed(decimals);
  return Number(text) ? text.replace("-", "−") : text.replace("-", "");
}

function significant(value) { // four significant digits
  const [mantissa, exponent] = value.toExponential(3).split("e"), digits = 3 - Number(exponent);
  return (digits > -4 && digits < 8 ? value.toFixed(Math.max(0, digits)) : `${mantissa}e${exponent}`).replaceAll("-", "−");
}

function interval({ mean, low, high }, decimals) {
  const limits = low === null || low === undefined ? "" : ` [${number(low, decimals)}, ${number(high, decimals)}]`;
  return number(mean, decimals) + limits;
}

function ticks(low, high, most) { // like reports.svg_canvas.ticks: round numbers that enclose low and high
  const least = Math.max(high - low, 1e-9 * Math.max(Math.abs(low), Math.abs(high)), 1e-15) / most, power = 10 ** Math.floor(Math.log10(least));
  const step = power * [1, 2, 2.5, 5, 10].find((digit) => power * digit >= least * (1 - 1e-9));
  const first = Math.floor(low / step + 1e-9), last = Math.max(Math.ceil(high / step - 1e-9), first + 1);
  return Array.from({ length: last - first + 1 }, (_, k) => Number(((first + k) * step).toPrecision(12)));
}

function logTicks(low, high) {
  const marks = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power += 1) {
    marks.push(...[1, 2, 5].map((digit) => Number((digit * 10 ** power).toPrecision(12))));
  }
  const inside = marks.filter((mark) => mark >= low && mark <= high);
  return inside.length > 3 ? inside : ticks(low, high, 5).filter((mark) => mark >= low && mark <= high);
}

function digits(marks) { // the fewest decimals that show all marks exactly; null if they are too many
  const least = 1e-9 * Math.max(...marks.map(Math.abs));
  for (let k = 0; k < 10; k += 1) if (marks.every((mark) => Math.abs(Number(mark.toFixed(k)) - mark) <= least)) return k;
  return null;
}

function shortened(name, room) { // like reports.chart_labels.shortened: a name of at most `room` pixels, and a tooltip if cut
  const most = Math.max(2, Math.floor(room / 8)); // bold letters
  return name.length > most ? [`${name.slice(0, most - 1)}…`, shape("title", {}, name)] : [name];
}

const extent = (values) => values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);

// --- curves by epoch ---------------------------------------------------------------------------
// view: { lines: [{ name, tone, mark, falls, mean, low, high, runs }], levels: [{ name, value }], first, last, epoch, log,
//   runs (whether to draw them), label, decimals, summary, sameScale (lines of another chart, to share its scale) }

function rangeOf(view) { // analysis.curves.shown_range for the epochs shown, extended by single runs and near levels
  const { levels, first, last, runs, log } = view, lines = [...view.lines, ...(view.sameScale || [])];
  const cut = (values) => (values || []).slice(first - 1, last);
  const [low, high] = extent(lines.flatMap((line) => cut(line.mean)));
  const pad = 0.15 * (high - low);
  let [bottom, top] = extent(lines.flatMap((line) => [...cut(line.low), ...cut(line.high), low, high]));
  [bottom, top] = [Math.max(bottom, low - pad), Math.min(top, high + pad)];
  const single = runs ? lines.flatMap((line) => (line.runs || []).flatMap(cut)) : [];
  const near = levels.map(({ value }) => value).filter((v) => v >= low - (high - low) / 2 && v <= high + (high - low) / 2);
  [bottom, top] = extent([bottom, top, ...single, ...near]);
  if (!Number.isFinite(bottom)) return [0, 1];
  if (!log) return [bottom, top];
  const least = extent(lines.flatMap((line) => cut(line.mean)).filter((v) => v > 0))[0];
  return [bottom > 0 ? bottom : least, top * 1.02];
}

function curveChart(host, { move, zoom }) { // draws into host; calls move(epoch) and zoom(first, last) on user input
  const surface = make("div", { class: "surface", tabindex: 0, role: "slider", "aria-orientation": "horizontal" });
  host.append(surface);
  let view, scale, from = null;

  function show(next) {
    view = next;
    const { first, last, epoch, label, summary } = view;
    const aria = { "aria-label": `${label} by epoch`, "aria-valuemin": first, "aria-valuemax": last, "aria-valuenow": epoch };
    fill(surface, { ...aria, "aria-valuetext": summary }, []);
    const width = Math.max(host.clientWidth, 280), height = width < 560 ? 270 : 400;
    const names = Math.max(0, ...view.lines.map((line) => line.name.length));
    scale = plotArea(width, height, 12 + Math.min(8 * names, width / 3), view);
    const inside = shape("svg", { x: scale.left, y: scale.top - 6, // clips the curves to the epochs shown
      width: scale.right - scale.left, height: scale.bottom - scale.top + 12 });
    const plot = shape("g", { transform: `translate(${-scale.left} ${6 - scale.top})` }, ...marksOf(view, scale));
    inside.append(plot);
    surface.replaceChildren(shape("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
      ...axes(view, scale), inside, ...endNames(view, scale), cursor(view, scale), shape("rect", { class: "selection" })));
  }

  const epochAt = (event) => {
    const box = surface.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * scale.width;
    return Math.min(Math.max(Math.round(scale.epoch(x)), view.first), view.last);
  };
  surface.onpointerdown = (event) => {
    move(epochAt(event));
    if (event.pointerType !== "mouse" || event.button) return;
    from = epochAt(event);
    surface.setPointerCapture(event.pointerId);
  };
  surface.onpointermove = (event) => {
    const epoch = epochAt(event);
    if (epoch !== view.epoch) move(epoch);
    if (from === null) return;
    const [a, b] = [from, epoch].sort((x, y) => x - y).map(scale.x);
    fill(surface.querySelector(".selection"), { x: a, width: b - a, y: scale.top, height: scale.bottom - scale.top }, []);
  };
  surface.onpointerup = (event) => {
    const [a, b] = [from ?? 0, epochAt(event)].sort((x, y) => x - y);
    const selected = from !== null && b > a;
    from = null;
    if (selected) zoom(a, b);
  };
  surface.onpointercancel = () => { from = null; };
  surface.onkeydown = (event) => {
    const { first, last, epoch } = view;
    const to = { ArrowLeft: epoch - 1, ArrowDown: epoch - 1, ArrowRight: epoch + 1, ArrowUp: epoch + 1, Home: first, End: last,
      PageDown: epoch - 5, PageUp: epoch + 5 }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (to !== undefined) move(Math.min(Math.max(to, first), last));
    else if (event.key === "+" || event.key === "=") zoomBy(view, zoom, 0.5);
    else if (event.key === "-") zoomBy(view, zoom, 2);
    else if (event.key === "0" || event.key === "Escape") zoom(1, Infinity);
    else return;
    event.preventDefault();
  };
  let drawn = 0;
  new ResizeObserver(() => {
    if (!view || host.clientWidth === drawn) return;
    drawn = host.clientWidth;
    show(view);
  }).observe(host);
  return { show, surface };
}

function zoomBy({ first, last, epoch }, zoom, factor) { // show `factor` times as many epochs, around the chosen one
  const half = Math.max(1, Math.round(((last - first) * factor) / 2));
  zoom(epoch - half, epoch + half);
}

function plotArea(width, height, right, view) { // the rectangle for the curves, and the scales of both axes
  const area = { width, right: width - right, top: 26, bottom: height - 34 };
  let [low, high] = rangeOf(view);
  area.marks = view.log ? logTicks(low, high) : ticks(low, high, 5);
  area.labels = area.marks.map((mark) => number(mark, digits(area.marks)));
  area.left = Math.max(44, ...area.labels.map((label) => 10 + 7 * label.length));
  if (!view.log) [low, high] = [area.marks[0], area.marks.at(-1)];
  const transformed = view.log ? Math.log : (v) => v, clip = (v) => Math.min(Math.max(v, low), high);
  const [x0, x1] = [view.first - 0.4, view.last + 0.4];
  area.shows = (v) => v >= low && v <= high;
  area.x = (epoch) => area.left + ((area.right - area.left) * (epoch - x0)) / (x1 - x0);
  area.epoch = (x) => x0 + ((x - area.left) * (x1 - x0)) / (area.right - area.left);
  area.y = (v) => area.bottom - ((area.bottom - area.top) * (transformed(clip(v)) - transformed(low))) / (transformed(high) - transformed(low));
  return area;
}

function axes({ label, first, last, log }, { left, right, top, bottom, marks, labels, x, y }) {
  const most = (right - left) / 34;
  const step = [1, 2, 5, 10, 20, 50, 100, 500].find((candidate) => (last - first) / candidate <= most) || 1000;
  const following = Array.from({ length: last - first }, (_, k) => first + k + 1);
  const epochs = [first, ...following.filter((epoch) => epoch % step === 0 && epoch - first >= step / 2)];
  return [
    ...marks.flatMap((mark, k) => [
      shape("line", { class: "grid", x1: left, x2: right, y1: y(mark), y2: y(mark) }),
      shape("text", { class: "end", x: left - 6, y: y(mark) + 4 }, labels[k]),
    ]),
    ...epochs.map((epoch) => shape("text", { class: "middle", x: x(epoch), y: bottom + 16 }, String(epoch))),
    shape("text", { class: "end", x: right, y: bottom + 30 }, "epoch"),
    shape("text", { x: 2, y: top - 14 }, log ? `${label}, logarithmic` : label),
  ];
}

function marksOf({ lines, levels, runs }, { left, right, x, y, shows }) {
  const path = (values) => values.map((v, k) => `${k ? "L" : "M"}${x(k + 1).toFixed(1)} ${y(v).toFixed(1)}`).join("");
  const points = (values, k0 = 1, by = 1) => values.map((v, k) => `${x(k0 + by * k).toFixed(1)},${y(v).toFixed(1)}`).join(" ");
  const single = (runs ? lines : []).flatMap((line) =>
    (line.runs || []).map((run) => shape("path", { class: `seed ${line.tone}`, d: path(run) })));
  const bands = lines.filter((line) => line.low).map((line) => {
    const back = [...line.high].reverse();
    return shape("polygon", { class: `band ${line.tone}`, points: `${points(line.low)} ${points(back, back.length, -1)}` });
  });
  const drawn = lines.flatMap((line) => {
    const { tone } = line;
    if (line.mark === "dot") return line.mean.map((v, k) => shape("circle", { class: `dot ${tone}`, cx: x(k + 1), cy: y(v), r: 3 }));
    if (line.mark === "plus") {
      return line.mean.map((v, k) => shape("path", { class: `plus ${tone}`, d: `M${x(k + 1)} ${y(v)}m-4 0h8m-4 -4v8` }));
    }
    const best = line.falls === false ? -1 : line.mean.indexOf(Math.min(...line.mean));
    return [
      shape("polyline", { class: `line ${tone}`, points: points(line.mean) }),
      ...(best < 0 ? [] : [shape("circle", { class: `lowest ${tone}`, cx: x(best + 1), cy: y(line.mean[best]), r: 4.5 })]),
    ];
  });
  let below = Infinity;
  const gray = levels.filter((level) => shows(level.value)).sort((a, b) => a.value - b.value).map((level) => {
    below = Math.min(y(level.value) - 4, below - 14); // names do not overlap
    return [shape("line", { class: "level", x1: left, x2: right, y1: y(level.value), y2: y(level.value) }),
      shape("text", { class: "level-name end", x: right - 12, y: below }, ...shortened(level.name, right - 12 - left))];
  });
  return [...bands, ...single, ...gray.map(([line]) => line), ...drawn, ...gray.map(([, name]) => name)];
}

function endNames({ lines, last }, { left, right, y, width }) { // at the ends of the curves, without overlaps
  const value = (line) => line.mean[Math.min(last, line.mean.length) - 1];
  let below = Infinity;
  return lines.filter((line) => value(line) !== undefined).sort((a, b) => value(a) - value(b)).map((line) => {
    below = Math.min(y(value(line)) + 4, below - 15);
    return shape("text", { class: `name ${line.tone}`, x: right + 4, y: below }, ...shortened(line.name, width - right - 6));
  });
}

function cursor({ lines, epoch }, { top, bottom, x, y }) {
  return shape("g", {}, shape("line", { class: "cursor", x1: x(epoch), x2: x(epoch), y1: top, y2: bottom }),
    ...lines.filter((line) => line.mean[epoch - 1] !== undefined)
      .map((line) => shape("circle", { class: `dot ${line.tone}`, cx: x(epoch), cy: y(line.mean[epoch - 1]), r: 4 })));
}

function readout(list, { lines, levels, epoch, decimals }) { // the values at the cursor, as a list; returns them as a sentence
  const at = (line) => ({ mean: line.mean[epoch - 1], low: line.low?.[epoch - 1], high: line.high?.[epoch - 1] });
  const here = lines.filter((line) => line.mean[epoch - 1] !== undefined);
  list.replaceChildren(make("li", {}, `Epoch ${epoch}`), ...here.map((line) => {
    const [mean, ...limits] = interval(at(line), decimals).split(" [");
    return make("li", {}, make("span", { class: `key ${line.tone}` }), `${line.name} `, make("strong", {}, mean),
      make("span", { class: "soft" }, ...limits.map((text) => ` [${text}`)));
  }), ...levels.map(({ name, value }) => make("li", {}, make("span", { class: "key reference" }), `${name} `,
    make("strong", {}, number(value, decimals)))));
  return `Epoch ${epoch}: ${here.map((line) => `${line.name} ${interval(at(line), decimals)}`).join("; ") || "no curve"}`;
}

// --- intervals by row --------------------------------------------------------------------------
// rows: [{ name, tone, mean, low, high, values: [[seed, value]], decided }]

function rowChart(host, { rows, label, decimals, zero, runs }) {
  const width = Math.max(host.clientWidth, 280), height = 46 * rows.length + 34, left = 6, right = width - 12;
  const single = runs ? rows.flatMap((row) => row.values.map(([, v]) => v)) : [];
  const [low, high] = extent([...rows.flatMap((row) => [row.mean, row.low ?? row.mean, row.high ?? row.mean]), ...single, ...(zero ? [0] : [])]);
  const marks = rows.length ? ticks(low, high, width < 560 ? 4 : 8) : [0, 1];
  const x = (v) => left + 14 + ((right - left - 28) * (v - marks[0])) / (marks.at(-1) - marks[0]);
  const bottom = 46 * rows.length + 4;
  const axis = marks.flatMap((mark) => [
    shape("line", { class: zero && mark === 0 ? "zero" : "grid", x1: x(mark), x2: x(mark), y1: 0, y2: bottom }),
    shape("text", { class: "middle", x: x(mark), y: bottom + 16 }, number(mark, digits(marks))),
  ]);
  const drawn = rows.flatMap((row, k) => {
    const y = 46 * k + 32, values = interval(row, decimals);
    return [
      shape("text", { class: `name ${row.tone}`, x: left, y: y - 14 }, ...shortened(row.name, right - left - 7 * values.length - 14)),
      shape("text", { class: "ink end", x: right, y: y - 14 }, values),
      ...(runs ? row.values.map(([seed, v]) => shape("circle", { class: `seed-dot ${row.tone}`, cx: x(v), cy: y, r: 4 },
        shape("title", {}, `${row.name}, seed ${seed}: ${number(v, decimals)}`))) : []),
      ...(row.low === null ? [] : [shape("line", { class: `line ${row.tone}`, x1: x(row.low), x2: x(row.high), y1: y, y2: y })]),
      shape("circle", { class: `${row.decided === false ? "hollow" : "dot"} ${row.tone}`, cx: x(row.mean), cy: y, r: 5 }),
    ];
  });
  const aria = `${label}: ${rows.map((row) => `${row.name} ${interval(row, decimals)}`).join("; ") || "nothing shown"}`;
  host.replaceChildren(shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": aria }, ...axis, ...drawn));
}

// --- the state in the address ------------------------------------------------------------------
// #SECTION?KEY=VALUE&…. Parts register here; write() returns [key, value] pairs that differ from the defaults, and
// read(get) applies the values.

const parts = [];

function remember(section) { // put the state of all parts into the address; returns it
  const values = new URLSearchParams(parts.flatMap((part) => part.write()));
  const fragment = `#${section}${values.size ? `?${values}` : ""}`;
  try { history.replaceState(null, "", fragment); } catch { /* an embedded page may have no address of its own */ }
  for (const link of document.querySelectorAll("a.permalink")) link.href = fragment.replace(/^#[^?]*/, `#${link.dataset.section}`);
  return fragment;
}

function restore() {
  const [section, query] = location.hash.slice(1).split("?");
  if (query === undefined) return; // a plain link into the page changes nothing
  const values = new URLSearchParams(query);
  for (const part of parts) part.read((key) => values.get(key));
  remember(section);
  document.getElementById(section)?.scrollIntoView();
}

// --- sorting tables ----------------------------------------------------------------------------

function sortable(table) { // a button in each heading; key: table.dataset.sort
  const headings = [...table.tHead.rows[0].cells], body = table.tBodies[0], original = [...body.rows];
  let column = -1, direction = 1;
  const value = (row) => {
    const text = row.cells[column].textContent.trim().replaceAll("−", "-"), match = /^-?[\d.,]+(e[+-]?\d+)?/.exec(text);
    return match ? Number(match[0].replaceAll(",", "")) : text;
  };
  const order = (a, b) => {
    const [one, other] = [value(a), value(b)];
    if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1; // cells without a number come last
    return direction * (typeof one === "number" ? one - other : one.localeCompare(other, "en"));
  };
  function sort(next, nextDirection) {
    [column, direction] = [next, nextDirection];
    body.append(...(column < 0 ? original : [...original].sort(order)));
    headings.forEach((cell, k) => cell.setAttribute("aria-sort", k !== column ? "none" : direction > 0 ? "ascending" : "descending"));
  }
  headings.forEach((cell, k) => {
    const text = [...cell.childNodes];
    cell.replaceChildren(button("", () => {
      sort(...(column !== k ? [k, 1] : direction > 0 ? [k, -1] : [-1, 1]));
      remember(table.closest("section").id);
    }, { class: "sort" }));
    cell.firstChild.append(...text);
  });
  parts.push({
    write: () => (column < 0 ? [] : [[table.dataset.sort, `${column}${direction > 0 ? "up" : "down"}`]]),
    read: (get) => {
      const match = /^(\d+)(up|down)$/.exec(get(table.dataset.sort) || "");
      sort(...(match && match[1] < headings.length ? [Number(match[1]), match[2] === "up" ? 1 : -1] : [-1, 1]));
    },
  });
}

// --- exploring a dataset -----------------------------------------------------------------------

function explore(figure, data) { // selectable curves, and statistics in the element `[data-statistics]`
  const initial = { off: new Set(), curve: data.curves[0].key, runs: false, log: false, first: 1, last: Infinity, epoch: Infinity,
    statistic: data.statistics[0]?.key, difference: data.differences.length > 0 };
  let state = { ...initial };
  const key = (name) => `${data.name}.${name}`;
  const status = make("p", { class: "unseen", role: "status" }), list = make("ul", { class: "readout small" });
  const chart = make("div"), title = figure.querySelector("[data-title]");
  const zoom = (first, last) => change({ first, last }, (view) => `Epochs ${view.first} to ${view.last}`);
  const curves = curveChart(chart, { move: (epoch) => { state.epoch = epoch; draw(); }, zoom });

  const visible = () => data.variants.filter((variant) => !state.off.has(variant.name));
  function viewOf() {
    const { key: curve, label, decimals, falls } = data.curves.find((entry) => entry.key === state.curve);
    const lines = visible().filter((variant) => variant.curves[curve])
      .map((variant) => ({ name: variant.name, tone: variant.tone, falls, ...variant.curves[curve] }));
    const most = Math.max(2, ...lines.map((line) => line.mean.length));
    const last = Math.min(Math.max(state.last, 2), most), first = Math.max(Math.min(state.first, last - 1), 1);
    const levels = data.references.filter((entry) => curve in entry.levels).map((entry) => ({ name: entry.name, value: entry.levels[curve] }));
    const epoch = Math.min(Math.max(state.epoch, first), last);
    return { lines, levels, first, last, epoch, log: state.log, runs: state.runs, label, decimals };
  }

  function draw() {
    const view = viewOf();
    view.summary = readout(list, view);
    title.textContent = `${view.label[0].toUpperCase()}${view.label.slice(1)} by epoch`;
    curves.show(view);
    return view;
  }

  function change(values, say) { // new values of the state; say(view): what the live region announces
    Object.assign(state, values);
    const view = draw();
    show();
    statistics.draw(state, visible());
    remember(data.name);
    status.textContent = say(view);
  }

  const toggles = data.variants.map((variant) => button(variant.name, () => {
    const off = new Set(state.off);
    if (!off.delete(variant.name)) off.add(variant.name);
    change({ off }, () => `${visible().length} of ${data.variants.length} variants shown`);
  }, { class: `toggle ${variant.tone}` }));
  const [pick, curve] = choice("Curve", data.curves.map((entry) => [entry.key, entry.label]),
    (value) => change({ curve: value }, (view) => view.label));
  const counts = data.variants.flatMap((variant) => Object.values(variant.curves).map((entry) => [entry.runs.length, variant.seeds.length]));
  const shortened = counts.find(([included, all]) => included < all); // a large page has only the first seeds' curves
  const runs = button(shortened ? `First ${shortened[0]} seeds` : "Single seeds",
    () => change({ runs: !state.runs }, () => `Single seeds ${state.runs ? "shown" : "hidden"}`));
  const log = button("Log scale", () => change({ log: !state.log }, () => `${state.log ? "Logarithmic" : "Linear"} scale`));
  const zoomed = [["Zoom in", 0.5, "+"], ["Zoom out", 2, "−"]].map(([name, factor, text]) =>
    button(text, () => zoomBy(viewOf(), zoom, factor), { "aria-label": name, title: name }));
  const allEpochs = button("All epochs", () => zoom(1, Infinity));
  const link = make("a", { class: "permalink small", href: `#${data.name}`, "data-section": data.name }, "Link to this view");
  const statistics = explorable(data, change);

  function show() { // the state of the buttons
    toggles.forEach((toggle, k) => toggle.setAttribute("aria-pressed", !state.off.has(data.variants[k].name)));
    runs.setAttribute("aria-pressed", state.runs);
    log.setAttribute("aria-pressed", state.log);
    curve.value = state.curve;
  }

  parts.push({
    write: () => {
      const { off, first, last, log: isLog, runs: single } = state, known = data.variants.map((variant) => variant.name);
      const zoomedIn = first > 1 || Number.isFinite(last);
      return [["curve", state.curve, state.curve !== initial.curve], ["off", known.filter((name) => off.has(name)).join(","), off.size],
        ["seeds", 1, single], ["log", 1, isLog], ["epochs", `${viewOf().first}-${viewOf().last}`, zoomedIn],
        ["statistic", state.statistic, state.statistic !== initial.statistic], ["values", 1, state.difference !== initial.difference]]
        .filter(([, , changed]) => changed).map(([name, value]) => [key(name), value]);
    },
    read: (get) => {
      const valid = (name, entries) => (entries.some((entry) => entry.key === get(key(name))) ? get(key(name)) : initial[name]);
      const span = /^(\d{1,6})-(\d{1,6})$/.exec(get(key("epochs")) || "");
      const off = new Set((get(key("off")) || "").split(",").filter((name) => data.variants.some((variant) => variant.name === name)));
      state = { ...initial, off, curve: valid("curve", data.curves), statistic: valid("statistic", data.statistics),
        runs: get(key("seeds")) === "1", log: get(key("log")) === "1",
        difference: get(key("values")) ? !initial.difference : initial.difference,
        ...(span ? { first: Number(span[1]), last: Number(span[2]) } : {}) };
      draw();
      show();
      statistics.draw(state, visible());
    },
  });
  for (const image of figure.querySelectorAll(".desk, .phone")) image.hidden = true;
  figure.append(make("div", { class: "controls" }, make("div", { role: "group", "aria-label": "Variants" }, ...toggles),
    make("div", { role: "group", "aria-label": "View" }, pick, runs, log, ...zoomed, allEpochs)), chart, list,
  make("p", { class: "hint small soft" }, "Move or tap to read values, drag to zoom; keys: arrows, +, −, 0. ", link), status);
  draw();
  show();
  statistics.draw(state, visible());
}

function explorable(data, change) { // a chart of one statistic by variant: values, or differences from the baseline
  const place = document.querySelector(`[data-statistics="${CSS.escape(data.name)}"]`);
  if (!place || !data.statistics.length) return { draw: () => {} };
  const named = (key) => data.statistics.find((entry) => entry.key === key), chart = make("div"), caption = make("figcaption");
  const [pick, statistic] = choice("Statistic", data.statistics.map((entry) => [entry.key, entry.label]),
    (value) => change({ statistic: value }, () => named(value).label));
  const [how, mode] = choice("Show", [["difference", `difference from ${data.baseline}`], ["value", "value"]],
    (value) => change({ difference: value === "difference" }, () => mode.selectedOptions[0].textContent));
  if (!data.differences.length) how.hidden = true;
  let last = [];
  function draw(state, variants) {
    last = [state, variants];
    const { key, label, decimals } = named(state.statistic), names = new Set(variants.map((variant) => variant.name));
    const differences = data.differences.filter((entry) => entry.statistic === key && names.has(entry.name));
    const values = [...variants, ...data.references].filter((entry) => key in entry.statistics)
      .map((entry) => ({ name: entry.name, tone: entry.tone || "reference", ...entry.statistics[key] }));
    statistic.value = key;
    mode.value = state.difference ? "difference" : "value";
    caption.textContent = `${label[0].toUpperCase()}${label.slice(1)}${state.difference ? `, difference from ${data.baseline}` : ""}`;
    rowChart(chart, { rows: state.difference ? differences : values, label, decimals, zero: state.difference, runs: true });
  }
  place.append(make("figure", { class: "card" }, caption,
    make("div", { class: "controls" }, make("div", { role: "group", "aria-label": "Statistic" }, pick, how)), chart,
    make("p", { class: "hint small soft" }, "Small points: single seeds. Line and large point: mean and interval; hollow: undecided.")));
  let width = 0;
  new ResizeObserver(() => { if (chart.clientWidth !== width) { width = chart.clientWidth; draw(...last); } }).observe(chart);
  return { draw };
}

addEventListener("DOMContentLoaded", () => { // runs after the scripts that follow
  for (const figure of document.querySelectorAll("[data-curves]")) {
    explore(figure, DATA.datasets.find((data) => data.name === figure.dataset.curves));
  }
  for (const table of document.querySelectorAll("table[data-sort]")) sortable(table);
  restore();
});
addEventListener("hashchange", restore);
