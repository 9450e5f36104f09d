"""Sample paths: futures of a series, all their steps together, drawn from its forecast.

Each step's values follow its own forecast distribution; which steps are high or low together says
a Gaussian copula over steps (Pinson et al. 2009) with the dependence of neighbouring errors on the
validation origins (forecast/inference/conformal.py). Sums over steps, peaks and crossings, of which
quantiles of single steps say nothing, can be read off the paths.

Axes: S series, B series of one block, N samples, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from forecast.common.errors import UsageError
from forecast.common.files import table_kind, whole_output
from forecast.common.quantiles import values_at_scores
from forecast.data.forecast import Forecast
from forecast.data.io.arrow import as_arrow, as_strings
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.limits import never_negative
from forecast.data.open_steps import rows_ahead
from forecast.data.panel import ID, SAMPLE, TIME, Panel
from forecast.inference.formats.registry import USUAL, format_of, suffix_of, write_tables
from forecast.inference.predict import forecast_panel
from forecast.inference.tables import numbers
from forecast.models.forecaster import Forecaster
from forecast.models.likelihoods import QUANTILES

if TYPE_CHECKING:
    import pyarrow as pa

AT_ONCE = 2_000_000  # sampled values that are held at a time
MOST_AT_ONCE = 50_000_000  # of one series: beyond it there is no room for its paths
FINE = 3.5  # normal scores between which a distribution's quantiles are taken densely, 57 of them


def refuse_too_many(number: int, horizon: int) -> None:
    """Raises UsageError where the paths of a single series do not fit into memory."""
    if number * horizon > MOST_AT_ONCE:
        raise UsageError(
            f"the samples of one series are {number:,} x {horizon:,} values, more than "
            f"{MOST_AT_ONCE:,}",
            code="usage/too-many-samples",
            where="--samples",
            value=number,
            remedy=f"Ask for at most {MOST_AT_ONCE // horizon:,}",
        )


SAMPLES = table_kind("a file of sample paths", lambda columns: columns[:3] == [ID, TIME, SAMPLE])


def write_samples(
    path: Path,
    forecaster: Forecaster,
    panel: Panel,
    horizon: int,
    number: int,
    seed: int,
    *,
    allow_negative: bool = False,
    usual: bool = False,
    most: int | None = None,
) -> int:
    """Writes `number` paths of each series to `path` (.csv or .parquet), whole or not at all.

    Columns unique_id, ds, sample (from 1) and the network's; rows by series, sample, step. Block by
    block, so that memory does not grow with the number of series; one seed, the same bytes. Returns
    the rows written. usual: the name is not the user's, see `check_output`; most: as in
    `forecast_table`. Raises UsageError (too many for one series; another file is there) and
    OutputError.
    """
    refuse_too_many(number, horizon)
    drawn = sample_blocks(forecaster, panel, horizon, number, seed, allow_negative=allow_negative)
    return write_drawn(path, drawn, panel, forecaster.name, usual=usual, most=most)


def write_drawn(
    path: Path,
    drawn: Iterator[tuple[np.ndarray, np.ndarray]],
    panel: Panel,
    name: str,
    *,
    usual: bool = False,
    most: int | None = None,
) -> int:
    """Writes series (B,) and their paths (B, N, H), block by block, as `write_samples` does."""
    tables = (_table(panel, rows, paths, name, most) for rows, paths in drawn)
    with whole_output(path, SAMPLES, usual=usual) as file:
        return write_tables(file, format_of(path), tables)


def sample_blocks(
    forecaster: Forecaster,
    panel: Panel,
    horizon: int,
    number: int,
    seed: int,
    *,
    allow_negative: bool = False,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions of series (B,) and their paths (B, N, H) in original units, block by block.

    Series without any value are left out. The paths do not depend on the size of the blocks.
    """
    random = np.random.default_rng(seed)
    fine = _finely(forecaster)
    size = max(1, AT_ONCE // (number * horizon))
    for start in range(0, panel.size, size):
        rows = np.arange(start, min(start + size, panel.size))
        part = panel.select(rows)
        made = forecast_panel(fine, part, horizon, allow_negative=allow_negative)
        noise = random.standard_normal((len(rows), number, horizon))
        low = np.where(never_negative(part) & (not allow_negative), 0.0, -np.inf)
        paths = np.maximum(paths_from(made, noise, forecaster.dependence), low[:, None, None])
        yield rows[made.available], paths[made.available]


def paths_from(made: Forecast, noise: np.ndarray, dependence: float) -> np.ndarray:
    """Paths (B, N, H): independent standard normals `noise` (B, N, H) made dependent over steps,
    correlation dependence^|i - j|, and carried through the forecast's quantile functions."""
    scores = np.empty_like(noise)
    scores[..., 0] = noise[..., 0]
    fresh = np.sqrt(1 - dependence**2)
    for step in range(1, noise.shape[-1]):
        scores[..., step] = dependence * scores[..., step - 1] + fresh * noise[..., step]
    values = values_at_scores(made.quantiles[:, None], made.levels, scores)
    return np.rint(values) if made.whole else values


def _finely(forecaster: Forecaster) -> Forecaster:
    """The forecaster with many more levels, where its distribution has them all: what lies between
    and beyond the usual ones is then no guess."""
    if forecaster.likelihood == QUANTILES:
        return forecaster
    from scipy.special import ndtr

    levels = ndtr(np.linspace(-FINE, FINE, 57))
    factors = np.interp(levels, forecaster.levels, forecaster.factors)
    return replace(forecaster, levels=levels, factors=factors)


def path_beside(predictions: Path) -> Path:
    """Where the samples go that belong to a forecast: samples.csv beside predictions.csv, else
    NAME-samples.csv (or .parquet) beside NAME.csv."""
    name = "samples" if predictions.stem == "predictions" else f"{predictions.stem}-samples"
    suffix = ".parquet" if suffix_of(predictions) == ".parquet" else USUAL
    return predictions.with_name(name + suffix)


def _table(
    panel: Panel, rows: np.ndarray, paths: np.ndarray, name: str, most: int | None
) -> pa.Table:
    """The long table of the paths (B, N, H) of the series at `rows` (B,)."""
    import pyarrow as pa

    _, number, horizon = paths.shape
    own, ahead, second = rows_ahead(panel, rows, panel.lengths, horizon, most)
    stamps = panel.frequency.stamps((panel.first + panel.lengths)[rows[own]] + ahead)
    written = format_stamps(stamps, panel.time_format, panel.tz, second)
    counts = np.bincount(own, minlength=len(rows))
    starts = np.cumsum(counts) - counts
    # Of each series all rows of its first path, then all of its second, ...
    at = np.concatenate(
        [np.tile(np.arange(s, s + c), number) for s, c in zip(starts, counts, strict=True)]
    )
    series, step = own[at], ahead[at]
    sample = np.concatenate([np.repeat(np.arange(1, number + 1), c) for c in counts])
    return pa.table(
        {
            ID: as_strings(panel.ids[rows].tolist()).take(as_arrow(series)),
            TIME: written.take(as_arrow(at)),
            SAMPLE: as_arrow(sample),
            name: numbers(paths[series, sample - 1, step]),
        }
    )
