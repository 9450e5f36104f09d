"""The page of `lstmcast check`: what the loader understood of a file, for a person to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from forecast.cli.console import clean
from forecast.cli.render import show_facts
from forecast.config.options import show

if TYPE_CHECKING:
    from rich.console import Console

Report = Mapping[str, Any]
Reason = tuple[str, Any, str]

_WORDS = {
    "YS": "year starts",
    "YE": "year ends",
    "QS": "quarter starts",
    "QE": "quarter ends",
    "MS": "month starts",
    "ME": "month ends",
    "W": "weekly",
    "D": "daily",
    "B": "business days",
    "h": "hourly",
    "min": "every minute",
    "s": "every second",
}
_LEVELS = " ▁▂▃▄▅▆▇█"
_ASCII_LEVELS = " .:-=+*#@"


def show_report(
    console: Console, report: Report, verbose: bool = False, would: Sequence[Reason] = ()
) -> None:
    """`report` is LoadReport.to_dict(). verbose: digest and dialect as well.

    would: what `train` would do, each a name, a value and why.
    """
    drawable = console.encoding.startswith("utf")
    rows = facts(report, verbose, ascii_only=not drawable)
    if would:
        words = [f"{name} {_amount(value)} ({why})" for name, value, why in would]
        rows.append(("training", "\n".join(words)))
    show_facts(console, rows)
    for kind, style in (("repair", "cyan"), ("warning", "yellow")):
        for note in report[kind + "s"]:
            _show_note(console, kind, style, note)
    if not report["repairs"] and not report["warnings"]:
        console.print("nothing was repaired, nothing deserves a warning", style="green")


def facts(report: Report, verbose: bool = False, ascii_only: bool = False) -> list[tuple[str, str]]:
    """The facts of a report as (name, sentence), the most important first."""
    rows = [
        ("file", f"{report['source']}: {report['rows']:,} rows"),
        *_columns(report["columns"]),
        ("series", _series(report)),
        ("frequency", _frequency(report["frequency"])),
        ("season", _season(report)),
        ("span", f"{report['span']['first']} to {report['span']['last']}"),
        ("values", _values(report)),
        ("coverage", sparkline(report["coverage"], ascii_only)),
    ]
    if verbose:
        rows += [("read as", _pairs(report["dialect"])), ("sha256", report["digest"])]
    return [(name, text) for name, text in rows if text]


def sparkline(shares: Sequence[float], ascii_only: bool = False) -> str:
    """`shares`, between 0 and 1, as one character each; any share above zero leaves a mark."""
    levels = _ASCII_LEVELS if ascii_only else _LEVELS
    top = len(levels) - 1
    return "".join(levels[max(int(share > 0), min(top, int(share * top)))] for share in shares)


def _amount(value: object) -> str:
    """A count as the other lines have theirs: 3,540."""
    return f"{value:,}" if isinstance(value, int) else show(value)


def _columns(columns: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for role in ("time", "target", "id"):
        if columns.get(role):
            why = columns.get("reasons", {}).get(role)
            yield role, show(columns[role]) + (f" ({why})" if why else "")


def _series(report: Report) -> str:
    shortest, middle, longest = (report["lengths"][key] for key in ("min", "median", "max"))
    if shortest == longest:
        steps = f"{shortest:,} steps" + (" each" if report["series"] > 1 else "")
    else:
        steps = f"{shortest:,} to {longest:,} steps, median {middle:,}"
    parts = [f"{report['series']:,}: {steps}"]
    for key, words in (
        ("ended_early", "ended before the others"),
        ("constant", "constant"),
    ):
        if report[key]:
            parts.append(f"{report[key]:,} {words}")
    if report["skipped"]:
        parts.append(f"{len(report['skipped']):,} without any value, left out")
    return "; ".join(parts)


def _frequency(alias: str) -> str:
    word = _WORDS.get(alias.split("-")[0])
    return f"{alias} ({word})" if word else alias


def _season(report: Report) -> str:
    found, usual = report["seasons"], report["candidate_seasons"]
    text = f"{_lengths(found)} steps" if found else "none found"
    if usual and tuple(usual) != tuple(found):
        text += f" (usual for this frequency: {_lengths(usual)})"
    return text


def _lengths(seasons: Sequence[int]) -> str:
    """`24 and 168`: a comma alone would make one number of two."""
    return " and ".join(f"{season:,}" for season in seasons)


def _values(report: Report) -> str:
    steps = report["observed"] + report["missing"]
    if not report["missing"]:
        return f"{report['observed']:,}, none missing"
    share = report["missing"] / steps
    text = f"{report['observed']:,} of {steps:,}; {report['missing']:,} missing ({share:.1%})"
    return text + (f", {report['gaps']:,} of them without a row" if report["gaps"] else "")


def _pairs(document: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {show(value)}" for key, value in document.items() if value is not None)


def _show_note(console: Console, kind: str, style: str, note: Mapping[str, Any]) -> None:
    from rich.text import Text

    line = Text.assemble((f"{kind}: ", style), clean(note["text"]))
    console.print(line.append(f"  [{clean(note['code'])}]", "dim"), soft_wrap=True)
    for place in note.get("places", ()):
        console.print(Text(f"  {clean(place)}", "dim"), soft_wrap=True)
