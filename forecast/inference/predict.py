"""A trained forecaster and a panel give forecasts in original units; numpy alone, no torch.

Axes: S series, H horizon (steps), Q quantiles, B series of one batch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from forecast.common.quantiles import at_other_levels
from forecast.common.resources import available_cores
from forecast.data.forecast import Forecast
from forecast.data.limits import Limits
from forecast.data.open_steps import as_read
from forecast.data.panel import Panel
from forecast.inference.conformal import stretch
from forecast.inference.longer_steps import (
    LEAST_BEYOND,
    means_of,
    regular,
    towards_means,
    whole_steps,
)
from forecast.models.forecaster import Forecaster
from forecast.models.likelihoods import quantiles_at
from forecast.models.networks.covariate_effect import beside, by_window, reach, without_effect
from forecast.models.networks.numpy_forward import effect, forward, last_state
from forecast.models.networks.numpy_ops import Weights
from forecast.models.pretrained import load_backbone
from forecast.transforms.augment import View, distinct, restored, seen
from forecast.transforms.covariate_tensors import Known
from forecast.transforms.covariates import encode
from forecast.transforms.windows import Flat, ahead, context, step_layout

VALUES_AT_ONCE = 2_000_000  # observations that are scaled together; series are independent
NUMBERS_AT_ONCE = 6_000_000  # float32 values that a batch may hold at its widest
LEAST_VALUES = 3  # below this the last value is all that there is to say
NAIVE = "SeasonalNaive"


def forecast_panel(
    forecaster: Forecaster, panel: Panel, horizon: int, *, allow_negative: bool = False
) -> Forecast:
    """Forecasts of the `horizon` steps after the end of every series of `panel`.

    Only the panel's own values are used, and those covariates of the steps to come that are known
    ahead (where missing: an average): to forecast from an earlier origin, truncate it. Series
    that were never negative get no negative forecast unless allowed, those always zero on a day or
    an hour of the week get zero there. A series with fewer than three values gets its last value,
    with source SeasonalNaive; one without any is unavailable.
    """
    if panel.size > 1 and len(panel.values) > VALUES_AT_ONCE:
        groups = (panel.select(rows) for rows in _groups(panel))
        return _joined([_forecast(forecaster, g, horizon, allow_negative) for g in groups])
    return _forecast(forecaster, panel, horizon, allow_negative)


def _forecast(forecaster: Forecaster, panel: Panel, horizon: int, allow_negative: bool) -> Forecast:
    started = time.monotonic()
    panel = replace(panel, values=as_read(panel))
    quantiles = _read(forecaster, panel, whole_steps(forecaster.longer, horizon))
    if forecaster.longer:
        quantiles = _with_longer_steps(forecaster, panel, quantiles)[:, :horizon]
    quantiles = stretch(quantiles, forecaster.factors)
    if forecaster.whole:
        quantiles = np.rint(quantiles)
    source, available = _fall_back(panel, quantiles, forecaster.name)
    made = Forecast(
        name=forecaster.name,
        origins=panel.lengths,
        point=quantiles[:, :, len(forecaster.levels) // 2].copy(),
        levels=forecaster.levels,
        quantiles=quantiles,
        source=source,
        available=available,
        whole=forecaster.whole,
    )
    made = Limits.of(panel, horizon, allow_negative=allow_negative).keep(made)
    return replace(made, seconds=time.monotonic() - started)


def _read(forecaster: Forecaster, panel: Panel, horizon: int) -> np.ndarray:
    """Quantiles (S, H, Q) in original units, the mean of the views; not calibrated."""
    quantiles = np.zeros((panel.size, horizon, len(forecaster.levels)))
    for view in distinct(forecaster.views, panel.values, panel.offsets):
        quantiles += view.weight * _as_seen(forecaster, panel, horizon, view)
    return quantiles


def _with_longer_steps(forecaster: Forecaster, panel: Panel, quantiles: np.ndarray) -> np.ndarray:
    """The quantiles (S, H, Q), drawn towards what the pretrained network says of longer steps, read
    in one way: several take another tenth of a per cent off, in up to twice the time."""
    found, regularly = [], regular(panel)
    for each in forecaster.longer:
        means = means_of(panel, each.steps)
        wanted = np.full((panel.size, quantiles.shape[1] // each.steps), np.nan)
        rows = np.flatnonzero(regularly & (means.lengths >= each.season + LEAST_BEYOND))
        if len(rows):
            reader = replace(load_backbone(step_layout(each.season)), context=each.context)
            made = _as_seen(reader, means.select(rows), wanted.shape[1], View())
            wanted[rows] = made[..., len(reader.levels) // 2]
        found.append((each.steps, wanted))
    return towards_means(quantiles, panel, found)


def _as_seen(forecaster: Forecaster, panel: Panel, horizon: int, view: View) -> np.ndarray:
    """Quantiles (S, H, Q) in original units from one view of the series; not calibrated."""
    flat, transform = seen(panel.values, panel.offsets, forecaster.layout, view)
    known = None
    if forecaster.design is not None:
        known = encode(forecaster.design, panel, horizon)
    quantiles = np.empty((panel.size, horizon, len(forecaster.levels)))
    batch = _batch_size(forecaster, horizon)

    def fill(start: int) -> None:
        rows = np.arange(start, min(start + batch, panel.size))
        z = quantiles_from(forecaster, flat, known, rows, horizon)
        owner = np.broadcast_to(rows[:, None, None], z.shape)
        quantiles[rows] = restored(z, transform, owner, view)

    # Threads take whole batches, and BLAS one thread in each: its products are small, and the
    # result does not depend on the machine's cores.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(fill, range(0, panel.size, batch)))
    return quantiles


def _groups(panel: Panel) -> list[np.ndarray]:
    """The positions of series in runs of about VALUES_AT_ONCE values: scaling takes many copies."""
    group = panel.offsets[:-1] // VALUES_AT_ONCE
    return np.split(np.arange(panel.size), np.flatnonzero(np.diff(group)) + 1)


def _joined(parts: Sequence[Forecast]) -> Forecast:
    """One forecast of the series of all `parts`, in their order."""
    join: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("origins", "point", "quantiles", "source", "available")
    }
    return replace(parts[0], **join, seconds=sum(part.seconds for part in parts))


def at_levels(forecast: Forecast, wanted: np.ndarray) -> Forecast:
    """The forecast with quantiles at `wanted` levels (see common/quantiles.py), where those of a
    series were never below zero not below it either."""
    quantiles = at_other_levels(forecast.quantiles, forecast.levels, wanted)
    floor = np.where((forecast.quantiles >= 0).all(axis=(1, 2)), 0.0, -np.inf)
    quantiles = np.maximum(quantiles, floor[:, None, None])
    if forecast.whole:
        quantiles = np.rint(quantiles)
    return replace(forecast, levels=np.asarray(wanted, float), quantiles=quantiles)


def _batch_size(forecaster: Forecaster, horizon: int) -> int:
    layout = forecaster.layout
    hidden = len(forecaster.members[0]["norm.bias"])
    reading = forecaster.context * (5 * layout.width + 6 * hidden)
    if forecaster.design is not None:
        reading += sum(reach(layout, forecaster.context, -(-horizon // layout.chunk))) * 200
    ahead_ = (-(-horizon // layout.chunk)) * (
        layout.chunk * (20 + 2 * len(forecaster.levels)) + 600
    )
    return int(np.clip(NUMBERS_AT_ONCE // (reading + ahead_), 1, 4096))


def quantiles_from(
    forecaster: Forecaster, flat: Flat, known: Known | None, rows: np.ndarray, horizon: int
) -> np.ndarray:
    """Quantiles (B, H, Q) after the ends of the series `rows` (B,) of `flat`, the members' mean,
    in the network's units; not calibrated."""
    if known is None:
        return _members_mean(forecaster, flat, rows, horizon, forecaster.members)
    parts = [
        _with_covariates(forecaster, flat, known, rows, horizon, weights)
        for weights in forecaster.members
    ]
    return sum(parts[1:], parts[0]) / len(parts)


