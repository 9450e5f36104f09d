"""What a long computation tells whoever watches it, without knowing who that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

# Names among the figures of progress that mean more than their number: the lowest validation loss
# (training may stop early), and the seconds after which a stage ends, done or not.
BEST, LIMIT = "best", "seconds left"


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
