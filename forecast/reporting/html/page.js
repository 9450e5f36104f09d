// The other charts, the colours, and the start.

const data = JSON.parse(document.getElementById("payload").textContent);
const colourOf = (model) => Math.max(0, data.models.indexOf(model)) % COLOURS;

// A forecaster that did not finish every series is never shown without saying so.
const nameOf = (model) => (data.parts[model] ? `${model} (${data.parts[model]})` : model);

function reveal(name) {
  document.getElementById("card-" + name).hidden = false;
  return document.getElementById(name);
}

// Ticks of steps ahead: the first one is always named.
function fromOne(low, high, count) {
  const ticks = stepTicks(low, high, count).filter(({ at }) => at === low || at - low > (high - low) / (3 * count));
  return ticks.some(({ at }) => at === low) ? ticks : [{ at: low, text: String(low) }, ...ticks];
}

function stepChart() {
  const host = reveal("steps"), curves = data.steps;
  legend(host, curves.map(([model]) => ["c" + colourOf(model), nameOf(model)]));
  drawn(() => {
    const [low, high] = extent(curves.flatMap(([, , ys]) => ys), true);
    const steps = [...new Set(curves.flatMap(([, xs]) => xs))].sort((a, b) => a - b);
    const plot = frame(host, {
      title: "Error by step ahead",
      x: { low: steps[0], high: Math.max(steps[steps.length - 1], steps[0] + 1), ticks: fromOne, label: "steps ahead" },
      y: { low, high: high * 1.06, ticks: linearTicks, label: data.stepMetric },
    });
    [...curves].reverse().forEach(([model, xs, ys]) => {
      line(plot, xs, ys, `s${colourOf(model)} ${colourOf(model) ? "" : "thick"}`);
      if (xs.length <= 30 && !colourOf(model)) dots(plot, xs, ys, "f0", 3);
    });
    cursor(plot, steps, (i) => ({
      title: `${steps[i]} ${steps[i] === 1 ? "step" : "steps"} ahead`,
      rows: curves.map(([model, xs, ys]) => ["c" + colourOf(model), model, number(ys[xs.indexOf(steps[i])])]),
    }));
  });
}

function reliabilityChart() {
  const host = reveal("reliability"), curves = data.reliability, ties = Math.max(...curves.map(([, , , tied]) => tied));
  if (ties > 0.02) document.getElementById("ties").textContent = ` ${percent(ties)} of the values are equal to the lowest quantile (zeros, mostly): no curve can begin below that share.`;
  legend(host, curves.map(([model]) => ["c" + colourOf(model), nameOf(model)]));
  drawn(() => {
    const share = { low: 0, high: 1, ticks: () => [0, 0.2, 0.4, 0.6, 0.8, 1].map((at) => ({ at, text: 100 * at + "%" })) };
    const plot = frame(host, {
      title: "Promised and observed shares",
      x: { ...share, label: "promised" }, y: { ...share, label: "observed" },
    });
    line(plot, [0, 1], [0, 1], "s-soft dotted");
    [...curves].reverse().forEach(([model, xs, ys]) => {
      line(plot, xs, ys, "s" + colourOf(model));
      dots(plot, xs, ys, "f" + colourOf(model), 3.6);
    });
    const promised = [...new Set(curves.flatMap(([, xs]) => xs))].sort((a, b) => a - b);
    cursor(plot, promised, (i) => ({
      title: `promised ${percent(promised[i])}`,
      rows: curves.filter(([, xs]) => xs.includes(promised[i]))
        .map(([model, xs, ys]) => ["c" + colourOf(model), model, percent(ys[xs.indexOf(promised[i])])]),
    }));
  });
}

function residualChart() {
  const host = reveal("residuals"), keys = document.getElementById("residual-keys");
  let chosen = 0;
  data.residuals.forEach(([model], i) => {
    const key = html("button");
    key.type = "button";
    key.append(html("i", "", "c" + colourOf(model)), nameOf(model));
    key.addEventListener("click", () => { chosen = i; draw(); });
    if (data.residuals.length > 1) keys.append(key);
  });
  function draw() {
    [...keys.children].forEach((key, i) => key.setAttribute("aria-pressed", String(i === chosen)));
    const [model, values, limit] = data.residuals[chosen];
    const [low, high] = extent([...values, limit, -(limit ?? 0), 0.25, -0.2]);
    const plot = frame(host, {
      title: `Autocorrelation of the errors of ${model}`,
      x: { low: 0.4, high: values.length + 0.6, ticks: (a, b, n) => stepTicks(1, b, n), label: "lag (steps)" },
      y: { low: Math.max(-1, low * 1.1), high: Math.min(1, high * 1.1), ticks: (a, b, n) => linearTicks(a, b, Math.max(n, 6)), label: "correlation" },
    });
    if (limit !== null) {
      const top = plot.Y(limit);
      svg("rect", { class: "strip", x: plot.box.left, y: top, width: plot.box.right - plot.box.left, height: plot.Y(-limit) - top }, plot.layer);
    }
    const wide = Math.max(1, Math.min(18, 0.62 * (plot.X(2) - plot.X(1))));
    values.forEach((value, i) => {
      if (value === null) return;
      const y = Math.min(plot.Y(value), plot.Y(0)), height = Math.abs(plot.Y(value) - plot.Y(0));
      svg("rect", { class: "f" + colourOf(model), x: plot.X(i + 1) - wide / 2, y, width: wide, height, rx: 1.5 }, plot.layer);
    });
    cursor(plot, values.map((_, i) => i + 1), (i) => ({
      title: `lag ${i + 1}`, rows: [["c" + colourOf(model), model, number(values[i], 3)]],
    }));
  }
  drawn(draw);
}

