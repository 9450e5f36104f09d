"""Trains the members of the ensemble, each in a process of its own with one torch thread.

The parent needs no torch. Arrays travel through safetensors files in a folder of the caller's,
progress through the worker's standard output, one JSON line each. A worker that is asked to stop
(SIGINT or SIGTERM) ends with its best weights so far; one whose parent died stops at once.
Run as `python -m forecast.training.ensemble FOLDER MEMBER`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from forecast.common.errors import (
    ForecastError,
    ModelDamagedError,
    OutputError,
    TrainingError,
)
from forecast.common.files import failed_to_write, write_bytes
from forecast.common.folders import made_folder, remove_folder
from forecast.common.marks import TRAINING
from forecast.common.workers import python_command
from forecast.training.checkpoint import (
    Checkpoint,
    forget_damaged,
    once,
    read_finished,
    write_member,
)
from forecast.training.config import BEHIND, TrainConfig
from forecast.training.distillation import Teacher
from forecast.training.distributed import (
    ALONE,
    DistributedContext,
    SingleProcess,
    compute_the_same_bytes,
)
from forecast.transforms.covariate_tensors import Known
from forecast.transforms.windows import Layout

if TYPE_CHECKING:
    from forecast.training.loop import Fitted


# glibc hands large blocks back to the kernel after every step, a third of the time of training.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}
GRACE = 1.0  # seconds that a member has to write its best weights when time is up
ENDED_BY_SIGNAL = (-signal.SIGINT, -signal.SIGTERM)
FAILED = "failed"  # key of the line by which a worker says what went wrong
THREADS = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


@dataclass(frozen=True)
class MemberTask:
    """What a member is taught: choose the number of steps on validation origins, then go over all.

    values float64 (N,), offsets int64 (S+1,); keep int64 (S,): observations of each series that
    the scored weights may see; validation int64 (V, S): origins within them. `config` has no
    seed of its own, each member has one; `refit` the share of the steps spent on all data
    (0: none) and its learning rate relative to the first. checkpoint_every: seconds between two
    savings of where a member stands; None: never, and a member that is stopped ends with its best.
    known: the covariates; teacher: whose quantiles the member is drawn to.
    """

    values: np.ndarray
    offsets: np.ndarray
    keep: np.ndarray
    validation: np.ndarray
    layout: Layout
    config: TrainConfig
    refit_share: float
    refit_rate: float
    initial: Mapping[str, np.ndarray] | None = None
    checkpoint_every: float | None = None
    known: Known | None = None
    teacher: Teacher | None = None


@dataclass(frozen=True)
class Member:
    """One trained member: weights chosen on the validation origins, and after the refit.

    kind: "pretrained", "fine-tuned" or "from scratch".
    """

    scored: dict[str, np.ndarray]
    final: dict[str, np.ndarray]
    best_step: int
    best_loss: float
    ended: str
    device: str
    kind: str = ""


def train_members(
    task: MemberTask,
    seeds: list[int],
    folder: Path,
    jobs: int,
    report: Callable[[int, dict[str, Any]], None] = lambda member, event: None,
    until: float | None = None,
) -> tuple[list[Member], bool]:
    """Trains one member for each seed, `jobs` at a time, in the existing `folder`.

    The folder is empty, or, where the task is checkpointed, one that `resumes` looked at: members
    that are finished there are not trained again, others go on where they stood.
    Returns the members and whether the user interrupted (Ctrl-C: best weights so far; with
    checkpoints only what is finished). `report` gets (member, event) for each progress line. until:
    when (time.monotonic) members have to stop with their best weights so far; one that has none a
    moment later is ended and not among those returned. Raises TrainingError when a worker fails.
    """
    _write_task(task, folder)
    waiting = [(m, seed) for m, seed in enumerate(seeds) if not _is_done(folder, m)]
    crew = _Crew(folder, jobs, report, waiting)
    interrupted = late = False
    with crew.at_work():
        while waiting or crew.running:
            try:
                if until is not None and time.monotonic() >= until + (GRACE if late else 0.0):
                    if late:
                        break  # the crew ends those that still run
                    late = True
                    crew.stop()
                crew.start_more()
                crew.hear(_patience(until, late))
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                crew.stop()
    done = filter(partial(_is_done, folder), range(len(seeds)))
    return [read_member(folder, m) for m in done], interrupted


@dataclass
class _Crew:
    """The workers of `train_members`: those that run, by member, and the members that wait."""

    folder: Path
    jobs: int
    report: Callable[[int, dict[str, Any]], None]
    waiting: list[tuple[int, int]]
    running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    failed: dict[int, dict[str, Any]] = field(default_factory=dict)
    selector: selectors.BaseSelector = field(default_factory=lambda: selectors.DefaultSelector())
    stopped: bool = False

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """No worker outlives the block."""
        try:
            yield
        finally:
            self.selector.close()
            for process in self.running.values():
                process.kill()
                process.wait()

    def start_more(self) -> None:
        """Workers for the members that wait, as many as may run at once."""
        while self.waiting and len(self.running) < self.jobs:
            member, seed = self.waiting.pop(0)
            self.running[member] = _start(self.folder, member, seed)
            self.selector.register(_output(self.running[member]), selectors.EVENT_READ, member)

    def hear(self, seconds: float | None) -> None:
        """What the workers say next, waited for at most so long. Raises what one failed with."""
        for key, _ in self.selector.select(seconds):
            member = key.data
            line = _output(self.running[member]).readline()
            event = _event(line)
            if FAILED in event:
                self.failed[member] = event[FAILED]
            elif event:
                self.report(member, event)
            elif not line:
                self.selector.unregister(key.fileobj)
                process = self.running.pop(member)
                _output(process).close()
                if self.stopped and self._was_starting(member, process.wait()):
                    continue  # it has nothing
                _finish(process, self.folder, member, self.failed.get(member))

    def _was_starting(self, member: int, code: int) -> bool:
        """Whether a worker that was stopped had no handler of signals yet: Python ends it then, or
        says where it was interrupted."""
        said = (self.folder / f"member-{member}.log").read_bytes().rstrip()
        return code in ENDED_BY_SIGNAL or (code != 0 and said.endswith(b"KeyboardInterrupt"))

    def stop(self) -> None:
        """Asks all to end with what they have; nothing more is started."""
        self.stopped = True
        self.waiting.clear()
        _interrupt(self.running.values())


def _patience(until: float | None, late: bool) -> float | None:
    """Seconds to wait for a word of a worker; None: as long as it takes."""
    if until is None:
        return None
    return max(0.0, until + (GRACE if late else 0.0) - time.monotonic())


def _interrupt(workers: Iterable[subprocess.Popen[bytes]]) -> None:
    for process in workers:
        process.send_signal(signal.SIGINT)


def _is_done(folder: Path, member: int) -> bool:
    return (folder / f"member-{member}.json").exists()


def _start(folder: Path, member: int, seed: int) -> subprocess.Popen[bytes]:
    """A worker in a session of its own, so that Ctrl-C reaches it only through the parent."""
    with (folder / f"member-{member}.log").open("wb") as log:
        return subprocess.Popen(
            python_command("forecast.training.ensemble", str(folder), str(member), str(seed)),
            stdout=subprocess.PIPE,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={
                **os.environ,
                **ALLOCATOR,
                **THREADS,
                "PYTHONPATH": _import_path(),
                "TORCHINDUCTOR_CACHE_DIR": str(folder),  # else torch leaves one in TMPDIR
            },
            start_new_session=True,
        )


def _say(event: dict[str, Any]) -> None:
    """Tells the parent: a line in one write, which a pipe hands over whole."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def _event(line: bytes) -> dict[str, Any]:
    """What a worker said: nothing at the end, or where Ctrl-C took part of the line."""
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError:
        return {}
    return event


