// The page of `score`: errors and changes run by run and by step ahead, a group of charts a job.

const jobs = JSON.parse(document.getElementById("payload").textContent);
const COLOUR_OF = { "seasonal naive": 7, "the model": 0, "with overrides": 1 };

function reveal(name) {
  document.getElementById("card-" + name).hidden = false;
  return document.getElementById(name);
}

// Ticks of runs: their as-of, as many as have room.
function runTicks(names, width) {
  return (low, high, count) => {
    const letters = Math.max(...names.map((name) => name.length));
    const room = Math.max(1, Math.min(count, Math.floor(width() / (8.5 * letters))));
    const every = Math.max(1, Math.ceil(names.length / room));
    const first = Math.floor(every / 2); // a name at the very edge would be cut off
    return names.map((text, at) => ({ at, text })).filter(({ at }) => at % every === first);
  };
}

// curves: [colour, name, values]; xs: their places; told(i): what the pointer's place is called.
function curveChart(host, { title, curves, x, xs, told, unit, text }) {
  legend(host, curves.map(([colour, name]) => ["c" + colour, name]));
  drawn(() => {
    const [, high] = extent(curves.flatMap(([, , values]) => values), true);
    const plot = frame(host, {
      title, x: { low: xs[0], high: Math.max(xs[xs.length - 1], xs[0] + 1), ...x },
      y: { low: 0, high: (high || 1) * 1.06, ticks: (...ends) => linearTicks(...ends).map(({ at }) => ({ at, text: text(at) })), label: unit },
    });
    for (const [colour, , values] of curves) {
      line(plot, xs, values, `s${colour} ${colour === 7 ? "thin" : ""}`);
      if (xs.length <= 40) dots(plot, xs, values, "f" + colour, 2.6);
    }
    cursor(plot, xs, (i) => ({ title: told(i), rows: curves.map(([colour, name, values]) => ["c" + colour, name, text(values[i])]) }));
  });
}

const share = (value) => (value === null ? "–" : `${Number((100 * value).toPrecision(3))}%`);
const ahead = (steps) => (i) => `${steps[i]} ${steps[i] === 1 ? "step" : "steps"} ahead`;

function drawJob(job, number_) {
  const at = (name) => `${name}-${number_}`;
  const byRun = (names, host) => ({
    xs: names.map((_, i) => i), told: (i) => `as of ${names[i]}`,
    x: { ticks: runTicks(names, () => host.clientWidth) },
  });
  if (job.runs.length > 1) {
    const host = reveal(at("errors"));
    const shown = Object.entries(job.errors).filter(([name]) => job.overridden || name !== "with overrides");
    curveChart(host, {
      title: `Error run by run, ${job.job}`, unit: job.error, text: (value) => number(value), ...byRun(job.runs, host),
      curves: shown.map(([name, values]) => [COLOUR_OF[name], name, values]),
    });
  }
  if (job.moves.runs.length > 1) {
    const host = reveal(at("moves"));
    curveChart(host, {
      title: `Stability run by run, ${job.job}`, unit: "changed by", text: share, ...byRun(job.moves.runs, host),
      curves: [[0, "changed by", job.moves.change]],
    });
  }
  for (const [name, { steps }, text, curves, unit] of [
    ["ages", job.ages, share, [[0, "changed by", job.ages.change]], "changed by"],
    ["live", job.live, (value) => number(value, 3), [[0, "live", job.live.mase], [7, "promised", job.live.promised]], "MASE"],
  ]) {
    if (steps.length < 2) continue;
    curveChart(reveal(at(name)), {
      title: `${unit} by step ahead, ${job.job}`, unit, text, xs: steps, told: ahead(steps),
      x: { ticks: stepTicks, label: "steps ahead" },
      curves: curves.filter(([, , values]) => values.some((value) => value !== null)),
    });
  }
}

colours();
jobs.forEach(drawJob);
drawings.forEach((each) => each());
redrawnWhenResized();
