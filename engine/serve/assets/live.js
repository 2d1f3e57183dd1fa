(() => {
/* Numbers and text. */
const short = x => x == null ? "–" : String(Number(x.toPrecision(6)));
const when = s => s == null ? "–" : new Date(s * 1000).toISOString().slice(0, 19).replace("T", " ").replace(/:00$/, "");
function lasting(s) {
  if (s == null || !isFinite(s)) return "–";
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  const i = units.findIndex(([size]) => s >= size), [size, name] = units[i];
  const rest = i < 3 && s < 10 * size ? Math.floor(s % size / units[i + 1][0]) : 0;
  return `${count(Math.floor(s / size))} ${name}` + (rest ? ` ${rest} ${units[i + 1][1]}` : "");
}
const horizon = h => h === 0 ? "" : h > 0 ? `, ${h} step${h > 1 ? "s" : ""} ahead` : `, ${-h} step${h < -1 ? "s" : ""} later`;

/* What is known. */
const known = {sensors: [], quantities: [], names: [], state: [], arrived: []};
let status = null, series = null, chosen = null, wanted = "", only = null, view = [], chart = null, asking = false, entries = "";
const several = () => new Set(known.quantities).size > 1;
const label = i => known.sensors[i] + (several() ? ` · ${known.quantities[i]}` : "");

/* The run. */
function figures() {
  const p = status.progress, unused = p.late + p.duplicate + p.rejected + p.invalid;
  const checkpoint = p.checkpoint ? `${lasting(Math.max(0, status.now - p.checkpoint[0]))} ago` : "none yet";
  const lag = p.watermark == null ? null : status.now - p.watermark;
  const shown = [
    ["readings a second", count(p.rate), `${count(p.readings)} read`],
    ["event time reached", p.watermark == null ? "–" : when(p.watermark).slice(11), p.watermark == null ? "" : `${when(p.watermark).slice(0, 10)} UTC`],
    ["behind the clock", lasting(lag), lag > 86400 ? "a record of the past, or far behind" : "lag"],
    ["readings used", count(p.used), `${count(unused)} not: ${p.late} late, ${p.duplicate} twice, ${p.rejected} rejected, ${p.invalid} invalid`],
    ["forecasts written", count(status.rows.final), `and ${count(status.rows.ahead)} ahead of their time`],
    ["epochs", count(p.epochs), `${count(p.steps)} steps closed`],
    ["workers", `${p.alive} of ${p.workers}`, `${p.shards} shards`],
    ["last checkpoint", checkpoint, p.checkpoint ? `took ${lasting(p.checkpoint[1])}` : ""],
  ];
  at("figures").replaceChildren(...shown.map(([name, value, more]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value, element("small", {}, more)))));
  at("state").textContent = status.state;
  at("state").className = "pill " + (status.state === "running" ? "running" : "");
  at("doing").textContent = status.state === "running" ? `for ${lasting(status.now - status.began)}; in steps of ${lasting(status.interval)}` : status.doing;
}
function scores() {
  const best = {};
  for (const s of status.scores) if (s.mse != null) best[s.quantity] = Math.min(best[s.quantity] ?? Infinity, s.mse);
  const head = ["model", "quantity", "mean squared error", "mean absolute error", "coverage", "nominal", "forecasts scored"];
  const rows = status.scores.map(s => element("tr", {}, ...[
    [s.model + horizon(s.horizon)], [s.quantity], [number(s.mse), s.mse != null && s.mse === best[s.quantity] ? "best" : ""], [number(s.mae)],
    [percent(s.coverage), s.coverage != null && s.n > 100 && Math.abs(s.coverage - s.level) > .1 ? "off" : ""], [percent(s.level)], [count(s.n)],
  ].map(([text, kind]) => element("td", kind ? {class: kind} : {}, text))));
  at("scores").replaceChildren(element("table", {}, element("thead", {}, element("tr", {}, ...head.map(h => element("th", {}, h)))), element("tbody", {}, ...rows)));
}
function warnings() {
  at("warnings").replaceChildren(...(status.warnings.length
    ? status.warnings.map(w => element("p", {class: w.level}, element("span", {class: "note"}, `${when(w.moment)} UTC `), w.text))
    : [element("p", {class: "note"}, "None so far.")]));
}

/* Sensors: only the rows that can be seen are in the page. */
function tally() {
  const counts = known.names.map(() => 0);
  for (const s of known.state) counts[s]++;
  at("states").replaceChildren(...known.names.map((name, i) => {
    const button = element("button", {type: "button", "aria-pressed": String(only === i), "data-state": name}, element("span", {class: `dot ${name}`}), ` ${name} ${count(counts[i])}`);
    button.onclick = () => { only = only === i ? null : i; sift(); tally(); };
    return button;
  }));
}
function sift() {
  const find = wanted.toLowerCase();
  view = [];
  known.sensors.forEach((s, i) => {
    if ((only == null || known.state[i] === only) && (!find || label(i).toLowerCase().includes(find))) view.push(i);
  });
  at("found").textContent = view.length === known.sensors.length ? count(view.length) : `${count(view.length)} of ${count(known.sensors.length)}`;
  rows();
}
function gone(i) {
  const name = known.names[known.state[i]];
  if (name === "ok" || name === "rejected") return name;
  return known.arrived[i] == null || !status || status.last == null ? name : `${name} for ${lasting(status.last - known.arrived[i])}`;
}
function rows() {
  const list = at("list"), high = innerWidth <= 560 ? 40 : 32;
  const first = Math.max(0, Math.floor(list.scrollTop / high) - 5), last = Math.min(view.length, first + Math.ceil(list.clientHeight / high) + 10);
  at("rows").style.height = `${view.length * high}px`;
  at("rows").replaceChildren(...view.slice(first, last).map((i, k) => {
    const button = element("button", {type: "button", "data-row": String(i), "aria-current": String(i === chosen)},
      element("span", {class: `dot ${known.names[known.state[i]]}`}), element("b", {}, label(i)), element("span", {}, gone(i)));
    button.style.top = `${(first + k) * high}px`;
    button.onclick = () => choose(i);
    return button;
  }));
}

/* One series: what came, what was said, what is said of what is to come. */
function choose(i) {
  chosen = i; series = null;
  at("title").textContent = `Sensor ${known.sensors[i]} · ${known.quantities[i]}`;
  rows(); picker(); ask();
}
function picker() {
  const of = status.scores.filter(s => s.quantity === known.quantities[chosen]), now = JSON.stringify(of.map(s => [s.model, s.horizon]));
  if (now === entries) return;
  entries = now;
  const best = of.filter(s => s.mse != null && s.horizon <= 0).sort((a, b) => a.mse - b.mse)[0] ?? of[0];
  at("entry").replaceChildren(...of.map(s => element("option", {value: JSON.stringify([s.model, s.horizon]), selected: s === best}, s.model + horizon(s.horizon))));
}
async function ask() {
  if (asking || chosen == null || !at("entry").value) return;
  asking = true;
  const i = chosen, [model] = JSON.parse(at("entry").value);
  try {
    const asked = new URLSearchParams({sensor: known.sensors[i], quantity: known.quantities[i], model});
    const fresh = !series || series.model !== model || series.epochs > status.epochs;
    if (!fresh && series.from != null) asked.set("from", String(series.from));
    const epochs = status.epochs, answer = await fetch(`api/series?${asked}`);
    if (answer.ok && i === chosen) { merge(await answer.json(), fresh, model, epochs); draw(); }
  } catch { /* the stream says that the run is gone */ } finally { asking = false; }
  if (i !== chosen || JSON.parse(at("entry").value)[0] !== model) ask();
}
function merge(told, fresh, model, epochs) {
  const keep = fresh ? 0 : series.times.findIndex(t => t >= series.from), cut = keep < 0 ? series.times.length : keep;
  const join = (old, now) => fresh ? now : old.slice(0, cut).concat(now).slice(-4000);
  const lines = told.entries.map((e, k) => ({...e, ...Object.fromEntries(["forecast", "lower", "upper"].map(n => [n, join(series?.entries?.[k]?.[n] ?? [], e[n])]))}));
  series = {model, epochs, times: join(series?.times ?? [], told.times), truth: join(series?.truth ?? [], told.truth), status: join(series?.status ?? [], told.status), entries: lines};
  const final = series.status.findLastIndex(s => s !== "ahead"), lag = Math.max(0, ...lines.map(e => -e.horizon));
  series.from = final < 0 ? null : series.times[Math.max(0, final - lag)];
  series.last = final < 0 ? null : series.times[final];
}
/* Of the chosen entry what was said of steps that have come; of steps to come what the model said last. */
function columns() {
  const [model, h] = JSON.parse(at("entry").value), own = series.entries.find(e => e.model === model && e.horizon === h);
  const ahead = series.entries.filter(e => e.model === model && e.horizon > 0).sort((a, b) => a.horizon - b.horizon);
  const from = at("span").value === "0" ? 0 : Math.max(0, series.times.length - Number(at("span").value));
  const rows = series.times.map((_, i) => i).slice(from);
  const to = i => ahead.find(e => e.forecast[i] != null);
  const past = name => rows.map(i => series.status[i] === "ahead" ? null : own?.[name][i] ?? null);
  const come = name => rows.map(i => series.status[i] === "ahead" ? to(i)?.[name][i] ?? null : null);
  return {
    times: rows.map(i => series.times[i]), status: rows.map(i => series.status[i]),
    truth: rows.map(i => series.status[i] === "rejected" ? null : series.truth[i]),
    rejected: rows.map(i => series.status[i] === "rejected" ? series.truth[i] : null),
    forecast: past("forecast"), lower: past("lower"), upper: past("upper"),
    ahead: come("forecast"), aheadLower: come("lower"), aheadUpper: come("upper"),
  };
}
const LINES = ["truth", "rejected", "forecast", "lower", "upper", "ahead", "aheadLower", "aheadUpper"];
function shade(u) {
  const {left, top, width, height} = u.bbox, of = u.shown, step = status?.interval ?? 1;
  u.ctx.save();
  u.ctx.beginPath(); u.ctx.rect(left, top, width, height); u.ctx.clip();
  of.times.forEach((t, i) => {
    const name = {missing: "--gap", withheld: "--withheld"}[of.status[i]];
    if (!name) return;
    const from = Math.round(u.valToPos(t - step / 2, "x", true)), to = Math.round(u.valToPos(t + step / 2, "x", true));
    u.ctx.fillStyle = css(name);
    u.ctx.fillRect(from, top, Math.max(1, to - from), height);
  });
  if (series.last != null) {
    u.ctx.fillStyle = css("--soft");
    u.ctx.fillRect(Math.round(u.valToPos(series.last + step / 2, "x", true)), top, 1, height);
  }
  u.ctx.restore();
}
const axis = more => ({stroke: () => css("--soft"), grid: {stroke: () => css("--grid"), width: 1}, ticks: {stroke: () => css("--grid"), width: 1}, labelFont: "12px sans-serif", labelSize: 18, ...more});
function ticks(u, splits, index, space, step) {
  let day = "";
  return splits.map(s => {
    const text = new Date(s * 1000).toISOString(), now = text.slice(5, 10), clock = text.slice(11, step < 60 ? 19 : 16);
    const out = step >= 86400 ? now : now === day ? clock : `${clock}\n${now}`;
    day = now;
    return out;
  });
}
function make(of) {
  const value = (u, v) => short(v), hidden = {width: 0, stroke: "transparent", points: {show: false}, value};
  const box = at("plot");
  const made = new uPlot({
    width: Math.max(240, box.clientWidth), height: Math.round(Math.min(420, Math.max(260, innerHeight * .5))),
    series: [{label: "UTC", value: (u, v) => when(v)},
      {label: "what came", stroke: () => css("--truth"), width: 2, value, points: {size: 4}},
      {label: "rejected", stroke: () => css("--rejected"), paths: () => null, points: {show: true, size: 7}, value},
      {label: "forecast", stroke: () => css("--said"), width: 1.5, value},
      {label: "lower", ...hidden}, {label: "upper", ...hidden},
      {label: "ahead of now", stroke: () => css("--said"), width: 1.5, dash: [5, 4], value, points: {size: 4}},
      {label: "lower ahead", ...hidden}, {label: "upper ahead", ...hidden}],
    bands: [{series: [5, 4], fill: () => css("--said") + "2e"}, {series: [8, 7], fill: () => css("--said") + "1c"}],
    tzDate: ts => uPlot.tzDate(new Date(ts * 1e3), "Etc/UTC"), cursor: {points: {show: false}},
    axes: [axis({space: 60, values: ticks, label: "time, UTC"}), axis({size: 52, label: known.quantities[chosen]})],
    hooks: {drawClear: [u => u.shown && shade(u)]},
  }, undefined, box);
  box.querySelectorAll(".u-series").forEach((row, i) => row.classList.toggle("unlisted", [4, 5, 7, 8].includes(i)));
  made.of = chosen;
  return made;
}
function draw() {
  if (!series || chosen == null) return;
  const of = columns();
  if (!chart || chart.of !== chosen) { chart?.destroy(); chart = make(of); at("plot").chart = chart; }
  chart.shown = of;
  chart.setData([of.times, ...LINES.map(name => of[name])]);
  at("about-plot").textContent = "Line: what came. Blue: the forecast and its interval, made before the value was seen; dashed: of steps that have not come. " +
    "Amber: nothing came; grey: withheld from the models; diamonds in the list and points here: rejected.";
  newest(of);
  document.documentElement.dataset.drawn = String(series.last);
}
function newest(of) {
  const rows = of.times.map((_, i) => i).slice(-12).reverse();
  const head = ["step begins, UTC", "what came", "forecast", "interval", "status"];
  at("newest").replaceChildren(element("table", {}, element("thead", {}, element("tr", {}, ...head.map(h => element("th", {}, h)))), element("tbody", {}, ...rows.map(i => {
    const [f, l, u] = of.status[i] === "ahead" ? [of.ahead[i], of.aheadLower[i], of.aheadUpper[i]] : [of.forecast[i], of.lower[i], of.upper[i]];
    return element("tr", {}, ...[when(of.times[i]), short(of.truth[i] ?? of.rejected[i]), short(f), l == null ? "–" : `${short(l)} to ${short(u)}`, of.status[i] === "ahead" ? "to come" : of.status[i]].map(t => element("td", {}, t)));
  }))));
}

/* Events: once a second at most. */
async function begin() {
  const answer = await fetch("api/sensors");
  if (!answer.ok) throw new Error();
  Object.assign(known, await answer.json());
  tally(); sift();
  if (chosen == null && known.sensors.length) choose(0);
}
async function hear(event) {
  const told = JSON.parse(event.data), before = status;
  status = told.status;
  document.title = `${status.name} · ${status.state} · gapcast`;
  figures(); scores(); warnings();
  const there = Object.values(status.states).reduce((a, b) => a + b, 0);
  if (there !== known.sensors.length) await begin().catch(() => {});
  let other = false;
  for (const [i, state, arrived] of told.changed) {
    other ||= known.state[i] !== state;
    known.state[i] = state; known.arrived[i] = arrived;
  }
  if (other) { tally(); sift(); } else rows();
  if (chosen == null) return;
  picker();
  if (!before || before.epochs !== status.epochs || !series) ask();
}
function listen() {
  const stream = new EventSource("api/events");
  stream.onmessage = hear;
  stream.onerror = () => {
    at("state").textContent = "the run has ended, or cannot be reached";
    at("state").className = "pill lost";
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  };
}
at("find").oninput = event => { wanted = event.target.value; at("list").scrollTop = 0; sift(); };
at("list").onscroll = rows;
at("entry").onchange = () => { const [model] = JSON.parse(at("entry").value); series?.model === model ? draw() : ask(); };
at("span").onchange = draw;
let resizing = 0;
addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(() => { rows(); chart?.setSize({width: Math.max(240, at("plot").clientWidth), height: chart.height}); }, 100);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { chart?.destroy(); chart = null; draw(); });
if (location.search) history.replaceState(null, "", location.pathname);
listen();
})();
