"""Would the jobs of a config run when nobody is logged in? All checks, made as cron would run."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from forecast.common.errors import ForecastError, OutputError, UsageError
from forecast.common.files import STAGING, at_home
from forecast.common.folders import check_folder
from forecast.common.marks import JOB
from forecast.common.scratch import clear_dead_folders
from forecast.common.workers import python_command
from forecast.data.io.database import cause_of, connected, engine_to_write
from forecast.scheduling.config import BatchConfig, Job
from forecast.scheduling.config_file import advice_by_keys, chosen_jobs, load_config
from forecast.scheduling.dated_files import data_as_of
from forecast.scheduling.ledger import NAME as LEDGER
from forecast.scheduling.lock import NAME as LOCK
from forecast.scheduling.lock import holder
from forecast.scheduling.monitoring import METRICS, NOT_METRICS, hidden
from forecast.scheduling.timers import carried, secret_variables, skipped_starts, when_of

# --- Whether a folder's file system can do what scheduled runs ask of it -------------------------


def nearest_folder(path: Path) -> Path:
    """`path` if it is a folder, else the closest one above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def try_folder(folder: Path, *, links: bool = True) -> tuple[str, str] | None:
    """Does in a temporary folder below `folder` what a run does; (what fails, remedy) or None.

    links: also what only a job's own folder needs: links, locks, SQLite's write-ahead log, which
    network file systems often lack.
    """
    try:
        place = Path(tempfile.mkdtemp(prefix=STAGING, dir=folder))
    except OSError as error:
        return f"{folder} cannot be written to: {error.strerror}", "Change its permissions"
    try:
        _write_and_rename(place)
    except OSError as error:
        shutil.rmtree(place, ignore_errors=True)
        return f"{folder} does not keep files: {error.strerror}", "Choose a folder on another disk"
    try:
        if links:
            _link_and_lock(place)
            _write_ahead(place)
    except (OSError, sqlite3.Error) as error:
        what = error.strerror if isinstance(error, OSError) else str(error)
        return f"{folder} has no links, locks or shared memory: {what}", "Choose a local disk"
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return None


def _write_and_rename(place: Path) -> None:
    with (place / "one").open("wb") as file:
        file.write(b"x" * 4096)
        file.flush()
        os.fsync(file.fileno())
    os.replace(place / "one", place / "two")
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _link_and_lock(place: Path) -> None:
    for name in ("a", "b"):
        os.symlink("two", place / name)
    os.replace(place / "a", place / "b")
    with (place / "lock").open("w") as file, (place / "lock").open("w") as other:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        raise OSError(0, "a lock keeps nobody out")


def _write_ahead(place: Path) -> None:
    connection = sqlite3.connect(place / "ledger.sqlite", isolation_level=None)
    try:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise sqlite3.OperationalError(f"journal mode {mode} instead of a write-ahead log")
        connection.execute("create table t (x)")
    finally:
        connection.close()


# --- What a scheduled run needs of its surroundings, one check each; nothing is changed by them
# `python -m forecast.scheduling.doctor CONFIG` makes all of them in the environment that it is
# started in and prints a JSON list; `doctor.py` starts it as cron would.


State = Literal["ok", "warning", "problem"]

_LEAST_FREE = 200 * 2**20  # bytes; below this a run may fail
_FREE_RUNS = 20  # room for so many more runs as large as the largest is comfortable
_LEAST_FILES = 1000


@dataclass(frozen=True)
class Check:
    """What was looked at, how it stands, and what to do. `exit_code` counts for a problem."""

    name: str
    state: State
    found: str
    remedy: str | None = None
    job: str | None = None
    exit_code: int = 2


def all_checks(path: str, job: str | None) -> Iterator[Check]:
    """Every check of a config's jobs, or of one job, in the order in which a run needs them."""
    yield _python()
    yield _packages()
    yield _temporary()
    try:
        config = load_config(path)
        jobs = chosen_jobs(config, job)
    except ForecastError as error:
        yield _failed("config", None, error)
        return
    yield _readable(config)
    for each in jobs:
        for text in each.without_effect():
            yield Check("settings", "warning", text, "Leave it out, or change the other", each.name)
        for name, check in _OF_A_JOB.items():
            yield _checked(name, each, check)


def _checked(name: str, job: Job, check: Callable[[Job], Check]) -> Check:
    try:
        with advice_by_keys():
            return check(job)
    except ForecastError as error:
        return _failed(name, job.name, error)
    except OSError as error:
        problem = OutputError(error.strerror or str(error), code="system", where=error.filename)
        return _failed(name, job.name, problem)


