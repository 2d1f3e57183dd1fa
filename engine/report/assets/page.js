(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const COLOURS = 8, ROWS = 50;
const [OBSERVED, MISSING, WITHHELD, REJECTED] =
  ["observed", "missing", "withheld", "rejected"].map(s => data.statuses.indexOf(s));
const colour = e => css(`--c${e % COLOURS}`);
const dash = e => e < COLOURS ? [] : e < 2 * COLOURS ? [6, 4] : [2, 3];

/* What is scored: shares stand last, beside what was asked for. */
const METRICS = [...data.metrics.filter(m => m.unit !== "share"), ...data.metrics.filter(m => m.unit === "share")];
const SHARES = new Set(METRICS.filter(m => m.unit === "share").map(m => m.name));
const show = (metric, x) => SHARES.has(metric) ? percent(x) : metric === "n" ? (isFinite(x) ? count(x) : "–") : number(x);
const key = e => { const k = element("span", {class: "key"}); k.style.background = colour(e); return k; };
const when = seconds => new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");
function floats(text) {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}
const gaps = values => Array.from(values, v => Number.isFinite(v) ? v : null);

/* What is shown: a quantity, the entry that has the say in map and band, a sensor's row. */
const state = {section: 0, entry: 0, row: null, metric: "mse", sort: null, down: true, find: "", page: 0};
let plots = [], main = null, section, errors;

function choose(index) {
  section = data.sections[index];
  errors = Object.fromEntries(Object.entries(section.errors).map(([k, rows]) => [k, rows.map(floats)]));
  Object.assign(state, {section: index, entry: section.best, sort: null, down: true, page: 0, find: ""});
  at("find").value = "";
  state.row = section.drawn.length ? section.drawn[0] : null;
  render();
}

function render() {
  plots.forEach(p => p.destroy());
  plots = []; main = null;
  summary(); choices();
  document.querySelectorAll("[data-scored]").forEach(e => { e.hidden = !section; });
  if (!section) return;
  scores(); sensor(); gallery(); map(); hours(); byGap(); coverage(); sensors();
}

function summary() {
  const first = data.runs[0];
  const text = data.runs.length === 1
    ? `${first.label}: ${first.state}, ${when(first.span[0])} to ${when(first.span[1])} UTC in steps of ` +
      `${duration(first.interval)}; ${count(first.counts?.read)} readings, ${count(first.forecasts)} forecasts ` +
      `in ${first.seconds ?? "–"} s on the ${first.backend} backend.`
    : `${data.runs.length} runs compared: ${data.runs.map(r => r.label).join(", ")}.`;
  at("summary").textContent = section ? text : text + " Nothing was scored.";
}
const duration = s => s % 86400 === 0 ? s / 86400 + " d" : s % 3600 === 0 ? s / 3600 + " h" : s % 60 === 0 ? s / 60 + " min" : s + " s";

function choices() {
  const box = at("choices");
  box.replaceChildren();
  if (data.sections.length > 1)
    box.append(picker("quantity", data.sections.map(s => s.quantity), state.section, choose));
  if (section)
    box.append(picker("map, band and order by", section.entries.map(e => e.label), state.entry,
      i => { state.entry = i; state.sort = null; render(); }));
}
function picker(name, options, chosen, then) {
  const select = element("select", {}, ...options.map((o, i) => element("option", {value: String(i), selected: i === chosen}, o)));
  select.onchange = () => then(Number(select.value));
  return element("label", {}, name + " ", select);
}

function scores() {
  const many = data.runs.length > 1, E = section.entries, ahead = E.some(e => e.horizon);
  const head = ["model", ...(many ? ["run"] : []), ...(ahead ? ["horizon"] : []), ...METRICS.map(m => m.title), "nominal", "n"];
  const about = Object.fromEntries(METRICS.map(m => [m.title, m.about]));
  const least = Math.min(...E.map(e => e.mse ?? Infinity));
  const rows = E.map((e, i) => element("tr", {},
    element("td", {title: e.kind}, key(i), e.model), many ? element("td", {}, data.runs[e.run].label) : null,
    ahead ? element("td", {}, String(e.horizon)) : null,
    ...METRICS.map(m => element("td", m.name === "mse" && e.mse === least ? {class: "best"} : {}, show(m.name, e[m.name]))),
    element("td", {}, e.level == null ? "–" : percent(e.level)), element("td", {}, count(e.n))));
  at("scores").replaceChildren(element("table", {},
    element("thead", {}, element("tr", {}, ...head.map(h => element("th", {title: about[h] ?? ""}, h)))), element("tbody", {}, ...rows)));
  at("scores-note").textContent = `${section.quantity}: means over ${count(section.targets)} ` +
    `sensor${section.targets === 1 ? "" : "s"}. Bias is forecast − truth; ${ahead ? "horizons are in steps, 0 is a nowcast, below 0 smoothed" : "every forecast is a nowcast"}. ` +
    (data.runs[0].scored === "withheld" ? "What was withheld is what is scored." : "Every forecast was made before its truth was seen.");
}

/* One sensor: truth, forecasts, band, withheld spans. */
function tablesOf(d) {
  const tables = [];
  let x = 0;
  section.drawings.forEach(drawing => {
    if (!drawing) return;
    const truth = gaps(floats(drawing.truth[d])), status = drawing.status[d];
    const times = truth.map((_, i) => drawing.start + i * drawing.step);
    const flags = Array.from(status, Number);
    const columns = [{what: "truth", values: truth.map((v, i) => flags[i] === REJECTED ? null : v)}];
    if (flags.includes(REJECTED))
      columns.push({what: "rejected", values: truth.map((v, i) => flags[i] === REJECTED ? v : null)});
    for (const [e, of] of Object.entries(drawing.entries)) {
      const [f, lower, upper] = of[d].map(v => gaps(floats(v)));
      columns.push({what: "forecast", entry: Number(e), values: f});
      if (lower) columns.push({what: "lower", entry: Number(e), values: lower},
        {what: "upper", entry: Number(e), values: upper});
    }
    tables.push({times, columns: x++ ? columns.filter(c => c.what !== "truth" && c.what !== "rejected") : columns, flags, step: drawing.step});
  });
  return tables;
}

function spansOf(table, status) {
  const found = [];
  table.flags.forEach((f, i) => {
    if (f !== status) return;
    const last = found[found.length - 1];
    if (last && last[1] === i) last[1] = i + 1; else found.push([i, i + 1]);
  });
  return found.map(([a, b]) => [table.times[0] + (a - .5) * table.step, table.times[0] + (b - .5) * table.step]);
}

function shade(u, tables) {
  const {left, top, width, height} = u.bbox;
  u.ctx.save();
  u.ctx.beginPath(); u.ctx.rect(left, top, width, height); u.ctx.clip();
  for (const [status, name] of [[MISSING, "--missing"], [WITHHELD, "--withheld-span"]]) {
    u.ctx.fillStyle = css(name);
    for (const [a, b] of spansOf(tables[0], status)) {
      const from = u.valToPos(a, "x", true), to = u.valToPos(b, "x", true);
      u.ctx.fillRect(from, top, Math.max(1, to - from), height);
    }
  }
  u.ctx.restore();
}

const axis = more => ({stroke: () => css("--soft"), grid: {stroke: () => css("--grid"), width: 1},
  ticks: {stroke: () => css("--grid"), width: 1}, ...more});
const widthOf = id => Math.max(240, at(id).clientWidth);

function lines(tables) {
  const mse = section.entries.map(e => e.mse ?? Infinity);
  const ranked = [...section.entries.keys()].sort((a, b) => mse[a] - mse[b]);
  const shown = new Set([state.entry, ...ranked].slice(0, section.entries.length <= 6 ? Infinity : 4));
  const columns = tables.flatMap(t => t.columns);
  const series = columns.map(c => {
    if (c.what === "truth") return {label: "truth", stroke: css("--truth"), width: 2};
    if (c.what === "rejected") return {label: "rejected", stroke: css("--c1"), paths: () => null, points: {show: true, size: 7}};
    if (c.what !== "forecast") return {label: c.what, stroke: "transparent", width: 0, points: {show: false}, show: c.entry === state.entry, unlisted: true};
    return {label: section.entries[c.entry].label, stroke: colour(c.entry), dash: dash(c.entry),
      width: c.entry === state.entry ? 2 : 1.25, show: shown.has(c.entry)};
  });
  const find = what => columns.findIndex(c => c.what === what && c.entry === state.entry) + 1;
  const bands = find("upper") ? [{series: [find("upper"), find("lower")], fill: colour(state.entry) + "2e"}] : [];
  series.forEach((s, i) => s.value = (u, v) => v == null ? "–" : v.toFixed(2));
  return {series: [{label: "UTC", value: (u, v) => v == null ? "–" : when(v)}, ...series], bands, columns};
}

function sensor() {
  const d = section.drawn.indexOf(state.row), name = state.row == null ? null : section.sensors[state.row];
  const box = at("main-plot");
  box.replaceChildren();
  at("sensor-title").textContent = name == null ? "Sensors" : `Sensor ${name} · ${section.quantity} · MSE ${show("mse", errors.mse[state.entry][state.row])}`;
  at("sensor-scores").replaceChildren();
  if (name == null || !section.drawings.some(Boolean)) {
    at("sensor-note").textContent = "There are no forecasts in files in the run's folder, so none are drawn.";
    return;
  }
  section.entries.forEach((e, i) => at("sensor-scores").append(
    element("span", {class: "whole"}, key(i), `${e.label} ${show("mse", errors.mse[i][state.row])}`), "   "));
  const tables = tablesOf(d), {series, bands} = lines(tables);
  const values = tables.map(t => [t.times, ...t.columns.map(c => c.values)]);
  main = new uPlot({
    width: widthOf("main-plot"), height: Math.round(Math.min(420, Math.max(260, innerHeight * .5))), series, bands,
    tzDate: ts => uPlot.tzDate(new Date(ts * 1e3), "Etc/UTC"), scales: {y: {range: extent}},
    axes: [axis({space: 60, values: ticks}), axis({size: 48})], cursor: {points: {show: false}, drag: {x: true, y: false}},
    hooks: {drawClear: [u => shade(u, tables)]},
  }, tables.length > 1 ? uPlot.join(values, values.map(v => v.map(() => 2))) : values[0], box);
  plots.push(main);
  box.querySelectorAll(".u-series").forEach((row, i) => row.classList.toggle("unlisted", !!series[i].unlisted));
  pinch(main);
  const N = section.drawn.length;
  at("sensor-note").textContent = `Grey: truth withheld from the models; amber: nothing arrived; band: the interval of ` +
    `${section.entries[state.entry].label}. Drag or pinch to zoom, double-click for all; click a name to hide it. ` +
    (N < section.targets ? `${N} of ${count(section.targets)} sensors are drawn, the worst third of them and the rest spread over the ranks.` : "");
}

/* Long runs' bands must not crush the curve: the range follows what is truth or a shown forecast. */
function extent(u, low, high) {
  if (low == null || !isFinite(low)) return [0, 1];
  const room = (high - low || Math.abs(high) || 1) * .05;
  return [low - room, high + room];
}
function ticks(u, splits, axisIndex, space, step) {
  let day = "";
  return splits.map(s => {
    const text = when(s), now = text.slice(5, 10), clock = text.slice(11);
    const out = step >= 86400 ? now : now === day ? clock : `${clock}\n${now}`;
    day = now;
    return out;
  });
}

function zoom(u, factor, centre) {
  const x = u.data[0], {min, max} = u.scales.x, all = [x[0], x[x.length - 1]];
  if (!factor) return u.setScale("x", {min: all[0], max: all[1]});
  const middle = centre ?? (min + max) / 2;
  within(u, middle - (middle - min) * factor, middle + (max - middle) * factor, all);
}
function within(u, min, max, all = [u.data[0][0], u.data[0][u.data[0].length - 1]]) {
  const width = Math.min(max - min, all[1] - all[0]);
  if (width < 3 * (u.data[0][1] - u.data[0][0])) return;
  const from = Math.max(all[0], Math.min(min, all[1] - width));
  u.setScale("x", {min: from, max: from + width});
}
function pinch(u) {
  let last = null;
  const gap = t => Math.abs(t[0].clientX - t[1].clientX) || 1;
  u.over.addEventListener("touchmove", event => {
    if (event.touches.length !== 2) return;
    event.preventDefault();
    const now = gap(event.touches), left = u.over.getBoundingClientRect().left;
    const centre = u.posToVal((event.touches[0].clientX + event.touches[1].clientX) / 2 - left, "x");
    if (last) zoom(u, last / now, centre);
    last = now;
  }, {passive: false});
  u.over.addEventListener("touchend", () => { last = null; });
}

function gallery() {
  const which = at("which"), box = at("gallery");
  which.replaceChildren(...section.drawn.map(row => element("option", {value: String(row), selected: row === state.row}, section.sensors[row])));
  box.replaceChildren();
  if (section.drawn.length < 2 || !section.drawings.some(Boolean)) return;
  section.drawn.forEach((row, d) => {
    const canvas = element("canvas", {width: 260, height: 68});
    const button = element("button", {type: "button", "aria-current": String(row === state.row), "data-row": String(row)},
      element("span", {}, element("b", {}, section.sensors[row]), show("mse", errors.mse[state.entry][row])), canvas);
    button.onclick = () => pick(row);
    box.append(button);
    miniature(canvas, d);
  });
}
function miniature(canvas, d) {
  const tables = tablesOf(d), ctx = canvas.getContext("2d"), {width, height} = canvas;
  const wanted = tables.flatMap(t => t.columns.filter(c => c.what === "truth" || (c.what === "forecast" && c.entry === state.entry)).map(c => ({...c, times: t.times})));
  const all = wanted.flatMap(c => c.values).filter(v => v != null);
  if (!all.length) return;
  const low = all.reduce((a, b) => Math.min(a, b)), high = all.reduce((a, b) => Math.max(a, b));
  const from = Math.min(...tables.map(t => t.times[0])), to = Math.max(...tables.map(t => t.times[t.times.length - 1]));
  const X = t => (t - from) / (to - from || 1) * width, Y = v => height - 3 - (v - low) / (high - low || 1) * (height - 6);
  for (const [status, name] of [[MISSING, "--missing"], [WITHHELD, "--withheld-span"]]) {
    ctx.fillStyle = css(name);
    for (const [a, b] of spansOf(tables[0], status)) ctx.fillRect(X(a), 0, Math.max(1, X(b) - X(a)), height);
  }
  for (const c of wanted) {
    ctx.strokeStyle = c.what === "truth" ? css("--truth") : colour(c.entry);
    ctx.lineWidth = 2;
    ctx.beginPath();
    let down = false;
    c.values.forEach((v, i) => {
      if (v == null) { down = false; return; }
      down ? ctx.lineTo(X(c.times[i]), Y(v)) : ctx.moveTo(X(c.times[i]), Y(v));
      down = true;
    });
    ctx.stroke();
  }
}
function pick(row) {
  state.row = row;
  const before = main && {...main.scales.x};
  plots = plots.filter(p => p !== main);
  main?.destroy();
  sensor();
  if (main && before?.min != null) main.setScale("x", {min: before.min, max: before.max});
  at("which").value = String(row);
  document.querySelectorAll("#gallery button").forEach(b => b.setAttribute("aria-current", String(Number(b.dataset.row) === row)));
  document.querySelectorAll("#map circle").forEach(c => c.classList.toggle("chosen", Number(c.dataset.row) === row));
}

/* The map: a sensor's colour is its place between the least and the greatest error, by ratio. */
const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]].reverse();
function ramp(share) {
  const place = Math.min(.9999, Math.max(0, share)) * (RAMP.length - 1), i = Math.floor(place);
  return `rgb(${RAMP[i].map((c, k) => Math.round(c + (RAMP[i + 1][k] - c) * (place - i))).join(",")})`;
}
function map() {
  at("map-section").hidden = !section.positions;
  if (!section.positions) return;
  const [x, y] = section.positions.map(floats), mse = errors.mse[state.entry];
  const rows = section.sensors.map((_, i) => i).filter(i => isFinite(x[i]) && isFinite(y[i]));
  const fold = (f, of) => rows.reduce((a, i) => f(a, of[i]), of[rows[0]]);
  const [left, right, top, bottom] = [fold(Math.min, x), fold(Math.max, x), fold(Math.min, y), fold(Math.max, y)];
  const size = Math.max(right - left, bottom - top) || 1, r = size * Math.min(.028, .35 / Math.sqrt(rows.length)), edge = 2.2 * r;
  const known = rows.map(i => mse[i]).filter(v => v > 0);
  const low = known.reduce((a, b) => Math.min(a, b), Infinity), high = known.reduce((a, b) => Math.max(a, b), 0);
  const share = v => high > low ? Math.log(v / low) / Math.log(high / low) : 0;
  const svg = [`<svg viewBox="${left - edge} ${top - edge} ${right - left + 2 * edge} ${bottom - top + 2 * edge}" role="img" aria-label="map of the sensors">`];
  for (const i of rows) {
    const fill = isFinite(mse[i]) ? ramp(share(mse[i] || low)) : "none";
    svg.push(`<circle data-row="${i}" class="${i === state.row ? "chosen" : ""}" cx="${x[i]}" cy="${y[i]}" r="${r}" fill="${fill}" stroke-width="${r * .22}"><title></title></circle>`);
    if (rows.length <= 100) svg.push(`<text x="${x[i]}" y="${y[i] - r * 1.25}" font-size="${r * 1.05}" data-name="${i}"></text>`);
  }
  at("map").innerHTML = svg.join("") + "</svg>";
  at("map").querySelectorAll("circle").forEach(c => {
    const i = Number(c.dataset.row);
    c.firstChild.textContent = `${section.sensors[i]}: MSE ${number(mse[i])}`;
    c.onclick = () => { if (section.drawn.includes(i)) pick(i); };
  });
  at("map").querySelectorAll("text").forEach(t => { t.textContent = section.sensors[Number(t.dataset.name)]; });
  const bar = element("span", {class: "ramp"});
  bar.style.background = `linear-gradient(90deg, ${[0, .25, .5, .75, 1].map(ramp).join(",")})`;
  at("map-note").replaceChildren(`MSE of ${section.entries[state.entry].label}: `,
    element("span", {class: "whole"}, number(low), bar, number(high)),
    rows.length < section.sensors.length ? ` · ${section.sensors.length - rows.length} without a position` : "");
}

