"""Which column is the time, which names the series, which is the target: chosen or asked for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from forecast.common.errors import InputError
from forecast.data.io.csv import MISSING
from forecast.data.io.notes import listed, refuse

if TYPE_CHECKING:
    from forecast.config.schema import DataSettings


# --- What the first rows say about a column: numbers, times, text, or nothing yet ----------------


TIME_NAMES = (
    "ds", "timestamp", "datetime", "date_time", "date", "time", "month", "week", "quarter",
    "year", "day", "period", "index",
)  # fmt: skip
NUMERIC = re.compile(r"[+-]?(\d[\d_ ]*([.,]\d+)*|[.,]\d+)\.?([eE][+-]?\d+)?|[+-]?(?i:inf(inity)?)")
INTEGER = re.compile(r"[+-]?\d{1,19}(\.0+)?")
TIMELIKE = re.compile(
    r"""\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?([T\ ].*)?      # 2020-01-31 10:00
      | \d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})(\ .*)?     # 31/01/2020
      | \d{1,2}[-/]\d{4}                                # 01/2020
      | (19|20)\d{2}(0[1-9]|1[0-2])([0-3]\d([T\ ]?\d\d:?\d\d(:?\d\d)?)?)?Z?  # 20200131, 202001
      | \d{4}[-\ /]?[Qq][1-4] | [Qq][1-4][-\ /]\d{4} | \d{4}-?M\d{1,2}      # 2020Q1
      | \d{4}-?[Ww]\d{2}(-?[1-7])?                      # 2020-W05
      | (\w+,?\ )?(\d{1,2}[-\ /.])?(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?
        [-\ /.,]+(\d{1,2},?\ )?(\d{4}|\d{2})(\ .*)?     # 31 Jan 2020, January 31, 2020
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Column:
    """What the first rows say about one column."""

    name: str
    kind: str  # "number", "integer", "time", "boolean", "text" or "blank"
    blank: float  # share of blank cells
    distinct: int
    sample: tuple[str, ...]


def key_of(name: str) -> str:
    """A column name in small letters and underscores, to compare with known names."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def describe(name: str, cells: Sequence[str]) -> Column:
    """The kind of a column by a sample of its cells."""
    stripped = [c.strip() for c in cells]
    filled = [c for c in stripped if c not in MISSING]
    blank = 1 - len(filled) / max(len(stripped), 1)
    head = tuple(filled[:3])
    if not filled:
        return Column(name, "blank", blank, 0, head)
    count = len(filled)
    key = key_of(name)
    times = sum(bool(TIMELIKE.fullmatch(c)) for c in filled)
    integers = sum(bool(INTEGER.fullmatch(c)) for c in filled)
    numbers = sum(bool(NUMERIC.fullmatch(c)) for c in filled)
    compact = integers == count and key not in TIME_NAMES  # 202001 in a column of counts
    if (key in TIME_NAMES and numbers == count > integers and _years(filled)) or (
        times > 0.9 * count and not compact
    ):
        kind = "time"
    elif integers == count:
        kind = "integer"
    elif numbers > 0.5 * count:
        kind = "number"
    elif {c.lower() for c in filled} <= {"true", "false", "yes", "no", "t", "f", "y", "n"}:
        kind = "boolean"
    else:
        kind = "text"
    return Column(name, kind, blank, len(set(filled)), head)


def _years(cells: Sequence[str]) -> bool:
    """Whether the numbers are years with a fraction for the month: 1949.0833."""
    return all(re.fullmatch(r"(1[6-9]|2[01])\d\d(\.\d+)?", c) for c in cells)


# -------------------------------------------------------------------------------------------------


ID_NAMES = ("unique_id", "item_id", "series_id", "ts_id", "series", "segment", "id")
STEP_NAMES = (
    "ds", "t", "step", "time", "timestamp", "time_idx", "period", "year", "index", "date",
    "datetime", "date_time",
)  # fmt: skip
TARGET_NAMES = ("y", "target", "value", "values", "sales")
GROUP_NAMES = (
    "store", "item", "shop", "product", "product_id", "store_id", "shop_id", "sku", "region",
    "country", "state", "city", "station", "site", "sensor", "sensor_id", "meter", "meter_id",
    "location", "customer", "customer_id", "ticker", "symbol", "code", "name", "dept", "channel",
    "family", "category", "brand", "store_nbr",
)  # fmt: skip
NO_TARGET = "\0"  # as target column: a table of covariates alone, all columns if none is named
PARTS = ("year", "month", "day", "hour", "minute", "second")


@dataclass(frozen=True)
class Mapping:
    """The chosen columns, and why.

    time         one name, or several that make the time together
    id           names of the columns that name the series; () for one series
    id_options   columns that may name the series if the times turn out to repeat
    targets      the target, or all series of a wide table; () where none is wanted
    extra        columns beside the target: covariates
    reasons      role -> how it was chosen ("--time-col", "its name", "the only numeric column")
    """

    time: tuple[str, ...]
    id: tuple[str, ...]
    id_options: tuple[str, ...]
    targets: tuple[str, ...]
    wide: bool
    reasons: dict[str, str]
    extra: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The mapping as JSON-able data."""
        covariates = {"covariates": list(self.extra)} if self.extra else {}
        return {
            "id": list(self.id),
            "time": list(self.time),
            "target": list(self.targets) if not self.wide else f"{len(self.targets)} columns",
            "reasons": dict(self.reasons),
            **covariates,
        }


def map_columns(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], settings: DataSettings, where: str
) -> Mapping:
    """The mapping of a table whose columns look like `columns` and whose first rows are `rows`.

    Raises InputError: a named column is missing; a role is ambiguous or nobody's.
    """
    extra = _covariates([c.name for c in columns], settings, where)
    columns = [c for c in columns if c.name not in extra]
    names = [c.name for c in columns]
    reasons: dict[str, str] = {}
    time = _choose_time(columns, settings, where, reasons)
    ids, options = _choose_id(columns, rows, time, settings, where, reasons)
    if settings.wide:
        targets = tuple(n for n in names if n not in time and n not in ids)
        reasons["target"] = "--wide"
        _check_wide(columns, targets, where)
        return Mapping(time, ids, (), targets, True, reasons)
    if settings.target_col == NO_TARGET:
        extra = extra or tuple(n for n in names if n not in time and n not in ids)
        return Mapping(time, ids, (), (), False, reasons, extra)
    target = _choose_target(columns, time, ids, options, settings, where, reasons)
    options = tuple(o for o in options if o != target)
    _check_roles((*time, *ids, target), where)
    return Mapping(time, ids, options, (target,), False, reasons, extra)


