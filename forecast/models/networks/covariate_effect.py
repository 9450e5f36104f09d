"""Covariates in the network: what they do to a series is taken out before it looks, and put back.

The series in the network's units is z; the effect e(x) of covariates known ahead is a small network
of one step's features, the same for all steps and series. Level, skips, inputs and targets are
those of z - e, so that yesterday's heat or last week's holiday is not carried into tomorrow, and
the forecast gets the effect of the day that it is for: regression with LSTM errors, as in
regression with ARIMA errors (Box & Jenkins 1970). The same small network says how much wider these
features make a step's distribution, and what a series' past says of its own response to them is
added. Covariates known only up to now, and those that never change, are added to the inputs of the
LSTM. New layers start at zero: the forecast is then the plain network's.

Runs on numpy arrays and torch tensors alike.
Axes: S series, B batch, L steps of a stretch, T LSTM steps, M rows, K features, R what is said of
one step (EFFECTS).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from forecast.transforms.covariate_tensors import Known, arange_like
from forecast.transforms.windows import (
    POINTS,
    Flat,
    Gather,
    Layout,
    as_like,
    namespace,
    resample_matrix,
)

Array = Any
Amount = Callable[[Array, Array], Array]
EFFECT_UNITS = 64  # hidden units of the effect's network
EFFECTS = 2  # said of a step: the effect, the logarithm of the spread; networks of before: 1
WIDEST = 3.0  # the latter at most, either way
SPREAD_PACE = 0.2  # how fast it learns: faster, intervals of days by the calendar were too narrow
# To begin with: the logarithm of what draws a series' response to the others', and its weight.
OWN = (3.0, 1.0)
LEAST_OWN, MOST_OWN = -1.0, 2.0  # from no response at all to thrice the others'
LEAST_ERROR = 1e-12  # squared, of a series that never errs
COVARIATE_LAYERS = ("effect_", "embed_covariates")  # how the names of its tensors begin


def by_window(known: Known, effect: Callable[[Array], Array]) -> Amount:
    """What is said of steps (B, L), computed for each of them anew."""
    return lambda series, position: effect(known.read(series, position))


def by_row(known: Known, every: Array, effect: Callable[[Array], Array]) -> Amount:
    """What is said of steps (B, L), computed once for each row: for torch, where rows are fewer.

    every: what `Known.every` returns; steps without a row have no effect.
    """
    amount = effect(every)[0]
    amount = namespace(amount).concatenate([amount, amount[:1] * 0])
    return lambda series, position: amount[known.row_of_every(series, position)]


def reach(layout: Layout, steps: int, chunks: int) -> tuple[int, int]:
    """Observations that a window of `steps` LSTM steps reads before its end, and after it."""
    ahead = chunks * layout.chunk
    lag = max(*layout.lags, layout.season, layout.reach)
    return (steps + 1) * layout.width + lag + ahead + layout.level_window, ahead


def without_effect(
    flat: Flat,
    layout: Layout,
    amount: Amount,
    series: Array,
    end: Array,
    steps: int,
    chunks: int,
    own: Array | None = None,
) -> tuple[Flat, Array]:
    """What windows that end at `end` (B,) of `series` (B,) read, less the covariates' effect.

    amount: what is said of steps (B, L) of series (B,), (B, L, R), the effect in units of inputs at
    `end`; own (2,): the network's `effect_own`, None without. Returns the flat arrays,
    with the effect on the steps from `end` on, and the numbers of their series (B,).
    """
    back, ahead = reach(layout, steps, chunks)
    start = end - back
    position = start[:, None] + arange_like(series, back + ahead)[None, :]
    unit = flat.move[Gather(flat, series).index(end[None] - 1)[0]]
    said = amount(series, position)
    effect = said[..., 0] * (unit * flat.sign)[:, None]
    local, here = less(flat, layout, series, start, effect)
    xp, told = namespace(series), {"effect": effect}
    if said.shape[-1] > 1:
        told["spread"] = xp.clip(SPREAD_PACE * said[..., 1], -WIDEST, WIDEST)
    if own is not None:
        z = xp.reshape(local.values[:-1], tuple(effect.shape))
        told["own"] = own_response(layout, z, effect, own)
    ends = {name: _end_to_end(xp, x, 0.0) for name, x in told.items()}
    return replace(local, **ends), here


def own_response(layout: Layout, z: Array, effect: Array, own: Array) -> Array:
    """By what share of `effect` (B, L) each series does more than is said, (B, L), by its z (B, L)
    (less the effect; NaN where missing) up to each step.

    A random slope (Laird & Ware 1982): seasonal differences of z are regressed on those of the
    effect, drawn to 0 as by exp(own[0]) days whose effect is as large as a usual error. Errors of
    one day hang together: where an LSTM step reads a day, its values tell as much as one.
    """
    xp, lag = namespace(z), layout.season
    moved, told = z[:, lag:] - z[:, :-lag], effect[:, lag:] - effect[:, :-lag]
    known = _double(moved == moved)
    moved, told = xp.nan_to_num(moved), _double(told) * known
    both, square = xp.cumsum(moved * told, 1), xp.cumsum(told * told, 1)
    error = xp.cumsum(_double(moved) ** 2, 1) / xp.clip(xp.cumsum(known, 1), 1.0, None)
    drawn = square + xp.exp(own[0]) * layout.width * error + LEAST_ERROR
    share = xp.clip(_single(both / drawn * own[1]), LEAST_OWN, MOST_OWN)
    return xp.concatenate([effect[:, :lag] * 0, share], 1)


def less(
    flat: Flat, layout: Layout, series: Array, start: Array, effect: Array
) -> tuple[Flat, Array]:
    """The flat arrays of `series` (B,) less `effect` (B, L), and the numbers of its series (B,).

    effect: of the steps from `start` (B,) on. Positions count from the series' start as before, but
    only those from `start` to start + L can be read.
    """
    xp = namespace(series)
    size, length = effect.shape
    position = start[:, None] + arange_like(series, length)[None, :]
    inside = (position >= 0) & (position < flat.lengths[series][:, None])
    index = xp.where(inside, position + flat.starts[series][:, None], len(flat.values) - 1)
    values = flat.values[index]
    valid = _double(values == values)
    mean = _rolling_mean(xp, _double(effect) * valid, valid, layout.level_window)

    here = arange_like(series, size)
    return Flat(
        values=_end_to_end(xp, values - effect, float("nan")),
        level=_end_to_end(xp, (flat.level[index] - _single(mean)) * _single(inside), 0.0),
        scale=_end_to_end(xp, flat.scale[index], 0.0),
        move=_end_to_end(xp, flat.move[index], 1.0),
        starts=here * length - start,
        lengths=flat.lengths[series],
        logged=flat.logged[series],
        log_unit=flat.log_unit[series],
        shift=None if flat.shift is None else flat.shift[series],
        unit=None if flat.unit is None else flat.unit[series],
    ), here


def _end_to_end(xp: Any, x: Array, end: float) -> Array:
    """The rows of x (B, L) after each other, and a sentinel, (B*L + 1,)."""
    return xp.concatenate([xp.reshape(x, (-1,)), x[:1, 0] * 0 + end])


def beside(known: Known, layout: Layout, series: Array, end: Array, steps: int) -> Array:
    """Past and static features (T, B, E*P + G) of the `steps` LSTM steps up to `end` (B,)."""
    xp, width = namespace(series), layout.width
    size = len(series)
    back = arange_like(series, steps * width) - steps * width
    row = known.rows(series, end[:, None] + back[None, :])
    past = xp.reshape(known.past[row], (size, steps, width, known.past.shape[1]))
    if width not in (1, POINTS):
        past = as_like(resample_matrix(width, POINTS), past) @ past
    past = xp.reshape(past, (size, steps, known.past.shape[1] * layout.segment_points))
    static = known.static[series][:, None, :] + past[:, :, :1].sum(-1)[:, :, None] * 0
    return xp.concatenate([past, static], -1).swapaxes(0, 1)


def _rolling_mean(xp: Any, x: Array, valid: Array, window: int) -> Array:
    """Mean of the valid x (B, L) among the last `window`; where there is none, the one before."""
    length = x.shape[1]
    zero = x[:, :1] * 0
    total = xp.concatenate([zero, xp.cumsum(x, 1)], 1)
    count = xp.concatenate([zero, xp.cumsum(valid, 1)], 1)
    here = arange_like(x, length)
    first = xp.clip(here + 1 - window, 0, None)
    inside = count[:, 1:] - count[:, first]
    mean = (total[:, 1:] - total[:, first]) / xp.clip(inside, 1.0, None)
    last = xp.where(inside > 0, here[None, :], 0)
    if xp is np:
        return np.take_along_axis(mean, np.maximum.accumulate(last, 1), 1)
    return xp.gather(mean, 1, xp.cummax(last, 1).values)


def _double(x: Array) -> Array:
    return x.astype(np.float64) if isinstance(x, np.ndarray) else x.double()


def _single(x: Array) -> Array:
    return x.astype(np.float32) if isinstance(x, np.ndarray) else x.float()