/* The small charts: a line an entry. */
function chart(id, x, rows, labels, options = {}) {
  const box = at(id), all = rows.flat().filter(v => v > 0), ratio = Math.max(...all) / Math.min(...all);
  box.replaceChildren();
  if (!all.length) { box.textContent = "Nothing to show."; return; }
  const log = options.log && ratio > 30;
  const series = rows.map((_, e) => ({label: section.entries[e].label, stroke: colour(e), dash: dash(e), width: 1.75,
    points: {show: true, size: 6, fill: colour(e)}, value: (u, v) => v == null ? "–" : (options.format ?? number)(v)}));
  const u = new uPlot({
    width: widthOf(id), height: 250, cursor: {drag: {x: false, y: false}, points: {show: false}},
    scales: {x: {time: false, range: [x[0] - options.room, x[x.length - 1] + options.room]},
      y: log ? {distr: 3, range: decades} : {range: options.range ?? ((u, low, high) => [Math.min(0, low), high * 1.05 || 1])}},
    series: [{label: options.name, value: (u, v) => v == null ? "–" : labels(v)}, ...series],
    axes: [axis({values: (u, splits) => splits.map(labels), incrs: options.incrs ?? [1]}),
      axis({size: 56, values: (u, splits) => splits.map(v => v == null ? "" : (options.tick ?? (t => String(+t.toPrecision(3))))(v))})],
    hooks: options.hooks ?? {},
  }, [x, ...rows.map(r => log ? r.map(v => v > 0 ? v : null) : r)], box);
  plots.push(u);
}
/* Whole decades, six at most: an error that is a rounding is none. */
function decades(u, low, high) {
  if (!(high > 0)) return [.1, 1];
  const top = Math.ceil(Math.log10(high)), bottom = Math.floor(Math.log10(Math.max(low, high * 1e-6)));
  return [10 ** Math.min(bottom, top - 1), 10 ** top];
}
function hours() {
  const x = Array.from({length: 24}, (_, h) => h);
  chart("hours", x, section.hours, v => String(v).padStart(2, "0"), {name: "hour", log: true, room: .5, incrs: [1, 2, 3, 6]});
  at("hours-note").textContent = "Mean squared error of all sensors together, by the hour in UTC in which the step begins.";
}
const age = v => data.gapAges[v] ?? "";
function byGap() {
  const x = data.gapAges.map((_, i) => i);
  chart("gaps", x, section.gaps.mse, age, {name: "missing for", log: true, room: .3});
}
function coverage() {
  const x = data.gapAges.map((_, i) => i), levels = [...new Set(section.entries.map(e => e.level).filter(v => v != null))];
  const nominal = u => {
    u.ctx.save(); u.ctx.strokeStyle = css("--soft"); u.ctx.setLineDash([5, 5]);
    for (const level of levels) {
      const y = u.valToPos(level, "y", true);
      u.ctx.beginPath(); u.ctx.moveTo(u.bbox.left, y); u.ctx.lineTo(u.bbox.left + u.bbox.width, y); u.ctx.stroke();
    }
    u.ctx.restore();
  };
  chart("coverage", x, section.gaps.coverage, age, {name: "missing for", room: .3, range: [0, 1.02], format: percent,
    tick: v => Math.round(100 * v) + " %", hooks: {drawAxes: [nominal]}});
  at("coverage-note").textContent = "Share of the truth that lay in its interval, by how long the sensor had been missing. Dashed: what was asked for.";
}