def _covariates(names: Sequence[str], settings: DataSettings, where: str) -> tuple[str, ...]:
    """The columns that are named as covariates. Raises InputError: missing, in two roles, wide."""
    flags = {
        "--future-cov": settings.future_cov,
        "--past-cov": settings.past_cov,
        "--static-cov": settings.static_cov,
    }
    found = [
        n for flag, given in flags.items() for g in given for n in _named(g, names, flag, where)
    ]
    if found and settings.wide:
        raise refuse(
            "input/wide-covariates", "in a wide table every column but the time is a series",
            where=where, value=found[0],
            remedy="Give the table in long form, or the covariates in --future-covariates",
        )  # fmt: skip
    given = (settings.target_col or "", settings.id_col or "", settings.time_col or "")
    _check_roles((*found, *(g for g in given if g in found)), where)
    return tuple(found)


def _check_roles(chosen: tuple[str, ...], where: str) -> None:
    """Refuse a column that is asked to be two things."""
    twice = [name for name in chosen if chosen.count(name) > 1]
    if twice:
        raise refuse(
            "input/column-twice",
            "one column cannot be two of time, id, target and covariate at once", where=where,
            value=twice[0], remedy="Name different ones with --time-col, --id-col, --target-col",
        )  # fmt: skip


def _named(given: str, names: Sequence[str], flag: str, where: str) -> tuple[str, ...]:
    """The columns that a flag names: one, or several joined by commas."""
    if given in names:
        return (given,)
    parts = tuple(p.strip() for p in given.split(","))
    lower = {n.lower(): n for n in reversed(names)}
    found = tuple(p if p in names else lower.get(p.lower(), "") for p in parts)
    if all(found):
        return found
    missing = parts[found.index("")]
    near = difflib.get_close_matches(missing.lower(), list(lower), n=1)
    hint = f"Did you mean {lower[near[0]]}? " if near else ""
    raise refuse(
        "input/missing-column", f"there is no column '{missing}'", where=where, value=missing,
        remedy=f"{hint}{flag} takes one of: {listed(names, 20)}",
    )  # fmt: skip


