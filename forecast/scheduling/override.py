"""`lstmcast override`: a planner's numbers in place of the model's in the published forecast.

A new publication of the current run is published: its table has the planner's number where there is
one, the model's beside it, who gave it and why. The forecast before stays as it is, and so do the
model's numbers in the ledger; what each was worth is told by `lstmcast score`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.common.documents import SEAL
from forecast.common.errors import InputError, UsageError
from forecast.common.progress import Listener
from forecast.config.schema import DataSettings
from forecast.data.io.arrow import as_strings
from forecast.data.io.table import Table, check_points, read_plain
from forecast.data.io.timestamps import parse_times
from forecast.data.io.values import number_strings, texts_of
from forecast.data.panel import ID, TIME
from forecast.inference.tables import csv_bytes, read_predictions
from forecast.scheduling.clock import now, stamp
from forecast.scheduling.config import Job
from forecast.scheduling.database import deliver
from forecast.scheduling.lock import locked
from forecast.scheduling.publication import (
    LOG,
    RUNS,
    WHOLE,
    PublishedForecast,
    is_intact,
    write_published,
)
from forecast.scheduling.recovery import bring_ledger, bring_link, read_state, recover

if TYPE_CHECKING:
    import pyarrow as pa

OVERRIDES = "overrides.csv"  # in the folder of a published forecast: every override of its as-of
MODEL, BY, REASON, AT = "model", "override_by", "override_reason", "override_at"
SAME = 1e-8  # as shares of them, numbers nearer to each other were written from one: nine digits
SHOWN = 3  # rows that an error names

Place = tuple[str, str]  # id and time of a step, as they are written


@dataclass(frozen=True)
class Overridden:
    """What an override did: the forecast that is published now, and how many steps it changed."""

    job: str
    run: str
    before: str
    steps: int
    total_before: float
    total_after: float


def override_job(
    job: Job,
    file: str,
    listener: Listener,
    *,
    by: str,
    reason: str,
    moment: datetime | None = None,
) -> Overridden:
    """Publishes the numbers of `file` (columns unique_id, ds and a value; no id where the forecast
    has one series) in place of the current forecast's, with who and why; nothing where all of them
    are the current ones.

    Raises UsageError (nothing is published, no name, no reason), InputError (a step that is not
    forecast, a step twice, what is no number), LockedError.
    """
    if not by.strip() or not reason.strip():
        raise UsageError(
            "an override says who made it, and why",
            code="usage/override-unsigned",
            where="--by" if not by.strip() else "--reason",
            remedy='For example: --by "Ann" --reason "the shop is closed for repairs"',
        )
    with locked(job.folder, job.lock_seconds):
        state = recover(job.folder, listener)
        current = state.current
        if current is None or not is_intact(job.folder, current):
            raise UsageError(
                "there is no published forecast to override",
                code="override/nothing",
                where=job.name,
                remedy="Run the job first: lstmcast run",
            )
        at = stamp(moment or now())
        made, files, about = _published(job.folder, current, file, by.strip(), reason.strip(), at)
        if not files:
            return Overridden(job.name, current.run, current.run, *made)
        name = f"{current.run.rsplit('-', 1)[0]}-{_digest(current.run, files)}"
        manifest = {
            **{k: v for k, v in current.manifest.items() if k not in (SEAL, "outputs", "run")},
            "sequence": state.next_sequence(),
            "created": at,
            "override": about,
        }
        published = write_published(job.folder, name, files, manifest)
        after = read_state(job.folder)
        bring_link(job.folder, after, listener)
        bring_ledger(job.folder, after, listener)
        deliver(job, after, listener, at)
    return Overridden(job.name, published.run, current.run, *made)


def _digest(run: str, files: Mapping[str, bytes]) -> str:
    whole = hashlib.sha256(run.encode())
    for name in sorted(files):
        whole.update(files[name])
    return whole.hexdigest()[:10]


def _published(
    folder: Path, current: PublishedForecast, file: str, by: str, reason: str, at: str
) -> tuple[tuple[int, float, float], dict[str, bytes], dict[str, Any]]:
    """Steps changed and the sums before and after; the files to publish, none where nothing is
    changed; what the manifest says of the override."""
    place = folder / RUNS / current.run
    table = read_predictions(place)
    point = _point(table)
    keys = [(str(i), str(t)) for i, t in zip(*_places(table), strict=True)]
    row_of = {key: row for row, key in enumerate(keys)}
    values = list(table.column(point).to_pylist())
    wanted = _changed(_asked(file, row_of), row_of, values)
    before = math.fsum(v for v in values if v is not None)
    if not wanted:
        return (0, before, before), {}, {}
    model = table.column(MODEL).to_pylist() if MODEL in table.column_names else list(values)
    words = {name: _texts(table, name) for name in (BY, REASON, AT)}
    for key, value in wanted.items():
        row = row_of[key]
        values[row] = value
        words[BY][row], words[REASON][row], words[AT][row] = by, reason, at
    made = _with(table, point, values, model, words)
    files = {name: (place / name).read_bytes() for name in (WHOLE, LOG)}
    for name in current.manifest["outputs"]:
        if name == "predictions.csv":
            files[name] = csv_bytes(made)
        elif name == "predictions.parquet":
            files[name] = _parquet(made)
    files[OVERRIDES] = csv_bytes(_overrides(made, point))
    about = {"by": by, "reason": reason, "of": current.run, "steps": len(wanted)}
    after = math.fsum(v for v in values if v is not None)
    return (len(wanted), before, after), files, about


def _places(table: pa.Table) -> tuple[list[Any], list[Any]]:
    return table.column(ID).to_pylist(), table.column(TIME).to_pylist()


def _point(table: pa.Table) -> str:
    """The column of the forecast itself: the first after id and time."""
    return str(next(name for name in table.column_names if name not in (ID, TIME, "level")))


def _texts(table: pa.Table, name: str) -> list[str]:
    if name not in table.column_names:
        return [""] * table.num_rows
    return [str(text or "") for text in table.column(name).to_pylist()]


def _asked(file: str, row_of: Mapping[Place, int]) -> dict[Place, float]:
    """The planner's numbers by step. Raises InputError."""
    table = read_plain(file, DataSettings())
    single = {key[0] for key in row_of}
    id_name, time_name, name = _columns(table, file, len(single) > 1)
    texts = [t.strip() for t in texts_of(table.columns[time_name])]
    times = _as_published(texts, list(dict.fromkeys(time for _, time in row_of)))
    cells = texts_of(table.columns[name])
    if table.dialect:  # text: a workbook's numbers have no marks
        plain = "Write it without marks between the digits, or part the fields by commas"
        check_points({name: cells}, table.dialect, (name,), file, plain)
    numbers, bad = number_strings(
        as_strings(cells), table.decimal, "." if table.decimal == "," else None
    )
    ids = (
        [next(iter(single))] * len(times)
        if id_name is None
        else [t.strip() for t in texts_of(table.columns[id_name])]
    )
    made: dict[Place, float] = {}
    for row, (key, text) in enumerate(zip(zip(ids, times, strict=True), cells, strict=True)):
        if not text.strip():
            continue  # nothing to say of this step
        number = float(numbers[row])
        if bad[row] or not math.isfinite(number):
            raise InputError(
                "an override is a number",
                code="input/override-number",
                where=f"{file}, row {row + 1}",
                value=text,
                remedy="Correct it, or leave the cell blank",
            )
        if key not in row_of or key in made:
            what = "a step is overridden twice" if key in made else "this step is not forecast"
            first = ", ".join(sorted({time for _, time in row_of})[:SHOWN])
            raise InputError(
                what,
                code="input/override-step",
                where=f"{file}, row {row + 1}",
                value=" at ".join(key),
                remedy=f"Write ids and times as the forecast has them: {first}, ...",
            )
        made[key] = number
    if not made:
        raise InputError(
            "the file overrides nothing",
            code="input/override-empty",
            where=file,
            remedy="Give at least one number",
        )
    return made


