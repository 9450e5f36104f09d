// The page of `detect`: a series, what was expected of it, what was odd.

const data = JSON.parse(document.getElementById("payload").textContent);
const $ = (id) => document.getElementById(id);
let chosen = 0;

function bytesOf(text) { return Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer; }

function unpack({ times, values, low, high }) {
  const curve = ([least, most, text]) => Array.from(new Uint16Array(bytesOf(text)), (whole) =>
    whole === 65535 ? null : least + (whole / 65534) * (most - least));
  return { times: Array.from(new Float64Array(bytesOf(times))), values: curve(values), low: curve(low), high: curve(high) };
}

function list() {
  $("list").replaceChildren(...data.series.map(({ name, found }, i) => {
    const row = html("li");
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(i === chosen));
    row.append(html("bdi", name), html("span", number(found.length)));
    row.addEventListener("click", () => choose(i));
    return row;
  }));
}

function choose(i) {
  chosen = Math.max(0, Math.min(data.series.length - 1, i));
  list();
  draw();
}

const colour = (kind) => data.kinds.indexOf(kind) % COLOURS;

function draw() {
  const entry = data.series[chosen], { times, values, low, high } = unpack(entry);
  $("name").textContent = entry.name;
  $("shown").textContent = entry.thinning > 1 ? `One value in ${entry.thinning} is drawn, and all near an anomaly.` : "";
  const [least, most] = limits(values, [...low, ...high]);
  const plot = frame($("found"), {
    title: `Values and anomalies of ${entry.name}`,
    x: { low: times[0], high: times[times.length - 1], ticks: data.dates ? timeTicks : stepTicks, label: data.dates ? data.zone : "step" },
    y: { low: least, high: most, ticks: linearTicks, label: data.unit },
  });
  stretches(low, high).forEach(([from, to]) =>
    area(plot, times.slice(from, to), low.slice(from, to), high.slice(from, to), "f0", 0.16));
  line(plot, times, values, "s-history");
  for (const [at, , kind] of entry.found) {
    const x = plot.X(times[at]).toFixed(1);
    if (values[at] === null) words(plot.picture, "×", x, plot.box.bottom - 3, "middle");
    else svg("circle", { cx: x, cy: plot.Y(values[at]).toFixed(1), r: 4, class: "f" + colour(kind) }, plot.layer);
  }
  const odd = new Map(entry.found.map((each) => [each[0], each]));
  cursor(plot, times, (i) => ({ title: timeText(times[i], data.exact), rows: told(i, values, low, high, odd) }));
  const kinds = [...new Set(entry.found.map(([, , kind]) => kind))];
  $("kinds").replaceChildren(...kinds.map((kind) => {
    const key = html("small");
    key.append(html("i", "", "c" + colour(kind)), ` ${kind} ${entry.found.filter((each) => each[2] === kind).length} `);
    return key;
  }));
  table(entry, times, values, low, high);
}

// All values fit; what was expected may ask for as much again, so that no wild range flattens the rest.
function limits(values, expected) {
  const [low, high] = extent(values), room = high - low, [bottom, top] = extent([low, high, ...expected]);
  const least = Math.max(bottom, low - room), most = Math.min(top, high + room), margin = 0.05 * (most - least);
  return [low >= 0 && least - margin < 0 ? 0 : least - margin, most + margin];
}

function stretches(low, high) { // where the expectation is known, without a break
  const found = [];
  for (let i = 0, from = -1; i <= low.length; i++) {
    const known = i < low.length && low[i] !== null && high[i] !== null;
    if (known && from < 0) from = i;
    if (!known && from >= 0) { found.push([from, i]); from = -1; }
  }
  return found;
}

function told(i, values, low, high, odd) {
  const rows = [["k-history", "value", number(values[i])]];
  if (low[i] !== null) rows.push(["c0", "expected", `${number(low[i])} to ${number(high[i])}`]);
  if (odd.has(i)) rows.push(["c" + colour(odd.get(i)[2]), odd.get(i)[2], odd.get(i)[1] === null ? "" : number(odd.get(i)[1], 3)]);
  return rows;
}

function table(entry, times, values, low, high) {
  $("rows").tBodies[0].replaceChildren(...[...entry.found].reverse().map(([at, score, kind, reason]) => {
    const row = html("tr"), time = html("th", timeText(times[at], data.exact));
    time.scope = "row";
    const range = low[at] === null ? "" : `${number(low[at])} to ${number(high[at])}`;
    row.append(time, ...[values[at] === null ? "" : number(values[at]), range, score === null ? "" : number(score, 3), kind, reason].map((text, k) => html("td", text, k > 2 ? "words" : undefined)));
    return row;
  }));
}

colours();
if (data.series.length) {
  $("list").addEventListener("keydown", (event) => {
    const move = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (!move) return;
    event.preventDefault();
    choose(chosen + move);
  });
  list();
  drawn(draw);
  drawings.forEach((each) => each());
  redrawnWhenResized();
}
