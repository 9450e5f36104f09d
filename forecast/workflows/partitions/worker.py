"""One partition: read, forecast and written where it is processed.

part-00007.parquet   its forecasts
part-00007.ids       the sorted hashes of its series' ids, by which merging sees one twice
part-00007.json      the record, written last: with it the partition is done
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from forecast.common.documents import (
    BadDocument,
    check_schema,
    open_seal,
    read_document,
    sealed,
)
from forecast.common.errors import ForecastError, InputError, ModelDamagedError, UsageError
from forecast.common.files import write_bytes
from forecast.common.resources import keep_memory, limit_cores
from forecast.common.workers import Pool
from forecast.data.load import LoadReport, has_header_of, load_several
from forecast.data.panel import Panel
from forecast.inference.tables import span_of
from forecast.models.forecaster import Forecaster
from forecast.workflows.load import check_grid
from forecast.workflows.partitions.documents import RecordFields
from forecast.workflows.partitions.job import JOB, Job, read_job
from forecast.workflows.predict import forecast_of

FINAL = (InputError, UsageError, ModelDamagedError)  # trying again cannot help
SOURCE = "source"


@dataclass(frozen=True)
class Record:
    """What became of a partition.

    rows, series of its forecast, none where its input has no rows; fallbacks: series that another
    forecaster stood in for; skipped: how many had no value; bytes, sha256 of its file; span: first
    and last time of the first series;
    changed: when the input last changed (ns); seconds, cpu: wall and processor seconds it took on
    `host`; error: its code and text where it failed.
    """

    partition: int
    name: str
    request: str
    rows: int = 0
    series: int = 0
    fallbacks: int = 0
    skipped: int = 0
    bytes: int = 0
    sha256: str = ""
    span: tuple[str, str] = ("", "")
    changed: int | None = None
    seconds: float = 0.0
    cpu: float = 0.0
    host: str = ""
    error: dict[str, str] | None = None


def stem(folder: Path, partition: int) -> Path:
    """The path of a partition's files, without the ending."""
    return folder / f"part-{partition:05d}"


def one_thread() -> None:
    """This process computes in one thread: others work beside it."""
    import pyarrow as pa

    limit_cores(1)
    keep_memory()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


def attempt(folder: str, partition: int) -> tuple[dict[str, object], bool]:
    """Does a partition of the job in `folder`, if it is not done: its record as plain data, and
    whether it failed in a way that another attempt may not."""
    one_thread()
    path = Path(folder)
    try:
        job, forecaster = _job(folder, (path / JOB).stat().st_mtime_ns)
    except ForecastError as error:  # of the whole job: no partition can be done
        return asdict(Record(partition, f"part {partition + 1}", "", error=_told(error))), False
    try:
        record = done(path, job, partition) or _made(path, job, forecaster, partition)
        return asdict(record), False
    except FINAL as error:
        return asdict(failed(job, partition, error)), False
    except Exception as error:  # whatever it is, the other partitions go on
        return asdict(failed(job, partition, error)), True


@lru_cache(maxsize=1)
def _job(folder: str, _changed: int) -> tuple[Job, Forecaster]:
    """The job and its forecaster, read once a process and once a change of the job's file."""
    job = read_job(Path(folder))
    return job, job.forecaster()


def read_record(folder: Path, partition: int) -> Record | None:
    """The record of a partition; None where there is none that is whole: the part is made again."""
    try:
        plain = read_document(stem(folder, partition).with_suffix(".json"))
        open_seal(plain, required=True)
        found = check_schema(RecordFields, plain)
        if found.partition != partition:
            return None
        return Record(**{**found.model_dump(), "span": (found.span[0], found.span[1])})
    except (BadDocument, OSError):
        return None


def done(folder: Path, job: Job, partition: int) -> Record | None:
    """The record of a partition that is done as the job asks, from an input that is the same."""
    record = read_record(folder, partition)
    if record is None or record.request != job.request or record.changed is None:
        return None
    whole = is_whole(folder, record)
    return record if whole and record.changed == job.partitions[partition].stamp() else None


def is_whole(folder: Path, record: Record) -> bool:
    """Whether the files of a partition are as they were written: by size and sum, and a hash of
    every series. What is not is forecast anew. Of one without rows there are none."""
    if not record.rows:
        return True
    file, ids = (stem(folder, record.partition).with_suffix(end) for end in (".parquet", ".ids"))
    try:
        sizes = file.stat().st_size == record.bytes, ids.stat().st_size == 8 * record.series
        if not all(sizes):
            return False
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == record.sha256
    except OSError:
        return False


def failed(job: Job, partition: int, error: Exception) -> Record:
    """The record of a partition that cannot be done; it is not written."""
    return Record(partition, job.partitions[partition].name, job.request, error=_told(error))


def _told(error: Exception) -> dict[str, str]:
    """Code and text of what went wrong."""
    if isinstance(error, ForecastError):
        return {"code": error.code, "text": str(error)}
    return {"code": "engine/partition-failed", "text": f"{type(error).__name__}: {error}"}


