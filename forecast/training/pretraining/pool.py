"""Pools of synthetic series to draw windows from: made here, or ahead of use by worker processes.

Without torch, so that a worker starts fast. Axes: S series, N observations of all series.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np

from forecast.training.pretraining.config import StepSeries, SyntheticConfig
from forecast.training.pretraining.generate import SyntheticBatch, generate
from forecast.transforms.scaling import calls_for_log, scale_panel
from forecast.transforms.windows import Flat, Layout, segment_layout, step_layout

LENGTH = {"step": 320, "day": 42 * 24}
# Daily series of two to four years, for the skip that looks back a year.
YEAR, LONG_LENGTH, LONG_SHARE = 364, 4 * 364, 15
YEARS = SyntheticConfig(step=StepSeries(seasons={7: 1.0}, lengths={7: (2 * YEAR + 2, LONG_LENGTH)}))
LEAST_STEPS = 12  # LSTM steps that a series keeps when its beginning is cut off
CUT = {"step": 0.5, "day": 0.25}  # share of series whose beginning is cut off


class Group(NamedTuple):
    """Series of one season: flat arrays, how they are read, the length of each, int64 (S,)."""

    flat: Flat
    layout: Layout
    lengths: np.ndarray


class Drawing(NamedTuple):
    """What pools are drawn with: kind of series, seed of the run, series of a pool, config (JSON of
    what differs from the usual)."""

    kind: str
    seed: int
    series: int
    config: str = ""


def draw_pool(drawing: Drawing, number: int) -> list[Group]:
    """Pool `number`: a pure function of its arguments."""
    kind, seed = drawing.kind, drawing.seed * 1_000_003 + number
    config = SyntheticConfig.model_validate_json(drawing.config or "{}")
    batch = generate(drawing.series, LENGTH[kind], kind, seed=seed, config=config)
    rng = np.random.default_rng((drawing.seed, number, 1))
    groups = []
    for season in np.unique(batch.season):
        rows = np.flatnonzero(batch.season == season)
        layout = segment_layout(24) if kind == "day" else step_layout(int(season))
        groups.append(_group(rng, batch, rows, layout, drawing))
    if kind == "step":
        count = max(1, drawing.series // LONG_SHARE)
        years = generate(count, LONG_LENGTH, "step", seed=seed, config=YEARS)
        groups.append(_group(rng, years, np.arange(count), step_layout(7, YEAR), drawing))
    return groups


def _group(
    rng: np.random.Generator,
    batch: SyntheticBatch,
    rows: np.ndarray,
    layout: Layout,
    drawing: Drawing,
) -> Group:
    """Flat arrays of the series `rows`, which stand right-aligned in the batch."""
    recorded = np.where(batch.mask[rows], batch.values[rows], np.nan)
    lengths = _kept(rng, batch.lengths[rows], layout, CUT[drawing.kind])
    place = np.arange(recorded.shape[1])[None, :] - (recorded.shape[1] - lengths[:, None])
    values = recorded[place >= 0].astype(np.float64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    logged = _logged(rng, values, offsets, layout)
    scaled = scale_panel(
        values,
        offsets,
        lags=[g for g in layout.lags if g],
        level_window=layout.level_window,
        logged=logged,
    )
    return Group(Flat.of(scaled), layout, lengths.astype(np.int64))


def _kept(
    rng: np.random.Generator, lengths: np.ndarray, layout: Layout, cut_share: float
) -> np.ndarray:
    """Lengths (S,) with the beginning of some of the series cut off, log-uniformly.

    The first value of real data is seldom the beginning of what made them.
    """
    least = np.minimum(LEAST_STEPS * layout.width + layout.long, lengths)
    share = rng.random(len(lengths))
    cut = least * (lengths / least) ** share
    cut = lengths - (lengths - cut).astype(np.int64) // layout.width * layout.width
    return np.where(rng.random(len(lengths)) < cut_share, cut, lengths)


def _logged(
    rng: np.random.Generator, values: np.ndarray, offsets: np.ndarray, layout: Layout
) -> np.ndarray:
    """Series (S,) to take logarithms of, judged by a first part of each of random length.

    In use, the choice can know nothing of what comes; judged by whole series it would tell the
    network how far they are going to grow.
    """
    lengths = np.diff(offsets)
    least = np.minimum(LEAST_STEPS // 2 * layout.width, lengths)
    seen = least + (rng.random(len(lengths)) * (lengths - least + 1)).astype(np.int64)
    place = np.arange(len(values)) - np.repeat(offsets[:-1], lengths)
    early = np.where(place < np.repeat(seen, lengths), values, np.nan)
    positive = np.minimum.reduceat(np.where(np.isnan(values), np.inf, values), offsets[:-1]) > 0
    return calls_for_log(early, offsets) & positive


class Supply:
    """The pools of one run by number, `workers` of them ahead of use; 0: made when asked for."""

    def __init__(self, drawing: Drawing, processes: ProcessPoolExecutor | None, ahead: int) -> None:
        self.drawing, self.processes, self.ahead = drawing, processes, ahead
        self.asked: dict[int, Future[list[Group]]] = {}

    def __call__(self, number: int, last: int) -> list[Group]:
        """Pool `number`; those up to `last` are under way afterwards, as far as there is room."""
        if self.processes is None:
            return draw_pool(self.drawing, number)
        for wanted in range(number, min(number + self.ahead, last) + 1):
            if wanted not in self.asked:
                self.asked[wanted] = self.processes.submit(draw_pool, self.drawing, wanted)
        return self.asked.pop(number).result()


@contextmanager
def supply(drawing: Drawing, workers: int) -> Iterator[Supply]:
    """A `Supply`; its processes end with the block."""
    if not workers:
        yield Supply(drawing, None, 0)
        return
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    processes = ProcessPoolExecutor(workers, get_context("spawn"))
    try:
        yield Supply(drawing, processes, workers + 2)
    finally:
        processes.shutdown(wait=True, cancel_futures=True)
