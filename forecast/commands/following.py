"""How a command that follows standard input ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.commands.parameters import Run
from forecast.failures import INTERRUPTED

if TYPE_CHECKING:
    from forecast.streaming.following import Followed


def ended(run: Run, done: Followed) -> int:
    """Says how many rows came: the exit code, 3 where some could not be used."""
    from forecast.commands import screens

    if not run.look.quiet and not run.look.json:
        facts = [
            ("rows", f"{done.rows:,} used, {done.refused:,} refused, {done.gaps:,} after gaps")
        ]
        screens.show_facts(run.err(), facts)
    if done.interrupted:
        return INTERRUPTED
    return 3 if done.refused else 0
