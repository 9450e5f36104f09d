"""The peers on three sets, at their defaults with a bounded number of steps.

    python benchmarks/peers/bench_peers.py --python PEERS_ENVIRONMENT/bin/python [--steps 1000]

`make bench-peers` makes the environment and runs this. Each peer runs in a fresh process with one
thread; seconds and memory are seen from outside, as for our own. A peer that takes longer than
`--limit` seconds is ended and said to be. Figures go to results_peers.json and RESULTS.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from _measure import stamp, timed  # noqa: E402 - found through the line above
from _page import load, store, write_page  # noqa: E402 - likewise
from _sets import SETS, Made, Test  # noqa: E402 - likewise

PEERS = ("NeuralForecast LSTM", "NeuralForecast NHITS", "GluonTS DeepAR", "Darts BlockRNN")
# Input sizes: three years of months, a year of weeks, a week of hours.
SIZES = {"m3_monthly": 36, "m4_weekly": 52, "m4_hourly": 168}


def main() -> None:
    """Runs every peer on every set that is asked for."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = HERE.parents[1] / "../shared/data/panels"
    words.add_argument("--data", type=Path, default=usual)
    words.add_argument("--python", required=True, help="interpreter with the peers installed")
    words.add_argument("--sets", default=",".join(SIZES))
    words.add_argument("--peers", default=",".join(PEERS))
    words.add_argument("--steps", type=int, default=1000, help="optimisation steps of each peer")
    words.add_argument("--limit", type=float, default=1800.0, help="wall seconds of each run")
    given = words.parse_args()
    versions = peer_versions(given.python)
    for name in given.sets.split(","):
        test = Test(next(each for each in SETS if each.name == name), given.data)
        for peer in given.peers.split(","):
            keep(name, peer, run(test, peer, given) | {"versions": versions} | stamp())


def peer_versions(python: str) -> str:
    """Versions of the peers, as their environment tells them."""
    code = (
        "from importlib.metadata import version as v;"
        "print(', '.join(f'{n} {v(n)}' for n in ('neuralforecast', 'gluonts', 'u8darts', 'torch')))"
    )
    return subprocess.run(
        [python, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def run(test: Test, peer: str, given: argparse.Namespace) -> dict[str, object]:
    """One peer's figures on one set."""
    each, size = test.set, str(SIZES[test.set.name])
    train = str(test.train.resolve())
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "made.npz"
        command = ["timeout", str(given.limit), given.python, str(HERE / "run_peer.py"), peer,
                   train, each.freq or "D", str(each.horizon), size, str(given.steps),
                   str(out)]  # fmt: skip
        cost = timed(command, {"OMP_NUM_THREADS": "1", "PYTHONPATH": ""}, accept=(124,), cwd=place)
        if not out.exists():
            return {"said": f"not done after {given.limit:.0f} s", "steps": given.steps}
        with np.load(out) as made:
            figures = test.figures(Made(made["point"], None, None))
            inside = float(made["seconds"])
    return figures | cost | {"fit_seconds": inside, "steps": given.steps}


def keep(name: str, peer: str, figures: dict[str, object]) -> None:
    """Adds figures to what is known, and writes the page."""
    known = load("results_peers.json")
    known.setdefault(name, {})[peer] = figures
    store("results_peers.json", known)
    write_page()
    print(name, peer, figures, flush=True)


if __name__ == "__main__":
    main()