def _choose_time(
    columns: Sequence[Column],
    settings: DataSettings,
    where: str,
    reasons: dict[str, str],
) -> tuple[str, ...]:
    names = [c.name for c in columns]
    if settings.time_col:
        reasons["time"] = "--time-col"
        return _named(settings.time_col, names, "--time-col", where)
    taken = {settings.target_col, *(settings.id_col or "").split(",")}
    free = [c for c in columns if c.name not in taken]
    dates = [c for c in free if c.kind == "time"]
    if len(dates) > 1:
        dates = _finest(dates)
    if len(dates) == 1:
        named = key_of(dates[0].name) in TIME_NAMES
        reasons["time"] = "its name" if named else "the only column of dates"
        return (dates[0].name,)
    if len(dates) > 1:
        raise refuse(
            "input/ambiguous-time", f"several columns hold times: {listed(c.name for c in dates)}",
            where=where, remedy=f"Choose one, e.g. --time-col {_quoted(dates[0].name)}",
        )  # fmt: skip
    steps = [c for n in STEP_NAMES for c in free if key_of(c.name) == n and c.kind == "integer"]
    parts = _parts(free)
    if len(parts) >= 2 and parts[0].lower() == "year":
        raise _composite_error(parts, columns, settings, where)
    if steps and (len(steps) == 1 or key_of(steps[0].name) == "ds"):
        reasons["time"] = "its name"
        return (steps[0].name,)
    unreadable = [c for n in TIME_NAMES for c in free if key_of(c.name) == n and c.kind == "text"]
    if unreadable:
        reasons["time"] = "its name"
        return (unreadable[0].name,)
    raise refuse(
        "input/no-time-column", "no column looks like a time", where=where,
        remedy=f"Name it with --time-col; there are {listed(names, 20)}",
    )  # fmt: skip


def _finest(dates: list[Column]) -> list[Column]:
    """Among several time columns, the ones with the most distinct values; then the best name."""
    most = max(c.distinct for c in dates)
    finest = [c for c in dates if c.distinct == most]
    others = {c.name for c in dates} - {c.name for c in finest}
    if len(finest) == 1 and others:
        return finest
    exact = [c for c in finest if c.name == "ds"]
    return exact or finest


def _parts(columns: Sequence[Column]) -> list[str]:
    """Columns named year, month, day, hour, ... in this order, as far as they go."""
    keys = {key_of(c.name): c.name for c in columns if c.kind in ("integer", "time")}
    found = []
    for part in PARTS:
        if part not in keys:
            break
        found.append(keys[part])
    return found


def _composite_error(
    parts: list[str], columns: Sequence[Column], settings: DataSettings, where: str
) -> InputError:
    remedy = f"Join them with --time-col {','.join(parts)}"
    numeric = [c for c in columns if c.kind in ("number", "integer") and not _row_number(c)]
    left = [c.name for c in numeric if c.name not in parts]
    if not settings.target_col and len(left) > 1:
        remedy += f" and name the target, e.g. --target-col {left[0]}, one of: {listed(left)}"
    return refuse(
        "input/composite-time", f"the time is spread over the columns {', '.join(parts)}",
        where=where, remedy=remedy,
    )  # fmt: skip


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w.,-]+", name) else f"'{name}'"


