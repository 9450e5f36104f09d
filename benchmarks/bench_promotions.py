"""Promotion days of counts: are they forecast, and do the intervals hold them?

`python benchmarks/bench_promotions.py` draws sixty daily series of negative binomial counts whose
promotions (an eighth of all days, known ahead) multiply the mean by 1.6 to 3.2, by each series'
own factor. The last two weeks are kept out. Printed for each way of training: on promotion days
and on others, what share of the actuals the 80 per cent intervals hold, the sum of the forecasts
over the sum of what came, less one, and the mean absolute error.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import forecast

SERIES, DAYS, HORIZON, SIZE = 60, 540, 14, 4.0
WAYS: dict[str, dict[str, Any]] = {
    "promotions known": {"future_cov": "promo"},
    "promotions known, the mean as the point": {"future_cov": "promo", "point": "mean"},
    "promotions known, student-t": {"future_cov": "promo", "likelihood": "student-t"},
    "promotions known, negative-binomial": {
        "future_cov": "promo",
        "likelihood": "negative-binomial",
    },
    "promotions not told": {},
    "not told, negative-binomial": {"likelihood": "negative-binomial"},
}


def drawn() -> pd.DataFrame:
    """Columns unique_id, ds, y, promo."""
    rng = np.random.default_rng(5)
    days = pd.date_range("2024-01-01", periods=DAYS)
    parts = []
    for number in range(SERIES):
        base, week = np.exp(rng.normal(1.0, 0.7)), np.exp(rng.normal(0, 0.25, 7))
        lift, promo = rng.uniform(1.6, 3.2), promotions(rng)
        drift = np.exp(np.cumsum(rng.normal(0, 0.01, DAYS)))
        mean = base * week[np.arange(DAYS) % 7] * lift**promo * drift
        y = rng.negative_binomial(SIZE, SIZE / (SIZE + mean))
        name = f"s{number:02d}"
        parts.append(pd.DataFrame({"unique_id": name, "ds": days, "y": y, "promo": promo}))
    return pd.concat(parts, ignore_index=True)


def promotions(rng: np.random.Generator) -> np.ndarray:
    """1 on the days of promotions of 3 to 7 days, about 35 apart; (DAYS,)."""
    made, day = np.zeros(DAYS, int), 0
    while day < DAYS:
        day += int(rng.geometric(1 / 35))
        length = int(rng.integers(3, 8))
        made[day : day + length] = 1
        day += length
    return made


def judged(data: pd.DataFrame, how: dict[str, Any]) -> pd.DataFrame:
    """A row for promotion days and one for the others."""
    known = data["ds"] < data["ds"].max() - pd.Timedelta(days=HORIZON - 1)
    seen = data.assign(y=data["y"].where(known))
    if "future_cov" not in how:
        seen = data.loc[known, ["unique_id", "ds", "y"]]
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "run")
        run = forecast.train(seen, horizon=HORIZON, baselines="none", out=out, **how)
        made = run.predictions
    made["ds"] = pd.to_datetime(made["ds"])
    both = made.merge(data, on=["unique_id", "ds"])
    inside = both["y"].between(both["LSTM-lo-80"], both["LSTM-hi-80"])
    both = both.assign(held=inside, error=(both["LSTM"] - both["y"]).abs())
    days = both.groupby(both["promo"].map({1: "promotion", 0: "other"}))
    table = days.agg(days=("y", "size"), held=("held", "mean"), error=("error", "mean"))
    return table.assign(bias=days["LSTM"].sum() / days["y"].sum() - 1)


def main() -> None:
    data = drawn()
    for name, how in WAYS.items():
        print(name, judged(data, how).round(3).to_string(), "", sep="\n", flush=True)


if __name__ == "__main__":
    main()
