// The list of series, and the forecast of the chosen one: chart, numbers, files.

const LISTED = 150; // series shown in the list at once
const VIEWS = { ahead: "forecast", test: "test window" };

function explorer(data) {
  const { items, layouts, axis, sum } = data.packed;
  const all = sum ? [...items, sum] : items; // the sum of all series comes last
  const $ = (id) => document.getElementById(id);
  const times = unrolled(axis);
  const wished = new Map(); // model -> shown or not, once somebody has said so
  let order = items.map((_, i) => i), shown = [], chosen = 0, view = "ahead";

  function unpack(index, wanted) {
    const [name, scores, charts, remark] = all[index];
    const chart = charts.find(([each]) => each === wanted) || charts[0];
    const [own, place, layout, low, high, thinning, width, text] = chart;
    const [past, ahead, keys] = layouts[layout];
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    const missing = 256 ** width - 1;
    const value = (i) => {
      let whole = 0;
      for (let k = width - 1; k >= 0; k--) whole = 256 * whole + bytes[width * i + k];
      return whole === missing ? null : low + (whole / (missing - 1)) * (high - low);
    };
    const part = (start, count) => Array.from({ length: count }, (_, i) => value(start + i));
    const at = Array.from({ length: past + ahead }, (_, i) => times[Array.isArray(place) ? place[i] : place + i]);
    const curves = keys.map(([model, side, level], k) => ({ model, side, level, values: part(past + k * ahead, ahead) }));
    return { name, scores, remark, view: own, views: charts.map(([each]) => each), thinning, at, past, ahead, history: part(0, past), curves };
  }

  function sortings() {
    const rival = rivalOf(data), [first, second] = [data.models[0], data.models[rival]], metric = data.headline;
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
    const top = sum ? items.length : data.pinned; // the sum of all, or a hierarchy's total
    const pinned = top !== null && !wanted ? [top] : [];
    const matches = order.filter((i) => items[i][0].toLowerCase().includes(wanted) && !pinned.includes(i));
    shown = [...pinned, ...matches.slice(0, LISTED - pinned.length)];
    $("list").replaceChildren(...shown.map((i) => {
      const row = html("li"), name = html("bdi", all[i][0]);
      const score = all[i][1][0];
      row.id = "series-" + i;
      row.setAttribute("role", "option");
      row.append(name, html("span", figure(score)));
      row.addEventListener("click", () => choose(i));
      return row;
    }));
    const rest = matches.length + pinned.length - shown.length, out = data.total - items.length;
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

  function switches(entry) {
    $("views").hidden = entry.views.length < 2;
    $("views").replaceChildren(...entry.views.map((each) => {
      const button = html("button", VIEWS[each]);
      button.type = "button";
      button.setAttribute("aria-pressed", String(each === entry.view));
      button.addEventListener("click", () => { view = each; draw(); });
      return button;
    }));
  }

  // What most people want to know of a forecast: the next value, the highest, the sum.
  function sums(entry) {
    const main = entry.curves.find((curve) => !curve.side && curve.model !== null);
    const known = main ? main.values.map((value, i) => [value, i]).filter(([value]) => value !== null) : [];
    $("sums").hidden = entry.view !== "ahead" || entry.thinning[1] > 1 || !known.length;
    if ($("sums").hidden) return;
    const when = (i) => timeText(entry.at[entry.past + i], axis.exact);
    const text = writer(entry), [best, place] = known.reduce((a, b) => (b[0] > a[0] ? b : a));
    const level = Math.min(...levels(entry, main.model));
    const bound = (side) => entry.curves.find((c) => c.model === main.model && c.side === side && c.level === level).values[known[0][1]];
    const range = Number.isFinite(level) ? `, ${level}%: ${text(bound("lo"))} to ${text(bound("hi"))}` : "";
    const [total, count] = summed(known.map(([value, i]) => [value, entry.at[entry.past + i]]), data.twice);
    $("sums").replaceChildren(...[
      ["Next", text(known[0][0]), when(known[0][1]) + range],
      ["Highest", text(best), when(place)],
      [count > 1 ? `Sum of ${count} steps` : "Sum", text(total), `${text(total / count)} a step`],
    ].map(([what, figure, note]) => {
      const tile = html("div", undefined, "tile");
      tile.append(html("span", what, "what"), html("span", figure, "figure"), html("span", note, "note"));
      return tile;
    }));
  }

  // Numbers of one series as text: four digits that count, none after the point where the data have none.
  function writer(entry) {
    const known = [...entry.history, ...entry.curves.flatMap((c) => (c.side ? [] : c.values))].filter((v) => v !== null);
    const most = Math.max(...known.map(Math.abs), 1e-12);
    const whole = entry.history.every((v) => v === null || Math.abs(v - Math.round(v)) < 1e-3) && most >= 50;
    const digits = whole ? 0 : Math.max(0, Math.min(8, 3 - Math.floor(Math.log10(most))));
    return (value) => (value === null || value === undefined ? "–"
      : Math.abs(value) >= 1e15 ? value.toExponential(3)
        : value.toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−"));
  }

  // Steps ahead of which anything is told: closed days and hours are none.
  const stepsTold = (entry) => Array.from({ length: entry.ahead }, (_, i) => i).filter((i) => entry.curves.some((c) => c.values[i] !== null));

  // The table below the chart: what is drawn, step by step.
  function numbers(entry, curves) {
    const text = writer(entry), columns = [...curves].sort((a, b) => rank(a) - rank(b));
    const head = html("tr");
    head.append(html("th", axis.dates ? "Time" + (data.zone ? `, ${data.zone}` : "") : "Step"), ...columns.map((c) => html("th", heading(c))));
    $("rows").tHead.replaceChildren(head);
    $("rows").tBodies[0].replaceChildren(...stepsTold(entry).map((i) => {
      const row = html("tr"), time = html("th", timeText(entry.at[entry.past + i], axis.exact));
      time.scope = "row";
      row.append(time, ...columns.map((c) => html("td", text(c.values[i]))));
      return row;
    }));
  }

  const rank = (c) => (c.model === null ? -1 : 1000 * data.models.indexOf(c.model) + (c.side ? c.level * 2 + (c.side === "hi") : 0));
  const heading = (c) => (c.model === null ? "actual" : c.side ? `${c.model === data.models[0] ? "" : c.model + " "}${c.level}% ${c.side === "lo" ? "from" : "to"}` : c.model);
  const column = (c) => (c.model === null ? "y" : c.side ? `${c.model}-${c.side}-${c.level}` : c.model);

  // Rows as in predictions.csv; a cell that a spreadsheet would run as a formula is made text.
  function rowsOf(entry, names) {
    const curves = new Map(entry.curves.map((c) => [column(c), c.values]));
    const cell = (text) => (/^[=+\-@\t\r]/.test(text) ? "'" + text : text);
    const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const plain = (value) => (value === null || value === undefined ? "" : String(Number(value.toPrecision(7))));
    return stepsTold(entry).map((i) => [
      quoted(cell(entry.name)), isoText(entry.at[entry.past + i], axis.exact), ...names.map((name) => plain(curves.get(name)?.[i])),
    ].join(","));
  }

  function save(entries, name) {
    const names = [...new Set(entries.flatMap((e) => [...e.curves].sort((a, b) => rank(a) - rank(b)).map(column)))];
    const lines = [["unique_id", "ds", ...names].join(","), ...entries.flatMap((e) => rowsOf(e, names))];
    const link = html("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff" + lines.join("\r\n") + "\r\n"], { type: "text/csv" }));
    link.download = name.replace(/[^\p{L}\p{N}._-]+/gu, "-").slice(0, 80) + ".csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
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
    const entry = unpack(chosen, view);
    $("name").textContent = entry.name;
    $("own").hidden = entry.view === "ahead";
    $("own").textContent = data.models
      .map((model, m) => (entry.scores[m] === null || entry.scores[m] === undefined ? "" : `${model} ${figure(entry.scores[m])}`))
      .filter(Boolean).map((text, i) => (i ? text : data.headline + ": " + text)).join(" · ");
    switches(entry);
    sums(entry);
    keys(entry);
    const curves = entry.curves.filter((curve) => visible(entry, curve.model));
    fan($("fan"), entry, curves);
    numbers(entry, curves);
    const widest = curves.find((curve) => curve.side);
    const second = [...new Set(curves.map((c) => c.model).filter((model) => model !== null))][1];
    const dotted = curves.find((curve) => curve.side && curve.model === second);
    $("fan-note").textContent = [
      widest ? `Shaded: the ${levels(entry, widest.model).join("% and ")}% intervals of ${widest.model}.` : "",
      dotted ? `Dotted: the ${levels(entry, dotted.model).at(-1)}% interval of ${dotted.model}.` : "",
      entry.remark,
      data.zone && axis.dates ? `Times are in ${data.zone}.` : "",
      entry.thinning[1] > 1 ? `One step in ${entry.thinning[1]} is drawn and listed.` : "",
      entry.thinning[0] > 1 ? `Of the past one step in ${entry.thinning[0]} is drawn.` : "",
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
      x: { low: entry.at[0], high: entry.at[entry.at.length - 1], ticks, label: axis.dates ? data.zone : "step" },
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
      if (level !== undefined && curve.model !== null) rows.push([key, `${level}%`, `${number(bound("lo"))} to ${number(bound("hi"))}`]);
    }
    return { title: timeText(entry.at[i], axis.exact), rows };
  }

  $("list-metric").textContent = items.some(([, scores]) => scores[0] !== null && scores[0] !== undefined) ? data.headline : "";
  $("save").addEventListener("click", () => save([unpack(chosen, view)], unpack(chosen, view).name));
  $("save-all").addEventListener("click", () => save(items.map((_, i) => unpack(i, view)).filter((e) => e.view === view || e.views.length === 1), document.title.split(" · ")[0].replace(/\.[a-z]+$/, "") + (view === "ahead" ? "-forecast" : "-test-window")));
  $("numbers").addEventListener("toggle", () => { if ($("numbers").open) draw(); });
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

// Sum and number of the steps [value, time]; an hour that comes twice on the clock is two.
function summed(steps, twice) {
  const often = (time) => (twice.includes(time) ? 2 : 1);
  return steps.reduce(([sum, count], [value, time]) => [sum + often(time) * value, count + often(time)], [0, 0]);
}

function unrolled({ first, runs, per }) {
  const times = [first];
  for (const [step, count] of runs) for (let i = 0; i < count; i++) times.push(times[times.length - 1] + step);
  return times.map((time) => time / per);
}
