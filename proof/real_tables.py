#!/usr/bin/env python
"""Every CSV file of a folder, as nobody here wrote it: read, turned over, forecast.

No file may end as a bug. One that is read must be read alike with its rows in the opposite order
and its columns turned round (but for the names of series, which are joined as columns stand), and
its forecast must be finite numbers.

python proof/real_tables.py FOLDER        # such as the data sets of R as CSV files
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import forecast
from forecast.common.errors import ForecastError
from forecast.config.schema import DataSettings
from forecast.data.load import load_panel
from forecast.data.panel import Panel

HORIZON = 1


def main() -> int:
    """Reads the files; the exit code, 1 where one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("sample_data"))
    files = sorted(parser.parse_args().folder.glob("**/*.csv"))
    warnings.simplefilter("error")
    ended: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="real-") as place:
        for path in files:
            how = outcome(path, Path(place) / path.name)
            ended[how.partition(":")[0]] += 1
            if how.startswith("FAILED"):
                print(f"{path}: {how}", flush=True)
    print(f"{len(files):,} files: " + ", ".join(f"{n:,} {how}" for how, n in sorted(ended.items())))
    return 1 if ended["FAILED"] or not files else 0


def outcome(path: Path, turned: Path) -> str:
    """ "read", "refused", or "FAILED: ..."; `turned` is written."""
    try:
        panel = load_panel(path, DataSettings())[0]
    except ForecastError:
        return "refused"
    except Exception as error:
        return f"FAILED: {error!r}"
    try:
        turn_over(path, turned)
        again = load_panel(turned, DataSettings())[0]
        if not alike(panel, again):
            return "FAILED: read otherwise with rows and columns turned round"
        made = forecast.forecast(str(path), horizon=HORIZON).filter(like="LSTM")
    except Exception as error:
        return f"FAILED: {error!r}"
    return "read" if np.isfinite(made.to_numpy(float)).all() else "FAILED: not finite"


def turn_over(path: Path, turned: Path) -> None:
    """The table with its rows below the header, and its columns, in the opposite order."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        header, *rows = list(csv.reader(file))
    with turned.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(row[::-1] for row in (header, *rows[::-1]))


def alike(one: Panel, other: Panel) -> bool:
    """Whether both have series with the same values at the same times."""
    return one.frequency.alias == other.frequency.alias and Counter(series_of(one)) == Counter(
        series_of(other)
    )


def series_of(panel: Panel) -> list[tuple[int, bytes]]:
    """First position and values of each series."""
    return [(int(panel.first[s]), panel.series(s).tobytes()) for s in range(panel.size)]


if __name__ == "__main__":
    sys.exit(main())
