"""A small job to be killed, starved and run twice at once; and what must hold of it ever after.

Runs are forked off this process, which has imported all that a run imports: a start costs
milliseconds, and what is killed or starved is a process of its own with real files all the same.
One disturbed run in FRESH is started anew, as cron would. Start scripts with `faulty()` first,
which preloads the shim of _faults.c where there is a C compiler.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from pathlib import Path

CONFIG = """\
jobs:
  sales:
    data: sales.csv
    model: {model}
    metrics_file: metrics/sales.prom
    checkpoint: 1s
    retrain: {{new_points: 1}}
    settings:
      forecast: {{horizon: 7}}
      network: {{hidden_size: 8, layers: 1}}
      training: {{members: 1, max_steps: 30, refit: false, jobs: 1, device: cpu, seed: 3}}
"""
FIRST, HISTORY = date(2024, 1, 1), 70
SERIES = ("a", "b", "c")
WAITED = 900.0  # seconds for a run on a busy machine; longer is a hang
FRESH = 50  # of so many disturbed runs, one is a process that was not forked
ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # what is proved is this tree, whatever is installed


@dataclass(frozen=True)
class Fault:
    """What happens at the n-th change of the job's folder; see _faults.c for the actions.

    workers: not in the run itself, but in the processes that train for it.
    """

    number: int
    action: str
    workers: bool = False

    def environment(self, root: str) -> dict[str, str]:
        """What arms a process that is yet to start."""
        return {
            "FAULTS_ROOT": root,
            "FAULTS_NUMBER": str(self.number),
            "FAULTS_ACTION": self.action,
        }


def faulty() -> bool:
    """Starts this script again with the shim preloaded; False where it cannot be compiled."""
    if hasattr(ctypes.CDLL(None), "faults_arm"):
        return True
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":
        return False
    shim = Path(tempfile.mkdtemp(prefix="lstmcast-faults-")) / "faults.so"
    source = Path(__file__).with_name("_faults.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", shim, source, "-ldl"], check=True)
    environ = {**os.environ, "LD_PRELOAD": str(shim), "OMP_NUM_THREADS": "1"}
    os.execve(sys.executable, [sys.executable, *sys.argv], environ)


def warming(work: Callable[[], int], log: Path) -> int:
    """Does `work` in a child process; what that imported is then imported here. The exit code."""
    names = log.with_name("modules")

    def telling() -> int:
        code = work()
        names.write_text("\n".join(sys.modules))
        return code

    code = ended(forked(telling, log))
    for name in names.read_text().split("\n"):
        if name not in sys.modules:
            with suppress(Exception):  # not every name of a loaded module can be imported by itself
                import_module(name)
    return code


def forked(work: Callable[[], int], log: Path, fault: Fault | None = None, root: str = "") -> int:
    """Starts `work` in a child process, its words going to `log`; the process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        if fault is not None and fault.workers:
            os.environ.update(fault.environment(root))
        elif fault is not None:
            shim = ctypes.CDLL(None)
            shim.faults_arm(root.encode(), ctypes.c_long(fault.number), fault.action.encode()[0])
        code = work()
        sys.stdout.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


_STARTED: list[subprocess.Popen[bytes]] = []  # kept, so that only `ended` waits for them


def ended(pid: int) -> int:
    """The exit code of a child, or minus the signal that ended it. Raises on a hang."""
    until = time.monotonic() + WAITED
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError(f"a run did not end within {WAITED:g} seconds")


