"""What a statistical model gets to see of one series: cut, filled, scaled."""

from __future__ import annotations

import numpy as np

SMALL_SEASON = 24  # longest season that ARIMA and ETS model themselves
STL_CYCLES = 6  # cycles of the longest season that the decomposition sees
CUT = 400  # observations that a model is fitted to at most
CUT_LONG = 1000  # the same when only trend and remainder are left to model


def longer_season(season: int, candidates: tuple[int, ...], length: int) -> int | None:
    """A week on top of a day: the longer season to take out first, if the history carries it.

    season: the main one; candidates: the frequency's; length: observations known. Only for
    sub-daily data (the longer season is seven of the main one), seen at least three times.
    """
    week = 7 * season
    return week if season > 7 and week in candidates and length >= 3 * week else None


def usable(season: int, longer: int | None) -> int:
    """How many of the last observations are of use to a model with these seasons.

    More history costs time and, measured on M4 hourly, accuracy: 14 to 20 seasons are best.
    """
    longest = longer or season
    if longest > SMALL_SEASON:
        return max(CUT_LONG, STL_CYCLES * longest)
    return CUT_LONG if season == 1 else max(CUT, 14 * season)


def filled(history: np.ndarray, season: int) -> np.ndarray:
    """The history (n,) without its leading gap and with all other gaps filled, for a fit only.

    The mean profile over the season's positions is taken out, the rest interpolated linearly
    (carried flat beyond the last known value), and the profile put back.
    """
    known = ~np.isnan(history)
    if not known.any():
        return history[:0]
    history = history[int(known.argmax()) :]
    known = ~np.isnan(history)
    if known.all():
        return history
    profile = _profile(history, known, season)
    at = np.arange(len(history))
    rest = np.interp(at, at[known], (history - profile)[known])
    return np.where(known, history, rest + profile)


def _profile(history: np.ndarray, known: np.ndarray, season: int) -> np.ndarray:
    """Mean value at each observation's position in the season, (n,); 0 with under two seasons."""
    if season == 1 or known.sum() < 2 * season:
        return np.zeros(len(history))
    cell = np.arange(len(history)) % season
    count = np.bincount(cell[known], minlength=season)
    total = np.bincount(cell[known], history[known], minlength=season)
    overall = history[known].mean()
    mean = np.divide(total, count, out=np.full(season, overall), where=count > 0)
    return mean[cell]


def scale_of(history: np.ndarray) -> float:
    """A power of two near the history's spread: dividing by it is exact, and optimisers like it."""
    spread = float(np.std(history))
    size = float(np.abs(history).max(initial=0.0))
    if not spread > 1e-12 * size or not np.isfinite(spread):
        spread = size
    return 2.0 ** np.floor(np.log2(spread)) if spread > 0 and np.isfinite(spread) else 1.0
