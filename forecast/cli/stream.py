"""What the commands do that follow standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from forecast.cli.error_handler import INTERRUPTED
from forecast.cli.parameters import Run

if TYPE_CHECKING:
    from forecast.inference.stream_rows import Followed


def follow(
    run: Run, stream: Callable[..., Callable[[], Followed]], source: str | None, **how: Any
) -> int:
    """`stream` (detect_stream, predict_stream) from standard input to standard output.

    source: the history; how: what else the stream takes. Returns the exit code.
    """
    from forecast.data.io.files import standard_input
    from forecast.inference.stream_rows import complaints

    as_json = run.screen.json
    streams, complain = (standard_input(), sys.stdout), complaints(sys.stderr, as_json)
    with run.watching() as listener:
        rows = stream(source, run.settings, listener, streams, complain, as_json=as_json, **how)
    return _ended(run, rows())  # of which nothing more is to be told while they are waited for


def _ended(run: Run, done: Followed) -> int:
    """Says how many rows came: the exit code, 3 where some could not be used."""
    from forecast.cli import render

    if not run.screen.quiet and not run.screen.json:
        facts = [
            ("rows", f"{done.rows:,} used, {done.refused:,} refused, {done.gaps:,} after gaps")
        ]
        render.show_facts(run.err(), facts)
    if done.interrupted:
        return INTERRUPTED
    return 3 if done.refused else 0
