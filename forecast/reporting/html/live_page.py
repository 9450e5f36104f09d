"""The page of `score`: how published forecasts did, how stable they were, and who made them better.

Made as the report is (`page.py`): one file, nothing fetched, everything escaped. What it tells are
the documents that `score --json` prints, one a job.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forecast.common.documents import as_bytes
from forecast.common.files import check_output, text_kind, write_output
from forecast.inference.point import MEAN, MEDIAN
from forecast.reporting.charts.fan import clean_label
from forecast.reporting.glossary import METRICS, TERMS, sections
from forecast.reporting.html.ahead import counted
from forecast.reporting.html.contents import Tile
from forecast.reporting.html.page import json_number, json_text, rendered
from forecast.reporting.html.score_table import figure

LIVE_PAGE = text_kind("a page of live scores", rb"<!doctype html>.{0,900} live scores</title>")
TELLING = 0.005  # a smaller share of the error is no difference worth a word
NAMES = {"naive": "seasonal naive", "model": "the model", "override": "with overrides"}


@dataclass(frozen=True)
class Line:
    """One row of a table: its name, the figures, and whether it was for better (None: neither)."""

    name: str
    cells: tuple[str, ...]
    good: bool | None = None


@dataclass(frozen=True)
class JobPart:
    """What the page holds of one job; steps, planners, series, moving, ages: rows of its tables;
    levels: per cent, of the intervals in the last one; error: what value added is told by."""

    job: str
    sentence: str
    won: bool | None
    facts: tuple[str, ...]
    tiles: tuple[Tile, ...]
    steps: tuple[Line, ...]
    planners: tuple[Line, ...]
    series: tuple[Line, ...]
    moving: tuple[Line, ...]
    levels: tuple[str, ...]
    ages: tuple[Line, ...]
    charts: Mapping[str, Any]
    error: str = "MAE"

    @property
    def error_in_words(self) -> str:
        """What the error is the mean of."""
        return "Mean absolute error" if self.error == "MAE" else "Root of the mean squared error"

    @property
    def age_heads(self) -> list[str]:
        """The heading of the table of ages."""
        return ["Runs", "Values", "MASE", "MAE", *(f"In {level}%" for level in self.levels)]


def check_live_page(path: str | Path) -> None:
    """Raises UsageError where `write_live_page` would refuse; to be called before any work."""
    check_output(path, LIVE_PAGE)


def write_live_page(path: str | Path, title: str, documents: Iterable[Mapping[str, Any]]) -> Path:
    """Write the page of these jobs' score documents to `path`, whole or not at all. Raises
    UsageError, OutputError."""
    write_output(path, as_bytes(render_live_page(title, documents)), LIVE_PAGE)
    return Path(path)


def render_live_page(title: str, documents: Iterable[Mapping[str, Any]]) -> str:
    """The page as text."""
    parts = [job_part(document) for document in documents]
    words = TERMS["On a schedule"] | {
        word: meaning
        for word, meaning in (TERMS["How good it is"] | dict(sections())[METRICS]).items()
        if word in ("seasonal naive", "coverage", "MASE", "MAE", *(part.error for part in parts))
    }
    return rendered(
        "live.html",
        ("format.js", "draw.js", "live.js"),
        kind="live scores",
        title=title,
        created=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        parts=parts,
        words=words,
        payload=json_text([part.charts for part in parts]),
    )


def job_part(document: Mapping[str, Any]) -> JobPart:
    """What the page tells of one job; document: as `score --json` has it."""
    added = document.get("value_added") or {}
    stability = document.get("stability") or {}
    ages = document.get("by_age") or {}
    levels = _levels(ages)
    sentence, won = verdict_of(document, added)
    return JobPart(
        job=str(document["job"]),
        sentence=sentence,
        won=won,
        facts=tuple(_facts(document, added, stability)),
        tiles=tuple(_tiles(document, added, stability)),
        steps=tuple(_steps(added["all"])) if added else (),
        planners=tuple(_added_lines(added.get("by") or {}, ("override",))),
        series=tuple(_added_lines(added.get("series") or {}, ("model", "override"))),
        moving=tuple(
            Line(name, (percent(change),))
            for name, change in (stability.get("series") or {}).items()
        ),
        levels=levels,
        ages=tuple(_ages(ages, levels)),
        charts=_charts(document, added, stability),
        error=judged(added["all"]).upper() if added else "MAE",
    )


def judged(figures: Mapping[str, Any]) -> str:
    """Which error tells what each step added: "mae", or "rmse" where means are published."""
    return str(figures["judged"])


def _error(figures: Mapping[str, Any], name: str) -> float:
    return float(figures[f"{judged(figures)}_{name}"])


def verdict_of(document: Mapping[str, Any], added: Mapping[str, Any]) -> tuple[str, bool | None]:
    """What to remember of the page, as a sentence; and whether what was published is better than
    seasonal naive (None: nothing to tell, or no difference)."""
    if not added:
        count = (document.get("recent") or {}).get("count")
        if count:
            return "Live scores are there; nothing can be compared with seasonal naive yet.", None
        return "Nothing that was forecast has come true yet.", None
    every = added["all"]
    naive, model, final = (_error(every, name) for name in NAMES)
    text = f"The model's error is {_against(naive, model)} seasonal naive's"
    touched = sum(figures["count"] for figures in (added.get("by") or {}).values())
    if touched:
        better = _better(model, final)
        if better is None:
            text += ", and overrides changed nothing worth a word"
        elif not model:
            text += ", and overrides made it worse"
        else:
            verb = "took {} off it" if better else "added {} to it"
            text += ", and overrides " + verb.format(percent(abs(final - model) / model))
    return text + ".", _better(naive, final)


def _against(before: float, after: float) -> str:
    """How an error compares with another, before which "seasonal naive's" reads well."""
    if _better(before, after) is None:
        return "as large as"
    if not before:
        return "above"
    share = (after - before) / before
    return f"{percent(abs(share))} {'below' if share < 0 else 'above'}"


def _facts(
    document: Mapping[str, Any], added: Mapping[str, Any], stability: Mapping[str, Any]
) -> Iterable[str]:
    """Counts, and what the figures rest on."""
    model = document.get("model")
    if model:
        yield f"model in service: {model}"
    if words := about_point(document.get("point")):
        yield words
    if left_out := document.get("quantile_runs"):
        yield f"{counted(left_out, 'run')} published a quantile: value added leaves them out"
    if left_out := document.get("other_runs"):
        yield f"{counted(left_out, 'run')} published another point: left out as well"
    if added:
        yield f"{added['all']['count']:,} forecasts have come true"
        touched = sum(figures["count"] for figures in (added.get("by") or {}).values())
        if touched:
            yield f"{touched:,} of them were overridden"
    if stability:
        yield f"{stability['pairs']:,} pairs of forecasts of the same step"
    runs = len(added.get("by_run") or stability.get("by_run") or ())
    if runs:
        yield f"from the newest {counted(runs, 'run')}"


def about_point(point: str | None) -> str | None:
    """What live errors are of, in words, where other points than medians are published."""
    if point in (None, MEDIAN):
        return None
    published = "means are" if point == MEAN else f"the {point} quantile is"
    return f"{published} published; MASE and MAE are those of the medians, as in the backtest"


def _tiles(
    document: Mapping[str, Any], added: Mapping[str, Any], stability: Mapping[str, Any]
) -> Iterable[Tile]:
    """The figures that an operator or a controller looks for first."""
    if added:
        every = added["all"]
        for before, after in (("naive", "model"), ("model", "override")):
            if after == "override" and not added.get("by"):
                continue
            was, became = _error(every, before), _error(every, after)
            error = judged(every).upper()
            note = f"{error} {figure(was)} → {figure(became)}, against {NAMES[before]}"
            title = "Added by the model" if after == "model" else "Added by overrides"
            yield Tile(title, _change(was, became), note, _better(was, became))
    if stability.get("change") is not None:
        yield Tile(
            "Change from run to run",
            percent(stability["change"]),
            "of the level, for the same step; 0 is wholly stable",
        )
    recent = document.get("recent") or {}
    if recent.get("mase") is not None:
        expected = document.get("expected_mase")
        promised = f"the backtest promised {expected:.3f}" if expected else "nothing was promised"
        good = recent["mase"] <= 1.1 * expected if expected else None
        yield Tile("Live MASE", f"{recent['mase']:.3f}", promised, good)
    for level, held in list((recent.get("coverage") or {}).items())[:1]:
        yield Tile(f"Inside the {level}% interval", percent(held), f"should be {level}%")


def _change(before: float, after: float) -> str:
    if not before:
        return "–"
    share = 100 * (after - before) / before
    return f"{share:+,.1f}%".replace("-", "−") if abs(share) >= 0.05 else "0%"


def _better(before: float, after: float) -> bool | None:
    """Whether an error fell; None where it is the same but for half a per cent."""
    if abs(after - before) <= TELLING * before:
        return None
    return after < before


def percent(share: float | None) -> str:
    """A share for people; a dash where there is none."""
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.1f}%"


def _steps(every: Mapping[str, Any]) -> Iterable[Line]:
    """The way to the published number: the error after each step, and what the step changed."""
    before = None
    for name, words in NAMES.items():
        error = _error(every, name)
        own = ("–", "–") if before is None else (_signed(error - before), _change(before, error))
        good = None if before is None else _better(before, error)
        yield Line(words, (figure(error), *own), good)
        before = error
    if "added_by_blend" in every:
        model, error = _error(every, "model"), _error(every, "blend")
        own = _signed(error - model), _change(model, error)
        yield Line("the blend in the model's place", (figure(error), *own), _better(model, error))


def _signed(value: float) -> str:
    text = figure(abs(value))
    return text if value == 0 else ("+" if value > 0 else "−") + text


def _added_lines(groups: Mapping[str, Mapping[str, Any]], steps: Sequence[str]) -> Iterable[Line]:
    """A row a group: values, errors before and after each of `steps`, and the last one's change."""
    names = list(NAMES)
    before = names[names.index(steps[0]) - 1]
    for name, figures in groups.items():
        errors = [_error(figures, each) for each in (before, *steps)]
        yield Line(
            str(name),
            (f"{figures['count']:,}", *map(figure, errors), *map(_change, errors, errors[1:])),
            _better(errors[-2], errors[-1]),
        )


