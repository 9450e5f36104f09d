"""RESULTS.md, written anew from the figures that the benchmarks keep beside it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from _sets import SETS

HERE = Path(__file__).parent
ORDER = (
    "LSTM",
    "Blend",
    "LSTM zero-shot",
    "LSTM from scratch",
    "AutoARIMA",
    "AutoETS",
    "DynamicOptimizedTheta",
    "SeasonalNaive",
)

SERVED = "LSTM or Blend"  # what `train` would have a user take


def load(name: str) -> dict[str, Any]:
    """Figures kept so far; none yet is an empty dict."""
    path = HERE / name
    return json.loads(path.read_text()) if path.exists() else {}


def store(name: str, known: dict[str, Any]) -> None:
    """Writes figures whole or not at all."""
    replace(HERE / name, json.dumps(known, indent=1) + "\n")


def replace(path: Path, text: str) -> None:
    """Writes a text beside its place and renames it into it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def write_page() -> None:
    """RESULTS.md from every results file."""
    lines = ["# Results", "", "Written by the scripts of this folder; do not edit.", ""]
    for part in (accuracy(), etth1(), speed(), peers()):
        lines += part
    replace(HERE / "RESULTS.md", "\n".join(lines).rstrip() + "\n")


def accuracy() -> list[str]:
    """The section of bench_accuracy.py."""
    known = load("results.json")
    if not known:
        return []
    every = [figures for row in known.values() for figures in row["models"].values()]
    lines = [
        "## Accuracy on the official test parts", "",
        "Defaults as they are, chosen on origins inside the training parts. `LSTM` is `lstmcast "
        "train`, `LSTM zero-shot` is `lstmcast forecast` (pretrained on synthetic series alone), "
        "`LSTM from scratch` is `lstmcast train --from-scratch`, `Blend` the LSTM with a fifth of "
        "Theta, where `train` made one. "
        "Of intermittent demand (m5_sample) the point forecast is the mean, which adds up and "
        "costs MASE and sMAPE. "
        "Seconds are wall time of a fresh process, start-up included; memory is that of all its "
        "processes together; windows/s are training windows over the whole run's seconds. "
        "A baseline stops at its budget of wall time: the series it finished are counted, and its "
        "figures, Naive2 of its OWA included, are over these alone.", "",
        *made_on(every), "Command: `make bench`, or `python benchmarks/bench_accuracy.py`", "",
        *by_frequency(known),
    ]  # fmt: skip
    for name, row in known.items():
        lines += [
            f"### {name}: {row['series']} series, horizon {row['horizon']}, m = {row['m']}",
            "",
        ]
        lines += [*accuracy_table(row), ""]
    return lines


def by_frequency(known: dict[str, Any]) -> list[str]:
    """The whole at a glance: MASE as a share of seasonal naive's, geometric means."""
    sets = [each for each in SETS if each.name in known]
    kinds = list(dict.fromkeys(each.kind for each in sets))
    every = sorted(
        {model for each in sets for model in known[each.name]["models"]},
        key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name),
    )
    forecasters = ["LSTM", SERVED, *every[1:]] if "Blend" in every else every
    body = []
    for model in forecasters:
        if model in ("SeasonalNaive", "Blend"):
            continue
        found = {each.name: ratio(known[each.name], model) for each in sets}
        cells = [
            mean_ratio([found[each.name] for each in sets if each.kind == kind]) for kind in kinds
        ]
        done = [each for each in sets if found[each.name] is not None]
        whole = mean_ratio([found[each.name] for each in done])
        whole += "" if len(done) == len(sets) else f" (of {len(done)})"
        ours = mean_ratio([ratio(known[each.name], SERVED) for each in done])
        body.append([model, *cells, whole, ours])
    numbers = {kind: sum(each.kind == kind for each in sets) for kind in kinds}
    said = (
        "MASE as a share of SeasonalNaive's on the same set, geometric means over the sets; lower "
        f"is better. `{SERVED}` takes Blend on the sets where `train` made one. A forecaster that "
        "did not finish every series of a set has no figure of its kind; the last column is "
        f"`{SERVED}` on the sets that it did finish."
    )
    head = ["forecaster", *(f"{kind} ({numbers[kind]})" for kind in kinds), f"all {len(sets)}",
            "ours there"]  # fmt: skip
    return ["### All sets", "", said, "", *table(head, body), ""]


def ratio(row: dict[str, Any], model: str) -> float | None:
    """MASE of one forecaster over seasonal naive's on one set; None where it did not finish."""
    models = row["models"]
    if model == SERVED:
        model = "Blend" if "Blend" in models else "LSTM"
    found, naive = models.get(model), models.get("SeasonalNaive")
    if found is None or naive is None or found["series"] < row["series"]:
        return None
    return float(found["mase"] / naive["mase"])


