"""Words on a terminal: the streams, the progress of a run, and clean text.

Data goes to stdout, everything else to stderr. Whatever comes from data or from file names passes
through `clean` first, so that no name can move the cursor or recolour the screen.
"""

from __future__ import annotations

import json
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

from forecast.common.durations import duration
from forecast.common.errors import ForecastError
from forecast.common.progress import BEST, LIMIT, Listener, clean

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress

_PLAIN_WIDTH = 10_000  # columns where no terminal is: nothing is folded, a row is a line
_TRAILING = re.compile(r"[ ]+$", re.M)  # blanks at the end of a line
_waiting_on: IO[str] | None = None  # the terminal that shows "starting"
_PLAIN_EVERY = 5.0  # seconds between two plain lines of progress
_VERBOSE_EVERY = 1.0
_NARROW = 20  # columns of text below which nothing is lined up
_SILENT = 8.0  # seconds after which a line says that work goes on
_JSON_EVERY = 0.1
PROGRESS_VARIABLE = "LSTMCAST_PROGRESS"


@dataclass(frozen=True)
class Screen:
    """How much is said, and in which form."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False
    debug: bool = False
    log_format: str = "text"


def make_console(stream: IO[str], environ: Mapping[str, str] | None = None) -> Console:
    """A rich console on `stream` that interprets nothing in what it prints.

    Honours NO_COLOR, TERM=dumb and COLUMNS; where it is no terminal, no line is folded and none
    ends in blanks. A reader that goes away is a BrokenPipeError.
    """
    from rich.console import Console

    class Plainly(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

        def print(self, *objects: Any, **how: Any) -> None:
            if self.is_terminal:
                super().print(*objects, **how)
                return
            with self.capture() as captured:
                super().print(*objects, **how)
            self.file.write(_TRAILING.sub("", captured.get()))
            self.file.flush()

    end_waiting()
    environ = os.environ if environ is None else environ
    width = None
    if not stream.isatty() and not environ.get("COLUMNS", "").isdigit():
        width = _PLAIN_WIDTH
    return Plainly(
        file=stream,
        force_jupyter=False,  # else each line of a notebook has an empty page beside it
        markup=False,
        highlight=False,
        emoji=False,
        width=width,
        _environ=environ,
    )


def begin_waiting(stream: IO[str], environ: Mapping[str, str]) -> None:
    """A first sign of life, while libraries are imported: one line, which the first output erases.

    Nothing unless `stream` is a terminal that can erase it.
    """
    global _waiting_on
    if stream.isatty() and environ.get("TERM", "dumb") != "dumb":
        stream.write("\r  starting …")
        stream.flush()
        _waiting_on = stream


def end_waiting() -> None:
    """Erases what `begin_waiting` wrote, if it is still there."""
    global _waiting_on
    stream, _waiting_on = _waiting_on, None
    if stream is not None:
        stream.write("\r\x1b[K")
        stream.flush()


def print_error(console: Console, error: ForecastError) -> None:
    """The four parts of an error, one below the other, and its code."""
    from rich.text import Text

    headline = Text.assemble(("error: ", "bold red"), (clean(error.message), "bold"))
    console.print(headline, soft_wrap=not console.is_terminal)
    parts = (
        ("where", error.where),
        ("found", None if _is_told(error) else _shortened(error.value)),
        ("to do", error.remedy),
        ("code", error.code),
    )
    for label, text in parts:
        if text is None:
            continue
        if console.is_terminal:
            console.print(_labelled(label, clean(text)))
        else:  # a log: one line each, however long
            console.print(Text(f"  {label:<5}  {clean(text)}"), soft_wrap=True)


def _is_told(error: ForecastError) -> bool:
    """Whether there is no value, or the message quotes it already."""
    return error.value is None or f"'{error.value}'" in error.message


def print_warning(console: Console, code: str, text: str) -> None:
    """One warning with its code."""
    from rich.text import Text

    line = Text.assemble(("warning: ", "yellow"), clean(text), (f"  [{clean(code)}]", "dim"))
    console.print(line, soft_wrap=not console.is_terminal)


def _labelled(label: str, text: str) -> RenderableType:
    """`text` behind a label, its further lines indented as the first."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=5, style="cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(label, Text(text))
    return Padding(grid, (0, 0, 0, 2), expand=False)


