"""One lstmcast command in a process of its own: what every door does its work with.

The process runs the very command that a terminal would, with --json. Its document goes to one file,
what happens on the way to another, a JSON object a line (`cli/console.py`, `JsonLines`). So a
command can be watched, interrupted (it then keeps the best so far), killed at a deadline, and read
later by a server that did not start it.

A `Spare` process has done its imports before its command is known: that is most of the time that a
small forecast takes.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forecast.common.errors import ForecastError
from forecast.common.scratch import ScratchFolder
from forecast.common.workers import python_command

DOCUMENT, EVENTS, LOCK = "document.json", "events.jsonl", "lock"
POLL = 0.05  # seconds between two looks at what a process has written
STOPPED = (130, 143)  # exit codes of a command that was interrupted or terminated
GRACE = 10.0  # seconds that an interrupted command has before it is killed
LARGEST = 256 << 20  # bytes of a document that is read
SECRETS = ("LSTMCAST_API_KEY", "LSTMCAST_MCP_TOKEN")  # of the servers, not of their commands

HOME = str(Path(__file__).resolve().parents[3])  # the folder that holds this very package

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit code, and its document, which may be that of an error."""

    exit_code: int
    document: Mapping[str, Any]

    @property
    def error(self) -> Mapping[str, Any] | None:
        """The parts of the error (code, message, remedy ...), None where all went well."""
        return self.document.get("error")


