"""How good sample paths were on held-out origins.

Axes: S series, W windows (origins of each series), B series of one block, N samples,
H horizon (steps).
"""

from __future__ import annotations

import numpy as np

from forecast.data.panel import Panel
from forecast.evaluation.metrics import crps_of_samples
from forecast.inference.sample_paths import sample_blocks
from forecast.models.forecaster import Forecaster


def scores_of_paths(
    forecaster: Forecaster,
    shown: Panel,
    panel: Panel,
    origins: np.ndarray,
    horizon: int,
    number: int,
    seed: int,
    *,
    allow_negative: bool = False,
) -> dict[str, float]:
    """How good `number` paths from each of the held-out `origins` (W, S) were, drawn from what was
    `shown` before it and compared with the values of `panel`.

    crps: of the steps; crps-of-sum: of the sum over the horizon, and coverage-of-sum-80 and -95:
    the share of actual sums inside the central interval of the paths' (each a mean over series and
    origins; a sum only where no actual of it is missing). dependence: what the paths were drawn
    with. Without anything to compare with, only that.
    """
    found: dict[str, list[np.ndarray]] = {"crps": [], "crps-of-sum": []}
    for window in origins:
        used = np.flatnonzero(window < panel.lengths)
        actual = panel.select(used).window(window[used], horizon)
        past = shown.select(used).truncate(window[used])
        drawn = sample_blocks(
            forecaster, past, horizon, number, seed, allow_negative=allow_negative
        )
        for rows, paths in drawn:
            steps = crps_of_samples(actual[rows], paths.swapaxes(1, 2))
            found["crps"].append(steps[np.isfinite(steps)])
            whole = np.isfinite(actual[rows]).all(1)
            total, sums = actual[rows][whole].sum(1), paths[whole].sum(2)
            found["crps-of-sum"].append(crps_of_samples(total, sums))
            for level in (80, 95):
                tail = (1 - level / 100) / 2
                low, high = np.quantile(sums, (tail, 1 - tail), axis=1)
                inside = ((low <= total) & (total <= high)).astype(float)
                found.setdefault(f"coverage-of-sum-{level}", []).append(inside)
    joined = {name: np.concatenate(parts) for name, parts in found.items() if parts}
    means = {name: float(each.mean()) for name, each in joined.items() if len(each)}
    return {"dependence": forecaster.dependence, **means}