function learningChart() {
  const host = reveal("learning"), curves = data.learning;
  legend(host, curves.slice(0, 12).map((curve, i) => ["c" + (i % COLOURS), curve.name]));
  drawn(() => {
    const xs = curves.flatMap((c) => [...c.training[0], ...c.validation[0], ...c.rate[0]]);
    const ys = curves.flatMap((c) => [...c.training[1], ...c.validation[1]]);
    const [first, last] = extent(xs), [low, high] = extent(ys), log = low > 0 && high / low > 12;
    const x = { low: first, high: last, ticks: linearTicks };
    const room = 58; // for the learning rate's figures, which are the wider ones
    const plot = frame(host, {
      title: "Loss by training step", x, room,
      y: { low: log ? low : Math.max(low > 0 ? 0 : -Infinity, low - 0.08 * (high - low)), high: log ? high : high + 0.04 * (high - low), log, ticks: log ? logTicks : linearTicks, label: "loss" },
    });
    curves.forEach((curve, i) => {
      line(plot, ...curve.training, `s${i % COLOURS} thin`);
      line(plot, ...curve.validation, `s${i % COLOURS} thick`);
      const best = curve.validation[1].indexOf(Math.min(...curve.validation[1]));
      if (best >= 0) dots(plot, [curve.validation[0][best]], [curve.validation[1][best]], "f-actual", 4);
    });
    const steps = [...new Set(curves.flatMap((c) => c.validation[0].length ? c.validation[0] : c.training[0]))].sort((a, b) => a - b);
    const at = ([sx, sy], step) => sy[sx.indexOf(step)] ?? null;
    cursor(plot, steps, (i) => ({
      title: `step ${number(steps[i])}`,
      rows: curves.slice(0, 8).flatMap((c, k) => [
        ["c" + (k % COLOURS), `${c.name}, held out`, number(at(c.validation, steps[i]))],
        ["c" + (k % COLOURS), `${c.name}, training`, number(at(c.training, steps[i]))],
      ]).filter(([, , text]) => text !== "–"),
    }));
    const rates = curves.flatMap((c) => c.rate[1]), strip = document.getElementById("rate");
    strip.hidden = !rates.length;
    if (!rates.length) return;
    const small = frame(strip, {
      title: "Learning rate by training step", x: { ...x, label: "step" }, room,
      y: { low: 0, high: extent(rates, true)[1] * 1.05, ticks: linearTicks, label: "learning rate" },
    });
    curves.forEach((curve, i) => line(small, ...curve.rate, "s" + (i % COLOURS)));
  });
}

function versusChart(choose) {
  const rival = rivalOf(data), first = data.models[0], second = data.models[rival], items = data.packed.items;
  const points = items.map((item, i) => ({ i, name: item[0], y: item[1][0], x: item[1][rival] })).filter((p) => p.x > 0 && p.y > 0);
  if (!rival || points.length < 3) return;
  const host = reveal("versus"), metric = data.headline;
  const won = points.filter((p) => p.y < p.x).length;
  document.getElementById("versus-hint").textContent =
    `Each dot is a series. Below the line ${first} is the better one: ${won} of ${number(points.length)} shown. Select a dot to see its forecast.`;
  drawn(() => {
    const [low, high] = extent(points.flatMap((p) => [p.x, p.y]));
    const log = high / low > 12;
    const side = { low: log ? low / 1.15 : 0, high: high * (log ? 1.15 : 1.05), log, ticks: log ? logTicks : linearTicks };
    const plot = frame(host, {
      title: `${metric} of ${first} against ${second}, series by series`,
      x: { ...side, label: `${metric} of ${second}` }, y: { ...side, label: `${metric} of ${first}` },
    });
    const corner = (x, y) => `${plot.X(x)} ${plot.Y(y)}`;
    svg("path", { class: "half", d: `M${corner(side.low, side.low)}L${corner(side.high, side.low)}L${corner(side.high, side.high)}Z` }, plot.layer);
    line(plot, [side.low, side.high], [side.low, side.high], "s-soft dotted");
    for (const p of points) {
      const dot = svg("circle", { class: "point f" + (p.y < p.x ? 0 : rival % COLOURS), cx: plot.X(p.x).toFixed(1), cy: plot.Y(p.y).toFixed(1), r: points.length > 400 ? 3 : 4.5 }, plot.layer);
      dot.addEventListener("pointerenter", (event) => showTip(event, {
        title: p.name, rows: [["c0", first, number(p.y, 3)], ["c" + (rival % COLOURS), second, number(p.x, 3)]],
      }));
      dot.addEventListener("pointerleave", hideTip);
      dot.addEventListener("click", () => { choose(p.i); document.querySelector(".explorer").scrollIntoView({ behavior: "smooth" }); });
    }
  });
}

function scoreTable() {
  const button = document.getElementById("all-metrics"), table = document.getElementById("scores");
  if (!button) return;
  const show = (all) => {
    table.classList.toggle("short", !all);
    button.setAttribute("aria-pressed", String(all));
    document.getElementById("meanings").classList.toggle("short", !all);
    button.textContent = all ? "Fewer metrics" : "All metrics";
  };
  button.hidden = false;
  button.addEventListener("click", () => show(table.classList.contains("short")));
  show(false);
}

colours();
scoreTable();
const choose = data.packed.items.length ? explorer(data) : null;
if (data.steps.length) stepChart();
if (choose && data.models.length > 1) versusChart(choose);
if (data.reliability.length) reliabilityChart();
if (data.residuals.length) residualChart();
if (data.learning.length) learningChart();

drawings.forEach((draw) => draw());
redrawnWhenResized();