@dataclass
class CommandProcess:
    """A process that runs one command and writes into `folder`."""

    process: subprocess.Popen
    folder: Path
    read: int = field(default=0)  # bytes of the events that were handed out

    def interrupt(self) -> None:
        """As Ctrl-C would: what can be kept is kept. A second time as SIGTERM would."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Ends the process and all that it started, at once."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def new_events(self) -> list[Event]:
        """What has happened since the last call."""
        found, self.read = events_after(self.folder, self.read)
        return found

    def wait(self, seconds: float, listen: Callable[[Event], None] = lambda event: None) -> Outcome:
        """Waits for the end, at most `seconds`, telling `listen` each event."""
        watch = Watch(self, seconds)
        while watch.outcome is None:
            for event in watch.poll():
                listen(event)
            time.sleep(POLL)
        return watch.outcome


class Watch:
    """Watches a command up to its end or a deadline; whoever watches says when to look again.

    At the deadline, or once `stop` was called, the command is interrupted, and killed where it has
    not ended `grace` seconds later. outcome: None until it has ended.
    """

    def __init__(self, command: CommandProcess, seconds: float, grace: float = GRACE) -> None:
        self._command = command
        self._grace = grace
        self._until = time.monotonic() + seconds
        self._asked = False
        self.outcome: Outcome | None = None

    def stop(self, grace: float | None = None) -> None:
        """Asks the command to end with what it has; grace: in place of the usual."""
        if not self._asked:
            self._asked = True
            self._until = time.monotonic() + (self._grace if grace is None else grace)
            self._command.interrupt()

    def poll(self) -> list[Event]:
        """What has happened since the last poll."""
        ended = self._command.process.poll() is not None
        events = self._command.new_events()
        if ended:
            code = self._command.process.returncode
            self.outcome = read_outcome(self._command.folder, code, stopped=self._asked)
        elif time.monotonic() > self._until:
            if self._asked:
                self._command.kill()
            self.stop()
        return events


class Spare:
    """Starts command processes, keeping one ready whose imports are done.

    environ: of the commands (default: this process's); attached: whether a command ends when this
    process does.
    """

    def __init__(
        self, environ: Mapping[str, str] | None = None, *, attached: bool = True, ready: bool = True
    ) -> None:
        found = os.environ if environ is None else environ
        self._environ = {name: found[name] for name in found if name not in SECRETS}
        self._attached = attached
        self._keep_ready = ready
        self._ready: subprocess.Popen | None = None
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Has a process ready for the next command."""
        with self._lock:
            if self._ready is None or self._ready.poll() is not None:
                self._ready = _start(self._environ)

    def run(
        self, words: Sequence[str], folder: Path, working: Path | None = None
    ) -> CommandProcess:
        """Starts the command `words` (without --json), which writes into the existing `folder`.

        working: its working folder (default: this process's).
        """
        with self._lock:
            process, self._ready = self._ready, None
        if process is None or process.poll() is not None:
            process = _start(self._environ)
        request = {
            "words": [*words, "--json"],
            "folder": str(folder.absolute()),
            "working": str((working or Path.cwd()).absolute()),
            "attached": self._attached,
        }
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it died: that is what waiting for it will tell
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.close()
        if self._keep_ready:
            threading.Thread(target=self.prepare, daemon=True).start()
        return CommandProcess(process, folder)

    def close(self) -> None:
        """Ends the process that waits."""
        self._keep_ready = False
        with self._lock:
            if self._ready is not None:
                self._ready.kill()
                self._ready.wait()
                self._ready = None


def run_command(
    spare: Spare,
    words: Sequence[str],
    seconds: float,
    *,
    working: Path | None = None,
    listen: Callable[[Event], None] = lambda event: None,
) -> Outcome:
    """Runs a command to its end and returns what it said; nothing of it stays on disk."""
    with ScratchFolder() as folder:
        command = spare.run(words, Path(folder), working)
        try:
            return command.wait(seconds, listen)
        finally:
            if command.process.poll() is None:
                command.kill()


def read_outcome(folder: Path, exit_code: int | None, *, stopped: bool = False) -> Outcome:
    """How the command that wrote into `folder` ended; exit_code: None where nobody knows it;
    stopped: whether it was asked to end."""
    path = folder / DOCUMENT
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise ValueError("larger than any that is written")
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ValueError("no object")
    except (OSError, ValueError):
        return _without_document(folder, exit_code, stopped)
    told = document.get("exit_code", (document.get("error") or {}).get("exit_code", 0))
    return Outcome(int(told) if exit_code is None else exit_code, document)


def is_running(folder: Path) -> bool:
    """Whether the command that writes into `folder` is at work, whoever started it."""
    try:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(handle)


def events_after(folder: Path, start: int) -> tuple[list[Event], int]:
    """The whole lines of the events after byte `start`, and the byte after them."""
    try:
        with (folder / EVENTS).open("rb") as file:
            file.seek(start)
            text = file.read()
    except OSError:
        return [], start
    whole = text[: text.rfind(b"\n") + 1]
    found: list[Mapping[str, Any]] = []
    for line in whole.splitlines():
        try:
            event = json.loads(line)
        except ValueError:  # a library printed something
            event = {"event": "text", "text": line.decode("utf-8", "replace")}
        if isinstance(event, dict):
            found.append(event)
    return found, start + len(whole)


def _without_document(folder: Path, exit_code: int | None, stopped: bool) -> Outcome:
    """The outcome of a command that ended without saying anything."""
    events, _ = events_after(folder, 0)
    said = [str(event.get("text")) for event in events if event.get("event") == "text"][-5:]
    stopped = stopped or exit_code is None or exit_code < 0 or exit_code in STOPPED
    how = None if exit_code is None else f"exit code {exit_code}"
    from forecast.cli.error_handler import error_document

    error = ForecastError(
        "the command was stopped before it could say anything"
        if stopped
        else "the command ended without a result",
        code="process/stopped" if stopped else "process/no-result",
        value="; ".join(said) or how,
        remedy="Give it more time or memory; run it in a terminal with --debug to see more",
    )
    return Outcome(70 if exit_code is None else exit_code, error_document(error))


def _start(environ: Mapping[str, str]) -> subprocess.Popen:
    given = environ.get("PYTHONPATH")
    return subprocess.Popen(
        python_command("forecast.cli.doors.process"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**environ, "PYTHONPATH": os.pathsep.join(filter(None, (HOME, given)))},
        start_new_session=True,
    )


def main() -> int:
    """The process: imports, waits for its request, runs the command and writes what it says."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    with suppress(KeyboardInterrupt):
        import forecast.workflows.train  # noqa: F401  what most commands need

        request = json.loads(sys.stdin.buffer.readline() or b"null")
        if request is None:  # nobody needed it
            return 0
        return _serve(request)
    return 130


def _serve(request: Mapping[str, Any]) -> int:
    folder = Path(request["folder"])
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    for name, descriptor in ((DOCUMENT, 1), (EVENTS, 2)):
        handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(handle, descriptor)
        os.close(handle)
    os.chdir(request["working"])
    if request["attached"]:
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    from forecast.cli.app import run
    from forecast.cli.console import PROGRESS_VARIABLE
    from forecast.cli.error_handler import guarded

    os.environ[PROGRESS_VARIABLE] = "json"
    return guarded(lambda: run(request["words"]), as_json=True)


def _end_with(parent: int) -> None:
    """Ends this process and its children soon after `parent` has ended."""
    while os.getppid() == parent:
        time.sleep(1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
