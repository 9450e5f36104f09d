"""`predict --follow`: a fresh forecast for every row that comes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, TYPE_CHECKING

import numpy as np

from forecast.common.progress import Listener
from forecast.common.quantiles import weights_between
from forecast.config.schema import ForecastSettings, Settings
from forecast.data.limits import zero_ahead
from forecast.data.open_steps import as_read, most_steps, reach, rows_ahead
from forecast.data.panel import ID, TIME, Panel, interval_names, quantile_name
from forecast.inference.point import MEAN, MEDIAN, mean_of_quantiles, quantile_of
from forecast.inference.predict import NAIVE
from forecast.inference.stream_rows import (
    Clock,
    Complaint,
    Followed,
    Row,
    RowReader,
    Spelling,
    follow,
)
from forecast.inference.streaming import GrowingSeries, refuse_what_rows_lack
from forecast.inference.tables import wanted_levels
from forecast.models.forecaster import Forecaster
from forecast.workflows.demand import point_of
from forecast.workflows.hierarchy import refuse_hierarchy
from forecast.workflows.load import data_settings, find_model
from forecast.workflows.predict import with_point_setting

if TYPE_CHECKING:
    from forecast.workflows.load import Source


def predict_stream(
    source: Source | None,
    settings: Settings,
    listener: Listener,
    streams: tuple[IO[bytes], IO[str]],
    complain: Complaint,
    *,
    model: str | None = None,
    exact: bool = False,
    as_json: bool = False,
) -> Callable[[], Followed]:
    """What follows the rows, once the history is read: forecasts from each that comes on the first
    of `streams` after the history `source` (default: the file that the model was trained on),
    written to the second at once: one line of CSV a step below a header, or one of JSON a row.

    exact: each forecast is the one that `predict` makes of the same rows; else its states have read
    up to twice as much. Raises ForecastError.
    """
    found = find_model(source, settings, listener, model)
    forecaster, panel, report = found.forecaster, found.panel, found.report
    refuse_what_rows_lack(forecaster, found.folder)
    horizon = settings.forecast.horizon or forecaster.horizon
    data = data_settings(settings, found.manifest, forecaster.design, found.folder)
    refuse_hierarchy(data, "predict --follow")
    clock = Clock(panel.frequency, panel.time_format, panel.tz)
    reader = RowReader(panel, clock, Spelling.of(report, data))
    listener.stage("Waiting for rows")
    rows, sink = streams
    settings = with_point_setting(settings, point_of(settings, found.manifest))
    written = Written.of(forecaster, settings.forecast)
    answer = Answers(
        panel=panel,
        forecaster=forecaster,
        horizon=horizon,
        exact=exact,
        written=written,
        reader=reader,
        sink=sink,
        as_json=as_json,
    )

    def answered() -> Followed:
        if not as_json:
            sink.write(",".join((ID, "cutoff", TIME, *written.names, "source")) + "\n")
            sink.flush()
        return follow(rows, reader, answer, complain)

    return answered


@dataclass(frozen=True)
class Written:
    """What is written of a forecast: the columns' names, and the weights (Q, columns) that make
    their quantiles of those that are forecast, as `predict.at_levels` interpolates. The first
    column is the point: one of these, or, with `levels` (Q,), the mean (`inference.point`)."""

    names: tuple[str, ...]
    weights: np.ndarray
    allow_negative: bool
    whole: bool = False
    levels: np.ndarray | None = None

    @classmethod
    def of(cls, forecaster: Forecaster, settings: ForecastSettings) -> Written:
        """The columns of `forecast_table`, in its order."""
        name = forecaster.name
        mean = settings.point == MEAN
        point = quantile_of(settings.point or MEDIAN) or 0.5
        columns = {name: point}
        for level in settings.level:
            tail = (1 - level / 100) / 2
            columns |= dict(zip(interval_names(name, level), (tail, 1 - tail), strict=True))
        columns |= {quantile_name(name, q): q for q in settings.quantiles}
        wanted = wanted_levels(settings.level, (*settings.quantiles, point))
        places = np.searchsorted(wanted, np.round(list(columns.values()), 12))
        weights = weights_between(forecaster.levels, wanted)[:, places]
        levels = forecaster.levels if mean else None
        return cls(tuple(columns), weights, settings.allow_negative, forecaster.whole, levels)

    def columns(self, quantiles: np.ndarray, never_negative: bool) -> np.ndarray:
        """Numbers to write (H, columns) of quantiles (H, Q)."""
        if never_negative and not self.allow_negative:
            quantiles = np.maximum(quantiles, 0.0)
        made = np.asarray(quantiles @ self.weights)
        above = bool((quantiles >= 0).all())
        made = np.maximum(made, 0.0) if above else made
        made = np.rint(made) if self.whole else made
        if self.levels is not None:
            least = 0.0 if above else None
            mean = mean_of_quantiles(quantiles, self.levels, least=least)
            made[:, 0] = np.maximum(mean, 0.0) if above else mean
        return made


class Answers:
    """Answers each row with a forecast; a series begins to grow with the first row that it gets."""

    def __init__(
        self,
        panel: Panel,
        forecaster: Forecaster,
        horizon: int,
        exact: bool,
        written: Written,
        reader: RowReader,
        sink: IO[str],
        as_json: bool,
    ) -> None:
        self.panel = replace(panel, values=as_read(panel))
        self.reader, self.written, self.sink = reader, written, sink
        self.horizon, self.as_json, self.name = horizon, as_json, forecaster.name
        most = most_steps(panel, horizon)
        self._begin = partial(GrowingSeries, forecaster, horizon=most, exact=exact)
        self._series: dict[int, GrowingSeries] = {}

    def __call__(self, row: Row) -> None:
        growing = self._series.get(row.series)
        if growing is None:
            growing = self._begin(self.panel.series(row.series))
            self._series[row.series] = growing
        for step in range(row.missing):  # an hour that the clock skips goes on as `as_read` says
            growing.append(growing.newest if step in row.skipped else np.nan)
        growing.append(row.value)
        grown = self._grown(row.series, growing)
        steps = reach(grown, grown.lengths, self.horizon)
        quantiles, own = growing.quantiles(steps)
        zero = zero_ahead(grown, steps)
        if zero is not None:
            quantiles = np.where(zero[0, :, None], 0.0, quantiles)
        numbers = self.written.columns(quantiles, growing.never_negative)
        one = np.zeros(1, int)
        _, ahead, second = rows_ahead(grown, one, grown.lengths, steps, self.horizon)
        times = self.reader.clock.texts(self.reader.next[row.series] + ahead, second)
        self._write(row.series, times, numbers[ahead].tolist(), self.name if own else NAIVE)

    def _grown(self, series: int, growing: GrowingSeries) -> Panel:
        """The series as it is by now."""
        before, values = self.panel.select(np.array([series])), growing.values
        return replace(before, values=values, offsets=np.array([0, len(values)]))

    def _write(
        self, series: int, times: list[str], numbers: list[list[float]], source: str
    ) -> None:
        name = self.reader.ids[series]
        cutoff = self.reader.clock.text(self.reader.next[series] - 1)
        if self.as_json:
            columns = dict(zip(self.written.names, _rounded(numbers), strict=True))
            record = {ID: name, "cutoff": cutoff, TIME: times, **columns, "source": source}
            self.sink.write(json.dumps(record) + "\n")
        else:
            start = f"{_quoted(name)},{_quoted(cutoff)},"
            lines = [
                f"{start}{_quoted(time)},{','.join(map(_digits, values))},{source}\n"
                for time, values in zip(times, numbers, strict=True)
            ]
            self.sink.write("".join(lines))
        self.sink.flush()


def _rounded(rows: list[list[float]]) -> list[list[float]]:
    """The columns of `rows`, as they are written."""
    return [[float(_digits(x)) for x in column] for column in zip(*rows, strict=True)]


def _digits(x: float) -> str:
    """Nine significant digits, what float32 weights can know."""
    return f"{x:.9g}"


def _quoted(text: str) -> str:
    if any(sign in text for sign in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
