"""A forecast in parts, read top to bottom: cut, decide once, forecast each part, make them one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from forecast.common.errors import InputError, OutputError, UsageError
from forecast.common.files import one_command
from forecast.common.folders import check_folder
from forecast.common.marks import PARTS
from forecast.common.progress import Listener
from forecast.common.resources import available_cores, check_installed
from forecast.common.workers import cluster
from forecast.config.schema import EngineSettings, Settings
from forecast.data.io.notes import listed, quantity
from forecast.inference.formats.registry import formats, suffix_of
from forecast.workflows.partitions.job import Job, Partition, make_job, partitions_of, share
from forecast.workflows.partitions.merge import MANIFEST, merge_run
from forecast.workflows.partitions.on_ray import on_ray
from forecast.workflows.partitions.worker import Outcome, Record, done, on_this_machine

DIED = {
    "code": "engine/worker-died",
    "text": "its worker process died: out of memory is the usual cause",
}
NOT_REACHED = {"code": "engine/worker-died", "text": "no worker was left to do it"}

Execute = Callable[[Sequence[int]], Iterable[Outcome]]


@dataclass(frozen=True)
class EngineResult:
    """What was forecast now and, with what was there before, is in the folder.

    parts of `of` are this run's (all, or those of its shard), `kept` of them done before; complete:
    whether the folder is a whole forecast with its manifest.
    """

    folder: Path
    engine: str
    horizon: int
    parts: int
    of: int
    kept: int
    rows: int
    series: int
    fallbacks: int
    skipped: int
    failed: list[Record]
    complete: bool
    seconds: float

    @property
    def exit_code(self) -> int:
        """0, or 3 where something is missing or another forecaster stood in."""
        return 3 if self.failed or self.fallbacks or self.skipped else 0


@one_command()
def engine_run(
    source: str,
    settings: Settings,
    listener: Listener,
    *,
    output: str | None,
    model: str | None = None,
    pretrained_network: bool = False,
) -> EngineResult:
    """Forecasts every partition of `source`, or of one shard, into the folder `output`.

    model: as for `predict`; pretrained_network: as `forecast` does, without a trained model. What
    an earlier run of the same request left there is kept. Without --shard the folder gets its
    manifest at the end. Raises ForecastError; InputError when no partition could be forecast.
    """
    started = time.monotonic()
    if settings.engine.name == "ray":
        check_installed("ray", "ray", "--engine ray")
    folder = _folder(output)
    check_folder(folder, PARTS, replaced=False)
    partitions = partitions_of(source, settings.data, settings.engine, listener)
    _refuse_nothing(partitions, settings.engine)
    listener.stage("Deciding how to forecast")
    job = make_job(folder, partitions, settings, listener, model, pretrained_network)
    mine = share(len(partitions), settings.engine.shard)
    before = [record for n in mine if (record := done(folder, job, n))]
    todo = sorted(set(mine) - {record.partition for record in before})
    kept = f", {len(before)} kept" if before else ""
    listener.stage(f"Forecasting {quantity(len(todo), 'part')}{kept}")
    records = list(before)
    work = tried(_engine(folder, settings), todo, settings.engine.attempts, partial(_given_up, job))
    with _ready(settings) if todo else nullcontext():
        for record in told(work, len(before), len(mine), started, listener):
            records.append(record)
    lost = sorted((r for r in records if r.error is not None), key=lambda r: r.partition)
    empty = sorted(r.name for r in records if r.error is None and not r.rows)
    if lost and len(lost) + len(empty) == len(mine):
        raise _nothing_made(lost)
    if empty:
        listener.note(f"{quantity(len(empty), 'part')} without rows: {listed(empty, 3)}")
    whole = settings.engine.shard is None
    if whole:
        listener.stage("Making the parts one")
        (folder / MANIFEST).unlink(missing_ok=True)
        merge_run(folder, lost)
    return EngineResult(
        folder=folder,
        engine=settings.engine.name or "local",
        horizon=job.horizon,
        parts=len(mine),
        of=len(partitions),
        kept=len(before),
        rows=sum(r.rows for r in records),
        series=sum(r.series for r in records),
        fallbacks=sum(r.fallbacks for r in records),
        skipped=sum(r.skipped for r in records),
        failed=lost,
        complete=whole and not lost,
        seconds=time.monotonic() - started,
    )


def told(
    records: Iterable[Record], before: int, of: int, started: float, listener: Listener
) -> Iterator[Record]:
    """The records as they come, each told of. before: parts that were made already, of `of`."""
    series = 0
    for number, record in enumerate(records, before + 1):
        if record.error is not None:
            listener.warn(record.error["code"], f"{record.name}: {record.error['text']}")
        series += record.series
        pace = series / max(time.monotonic() - started, 1e-9)
        listener.progress(number, of, {"series/s": pace})
        yield record


def tried(
    execute: Execute,
    partitions: Sequence[int],
    attempts: int,
    give_up: Callable[[int, dict[str, str]], Record],
) -> Iterator[Record]:
    """The record of every partition; one that fails or whose worker dies is tried again.

    give_up: makes the record of a partition from the error (code, text) of its last attempt.
    """
    left = list(partitions)
    reasons: dict[int, dict[str, str]] = {}
    for _ in range(attempts):
        again = dict.fromkeys(left, NOT_REACHED)
        for n, outcome in execute(left):
            del again[n]
            if outcome is None:
                again[n] = DIED
                continue
            plain, may_pass = outcome
            record = Record(**plain)  # type: ignore[arg-type]
            if may_pass and record.error is not None:
                again[n] = record.error
            else:
                yield record
        left, reasons = list(again), again
        if not left:
            return
    for n in left:
        text = f"{reasons[n]['text']} ({attempts} attempts)"
        yield give_up(n, {**reasons[n], "text": text})


def _given_up(job: Job, partition: int, error: dict[str, str]) -> Record:
    return Record(partition, job.partitions[partition].name, job.request, error=error)


def _engine(folder: Path, settings: Settings) -> Execute:
    where, jobs = str(folder.resolve()), settings.training.jobs or available_cores()
    if settings.engine.name == "ray":
        return lambda parts: on_ray(where, parts, jobs, settings.engine.ray_address)
    return lambda parts: on_this_machine(where, parts, jobs)


def _ready(settings: Settings) -> AbstractContextManager[object]:
    """One Ray cluster for all attempts; nothing for the local engine."""
    if settings.engine.name != "ray":
        return nullcontext()
    return cluster(settings.engine.ray_address, settings.training.jobs or available_cores())


def _folder(output: str | None) -> Path:
    """The output folder. Raises UsageError: none, a file's name, or a file."""
    path = Path(output or "-")
    if output in (None, "", "-") or suffix_of(path) in formats() or path.is_file():
        raise UsageError(
            "a forecast in parts is written into a folder",
            code="usage/engine-needs-folder",
            where="--output",
            value=output,
            remedy="Name one: --output forecasts; `lstmcast merge` makes one file of it",
        )
    return path


def _refuse_nothing(partitions: Sequence[Partition], engine: EngineSettings) -> None:
    if len(share(len(partitions), engine.shard)) == 0:
        raise UsageError(
            f"this shard has nothing to do: there are only {len(partitions)} parts",
            code="usage/empty-shard",
            where="--shard",
            value=engine.shard,
            remedy=f"Use at most {len(partitions)} shards",
        )


def _nothing_made(lost: Sequence[Record]) -> InputError | OutputError:
    """The error of a run that made no part: the first part's."""
    error = lost[0].error or {}
    code = error.get("code", "engine/partition-failed")
    kind = OutputError if code.startswith("output/") else InputError
    return kind(
        f"no part could be forecast; of the first: {error.get('text', '')}",
        code=code,
        where=lost[0].name,
        remedy="Look at one part: lstmcast check FILE",
    )
