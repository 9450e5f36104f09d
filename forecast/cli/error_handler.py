"""The one place that decides what a failed command says and which exit code it ends with."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO

from forecast.cli.console import end_waiting
from forecast.common.errors import ForecastError, OutputError, UsageError
from forecast.common.progress import Terminated
from forecast.common.resources import FOR_TRAINING, without_dependency

BUG = 70
OUTPUT = 74
INTERRUPTED = 130
PIPE_CLOSED = 141
TERMINATED = 143

SCHEMA_VERSION = 1


def guarded(
    work: Callable[[], int], *, as_json: bool = False, debug: bool = False, log_json: bool = False
) -> int:
    """The exit code of `work`; whatever it raises is reported, never shown as a traceback.

    as_json: the error is a JSON document on stdout instead of text on stderr; log_json: a line of
    JSON on stderr. debug: the traceback is printed as well.
    """
    with terminated_by_signal() as signals:
        try:
            code = work()
            sys.stdout.flush()
            return TERMINATED if signals and code == INTERRUPTED else code
        except BrokenPipeError:
            return PIPE_CLOSED
        except BaseException as problem:
            if debug:
                traceback.print_exc()
            if signals and isinstance(problem, KeyboardInterrupt):
                problem = Terminated()  # whoever saved its work may have raised a plain one since
            return _report(problem, as_json, log_json)
        finally:
            end_waiting()
            _settle(sys.stdout)


@contextmanager
def terminated_by_signal() -> Iterator[list[int]]:
    """SIGTERM raises `Terminated` inside, so that work is saved as it is after Ctrl-C.

    Yields the list of the signals that have come.
    """
    signals: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        signals.append(number)
        raise Terminated

    try:
        previous = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # only the main thread may set handlers; elsewhere nobody sends it
        yield signals
        return
    try:
        yield signals
    finally:
        signal.signal(signal.SIGTERM, previous)


def error_document(error: ForecastError) -> dict[str, object]:
    """The JSON form of an error."""
    value = error.value
    odd = isinstance(value, float) and not math.isfinite(value)  # JSON has no such number
    if odd or not isinstance(value, str | int | float | bool | None):
        value = str(value)
    return {
        "schema_version": SCHEMA_VERSION,
        "error": {
            "code": error.code,
            "message": error.message,
            "where": error.where,
            "value": value,
            "remedy": error.remedy,
            "exit_code": error.exit_code,
        },
    }


def _report(problem: BaseException, as_json: bool, log_json: bool) -> int:
    from forecast.cli.console import make_console, print_error, write_log_line

    if isinstance(problem, SystemExit):
        raise problem
    error = as_forecast_error(problem)
    with suppress(OSError):  # nobody is left to tell
        if as_json:
            print_json(error_document(error), sys.stdout)
        if log_json:
            told = dict(error_document(error)["error"])  # type: ignore[call-overload]
            write_log_line(sys.stderr, "error", "error", text=told.pop("message"), **told)
        elif not as_json:
            print_error(make_console(sys.stderr), error)
    return error.exit_code


def print_json(document: object, stream: IO[str]) -> None:
    """One JSON document and a line end, in plain ASCII so that every terminal and pipe takes it."""
    print(json.dumps(document, allow_nan=False, indent=2), file=stream, flush=True)


def as_forecast_error(problem: BaseException) -> ForecastError:
    """`problem` as an error that can be shown; a traceback goes to a log file."""
    if isinstance(problem, ForecastError):
        return problem
    if isinstance(problem, KeyboardInterrupt):
        return _interruption(problem)
    if isinstance(problem, OSError):
        return _system_error(problem)
    if hasattr(problem, "format_message") and getattr(problem, "exit_code", None) in (1, 2):
        return _usage_error(problem)
    if isinstance(problem, ModuleNotFoundError) and _top(problem) in FOR_TRAINING:
        return without_dependency(_top(problem), "this")
    if isinstance(problem, MemoryError):
        return _with_code(
            BUG,
            ForecastError(
                "there is not enough memory",
                code="system/no-memory",
                remedy="Use fewer --jobs or a smaller --set training.batch_size=N, or a larger "
                "machine",
            ),
        )
    return ForecastError(
        f"something went wrong that should not have: {type(problem).__name__}: {problem}",
        code="bug/unexpected",
        where=f"full story in {_log(problem)}",
        remedy="This is a bug in lstmcast; please report it with that file",
    )


def _top(problem: ModuleNotFoundError) -> str:
    """The package that is missing."""
    return (problem.name or "").partition(".")[0]


def _interruption(problem: KeyboardInterrupt) -> ForecastError:
    if isinstance(problem, Terminated):
        return _with_code(
            TERMINATED, ForecastError("terminated by a signal", code="run/terminated")
        )
    return _with_code(INTERRUPTED, ForecastError("interrupted", code="run/interrupted"))


def _with_code(exit_code: int, error: ForecastError) -> ForecastError:
    error.exit_code = exit_code
    return error


_SYSTEM_REMEDIES = {
    errno.ENOSPC: "Free some space, or write to another folder",
    errno.EDQUOT: "The quota is used up: free some space, or write to another folder",
    errno.EROFS: "Name a folder that can be written to",
    errno.EACCES: "Change its permissions, or write to another folder",
    errno.EPERM: "Change its permissions, or write to another folder",
    errno.EMFILE: "Raise the limit of open files (ulimit -n), or use fewer --jobs",
}


def _system_error(problem: OSError) -> ForecastError:
    number = problem.errno or 0
    name = errno.errorcode.get(number, "unknown").lower()
    return OutputError(
        f"the system refused to read or write: {problem.strerror or problem}",
        code=f"system/{name}",
        where=None
        if problem.filename is None
        else os.fsdecode(problem.filename)
        if isinstance(problem.filename, str | bytes)
        else str(problem.filename),
        remedy="Set TMPDIR to a folder that can be written to"
        if "temporary directory" in (problem.strerror or "")
        else _SYSTEM_REMEDIES.get(number),
    )


def _usage_error(problem: BaseException) -> ForecastError:
    """The command line's own complaints: no such option, a missing value."""
    context = getattr(problem, "ctx", None)
    command = context.command_path if context is not None else "lstmcast"
    name = type(problem).__name__
    kind = re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower() if name != "UsageError" else "command-line"
    return UsageError(
        problem.format_message().rstrip("."),  # type: ignore[attr-defined]
        code=f"usage/{kind}",
        remedy=_without_a_flag(problem) or f"See {command} --help",
    )