class Rehearsal:
    """A job that has published once and has new data; every trial starts from there."""

    def __init__(self, folder: Path, model: str = "pretrained") -> None:
        self.folder = folder
        self.home = folder / "home"
        self.job = self.home / "sales"
        self.log = folder / "last.log"
        self._model = model
        self._saved = folder / "saved"
        self._disturbed = 0

    def begin(self, more: str = "    outputs: {files: [csv, parquet]}\n") -> None:
        """Writes the config, with `more` lines of the job."""
        self.home.mkdir(parents=True)
        (self.home / "batch.yaml").write_text(CONFIG.format(model=self._model) + more)

    def prepare(self) -> None:
        """The first publication, then a day more of data; kept for `reset`."""
        self.begin()
        self.write_data(HISTORY)
        code = warming(lambda: lstmcast(*self._command()), self.log)
        assert code == 0, self.words()
        self.old = published(self.job)
        self.write_data(HISTORY + 1)
        shutil.copytree(self.home, self._saved, symlinks=True)
        code = warming(lambda: lstmcast(*self._command()), self.log)
        assert code == 0, self.words()
        self.new = published(self.job)
        assert self.old.as_of != self.new.as_of
        consistent(self.job)
        self.reset()

    def write_data(self, days: int) -> None:
        """`days` days of each series."""
        rows = ["unique_id,ds,y"]
        for n in range(days):
            day = FIRST + timedelta(days=n)
            weekday = day.isoweekday()
            rows += [f"{s},{day},{100 + 10 * k + 5 * weekday + (n * 7919 * (k + 1)) % 11}"
                     for k, s in enumerate(SERIES)]  # fmt: skip
        path = self.home / "sales.csv"
        temporary = path.with_suffix(".new")
        temporary.write_text("\n".join(rows) + "\n")
        temporary.replace(path)

    def reset(self) -> None:
        """The job as it was when the new data had come."""
        shutil.rmtree(self.home)
        shutil.copytree(self._saved, self.home, symlinks=True)

    def start(self, fault: Fault | None = None) -> int:
        """Begins a run; its process id."""
        self._disturbed += fault is not None
        if fault is not None and not fault.workers and self._disturbed % FRESH == 0:
            return self.start_anew(fault)
        return forked(lambda: lstmcast(*self._command()), self.log, fault, str(self.home))

    def start_anew(self, fault: Fault | None = None, log: Path | None = None) -> int:
        """Begins a run in a new Python, as cron would; its process id."""
        faults = fault.environment(str(self.home)) if fault is not None else {}
        with (log or self.log).open("wb") as words:
            started = subprocess.Popen(
                [sys.executable, "-m", "forecast", *self._command()],
                env={**os.environ, "PYTHONPATH": str(ROOT), **faults},
                stdout=words,
                stderr=words,
            )
        _STARTED.append(started)
        return started.pid

    def _command(self) -> tuple[str, ...]:
        return ("run", str(self.home / "batch.yaml"), "--job", "sales")

    def run(self, fault: Fault | None = None) -> int:
        """A run from its start to its end; the exit code, or minus a signal."""
        return ended(self.start(fault))

    def command(self, name: str) -> int:
        """Another command on the job; its exit code."""
        words = (name, str(self.home / "batch.yaml"), "--job", "sales")
        return ended(forked(lambda: lstmcast(*words), self.log))

    def changes(self) -> int:
        """How often an undisturbed run changes the job's folder: the faults that there are."""
        self.reset()
        counted = self.folder / "count"

        def count() -> int:
            code = lstmcast(*self._command())
            shim = ctypes.CDLL(None)
            shim.faults_disarm()
            shim.faults_seen.restype = ctypes.c_long
            counted.write_text(str(shim.faults_seen()))
            return code

        assert ended(forked(count, self.log, Fault(-1, "-"), str(self.home))) == 0, self.words()
        self.reset()
        return int(counted.read_text())

    def words(self) -> str:
        """What the last run said."""
        return self.log.read_text(errors="replace")[-2000:]

    def after(self, code: int) -> str:
        """Checks what a disturbed run has left, then that the next one heals it; "old" or "new".

        The one word is which forecast was published before the healing.
        """
        found = published(self.job)
        which = "new" if found.as_of == self.new.as_of else "old"
        wanted = self.new if which == "new" else self.old
        assert found == wanted, f"a published forecast is neither the old nor the new one: {found}"
        assert self.run() == 0, f"the run after one that ended with {code} failed: {self.words()}"
        healed = published(self.job)
        assert healed == self.new, "the healing run has published something else"
        consistent(self.job)
        return which


def lstmcast(*words: str) -> int:
    """The command line, in this process."""
    from forecast.cli.app import run
    from forecast.cli.error_handler import guarded

    return guarded(lambda: run(words), debug=True)


@dataclass(frozen=True)
class Published:
    """What a reader finds at `current`."""

    as_of: str
    files: tuple[tuple[str, str], ...]  # name, sha256


def published(job: Path) -> Published:
    """The forecast at `current`, whole. Raises AssertionError when it is not."""
    current = job / "current"
    assert current.is_symlink(), "current is no link"
    manifest = json.loads((current / "manifest.json").read_bytes())
    files = []
    for name, about in manifest["outputs"].items():
        content = (current / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        assert (digest, len(content)) == (about["sha256"], about["bytes"]), f"{name} is torn"
        if name.startswith("predictions"):
            files.append((name, digest))
    return Published(manifest["as_of"], tuple(sorted(files)))


def consistent(job: Path) -> None:
    """What must hold of a job's folder after a run that ended well. Raises AssertionError."""
    published(job)
    left = [path for path in job.rglob("*") if path.name.startswith((".writing-", ".current"))]
    assert not left, f"left behind: {left}"
    runs = {path.name: json.loads((path / "manifest.json").read_bytes())
            for path in (job / "runs").iterdir()}  # fmt: skip
    in_ledger = dict(ledger_runs(job / "ledger.sqlite"))
    as_ofs = [manifest["as_of"] for manifest in runs.values()]
    replaced = {manifest["replaces"] for manifest in runs.values()} - {None}
    kept = [m["as_of"] for name, m in runs.items() if name not in replaced]
    assert len(set(kept)) == len(kept), f"a slot is published twice: {as_ofs}"
    for name in set(runs) - replaced:
        assert name in in_ledger, f"{name} is not in the ledger"
        manifest = runs[name]
        wanted = manifest["horizon"] * manifest["series"]["forecast"]
        assert in_ledger[name] == wanted, f"{name}: {in_ledger[name]} rows instead of {wanted}"


def ledger_runs(path: Path) -> Iterator[tuple[str, int]]:
    """(run, its rows) of the ledger, which must be in order."""
    with closing(sqlite3.connect(path)) as ledger:
        assert ledger.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert ledger.execute("PRAGMA foreign_key_check").fetchall() == []
        twice = "select cutoff, count(*) from runs group by cutoff having count(*) > 1"
        assert ledger.execute(twice).fetchall() == [], "a cutoff is in the ledger twice"
        yield from ledger.execute(
            "select runs.run, sum(forecasts.size) * horizon from runs"
            " left join forecasts on forecasts.run = runs.id group by runs.id"
        )


def instant(text: str) -> datetime:
    """The moment of an as-of."""
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
