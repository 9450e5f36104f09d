"""What the commands print on stdout: tables and sentences, or one JSON document."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.cli.console import Screen
from forecast.cli.error_handler import SCHEMA_VERSION, print_json
from forecast.common.durations import duration
from forecast.common.progress import clean
from forecast.config.options import Option, all_options, show
from forecast.config.sources import DEFAULT, Resolved
from forecast.evaluation.catalogue import LOWEST, metric_named
from forecast.inference.point import quantile_of
from forecast.inference.tables import whole_of

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console
    from rich.table import Table

    from forecast.evaluation.level_table import LevelLine


# Columns of the score table: the metrics that it has room for, and what else is told of a
# forecaster: key in the rows, heading, how a figure is written. Where `coverage-` stands, there is
# one for each level.
_Column = tuple[str, str, str]
_COVERAGE, _TIME, _MEMORY = "coverage-", "time", "memory_mb"
_METRICS = (
    "rmsse",
    "mase",
    "smape",
    "rmse",
    "wql",
    "wape",
    "bias_pct",
    "service_level",
    "stock_cost",
)
_BESIDE: tuple[_Column, ...] = (
    ("best", "best on", "{:.4g}"),
    ("seconds", "time", _TIME),
    (_MEMORY, "MB", "{:.0f}"),
    ("parameters", "weights", "{:,.0f}"),
)
# Where the terminal is narrow.
_FIRST_TO_GO = (_MEMORY, "wql", "wape", "rmse", "best", "smape", "seconds", "bias_pct")


def show_document(command: str, payload: Mapping[str, Any]) -> None:
    """One JSON document on stdout: the schema version, the command, then `payload`."""
    print_json({"schema_version": SCHEMA_VERSION, "command": command, **plain(payload)}, sys.stdout)


def outcome(result: Any, **own: Any) -> dict[str, Any]:
    """The JSON form of a run that left a folder; own: what its command alone has to say."""
    return {
        "folder": result.folder,
        "report": result.report,
        "chosen": choices(result.chosen),
        **own,
        "files": files(result.files),
        "interrupted": result.interrupted,
        "exit_code": result.exit_code,
        "seconds": result.seconds,
    }


def choices(chosen: Iterable[tuple[str, Any, str]]) -> list[dict[str, Any]]:
    """The JSON form of what was chosen, and why."""
    return [{"name": name, "value": value, "why": why} for name, value, why in chosen]


def files(written: Iterable[tuple[Any, str]]) -> list[dict[str, Any]]:
    """The JSON form of the files that were written, and what each is."""
    return [{"path": path, "what": what} for path, what in written]


def plain(value: Any) -> Any:
    """`value` as JSON has it: dataclasses as objects, arrays as lists, NaN and infinities null."""
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, str | Path):
        return str(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, Iterable):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def show_settings(resolved: Resolved, console: Console, screen: Screen) -> int:
    """Every setting, its value and where it came from."""
    rows = resolved.rows()
    if screen.json:
        show_document("show-config", {"settings": rows})
        return 0
    from rich.text import Text

    by_path = {option.path: option for option in all_options()}
    table = plain_table("setting", "value", "from")
    for row in rows:
        given = row["source"] != DEFAULT
        value = show(row["value"]) or _when_not_given(by_path[row["name"]])
        table.add_row(
            Text(row["name"], "bold" if given else ""),
            Text(clean(value), "" if row["value"] is not None else "dim"),
            Text(clean(row["source"]), "" if given else "dim"),
        )
    console.print(table)
    return 0


def _when_not_given(option: Option) -> str:
    """How a setting without a value is settled: the words in brackets that end its description."""
    words = re.search(r"\(([^()]+)\)\.( (?:One|Any) of: |$)", option.help)
    return words.group(1) if words else "–"


def show_choices(console: Console, chosen: Sequence[tuple[str, Any, str]]) -> None:
    """What was chosen without being asked, and why."""
    from rich.text import Text

    table = plain_table("chosen", "value", "why")
    for name, value, why in chosen:
        table.add_row(clean(name), Text(clean(show(value)), "bold"), Text(clean(why), "dim"))
    if chosen:
        console.print()
        console.print(table)


def show_scores(
    console: Console, rows: Sequence[Mapping[str, Any]], caption: str, judged: str = "mase"
) -> None:
    """The score table: one row a forecaster, the best figure of a column in bold.

    judged: the metric that says who is best, which is always shown; RMSSE where it is that. Columns
    that a narrow terminal has no room for are left out and named below.
    """
    from rich.text import Text

    shown = [column for column in _columns(rows, judged) if _has_figures(column[0], rows)]
    idle = {"rmsse"} - {judged} | ({"best"} if len(rows) == 1 else set())
    shown = [column for column in shown if column[0] not in idle]
    dropped: list[str] = []
    table = _score_table(rows, shown, judged)
    unbounded = console.options.update(max_width=10_000)
    for key in _FIRST_TO_GO:
        if console.measure(table, options=unbounded).maximum <= console.width:
            break
        dropped += [heading for name, heading, _ in shown if name == key]
        shown = [column for column in shown if column[0] != key]
        table = _score_table(rows, shown, judged)
    console.print()
    console.print(table)
    if dropped:
        caption += f"; a wider terminal also shows {', '.join(dropped)}"
    console.print(Text(clean(caption), "dim"))


def show_levels(console: Console, lines: Sequence[LevelLine]) -> None:
    """A hierarchy's levels: the error before and after its forecasts were made to add up."""
    from forecast.evaluation.level_table import words_of

    if not lines:
        return
    table = plain_table("level", "nodes", "before", "after", "best other", "", "bias", "in 80%")
    for each in lines:
        table.add_row(
            clean(each.level),
            f"{each.nodes:,}",
            _figure(each.before, "{:.3f}"),
            _figure(each.after, "{:.3f}"),
            clean(each.rival),
            _figure(each.rival_score, "{:.3f}"),
            "" if each.bias is None else f"{each.bias:+.1f}%",
            "" if each.held is None else f"{each.held:.0f}%",
        )
    console.print()
    console.print(table)
    show_sentence(console, words_of(lines), "dim")


