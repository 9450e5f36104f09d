"""Members of the ensemble taught one after the other by all ranks of a team."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from forecast.training.distributed import Team
from forecast.training.ensemble import Lesson, Member, keep_member, read_member, resumes, teach


def train_together(
    lesson: Lesson,
    seeds: list[int],
    folder: Path,
    team: Team,
    report: Callable[[int, dict[str, Any]], None] = lambda member, event: None,
) -> tuple[list[Member], bool]:
    """As `train_members`, in the folder that `ready` looked at: the same members on every rank.

    The folder must be one and the same for all ranks. Raises TrainingError.
    """
    members: list[Member] = []
    for number, seed in enumerate(seeds):
        if team.same((folder / f"member-{number}.json").exists()):
            members.append(read_member(folder, number))
            continue

        def emit(event: dict[str, Any], number: int = number) -> None:
            if team.first:
                report(number, event)

        place = folder / f"member-{number}"
        scored, final, device = teach(lesson, seed, team.stopping, emit, place, team)
        if final is None:
            return members, True
        if team.first:
            keep_member(folder, number, scored, final, device)
        members.append(
            Member(scored.weights, final, scored.best_step, scored.best_loss, scored.ended, device)
        )
    return members, False


def ready(lesson: Lesson, seeds: list[int], folder: Path, team: Team) -> str:
    """As `ensemble.resumes`, done by rank 0 while the others wait."""
    return team.same(resumes(lesson, seeds, folder) if team.first else "")
