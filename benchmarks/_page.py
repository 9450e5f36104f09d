"""RESULTS.md, written anew from the figures that the benchmarks keep beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ORDER = ("LSTM", "LSTM zero-shot", "AutoARIMA", "AutoETS", "DynamicOptimizedTheta", "SeasonalNaive")


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
        "train`, `LSTM zero-shot` is `lstmcast forecast` (pretrained on synthetic series alone). "
        "Seconds are wall time of a fresh process, start-up included; memory is that of all its "
        "processes together; windows/s are training windows over the whole run's seconds. "
        "A baseline stops at its budget of wall time: the series it finished are counted, and its "
        "figures, Naive2 of its OWA included, are over these alone.", "",
        *made_on(every), "Command: `make bench`, or `python benchmarks/bench_accuracy.py`", "",
    ]  # fmt: skip
    for name, row in known.items():
        lines += [
            f"### {name}: {row['series']} series, horizon {row['horizon']}, m = {row['m']}",
            "",
        ]
        lines += [*accuracy_table(row), ""]
    return lines


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
    return []


def speed() -> list[str]:
    return []


def peers() -> list[str]:
    return []
