"""The state on disk, and how link and ledger are brought to it whatever was interrupted.

The truth is the run folders with a manifest and `rollbacks.json`. The newest run that was not
withdrawn is current (a run for an as-of before the then current one does not become it); the ledger
holds, for each as-of, the newest that stands. What is damaged is set aside, and the rest goes on.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from forecast.common.documents import (
    BadDocument,
    check_schema,
    read_document,
)
from forecast.common.errors import OutputError
from forecast.common.files import failed_to_write, sync_folder, write_bytes
from forecast.common.folders import made_folder, remove_folder, unfinished_in
from forecast.common.marks import JOB, JOB_RUN, is_ours
from forecast.common.progress import Listener
from forecast.data.io.arrow import as_numpy
from forecast.scheduling import ledger
from forecast.scheduling.documents import Rollbacks
from forecast.scheduling.ledger_checks import check_ledger
from forecast.scheduling.publication import (
    CURRENT,
    MANIFEST,
    RUNS,
    WHOLE,
    PublishedForecast,
    bad_forecast,
    current_run,
    point_at,
    read_published,
    read_whole,
)

if TYPE_CHECKING:
    import sqlite3

    import pyarrow as pa


ROLLBACKS, ASIDE = "rollbacks.json", "set-aside"
ROLLBACKS_VERSION = 1


def is_on(published: PublishedForecast, grid: str | None) -> bool:
    """Whether its positions count on this grid; those of earlier versions do not say."""
    return grid is None or published.manifest.get("grid") in (None, grid)


@dataclass(frozen=True)
class Damage:
    """What cannot be read, and why; lasting: its content is wrong, so that it is set aside (not
    where it could not be opened, or is of a later version)."""

    path: Path
    why: str
    lasting: bool = True


@dataclass(frozen=True)
class State:
    """What is published: forecasts by name, those withdrawn, and digests of models refused; and
    what of it cannot be read."""

    forecasts: Mapping[str, PublishedForecast]
    rollbacks: tuple[Mapping[str, Any], ...] = ()
    damaged: tuple[Damage, ...] = ()

    @property
    def withdrawn(self) -> frozenset[str]:
        """Runs that a rollback took out."""
        out: set[str] = set()
        for entry in self.rollbacks:
            out = (out | set(entry["withdrawn"])) - {entry["to"]}
        return frozenset(out)

    @property
    def withheld(self) -> list[Mapping[str, Any]]:
        """{run, position, seen, config, model} of what a rollback took out, kept or not: not to
        be published again of the same data."""
        found: dict[str, Mapping[str, Any]] = {}
        for entry in self.rollbacks:
            found |= {each["run"]: each for each in entry.get("withheld", ())}
            found.pop(entry["to"], None)
        return list(found.values())

    @property
    def refused(self) -> frozenset[str]:
        """Digests of models that a rollback took out of service."""
        back = {self.forecasts[e["to"]].manifest["model"]["sha256"] for e in self.rollbacks[-1:]
                if e["to"] in self.forecasts}  # fmt: skip
        return frozenset(d for e in self.rollbacks for d in e["refused"]) - back

    @property
    def standing(self) -> list[PublishedForecast]:
        """Published forecasts that were not withdrawn, oldest publication first."""
        valid = [e for e in self.forecasts.values() if e.run not in self.withdrawn]
        return sorted(valid, key=lambda e: (e.sequence, e.run))

    @property
    def current(self) -> PublishedForecast | None:
        """The edition that is to be current."""
        leading = [e for e in self.standing if e.manifest["leads"]]
        return leading[-1] if leading else None

    def of_position(self, position: int, grid: str | None = None) -> PublishedForecast | None:
        """The newest published forecast that stands for an as-of, on that grid."""
        here = (e for e in reversed(self.standing) if is_on(e, grid))
        return next((e for e in here if e.position == position), None)

    @property
    def comparable(self) -> list[PublishedForecast]:
        """The standing forecasts on the grid of the current one, oldest publication first."""
        grid = self.current.manifest.get("grid") if self.current is not None else None
        return [e for e in self.standing if is_on(e, grid)]

    def next_sequence(self) -> int:
        """Number of the next publication."""
        return max((e.sequence for e in self.forecasts.values()), default=0) + 1


def read_state(folder: Path) -> State:
    """The state on disk; changes nothing. What cannot be read is in `State.damaged`."""
    runs = folder / RUNS
    found: dict[str, PublishedForecast] = {}
    damaged = []
    for place in sorted(runs.iterdir()) if runs.is_dir() else []:
        if not is_ours(place, JOB_RUN):
            continue
        try:
            if (published := read_published(place)) is not None:
                found[place.name] = published
        except OutputError as error:
            damaged.append(Damage(place, error.message, error.code == "run/damaged"))
    try:
        rollbacks = read_rollbacks(folder)
    except OutputError as error:
        damaged.append(Damage(folder / ROLLBACKS, error.message, error.code == "run/damaged"))
        rollbacks = _rollbacks_as_they_show(folder, found)
    return State(found, rollbacks, tuple(damaged))


def read_rollbacks(folder: Path) -> tuple[dict[str, Any], ...]:
    """The rollbacks so far, oldest first. Raises OutputError when the file is damaged."""
    path = folder / ROLLBACKS
    try:
        document = read_document(path)
        check_schema(Rollbacks, document)
        return tuple(document["rollbacks"])
    except FileNotFoundError:
        return ()
    except (BadDocument, OSError) as error:
        what = error.strerror if isinstance(error, OSError) else error
        raise OutputError(
            f"the list of rollbacks cannot be read: it {what}",
            code="run/unreadable" if isinstance(error, OSError) else "run/damaged",
            where=str(path),
            remedy="The next run makes it anew: what is not in service now stays withdrawn",
        ) from error


def _rollbacks_as_they_show(
    folder: Path, found: Mapping[str, PublishedForecast]
) -> tuple[dict, ...]:
    """What rollbacks must have been, from the link and the ledger: whatever is newer than the
    current run, or missing in the ledger, was withdrawn. So a forecast that somebody took back is
    not served again because a list is lost."""
    target = found.get(current_run(folder) or "")
    if target is None:
        return ()
    recorded = recorded_runs(folder)
    oldest = min(recorded, default=None)
    gone = [e for e in found.values() if e is not target and e.manifest["leads"] and (
        e.sequence > target.sequence
        or (oldest is not None and e.position >= oldest and e.position not in recorded)
    )]  # fmt: skip
    return (rollback_to(target, found, gone, target.manifest["created"]),) if gone else ()


def recorded_runs(folder: Path) -> dict[int, str]:
    """The run that the ledger has for each cutoff; none where it cannot be read."""
    path = folder / ledger.NAME
    if not path.exists():
        return {}
    try:
        with ledger.opened(path) as connection:
            return ledger.recorded_runs(connection)
    except OutputError:
        return {}


def rollback_to(
    target: PublishedForecast,
    forecasts: Mapping[str, PublishedForecast],
    withdrawn: Sequence[PublishedForecast],
    at: str,
) -> dict[str, Any]:
    """What `rollbacks.json` says of a rollback to `target` that withdraws these forecasts.

    Models that serve only there are refused from then on.
    """
    names = {e.run for e in withdrawn}
    kept = {e.manifest["model"]["sha256"] for e in forecasts.values() if e.run not in names}
    return {
        "at": at,
        "to": target.run,
        "withdrawn": sorted(names),
        "refused": sorted({e.manifest["model"]["sha256"] for e in withdrawn} - kept),
        "withheld": [
            {
                "run": e.run,
                "position": e.position,
                "seen": e.manifest["input"]["seen_sha256"],
                "config": e.manifest["config_sha256"],
                "model": e.manifest["model"]["id"],
            }
            for e in withdrawn
        ],
    }


def write_rollbacks(folder: Path, rollbacks: Iterable[Mapping[str, Any]]) -> None:
    """Replaces the list in one step. Raises OutputError."""
    document = {"schema_version": ROLLBACKS_VERSION, "rollbacks": list(rollbacks)}
    write_bytes(folder / ROLLBACKS, json.dumps(document, indent=2).encode())


def recover(folder: Path, listener: Listener) -> State:
    """Removes what was half written, and brings link and ledger to the run folders."""
    made_folder(folder, JOB)
    clear_leftovers(folder, listener)
    state = read_state(folder)
    for damage in state.damaged:
        listener.warn("run/set-aside", in_words(damage))
        if damage.lasting:
            set_aside(folder, damage.path)
            if damage.path.name == ROLLBACKS:
                write_rollbacks(folder, state.rollbacks)
    bring_link(folder, state, listener)
    bring_ledger(folder, state, listener)
    return state


def in_words(damage: Damage) -> str:
    """What is said of damage."""
    if not damage.lasting:
        return f"{damage.path.name} is left out: {damage.why}"
    return f"{damage.path.name} is set aside, in {ASIDE}/: {damage.why}"


def set_aside(folder: Path, path: Path) -> Path:
    """Moves what cannot be used out of the way of all commands, for a person to look at; nothing is
    lost. Returns where it is. Raises OutputError."""
    place = folder / ASIDE / path.name
    number = 2
    while os.path.lexists(place):
        place = place.with_name(f"{path.name}.{number}")
        number += 1
    try:
        place.parent.mkdir(exist_ok=True)
        os.rename(path, place)
        sync_folder(place.parent)
        sync_folder(path.parent)
    except OSError as error:
        raise failed_to_write(place, error) from error
    return place


def what_is_aside(folder: Path) -> list[str]:
    """Names of what was set aside and is still there."""
    try:
        return sorted(os.listdir(folder / ASIDE))
    except OSError:
        return []


def clear_leftovers(folder: Path, listener: Listener) -> None:
    """Removes unfinished folders and files; only the holder of the lock may. What lstmcast did
    not make stays."""
    runs = _own_runs(folder)
    for path in [p for place in (folder, folder / "models", *runs) for p in unfinished_in(place)]:
        listener.note(f"left from a run that was interrupted, removed: {path.name}")
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    for run in runs:
        if not os.path.lexists(run / MANIFEST):
            listener.note(f"left from a run that was interrupted, removed: {run.name}")
            _note_left(run, remove_folder(run, JOB_RUN), listener)


def _own_runs(folder: Path) -> list[Path]:
    runs = folder / RUNS
    return [place for place in runs.iterdir() if is_ours(place, JOB_RUN)] if runs.is_dir() else []


def _note_left(place: Path, left: list[str], listener: Listener) -> None:
    if left:
        listener.note(f"not of lstmcast's, left as it is in {place.name}: {', '.join(left)}")


def bring_link(folder: Path, state: State, listener: Listener) -> None:
    """Lets `current` name the published forecast that is to be current."""
    wanted, found = state.current, current_run(folder)
    if wanted is None or wanted.run == found:
        return
    link = folder / CURRENT
    if link.exists() and not link.is_symlink():
        moved = set_aside(folder, link)
        listener.warn("run/set-aside", f"{CURRENT} was no link: it is in {ASIDE}/{moved.name}")
    listener.note(f"{CURRENT} now names {wanted.run}")
    point_at(folder, wanted.run)


def bring_ledger(folder: Path, state: State, listener: Listener) -> None:
    """Lets the ledger hold what stands; one that is damaged is made anew.

    Runs whose folders are gone by retention stay as they are, unless they were withdrawn.
    """
    with_sound_ledger(folder, state, listener, lambda: _bring_ledger(folder, state, listener))


T = TypeVar("T")


def with_sound_ledger(folder: Path, state: State, listener: Listener, work: Callable[[], T]) -> T:
    """The result of `work`, which uses the ledger; where that turns out to be damaged, it is made
    anew from the run folders, and `work` is done again. Raises OutputError."""
    try:
        return work()
    except OutputError as error:
        if not ledger.is_damaged(error):
            raise
        listener.warn("ledger/damaged", f"{error.message}: it is made anew from the run folders")
        ledger.set_aside(folder / ledger.NAME)
        _bring_ledger(folder, state, listener)
        return work()


def _bring_ledger(folder: Path, state: State, listener: Listener) -> None:
    wanted = {e.position: e for e in state.comparable}  # the newest of each as-of
    path = folder / ledger.NAME
    if not wanted and not path.exists() and not path.is_symlink():
        return
    with ledger.opened(path) as connection:
        check_ledger(connection, path)
        grid = state.current.manifest.get("grid") if state.current is not None else None
        if not ledger.is_on(connection, grid):
            ledger.begin_on(connection, grid)
        recorded = ledger.recorded_runs(connection)
        for run in set(recorded.values()) & state.withdrawn:
            ledger.withdraw(connection, run)
        # What lies before the oldest cutoff was let go by retention, not forgotten.
        oldest = min(recorded, default=min(wanted, default=0))
        for position, published in sorted(wanted.items()):
            if position >= oldest and recorded.get(position) != published.run:
                _take_in(connection, folder, published, listener)


def _take_in(
    connection: sqlite3.Connection, folder: Path, published: PublishedForecast, listener: Listener
) -> None:
    """Records a published forecast; one that cannot be read is left out of the scores, and said."""
    try:
        made = ledger_entry(folder, published)
    except OutputError as error:
        listener.warn("run/not-scored", f"{published.run} cannot be scored: {error.message}")
        return
    listener.note(f"the ledger takes in {published.run}")
    ledger.record(connection, made)


def ledger_entry(folder: Path, published: PublishedForecast) -> ledger.Published:
    """A published forecast as the ledger takes it, read from its folder. Raises OutputError."""
    import pyarrow as pa

    place = folder / RUNS / published.run
    table = read_whole(place, published)
    try:
        return _as_published(published, table)
    except (KeyError, ValueError, TypeError, pa.ArrowException) as error:
        raise bad_forecast(place / WHOLE, f"does not fit its manifest ({error})") from error


def _as_published(published: PublishedForecast, table: pa.Table) -> ledger.Published:
    manifest = published.manifest
    horizon = int(manifest["horizon"])
    first = np.arange(0, table.num_rows, horizon)
    names = [name for name in table.column_names if name.startswith("q")]
    quantiles = np.stack([_numbers(table, name) for name in names], axis=-1)
    return ledger.Published(
        run=published.run,
        sequence=published.sequence,
        cutoff=published.position,
        cutoff_time=manifest["as_of"],
        created=manifest["created"],
        model=manifest["model"]["id"],
        season=int(manifest["season"]),
        ids=table.column("series").take(first).to_pylist(),
        source=table.column("source").take(first).to_pylist(),
        scale=_numbers(table, "scale")[first],
        point=_numbers(table, "point").reshape(-1, horizon),
        levels=manifest["levels"],
        quantiles=quantiles.reshape(-1, horizon, len(names)),
        kind=published.point,
    )


def _numbers(table: pa.Table, column: str) -> np.ndarray:
    return as_numpy(table.column(column).combine_chunks())
