"""Which season lengths the data themselves show, pooled over a bounded sample of series.

The measure is the autocorrelation at the season's lag of values freed from their trend, against
the lags around it: a season repeats at its own lag and not at the ones beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from forecast.common.segments import evenly

if TYPE_CHECKING:
    from forecast.data.panel import Panel

SERIES = 64  # so many series are looked at
STEPS = 4096  # and so many of their last values
LONGEST = 400  # the longest season that is searched for where nothing suggests one
NOISE = 3.0  # standard errors of a pooled autocorrelation that a season must exceed
CHANCE = 0.05  # that noise has a season, where hundreds of lags are searched
WEAKEST = 0.1  # and the least autocorrelation worth calling a season
GAIN = 0.1  # share of what days leave unexplained that a week must explain


def confirm_seasons(panel: Panel, candidates: Sequence[int] | None = None) -> tuple[int, ...]:
    """The season lengths (steps) that the panel's values show, the strongest cycle's base first.

    candidates: lengths to test, the most usual first (default: those of the frequency; where that
    has none, every lag from 2 to 400 is searched). Returns () when no season is found.

    Years have cycles such as that of the sunspots: told the length that is found, the pretrained
    network has 24 to 37 per cent less error on such (benchmarks/TRIED.md). Years of many countries
    share what happens in one, so they count as one series.
    """
    tested = panel.frequency.seasons if candidates is None else tuple(candidates)
    if candidates is None and all(length < 2 for length in tested):
        counted = panel.frequency.integer and panel.frequency.alias.isdigit()
        return _search(_sample(panel, 3 * 2), independent=counted)
    found: list[int] = []
    for length in tested:
        if length < 2:
            continue
        series = _sample(panel, 2 * length + 2)
        if series and _shows(series, length, found):
            found.append(length)
    return tuple(found)


def _sample(panel: Panel, shortest: int) -> list[np.ndarray]:
    """The last values of up to SERIES series of at least `shortest` steps, gaps bridged."""
    long_enough = np.flatnonzero(panel.lengths >= shortest)
    series = []
    for s in long_enough[evenly(len(long_enough), SERIES)]:
        values = panel.series(int(s))[-STEPS:]
        known = np.flatnonzero(np.isfinite(values))
        if len(known) < max(shortest // 2, 4):
            continue
        bridged = np.interp(np.arange(len(values)), known, values[known])
        spread = np.ptp(bridged)
        if spread > 0:
            series.append((bridged - bridged.min()) / spread)
    return series


def _shows(series: list[np.ndarray], length: int, shorter: Sequence[int]) -> bool:
    """Whether the pooled autocorrelation stands out at `length` (and not as an echo)."""
    pooled, size = _pooled([_without_trend(x, length) for x in series], length + length // 2 + 1)
    here = pooled[length]
    if here < max(WEAKEST, NOISE / np.sqrt(size)):
        return False
    around = pooled[max(2, (3 * length) // 4) : (5 * length) // 4 + 1]
    if here < around.max() - 0.02 and length > 3:
        return False
    if here <= pooled[length // 2] + 0.5 * WEAKEST:
        return False
    for base in shorter:  # a week must beat the days beside it, or it is only seven days
        if length % base == 0:
            beside = max(pooled[length - base], pooled[min(length + base, len(pooled) - 1)])
            if here - beside <= (1 - beside) * max(GAIN, 2 / np.sqrt(size)):
                return False
    return True


def _without_trend(x: np.ndarray, length: int) -> np.ndarray:
    """`x` less its centred moving average over one season (2 x m for even m); shorter by m."""
    kernel = np.ones(length + 1 - length % 2)
    if length % 2 == 0:
        kernel[[0, -1]] = 0.5
    kernel /= length
    half = len(kernel) // 2
    total = np.concatenate([[0.0], np.cumsum(x)])
    width = len(kernel)
    inner = total[width:] - total[:-width]
    if length % 2 == 0:
        inner = inner - 0.5 * (x[: len(inner)] + x[width - 1 :])
    return x[half : len(x) - half] - inner / length


def _pooled(series: list[np.ndarray], lags: int) -> tuple[np.ndarray, int]:
    """Mean autocorrelation (lags + 1,) over series, and the number of values behind it."""
    total = np.zeros(lags + 1)
    weight = np.zeros(lags + 1)
    size = 0
    for x in series:
        r = _autocorrelation(x, lags)
        total[: len(r)] += r * len(x)
        weight[: len(r)] += len(x)
        size += len(x)
    return np.divide(total, weight, out=np.zeros(lags + 1), where=weight > 0), max(size, 1)


def _autocorrelation(x: np.ndarray, lags: int) -> np.ndarray:
    """Autocorrelation at lags 0..lags by FFT, each normalised by the pairs it has."""
    x = x - x.mean()
    n = len(x)
    lags = min(lags, n - 2)
    if lags < 1:
        return np.zeros(0)
    spectrum = np.fft.rfft(x, 1 << (2 * n - 1).bit_length())
    products = np.fft.irfft(spectrum * spectrum.conj())[: lags + 1]
    if products[0] <= 0:
        return np.zeros(0)
    pairs = n - np.arange(lags + 1)
    return np.asarray(products / pairs / (products[0] / n))


def _least_of_many(lags: int) -> float:
    """Standard errors that, of so many lags of noise, one exceeds in CHANCE of the series.

    Noise: differences of independent values, whose autocorrelation of -1/2 at the first lag widens
    that of all others by sqrt(1 + 2 / 4) (Bartlett 1946).
    """
    return math.sqrt(1.5) * NormalDist().inv_cdf(1 - CHANCE / lags)


def _search(series: list[np.ndarray], *, independent: bool) -> tuple[int, ...]:
    """The base season among all lags, and seven of it (a week of days) where that is stronger."""
    if not series:
        return ()
    shortest = int(np.median([len(x) for x in series]))
    longest = min(LONGEST, shortest // 3)
    if longest < 2:
        return ()
    pooled, size = _pooled([np.diff(x) for x in series], longest + 1)
    lags = np.arange(2, longest + 1)
    count = len(series) if independent else 1
    pairs = np.maximum(size * count / len(series) - lags * count, 1)
    least = np.maximum(WEAKEST, _least_of_many(longest) / np.sqrt(pairs))
    peak = (pooled[lags] > pooled[lags - 1]) & (pooled[lags] >= pooled[lags + 1])
    strong = lags[peak & (pooled[lags] >= least)]
    if len(strong) == 0:
        return ()
    best = pooled[strong].max()
    base = int(strong[pooled[strong] >= 0.75 * best][0])
    if not _shows([x for x in series if len(x) >= 2 * base + 2], base, ()):
        return ()
    week = 7 * base
    enough = [x for x in series if len(x) >= 2 * week + 2]
    if week <= LONGEST and enough and _shows(enough, week, (base,)):
        return base, week
    return (base,)