/* The table of every sensor. */
function sensors() {
  const metric = errors[state.metric], wanted = state.find.toLowerCase();
  let rows = section.sensors.map((_, i) => i).filter(i => section.sensors[i].toLowerCase().includes(wanted));
  const by = state.sort ?? state.entry;
  if (by === "name") { if (state.down) rows.reverse(); }
  else {
    const size = i => Number.isNaN(metric[by][i]) ? -Infinity : metric[by][i];
    rows.sort((a, b) => (state.down ? size(b) - size(a) : size(a) - size(b)) || a - b);
  }
  const pages = Math.max(1, Math.ceil(rows.length / ROWS));
  state.page = Math.min(Math.max(0, state.page), pages - 1);
  const less = section.sensors.length < section.targets ? ` (the worst of ${count(section.targets)})` : "";
  at("pages").textContent = `${count(rows.length)} sensors${less}, page ${state.page + 1} of ${pages}`;
  const order = state.down ? "descending" : "ascending";
  const head = ["name", ...section.entries.keys()].map(c => element("th",
    {"data-sort": String(c), ...(c === by ? {"aria-sort": order} : {})}, c === "name" ? "sensor" : section.entries[c].label));
  const body = rows.slice(state.page * ROWS, (state.page + 1) * ROWS).map(i => element("tr",
    section.drawn.includes(i) ? {class: "drawn", "data-row": String(i)} : {},
    element("td", {}, section.sensors[i]), ...metric.map(m => element("td", {}, show(state.metric, m[i])))));
  at("sensors").replaceChildren(element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body)));
}