def _levels(ages: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Levels, per cent, of the intervals whose coverage any of the scores tell."""
    known = (scores.get("coverage") or {} for scores in ages.values())
    return tuple(dict.fromkeys(level for coverage in known for level in coverage))


def _ages(ages: Mapping[str, Mapping[str, Any]], levels: Iterable[str]) -> Iterable[Line]:
    for name, scores in ages.items():
        held = [(scores.get("coverage") or {}).get(level) for level in levels]
        errors = [scores.get(name) for name in ("mase", "mae")]
        told = ["–" if error is None else figure(error) for error in errors]
        words = "the newest run" if scores["runs"] == 1 and name == "newest" else f"{name} runs"
        yield Line(words, (f"{scores['count']:,}", *told, *map(percent, held)))


def _charts(
    document: Mapping[str, Any], added: Mapping[str, Any], stability: Mapping[str, Any]
) -> dict[str, Any]:
    """What the page's script draws: curves by run and by step ahead."""
    by_run = added.get("by_run") or []
    moved = stability.get("by_run") or []
    live = document.get("by_step") or {}
    promise = ((document.get("promise") or {}).get("by_step") or {}).get("mase") or []
    steps = sorted(map(int, live))
    return {
        "job": clean_label(document["job"], 60),
        "runs": [clean_label(each["as_of"], 40) for each in by_run],
        "overridden": bool(added.get("by")),
        "error": judged(added["all"]).upper() if added else "MAE",
        "errors": {
            words: [json_number(_error(each, name)) for each in by_run]
            for name, words in NAMES.items()
        },
        "moves": {
            "runs": [clean_label(each["as_of"], 40) for each in moved],
            "change": [json_number(each["change"]) for each in moved],
        },
        "ages": {
            "steps": [int(step) for step in stability.get("by_age") or ()],
            "change": [json_number(each) for each in (stability.get("by_age") or {}).values()],
        },
        "live": {
            "steps": steps,
            "mase": [json_number(live[str(step)].get("mase")) for step in steps],
            "promised": [
                json_number(promise[step - 1]) if step <= len(promise) else None for step in steps
            ],
        },
    }
