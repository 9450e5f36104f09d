"""The state on disk, and how link and ledger are brought to it whatever was interrupted.

The truth is the run folders with a manifest and `rollbacks.json`. The newest run that was not
withdrawn is current (a run for an as-of before the then current one does not become it); the ledger
holds, for each as-of, the newest that stands.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.common.errors import OutputError
from forecast.common.files import STAGING, write_bytes
from forecast.common.progress import Listener
from forecast.data.io.arrow import as_numpy
from forecast.scheduling import ledger
from forecast.scheduling.publication import (
    CURRENT,
    RUNS,
    WHOLE,
    Edition,
    current_run,
    point_at,
    read_edition,
    read_whole,
)

if TYPE_CHECKING:
    import pyarrow as pa

ROLLBACKS = "rollbacks.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class State:
    """What is published: editions by name, those withdrawn, and digests of models refused."""

    editions: Mapping[str, Edition]
    rollbacks: tuple[Mapping[str, Any], ...] = ()

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
        back = {self.editions[e["to"]].manifest["model"]["sha256"] for e in self.rollbacks[-1:]
                if e["to"] in self.editions}  # fmt: skip
        return frozenset(d for e in self.rollbacks for d in e["refused"]) - back

    @property
    def standing(self) -> list[Edition]:
        """Editions that were not withdrawn, oldest publication first."""
        valid = [e for e in self.editions.values() if e.run not in self.withdrawn]
        return sorted(valid, key=lambda e: e.sequence)

    @property
    def current(self) -> Edition | None:
        """The edition that is to be current."""
        leading = [e for e in self.standing if e.manifest["leads"]]
        return leading[-1] if leading else None

    def of_position(self, position: int) -> Edition | None:
        """The newest edition that stands for an as-of."""
        return next((e for e in reversed(self.standing) if e.position == position), None)

    def next_sequence(self) -> int:
        """Number of the next publication."""
        return max((e.sequence for e in self.editions.values()), default=0) + 1


def read_state(folder: Path) -> State:
    """The state on disk; changes nothing. Raises OutputError when a manifest is damaged."""
    runs = folder / RUNS
    places = sorted(runs.iterdir()) if runs.is_dir() else []
    found = {
        place.name: edition
        for place in places
        if place.is_dir() and (edition := read_edition(place)) is not None
    }
    return State(found, read_rollbacks(folder))


def read_rollbacks(folder: Path) -> tuple[dict[str, Any], ...]:
    """The rollbacks so far, oldest first. Raises OutputError when the file is damaged."""
    path = folder / ROLLBACKS
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return tuple(document["rollbacks"])
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            "the list of rollbacks cannot be read",
            code="run/damaged",
            where=str(path),
            remedy="Restore it, or remove it: withdrawn runs then count again",
        ) from error


def write_rollbacks(folder: Path, rollbacks: Iterable[Mapping[str, Any]]) -> None:
    """Replaces the list in one step. Raises OutputError."""
    document = {"schema_version": SCHEMA_VERSION, "rollbacks": list(rollbacks)}
    write_bytes(folder / ROLLBACKS, json.dumps(document, indent=2).encode())


def recover(folder: Path, listener: Listener) -> State:
    """Removes what was half written, and brings link and ledger to the run folders."""
    clear_leftovers(folder, listener)
    state = read_state(folder)
    bring_link(folder, state, listener)
    bring_ledger(folder, state, listener)
    return state


def clear_leftovers(folder: Path, listener: Listener) -> None:
    """Removes unfinished folders and files; only the holder of the lock may."""
    runs = folder / RUNS
    unfinished = [p for p in runs.iterdir() if not (p / "manifest.json").is_file()] if (
        runs.is_dir()
    ) else []  # fmt: skip
    inside = [p for place in (folder, folder / "models", *_folders(runs)) if place.is_dir()
              for p in place.glob(f"{STAGING}*")]  # fmt: skip
    for path in (*inside, *unfinished):
        listener.note(f"left from a run that was interrupted, removed: {path.name}")
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _folders(runs: Path) -> list[Path]:
    return [p for p in runs.iterdir() if p.is_dir()] if runs.is_dir() else []


def bring_link(folder: Path, state: State, listener: Listener) -> None:
    """Lets `current` name the edition that is to be current."""
    wanted, found = state.current, current_run(folder)
    if wanted is not None and wanted.run != found:
        listener.note(f"{CURRENT} now names {wanted.run}")
        point_at(folder, wanted.run)


def bring_ledger(folder: Path, state: State, listener: Listener) -> None:
    """Lets the ledger hold what stands; one that is damaged is made anew.

    Runs whose folders are gone by retention stay as they are, unless they were withdrawn.
    """
    try:
        _bring_ledger(folder, state, listener)
    except OutputError as error:
        if not ledger.is_damaged(error):
            raise
        listener.warn("ledger/damaged", f"{error.message}: it is made anew from the run folders")
        path = folder / ledger.NAME
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        path.replace(path.with_name("ledger.damaged"))
        _bring_ledger(folder, state, listener)


def _bring_ledger(folder: Path, state: State, listener: Listener) -> None:
    wanted = {e.position: e for e in state.standing}  # the newest of each as-of
    if not wanted and not (folder / ledger.NAME).exists():
        return
    with ledger.opened(folder / ledger.NAME) as connection:
        recorded = ledger.recorded_runs(connection)
        for run in set(recorded.values()) & state.withdrawn:
            ledger.withdraw(connection, run)
        # What lies before the oldest cutoff was let go by retention, not forgotten.
        oldest = min(recorded, default=min(wanted, default=0))
        for position, edition in sorted(wanted.items()):
            if position >= oldest and recorded.get(position) != edition.run:
                listener.note(f"the ledger takes in {edition.run}")
                ledger.record(connection, published(folder, edition))


def published(folder: Path, edition: Edition) -> ledger.Published:
    """An edition as the ledger takes it, read from its folder. Raises OutputError."""
    table = read_whole(folder / RUNS / edition.run / WHOLE)
    manifest = edition.manifest
    horizon = int(manifest["horizon"])
    first = np.arange(0, table.num_rows, horizon)
    names = [name for name in table.column_names if name.startswith("q")]
    quantiles = np.stack([_numbers(table, name) for name in names], axis=-1)
    return ledger.Published(
        run=edition.run,
        sequence=edition.sequence,
        cutoff=edition.position,
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
    )


def _numbers(table: pa.Table, column: str) -> np.ndarray:
    return as_numpy(table.column(column).combine_chunks())