/* Counts that add up; config and versions. */
function counts() {
  const names = ["used", "late", "duplicate", "rejected", "invalid"];
  at("counts").replaceChildren(...data.runs.flatMap(run => {
    const title = data.runs.length > 1 ? [element("h3", {}, run.label)] : [];
    const parts = [];
    if (run.counts) parts.push(...sum("readings", run.counts.read, names.map(n => [n, run.counts[n] ?? 0])));
    if (run.statuses) parts.push(...sum("forecasts", run.forecasts, Object.entries(run.statuses)));
    return [...title, ...parts];
  }));
}
function sum(what, whole, parts) {
  const total = parts.reduce((a, [, n]) => a + n, 0), right = total === whole;
  const bar = element("div", {class: "sum"});
  const line = element("p", {}, `${count(whole)} ${what} = `);
  parts.forEach(([name, n], i) => {
    const part = element("span", {title: `${name}: ${count(n)}`});
    part.style.cssText = `width:${100 * n / Math.max(1, total)}%;background:var(--c${i})`;
    bar.append(part);
    const mark = key(i); mark.style.background = `var(--c${i})`;
    line.append(i ? " + " : "", mark, `${count(n)} ${name}`);
  });
  line.append(" ", element("span", {class: right ? "good" : "bad"}, right ? "✓ adds up" : `✗ the parts make ${count(total)}`));
  return [line, bar];
}
function about() {
  at("about").replaceChildren(...data.runs.flatMap(run => [
    element("p", {}, element("b", {}, `${run.label}: `), `${run.state}, began ${run.began ?? "–"}, ended ${run.ended ?? "–"}; ` +
      Object.entries(run.versions ?? {}).map(([k, v]) => `${k} ${v}`).join(", ") + `; ${Object.values(run.machine ?? {}).join(", ")}`),
    element("details", {}, element("summary", {}, "the config as run"), element("pre", {}, run.config)),
  ]));
}

