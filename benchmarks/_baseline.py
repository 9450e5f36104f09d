"""One baseline on one set, in a process of its own so that its cost can be measured.

python benchmarks/_baseline.py TRAIN.parquet SET NAME BUDGET JOBS OUT.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from _sets import LEVELS, QUANTILES, SETS

from forecast.config.schema import DataSettings
from forecast.data.load import load_panel
from forecast.inference.tables import wanted_levels
from forecast.models.baselines.forecast import COLUMNS, forecast_baselines


def main(train: str, name_of_set: str, name: str, budget: str, jobs: str, out: str) -> None:
    """Forecasts and writes point, quantiles, bounds, and which series fell back to naive."""
    each = next(one for one in SETS if one.name == name_of_set)
    panel, _ = load_panel(Path(train), DataSettings(freq=each.freq))
    levels = wanted_levels(LEVELS, QUANTILES)
    made = forecast_baselines(
        panel, panel.lengths, each.horizon, [name], levels, each.m, float(budget), int(jobs)
    )[COLUMNS[name]]
    bounds = {f"{side}{level:g}": bound for level in LEVELS
              for side, bound in zip(("lo", "hi"), made.interval(level), strict=True)}  # fmt: skip
    np.savez(
        out,
        point=np.where(made.available[:, None], made.point, np.nan),
        quantiles=np.stack([made.quantile(q) for q in QUANTILES], -1),
        fell_back=made.available & (made.source != COLUMNS[name]),
        **bounds,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
