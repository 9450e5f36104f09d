"""The partitions' forecasts made one: all there, no series twice, then the manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from forecast.common.documents import as_bytes
from forecast.common.errors import InputError
from forecast.common.files import check_output, one_command, reading, whole_output, write_bytes
from forecast.common.folders import made_folder, unfinished_in
from forecast.common.marks import PARTS
from forecast.inference.formats.registry import format_of, write_tables
from forecast.inference.tables import FORECAST
from forecast.workflows.partitions.job import Job, read_job
from forecast.workflows.partitions.worker import SOURCE, Record, hashes, is_whole, read_record, stem

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
AT_ONCE = 4_000_000  # hashes that are compared together
NAMED = 3  # partitions that an error names


@dataclass(frozen=True)
class Merged:
    """A forecast of all partitions.

    rows, series, fallbacks, skipped: of all parts together; failed: records of partitions that
    were given up; span: first and last time of the first series; path: the single table, or None.
    """

    folder: Path
    horizon: int
    parts: int
    rows: int
    series: int
    fallbacks: int
    skipped: int
    failed: list[Record]
    span: tuple[str, str]
    path: Path | None = None

    @property
    def exit_code(self) -> int:
        """0, or 3 where something is missing or another forecaster stood in."""
        return 3 if self.failed or self.fallbacks or self.skipped else 0


@one_command()
def merge_run(folder: Path, failed: Sequence[Record] = (), output: Path | None = None) -> Merged:
    """Checks the parts in `folder`, writes its manifest and, if wanted, one table of all rows.

    failed: partitions that may be missing, because they were tried. output: .csv or .parquet; rows
    by partition, then series, then step. Raises InputError when any other is missing, when none has
    a row, or when a series is in two; UsageError or ModelDamagedError when the folder holds no job.
    """
    job = read_job(folder)
    made_folder(folder, PARTS)
    if output is not None:
        check_output(output, FORECAST)
    given_up = {record.partition for record in failed}
    records = _records(folder, job, given_up)
    if not failed and not any(record.rows for record in records):
        raise InputError("no part has a row", code="input/no-rows", where=str(folder),
                         remedy="Look at the query or the files that were forecast")  # fmt: skip
    check_disjoint(folder, records)
    merged = Merged(
        folder=folder, horizon=job.horizon, parts=len(records), rows=sum(r.rows for r in records),
        series=sum(r.series for r in records), fallbacks=sum(r.fallbacks for r in records),
        skipped=sum(r.skipped for r in records), failed=list(failed),
        span=next((r.span for r in records if r.rows), ("", "")), path=output,
    )  # fmt: skip
    if output is not None:
        _write_table(folder, records, output)
    for unfinished in unfinished_in(folder):  # of workers that were killed while they wrote
        unfinished.unlink(missing_ok=True)
    _write_manifest(job, merged, records)
    return merged


def _records(folder: Path, job: Job, given_up: set[int]) -> list[Record]:
    """The records of all partitions but those given up. Raises InputError naming what lacks."""
    found, missing = [], []
    for n, partition in enumerate(job.partitions):
        record = read_record(folder, n)
        file = stem(folder, n).with_suffix(".parquet")
        if n in given_up:
            continue
        if record and record.request == job.request and is_whole(folder, record):
            if record.rows:
                reading(file)
            found.append(record)
        else:
            missing.append(f"{partition.name} ({n + 1})")
    if missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise InputError(
            f"{len(missing)} of {len(job.partitions)} parts are missing or damaged",
            code="engine/incomplete",
            where=str(folder),
            value=", ".join(missing[:NAMED]) + more,
            remedy="Run the shards that failed again with the same options, then merge; part K of "
            "N shards has every N-th file from the K-th on",
        )
    return found


def check_disjoint(folder: Path, records: Sequence[Record]) -> None:
    """Raises InputError when a series is in two partitions; memory does not grow with series."""
    rounds = max(1, -(-sum(r.series for r in records) // AT_ONCE))
    edges = [(1 << 64) * n // rounds for n in range(rounds + 1)]
    for low, high in pairwise(edges):
        found = np.concatenate([_between(folder, r, low, high) for r in records] or [_NONE])
        found.sort()
        twice = np.unique(found[1:][found[1:] == found[:-1]])
        for value in twice:
            _refuse_twins(folder, [r for r in records if _has(folder, r, value)], value)


_NONE = np.zeros(0, np.uint64)


def _hashes_of(folder: Path, record: Record) -> np.ndarray:
    """The sorted hashes of a part's series; read where they are looked at."""
    path = stem(folder, record.partition).with_suffix(".ids")
    return np.memmap(path, "<u8", "r") if record.series else _NONE


