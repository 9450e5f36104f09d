"""Words on a terminal: the streams, the progress of a run, and clean text.

Data goes to stdout, everything else to stderr. Whatever comes from data or from file names passes
through `clean` first, so that no name can move the cursor or recolour the screen.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from forecast.common.errors import ForecastError
from forecast.common.progress import Listener

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress, TaskID

# Control characters, and those that turn the direction of writing or split lines.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_PLAIN_WIDTH = 120  # columns of a table that is not written to a terminal
_PLAIN_EVERY = 5.0  # seconds between two plain lines of progress
_VERBOSE_EVERY = 1.0
_JSON_EVERY = 0.1
PROGRESS_VARIABLE = "LSTMCAST_PROGRESS"


@dataclass(frozen=True)
class Look:
    """How much is said, and in which form."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False
    debug: bool = False


def clean(text: object, *, lines: bool = False) -> str:
    r"""`text` with its control characters written out (\x1b); `lines` keeps line ends and tabs."""
    return _UNSAFE.sub(
        lambda found: (
            found.group()
            if lines and found.group() in "\n\t"
            else found.group().encode("unicode_escape", "backslashreplace").decode("ascii")
        ),
        str(text),
    )


def make_console(stream: IO[str], environ: Mapping[str, str] | None = None) -> Console:
    """A rich console on `stream` that interprets nothing in what it prints.

    Honours NO_COLOR, TERM=dumb and COLUMNS; wide enough for tables when it is no terminal.
    """
    from rich.console import Console

    environ = os.environ if environ is None else environ
    width = None
    if not stream.isatty() and not environ.get("COLUMNS", "").isdigit():
        width = _PLAIN_WIDTH
    return Console(
        file=stream, markup=False, highlight=False, emoji=False, width=width, _environ=environ
    )


def print_error(console: Console, error: ForecastError) -> None:
    """The four parts of an error, one below the other, and its code."""
    from rich.text import Text

    headline = Text.assemble(("error: ", "bold red"), (clean(error.message), "bold"))
    console.print(headline, soft_wrap=not console.is_terminal)
    parts = (
        ("where", error.where),
        ("found", None if error.value is None else _shortened(error.value)),
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
def watching(console: Console, look: Look) -> Iterator[Listener]:
    """The listener that suits the terminal and the user's wishes, closed at the end.

    A program that watches sets LSTMCAST_PROGRESS=json, and gets a JSON object a line.
    """
    if os.environ.get(PROGRESS_VARIABLE) == "json":
        yield JsonListener(console.file)
    elif look.quiet:
        yield WarningsOnly(console)
    elif console.is_terminal and not console.is_dumb_terminal:
        bar = LiveListener(console, look.verbose)
        try:
            yield bar
        finally:
            bar.close()
    else:
        yield LineListener(console, look.verbose)


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

    Each has the seconds since the start; progress also done, total and figures; a warning its code.
    At most ten reports of progress a second, the last of a stage always.
    """

    def __init__(self, stream: IO[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._start = clock()
        self._last = float("-inf")

    def stage(self, text: str) -> None:
        """{"event": "stage", "text"}."""
        self._write("stage", text=text)

    def progress(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """{"event": "progress", "done", "total", "figures"}."""
        if done < total and self._clock() - self._last < _JSON_EVERY:
            return
        self._last = self._clock()
        known = {k: value if math.isfinite(value) else None for k, value in figures.items()}
        self._write("progress", done=done, total=total, figures=known)

    def note(self, text: str) -> None:
        """{"event": "note", "text"}."""
        self._write("note", text=text)

    def warn(self, code: str, text: str) -> None:
        """{"event": "warning", "code", "text"}."""
        self._write("warning", code=code, text=text)

    def _write(self, event: str, **fields: object) -> None:
        line = {"event": event, "seconds": round(self._clock() - self._start, 3), **fields}
        self._stream.write(json.dumps(line) + "\n")
        self._stream.flush()


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
            words.append(f"{duration((now - since) / (done - begun) * (total - done))} left")
        self._line(f"{now - self._start:6.1f}s    {'  '.join(words)}")

    def note(self, text: str) -> None:
        """An indented line."""
        self._line(f"{'':7}  - {clean(text)}")

    def _line(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text(text), soft_wrap=not self._console.is_terminal)


class LiveListener(LineListener):
    """A progress bar that stays at the foot of the terminal, the stages scrolling above it."""

    def __init__(self, console: Console, verbose: bool = False) -> None:
        super().__init__(console, verbose)
        self._verbose = verbose
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def stage(self, text: str) -> None:
        """A line; the bar of the stage before goes."""
        self.close()
        super().stage(text)

    def progress(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """The bar with its figures and the time left; with `verbose`, lines above it as well."""
        if self._verbose:
            super().progress(done, total, figures)
        if self._bar is None:
            self._bar = _progress_bar(self._console)
            self._task = self._bar.add_task("", total=total, figures="")
            self._bar.start()
        assert self._task is not None
        text = "  ".join(figure_words(figures))
        self._bar.update(self._task, completed=done, total=total, figures=text)

    def close(self) -> None:
        """Takes the bar off the screen, leaving its last figures as a line."""
        if self._bar is None:
            return
        task = self._bar.tasks[0]
        self._bar.stop()
        self._bar = None
        words = f"{int(task.completed)}/{int(task.total or 0)}  {task.fields['figures']}"
        self._line(f"{self._clock() - self._start:6.1f}s    {words.rstrip()}")


def _progress_bar(console: Console) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Left

    return Progress(
        TextColumn("        "),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        Left(compact=True),
        TextColumn("left"),
        console=console,
        transient=True,
        refresh_per_second=8,
    )


def figure_words(figures: Mapping[str, float]) -> list[str]:
    """["loss 0.1234", "lr 0.002"]: what is known of the run, in four digits."""
    return [f"{clean(name)} {value:.4g}" for name, value in figures.items()]


def duration(seconds: float) -> str:
    """Seconds as a person would say them: "8s", "3m 20s", "2h 05m"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
