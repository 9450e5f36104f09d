"""Published forecasts as a reader outside asks for them: one job, some series, some as-of.

Everything is read from run folders, which never change once their manifest is there, and checked
against the sums in that manifest: what is handed out is one publication, whole, whatever a run is
doing meanwhile. Nothing is ever written.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.common.errors import ForecastError, ModelNotFoundError, OutputError, UsageError
from forecast.data.io.arrow import as_arrow, as_numpy
from forecast.data.panel import ID
from forecast.inference.tables import read_written
from forecast.scheduling.config import Job
from forecast.scheduling.publication import (
    MANIFEST,
    RUNS,
    PublishedForecast,
    current_run,
    read_published,
)
from forecast.scheduling.recovery import State, read_rollbacks

if TYPE_CHECKING:
    import pyarrow as pa

KEPT = 4  # tables of older publications that are kept in memory
ATTEMPTS = 5  # a run may be deleted by retention between being looked up and being read
SEARCHED = 10_000  # ids among which a mistyped one is looked for
KINDS = ("predictions.parquet", "predictions.csv")


@dataclass(frozen=True)
class PublishedTable:
    """One publication in memory, rows by series and step.

    table  columns unique_id, ds, LSTM, LSTM-lo-80, ..., source, reason
    start  id -> row of its first step; rows of a series stand together
    tag    changes whenever the publication does
    """

    published: PublishedForecast
    table: pa.Table
    start: Mapping[str, tuple[int, int]]
    tag: str

    @property
    def ids(self) -> list[str]:
        """The series, in the order of the table."""
        return list(self.start)

    @property
    def levels(self) -> list[float]:
        """Levels of the published intervals, per cent."""
        found = {name.rpartition("-lo-")[2] for name in self.table.column_names if "-lo-" in name}
        return sorted(float(level) for level in found)

    def about(self) -> dict[str, Any]:
        """What stands beside the rows: which run it is, and what it reaches to."""
        manifest = self.published.manifest
        return {
            "job": manifest.get("job"),
            "run": self.published.run,
            "as_of": manifest["as_of"],
            "created": manifest["created"],
            "horizon": manifest["horizon"],
            "point": self.published.point,
            "series": len(self.start),
        }

    def select(self, series: Sequence[str] = (), levels: Sequence[float] = ()) -> pa.Table:
        """The rows of `series` (default: all) with the intervals of `levels` (default: all).

        Raises UsageError for a series or a level that was not published.
        """
        table = self.table
        if levels:
            self._refuse_unpublished(levels)
            kept = {f"{level:g}" for level in levels}
            names = [n for n in table.column_names if _level_of(n) in (None, *kept)]
            table = table.select(names)
        if not series:
            return table
        import pyarrow as pa

        return pa.concat_tables([table.slice(*self._rows(each)) for each in series])

    def _rows(self, series: str) -> tuple[int, int]:
        """First row and number of rows of a series."""
        if series not in self.start:
            near = get_close_matches(series, self.ids[:SEARCHED], n=3, cutoff=0.5)
            hint = f"Did you mean {', '.join(near)}?" if near else "/jobs/JOB/series lists them"
            raise UsageError(
                "the published forecast has no such series",
                code="published/unknown-series",
                where="series",
                value=series,
                remedy=hint,
            )
        return self.start[series]

    def _refuse_unpublished(self, levels: Sequence[float]) -> None:
        known = self.levels
        for level in levels:
            if not any(abs(level - each) < 1e-9 for each in known):
                raise UsageError(
                    "intervals of this level were not published",
                    code="published/unknown-level",
                    where="level",
                    value=level,
                    remedy=f"Published are: {', '.join(f'{each:g}' for each in known) or 'none'}",
                )


class PublishedForecasts:
    """The publications of one job. Safe to be used by several threads."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._tables: OrderedDict[tuple[Any, ...], PublishedTable] = OrderedDict()
        self._forecasts: dict[str, tuple[tuple[int, int, int], PublishedForecast]] = {}
        self._lock = threading.Lock()

    def current(self) -> PublishedTable:
        """What is published now. Raises ModelNotFoundError before the first publication, and
        OutputError where its files are damaged."""
        for attempt in range(ATTEMPTS):
            run = _current_run(self.job)
            try:
                return self._table(run)
            except (OSError, ModelNotFoundError, OutputError):
                if _current_run(self.job) == run or attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("one of the attempts returned or raised")

    def at_hand(self) -> PublishedTable | None:
        """What is published now where it is in memory already, which takes microseconds; else
        None."""
        run = current_run(self.job.folder)
        if run is None or not self._lock.acquire(blocking=False):
            return None
        try:
            return self._tables.get(_key_of(self.job.folder / RUNS / run))
        except OSError:
            return None
        finally:
            self._lock.release()

    def of(self, as_of: str) -> PublishedTable:
        """The newest publication of that as-of which no rollback took back.

        as_of: as the data write times, or any ISO 8601 time of the same instant. Raises UsageError
        where there is none.
        """
        standing = self.state().standing
        wanted = _instant(as_of)
        for published in reversed(standing):
            manifest = published.manifest
            moment = _instant(manifest.get("as_of_moment"))
            if manifest["as_of"] == as_of or (wanted is not None and moment == wanted):
                return self._table(published.run)
        newest = list(dict.fromkeys(str(e.manifest["as_of"]) for e in reversed(standing)))[:5]
        raise UsageError(
            "no forecast of this as-of is kept",
            code="published/unknown-as-of",
            where="as_of",
            value=as_of,
            remedy=f"The newest are: {', '.join(newest)}" if newest else "None is published yet",
        )

    def runs(self) -> list[dict[str, Any]]:
        """Every publication that is kept, the newest first: run, as_of, created, withdrawn."""
        state = self.state()
        current = current_run(self.job.folder)
        return [
            {
                "run": e.run,
                "as_of": e.manifest["as_of"],
                "created": e.manifest["created"],
                "current": e.run == current,
                "withdrawn": e.run in state.withdrawn,
            }
            for e in sorted(state.forecasts.values(), key=lambda e: -e.sequence)
        ]

    def state(self) -> State:
        """What is published, as the folder says now; manifests that were read before are not read
        again. A run that cannot be read is left out. Raises OutputError where the list of
        rollbacks is damaged."""
        runs = self.job.folder / RUNS
        found: dict[str, PublishedForecast] = {}
        for place in sorted(runs.iterdir()) if runs.is_dir() else []:
            try:
                key = _stat_key(place / MANIFEST)
                known = self._forecasts.get(place.name)
                if known is None or known[0] != key:
                    published = read_published(place)
                    if published is None:
                        continue
                    known = self._forecasts[place.name] = (key, published)
                found[place.name] = known[1]
            except (OSError, ForecastError):
                continue
        for gone in set(self._forecasts) - set(found):
            self._forecasts.pop(gone, None)
        return State(found, read_rollbacks(self.job.folder))

    def _table(self, run: str) -> PublishedTable:
        """The table of a run; one that is in memory is taken from there."""
        place = self.job.folder / RUNS / run
        try:
            key = _key_of(place)
        except FileNotFoundError as error:
            raise _damaged(place / MANIFEST, "the run is not there any more") from error
        with self._lock:
            if key in self._tables:
                self._tables.move_to_end(key)
                return self._tables[key]
            made = read_table(place)
            self._tables[key] = made
            while len(self._tables) > KEPT:
                self._tables.popitem(last=False)
            return made