def _shortened(value: object, limit: int = 200) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


@contextmanager
def watching(console: Console, screen: Screen, **fields: str) -> Iterator[Listener]:
    """The listener that suits the terminal and the user's wishes, closed at the end.

    A program that watches sets LSTMCAST_PROGRESS=json, and gets a JSON object a line, as with
    --log-format json. fields: what each such line says besides, for instance the job.
    """
    if os.environ.get(PROGRESS_VARIABLE) == "json":
        yield JsonListener(console.file, fields)
    elif screen.log_format == "json":
        every = _VERBOSE_EVERY if screen.verbose else _PLAIN_EVERY
        yield JsonListener(console.file, fields, every, screen.quiet)
    elif screen.quiet:
        yield WarningsOnly(console)
    elif console.is_terminal and not console.is_dumb_terminal:
        bar = LiveListener(console, screen.verbose)
        try:
            yield bar
        finally:
            bar.close()
    else:
        lines = LineListener(console, screen.verbose)
        with _beating(lines):
            yield lines


@contextmanager
def _beating(listener: LineListener) -> Iterator[None]:
    """While the block runs, the listener is asked every second whether it was silent for long."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(1.0):
            listener.beat()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class WarningsOnly:
    """Says nothing unless something is amiss."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def stage(self, text: str) -> None:
        """Nothing."""

    def progress(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def warn(self, code: str, text: str) -> None:
        """One line."""
        print_warning(self._console, code, text)


class JsonListener:
    """A JSON object a line for each event: stage, progress, note or warning.

    Each has the time, its level and the seconds since the start; progress also done, total and
    figures; a warning its code. Progress at most `every` so many seconds, the last of a stage
    always. fields: what all lines have besides; quiet: warnings alone.
    """

    def __init__(
        self,
        stream: IO[str],
        fields: Mapping[str, str] | None = None,
        every: float = _JSON_EVERY,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._fields = stream, fields or {}
        self._every, self._quiet, self._clock = every, quiet, clock
        self._start = clock()
        self._last = float("-inf")

    def stage(self, text: str) -> None:
        """{"event": "stage", "text"}."""
        self._write("stage", text=text)

    def progress(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """{"event": "progress", "done", "total", "figures"}."""
        if done < total and self._clock() - self._last < self._every:
            return
        self._last = self._clock()
        known = {k: value if math.isfinite(value) else None for k, value in figures.items()}
        self._write("progress", done=done, total=total, figures=known)

    def note(self, text: str) -> None:
        """{"event": "note", "text"}."""
        self._write("note", text=text)

    def warn(self, code: str, text: str) -> None:
        """{"event": "warning", "code", "text"}."""
        self._write("warning", "warning", code=code, text=text)

    def _write(self, event: str, level: str = "info", **more: object) -> None:
        if self._quiet and level == "info":
            return
        seconds = round(self._clock() - self._start, 3)
        write_log_line(self._stream, event, level, seconds=seconds, **self._fields, **more)


def write_log_line(stream: IO[str], event: str, level: str, **more: object) -> None:
    """One line of a JSON log: the event, the time in UTC, its level (info, warning, error)."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = {"event": event, "at": at, "level": level, **more}
    stream.write(json.dumps(line, allow_nan=False) + "\n")
    stream.flush()


class LineListener(WarningsOnly):
    """Plain lines, for logs and simple terminals; progress at most every few seconds.

    With `verbose`, progress every second.
    """

    def __init__(
        self, console: Console, verbose: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(console)
        self._every = _VERBOSE_EVERY if verbose else _PLAIN_EVERY
        self._clock = clock
        self._start = self._last = clock()
        self._first: tuple[float, int] | None = None  # when the first report came, and what it said

    def stage(self, text: str) -> None:
        """A line with the seconds since the start."""
        now = self._last = self._clock()
        self._first = None
        self._line(f"{now - self._start:6.1f}s  {clean(text)}")

    def progress(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """A line, unless one was printed just now; the last report is always printed."""
        now = self._clock()
        # The pace since the first report: what came before it was starting up.
        since, begun = self._first = self._first or (now, done)
        if done < total and now - self._last < self._every:
            return
        self._last = now
        words = [f"{done}/{total}", *figure_words(figures)]
        if begun < done < total:
            words.append(time_left((now - since) / (done - begun) * (total - done), figures))
        self._line(f"{now - self._start:6.1f}s    {'  '.join(words)}")

    def beat(self) -> None:
        """A line if nothing was said for long: work goes on."""
        now = self._clock()
        if now - self._last >= _SILENT:
            self._last = now
            self._line(f"{now - self._start:6.1f}s    still at work")

    def note(self, text: str) -> None:
        """An indented line."""
        self._line(f"{'':7}  - ", clean(text))

    def _line(self, lead: str, text: str = "") -> None:
        """`text` behind `lead`; on a terminal its further lines begin below its first."""
        from rich.text import Text

        room = self._console.width - len(lead)
        if not (text and self._console.is_terminal and room > _NARROW):
            self._console.print(Text(lead + text), soft_wrap=not self._console.is_terminal)
            return
        for line in Text(text).wrap(self._console, room):
            line.rstrip()
            self._console.print(Text(lead).append_text(line), soft_wrap=True)
            lead = " " * len(lead)


class LiveListener(LineListener):
    """A line at the foot of the terminal that moves, the stages scrolling above it.

    It turns from the beginning of a stage on; once there is progress it is a bar.
    """

    def __init__(self, console: Console, verbose: bool = False) -> None:
        super().__init__(console, verbose)
        self._verbose = verbose
        self._bar: Progress | None = None
        self._begun: tuple[float, int] | None = None  # when progress was first told, and how much
        self._figures: Mapping[str, float] = {}

    def stage(self, text: str) -> None:
        """A line, and below it a sign that something happens; what stood there goes."""
        self.close()
        super().stage(text)
        self._bar = _waiting_bar(self._console)
        self._bar.add_task("", total=None, figures="", left="")
        self._bar.start()

    def progress(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """The bar with its figures and the time left; with `verbose`, lines above it as well."""
        if self._verbose:
            super().progress(done, total, figures)
        now = self._clock()
        if self._begun is None:
            self._replace_bar(total)
            self._begun = (now, done)
        assert self._bar is not None
        since, begun = self._begun
        left = ""
        if begun < done < total:
            left = time_left((now - since) / (done - begun) * (total - done), figures)
        self._figures = figures
        text = "  ".join(figure_words(figures))
        task = self._bar.tasks[0].id
        self._bar.update(task, completed=done, total=total, figures=text, left=left)

    def close(self) -> None:
        """Takes the bar off the screen, leaving its last figures as a line."""
        if self._bar is None:
            return
        task, told = self._bar.tasks[0], self._begun is not None
        self._bar.stop()
        self._bar = self._begun = None
        if told:
            done, total = int(task.completed), int(task.total or 0)
            early = "  stopped early" if done < total and BEST in self._figures else ""
            words = f"{done}/{total}{early}  {task.fields['figures']}"
            self._line(f"{self._clock() - self._start:6.1f}s    {words.rstrip()}")

    def _replace_bar(self, total: int) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = _progress_bar(self._console)
        self._bar.add_task("", total=total, figures="", left="")
        self._bar.start()


def _waiting_bar(console: Console) -> Progress:
    """Something that turns, and the seconds."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("        "), SpinnerColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, refresh_per_second=8)


def _progress_bar(console: Console) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    return Progress(
        TextColumn("        "),
        SpinnerColumn(),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        TextColumn("{task.fields[left]}", markup=False),
        console=console,
        transient=True,
        refresh_per_second=8,
    )


def time_left(seconds: float, figures: Mapping[str, float]) -> str:
    """How long the rest takes at the pace so far: "1m 20s left".

    "at most" where training may stop early, or a budget of time ends the stage before that.
    """
    limit = figures.get(LIMIT, math.inf)
    at_most = "at most " if BEST in figures or limit < seconds else ""
    return f"{at_most}{duration(max(0.0, min(seconds, limit)))} left"


def figure_words(figures: Mapping[str, float]) -> list[str]:
    """["loss 0.1234", "lr 0.002"]: what is known of the run, in four digits."""
    return [f"{clean(name)} {value:.4g}" for name, value in figures.items() if name != LIMIT]
