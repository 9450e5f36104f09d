"""Demand: how far apart demands lie, whether a panel is intermittent, what an empty shelf hides.

Axes: S series, N observations of all series together.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forecast.common.errors import InputError
from forecast.common.segments import positions, sum_by_series
from forecast.data.limits import never_negative
from forecast.data.open_steps import zero_slots
from forecast.data.panel import Covariate, Panel

INTERVAL = 1.32  # mean steps between demands above which they are intermittent


def mean_interval(panel: Panel) -> np.ndarray:
    """Known steps for each one that is not zero, (S,); NaN for a series that is never above zero or
    is below it anywhere. Days and hours of the week on which a series is always zero, more often
    than by chance, are left out: a shop that writes 0 on Sundays is closed, not out of demand.

    Above INTERVAL demand is intermittent (Syntetos, Boylan & Croston 2005, Journal of the
    Operational Research Society 56: 495-503, with the interval that Kostenko & Hyndman 2006 keep).
    """
    known = sum_by_series(
        (np.isfinite(panel.values) & ~_closed(panel)).astype(float), panel.offsets
    )
    demands = sum_by_series((panel.values > 0).astype(float), panel.offsets)
    made = np.divide(known, demands, out=np.full(panel.size, np.nan), where=demands > 0)
    return np.where(never_negative(panel), made, np.nan)


def _closed(panel: Panel) -> np.ndarray:
    """bool (N,): steps in slots of the week that never have a demand."""
    always = zero_slots(panel)
    if always is None:
        return np.zeros(len(panel.values), bool)
    row = np.repeat(np.arange(panel.size), panel.lengths)
    at = np.repeat(panel.first, panel.lengths) + positions(panel.offsets)
    return np.asarray(always[row, at % always.shape[1]])


def is_intermittent(panel: Panel) -> bool:
    """Whether demand comes in lumps in at least half of the series, all-zero ones among them."""
    interval = mean_interval(panel)
    lumpy = (interval > INTERVAL).sum()
    smooth = (interval <= INTERVAL).sum()
    mixed = int((np.isnan(interval) & ~never_negative(panel)).sum())
    return bool(lumpy > 0 and lumpy >= smooth + mixed)


YES, NO = ("1", "true", "yes", "y", "t"), ("0", "false", "no", "n", "f", "")


def mask_censored(panel: Panel, name: str, keep: bool) -> tuple[Panel, int, str]:
    """The panel without the values that an empty shelf cut off, how many, and what was taken for
    one, in words.

    name: a covariate. Where it holds no numbers but 0 and 1 (or yes and no), 1 says cut off; else
    it is the stock, and 0 or less says so. keep: it stays a covariate. Raises InputError for words
    that are neither.
    """
    covariates = panel.covariates
    assert covariates is not None
    column = next(c for c in covariates.columns if c.name.lower() == name.lower())
    numbers = _as_numbers(column)
    known = numbers[np.isfinite(numbers)]
    flag = bool(np.isin(known, (0.0, 1.0)).all())
    cut = numbers == 1 if flag else numbers <= 0
    inside = positions(covariates.offsets)
    series = np.repeat(np.arange(panel.size), np.diff(covariates.offsets))
    here = inside < panel.lengths[series]
    at = (panel.offsets[:-1][series] + inside)[here & cut]
    values = panel.values.copy()
    count = int(np.isfinite(values[at]).sum())
    values[at] = np.nan
    columns = tuple(c for c in covariates.columns if keep or c is not column)
    rest = replace(covariates, columns=columns) if columns else None
    how = f"'{column.name}' is 1" if flag else f"the stock '{column.name}' is 0 or less"
    return replace(panel, values=values, covariates=rest), count, how


def _as_numbers(column: Covariate) -> np.ndarray:
    if column.categories is None:
        return column.values
    texts = [text.strip().lower() for text in column.categories]
    strange = [text for text in texts if text not in (*YES, *NO)]
    if strange:
        raise InputError(
            f"column '{column.name}' does not say where demand was cut off",
            code="input/censored-column",
            where="--censored-col",
            value=strange[0],
            remedy="Give a flag (1 or yes where it was, else 0 or no) or the stock in numbers",
        )
    meaning = np.array([1.0 if text in YES else 0.0 for text in texts])
    codes = np.where(np.isfinite(column.values), column.values, 0).astype(int)
    return np.where(np.isfinite(column.values), meaning[codes], np.nan)
