"""Windows as index pairs: (series, origin) -> inputs, skips and targets, gathered on the fly.

Nothing is materialised: a window is two integers, and a batch is gathered from the flat arrays of
`scaling.Scaled` when it is needed, on whatever device they live. The code runs unchanged on numpy
arrays (prediction, no torch needed) and on torch tensors (training).

Axes: T LSTM steps, B batch, O origins of a window, D chunks ahead, C steps of a chunk, W steps of
one LSTM step, P = 24 points, J skips, F features. An origin is the number of observations before
the forecast, counted from the start of its series.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from forecast.transforms.scaling import Scaled

POINTS = 24  # values that the network reads or writes for one segment or chunk
CLIP = 20.0  # inputs in units of the scale beyond this say no more than "far"
SKIPS = 6  # level, unit lag, one, two, three seasons, long season
SCALARS = 10  # features of an LSTM step that are not values of its segment

Array = Any  # numpy.ndarray or torch.Tensor


@dataclass(frozen=True)
class Layout:
    """How a grid in time maps on the network's steps; all lengths in observations.

    width   W: observations that one LSTM step reads (1, or one day for sub-daily data)
    chunk   C: observations that one block of the head forecasts (24, or one day)
    season  the seasonal lag (the season; one week for sub-daily data)
    long    a longer season if the data have one (364 days of daily data), else 0
    level_window  observations in the level
    """

    width: int
    chunk: int
    season: int
    long: int = 0
    level_window: int = 1

    @property
    def lags(self) -> tuple[int, ...]:
        """Lags of skips 1 .. J-1 in observations; 0 where the skip does not exist."""
        s = self.season
        several = s > 1
        return (
            self.width,
            s if several else 0,
            2 * s if several else 0,
            3 * s if several else 0,
            self.long,
        )

    @property
    def reach(self) -> int:
        """Steps over which the drift is measured: whole seasons, two or as many as make 24."""
        return self.season * max(2, -(-24 // self.season))

    @property
    def segment_points(self) -> int:
        """Points the network reads for one LSTM step: 1, or 24 for a day."""
        return 1 if self.width == 1 else POINTS

    @property
    def features(self) -> int:
        """F, the inputs of one LSTM step."""
        return 5 * self.segment_points + SCALARS


def segment_layout(steps_per_day: int) -> Layout:
    """Daily segments for sub-daily data: one LSTM step is one day, the season one week."""
    return Layout(steps_per_day, steps_per_day, 7 * steps_per_day, level_window=steps_per_day)


def step_layout(season: int, long: int = 0) -> Layout:
    """One LSTM step is one observation.

    The level is the mean of one season; of a long season it would be an old mean, so four values
    do (chosen on validation origins: weekly data, season 52).
    """
    return Layout(1, POINTS, season, long, level_window=season if season <= 12 else 4)


@dataclass(frozen=True)
class Flat:
    """The flat arrays that windows are gathered from, all on one device.

    values, level, scale, move: float32 (N+1,), the last one a sentinel (NaN, 0, 0, 1) that stands
    for every position outside a series; starts, lengths: int64 (S,); logged float32 (S,): 1 where
    values are logarithms; log_unit float32 (S,): log of their unit then, else 0; shift, unit
    float32 (S,): values * unit + shift are those before scaling (None: not known here, and only
    forecasts of counts ask); sign: -1 where the series are mirrored; effect, spread, own float32
    (N+1,): what `DecoderInputs` says of covariates, those of the steps to come among them.
    """

    values: Array
    level: Array
    scale: Array
    move: Array
    starts: Array
    lengths: Array
    logged: Array
    log_unit: Array
    shift: Array | None = None
    unit: Array | None = None
    sign: float = 1.0
    effect: Array | None = None
    spread: Array | None = None
    own: Array | None = None

    @classmethod
    def of(cls, scaled: Scaled) -> Flat:
        """The flat arrays of `scaled`, in numpy."""
        ends = {"values": np.nan, "level": 0.0, "scale": 0.0, "move": 1.0}
        fields: dict[str, Any] = {
            name: np.append(getattr(scaled, name), np.float32(x)) for name, x in ends.items()
        }
        transform = scaled.transform
        return cls(
            **fields,
            starts=scaled.offsets[:-1].copy(),
            lengths=np.diff(scaled.offsets),
            logged=transform.logged.astype(np.float32),
            log_unit=np.where(transform.logged, np.log(transform.unit), 0.0).astype(np.float32),
            shift=transform.shift.astype(np.float32),
            unit=transform.unit.astype(np.float32),
        )


@dataclass(frozen=True)
class DecoderInputs:
    """What the head reads for each origin and what its output is added to.

    skips     (O, B, D, J, C): skip j's forecast relative to the level, 0 where it does not exist
    carried   (O, B, D, J, C): the level's change since skip j's origin
    present   (O, B, D, J, C): 1 where the skip's value exists
    level, scale, move  (O, B): of the origin; all values in the series' transformed units
    shift, unit  (B,): of the series, see `Flat`
    effect    (O, B, D, C): what covariates known ahead do to each step, which was taken out of the
              values; None without any
    spread    (O, B, D, C): logarithm of how many times as wide they make its distribution
    own       (O, B): by what share of `effect` this series is known to do more; None, as `spread`,
              where the network has not learnt of it
    """

    skips: Array
    carried: Array
    present: Array
    level: Array
    scale: Array
    move: Array
    shift: Array | None = None
    unit: Array | None = None
    effect: Array | None = None
    spread: Array | None = None
    own: Array | None = None

    @property
    def base(self) -> Array:
        """What the head's quantiles and locations are relative to: the level and the covariates'
        effect, (O, B, D, C), or (O, B, 1, 1) without any."""
        level = self.level[:, :, None, None]
        return level if self.effect is None else level + self.effect


class Gather:
    """Reads the flat arrays at positions of a batch of series; `series` int64 (B,)."""

    def __init__(self, flat: Flat, series: Array) -> None:
        self.flat = flat
        self.xp = namespace(series)
        self.start, self.length = flat.starts[series], flat.lengths[series]
        self.sentinel = flat.values.shape[0] - 1  # not len: a graph that is exported keeps it open

    def index(self, position: Array) -> Array:
        """Flat index of `position` (., B, ...); the sentinel's where outside the series."""
        last = (..., *[None] * (position.ndim - 2))
        start, length = self.start[last], self.length[last]
        inside = (position >= 0) & (position < length)
        return self.xp.where(inside, position + start, self.sentinel)

    def values(self, position: Array) -> tuple[Array, Array]:
        """Values at `position`, 0 where missing or outside, and 1.0 where there is one."""
        raw = self.flat.values[self.index(position)]
        valid = _float(raw == raw)
        return self.xp.nan_to_num(raw), valid

    def level(self, origin: Array) -> Array:
        """The level known at `origin`; 0 before the series begins."""
        return self.flat.level[self.index(origin - 1)]

    def scale(self, origin: Array) -> tuple[Array, Array]:
        """The unit of errors known at `origin`, 1 where there is none, and 1.0 where there is."""
        scale = self.flat.scale[self.index(origin - 1)]
        known = _float(scale > 0)
        return scale + 1 - known, known


