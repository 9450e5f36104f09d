// Charts as SVG: one frame with axes, lines, areas, dots, and a cursor that tells values.

const drawings = []; // functions that draw again, after the window has another width

function html(name, text, className) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

function svg(name, attributes, parent) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (parent) parent.append(node);
  return node;
}

// A chart's frame: its scales X and Y (value -> pixel) and its picture. x and y are
// { low, high, ticks: (low, high, count) -> [{at, text}], log: boolean, label: text }. room: pixels
// left of the axis at least, so that two charts stand exactly one above the other.
function frame(host, { x, y, title, room = 0 }) {
  const width = Math.max(200, host.clientWidth), height = Math.max(80, host.clientHeight);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  host.replaceChildren(picture);
  const yTicks = y.ticks(y.low, y.high, Math.max(2, Math.round(height / 62)));
  const left = Math.max(room, 14 + 6.6 * Math.max(2, ...yTicks.map((tick) => tick.text.length)));
  const box = { left, right: width - 14, top: y.label ? 24 : 10, bottom: height - (x.label ? 40 : 24) };
  const X = scale(x, box.left, box.right), Y = scale(y, box.bottom, box.top);
  for (const tick of yTicks) {
    svg("line", { class: "grid-line", x1: box.left, x2: box.right, y1: Y(tick.at), y2: Y(tick.at) }, picture);
    words(picture, tick.text, box.left - 8, Y(tick.at) + 4, "end");
  }
  svg("line", { class: "axis", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }, picture);
  for (const tick of x.ticks(x.low, x.high, Math.max(2, Math.round(width / 90)))) {
    svg("line", { class: "axis", x1: X(tick.at), x2: X(tick.at), y1: box.bottom, y2: box.bottom + 4 }, picture);
    words(picture, tick.text, Math.min(X(tick.at), width - 4.2 * tick.text.length), box.bottom + 17, "middle");
  }
  if (x.label) words(picture, x.label, (box.left + box.right) / 2, height - 5, "middle");
  if (y.label) words(picture, y.label, 2, 12, "start");
  const clip = "clip" + drawings.length + "-" + host.id;
  const defs = svg("clipPath", { id: clip }, svg("defs", {}, picture));
  svg("rect", { x: box.left - 6, y: box.top - 6, width: box.right - box.left + 12, height: box.bottom - box.top + 12 }, defs);
  const layer = svg("g", { "clip-path": `url(#${clip})` }, picture);
  return { picture, layer, box, X, Y, width, height };
}

function scale(axis, from, to) {
  const f = axis.log ? Math.log10 : (value) => value;
  const low = f(axis.low), span = f(axis.high) - low || 1;
  return (value) => from + ((f(value) - low) / span) * (to - from);
}

function words(parent, text, x, y, anchor, className) {
  const node = svg("text", { x, y, "text-anchor": anchor }, parent);
  if (className) node.setAttribute("class", className);
  node.textContent = text;
  return node;
}

// A line through points; a missing value (null) breaks it, a lonely value becomes a short dash.
function line(plot, xs, ys, className) {
  let path = "", open = false;
  for (let i = 0; i < ys.length; i++) {
    if (ys[i] === null || ys[i] === undefined) { open = false; continue; }
    const point = `${plot.X(xs[i]).toFixed(1)} ${plot.Y(ys[i]).toFixed(1)}`;
    path += open ? `L${point}` : `M${point}h0.1`;
    open = true;
  }
  return svg("path", { d: path, class: "line " + className }, plot.layer);
}

function area(plot, xs, lows, highs, className, opacity) {
  const known = xs.map((_, i) => i).filter((i) => lows[i] !== null && highs[i] !== null);
  if (!known.length) return;
  const at = (i, values) => `${plot.X(xs[i]).toFixed(1)} ${plot.Y(values[i]).toFixed(1)}`;
  const path = "M" + known.map((i) => at(i, highs)).join("L")
    + "L" + known.reverse().map((i) => at(i, lows)).join("L") + "Z";
  svg("path", { d: path, class: className, "fill-opacity": opacity }, plot.layer);
}