def _made(folder: Path, job: Job, forecaster: Forecaster, partition: int) -> Record:
    """Reads, forecasts, writes. Raises ForecastError."""
    import pyarrow as pa
    from pyarrow import parquet

    started, worked = time.monotonic(), time.process_time()
    part = job.partitions[partition]
    changed = part.stamp() if part.query or Path(part.place).exists() else None
    at = stem(folder, partition)
    try:
        panel, report = _read(job, partition)
    except InputError as error:
        if error.code != "input/no-rows" or not _may_be_empty(job, partition):
            raise
        for end in (".parquet", ".ids"):  # of rows that were there before
            at.with_suffix(end).unlink(missing_ok=True)
        nothing = hashlib.sha256().hexdigest()
        return _kept(at, Record(partition, part.name, job.request, sha256=nothing, changed=changed))
    made, table = forecast_of(panel, forecaster, job.horizon, job.settings)
    if SOURCE not in table.column_names:  # all parts have the same columns
        table = table.append_column(SOURCE, pa.repeat(forecaster.name, table.num_rows))
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    content = sink.getvalue()
    write_bytes(at.with_suffix(".parquet"), content)
    kept = panel.ids[made.available]
    write_bytes(at.with_suffix(".ids"), np.sort(hashes(kept)).astype("<u8").tobytes())
    record = Record(
        partition=partition,
        name=part.name,
        request=job.request,
        rows=table.num_rows,
        series=len(kept),
        fallbacks=int((made.source != forecaster.name)[made.available].sum()),
        skipped=len(report.skipped),
        bytes=content.size,
        sha256=hashlib.sha256(content).hexdigest(),
        span=span_of(panel, made, job.horizon),
        changed=changed,
        seconds=time.monotonic() - started,
        cpu=time.process_time() - worked,
        host=f"{socket.gethostname()}:{os.getpid()}",
    )
    return _kept(at, record)


def _kept(at: Path, record: Record) -> Record:
    """Writes the record beside the files of its partition."""
    write_bytes(at.with_suffix(".json"), json.dumps(sealed(asdict(record))).encode())
    return record


def _may_be_empty(job: Job, partition: int) -> bool:
    """Whether no rows are no error: a query finds none, a file has the header of another."""
    part = job.partitions[partition]
    return part.query is not None or has_header_of(part.place, job.headers)


def _read(job: Job, partition: int) -> tuple[Panel, LoadReport]:
    """The panel of one partition, on the job's grid even where its few values do not show it."""
    part, data, grid = job.partitions[partition], job.settings.data, job.grid()

    def load(freq: str | None) -> tuple[Panel, LoadReport]:
        settings = data if freq is None else data.model_copy(update={"freq": freq})
        return load_several([(part.place, part.query)], part.place, settings)

    try:
        panel, report = load(None)
        fits = panel.frequency.alias == grid.alias
    except InputError:
        fits = False
        if data.freq is not None:
            raise
    if not fits and data.freq is None:
        panel, report = load(grid.alias)
    check_grid(panel, {"frequency": job.frequency})
    columns = report.columns.get("id")
    if not columns and panel.size == 1 and len(job.partitions) > 1 and part.query is None:
        ids = np.empty(1, object)  # without ids a file is a series of its own, called like the file
        ids[0] = job.names[partition]
        panel = replace(panel, ids=ids)
    return panel, report


def hashes(ids: np.ndarray) -> np.ndarray:
    """uint64 (S,): a hash of each id (object (S,), non-empty strings).

    The sum of (byte + 1) times a random odd number that belongs to the byte's position, modulo
    2^64 (multilinear hashing: Lemire & Kaser 2014): two ids share one by chance of about 2^-56.
    """
    if not len(ids):
        return np.zeros(0, np.uint64)
    texts = [each.encode("utf-8", "surrogatepass") for each in ids.tolist()]
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    starts = np.cumsum(lengths) - lengths
    data = np.frombuffer(b"".join(texts), np.uint8).astype(np.uint64) + np.uint64(1)
    place = np.arange(len(data)) - np.repeat(starts, lengths)
    odd = np.random.default_rng(20_140_101).integers(0, 1 << 64, int(lengths.max()), np.uint64)
    return np.add.reduceat(data * (odd | np.uint64(1))[place], starts)


# --- Partitions on this machine: processes with one thread each, replaced when one dies ----------


FOREVER = 1e8  # seconds

Outcome = tuple[int, tuple[dict[str, object], bool] | None]


def on_this_machine(folder: str, partitions: Sequence[int], jobs: int) -> Iterator[Outcome]:
    """(partition, what `attempt` returned) as each gets done; None for one whose process died.

    Where processes keep dying, what is left is not tried.
    """
    with Pool(max(1, min(jobs, len(partitions))), one_thread) as pool:
        end = time.monotonic() + FOREVER
        yield from pool.results_until(end, partial(attempt, folder), partitions)
