"""The report of a training run, from what `train` has at its end."""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from forecast.config.schema import Settings
from forecast.data.forecast import Forecast
from forecast.data.load import LoadReport
from forecast.data.panel import Panel
from forecast.evaluation.score_table import ScoreTable
from forecast.evaluation.significance import verdict
from forecast.reporting.html.contents import LearningCurve, ReportData, Setting
from forecast.reporting.html.gather import report_data

PACKAGES = ("lstmcast", "torch", "numpy", "pandas", "pyarrow", "statsforecast")
UNSCORED = (
    "Nothing could be held out to score the forecasts on: every series is too short for that."
)


def run_report(
    panel: Panel,
    load: LoadReport,
    held_out: Mapping[str, Sequence[Forecast]],
    upcoming: Sequence[Forecast],
    scores: ScoreTable | None,
    settings: Settings,
    *,
    history: Iterable[Mapping[str, Any]] = (),
    chosen: Iterable[tuple[str, Any, str]] = (),
    title: str | None = None,
    created: datetime | None = None,
    rivals: Collection[str] | None = None,
    shown: Collection[str] | None = None,
) -> ReportData:
    """What the page of one run holds.

    held_out  column name -> forecasts of each held-out origin, the main forecaster first
    upcoming  forecasts from the end of the data, in the same order of forecasters
    history   rows of member, phase ("fit", "refit"), step, train_loss, validation_loss,
              learning_rate, in the order in which they were written
    chosen    name, value and reason of everything that was decided for the user
    title     default: the name of the data; created: default now
    rivals    forecasters that the first one is judged against (default: all others)
    shown     ids of the series that get a chart (default: a choice of at most 2,000)
    """
    moment = created or datetime.now(UTC)
    return report_data(
        panel,
        held_out,
        scores,
        future={each.name: each for each in upcoming},
        levels=settings.forecast.level,
        unit=_unit(load),
        rivals=rivals,
        shown=shown,
        title=title or data_name(load.source),
        created=f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        verdict=verdict(scores) if scores is not None else UNSCORED,
        learning=learning_curves(history),
        description=described(load),
        repairs=tuple(note.text for note in (*load.repairs, *load.warnings)),
        settings=setting_rows(settings, chosen),
        versions=versions(),
    )


def data_name(source: str) -> str:
    """The last part of a path; "<stdin>" and "<frame>" as they are."""
    return source.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] or source


def _unit(load: LoadReport) -> str:
    """The name of the target column; nothing when the series come from several columns."""
    target = load.columns.get("target")
    names = target if isinstance(target, list | tuple) else [target]
    return str(names[0]) if len(names) == 1 and names[0] else ""


def learning_curves(history: Iterable[Mapping[str, Any]]) -> tuple[LearningCurve, ...]:
    """One curve a member; the steps of a later phase go on where the one before it ended."""
    rows: dict[Any, list[tuple[float, ...]]] = {}
    ended: dict[Any, float] = {}
    phase: dict[Any, Any] = {}
    for row in history:
        member = row["member"]
        if phase.setdefault(member, row.get("phase")) != row.get("phase"):
            phase[member] = row.get("phase")
            ended[member] = rows[member][-1][0]
        step = ended.get(member, 0.0) + float(row["step"])
        losses = (_number(row.get(name)) for name in ("train_loss", "validation_loss"))
        rows.setdefault(member, []).append((step, *losses, _number(row.get("learning_rate"))))
    return tuple(
        LearningCurve(f"member {member}", *np.array(sorted(points)).T)
        for member, points in rows.items()
    )


def described(load: LoadReport) -> tuple[tuple[str, str], ...]:
    """What was read, in words."""
    shortest, median, longest = load.lengths
    steps = f"{shortest:,}" if shortest == longest else f"{shortest:,} to {longest:,}"
    total = max(load.observed + load.missing, 1)
    lines = {
        "File": data_name(load.source),
        "Rows": f"{load.rows:,}",
        "Series": f"{load.series:,}",
        "Steps of a series": steps if shortest == longest else f"{steps}, median {median:,}",
        "From": load.span[0],
        "To": load.span[1],
        "Frequency": load.frequency,
        "Seasons found": ", ".join(str(season) for season in load.seasons) or "none",
        "Missing values": f"{load.missing:,} ({100 * load.missing / total:.1f} %)",
    }
    if len(load.constant):
        lines["Constant series"] = f"{len(load.constant):,}"
    if len(load.ended_early):
        lines["Series that ended early"] = f"{len(load.ended_early):,}"
    if load.skipped:
        lines["Series without a value"] = f"{len(load.skipped):,}"
    if load.digest:
        lines["SHA-256"] = load.digest[:16] + "…"
    return tuple(lines.items())


def setting_rows(settings: Settings, chosen: Iterable[tuple[str, Any, str]]) -> tuple[Setting, ...]:
    """What was decided for the user, with the reason; then every setting, given or default."""
    decided = [Setting(name, _text(value), why) for name, value, why in chosen]
    rows = [
        Setting(
            f"{section}.{name}",
            _text(value),
            "given" if name in getattr(settings, section).model_fields_set else "default",
        )
        for section, fields in settings.model_dump(mode="json").items()
        for name, value in fields.items()
    ]
    return (*decided, *rows)


def versions() -> tuple[tuple[str, str], ...]:
    """Python, the system, and the packages that the figures depend on; nothing is imported."""
    found = [("Python", platform.python_version()), ("system", platform.platform(terse=True))]
    for name in PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return tuple(found)


def _number(value: Any) -> float:
    """A float; NaN for what was not measured."""
    return float("nan") if value is None else float(value)


def _text(value: Any) -> str:
    if value is None:
        return "chosen by the data"
    if isinstance(value, list | tuple):
        return ", ".join(str(each) for each in value) or "none"
    return (
        {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    )