function dots(plot, xs, ys, className, radius) {
  return ys.map((y, i) => y === null ? null
    : svg("circle", { cx: plot.X(xs[i]).toFixed(1), cy: plot.Y(y).toFixed(1), r: radius, class: className }, plot.layer));
}

// Tells the values at the x nearest to the pointer: tell(i) -> { title, rows: [[key class, name, text]] }.
function cursor(plot, xs, tell) {
  const mark = svg("line", { class: "cursor", y1: plot.box.top, y2: plot.box.bottom, visibility: "hidden" }, plot.picture);
  const pixels = xs.map(plot.X);
  plot.picture.addEventListener("pointermove", (event) => {
    const bounds = plot.picture.getBoundingClientRect();
    const at = ((event.clientX - bounds.left) / bounds.width) * plot.width;
    let best = 0;
    for (let i = 1; i < pixels.length; i++) if (Math.abs(pixels[i] - at) < Math.abs(pixels[best] - at)) best = i;
    mark.setAttribute("x1", pixels[best]);
    mark.setAttribute("x2", pixels[best]);
    mark.setAttribute("visibility", "visible");
    showTip(event, tell(best));
  });
  plot.picture.addEventListener("pointerleave", () => { mark.setAttribute("visibility", "hidden"); hideTip(); });
}

function showTip(event, { title, rows }) {
  const tip = document.getElementById("tip");
  const head = html("b", title);
  head.dir = "auto";
  tip.replaceChildren(head, ...rows.map(([key, name, text]) => {
    const row = html("div"), label = html("span");
    label.append(html("i", "", "dot " + key), name);
    row.append(label, html("span", text));
    return row;
  }));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const x = event.clientX + 16 + width > innerWidth ? event.clientX - width - 16 : event.clientX + 16;
  tip.style.left = Math.max(4, x) + "px";
  tip.style.top = Math.max(4, Math.min(event.clientY + 12, innerHeight - height - 4)) + "px";
}

function hideTip() { document.getElementById("tip").hidden = true; }

function drawn(draw) { drawings.push(draw); } // all at once at the end, when every card has its width

// The key to a chart of several curves, above it.
function legend(host, names) {
  if (names.length < 2) return;
  const keys = html("div", undefined, "keys");
  for (const [className, name] of names) {
    const key = html("small");
    key.append(html("i", "", className), " " + name + " ");
    keys.append(key);
  }
  host.before(keys);
}

function extent(values, zero) {
  let low = zero ? 0 : Infinity, high = zero ? 0 : -Infinity;
  for (const value of values) if (value !== null && Number.isFinite(value)) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return [0, 1];
  return low === high ? [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2] : [low, high];
}

// The button that chooses between light, dark and what the system has.
function colours() {
  const button = document.getElementById("theme"), ways = ["auto", "light", "dark"];
  const signs = { auto: "◐ auto", light: "☀ light", dark: "☾ dark" };
  const told = { auto: "as the system has them", light: "light", dark: "dark" };
  const kept = { get() { try { return localStorage.getItem("theme"); } catch { return null; } },
    set(way) { try { localStorage.setItem("theme", way); } catch { /* a page from a file may have no storage */ } } };
  function use(way) {
    if (way === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = way;
    button.textContent = signs[way];
    button.setAttribute("aria-label", "Colours: " + told[way]);
    button.dataset.way = way;
  }
  button.addEventListener("click", () => {
    const way = ways[(ways.indexOf(button.dataset.way) + 1) % ways.length];
    use(way);
    kept.set(way);
  });
  use(ways.includes(kept.get()) ? kept.get() : "auto");
}

function redrawnWhenResized() {
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    requestAnimationFrame(() => drawings.forEach((draw) => draw()));
  });
}
