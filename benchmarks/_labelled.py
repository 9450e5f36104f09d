"""Series with anomalies of known kinds, and the figures of a detector on them.

Axes: S series, N observations of all series together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from forecast.analysis.anomalies import warm_up
from forecast.config.schema import Settings
from forecast.data.frequency import Frequency
from forecast.data.panel import Panel
from forecast.models.forecaster import Forecaster
from forecast.models.pretrained import load_backbone
from forecast.training.plan import choose_context, choose_layout, choose_season

KINDS = ("spike", "run", "level shift", "standstill")
EVERY = 90  # steps between two injected anomalies, at least
NEAR = 3  # steps: flagged values no further apart are one alarm
SHIFT_SEEN = 10  # a level shift counts as found when it is flagged within so many steps


@dataclass(frozen=True)
class Label:
    """An anomaly that was put in: rows of the panel's values, first and last."""

    kind: str
    first: int
    last: int


@dataclass(frozen=True)
class Labelled:
    """A panel with anomalies put in, where they are, and what forecasts it."""

    name: str
    panel: Panel
    labels: list[Label]
    forecaster: Forecaster
    season: int


def labelled(name: str, panel: Panel, confirmed: tuple[int, ...], seed: int) -> Labelled:
    """`panel` with anomalies put in, a third as many as would fit EVERY steps apart."""
    typical = int(np.median(panel.lengths))
    season, _ = choose_season(panel, Settings(), confirmed, typical)
    layout, _ = choose_layout(panel, Settings(), season, typical)
    forecaster = replace(load_backbone(layout), context=choose_context(panel, layout))
    random = np.random.default_rng(seed)
    values, labels = panel.values.copy(), []
    for s in range(panel.size):
        start, stop = panel.offsets[s], panel.offsets[s + 1]
        own = values[start:stop]
        for at in _places(random, warm_up(layout) + 10, len(own) - SHIFT_SEEN - 2):
            found = _spoil(random, own, at, panel.series(s), season)
            if found is not None:
                labels.append(Label(found.kind, start + found.first, start + found.last))
    return Labelled(name, replace(panel, values=values), labels, forecaster, season)


def _places(random: np.random.Generator, first: int, last: int) -> list[int]:
    places, at = [], first
    while (at := at + int(random.integers(0, EVERY))) < last:
        places.append(at)
        at += EVERY
    return places


def _spoil(
    random: np.random.Generator, y: np.ndarray, at: int, clean: np.ndarray, season: int
) -> Label | None:
    """Puts one anomaly into `y` in place; None where values are missing."""
    kind = KINDS[random.integers(len(KINDS))]
    size = noise(clean[max(0, at - 400) : at], season) * random.uniform(4, 12)
    size *= random.choice([-1.0, 1.0])
    if clean.min(initial=0, where=np.isfinite(clean)) >= 0 and y[at] + size < 0:
        size = -size
    if kind == "spike":
        last = at
    elif kind == "run":
        last = at + int(random.integers(2, 6))
    elif kind == "standstill":
        last = at + int(random.integers(11, 24))
    else:
        last = at + SHIFT_SEEN
    if last >= len(y) or not np.isfinite(y[at : last + 1]).all():
        return None
    if kind == "standstill":
        y[at : last + 1] = y[at]
        return Label(kind, at + 1, last)
    y[at : (None if kind == "level shift" else last + 1)] += size
    return Label(kind, at, last)


def noise(y: np.ndarray, season: int) -> float:
    """Typical size of what a naive forecast of `y` gets wrong, the better of two; robust."""
    sizes = []
    for lag in {1, season}:
        error = np.abs(y[lag:] - y[:-lag])
        if np.isfinite(error).sum() > 10:
            sizes.append(float(np.nanmedian(error)) / 0.6745 / 2**0.5)
    best = min((s for s in sizes if s > 0), default=0.0)
    return best or float(np.nanstd(y)) or 1.0


@dataclass(frozen=True)
class Figures:
    """precision: share of alarms that are anomalies; recall: share of anomalies that were found, in
    all and by kind; delay: mean steps from an anomaly's start to its alarm, of those found; alarms,
    labels: how many; values: how many were judged."""

    precision: float
    recall: float
    delay: float
    by_kind: dict[str, float]
    alarms: int
    labels: int
    values: int

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def figures(flagged: np.ndarray, cases: list[Labelled], judged: int) -> Figures:
    """The figures of `flagged` rows, bool (N of all cases)."""
    start = true = alarms = 0
    delays: list[int] = []
    found: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for case in cases:
        size = len(case.panel.values)
        own = flagged[start : start + size]
        start += size
        inside = np.zeros(size, bool)
        for label in case.labels:
            inside[label.first : label.last + NEAR] = True
            hits = np.flatnonzero(own[label.first : label.last + 1])
            found[label.kind].append(len(hits) > 0)
            delays += hits[:1].tolist()
        rows = np.flatnonzero(own)
        alarm = np.cumsum(np.concatenate([[0], np.diff(rows) > NEAR])) if len(rows) else rows
        alarms += len(np.unique(alarm))
        true += len(np.unique(alarm[inside[rows]]))
    every = [hit for hits in found.values() for hit in hits]
    return Figures(
        true / alarms if alarms else 1.0,
        float(np.mean(every)),
        float(np.mean(delays)) if delays else float("nan"),
        {kind: float(np.mean(hits)) if hits else float("nan") for kind, hits in found.items()},
        alarms,
        len(every),
        judged,
    )


def synthetic(name: str, alias: str, season: int, length: int, count: int, seed: int) -> Panel:
    """Seasonal series with a wandering trend and noise: normal, or with heavier tails (Student's t
    with five degrees of freedom) in every second one."""
    random = np.random.default_rng(seed)
    parts = []
    for k in range(count):
        t = np.arange(length)
        shape = random.standard_normal(season)
        shape = np.convolve(np.tile(shape, 3), np.ones(3) / 3, "same")[season : 2 * season]
        draws = random.standard_normal(length) if k % 2 else random.standard_t(5, length)
        rest = np.zeros(length)
        for n in range(1, length):
            rest[n] = 0.5 * rest[n - 1] + draws[n]
        trend = np.cumsum(random.standard_normal(length)) * 0.05
        parts.append(100 + 3 * random.uniform(0.5, 2) * shape[t % season] + trend + rest)
    return Panel(
        np.array([f"{name}-{k}" for k in range(count)], dtype=object),
        np.arange(count + 1) * length,
        np.concatenate(parts),
        np.zeros(count, np.int64),
        Frequency(alias),
    )
