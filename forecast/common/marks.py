"""Whose a folder is: the mark that lstmcast leaves in every folder that it makes.

A mark is `.lstmcast.json`, with the kind of the folder and the files that were put there. Folders
of the first release have none and are known by their manifests, what is theirs by its names.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forecast.common.files import STAGING, write_bytes

MARK = ".lstmcast.json"
MAKER, SCHEMA_VERSION = "lstmcast", 1
LARGEST = 1 << 24  # bytes of a document that is looked at
STAGED = re.compile(re.escape(STAGING) + r"([a-z0-9_]{8}|current-\d+)")


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder.

    name: in the mark; words: with its article, for messages; files: regular expression of what is
    put there beside what a mark lists, which in a folder without a mark is all that is ours;
    first: whether a folder without a mark is of the first release.
    """

    name: str
    words: str
    files: str
    first: Callable[[Path], bool]


def says(file: str, **facts: str) -> Callable[[Path], bool]:
    """Tells whether a folder holds a JSON document `file` with these facts."""

    def check(folder: Path) -> bool:
        document = _document(folder / file)
        return document is not None and all(document.get(k) == v for k, v in facts.items())

    return check


_ADDED = r"report\.html|(samples|predictions)(-[\w.-]+)?\.(csv|parquet)|explanation\.(csv|json|svg)"
_MODEL = r"manifest\.json|weights\.safetensors"
RUN = FolderKind(
    "run",
    "a run of train",
    rf"{_ADDED}|model(\.int8)?\.onnx|model/({_MODEL})|metrics\.(csv|json)|(backtest|levels)\.csv"
    r"|history\.csv|forecast\.png",
    lambda folder: (
        says("model/manifest.json", format="lstmcast-model")(folder)
        and (folder / "history.csv").is_file()
    ),
)
BACKTEST = FolderKind(
    "backtest",
    "a backtest",
    r"manifest\.json|metrics\.(csv|json)|(backtest|series|history)\.csv|report\.html",
    says("manifest.json", format="lstmcast-backtest"),
)
COMPARISON = FolderKind(
    "comparison",
    "a comparison",
    r"compare\.(csv|json)|(backtest|history)\.csv",
    says("compare.json", format="lstmcast-compare"),
)

FEDERATION = FolderKind(
    "federation",
    "a training of several sites",
    rf"federation\.json|(sites|rounds)\.csv|rounds\.safetensors|site-\d+/({RUN.files})",
    says("federation.json", format="lstmcast-federation"),
)

FLOWER_APP = FolderKind(
    "flower-app",
    "a Flower app of lstmcast",
    r"pyproject\.toml|lstmcast_federated/__init__\.py",
    lambda folder: False,  # the first release made none
)


def _is_search(folder: Path) -> bool:
    names = {path.name for path in folder.iterdir()}
    alone = bool(names) and all(re.fullmatch(TUNING.files, name) for name in names)
    study = folder / "study.db"
    if alone and study.is_file():
        with study.open("rb") as file:
            return file.read(15) == b"SQLite format 3"
    return says("tuning.json", format="lstmcast-tuning")(folder)


TUNING = FolderKind(
    "tuning",
    "a search of tune",
    r"study\.db(-journal|-wal|-shm)?|tuned\.yaml|trials\.csv|tuning\.json",
    _is_search,
)


def _is_parts(folder: Path) -> bool:
    job = _document(folder / "job.json") or {}
    return {"schema_version", "request", "partitions", "horizon"} <= job.keys()


PARTS = FolderKind(
    "parts",
    "a forecast in parts",
    r"job\.json|manifest\.json|part-\d{5,}\.(parquet|ids|json)",
    _is_parts,
)


def _is_published(folder: Path) -> bool:
    """A run of a job: with its manifest, or killed before that."""
    manifest = _document(folder / "manifest.json")
    if manifest is not None:
        return {"job", "as_of", "sequence", "outputs"} <= manifest.keys()
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    named = re.fullmatch(r".+-[0-9a-f]{10}", folder.name) is not None
    return named and all(
        re.fullmatch(JOB_RUN.files, name) or STAGED.fullmatch(name) for name in names
    )


JOB_RUN = FolderKind(
    "job run",
    "a run of a job",
    r"manifest\.json|predictions\.(csv|parquet)|forecast\.parquet|log\.jsonl|overrides\.csv",
    _is_published,
)


