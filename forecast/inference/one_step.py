"""Forecasts one step ahead from every origin of every series at once, in original units.

One pass of the network gives its state after each LSTM step, and so the forecasts of many origins.
Windows begin at whole multiples of the context, counted in LSTM steps from a series' start, and
overlap by half: each origin's state has read between one context and two, and depends on nothing
after the origin, nor on where the series ends. A stream that carries its states
(forecast/inference/streaming.py) makes the same forecasts.

Axes: S series, N observations of all series, M forecasts, T LSTM steps, B windows, Q quantiles.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from forecast.data.open_steps import as_read
from forecast.data.panel import Panel
from forecast.inference.conformal import stretch
from forecast.inference.predict import quantiles_from
from forecast.models.forecaster import Forecaster
from forecast.models.likelihoods import quantiles_at
from forecast.models.networks.numpy_forward import forward, states
from forecast.transforms.covariates import encode
from forecast.transforms.scaling import Scaled, scale_panel
from forecast.transforms.windows import Flat, ahead, context

WINDOWS_AT_ONCE = 48
ORIGINS_AT_ONCE = 2048


def one_step_ahead(forecaster: Forecaster, panel: Panel, logged: np.ndarray) -> np.ndarray:
    """Quantiles (N, Q) of every value of `panel`, each from the values before it.

    logged: bool (S,), the series to take logarithms of (a forecaster of counts takes none); their
    values that have none count as missing. NaN where a series had not moved before the value, so
    that it has no unit.
    """
    logged = logged & (not forecaster.whole)
    values = as_read(panel)
    usable = np.where(np.repeat(logged, panel.lengths) & ~(values > 0), np.nan, values)
    scaled = scale_panel(
        usable,
        panel.offsets,
        lags=[lag for lag in forecaster.layout.lags if lag],
        level_window=forecaster.layout.level_window,
        logged=logged,
    )
    with threadpool_limits(1, "blas"):
        if forecaster.design is None and forecaster.network == "lstm":
            made = _from_shared_states(forecaster, scaled)
        else:
            made = _from_own_windows(forecaster, panel, scaled)
    quantiles = stretch(made, forecaster.factors)
    if forecaster.whole:  # counts again, not what the way there and back has left of them
        quantiles = np.rint(quantiles)
    quantiles[1:][scaled.scale[:-1] == 0] = np.nan
    quantiles[panel.offsets[:-1][panel.lengths > 0]] = np.nan
    return quantiles


def _from_shared_states(forecaster: Forecaster, scaled: Scaled) -> np.ndarray:
    """As `one_step_ahead`, uncalibrated, from windows that share their passes."""
    flat, layout, steps = Flat.of(scaled), forecaster.layout, forecaster.context
    out = np.empty((len(scaled.values), len(forecaster.levels)))
    series, end = _windows(flat.lengths, layout.width, steps)
    back = (steps - 1 - np.arange(steps))[:, None] * layout.width
    for first in range(0, len(series), WINDOWS_AT_ONCE):
        mine = slice(first, first + WINDOWS_AT_ONCE)
        x = context(flat, layout, series[mine], end[mine], 2 * steps)
        origin = end[mine][None, :] - back
        inside = np.flatnonzero((origin < flat.lengths[series[mine]][None, :]).ravel())
        known = [
            states(weights, x, network=forecaster.network)[steps:].reshape(
                -1, weights["norm.bias"].shape[0]
            )[inside]
            for weights in forecaster.members
        ]
        who = np.broadcast_to(series[mine], origin.shape).ravel()[inside]
        where = origin.ravel()[inside]
        for part in range(0, len(inside), ORIGINS_AT_ONCE):
            few = slice(part, part + ORIGINS_AT_ONCE)
            z = _head(forecaster, flat, who[few], where[few], [state[few] for state in known])
            rows = flat.starts[who[few]] + where[few]
            out[rows] = scaled.transform.invert(z, np.broadcast_to(who[few][:, None], z.shape))
    return out


def _windows(lengths: np.ndarray, width: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Series and last origin of the windows whose latter halves hold every origin 0 .. length - 1.

    The origins of one window lie `width` apart; `steps` of them fill half a window.
    """
    blocks = -(-lengths // (width * steps))
    series = np.repeat(np.arange(len(lengths)), blocks * width)
    before = np.cumsum(blocks * width) - blocks * width
    block, phase = np.divmod(np.arange(len(series)) - before[series], width)
    return series, phase + width * ((block + 1) * steps - 1)


def _head(
    forecaster: Forecaster,
    flat: Flat,
    series: np.ndarray,
    origin: np.ndarray,
    known: list[np.ndarray],
) -> np.ndarray:
    """Quantiles (M, Q) of the step after each origin (M,), in the network's units."""
    layout, levels = forecaster.layout, len(forecaster.levels)
    trained = -(-forecaster.horizon // layout.chunk)
    decoder = ahead(flat, layout, series, origin[None, :], 1)
    parts = [
        forward(weights, layout, state[None], decoder, levels, trained, forecaster.likelihood)[
            :, :, :1, :1
        ]
        for weights, state in zip(forecaster.members, known, strict=True)
    ]
    mean = quantiles_at(
        sum(parts[1:], parts[0]) / len(parts), forecaster.levels, decoder, forecaster.likelihood
    )[0, :, 0, 0]
    return mean.astype(np.float64) + decoder.level[0][:, None]


def _from_own_windows(forecaster: Forecaster, panel: Panel, scaled: Scaled) -> np.ndarray:
    """As `one_step_ahead`, uncalibrated, a window of the context for each origin: what covariates
    do to a series is measured in the units of its last step; some networks have no states."""
    flat = Flat.of(scaled)
    known = None if forecaster.design is None else encode(forecaster.design, panel, 1)
    out = np.empty((len(scaled.values), len(forecaster.levels)))
    series = np.repeat(np.arange(panel.size), panel.lengths)
    origin = np.arange(len(series)) - panel.offsets[:-1][series]
    for first in range(0, len(series), ORIGINS_AT_ONCE // 8):
        mine = slice(first, first + ORIGINS_AT_ONCE // 8)
        who = series[mine]
        cut = replace(
            flat,
            starts=flat.starts[who],
            lengths=origin[mine],
            logged=flat.logged[who],
            log_unit=flat.log_unit[who],
            shift=None if flat.shift is None else flat.shift[who],
            unit=None if flat.unit is None else flat.unit[who],
        )
        own = known and replace(
            known,
            starts=known.starts[who],
            lengths=known.lengths[who],
            shared_starts=known.shared_starts[who],
            static=known.static[who],
        )
        z = quantiles_from(forecaster, cut, own, np.arange(len(who)), 1)[:, 0]
        out[mine] = scaled.transform.invert(z, np.broadcast_to(who[:, None], z.shape))
    return out
