"""`lstmcast doctor`: would the jobs of a config run from cron? What is missing?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from forecast.cli.parameters import Config, JobName, Run, takes
from forecast.common.files import at_home

if TYPE_CHECKING:
    from rich.console import Console

    from forecast.scheduling.doctor import Check

_SIGNS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "problem": ("problem", "red")}


@takes()
def doctor(file: Config, job: JobName = None, *, run: Run) -> int:
    """Check whether the jobs would run from cron."""
    from forecast.cli import render
    from forecast.scheduling.doctor import examine, verdict

    checks = examine(at_home(file).absolute(), job, os.environ)
    code = verdict(checks)
    if run.screen.json:
        listed = [asdict(check) for check in checks]
        render.show_document("doctor", {"checks": listed, "exit_code": code})
    elif not run.screen.quiet:
        show_checks(run.out(), checks)
    return code


def show_checks(console: Console, checks: Sequence[Check]) -> None:
    """One line a check, its remedy below where there is trouble, and a sentence at the end."""
    from rich.text import Text

    from forecast.cli.render import plain_table, show_sentence
    from forecast.common.progress import clean

    rows = plain_table("", "job", "check", "found")
    for check in checks:
        word, style = _SIGNS[check.state]
        found = Text(clean(check.found))
        if check.remedy and check.state != "ok":
            found.append(f"\n{clean(check.remedy)}", "dim")
        rows.add_row(Text(word, style), clean(check.job or ""), check.name, found)
    console.print(rows)
    problems = sum(check.state == "problem" for check in checks)
    plural = "" if problems == 1 else "s"
    show_sentence(
        console,
        f"{problems} problem{plural}: a scheduled run would fail" if problems
        else "a scheduled run would work",
    )  # fmt: skip