def read_table(place: Path) -> PublishedTable:
    """The publication in the run folder `place`, checked against its manifest.

    Raises OutputError where a file is missing, is not what the manifest says, or is of no kind that
    can be read.
    """
    try:
        text = (place / MANIFEST).read_bytes()
        published = read_published(place)
        outputs = published.manifest["outputs"] if published is not None else {}
        kind = next((name for name in KINDS if name in outputs), None)
        content = (place / kind).read_bytes() if kind else b""
    except OSError as error:
        raise _damaged(place, "the published files cannot be read") from error
    if published is None:
        raise _damaged(place, "the run is not there any more")
    if kind is None:
        raise OutputError(
            "the job publishes neither a CSV nor a Parquet file",
            code="published/no-table",
            where=str(place),
            remedy="Add csv or parquet to outputs.files of the job",
        )
    if hashlib.sha256(content).hexdigest() != outputs[kind]["sha256"]:
        raise _damaged(place / kind, "the file is not the one that was published")
    table = _grouped(_parsed(content, kind, place))
    tag = hashlib.sha256(text).hexdigest()[:24]
    return PublishedTable(published, table, _starts(table), tag)


def _parsed(content: bytes, kind: str, place: Path) -> pa.Table:
    import pyarrow as pa

    suffix = Path(kind).suffix
    try:
        table = read_written(content, suffix)
    except pa.ArrowException as error:
        raise _damaged(place / kind, "the published table cannot be read") from error
    if suffix == ".parquet":
        return table
    return table.cast(pa.schema([_as_published(field) for field in table.schema]))


def _as_published(field: pa.Field) -> pa.Field:
    """A column with the type that it was published with: whole numbers, or none at all, are numbers
    too; what a reader took for a moment is the text that it was."""
    import pyarrow as pa

    kind = field.type
    if pa.types.is_integer(kind) or pa.types.is_null(kind):
        return field.with_type(pa.float64())
    return field if pa.types.is_floating(kind) else field.with_type(pa.string())


def _grouped(table: pa.Table) -> pa.Table:
    """The table with the rows of each series together, series in order of appearance."""
    codes = as_numpy(table.column(ID).combine_chunks().dictionary_encode().indices)
    if (np.diff(codes) >= 0).all():
        return table.combine_chunks()
    return table.take(as_arrow(np.argsort(codes, kind="stable"))).combine_chunks()


def _starts(table: pa.Table) -> dict[str, tuple[int, int]]:
    """id -> (its first row, its number of rows)."""
    encoded = table.column(ID).combine_chunks().dictionary_encode()
    codes = as_numpy(encoded.indices)
    first = np.flatnonzero(np.diff(codes, prepend=-1))
    counts = np.diff(np.append(first, len(codes)))
    names = encoded.dictionary.to_pylist()
    return dict(zip(names, zip(first.tolist(), counts.tolist(), strict=True), strict=True))


def _current_run(job: Job) -> str:
    """The run that `current` names. Raises ModelNotFoundError where nothing is published."""
    found = current_run(job.folder)
    if found is None:
        raise ModelNotFoundError(
            "the job has published nothing yet",
            code="published/nothing",
            where=f"job {job.name}",
            remedy=f"lstmcast run {job.config.name} --job {job.name} makes its first forecast",
        )
    return found


def _key_of(place: Path) -> tuple[Any, ...]:
    """What tells a run, as it is on the disk now, from every other."""
    return (place.name, *_stat_key(place / MANIFEST))


def _stat_key(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _level_of(column: str) -> str | None:
    """The level in the name of a bound, "80" in LSTM-lo-80; None for other columns."""
    for side in ("-lo-", "-hi-"):
        if side in column:
            return column.rpartition(side)[2]
    return None


def _instant(text: str | None) -> datetime | None:
    """The instant of an ISO 8601 time, UTC where it names no zone; None for anything else."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _damaged(path: Path, message: str) -> OutputError:
    return OutputError(
        message,
        code="run/damaged",
        where=str(path),
        remedy="`lstmcast rollback` goes back to the run before it",
    )