def _output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None  # started with a pipe
    return process.stdout


def _import_path() -> str:
    """Lets the worker import this very package, installed or not."""
    here = str(Path(__file__).resolve().parent.parent.parent)
    return os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))


def _finish(
    process: subprocess.Popen[bytes], folder: Path, member: int, failed: dict[str, Any] | None
) -> None:
    """Waits for a worker that closed its output; raises what it failed with."""
    code = process.wait()
    if code == 0:
        return
    if failed is not None:
        known = {kind.exit_code: kind for kind in (OutputError, ModelDamagedError)}
        raise known.get(code, TrainingError)(**failed)
    printed = (folder / f"member-{member}.log").read_text(errors="replace").strip()
    raise worker_died(code, printed)


def worker_died(code: int, printed: str) -> TrainingError:
    """The error of a worker that ended without a word of its own; printed: its standard error."""
    last = printed.splitlines()[-1].strip() if printed else ""
    remedy = "What it printed last is shown; report it if it is not plain what to do"
    if code == -signal.SIGKILL or re.search("(?i)killed|memoryerror|out of memory|alloc", last):
        remedy = (
            "Out of memory is the usual cause: try --jobs 1 or a smaller "
            "--set training.batch_size=N"
        )
    how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
    return TrainingError(
        f"a training process {how}" + (f": {last[:300]}" if last else ""),
        code="train/worker-died",
        value=printed[-2000:] or None,
        remedy=remedy,
    )