def _without_a_flag(problem: BaseException) -> str:
    """How a setting is given whose flag somebody looks for, though it has none; "" for others."""
    from forecast.config.options import all_options

    context, flag = getattr(problem, "ctx", None), getattr(problem, "option_name", None)
    if context is None or all(p.name != "set" for p in context.command.params):
        return ""
    for option in all_options():
        if not option.has_flag and flag in (option.flag, option.off):
            value = "VALUE" if not option.switch else str(flag == option.flag).lower()
            return (
                f"Write --set {option.path}={value}, or {option.field}: {value} below "
                f"{option.section}: in a file for --config"
            )
    return ""


def _log(problem: BaseException) -> Path | str:
    """Writes the traceback to a file of its own and returns its path."""
    text = "".join(traceback.format_exception(problem))
    text = f"{sys.version}\n{sys.argv[1:2]}\n{text}"
    name = f"lstmcast-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}-"
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    for folder in (Path(state) / "lstmcast", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # A new file always: in a folder that others may write to, a link could lie there.
            handle, made = tempfile.mkstemp(prefix=name, suffix=".log", dir=folder)
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            return Path(made)
        except OSError:
            continue
    return "no file, for none could be written (see --debug)"


def _settle(stream: IO[str]) -> None:
    """Flushes `stream`; points it at nothing if that fails, lest the interpreter's end fail."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
