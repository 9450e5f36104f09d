"""Every command that writes, pointed at the paths of a foreign tree; work that takes long is
replaced by a short one that writes through the same writers, after the command's own checks."""

from __future__ import annotations

import io
import os
import random
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

from forecast.cli.app import run
from forecast.cli.error_handler import guarded
from forecast.common.files import write_bytes
from forecast.common.folders import made_folder, whole_folder
from forecast.common.marks import BACKTEST, COMPARISON, RUN, TUNING
from forecast.reporting.run_folder import run_path
from tests import ROOT, foreign_tree

FIRST = ROOT / "tests" / "fixtures" / "first_house"
SOURCES = ("in.csv", "./in.csv", "twin.csv", "links/input")
MODELS = ("runs/run", "runs/first", "runs/run/model", "runs/evil")
# Words of a command; {T}, {U} are outputs, {IN} the data, {M} a model, {JOBS} a config of jobs.
WORDS = (
    "forecast {IN} --horizon 3 --output {T}",
    "forecast {IN} --horizon 3 --output {T} --samples 2",
    "forecast {IN} --horizon 3 --output {T} --force",
    "forecast bad.csv --horizon 3 --rejects {U} --output {T}",
    "forecast {IN} --horizon 3 --engine local --jobs 1 --output {T}",
    "check {IN} --rejects {T}",
    "check bad.csv --rejects {T}",
    "check bad.csv --rejects {T} --force",
    "detect {IN} --output {T}",
    "predict {IN} --model {M} --output {T}",
    "predict {IN} --model {M}",
    "predict {IN} --model {M} --samples 2",
    "predict --model {M} --output {T}",
    "predict --model runs/evil",
    "predict {T} --model {M}",
    "explain {M} {IN} --output {T}",
    "explain {M} {IN}",
    "export {M} --onnx --output {T}",
    "export {M} --onnx",
    "plot {M} --data {IN} --output {T}",
    "report {M} --data {IN} --output {T}",
    "report {M} --data {IN}",
    "train {IN} --out {T}",
    "train {IN} --out {T} --rejects {U}",
    "train {IN} --root {T}",
    "backtest {IN} --out {T}",
    "compare {IN} --out {T}",
    "tune {IN} --out {T}",
    "distill {M} {IN} --out {T}",
    "merge {T} --output {U}",
    "init {T}",
    "init {T} --batch",
    "schedule {JOBS} --output {T}",
    "run {JOBS}",
    "run {JOBS}",
    "prune {JOBS}",
    "score {JOBS} --rebuild",
    "rollback {JOBS}",
)
COSTLY = ("run", "rollback", "explain", "report")  # chosen more seldom


class Done(Exception):
    """The short work that stands for a long one has been done."""


def template(folder: Path) -> Path:
    """What lstmcast made, of this edition and of the first, and two tables."""
    folder.mkdir(parents=True)
    shutil.copy(FIRST / "passengers.csv", folder / "in.csv")
    (folder / "in.csv").chmod(0o640)
    rows = (folder / "in.csv").read_text().splitlines(keepends=True)
    (folder / "bad.csv").write_text("".join([*rows[:-1], "1954-12,none at all\n"]))
    shutil.copy(FIRST / "predicted.csv", folder / "old.csv")
    shutil.copytree(FIRST / "run", folder / "runs" / "first")
    with whole_folder(folder / "runs" / "run", RUN) as staging:
        shutil.copytree(FIRST / "run", staging, dirs_exist_ok=True)
    with whole_folder(folder / "tested", BACKTEST) as staging:
        (staging / "manifest.json").write_text('{"format": "lstmcast-backtest"}')
        (staging / "series.csv").write_text("unique_id\n")
    shutil.copytree(FIRST / "job", folder / "jobs" / "first", symlinks=True)
    evil(folder / "runs" / "evil")
    return folder


def evil(folder: Path) -> None:
    """A model of somebody else's that names files to be written and statements to be run."""
    shutil.copytree(FIRST / "run", folder)
    manifest = folder / "model" / "manifest.json"
    text = manifest.read_text()
    places = (
        '"settings": {"data": {"rejects": "notes.txt", "query": "drop table t", '
        '"future_covariates": "proj/data.csv", "static": "secret.csv"}},'
    )
    manifest.write_text(text.replace('"settings": {', places + '"was": {', 1))
    (folder / "predictions.csv").unlink()
    (folder / "predictions.csv").symlink_to("../../notes.txt")
    (folder / "explanation.csv").symlink_to("../../gone.csv")


def jobs(tree: foreign_tree.Tree, rng: random.Random) -> str:
    """A config of one job, in the tree, whose folder and files are anywhere."""
    target = rng.choice((rng.choice(tree.targets), "jobs/first", "jobs/new", ".", "runs"))
    data = ""
    if rng.random() < 0.3:
        data = f', data: {{rejects: "{rng.choice(tree.targets)}"}}'
    lines = [
        "jobs:",
        "  sales:",
        "    data: in.csv",
        "    model: pretrained",
        f'    folder: "{target}"',
        f"    settings: {{forecast: {{horizon: 3}}{data}}}",
        "    retention: {keep_last: 1, keep_daily: 0, keep_weekly: 0, keep_logs: 1}",
    ]
    if rng.random() < 0.4:
        lines.append(f'    metrics_file: "{rng.choice(tree.targets)}"')
    (tree.root / "job-config.yaml").write_text("\n".join(lines) + "\n")
    tree.seen["job-config.yaml"] = foreign_tree.entry(tree.root / "job-config.yaml")
    return "job-config.yaml"