def _columns(table: Table, file: str, several: bool) -> tuple[str | None, str, str]:
    """The columns of ids, times and numbers; several: series that are to be told apart by ids."""
    by_key = {name.strip().lower(): name for name in table.columns}
    id_name = next((by_key[k] for k in (ID, "id", "series") if k in by_key), None)
    time_name = next((by_key[k] for k in (TIME, "date", "time", "timestamp") if k in by_key), None)
    rest = [name for name in table.columns if name not in (id_name, time_name)]
    values = [n for n in rest if n.strip().lower() in ("override", "value", "y")] or rest[:1]
    if time_name is None or not values or (id_name is None and several):
        raise InputError(
            "overrides name the series, the time and the number",
            code="input/override-columns",
            where=file,
            value=", ".join(table.columns),
            remedy="Columns: unique_id, ds, value; unique_id may lack where there is one series",
        )
    return id_name, time_name, values[0]


def _changed(
    asked: Mapping[Place, float], row_of: Mapping[Place, int], published: Sequence[float | None]
) -> dict[Place, float]:
    """The numbers that are others than those published: whoever hands the forecast back with two
    cells changed overrides two steps."""
    return {
        key: number
        for key, number in asked.items()
        if (old := published[row_of[key]]) is None or not math.isclose(number, old, rel_tol=SAME)
    }


def _as_published(texts: Sequence[str], published: Sequence[str]) -> list[str]:
    """The times `texts` as the published table writes the same ones, where that can be told: a
    workbook has dates, and 2024-04-10 is 10.04.2024. Others stay as they are."""
    if set(texts) <= set(published):
        return list(texts)
    given, known = (parse_times(as_strings(t), name=TIME) for t in (texts, published))
    if given.integer or known.integer or known.bad.any() or given.tz != known.tz:
        return list(texts)
    written = dict(zip(known.stamps.tolist(), published, strict=True))
    return [
        text if bad or text in published else written.get(stamp, text)
        for text, stamp, bad in zip(texts, given.stamps.tolist(), given.bad, strict=True)
    ]


def _with(
    table: pa.Table,
    point: str,
    values: list[Any],
    model: list[Any],
    words: Mapping[str, list[str]],
) -> pa.Table:
    """The table with the planner's numbers, the model's beside them, and who and why."""
    import pyarrow as pa

    kept = table.drop_columns([n for n in (MODEL, *words) if n in table.column_names])
    at = kept.column_names.index(point)
    kept = kept.set_column(at, point, pa.array(values, pa.float64()))
    kept = kept.append_column(MODEL, pa.array(model, pa.float64()))
    for name, texts in words.items():
        kept = kept.append_column(name, pa.array(texts, pa.string()))
    return kept


def _overrides(table: pa.Table, point: str) -> pa.Table:
    """The overridden steps alone: unique_id, ds, model, override, by, reason, at."""
    import pyarrow.compute as pc

    chosen = table.filter(pc.not_equal(table.column(BY), ""))
    columns = [ID, TIME, MODEL, point, BY, REASON, AT]
    names = [ID, TIME, MODEL, "override", "by", "reason", "at"]
    return chosen.select(columns).rename_columns(names)


def _parquet(table: pa.Table) -> bytes:
    import io

    from pyarrow import parquet

    sink = io.BytesIO()
    parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue()