def resumes(task: MemberTask, seeds: list[int], folder: Path) -> str:
    """Makes `folder` ready for a checkpointed task: "new", "resumed", "damaged" or "refused".

    What another task left there (other data, other numbers; only the time limit may differ) is
    refused, that is removed; of this task's, what is damaged.
    """
    path, digest = folder / "lesson.sha256", _digest(task, seeds).encode()
    found = path.read_bytes() if path.is_file() else None
    if found == digest:
        return "damaged" if forget_damaged(folder) else "resumed"
    remove_folder(folder, TRAINING)
    made_folder(folder, TRAINING)
    write_bytes(path, digest)
    return "new" if found is None else "refused"


def _digest(task: MemberTask, seeds: list[int]) -> str:
    """sha256 of everything that the trained weights depend on."""
    found = hashlib.sha256(json.dumps(seeds).encode())

    def take(name: str, value: Any) -> None:
        found.update(f"\0{name}\0".encode())
        if isinstance(value, np.ndarray):
            found.update(f"{value.dtype.str} {value.shape}".encode())
            found.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, Mapping) or hasattr(value, "__dict__"):
            inner = value if isinstance(value, Mapping) else vars(value)
            for key in sorted(inner):
                take(f"{name}.{key}", inner[key])
        else:
            found.update(json.dumps(value).encode())

    config = {key: value for key, value in task.config.document().items() if key != "seconds"}
    whole = {**vars(task), "config": config, "checkpoint_every": None}
    take("lesson", whole)
    return found.hexdigest()


def _write_task(task: MemberTask, folder: Path) -> None:
    arrays = {
        "values": np.ascontiguousarray(task.values, np.float64),
        "offsets": np.ascontiguousarray(task.offsets, np.int64),
        "keep": np.ascontiguousarray(task.keep, np.int64),
        "validation": np.ascontiguousarray(task.validation, np.int64),
    }
    _save(arrays, folder / "lesson.safetensors")
    if task.initial is not None:
        _save(dict(task.initial), folder / "initial.safetensors")
    if task.known is not None:
        _save(vars(task.known), folder / "known.safetensors")
    if task.teacher is not None:
        _save(dict(task.teacher.weights), folder / "teacher.safetensors")
    plain = {
        "layout": asdict(task.layout),
        "config": task.config.document(),
        "refit_share": task.refit_share,
        "refit_rate": task.refit_rate,
        "checkpoint_every": task.checkpoint_every,
        "teacher": task.teacher and [task.teacher.network, task.teacher.share],
    }
    (folder / "lesson.json").write_text(json.dumps(plain))