def chosen(tree: foreign_tree.Tree, rng: random.Random) -> list[str]:
    """A command line."""
    words = rng.choice(WORDS).split()
    if words[0] in COSTLY and rng.random() < 0.5:
        words = rng.choice(WORDS).split()
    target = rng.choice(tree.targets)
    if rng.random() < 0.5 and words[0] in ("plot", "export", "explain"):
        target += {"plot": ".png", "export": ".onnx", "explain": ".csv"}[words[0]]
    values = {
        "{T}": target,
        "{U}": rng.choice(tree.targets),
        "{IN}": rng.choice(SOURCES),
        "{M}": rng.choice(MODELS),
        "{JOBS}": jobs(tree, rng) if "{JOBS}" in words else "",
    }
    if words[:2] == ["predict", "{T}"] and _is_pipe(tree.root / target):
        values["{T}"] = "in.csv"  # a pipe that nobody writes to is waited for, as by any reader
    return [values.get(word, word) for word in words]


def _is_pipe(path: Path) -> bool:
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except OSError:
        return False


def may_change(tree: foreign_tree.Tree, words: list[str]) -> set[str]:
    """What of the tree the command may change or remove: what lstmcast made, empty files, and with
    --force the regular file that it names, unless that is the input."""
    ours = {
        path for path in tree.ours
        if not path.startswith("runs/evil") or not (tree.root / path).is_symlink()
    }  # fmt: skip
    if "--force" in words:
        for option in ("--output", "--rejects"):
            if option in words:
                named = tree.root / words[words.index(option) + 1]
                real = Path(os.path.realpath(named))
                read = tree.root / words[1]
                if real.is_file() and not os.path.samefile(real, read):
                    ours.add(os.path.relpath(real, tree.root))
    return ours


def try_command(tree: foreign_tree.Tree, words: list[str]) -> tuple[int, list[str]]:
    """Runs the command: its exit code (0 where the short work was done), what it may not have
    changed and did. What it makes anew is lstmcast's from then on."""
    ours, before = may_change(tree, words), tree.seen
    with foreign_tree.working_in(tree.root, tree.root / "home"), quiet(), short_work():
        code = guarded(lambda: _outcome(words), debug=False)
    tree.seen = foreign_tree.snapshot(tree.root)
    tree.ours |= tree.seen.keys() - before.keys()
    tree.ours |= {path for path in ours & before.keys() if tree.seen.get(path) != before[path]}
    return code, foreign_tree.changed(before, tree.seen, ours)


def _outcome(words: list[str]) -> int:
    try:
        return run(words)
    except Done:
        return 0


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing is printed, nothing can be read, and bugs are logged in nobody's home."""
    with ExitStack() as stack:
        for name in ("stdout", "stderr"):
            stack.enter_context(patch.object(sys, name, io.TextIOWrapper(io.BytesIO())))
        stack.enter_context(patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO())))
        stack.enter_context(patch.dict(os.environ, {"XDG_STATE_HOME": os.devnull}))
        yield


@contextmanager
def short_work() -> Iterator[None]:
    """Trainings and searches end at once, after what they would have written is written."""
    from forecast.workflows import backtest, compare, distill, export, train, tune
    from forecast.workflows.partitions import run as engine
    from forecast.workflows.partitions import worker

    with ExitStack() as stack:
        for module, name, write in (
            (train, "make_plan", _writes(RUN, "model/manifest.json")),
            (backtest, "plan_backtest", _writes(BACKTEST, "manifest.json")),
            (compare, "plans_of", _writes(COMPARISON, "compare.json")),
            (distill, "student_settings", _writes(RUN, "model/manifest.json")),
            (tune, "make_plan", _searches),
        ):
            stack.enter_context(patch.object(module, name, write))
        for name, made in (
            ("to_onnx", b"\x08\x08\x12\x08lstmcast"),
            ("session_of", None),
            ("largest_difference", 0.0),
            ("_figures", ()),
        ):
            stack.enter_context(patch.object(export, name, lambda *_, made=made: made))
        stack.enter_context(patch.object(worker, "one_thread", lambda: None))
        stack.enter_context(patch.object(engine, "_engine", _here))
        yield


def _here(folder: Path, settings: object) -> Callable[..., Iterator[tuple[int, object]]]:
    from forecast.workflows.partitions.worker import attempt

    where = str(folder.resolve())
    return lambda parts: ((n, attempt(where, n)) for n in parts)


def _writes(kind: object, name: str) -> Callable[..., None]:
    def write(*arguments: object) -> None:
        settings = next(each for each in arguments if hasattr(each, "output"))
        with whole_folder(run_path(settings, "in.csv"), kind) as staging:
            for file in (name, "history.csv", "report.html"):
                (staging / file).parent.mkdir(exist_ok=True)
                (staging / file).write_text("new")
        raise Done

    return write


def _searches(*arguments: object) -> None:
    settings = next(each for each in arguments if hasattr(each, "output"))
    folder = run_path(settings, "in.csv")
    made_folder(folder, TUNING)
    for name in ("study.db", "tuned.yaml", "trials.csv"):
        write_bytes(folder / name, b"new")
    raise Done