def _between(folder: Path, record: Record, low: int, high: int) -> np.ndarray:
    """A copy of those hashes of a part that are at least `low` and below `high`."""
    each = _hashes_of(folder, record)
    start = int(np.searchsorted(each, np.uint64(low)))
    end = len(each) if high >> 64 else int(np.searchsorted(each, np.uint64(high)))
    return np.array(each[start:end])


def _has(folder: Path, record: Record, value: np.uint64) -> bool:
    return len(_between(folder, record, int(value), int(value) + 1)) > 0


def _refuse_twins(folder: Path, records: Sequence[Record], value: np.uint64) -> None:
    """Raises InputError when ids of this hash are equal; other ids may share a hash by chance."""
    owner: dict[str, Record] = {}
    for record in records:
        ids = np.array(_ids(folder, record), object)
        for name in ids[hashes(ids) == value]:
            if name in owner:
                raise InputError(
                    f"series {name!r} is in two parts, {owner[name].name} and {record.name}",
                    code="engine/series-in-two-parts",
                    where=str(folder),
                    remedy="Put all rows of a series into one file (or part of the query), or "
                    "forecast without --engine",
                )
            owner[name] = record


def _ids(folder: Path, record: Record) -> list[str]:
    """The distinct ids of a part."""
    from pyarrow import parquet

    path = stem(folder, record.partition).with_suffix(".parquet")
    table = parquet.read_table(path, columns=["unique_id"])
    return [str(name) for name in table.column("unique_id").unique().to_pylist()]


def _write_manifest(job: Job, merged: Merged, records: Sequence[Record]) -> None:
    """The commit: with it the folder is a whole forecast."""
    parts = [
        {
            "file": f"{stem(merged.folder, r.partition).name}.parquet",
            "partition": r.name, "series": r.series, "rows": r.rows, "fallbacks": r.fallbacks,
            "skipped": r.skipped, "sha256": r.sha256, "seconds": round(r.seconds, 3),
        }
        for r in records
        if r.rows
    ]  # fmt: skip
    empty = [r.name for r in records if not r.rows]
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "format": "lstmcast-parts",
        "complete": not merged.failed,
        "request": job.request,
        "model": job.model,
        "horizon": job.horizon,
        "series": merged.series,
        "rows": merged.rows,
        "fallbacks": merged.fallbacks,
        "skipped": merged.skipped,
        "parts": parts,
        **({"no_rows": empty} if empty else {}),
        "failed": [{"partition": r.name, **(r.error or {})} for r in merged.failed],
    }
    text = json.dumps(document, indent=1, ensure_ascii=False)
    write_bytes(merged.folder / MANIFEST, as_bytes(text))


def _write_table(folder: Path, records: Sequence[Record], output: Path) -> None:
    """All parts in one file, a part at a time; `source` only where it says something."""
    from pyarrow import parquet

    plain = not any(r.fallbacks for r in records)

    def tables() -> Iterator[Any]:
        for record in (r for r in records if r.rows):
            table = parquet.read_table(stem(folder, record.partition).with_suffix(".parquet"))
            yield table.drop_columns([SOURCE]) if plain else table

    with whole_output(output, FORECAST) as file:
        write_tables(file, format_of(output), tables())