def namespace(array: Array) -> Any:
    """The module whose functions take this array: numpy, or torch if it is a tensor."""
    return np if isinstance(array, np.ndarray) else sys.modules["torch"]


def context(flat: Flat, layout: Layout, series: Array, end: Array, steps: int) -> Array:
    """Inputs (T, B, F) of the `steps` LSTM steps that end at origin `end` (B,) of `series` (B,)."""
    read = Gather(flat, series)
    xp, width, lag = read.xp, layout.width, layout.season
    origin = end[None, :] - (steps - 1 - _range(end, steps))[:, None] * width  # (T, B)
    known = read.index(origin - 1)
    level, move = flat.level[known], flat.move[known]
    ago = read.level(origin - lag)
    begun, had_last, had_ago = (_float(origin > n) for n in (0, width, lag))
    scale, moved = read.scale(origin)
    step = moved / move  # 0 while no unit is known: a value as it is would tell of later ones

    now, last, season, coming = _segments(read, layout, end, steps)
    (now, now_valid), (last, last_valid) = now, last
    (season, season_valid), (coming, coming_valid) = season, coming
    level_, step_, ago_ = level[:, :, None], step[:, :, None], ago[:, :, None]
    several = had_ago[:, :, None] * (1.0 if lag > width else 0.0)
    parts = [
        _clip(xp, (now - level_) * step_) * now_valid,
        _clip(xp, (now - last) * step_) * now_valid * last_valid,
        _clip(xp, (season - ago_) * step_) * season_valid * several,
        _clip(xp, (coming - ago_) * step_) * coming_valid * several,
        now_valid,
    ]
    scalars = [
        _clip(xp, (level - read.level(origin - width)) * step) * had_last,
        _clip(xp, (level - ago) * step) * had_ago,
        had_ago,
        begun,
        # The relative size of a step: known for logarithms alone, and free of the series' unit,
        # which all of its values have a part in.
        _clip(xp, xp.log(move) + flat.log_unit[series]) * flat.logged[series] * moved,
        begun * flat.logged[series],
        xp.log(scale / move) * moved,
        xp.log1p(xp.clip(origin, 0, None) / lag),
        begun * float(np.log(lag / width)),
        begun * (1.0 if layout.long else 0.0),
    ]
    return _float(xp.concatenate(parts + [s[:, :, None] for s in scalars], -1))