/* What a hand does. */
document.addEventListener("click", event => {
  const target = event.target.closest("[data-go],[data-zoom],[data-move],[data-page],[data-sort],tr[data-row]");
  if (!target) return;
  const of = target.dataset;
  if (of.go) {
    const D = section.drawn, d = D.indexOf(state.row) + Number(of.go);
    pick(D[(d + D.length) % D.length]);
  } else if (of.zoom && main) zoom(main, Number(of.zoom));
  else if (of.move && main) {
    const {min, max} = main.scales.x, by = (max - min) * Number(of.move);
    within(main, min + by, max + by);
  } else if (of.page) { state.page += Number(of.page); sensors(); }
  else if (of.sort) {
    const by = of.sort === "name" ? "name" : Number(of.sort);
    state.down = (state.sort ?? state.entry) === by ? !state.down : by !== "name";
    state.sort = by; state.page = 0; sensors();
  } else if (of.row) { pick(Number(of.row)); at("sensor").scrollIntoView({behavior: "smooth"}); }
});
at("which").onchange = event => pick(Number(event.target.value));
at("metric").onchange = event => { state.metric = event.target.value; sensors(); };
at("find").oninput = event => { state.find = event.target.value; state.page = 0; sensors(); };
let resizing = 0;
addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(() => plots.forEach(p => p.setSize({width: Math.max(240, p.root.parentNode.clientWidth), height: p.height})), 100);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);
const paper = wanted => {
  document.documentElement.classList.toggle("paper", wanted);
  document.querySelectorAll("#about details").forEach(d => { d.open = wanted; });
  render();
  if (wanted) plots.forEach(p => p.setSize({width: p === main ? 680 : 330, height: p === main ? 300 : 220}));
};
addEventListener("beforeprint", () => paper(true));
addEventListener("afterprint", () => paper(false));

at("metric").append(...METRICS.map(m => element("option", {value: m.name, title: m.about}, m.title)), element("option", {value: "n"}, "n"));
counts(); about();
data.sections.length ? choose(0) : render();
document.documentElement.dataset.drawn = String(plots.length);
})();
