// The list of series, and the forecast of the chosen one.

const LISTED = 150; // series shown in the list at once
const MISSING = 65535;

function explorer(data) {
  const { items, layouts, axis } = data.packed;
  const $ = (id) => document.getElementById(id);
  const times = unrolled(axis);
  const wished = new Map(); // model -> shown or not, once somebody has said so
  let order = items.map((_, i) => i), shown = [], chosen = 0, view = 0;

  function unpack(index) {
    const [name, scores, charts, remark] = items[index];
    const [place, layout, low, high, thinning, text] = charts[Math.min(view, charts.length - 1)];
    const [past, ahead, keys] = layouts[layout];
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    const numbers = new DataView(bytes.buffer);
    const value = (i) => {
      const whole = numbers.getUint16(2 * i, true);
      return whole === MISSING ? null : low + (whole / (MISSING - 1)) * (high - low);
    };
    const part = (start, count) => Array.from({ length: count }, (_, i) => value(start + i));
    const at = Array.from({ length: past + ahead }, (_, i) => times[Array.isArray(place) ? place[i] : place + i]);
    const curves = keys.map(([model, side, level], k) => ({ model, side, level, values: part(past + k * ahead, ahead) }));
    return { name, scores, remark, views: charts.length, thinning, at, past, ahead, history: part(0, past), curves };
  }

  function sortings() {
    const rival = rivalOf(data), [first, second] = [data.models[0], data.models[rival]], metric = data.headline.toUpperCase();
    const by = (f) => (a, b) => (f(b) ?? -Infinity) - (f(a) ?? -Infinity);
    const score = (i, m) => items[i][1][m];
    const gain = (i) => (score(i, 0) === null || score(i, rival) === null ? null : score(i, rival) - score(i, 0));
    const ways = [["name", (a, b) => items[a][0].localeCompare(items[b][0], "en", { numeric: true })]];
    if (items.some((item) => item[1][0] !== null && item[1][0] !== undefined)) {
      ways.push([`${first}: largest ${metric}`, by((i) => score(i, 0))]);
      ways.push([`${first}: smallest ${metric}`, by((i) => (score(i, 0) === null ? null : -score(i, 0)))]);
      if (rival && items.some((_, i) => gain(i) !== null)) {
        ways.push([`${first} gains most on ${second}`, by(gain)]);
        ways.push([`${first} loses most to ${second}`, by((i) => (gain(i) === null ? null : -gain(i)))]);
      }
    }
    return ways;
  }

  const ways = sortings();
  ways.forEach(([name], i) => $("sort").append(new Option(name, i)));

  function list() {
    const wanted = $("search").value.trim().toLowerCase();
    const matches = order.filter((i) => items[i][0].toLowerCase().includes(wanted));
    shown = matches.slice(0, LISTED);
    $("list").replaceChildren(...shown.map((i) => {
      const row = html("li"), name = html("bdi", items[i][0]);
      const score = items[i][1][0];
      row.id = "series-" + i;
      row.setAttribute("role", "option");
      row.append(name, html("span", score === null || score === undefined ? "" : number(score, 3)));
      row.addEventListener("click", () => choose(i));
      return row;
    }));
    const rest = matches.length - shown.length, out = data.total - items.length;
    $("count").textContent = wanted ? `${matches.length} of ${items.length}` : number(items.length);
    $("more").textContent = [
      matches.length ? "" : "No series of this page has that in its name.",
      rest > 0 ? `${number(rest)} more: type to narrow.` : "",
      out > 0 ? `This page holds ${number(items.length)} of ${number(data.total)} series: the worst, the best and an even choice between.` : "",
    ].filter(Boolean).join(" ");
    mark();
  }

  function mark() {
    for (const row of $("list").children) {
      const selected = row.id === "series-" + chosen;
      row.setAttribute("aria-selected", String(selected));
      if (selected) keepInSight($("list"), row);
    }
    $("list").setAttribute("aria-activedescendant", "series-" + chosen);
  }

  function keepInSight(box, row) { // scrolls the list only, never the page
    const top = row.offsetTop - box.offsetTop, spare = box.clientHeight - row.offsetHeight;
    if (top < box.scrollTop || top > box.scrollTop + spare) box.scrollTop = top - spare / 2;
  }

  function choose(index) {
    chosen = index;
    mark();
    draw();
  }

  function switches(count) {
    $("views").hidden = count < 2;
    [...$("views").children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === view)));
  }

  function keys(entry) {
    const models = [...new Set(entry.curves.map((curve) => curve.model))];
    $("keys").replaceChildren(...models.map((model) => {
      const key = html("button");
      key.type = "button";
      key.append(html("i", "", model === null ? "k-actual" : "c" + colour(model)), model === null ? "actual" : model);
      key.setAttribute("aria-pressed", String(visible(entry, model)));
      key.addEventListener("click", () => { wished.set(model, !visible(entry, model)); draw(); });
      return key;
    }));
  }

  // At first the actual values and two forecasters; a click shows or hides any.
  function visible(entry, model) {
    const models = [...new Set(entry.curves.map((curve) => curve.model).filter((each) => each !== null))];
    const second = data.models[rivalOf(data)];
    const rival = second !== data.models[0] && models.includes(second) ? second : models[1];
    return wished.get(model) ?? (model === null || model === models[0] || model === rival);
  }

  const colour = (model) => Math.max(0, data.models.indexOf(model)) % COLOURS;

  function draw() {
    const entry = unpack(chosen);
    $("name").textContent = entry.name;
    $("own").textContent = data.models
      .map((model, m) => (entry.scores[m] === null || entry.scores[m] === undefined ? "" : `${model} ${number(entry.scores[m], 3)}`))
      .filter(Boolean).map((text, i) => (i ? text : data.headline.toUpperCase() + ": " + text)).join(" · ");
    switches(entry.views);
    keys(entry);
    const curves = entry.curves.filter((curve) => visible(entry, curve.model));
    fan($("fan"), entry, curves);
    const widest = curves.find((curve) => curve.side);
    $("fan-note").textContent = [
      widest ? `Shaded: the ${levels(entry, widest.model).join(" and ")} % intervals of ${widest.model}.` : "",
      entry.remark,
      entry.thinning > 1 ? `Every ${entry.thinning}th step is drawn.` : "",
    ].join(" ");
  }

  const levels = (entry, model) =>
    [...new Set(entry.curves.filter((c) => c.model === model && c.side).map((c) => c.level))];

  function fan(host, entry, curves) {
    const ahead = entry.at.slice(entry.past);
    const main = curves.filter((curve) => !curve.side);
    const [low, high] = limits(entry, curves);
    const ticks = axis.dates ? timeTicks : stepTicks;
    const plot = frame(host, {
      title: `History and forecast of ${entry.name}`,
      x: { low: entry.at[0], high: entry.at[entry.at.length - 1], ticks, label: axis.dates ? "" : "step" },
      y: { low, high, ticks: linearTicks, label: data.packed.unit },
    });
    const models = [...new Set(main.map((curve) => curve.model))].filter((model) => model !== null);
    bands(plot, ahead, curves, models);
    if (entry.past) {
      const middle = plot.X((entry.at[entry.past - 1] + ahead[0]) / 2);
      svg("line", { class: "start", x1: middle, x2: middle, y1: plot.box.top, y2: plot.box.bottom }, plot.picture);
      const right = middle + 64 < plot.width;
      words(plot.picture, "forecast", middle + (right ? 6 : -6), plot.box.top + 8, right ? "start" : "end");
    }
    line(plot, entry.at.slice(0, entry.past), entry.history, "s-history");
    const joined = (values) => [[entry.at[entry.past - 1], ...ahead], [entry.history[entry.past - 1] ?? null, ...values]];
    for (const curve of [...main].reverse()) {
      if (curve.model === null) continue;
      const [xs, ys] = entry.past ? joined(curve.values) : [ahead, curve.values];
      line(plot, xs, ys, `s${colour(curve.model)} ${curve.model === models[0] ? "thick" : "dash"}`);
    }
    const actual = main.find((curve) => curve.model === null);
    if (actual) {
      const roomy = (plot.X(ahead[ahead.length - 1]) - plot.X(ahead[0])) / ahead.length > 5;
      line(plot, ahead, actual.values, "s-actual thin");
      if (roomy) dots(plot, ahead, actual.values, "f-actual", 3.4);
    }
    cursor(plot, entry.at, (i) => told(entry, curves, i));
  }

  function bands(plot, ahead, curves, models) {
    const pair = (model, level) => ["lo", "hi"].map((side) =>
      curves.find((c) => c.model === model && c.level === level && c.side === side).values);
    const of = (model) => [...new Set(curves.filter((c) => c.model === model && c.side).map((c) => c.level))].sort((a, b) => b - a);
    for (const level of models.length ? of(models[0]) : []) {
      area(plot, ahead, ...pair(models[0], level), "f" + colour(models[0]), 0.17);
    }
    for (const level of models.length > 1 ? of(models[1]).slice(0, 1) : []) {
      for (const bound of pair(models[1], level)) line(plot, ahead, bound, `s${colour(models[1])} dotted`);
    }
  }

  // All data and medians fit; bands may ask for as much again, so that no wild band flattens the rest.
  function limits(entry, curves) {
    const core = [entry.history, ...curves.filter((c) => !c.side).map((c) => c.values)].flat();
    let [low, high] = extent(core);
    const room = high - low, positive = core.every((value) => value === null || value >= 0);
    const [bottom, top] = extent([low, high, ...curves.filter((c) => c.side).map((c) => c.values).flat()]);
    low = Math.max(bottom, low - room);
    high = Math.min(top, high + room);
    const margin = 0.05 * (high - low);
    return [positive && low - margin < 0 ? 0 : low - margin, high + margin];
  }

  function told(entry, curves, i) {
    const rows = [];
    if (i < entry.past) rows.push(["k-history", "history", number(entry.history[i])]);
    else for (const curve of curves.filter((c) => !c.side)) {
      const at = i - entry.past, name = curve.model === null ? "actual" : curve.model;
      const key = curve.model === null ? "k-actual" : "c" + colour(curve.model);
      if (curve.values[at] !== null) rows.push([key, name, number(curve.values[at])]);
      const level = levels(entry, curve.model)[0];
      const bound = (side) => curves.find((c) => c.model === curve.model && c.side === side && c.level === level)?.values[at];
      if (level !== undefined && curve.model !== null) rows.push([key, `${level} %`, `${number(bound("lo"))} to ${number(bound("hi"))}`]);
    }
    return { title: timeText(entry.at[i], axis.exact), rows };
  }

  [...$("views").children].forEach((button, i) => button.addEventListener("click", () => { view = i; draw(); }));
  $("search").addEventListener("input", list);
  $("sort").addEventListener("change", () => { order = items.map((_, i) => i).sort(ways[$("sort").value][1]); list(); });
  $("list").addEventListener("keydown", (event) => {
    const move = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 }[event.key];
    if (!move || !shown.length) return;
    event.preventDefault();
    choose(shown[Math.max(0, Math.min(shown.length - 1, Math.max(0, shown.indexOf(chosen)) + move))]);
  });
  $("search").addEventListener("keydown", (event) => { if (event.key === "Enter" && shown.length) choose(shown[0]); });
  order.sort(ways[0][1]);
  chosen = 0; // the first of the data: the middle one by its error
  list();
  drawn(draw);
  return choose;
}

// Place of the forecaster to compare the first one with: the rival that the run names, else the next
// that has scores of its own; 0 if none.
function rivalOf(data) {
  const both = (m) => data.packed.items.filter(([, scores]) => scores[0] !== null && scores[m] !== null).length;
  const fit = (m) => m > 0 && both(m) >= Math.min(3, data.packed.items.length);
  const named = data.models.indexOf(data.rival);
  return fit(named) ? named : Math.max(0, data.models.findIndex((_, m) => fit(m)));
}

function unrolled({ first, runs, per }) {
  const times = [first];
  for (const [step, count] of runs) for (let i = 0; i < count; i++) times.push(times[times.length - 1] + step);
  return times.map((time) => time / per);
}