def ahead(flat: Flat, layout: Layout, series: Array, origin: Array, chunks: int) -> DecoderInputs:
    """Skips for `chunks` blocks after `origin` (O, B) of `series` (B,)."""
    read = Gather(flat, series)
    xp = read.xp
    known = read.index(origin - 1)
    level = flat.level[known]
    step = np.arange(chunks * layout.chunk).reshape(chunks, 1, layout.chunk)
    later = as_like(step.astype(np.float32) + 1, level)
    lags = [lag for lag in layout.lags if lag]
    # A skip repeats the last values: of its lag, or of as many full cycles as the step needs.
    back = np.concatenate([(step // lag + 1) * lag - step for lag in lags], 1)  # (D, lags, C)
    value, valid = read.values(origin[:, :, None, None, None] - as_like(back, origin))
    value = (value - level[:, :, None, None, None]) * valid
    drift = _drift(read, layout, origin, level)[:, :, None, None, None]
    # Skip 0 is the level itself, which stands in the middle of its window.
    zero = value[:, :, :, :1] * 0
    skips, present = [zero], [zero + 1]
    carried = [drift * (later + (layout.level_window - 1) / 2)]
    for lag in layout.lags:
        if not lag:
            for parts in (skips, carried, present):
                parts.append(zero)
            continue
        at = lags.index(lag)
        skips.append(value[:, :, :, at : at + 1])
        present.append(valid[:, :, :, at : at + 1])
        moved = drift * later if lag == 1 else _level_change(read, origin, level, lag, step)
        carried.append(moved + zero)
    return DecoderInputs(
        skips=xp.concatenate(skips, -2),
        carried=xp.concatenate(carried, -2),
        present=xp.concatenate(present, -2),
        level=level,
        scale=read.scale(origin)[0],
        move=flat.move[known],
        shift=None if flat.shift is None else flat.shift[series],
        unit=None if flat.unit is None else flat.unit[series],
        effect=_coming(flat, flat.effect, series, origin, step),
        spread=_coming(flat, flat.spread, series, origin, step),
        own=None if flat.own is None else flat.own[flat.starts[series] + origin - 1],
    )


def _coming(
    flat: Flat, x: Array | None, series: Array, origin: Array, step: np.ndarray
) -> Array | None:
    """x (N+1,) at the steps (D, 1, C) after `origin`, (O, B, D, C), a series' end or not."""
    if x is None:
        return None
    first = flat.starts[series] + origin
    return x[first[:, :, None, None] + as_like(step[:, 0], origin)]


def _drift(read: Gather, layout: Layout, origin: Array, level: Array) -> Array:
    """Mean change of the level a step over `layout.reach` steps or all there are, (O, B).

    0 where the past holds one window of the level alone, and for segments of a day, whose level
    a day ago says more.
    """
    xp = read.xp
    then = xp.clip(origin - layout.reach, layout.level_window, None)
    span = xp.clip(origin - then, 1, None)
    known = (origin > then) * float(layout.width == 1)
    return (level - read.level(then)) / span * known


def _level_change(read: Gather, origin: Array, level: Array, lag: int, step: np.ndarray) -> Array:
    """Level now less the level as many cycles of `lag` ago as each of the steps (D, 1, C) needs:
    (O, B, D, 1, C), or 1 for D and C where one cycle does; 0 where unknown."""
    cycle = step // lag
    then = origin[:, :, None] - as_like(np.arange(1, cycle.max() + 2) * lag, origin)
    change = (level[:, :, None] - read.level(then)) * (then > 0)
    return change[:, :, as_like(cycle, origin)] if cycle.any() else change[..., None, None]


def targets(
    flat: Flat, layout: Layout, series: Array, origin: Array, chunks: int, horizon: int
) -> tuple[Array, Array]:
    """Future values relative to the level, and 1.0 where known: each (O, B, D, C).

    Nothing is asked at an origin before which the series has not moved: it has no unit yet.
    """
    read = Gather(flat, series)
    step = _range(origin, chunks * layout.chunk)
    value, valid = read.values(origin[:, :, None] + step)
    known = valid * (step < horizon) * read.scale(origin)[1][:, :, None]
    shape = (*tuple(origin.shape), chunks, layout.chunk)
    relative = (value - read.level(origin)[:, :, None]) * known
    return read.xp.reshape(relative, shape), read.xp.reshape(known, shape)


def resample_matrix(source: int, target: int) -> np.ndarray:
    """Rows average (or interpolate linearly) `source` equal parts of a day to `target`: float32."""
    if source == target:
        return np.eye(source, dtype=np.float32)
    if source > target:
        edges = np.linspace(0, source, target + 1)
        left = np.maximum(edges[:-1, None], np.arange(source)[None, :])
        right = np.minimum(edges[1:, None], np.arange(1, source + 1)[None, :])
        share = np.clip(right - left, 0, None)
        return (share / share.sum(1, keepdims=True)).astype(np.float32)
    centre = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    low = (
        np.minimum(np.floor(centre).astype(int), source - 2)
        if source > 1
        else np.zeros(target, int)
    )
    high = np.minimum(low + 1, source - 1)
    matrix = np.zeros((target, source), np.float32)
    matrix[np.arange(target), low] += (1 - (centre - low)).astype(np.float32)
    matrix[np.arange(target), high] += (centre - low).astype(np.float32)
    return matrix


def _segments(read: Gather, layout: Layout, end: Array, steps: int) -> list[tuple[Array, Array]]:
    """At each of the `steps` LSTM steps before `end` (B,): its own segment, the one before, the
    one a season earlier and the one after that; values and validity, each (T, B, 1 or P).

    All four are parts of one stretch of segments: it is gathered once, if it is not too long.
    """
    width, lag = layout.width, layout.season
    before = max(lag // width, 1)  # segments from a season ago to now
    if lag % width or before > 2 * steps:
        first = end[None, :] - (steps - _range(end, steps))[:, None] * width
        here = first[:, :, None] + _range(end, width)
        return [_segment(read, layout, here + off) for off in (0, -width, -lag, width - lag)]
    back = before + steps - _range(end, before + steps)  # segments before the end
    first = end[None, :] - back[:, None] * width
    value, valid = _segment(read, layout, first[:, :, None] + _range(end, width))
    starts = (before, before - 1, 0, 1)
    return [(value[n : n + steps], valid[n : n + steps]) for n in starts]


def _segment(read: Gather, layout: Layout, position: Array) -> tuple[Array, Array]:
    """Segment values at `position` (T, B, W), brought to the network's points: (T, B, 1 or P)."""
    value, valid = read.values(position)
    if layout.width in (1, POINTS):
        return value, valid
    matrix = as_like(resample_matrix(layout.width, POINTS).T, value)
    weight = valid @ matrix
    return (value @ matrix) / read.xp.clip(weight, 1e-6, None), _float(weight >= 0.5)


def as_like(constant: np.ndarray, array: Array) -> Array:
    """A numpy constant on the device of `array`."""
    if isinstance(array, np.ndarray):
        return constant
    if array.device.type == "cpu":
        return sys.modules["torch"].from_numpy(constant)
    return _on_device(constant.tobytes(), constant.dtype.str, constant.shape, array.device)


@lru_cache(maxsize=64)
def _on_device(content: bytes, kind: str, shape: tuple[int, ...], device: Any) -> Array:
    """A constant that stays on a GPU: to copy it there at every step would be to wait for it."""
    constant = np.frombuffer(content, kind).reshape(shape).copy()
    return sys.modules["torch"].from_numpy(constant).to(device)


def _range(like: Array, n: int) -> Array:
    if isinstance(like, np.ndarray):
        return np.arange(n)
    return sys.modules["torch"].arange(n, device=like.device)


def _clip(xp: Any, x: Array) -> Array:
    return xp.clip(x, -CLIP, CLIP)


def _float(x: Array) -> Array:
    return x.astype(np.float32) if isinstance(x, np.ndarray) else x.float()