def _has_figures(key: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a column says anything: memory only if it is known of all, to be compared."""
    known = [row.get(key) is not None for row in rows]
    return all(known) if key == _MEMORY else any(known)


def _score_table(rows: Sequence[Mapping[str, Any]], shown: Sequence[_Column], judged: str) -> Table:
    from rich.text import Text

    counted = _counted_by(rows)
    table = plain_table("model", *(c[1] for c in shown), *_COUNTS.get(counted, ()))
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    most = max(row.get(counted, 0) for row in rows)
    for row in rows:
        dim = "dim" if row.get(counted, 0) < most else ""
        cells = [Text(clean(row["model"]), dim)]
        for key, _, form in shown:
            measure = key in (*_METRICS, judged)
            best = not dim and measure and _is_best(key, row, rows, counted)
            cells.append(Text(_figure(row.get(key), form), "bold green" if best else dim))
        if counted:
            cells.append(Text(f"{row[counted]:,}", dim))
        table.add_row(*cells)
    return table


def _columns(rows: Sequence[Mapping[str, Any]], judged: str) -> Iterable[_Column]:
    names = dict.fromkeys(name for row in rows for name in row)
    first = () if judged in _METRICS else (judged,)
    for name in (*first, *_METRICS, *(name for name in names if name.startswith(_COVERAGE))):
        metric = metric_named(name)
        yield name, metric.short or metric.heading, metric.form
    yield from _BESIDE


def _figure(value: float | None, form: str) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    if form == _TIME:
        return duration(value, tenths_below=60)
    if abs(value) >= 1e7:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else form.format(value)


_COUNTS = {"series": ("series",), "pairs": ("forecasts",)}


def _counted_by(rows: Sequence[Mapping[str, Any]]) -> str:
    """What tells that some forecasters were scored on less than others: the series, or the pairs of
    series and origin; "" where all were scored on the same."""
    for key in _COUNTS:
        if len({row.get(key) for row in rows}) > 1:
            return key
    return ""


def _is_best(
    key: str, row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], counted: str
) -> bool:
    """Whether `row` has the best figure of an error measure among the forecasters that were scored
    on everything; what is no measure, and a share of cases, is for the reader to weigh."""
    metric = metric_named(key)
    if metric.best != LOWEST:
        return False
    full = max(r.get(counted, 0) for r in rows)
    bad = [metric.badness(r.get(key)) for r in rows if r.get(counted, 0) == full]
    known = [value for value in bad if math.isfinite(value)]
    return len(known) > 1 and metric.badness(row.get(key)) == min(known)


def show_rows(console: Console, table: pa.Table, most: int = 60) -> None:
    """The first rows of a table of forecasts or anomalies, its numbers in four digits.

    Columns that a narrow terminal has no room for are left out, and how much is not shown is said.
    """
    from rich.text import Text

    names = list(table.column_names)
    if len(set(table.column(names[0]).to_pylist()[: table.num_rows])) == 1:
        names = names[1:]  # one series: its name would only repeat
    columns = {name: _cells(table.column(name)[:most].to_pylist()) for name in names}
    shown: list[str] = []
    room = console.width
    for name, cells in columns.items():
        width = max([len(name), *map(len, cells)]) + 2
        if shown and width > room:
            break
        shown.append(name)
        room -= width
    made = plain_table(*shown)
    for column, name in zip(made.columns, shown, strict=True):
        column.no_wrap = True
        column.justify = "right" if _is_number(table, name) else "left"
    for row in zip(*(columns[name] for name in shown), strict=True):
        made.add_row(*(Text(clean(cell)) for cell in row))
    console.print()
    console.print(made)
    left = [f"{table.num_rows - most:,} more rows"] if table.num_rows > most else []
    left += [f"columns {', '.join(names[len(shown) :])}"] if len(shown) < len(names) else []
    if left:
        words = f"not shown: {'; '.join(left)} (all of it: --output FILE, or a pipe)"
        console.print(Text(clean(words), "dim"))


def _is_number(table: pa.Table, name: str) -> bool:
    import pyarrow as pa

    kind = table.schema.field(name).type
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _cells(values: Sequence[Any]) -> list[str]:
    """Texts as they are; numbers with as many decimals as give the largest four digits."""
    numbers = [v for v in values if isinstance(v, int | float) and math.isfinite(v)]
    largest = max(map(abs, numbers), default=0.0)
    decimals = 3 - math.floor(math.log10(largest)) if largest else 0
    usual = -12 < decimals < 7
    form = "{:,." + str(max(0, decimals)) + "f}" if usual else "{:.4g}"
    return [
        "" if v is None else form.format(v) if isinstance(v, int | float) else str(v)
        for v in values
    ]


def show_files(console: Console, files: Sequence[tuple[Any, str]]) -> None:
    """The folder that was written, once, and below it its files with what each is."""
    from rich.table import Table
    from rich.text import Text

    if not files:
        return
    paths = [Path(path) for path, _ in files]
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold", style="dim")
    for path, (_, what) in zip(paths, files, strict=True):
        grid.add_row(Text("  " + clean(path.relative_to(folder))), Text(clean(what)))
    console.print()
    console.print(Text.assemble(("written to ", "cyan"), clean(folder)), soft_wrap=True)
    console.print(grid)


def show_hint(console: Console, *sentences: str) -> None:
    """What could be done next: in one line, or where that is wider than the terminal a line for
    each, so that a command that is shown can be copied."""
    from rich.text import Text

    whole = clean(". ".join(sentences))
    console.print()
    for line in [whole] if len(whole) <= console.width else map(clean, sentences):
        console.print(Text(line, "dim"), soft_wrap=True)


def show_sentence(console: Console, text: str, style: str = "bold") -> None:
    """A sentence with a blank line before it, wrapped at words."""
    from rich.text import Text

    console.print()
    console.print(Text(clean(text), style))


def show_chart(console: Console, chart: str) -> None:
    """A chart drawn in characters, on terminals only."""
    from rich.text import Text

    if chart and console.is_terminal:
        console.print()
        console.print(Text.from_ansi(chart), soft_wrap=True)


def show_scenarios(console: Console, result: Any) -> None:
    """What each scenario changes, summed over series and steps, and where the table is."""
    import pyarrow.compute as pc

    quantiles = quantile_of(result.point) is not None
    heading = f"sum of {result.point} quantiles" if quantiles else "sum"
    table = plain_table("scenario", heading, "change")
    whole = whole_of(result.predictions)
    for name in result.scenarios:
        rows = whole.filter(pc.equal(whole.column("scenario"), name))
        network = rows.column_names[rows.column_names.index("scenario") + 1]
        total, change = (pc.sum(rows.column(column)).as_py() for column in (network, "change"))
        shown = "" if change is None else f"{change:+,.6g}"
        table.add_row(clean(name), f"{total or 0:,.6g}", shown)
    console.print(table)
    console.print(f"written to  {clean(result.path)}", highlight=False, soft_wrap=True)


def show_prediction(console: Console, result: Any) -> None:
    """What was forecast, from which model, and where it is."""
    facts = [
        ("forecast", f"{result.series} series, {result.horizon} steps, {result.rows} rows"),
        ("span", " to ".join(str(end) for end in result.span)),
        ("model", result.model),
    ]
    if result.path:
        place = "standard output" if result.path == "-" else result.path
        facts.append(("written to", place))
    if result.samples:
        facts.append(("samples", result.samples))
    if result.fallbacks:
        facts.append(("fallbacks", result.fallbacks))
    show_facts(console, facts)


def show_facts(console: Console, facts: Iterable[tuple[str, Any]]) -> None:
    """Pairs of a name and a value, aligned."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts:
        grid.add_row(clean(name), Text(clean(value, lines=True)))
    console.print(grid)


def plain_table(*headings: str) -> Table:
    """An empty table with a line below its headings and nothing else around it."""
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        header_style="cyan",
    )
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