def _failed(name: str, job: str | None, error: ForecastError) -> Check:
    place = f"{error.where}: " if error.where else ""
    value = f" ({error.value})" if error.value is not None else ""
    found = f"{place}{error.message}{value}"
    return Check(name, "problem", found, error.remedy, job, error.exit_code)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", "ok", f"{sys.executable}, {version}")


def _temporary() -> Check:
    """Whether there is a folder for temporary files, which worker processes and charts need."""
    try:
        folder, gone = tempfile.gettempdir(), len(clear_dead_folders())
        cleared = f"; {gone} folder{'s' * (gone > 1)} of killed commands removed" * bool(gone)
        return Check("temporary files", "ok", folder + cleared)
    except OSError as error:
        remedy = "Set TMPDIR to a folder that can be written to"
        return Check("temporary files", "problem", error.strerror or "none", remedy, exit_code=74)


def _packages() -> Check:
    """Whether everything that the installed package asks for is there, in a version it takes."""
    from importlib import metadata

    from packaging.requirements import Requirement

    try:
        asked = [Requirement(text) for text in metadata.requires("lstmcast") or ()]
    except metadata.PackageNotFoundError:
        return Check("packages", "problem", "lstmcast is not installed", "pip install lstmcast")
    wrong = []
    for need in asked:
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(need.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{need.name} is missing")
            continue
        if not need.specifier.contains(version, prereleases=True):
            wrong.append(f"{need.name} is {version}, {need.specifier} is needed")
    if wrong:
        return Check("packages", "problem", "; ".join(wrong), "pip install --upgrade lstmcast")
    return Check("packages", "ok", f"lstmcast {metadata.version('lstmcast')} and what it needs")


def _readable(config: BatchConfig) -> Check:
    mode = config.path.stat().st_mode
    names = ", ".join(config.jobs)
    if mode & 0o002:
        found = f"{config.path} can be changed by everybody"
        return Check("config", "warning", found, "chmod o-w it: it says what is read and run")
    secrets = config.path.with_suffix(".env")
    if secrets.is_file() and secrets.stat().st_mode & 0o077:
        found = f"{secrets} can be read or changed by others"
        return Check("config", "warning", found, f"chmod 600 {secrets}: it holds secrets")
    return Check("config", "ok", f"{config.path}: {names}")


def _schedule(job: Job) -> Check:
    when = when_of(job)
    zone = ZoneInfo(when.zone or "UTC")
    skipped = skipped_starts(when, datetime.now(UTC))
    if skipped:
        days = ", ".join(at.astimezone(zone).date().isoformat() for at in skipped)
        found = f"{when.words()}: clocks skip that time on {days}"
        remedy = "Choose another time of day, or let `lstmcast schedule` write timer or crontab: " \
                 "there it starts later on such days"  # fmt: skip
        return Check("schedule", "warning", found, remedy, job.name)
    return Check("schedule", "ok", when.words(), job=job.name)


def _data(job: Job) -> Check:
    from forecast.data.io.timestamp_writing import format_stamps
    from forecast.data.load import load_panel

    data, which = data_as_of(job, datetime.now(UTC))
    panel, report = load_panel(job.source, data)
    last = (panel.first + panel.lengths).max()[None] - 1
    stamp = panel.frequency.stamps(last)
    written = format_stamps(stamp, panel.time_format, panel.tz)[0]
    found = f"{report.source}: {panel.size:,} series up to {written}"
    found += f"; {which}" if which else ""
    return Check("data", "ok", found, job=job.name)


def _folder(job: Job) -> Check:
    check_folder(job.folder, JOB, replaced=False)
    place = nearest_folder(job.folder)
    trouble = try_folder(place)
    if trouble is not None:
        found, remedy = trouble
        return Check("folder", "problem", found, remedy, job.name, OutputError.exit_code)
    closed = _closed(job.folder)
    if closed:
        words = f"may not be read and written: {', '.join(closed)}"
        remedy = f"Give them to the user that runs the job, e.g. chown -R USER {job.folder}"
        return Check("folder", "problem", words, remedy, job.name, OutputError.exit_code)
    made = "" if job.folder.is_dir() else ", made at the first run"
    return Check("folder", "ok", f"{job.folder}{made}", job=job.name)


def _closed(folder: Path) -> list[str]:
    """What a run has to change in a job's folder, and may not."""
    places = [folder / name for name in ("runs", "models", "training", "logs")]
    files = [folder / name for name in (LOCK, LEDGER)]
    wanted = [(p, os.R_OK | os.W_OK | os.X_OK) for p in places if p.is_dir()]
    wanted += [(p, os.R_OK | os.W_OK) for p in files if p.exists()]
    return [path.name for path, mode in wanted if not os.access(path, mode)]


def _space(job: Job) -> Check:
    place = nearest_folder(job.folder)
    free, system = shutil.disk_usage(place).free, os.statvfs(place)
    words = f"{free / 2**20:,.0f} MB free at {place}"
    largest = _largest_run(job.folder / "runs")
    if system.f_files and system.f_favail < _LEAST_FILES:
        words = f"room for {system.f_favail:,} more files at {place}"
        return Check("space", "problem", words, "Remove files", job.name, OutputError.exit_code)
    if free < max(_LEAST_FREE, 3 * largest):
        remedy = "Free some space, or keep fewer runs (retention)"
        return Check("space", "problem", words, remedy, job.name, OutputError.exit_code)
    if free < _FREE_RUNS * largest:
        runs = int(free / largest)
        return Check(
            "space", "warning", f"{words}, room for {runs} runs", "Free some space", job.name
        )
    return Check("space", "ok", words, job=job.name)


def _largest_run(runs: Path) -> int:
    """Bytes of the largest run folder; 0 without any."""
    try:
        folders = [entry.path for entry in os.scandir(runs) if entry.is_dir()]
    except FileNotFoundError:
        return 0
    return max((sum(e.stat().st_size for e in os.scandir(f) if e.is_file()) for f in folders),
               default=0)  # fmt: skip


def _lock(job: Job) -> Check:
    held = holder(job.folder)
    if held is None:
        return Check("lock", "ok", "nobody is at work", job=job.name)
    words = f"process {held.get('pid')} is at work since {held.get('since')}"
    return Check("lock", "ok", words, job=job.name)


def _model(job: Job) -> Check:
    from forecast.models.store import load_model
    from forecast.scheduling.recovery import read_state

    if job.section.model == "trained":
        import torch

        training = f"; torch {torch.__version__}"
    else:
        training = ""
    current = read_state(job.folder).current
    if current is None:
        return Check("model", "ok", f"none in service yet{training}", job=job.name)
    model = current.manifest["model"]
    if model["kind"] != "trained":
        return Check("model", "ok", f"{model['kind']}{training}", job=job.name)
    load_model(job.folder / "models" / model["id"] / "model")
    return Check("model", "ok", f"{model['id']} loads{training}", job=job.name)


def _state(job: Job) -> Check:
    """Whether what earlier runs left can be read."""
    from forecast.common.progress import Silent
    from forecast.scheduling.recovery import ASIDE, what_is_aside
    from forecast.scheduling.repair import repair_job

    aside = what_is_aside(job.folder)
    found = [f"{each.what}: {each.found}" for each in repair_job(job, Silent())]
    if found:
        remedy = f"lstmcast repair {job.config} says more; the next run goes on without it"
        return Check("state", "warning", "; ".join(found), remedy, job.name)
    if aside:
        words = f"{', '.join(aside)} lies in {ASIDE}/: it was damaged"
        return Check("state", "warning", words, "Look at it, then remove it", job.name)
    return Check("state", "ok", "what earlier runs left can be read", job=job.name)


def _metrics_file(job: Job) -> Check:
    file = job.section.metrics_file
    if file is None:
        return Check("metrics file", "ok", "none", job=job.name)
    path = job.config.parent / at_home(file)
    trouble = try_folder(nearest_folder(path.parent), links=False)
    if trouble is not None:
        found, remedy = trouble
        return Check("metrics file", "warning", found, remedy, job.name)
    if path.suffix != ".prom":
        remedy = "Let its name end in .prom"
        found = f"{path} is none that Prometheus' collector reads"
        return Check("metrics file", "warning", found, remedy, job.name)
    if path.is_file() and path.stat().st_size and not METRICS.recognises(path):
        found = f"{path} is not one of lstmcast's, and is not replaced"
        return Check("metrics file", "warning", found, NOT_METRICS, job.name)
    return Check("metrics file", "ok", str(path), job=job.name)


def _ping(job: Job) -> Check:
    address = job.ping_address()
    found = f"{hidden(address)}, not called now" if address else "none"
    return Check("ping", "ok", found, job=job.name)


def _database(job: Job) -> Check:
    address = job.database()
    if address is None:
        return Check("database", "ok", "none is written to", job=job.name)
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    engine = engine_to_write(address, str(job.config))
    try:
        with connected(engine) as connection:
            connection.execute(text("select 1"))
    except (SQLAlchemyError, ConnectionError) as error:
        raise UsageError(
            f"the database that is written to cannot be reached: {cause_of(error, engine.url)}",
            code="config/database",
            remedy="Check outputs.database, the network and the password",
        ) from None
    where = engine.url.render_as_string(hide_password=True)
    return Check("database", "ok", f"{where} answers", job=job.name)


_OF_A_JOB: dict[str, Callable[[Job], Check]] = {
    "schedule": _schedule,
    "data": _data,
    "folder": _folder,
    "space": _space,
    "lock": _lock,
    "state": _state,
    "model": _model,
    "database": _database,
    "metrics file": _metrics_file,
    "ping": _ping,
}


def main(words: list[str]) -> int:
    """Prints all checks of the config `words[0]`, of its job `words[1]` if given, as JSON."""
    job = words[1] if len(words) > 1 else None
    print(json.dumps([asdict(check) for check in all_checks(words[0], job)]))
    return 0


# -------------------------------------------------------------------------------------------------


CRON_PATH = "/usr/bin:/bin"
_LIMIT = 1800.0  # seconds; large data take their time to read
_TAIL = 300  # signs of what a checker that failed has said
# A comment or a variable, as shell and systemd understand alike
_PLAIN = re.compile(
    r"[ \t]*#.*|[A-Za-z_]\w*=(?:'[^']*'|\"[^\"$`\\]*\"|[^\s&;|<>()$`\"'\\~]*)[ \t]*"
)


def examine(
    config: Path, job: str | None, environ: Mapping[str, str], limit: float = _LIMIT
) -> list[Check]:
    """All checks of the config, made by a process with cron's environment.

    That is a bare one (HOME, LOGNAME, SHELL, PATH) with what `lstmcast schedule` adds: some
    variables, and those of the config's .env file where secrets are read from the environment.
    config: absolute. environ: the present one.
    """
    secrets = _secrets_of(config)
    words = python_command("forecast.scheduling.doctor", str(config))
    words += [job] if job is not None else []
    file = config.with_suffix(".env")
    odd: list[Check] = []
    if secrets and file.is_file():
        odd = _odd_lines(file)
        words = ["/bin/sh", "-c", 'set -a && . "$0" && set +a && exec "$@"', str(file), *words]
    home = environ.get("HOME", "/")
    bare = {
        "HOME": home,
        "LOGNAME": environ.get("LOGNAME", environ.get("USER", "nobody")),
        "SHELL": "/bin/sh",
        "PATH": CRON_PATH,
        **carried(environ, secrets),
    }
    try:
        done = subprocess.run(
            words, cwd=config.parent, env=bare, capture_output=True, text=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return [Check("checks", "problem", f"they did not end within {limit:g} seconds")]
    except OSError as error:
        return [_cannot_run(error.strerror or str(error))]
    try:
        return odd + [Check(**entry) for entry in json.loads(done.stdout)]
    except (ValueError, TypeError):
        return odd or [_cannot_run((done.stderr or done.stdout).strip()[-_TAIL:])]


def _odd_lines(file: Path) -> list[Check]:
    """A problem where a line of `file` is another one to a crontab line's shell than to systemd:
    an address with an & that is not quoted, a line that ends as Windows ends them."""
    try:
        lines = file.read_bytes().decode("utf-8", "replace").split("\n")
    except OSError as error:
        found = f"{file} cannot be read: {error.strerror}"
        return [Check("secrets", "problem", found, "Let the user of the runs read it", exit_code=2)]
    odd = [n for n, line in enumerate(lines, 1) if line.strip() and not _PLAIN.fullmatch(line)]
    if not odd:
        return []
    found = f"{file}, line {odd[0]}: cron's shell and systemd read it differently, or not at all"
    remedy = "Write NAME='value' in single quotes, without export, and end lines as Unix does"
    return [Check("secrets", "problem", found, remedy, exit_code=2)]


def verdict(checks: Iterable[Check]) -> int:
    """The exit code: that of the first problem, 0 without any."""
    return next((check.exit_code for check in checks if check.state == "problem"), 0)


def _cannot_run(said: str) -> Check:
    found = f"{sys.executable} cannot make the checks in cron's environment: {said}"
    return Check("checks", "problem", found, "Install lstmcast anew", exit_code=70)


def _secrets_of(config: Path) -> tuple[str, ...]:
    """The variables that the config's secrets are read from; none where it cannot be read."""
    try:
        jobs = load_config(config).jobs.values()
    except ForecastError:
        return ()
    return tuple(name for each in jobs for name in secret_variables(each))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
