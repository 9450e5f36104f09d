"""Speed: what training reaches of a bare LSTM loop, what two cores bring, how time and memory grow.

    python benchmarks/bench_speed.py [--only loop,cores,growth,predict,gpu] [--most 100000]

Needs no data: all series are made here, seeded. Comparisons are run side by side, in turns, and
the median of the turns counts, so that a busy machine disturbs both alike. Figures are kept in
results_speed.json and RESULTS.md is written anew.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from _measure import stamp
from _page import load, store, write_page

from forecast.training.ensemble import ALLOCATOR

PARTS = ("loop", "cores", "growth", "predict", "gpu")


def main() -> None:
    """Measures what is asked, one part after the other."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("--only", default=",".join(PARTS), help="parts to measure")
    words.add_argument("--turns", type=int, default=7, help="turns of each comparison")
    words.add_argument("--most", type=int, default=100_000, help="series of the largest panel")
    given = words.parse_args()
    chosen = given.only.split(",")
    for name in chosen:
        if name not in PARTS:
            sys.exit(f"there is no part {name}: there are {', '.join(PARTS)}")
        figures = measure(name, given)
        keep(name, figures)
        print(name, figures, flush=True)


def keep(name: str, figures: dict[str, Any]) -> None:
    """Puts a part's figures where the last ones stood, and writes the page."""
    known = load("results_speed.json")
    known[name] = figures | stamp()
    store("results_speed.json", known)
    write_page()


def measure(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """One part's figures."""
    if name == "growth":
        from _speed_growth import growth

        return growth(given.most, lambda figures: keep(name, figures))
    if name == "predict":
        from _speed_growth import predict

        return predict(given.turns)
    if name == "cores":
        from _speed_loop import cores_figures

        return cores_figures(given.turns)
    from _speed_loop import gpu_figures, loop_figures

    return loop_figures(given.turns) if name == "loop" else gpu_figures(given.turns)


if __name__ == "__main__":
    if any(name not in os.environ for name in ALLOCATOR):  # read when a process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ALLOCATOR})
    main()
