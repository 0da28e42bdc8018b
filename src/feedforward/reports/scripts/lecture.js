// The lecture's page: sliders move through the combinations that were trained; a single run is drawn next to the mean.

const COMPARED = [["best_val_cross_entropy", "lower", "higher"], ["best_epoch", "earlier", "later"],
  ["last_val_cross_entropy", "lower", "higher"], ["rise", "smaller", "larger"]];

function showStory(place, data) {
  const initial = { at: data.base, seed: 0, draw: "loss", epoch: Infinity, first: 1, last: Infinity };
  let state = { ...initial };
  const key = (name) => `${data.name}.${name}`;
  const named = new Map(data.settings.map((setting) => [setting.at.join("."), setting]));
  const current = () => named.get(state.at.join(".")), base = named.get(data.base.join("."));
  const score = data.curves.map((entry) => entry.key).find((entry) => !entry.endsWith("cross_entropy"));
  const draws = [["loss", "training and validation loss"], ["score", `training and validation ${label(score)}`],
    ["beside", `validation loss, compared with ${base.shown}`]];
  function label(curve) { return data.curves.find((entry) => entry.key === curve).label.replace(/^(validation|training) /, ""); }

  // sliders
  const sliders = data.axes.map((axis, k) => {
    const input = make("input", { type: "range", min: 0, max: axis.values.length - 1, step: 1, id: key(axis.field) });
    const output = make("output", { for: input.id });
    input.oninput = () => change({ at: state.at.map((entry, i) => (i === k ? Number(input.value) : entry)) });
    return { axis, input, output, row: make("div", { class: "slider" }, make("label", { for: input.id }, axis.label), output, input,
      make("span", { class: "ends small soft" }, make("span", {}, axis.shown[0]), make("span", {}, axis.shown.at(-1)))) };
  });
  const status = make("p", { class: "status", role: "status" }), missing = make("div", { class: "banner note" });
  const [pick, draw] = choice("Draw", draws, (value) => change({ draw: value }));
  const another = button("Draw another seed", () => {
    const others = drawable().filter((seed) => seed !== state.seed);
    if (others.length) change({ seed: others[Math.floor(Math.random() * others.length)] });
  }, { class: "primary" });
  const link = make("a", { class: "permalink small", href: `#${data.name}`, "data-section": data.name }, "Link to this view");

  // charts
  const panels = ["One run", "All runs"].map(() => {
    const caption = make("h4"), host = make("div"), list = make("ul", { class: "readout small" });
    const chart = curveChart(host, { move: (epoch) => { state.epoch = epoch; charts(); },
      zoom: (first, last) => { Object.assign(state, { first, last }); charts(); } });
    return { caption, list, chart, box: make("div", {}, caption, host, list) };
  });
  const pair = make("div", { class: "pair" }, ...panels.map((entry) => entry.box)), claims = make("div");
  place.replaceChildren(make("div", { class: "sliders" }, ...sliders.map((slider) => slider.row)), status, missing,
    make("div", { class: "controls" }, make("div", { role: "group", "aria-label": "One run" }, another, pick), link), pair, claims);

  const drawable = () => { // seeds of this combination whose curves are in the page
    const setting = current();
    return setting ? setting.seeds.slice(0, Object.values(setting.curves)[0].runs.length) : [];
  };

  function lines(single) { // the curves to draw: those of the chosen seed, or means with intervals
    const line = (setting, curve, name, mark) => {
      const curves = setting.curves[curve], index = setting.seeds.indexOf(state.seed), tone = "lecture";
      if (!curves || (single && !curves.runs[index])) return [];
      const values = single ? { mean: curves.runs[index], low: null, high: null } : { ...curves, runs: [] };
      return [{ name, tone, mark, falls: curve !== "val_accuracy", ...values }];
    };
    const setting = current();
    if (state.draw === "beside") {
      const other = setting === base ? [] : line(setting, "val_cross_entropy", setting.shown, "plus");
      return [...line(base, "val_cross_entropy", base.shown, "dot"), ...other];
    }
    const curve = state.draw === "loss" ? "cross_entropy" : score.replace("val_", "");
    return [...line(setting, curve, "training", "dot"), ...line(setting, `val_${curve}`, "validation", "line")];
  }

  function charts() {
    const sides = [lines(true), lines(false)], most = Math.max(2, ...sides.flat().map((line) => line.mean.length));
    const last = Math.min(Math.max(state.last, 2), most), first = Math.max(Math.min(state.first, last - 1), 1);
    const view = { levels: [], first, last, epoch: Math.min(Math.max(state.epoch, first), last), log: false, runs: false,
      decimals: state.draw === "score" && score.endsWith("mae") ? null : 4,
      label: state.draw === "score" ? label(score) : state.draw === "loss" ? "loss" : "validation loss" };
    panels.forEach(({ list, chart }, k) => {
      const side = { ...view, lines: sides[k], sameScale: sides[1 - k] };
      side.summary = readout(list, side);
      chart.show(side);
    });
  }

  function values(setting, statistic) { return new Map(setting.statistics[statistic]?.values || []); }

  function comparison(setting, statistic) { // differences from the base: those of all shared seeds, and their mean
    const [chosen, reference] = [values(setting, statistic), values(base, statistic)];
    const differences = [...chosen].filter(([seed]) => reference.has(seed)).map(([seed, value]) => [seed, value - reference.get(seed)]);
    const n = differences.length, mean = differences.reduce((sum, [, d]) => sum + d, 0) / n;
    const sd = Math.sqrt(differences.reduce((sum, [, d]) => sum + (d - mean) ** 2, 0) / (n - 1));
    const half = n > 1 ? (data.t[n - 2] * sd) / Math.sqrt(n) : null;
    const wrong = differences.filter(([, d]) => Math.sign(d) !== Math.sign(mean)).map(([seed]) => seed);
    return { chosen, reference, n, mean, low: half === null ? null : mean - half, high: half === null ? null : mean + half, wrong,
      difference: differences.find(([seed]) => seed === state.seed)?.[1] };
  }

  function claim() { // what the chosen run alone would have claimed
    const setting = current();
    if (setting === base) {
      const text = `This is ${base.shown} itself. Move a slider to compare it with another network.`;
      claims.replaceChildren(make("p", { class: "soft" }, text));
      return "";
    }
    let wrong = 0;
    const items = COMPARED.flatMap(([statistic, less, more]) => {
      const definition = data.statistics.find((entry) => entry.key === statistic), result = definition && comparison(setting, statistic);
      if (!result || !result.n || result.difference === undefined) return [];
      const word = (d) => (d < 0 ? less : d > 0 ? more : "equal"), contradicts = result.wrong.includes(state.seed), { decimals } = definition;
      const [chosen, reference] = [result.chosen, result.reference].map((entry) => number(entry.get(state.seed), decimals));
      wrong += contradicts;
      return [make("li", {}, make("div", {}, make("span", { class: `tag ${contradicts ? "bad" : "good"}` }, contradicts ? "✗ contradicts" : "✓ agrees")),
        make("div", {}, make("p", {}, make("strong", {}, `${definition.label}: ${word(result.difference)}`), ` (${chosen}; ${base.shown} ${reference})`),
          make("p", { class: "small soft" }, `Mean difference over ${result.n} seeds: ${interval(result, decimals)}, ${word(result.mean)}. `,
            `${result.wrong.length} of ${result.n} single runs contradict it.`)))];
    });
    claims.replaceChildren(make("h4", {}, `What seed ${state.seed} alone would have claimed about ${setting.shown}`),
      make("ul", { class: "claims" }, ...items), make("p", { class: "small soft" }, "Differences are paired by seed; in brackets: ",
        "95 % t intervals. A run contradicts the mean if its difference has the opposite sign."));
    return ` Seed ${state.seed} alone contradicts the mean in ${wrong} of ${items.length} statistics.`;
  }

  function show() {
    const setting = current();
    sliders.forEach(({ axis, input, output }, k) => {
      input.value = state.at[k];
      output.textContent = axis.shown[state.at[k]];
      input.setAttribute("aria-valuetext", axis.shown[state.at[k]]);
    });
    missing.hidden = Boolean(setting);
    pair.hidden = claims.hidden = !setting;
    another.disabled = drawable().length < 2;
    draw.value = state.draw;
    const shown = data.axes.map((axis, k) => `${axis.label.replace(/^[A-Z](?=[a-z])/, (first) => first.toLowerCase())} ${axis.shown[state.at[k]]}`).join(", ");
    mark(setting ? state.seed : null);
    if (!setting) {
      const command = [data.command, ...data.axes.map((axis, k) => `${axis.field}=${axis.values[state.at[k]]}`)].join(" ");
      missing.replaceChildren(make("p", {}, `The store has no runs with ${shown}. This command trains them:`),
        make("pre", { tabindex: 0 }, make("code", {}, command)),
        button("Go to the nearest trained combination", () => change({ at: nearest() })));
      status.textContent = `Not trained: ${shown}.`;
      return;
    }
    if (!drawable().includes(state.seed)) [state.seed] = drawable();
    panels[0].caption.textContent = `One run (seed ${state.seed}), as on the slides`;
    panels[1].caption.textContent = setting.seeds.length > 1 ? `Mean of ${setting.seeds.length} seeds, 95 % t interval` : "One seed";
    charts();
    const name = setting.variant ? `Variant ${setting.shown}` : "A combination from a sweep", n = setting.seeds.length;
    status.textContent = `${name}: ${n} seed${n > 1 ? "s" : ""}.${claim()}`;
  }

  const nearest = () => [...data.settings].sort((a, b) => distance(a.at) - distance(b.at))[0].at;
  const distance = (at) => at.reduce((sum, entry, k) => sum + Math.abs(entry - state.at[k]), 0);

  function mark(seed) { // the chosen seed among the claims of the slides
    for (const dot of document.querySelectorAll(`[data-claims="${CSS.escape(data.name)}"] [data-seed]`)) {
      dot.classList.toggle("chosen", Number(dot.dataset.seed) === seed);
    }
  }

  function change(next) {
    Object.assign(state, next);
    show();
    remember(data.name);
  }

  parts.push({
    write: () => [["at", state.at.join("."), state.at.join(".") !== initial.at.join(".")],
      ["seed", state.seed, state.seed !== base.seeds[0]], ["draw", state.draw, state.draw !== initial.draw]]
      .filter(([, , changed]) => changed).map(([name, value]) => [key(name), value]),
    read: (get) => {
      const at = (get(key("at")) || "").split(".").map(Number);
      const isPosition = (entry, k) => Number.isInteger(entry) && entry >= 0 && entry < data.axes[k].values.length;
      const inside = at.length === data.axes.length && at.every(isPosition);
      const drawn = draws.some(([value]) => value === get(key("draw"))) ? get(key("draw")) : initial.draw;
      state = { ...initial, at: inside ? at : initial.at, seed: Number(get(key("seed")) ?? base.seeds[0]), draw: drawn };
      show();
    },
  });
  show();
}

for (const place of document.querySelectorAll("[data-story]")) showStory(place, DATA.stories.find((data) => data.name === place.dataset.story));