def _choose_id(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    time: tuple[str, ...],
    settings: DataSettings,
    where: str,
    reasons: dict[str, str],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The id columns, and those that may become it when the times repeat."""
    names = [c.name for c in columns]
    if settings.id_col:
        reasons["id"] = "--id-col"
        return _named(settings.id_col, names, "--id-col", where), ()
    if settings.wide:
        return (), ()
    free = [c for c in columns if c.name not in time and c.name != settings.target_col]
    for wanted in ID_NAMES:
        for column in free:
            if key_of(column.name) == wanted:
                if _counts_rows(column, len(rows)):
                    reasons["id"] = f"none: '{column.name}' numbers the rows"
                    continue
                reasons["id"] = "its name"
                groups = [c.name for c in free if key_of(c.name) in GROUP_NAMES and c != column]
                return (column.name,), tuple(groups)
    options = tuple(
        c.name
        for c in free
        if c.kind == "text" or (c.kind == "integer" and key_of(c.name) in GROUP_NAMES)
    )
    reasons.setdefault("id", "none: one series")
    return (), options


def _counts_rows(column: Column, rows: int) -> bool:
    """Whether a column called id merely numbers the rows."""
    return rows > 3 and column.distinct == rows and column.kind == "integer"


def _choose_target(
    columns: Sequence[Column],
    time: tuple[str, ...],
    ids: tuple[str, ...],
    options: tuple[str, ...],
    settings: DataSettings,
    where: str,
    reasons: dict[str, str],
) -> str:
    names = [c.name for c in columns]
    if settings.target_col:
        reasons["target"] = "--target-col"
        if settings.target_col in names:
            return settings.target_col
        return _named(settings.target_col, names, "--target-col", where)[0]
    free = [c for c in columns if c.name not in time and c.name not in ids]
    named = [c for n in TARGET_NAMES for c in free if key_of(c.name) == n]
    if named:
        reasons["target"] = "its name"
        return named[0].name
    groups = [c.name for c in free if key_of(c.name) in GROUP_NAMES and c.name in options]
    numeric = [c for c in free if c.kind in ("number", "integer") and c.name not in groups]
    numeric = [c for c in numeric if not _row_number(c)]
    if len(numeric) == 1:
        reasons["target"] = "the only numeric column"
        return numeric[0].name
    blank = [c for c in free if c.kind == "blank"]
    if not numeric and len(blank) == 1:
        reasons["target"] = "the only column without text"
        return blank[0].name
    if not numeric and len(free) == 1:
        reasons["target"] = "the only other column"
        return free[0].name
    if not numeric:
        raise refuse(
            "input/no-numeric-column", "there is no column of numbers to forecast", where=where,
            remedy=f"The columns are {listed(names, 20)}; --decimal or --delimiter may be missing",
        )  # fmt: skip
    likely = max(numeric, key=lambda c: (c.kind == "number", c.distinct))
    wide = "" if ids or options else "; or --wide if each is a series"
    raise refuse(
        "input/ambiguous-target",
        f"several columns could be the target: {listed((c.name for c in numeric), 20)}",
        where=where,
        remedy=f"Choose one, e.g. --target-col {_quoted(likely.name)}{wide}",
    )  # fmt: skip


def _row_number(column: Column) -> bool:
    """A nameless or "No" column that counts 0, 1, 2, ...: an exported index."""
    nameless = key_of(column.name) in (
        "no",
        "row",
        "rownum",
        "unnamed_0",
        "rownames",
    ) or re.fullmatch(r"column \d+", column.name)
    first = [s for s in column.sample if s.isdigit()]
    steps = [int(b) - int(a) for a, b in pairwise(first)]
    return bool(nameless) and column.kind == "integer" and set(steps) == {1}


def _check_wide(columns: Sequence[Column], targets: tuple[str, ...], where: str) -> None:
    kinds = {c.name: c for c in columns}
    text = [t for t in targets if kinds[t].kind in ("text", "boolean", "time")]
    if text:
        raise refuse(
            "input/wide-text",
            f"with --wide every column but the time is a series, and '{text[0]}' is not numeric",
            where=where, value=kinds[text[0]].sample[0], count=len(text),
            remedy="Remove the column, or use --id-col and --target-col",
        )  # fmt: skip