def mean_ratio(ratios: list[float | None]) -> str:
    """The geometric mean; nothing where one is missing."""
    known = [each for each in ratios if each is not None]
    if not known or len(known) < len(ratios):
        return ""
    return f"{math.exp(sum(map(math.log, known)) / len(known)):.3f}"


def accuracy_table(row: dict[str, Any]) -> list[str]:
    """One set's table."""
    models = row["models"]
    names = sorted(models, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
    body = []
    for name in names:
        f = models[name]
        body.append([
            name + said_of(f, row["series"]), number(f, "mase", 3), number(f, "smape", 2),
            number(f, "owa", 3), number(f, "wql", 4), share(f, "coverage-80"),
            share(f, "coverage-95"), number(f, "seconds", 1), number(f, "peak_mb", 0),
            number(f, "cpu_seconds", 0), number(f, "parameters", 0),
            number(f, "windows_per_second", 0),
        ])  # fmt: skip
    head = ["forecaster", "MASE", "sMAPE", "OWA", "WQL", "in 80 %", "in 95 %", "seconds",
            "peak MB", "CPU s", "parameters", "windows/s"]  # fmt: skip
    return table(head, body)


def said_of(figures: dict[str, Any], series: int) -> str:
    """What stands beside a forecaster's name."""
    done, fell = figures.get("series", series), figures.get("fell_back", 0)
    parts = [f"{done} of {series} series in {figures['budget']:.0f} s"] if done < series else []
    parts += [f"{fell} fell back to naive"] if fell else []
    return f" ({'; '.join(parts)})" if parts else ""


def made_on(every: Iterable[dict[str, Any]]) -> list[str]:
    """Machines and dates of some figures."""
    found: dict[str, set[str]] = {}
    for figures in every:
        if "machine" in figures:
            found.setdefault(figures["machine"], set()).add(figures["date"])
    lines = []
    for name, dates in found.items():
        lines += [f"Machine: {name}. Measured {', '.join(sorted(dates))}.", ""]
    return lines


def number(figures: dict[str, Any], key: str, digits: int) -> str:
    """A figure, empty where there is none."""
    return f"{figures[key]:,.{digits}f}" if figures.get(key) is not None else ""


def share(figures: dict[str, Any], key: str) -> str:
    """A share in per cent, empty where there is none."""
    return f"{figures[key]:.1%}" if figures.get(key) is not None else ""


def table(head: list[str], body: Iterable[list[str]]) -> list[str]:
    """A Markdown table."""
    rows = [head, ["---"] * len(head), *body]
    return ["| " + " | ".join(row) + " |" for row in rows]


def etth1() -> list[str]:
    """The section of bench_etth1.py."""
    known = load("results_etth1.json")
    if not known:
        return []
    lines = [
        "## ETTh1: 7 channels, context 720", "",
        "Standardised by the training part (12, 4 and 4 months), every window of the part scored, "
        "channels averaged. One ensemble for all horizons; its settings were chosen on the "
        "validation part, which is much harder than the test part for every method. The test "
        "part was scored twice, once before the LSTM read its series mirrored too (0.420). With "
        "ridge: the mean of the LSTM's forecast and a ridge regression's.", "",
        *made_on(known.values()), "Command: `python benchmarks/bench_etth1.py`", "",
    ]  # fmt: skip
    head = ["part", "forecaster", *(f"MSE {h}" for h in (96, 192, 336, 720)), "MSE mean",
            "MAE mean", "windows (96)", "training s", "CPU s", "members", "parameters"]  # fmt: skip
    body = []
    for part, f in known.items():
        body.append([
            part, "LSTM", *errors_of(f), number(f, "train_seconds", 0),
            number(f, "train_cpu_seconds", 0), number(f, "members", 0),
            number(f, "parameters", 0),
        ])  # fmt: skip
        if "blend" in f:
            body.append([part, "LSTM with ridge", *errors_of(f["blend"]), "", "", "", ""])
    return [*lines, *table(head, body), ""]


def errors_of(figures: dict[str, Any]) -> list[str]:
    """The cells of one forecaster of ETTh1: MSE by horizon, the means, the windows."""
    rows = figures["horizons"]
    return [
        *(number(rows[h], "mse", 4) for h in rows),
        number(figures, "mse", 4),
        number(figures, "mae", 4),
        number(rows["96"], "windows", 0),
    ]


def speed() -> list[str]:
    """The section of bench_speed.py."""
    known = load("results_speed.json")
    if not known:
        return []
    lines = ["## Speed", "", *made_on(known.values()),
             "Command: `make bench-speed`, or `python benchmarks/bench_speed.py`", ""]  # fmt: skip
    parts = (("loop", loop_lines), ("cores", cores_lines), ("gpu", gpu_lines),
             ("predict", predict_lines), ("growth", growth_lines))  # fmt: skip
    for name, written in parts:
        if name in known:
            lines += [*written(known[name]), ""]
    return lines


def loop_lines(f: dict[str, Any]) -> list[str]:
    """`fit` beside the bare loop."""
    body = [
        ["bare nn.LSTM, forward and backward", number(f, "bare_step_ms", 1),
         number(f, "bare_gflops", 0), ""],
        ["fit, the LSTM's products alone", number(f, "step_ms", 1), number(f, "fit_lstm_gflops", 0),
         f"{f['fit_lstm_gflops'] / f['bare_gflops']:.0%}"],
        ["fit, all matrix products", number(f, "step_ms", 1), number(f, "fit_all_gflops", 0),
         f"{f['fit_all_gflops'] / f['bare_gflops']:.0%}"],
    ]  # fmt: skip
    said = (
        f"One member, one thread, the shape of M4 hourly: {f['shape']}. Of fit's wall time "
        f"{f['share_in_lstm']:.0%} is inside the LSTM ({f['share_in_lstm_with_validation']:.0%} "
        "with validation rounds). "
    )
    if f.get("two_threads_speedup"):
        said += (
            f"A second thread makes fit {f['two_threads_speedup']:.2f} times as fast (cores go to "
            "members instead)."
        )
    head = ["loop", "CPU ms a step", "GFLOP/s", "of the bare loop"]
    return ["### Training loop", "", said, "", *table(head, body)]


def cores_lines(f: dict[str, Any]) -> list[str]:
    """Two members on one core and on two."""
    if "said" in f:
        return ["### Two cores", "", f"Not measured: {f['said']}."]
    return [
        "### Two cores", "",
        f"Two members of {f['steps']} steps, processes included: {f['one_core_s']:.1f} s one after "
        f"the other, {f['two_cores_s']:.1f} s at once: {f['speedup']:.2f} times as fast.",
    ]  # fmt: skip


def gpu_lines(f: dict[str, Any]) -> list[str]:
    """The loop on a GPU."""
    if "said" in f:
        return ["### GPU", "", f"Not measured: {f['said']}."]
    return [
        "### GPU", "",
        f"{f['device']}, {f['shape']}: bare cuDNN loop {f['bare_gflops']:.0f} GFLOP/s, fit "
        f"{f['fit_lstm_gflops']:.0f} (LSTM alone) and {f['fit_all_gflops']:.0f} (all products), "
        f"{f['fit_all_gflops'] / f['bare_gflops']:.0%}; {f['synchronisations_a_step']:.2f} "
        f"synchronisations a step; one member of M4 hourly's shape in {f['m4_hourly_s']:.1f} s.",
    ]  # fmt: skip


def predict_lines(f: dict[str, Any]) -> list[str]:
    """`predict` in a fresh process."""
    return [
        "### predict, fresh process, 414 series x 48 steps, CSV in and out", "",
        f"{f['seconds'][0]:.2f} s at best, {f['seconds'][len(f['seconds']) // 2]:.2f} s in the "
        f"middle of {len(f['seconds'])}; {f['cpu_seconds'][0]:.2f} s of processor time; "
        f"{f['peak_mb']:.0f} MB.",
    ]  # fmt: skip


def growth_lines(f: dict[str, Any]) -> list[str]:
    """A forecast of more and more series."""
    body = [
        [number(row, "series", 0), row["file"], number(row, "seconds", 1),
         number(row, "cpu_seconds", 1), number(row, "peak_mb", 0)]
        for row in f["rows"]
    ]  # fmt: skip
    said = (
        "`lstmcast forecast` of series of 100 monthly values, horizon 12, from file to file in a "
        "fresh process: reading, checking, windows, forecast, intervals, writing."
    )
    head = ["series", "file", "seconds", "CPU s", "peak MB"]
    return ["### From 1 series to many", "", said, "", *table(head, body)]


def peers() -> list[str]:
    """The section of peers/bench_peers.py."""
    known = load("results_peers.json")
    if not known:
        return []
    every = [figures for row in known.values() for figures in row.values()]
    lines = [
        "## Peers", "",
        "Their defaults (horizon and input size given: a year of weeks, three years of months, a "
        "week of hours; DeepAR keeps its own), a bounded number of steps, one thread, a fresh "
        "process; median forecasts where the peer has them. Official test parts.", "",
        *made_on(every), f"Peers: {every[-1]['versions']}. Command: `make bench-peers`", "",
    ]  # fmt: skip
    head = ["set", "peer", "MASE", "sMAPE", "OWA", "steps", "seconds", "CPU s", "peak MB", ""]
    body = [
        [name, peer, number(f, "mase", 3), number(f, "smape", 2), number(f, "owa", 3),
         number(f, "steps", 0), number(f, "seconds", 0), number(f, "cpu_seconds", 0),
         number(f, "peak_mb", 0), f.get("said", "")]
        for name, row in known.items()
        for peer, f in row.items()
    ]  # fmt: skip
    return [*lines, *table(head, body), ""]
