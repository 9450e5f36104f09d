"""What a long computation tells whoever watches it, without knowing who that is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

# Names among the figures of progress that mean more than their number: the lowest validation loss
# (training may stop early), and the seconds after which a stage ends, done or not.
BEST, LIMIT = "best", "seconds left"
# Control characters, and those that turn the direction of writing or split lines.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


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


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM).

    A kind of `KeyboardInterrupt`, so that code which saves its work on Ctrl-C does so here too.
    """


class Listener(Protocol):
    """Receives the story of a run. Every text may hold names taken from the data, uncleaned."""

    def stage(self, text: str) -> None:
        """A new part of the work begins: "Training the LSTM"."""

    def progress(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """`done` of `total` steps of the current stage; `figures` such as loss, lr, best."""

    def note(self, text: str) -> None:
        """Something was chosen: what, and why."""

    def warn(self, code: str, text: str) -> None:
        """Something the user should know; `code` is stable ("input/short-series")."""


class Silent:
    """The listener that hears nothing: the default of the Python API."""

    def stage(self, text: str) -> None:
        """Nothing."""

    def progress(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def warn(self, code: str, text: str) -> None:
        """Nothing."""