# --- The page of `lstmcast check`: what the loader understood of a file, for a person to read ----


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
    rows = data_facts(report, verbose, ascii_only=not drawable)
    if would:
        words = [f"{name} {_amount(value)} ({why})" for name, value, why in would]
        rows.append(("training", "\n".join(words)))
    show_facts(console, rows)
    for kind, style in (("repair", "cyan"), ("warning", "yellow")):
        for note in report[kind + "s"]:
            _show_note(console, kind, style, note)
    if not report["repairs"] and not report["warnings"]:
        console.print("nothing was repaired, nothing deserves a warning", style="green")


def data_facts(
    report: Report, verbose: bool = False, ascii_only: bool = False
) -> list[tuple[str, str]]:
    """The facts of a report as (name, sentence), the most important first."""
    rows = [
        ("file", f"{report['source']}: {report['rows']:,} rows"),
        *_column_rows(report["columns"]),
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


def _column_rows(columns: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
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


# --- The page of `lstmcast inspect`: what a model folder holds, for a person to read -------------


Manifest = Mapping[str, Any]

_LONG = 12  # entries of a list that are printed


def show_model(console: Console, folder: Path, manifest: Manifest, verbose: bool = False) -> None:
    """The manifest in a few lines with its choices and scores. verbose: every entry instead."""
    if verbose:
        show_facts(console, flat(manifest))
        return
    facts = [("model", str(folder)), *model_facts(manifest)]
    show_facts(console, [(name, text) for name, text in facts if text])
    show_choices(console, [(c["name"], c["value"], c["why"]) for c in manifest.get("chosen", ())])
    if manifest.get("scores"):
        show_scores(console, manifest["scores"], "on data held out of training")


def model_facts(manifest: Manifest) -> Iterable[tuple[str, str]]:
    """(name, sentence) of what one wants to know of a model first; "" where nothing is known."""
    network, data = manifest.get("network", {}), manifest.get("data", {})
    versions, span = manifest.get("versions", {}), data.get("span", {})
    kept = next((c["value"] for c in manifest.get("chosen", ()) if c["name"] == "kept"), "")
    yield (
        "network",
        _joined(
            _title(network.get("name", "lstm")),
            _sizes(network),
            _counted(network.get("members"), "member") + (f" ({kept})" if kept else ""),
            _counted(network.get("parameters"), "weight"),
        ),
    )
    yield "context", _joined(_counted(network.get("context"), "step"))
    yield "horizon", _joined(_counted(network.get("horizon"), "step"))
    yield (
        "data",
        _joined(data.get("source"), f"{data.get('series', 0):,} series", data.get("frequency")),
    )
    yield "span", f"{span['first']} to {span['last']}" if span else ""
    yield "sha256", str(data.get("digest") or "")
    yield (
        "trained",
        _joined(manifest.get("created"), *(f"{k} {v}" for k, v in versions.items())),
    )
    yield "settings", _joined(*(f"{k} {v}" for k, v in flat(manifest.get("settings", {}))))


def flat(document: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """A nested document as (section.key, value); long lists are cut, empty entries left out."""
    for key, value in document.items():
        name = prefix + str(key)
        if isinstance(value, Mapping):
            yield from flat(value, f"{name}.")
        elif isinstance(value, list) and any(isinstance(entry, Mapping | list) for entry in value):
            yield from flat({str(i): entry for i, entry in enumerate(value)}, f"{name}.")
        elif isinstance(value, list) and len(value) > _LONG:
            yield name, f"{show(value[:_LONG])},… ({len(value)} values)"
        elif value not in (None, [], ""):
            yield name, clean(show(value))


def _sizes(network: Manifest) -> str:
    """Layers and units of the members, each size once."""
    one = [network.get("hidden_size"), network.get("layers")]
    sizes = dict.fromkeys(tuple(size) for size in network.get("shapes", [one]))
    return " and ".join(f"{show(layers)} x {show(hidden)} units" for hidden, layers in sizes)


def _title(network: str) -> str:
    from forecast.models.networks.registry import NETWORK_SPECS

    return NETWORK_SPECS[network].title if network in NETWORK_SPECS else clean(network)


def _counted(count: int | None, noun: str) -> str:
    return "" if count is None else f"{count:,} {noun}{'' if count == 1 else 's'}"


def _joined(*parts: object) -> str:
    return ", ".join(str(part) for part in parts if part)