def _is_job_model(folder: Path) -> bool:
    about = _document(folder / "about.json") or {}
    return about.get("id") == folder.name and {"schema_version", "sha256"} <= about.keys()


JOB_MODEL = FolderKind(
    "job model",
    "a model of a job",
    rf"about\.json|(model|scored)/({_MODEL})",
    _is_job_model,
)


def _is_training(folder: Path) -> bool:
    names = [n for n in files_below(folder) if not STAGED.fullmatch(os.path.basename(n))]
    begun = any(os.path.basename(name) == "lesson.sha256" for name in names)
    return begun and all(re.fullmatch(TRAINING.files, name) for name in names)


TRAINING = FolderKind(
    "training",
    "an unfinished training",
    r"([\w-]+/)*(lesson\.(sha256|json|safetensors)|(initial|known|teacher)\.safetensors"
    r"|member-\d+[\w.-]*|\.lstmcast\.json)",
    _is_training,
)
_OF_A_JOB = (
    r"\.lock|current|last\.json|rollbacks\.json"
    r"|ledger\.(sqlite(-wal|-shm|-journal)?|damaged|before)"
)


def _is_job(folder: Path) -> bool:
    last = _document(folder / "last.json") or {}
    if {"job", "state", "pid"} <= last.keys():
        return True
    runs = folder / "runs"
    if runs.is_dir() and any(_document(r / "manifest.json") and _is_published(r)
                             for r in runs.iterdir()):  # fmt: skip
        return True
    lock = folder / ".lock"
    begun = set(entries_of(folder)) <= {".lock", "logs"} and lock.is_file()
    return begun and (lock.stat().st_size == 0 or "pid" in (_document(lock) or {}))


JOB = FolderKind("job", "the folder of a scheduled job", _OF_A_JOB, _is_job)


def entries_of(folder: Path) -> list[str]:
    """Names in a folder, but for what writers that were killed left there."""
    return sorted(name for name in os.listdir(folder) if not STAGED.fullmatch(name))


def _document(path: Path) -> dict[str, Any] | None:
    """A JSON document that is a regular file; None for anything else."""
    try:
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > LARGEST:
            return None
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def listed(folder: Path, kind: FolderKind) -> frozenset[str] | None:
    """The files that the mark of `folder` lists; None where it has no mark of this kind."""
    mark = _document(folder / MARK) or {}
    files = mark.get("files")
    if mark.get("made_by") != MAKER or mark.get("kind") != kind.name or type(files) is not list:
        return None
    return frozenset(name for name in files if isinstance(name, str))


def is_ours(folder: Path, kind: FolderKind) -> bool:
    """Whether lstmcast made `folder`, as one of this kind."""
    if listed(folder, kind) is not None:
        return not folder.is_symlink()
    of_another = (_document(folder / MARK) or {}).get("kind") is not None
    try:
        return not of_another and folder.is_dir() and not folder.is_symlink() and kind.first(folder)
    except OSError:
        return False


def mark(folder: Path, kind: FolderKind, files: Iterable[str] = ()) -> None:
    """Writes the mark of `folder`, which must be ours or empty. Raises OutputError."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "made_by": MAKER,
        "kind": kind.name,
        "files": sorted(files),
    }
    write_bytes(folder / MARK, (json.dumps(document, indent=1) + "\n").encode())


def own_files(folder: Path, kind: FolderKind) -> Callable[[str], bool]:
    """Tells which paths below `folder` are files of ours: of a folder with a mark what that lists.

    A link, a device or a folder of such a name is none: somebody else put it there.
    """
    known = listed(folder, kind)
    form = re.compile(kind.files if known is None else _ALWAYS.get(kind.name, r"(?!)"))
    names = {MARK} if known is None else {MARK, *known}

    def is_own(name: str) -> bool:
        try:
            is_file = stat.S_ISREG(os.lstat(folder / name).st_mode)
        except OSError:
            return False
        return is_file and (name in names or form.fullmatch(name) is not None)

    return is_own


# What comes and goes in folders while they are worked in, so that no mark lists it.
_ALWAYS = {kind.name: kind.files for kind in (TUNING, PARTS, JOB_RUN, TRAINING, JOB)}


def files_below(folder: Path) -> Iterator[str]:
    """Paths below `folder`, relative to it, of all that is no folder, and of links."""
    for place, folders, names in os.walk(folder):
        inner = os.path.relpath(place, folder)
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        for name in (*names, *links):
            yield os.path.normpath(os.path.join(inner, name))