def _members_mean(
    forecaster: Forecaster,
    flat: Flat,
    rows: np.ndarray,
    horizon: int,
    members: Sequence[Weights],
    beside_: np.ndarray | None = None,
) -> np.ndarray:
    """Quantiles (B, H, Q) of `rows` in the network's units, the mean of `members`, float64."""
    layout = forecaster.layout
    origin = flat.lengths[rows]
    x = context(flat, layout, rows, origin, forecaster.context)
    trained = -(-forecaster.horizon // layout.chunk)
    decoder = ahead(flat, layout, rows, origin[None, :], -(-horizon // layout.chunk))
    total: np.ndarray | None = None
    for weights in members:
        state = last_state(weights, x, beside_, forecaster.network)
        part = forward(
            weights, layout, state, decoder, len(forecaster.levels), trained, forecaster.likelihood
        )
        total = part if total is None else total + part
    assert total is not None
    made = quantiles_at(total / len(members), forecaster.levels, decoder, forecaster.likelihood)
    made = made.astype(np.float64) + decoder.base[..., None]
    return made[0].reshape(len(rows), -1, len(forecaster.levels))[:, :horizon]


def _with_covariates(
    forecaster: Forecaster,
    flat: Flat,
    known: Known,
    rows: np.ndarray,
    horizon: int,
    weights: Weights,
) -> np.ndarray:
    """As `_members_mean` of one member, with the covariates that it has learnt from."""
    layout, steps = forecaster.layout, forecaster.context
    origin = flat.lengths[rows]
    extra = beside(known, layout, rows, origin, steps) if known.beside(layout) else None
    if not known.ahead:
        return _members_mean(forecaster, flat, rows, horizon, (weights,), extra)
    local, here = without_effect(
        flat,
        layout,
        by_window(known, partial(effect, weights)),
        rows,
        origin,
        steps,
        -(-horizon // layout.chunk),
        own=weights.get("effect_own"),
    )
    return _members_mean(forecaster, local, here, horizon, (weights,), extra)


def _fall_back(panel: Panel, quantiles: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Fills in place what the network `name` cannot say; returns source (S,) and available (S,)."""
    series = np.repeat(np.arange(panel.size), panel.lengths)
    known = np.isfinite(panel.values)
    count = np.bincount(series[known], minlength=panel.size)
    failed = (count < LEAST_VALUES) | ~np.isfinite(quantiles).all((1, 2))
    last = np.full(panel.size, np.nan)
    last[series[known]] = panel.values[known]  # the last assignment wins: the latest value
    quantiles[failed] = last[failed, None, None]
    source = np.where(failed, NAIVE, name).astype(object)
    return source, count > 0