def _save(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Writes a safetensors file. Raises OutputError, which safetensors' own errors are not."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        save_file(arrays, path)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        problem = OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(error)
        raise failed_to_write(path, problem) from error


def _read_task(folder: Path) -> MemberTask:
    from safetensors.numpy import load_file

    plain = json.loads((folder / "lesson.json").read_text())
    initial, known = folder / "initial.safetensors", folder / "known.safetensors"
    arrays: dict[str, Any] = load_file(folder / "lesson.safetensors")
    about = plain.pop("teacher")
    teacher = about and Teacher(load_file(folder / "teacher.safetensors"), *about)
    return MemberTask(
        **arrays,
        layout=Layout(**plain.pop("layout")),
        config=TrainConfig.of(plain.pop("config")),
        initial=load_file(initial) if initial.exists() else None,
        known=Known(**load_file(known)) if known.exists() else None,
        teacher=teacher,
        **plain,
    )


def read_member(folder: Path, member: int) -> Member:
    from safetensors.numpy import load_file

    path, files = _files_of(folder, member)
    about = read_finished(path, **files)
    return Member(load_file(files["scored"]), load_file(files["final"]), **about)


def _files_of(folder: Path, member: int) -> tuple[Path, dict[str, Path]]:
    """The file that says that a member is finished, and those of its weights."""
    names = ("scored", "final")
    weights = {name: folder / f"member-{member}-{name}.safetensors" for name in names}
    return folder / f"member-{member}.json", weights


def work(folder: Path, member: int, seed: int) -> None:
    """The worker: both fits of one member, results written beside the lesson."""
    task = _read_task(folder)
    stopping = _stop_on_signals()
    scored, final, device = fit_member(
        task,
        seed,
        stopping,
        _say,
        folder / f"member-{member}",
    )
    if final is None:
        return
    keep_member(folder, member, scored, final, device)


def keep_member(
    folder: Path, member: int, scored: Fitted, final: dict[str, np.ndarray], device: str
) -> None:
    """Writes a finished member: what `fit_member` returned. The last file says that it is whole."""
    path, files = _files_of(folder, member)
    _save(scored.weights, files["scored"])
    _save(final, files["final"])
    plain = {
        "best_step": scored.best_step,
        "best_loss": scored.best_loss,
        "ended": scored.ended,
        "device": device,
    }
    write_member(path, plain, **files)


def fit_member(
    task: MemberTask,
    seed: int,
    stopping: Callable[[], bool],
    emit: Callable[[dict[str, Any]], None],
    place: Path | None = None,
    ranks: SingleProcess = ALONE,
) -> tuple[Fitted, dict[str, np.ndarray] | None, str]:
    """The fit that the validation origins watch, then the refit on all data.

    place: start of the names of its checkpoints, where the task has them. Returns the first's
    Fitted, the final weights (None when a checkpointed fit was stopped) and the device's name.
    """
    from forecast.training.loop import resolve_device

    fits = _Fits(task, seed, stopping, emit, place, ranks)
    config = replace(task.config, seed=seed)
    scored = fits.first(config)
    device = str(resolve_device(config.device))
    stopped = stopping()  # once: asked to stop between two looks, the refit would be left out
    if stopped and task.checkpoint_every is not None:
        return scored, None, device
    again = _config_of_refit(task, config, scored.best_step)
    if stopped or again is None or scored.ended == BEHIND:
        return scored, scored.weights, device
    refitted = fits.fit("refit", again, task.values, task.offsets, scored.weights)
    if refitted.ended == "interrupted" and task.checkpoint_every is not None:
        return scored, None, device
    return scored, refitted.weights, device


def _config_of_refit(task: MemberTask, config: TrainConfig, best_step: int) -> TrainConfig | None:
    """How the weights of `best_step` go on over all data; None where they do not."""
    steps = round(task.refit_share * max(best_step, config.steps // 4))
    if not steps or not best_step:
        return None
    rate = config.learning_rate * task.refit_rate
    return replace(config, steps=steps, learning_rate=rate, seed=config.seed + 1_000_003)


@dataclass(frozen=True)
class _Fits:
    """What the two fits of `fit_member` have in common; its arguments."""

    task: MemberTask
    seed: int
    stopping: Callable[[], bool]
    emit: Callable[[dict[str, Any]], None]
    place: Path | None
    ranks: SingleProcess

    def first(self, config: TrainConfig) -> Fitted:
        """The fit that the validation origins watch; read again where it was finished before."""
        from forecast.training.loop import Fitted

        task = self.task

        def make() -> Fitted:
            values, offsets = _shown(task)
            return self.fit("fit", config, values, offsets, task.initial, task.validation)

        if task.checkpoint_every is None or self.place is None:
            return make()
        path = self.place.with_name(f"{self.place.name}-fit.safetensors")
        return cast("Fitted", once(path, make, Fitted, writes=self.ranks.first))

    def fit(
        self,
        phase: str,
        config: TrainConfig,
        values: np.ndarray,
        offsets: np.ndarray,
        initial: Mapping[str, np.ndarray] | None,
        validation: np.ndarray | None = None,
    ) -> Fitted:
        """`loop.fit`; phase: its name in what is emitted and in its checkpoint's."""
        from forecast.training.loop import fit

        return fit(
            values,
            offsets,
            self.task.layout,
            config,
            validation=validation,
            known=self.task.known,
            initial=initial,
            report=lambda progress: self.emit({"phase": phase, **asdict(progress)}),
            interrupted=self.stopping,
            checkpoint=self._checkpoint(phase),
            ranks=self.ranks,
            teacher=self.task.teacher,
        )

    def _checkpoint(self, phase: str) -> Checkpoint | None:
        every, place = self.task.checkpoint_every, self.place
        if every is None or place is None:
            return None
        path = place.with_name(f"{place.name}-{phase}.checkpoint")
        return self.ranks.checkpoint(path, every, self.seed)


def _shown(task: MemberTask) -> tuple[np.ndarray, np.ndarray]:
    """Values and offsets of the observations that the scored weights may see."""
    lengths = np.diff(task.offsets)
    position = np.arange(len(task.values)) - np.repeat(task.offsets[:-1], lengths)
    seen = position < np.repeat(task.keep, lengths)
    return task.values[seen], np.concatenate([[0], np.cumsum(task.keep)])


def _stop_on_signals() -> Callable[[], bool]:
    """True once the parent asked to stop; ends this process when the parent is gone."""
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, frame: asked.append(received))
    parent = os.getppid()

    def stopping() -> bool:
        if os.getppid() != parent:
            os._exit(1)
        return bool(asked)

    return stopping


def main(arguments: list[str]) -> int:
    """Entry of the worker process."""
    folder, member = Path(arguments[0]), int(arguments[1])
    compute_the_same_bytes()
    try:
        work(folder, member, int(arguments[2]))
    except OSError as error:
        return _tell(failed_to_write(Path(error.filename or folder), error))
    except ForecastError as error:
        return _tell(error)
    return 0


def _tell(error: ForecastError) -> int:
    """Says to the parent what went wrong, by its pipe: the disk may be full. The exit code."""
    plain = {k: getattr(error, k) for k in ("message", "code", "where", "remedy")}
    plain["value"] = None if error.value is None else str(error.value)
    _say({FAILED: plain})
    return error.exit_code


# --- Members of the ensemble trained one after the other by all ranks ----------------


def train_together(
    task: MemberTask,
    seeds: list[int],
    folder: Path,
    ranks: DistributedContext,
    report: Callable[[int, dict[str, Any]], None] = lambda member, event: None,
) -> tuple[list[Member], bool]:
    """As `train_members`, in the folder that `ready` looked at: the same members on every rank.

    The folder must be one and the same for all ranks. Raises TrainingError.
    """
    members: list[Member] = []
    for number, seed in enumerate(seeds):
        if ranks.same((folder / f"member-{number}.json").exists()):
            members.append(read_member(folder, number))
            continue

        def emit(event: dict[str, Any], number: int = number) -> None:
            if ranks.first:
                report(number, event)

        place = folder / f"member-{number}"
        scored, final, device = fit_member(task, seed, ranks.stopping, emit, place, ranks)
        if final is None:
            return members, True
        if ranks.first:
            keep_member(folder, number, scored, final, device)
        members.append(
            Member(scored.weights, final, scored.best_step, scored.best_loss, scored.ended, device)
        )
    return members, False


def ready(task: MemberTask, seeds: list[int], folder: Path, ranks: DistributedContext) -> str:
    """As `ensemble.resumes`, done by rank 0 while the others wait."""
    return ranks.same(resumes(task, seeds, folder) if ranks.first else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
