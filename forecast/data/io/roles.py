"""Which columns are the time, the id and the target: decided together, or refused with the choice.

Names weigh first, then what the cells can be in the light of the other columns. Every choice has a
reason; what two readings would fit is refused with the flags that say which.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forecast.data.io.columns import NO_TARGET, Column, Mapping
from forecast.data.io.csv import MISSING
from forecast.data.io.notes import listed, quoted, refuse
from forecast.data.io.vocabulary import (
    BEGIN_WORDS,
    DERIVED,
    END_WORDS,
    ID_NAMES,
    SALES_NAMES,
    STEP_NAMES,
    TOTAL_WORDS,
    key_of,
    names_forecast,
    names_key,
    names_number,
    names_place,
    names_row,
    names_series,
    names_time,
    part_named,
    words_of,
)

if TYPE_CHECKING:
    from forecast.config.schema import DataSettings

UNNAMED_DATES = ("second", "minute", "hour", "day")  # digits too many to be dates by chance
LIMITS = {
    "year": (1600, 2261), "half": (1, 2), "quarter": (1, 4), "month": (1, 12), "week": (1, 53),
    "day": (1, 31), "hour": (0, 25), "minute": (0, 59), "second": (0, 59), "period": (1, 100),
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """The columns that may have a role, and their cells in the first rows."""

    columns: tuple[Column, ...]
    cells: dict[str, tuple[str, ...]]
    where: str

    @property
    def names(self) -> list[str]:
        """All names, in the order of the file."""
        return [c.name for c in self.columns]

    @property
    def rows(self) -> int:
        """Rows that were looked at."""
        return len(next(iter(self.cells.values()), ()))

    def column(self, name: str) -> Column:
        """The column of this name."""
        return next(c for c in self.columns if c.name == name)

    def distinct(self, *names: str) -> int:
        """Different combinations of cells in these columns."""
        return len(set(zip(*(self.cells[n] for n in names), strict=True))) if names else 1

    def decides(self, one: str, other: str) -> bool:
        """Whether the cell of column `one` says what stands in `other`."""
        return self.distinct(one, other) == self.distinct(one)


def map_columns(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], settings: DataSettings, where: str
) -> Mapping:
    """The mapping of a table whose columns look like `columns` and whose first rows are `rows`.

    Raises InputError: a named column is missing; a role is ambiguous or nobody's.
    """
    extra = _covariates([c.name for c in columns], settings, where)
    by_column = list(zip(*rows, strict=True)) or [()] * len(columns)
    cells = {c.name: part for c, part in zip(columns, by_column, strict=True)}
    chosen = tuple(c for c in columns if c.name not in extra)
    sample = Sample(chosen, {c.name: cells[c.name] for c in chosen}, where)
    reasons: dict[str, str] = {}
    time = _choose_time(sample, settings, reasons)
    ids, options = _choose_id(sample, time, settings, reasons)
    if settings.wide:
        targets = _wide_targets(sample, time, ids, reasons)
        return Mapping(time, ids, (), targets, True, reasons)
    if settings.target_col == NO_TARGET:
        extra = extra or tuple(n for n in sample.names if n not in (*time, *ids))
        return Mapping(time, ids, options, (), False, reasons, extra)
    if len(several := _named_targets(sample, settings)) > 1:
        return _beside_each_other(sample, time, ids, several, extra, reasons)
    target = _choose_target(sample, time, ids, options, settings, reasons)
    options = tuple(o for o in options if o != target)
    _check_roles((*time, *ids, target), where)
    flags = _flags(sample, time, {*time, *ids, target})
    return Mapping(
        time, ids, options, (target,), wide=False, reasons=reasons, extra=extra, flags=flags
    )


YES_OR_NO = [set(pair.split("/")) for pair in (
    "0/1", "0.0/1.0", "true/false", "t/f", "yes/no", "y/n", "ja/nein", "j/n", "wahr/falsch",
    "oui/non", "o/n", "si/no", "sí/no", "sì/no", "s/n", "sim/não", "sim/nao", "ja/nee", "ja/nej",
    "ja/nei", "tak/nie", "да/нет",
)]  # fmt: skip


def _flags(sample: Sample, time: tuple[str, ...], taken: Collection[str]) -> tuple[str, ...]:
    """The columns that say yes or no of every row, and are neither keys nor told by the time."""
    return tuple(
        c.name
        for c in sample.columns
        if c.name not in taken
        and {cell.strip().lower() for cell in sample.cells[c.name]} in YES_OR_NO
        and not names_key(c.name)
        and not TOTAL_WORDS.fullmatch(c.name.strip())
        and not _derived(c, sample, time)
    )


def _covariates(names: Sequence[str], settings: DataSettings, where: str) -> tuple[str, ...]:
    """The columns that are named as covariates. Raises InputError: missing, in two roles, wide.

    With --future-covariates a column may stand in that table alone.
    """
    flags = {
        "--future-cov": settings.future_cov,
        "--past-cov": settings.past_cov,
        "--set data.static_cov": settings.static_cov,
    }
    lower = {n.lower() for n in names}
    found = [
        n
        for flag, given in flags.items()
        for g in given
        if not (settings.future_covariates and flag == "--future-cov" and g.lower() not in lower)
        for n in named_columns(g, names, flag, where)
    ]
    if found and settings.wide:
        raise refuse(
            "input/wide-covariates", "in a wide table every column but the time is a series",
            where=where, value=found[0],
            remedy="Give the covariates, past and to come, in a table of their own: "
            "--future-covariates FILE; or the table in long form",
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


def named_columns(given: str, names: Sequence[str], flag: str, where: str) -> tuple[str, ...]:
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


# --- the time -------------------------------------------------------------------------------


def _choose_time(
    sample: Sample, settings: DataSettings, reasons: dict[str, str]
) -> tuple[str, ...]:
    """The columns that make the time; () with --no-time."""
    if settings.no_time:
        reasons["time"] = "--no-time: the rows are counted"
        return ()
    if settings.time_col:
        reasons["time"] = "--time-col"
        return named_columns(settings.time_col, sample.names, "--time-col", sample.where)
    taken = {*_named_targets(sample, settings), *(settings.id_col or "").split(",")}
    free = [c for c in sample.columns if c.name not in taken]
    stamps = [c for c in free if c.kind == "time" and c.form != "pointed"]
    if len(stamps) > 1:
        stamps = _one_of(stamps, sample)
    if not stamps:
        stamps = _digits_named(free)
    if stamps:
        named = names_time(stamps[0].name)
        return _with_clock(stamps[0], free, sample, reasons, named)
    parts = _parts(free, sample)
    if len(parts) > 1:
        reasons["time"] = "the parts of it, joined"
        return tuple(parts)
    return _bare_time(free, sample, reasons)


def _bare_time(free: Sequence[Column], sample: Sample, reasons: dict[str, str]) -> tuple[str, ...]:
    """The time among columns of plain numbers, or of text that is called a time."""
    steps = [c for n in STEP_NAMES for c in free if key_of(c.name) == n and c.kind == "integer"]
    years = [c for c in free if c.kind == "integer" and c.form == "year" and names_time(c.name)]
    pointed = [c for c in free if c.form == "pointed"]
    counted = [
        c for c in free if c.kind == "integer" and names_time(c.name) and c not in years + steps
    ]
    unnamed = [c for f in UNNAMED_DATES for c in free if c.form == f and c.kind == "integer"]
    for found in (pointed, steps if _sure(steps) else [], years, counted):
        if len(found) == 1 or (found and found is not counted):
            reasons["time"] = "its name"
            return (found[0].name,)
    if len(unnamed) == 1:
        reasons["time"] = "its digits are dates"
        return _with_clock(unnamed[0], free, sample, reasons, False)
    texts = [c for c in free if names_time(c.name) and c.kind in ("text", "number", "boolean")]
    if len(texts) == 1 and key_of(texts[0].name) == "data" and texts[0].kind == "number":
        texts = []  # a date to half of the world, and what was measured to the other
    if texts:
        reasons["time"] = "its name"
        return (texts[0].name,)
    raise refuse(
        "input/no-time-column", "no column looks like a time", where=sample.where,
        remedy=f"Name it with --time-col, one of {listed(sample.names, 20)}; or --no-time where "
        "the rows are the steps",
    )  # fmt: skip


def _sure(steps: Sequence[Column]) -> bool:
    return len(steps) == 1 or (len(steps) > 1 and key_of(steps[0].name) == "ds")


def _one_of(stamps: list[Column], sample: Sample) -> list[Column]:
    """Of several columns of times the one that the others follow from; refused if there is none."""
    canonical = [c for c in stamps if c.name == "ds"]
    if canonical:
        return canonical
    finest = max(stamps, key=lambda c: (c.distinct, c.form == "timed"))
    rivals = [
        c for c in stamps
        if c is not finest and (c.distinct == finest.distinct or not _follows(finest, c, sample))
    ]  # fmt: skip
    if not rivals:
        return [finest]
    begin = [c for c in (finest, *rivals) if words_of(c.name) & BEGIN_WORDS]
    end = [c for c in (finest, *rivals) if words_of(c.name) & END_WORDS]
    if len(begin) == 1 and len(end) == len(rivals) and begin[0] not in end:
        return begin
    names = [c.name for c in stamps]
    raise refuse(
        "input/ambiguous-time", f"several columns hold times: {listed(names)}",
        where=sample.where, remedy=f"Choose one, e.g. --time-col {quoted(finest.name)}",
    )  # fmt: skip


def _follows(finest: Column, other: Column, sample: Sample) -> bool:
    return other.distinct < finest.distinct and sample.decides(finest.name, other.name)


def _digits_named(free: Sequence[Column]) -> list[Column]:
    """A column that is called a time and holds dates without separators, finer than years."""
    found = [
        c for c in free
        if c.kind == "integer" and c.form not in ("", "year") and names_time(c.name)
    ]  # fmt: skip
    exact = [c for c in found if key_of(c.name) == "ds"]
    return exact or sorted(found, key=lambda c: -c.distinct)[:1]


def _with_clock(
    date: Column, free: Sequence[Column], sample: Sample, reasons: dict[str, str], named: bool
) -> tuple[str, ...]:
    """The column of dates, and those of the time of day beside it if it has none of its own."""
    reasons.setdefault("time", "its name" if named else "the only column of dates")
    if date.form in ("timed", "hour", "minute", "second"):
        return (date.name,)
    others = [c for c in free if c is not date]
    clocks = [c for c in others if c.form == "clock" and c.kind == "text"]
    if len(clocks) > 1:
        clocks = [c for c in clocks if words_of(c.name) & BEGIN_WORDS] or [
            c for c in clocks if names_time(c.name) or part_named(c.name)
        ]
    if clocks and _repeats(sample, (date.name,), clocks[0].name):
        reasons["time"] = "a date and a time of day, joined"
        return date.name, clocks[0].name
    parts = {p: c for c in reversed(others) if (p := part_named(c.name)) and _is_part(c, p, sample)}
    for chain in (("hour", "minute", "second"), ("period",)):
        found = [parts[p].name for p in chain if p in parts]
        if found and chain[0] in parts and _repeats(sample, (date.name,), found[0]):
            reasons["time"] = f"a date and its {chain[0]}, joined"
            return date.name, *found
    return (date.name,)


def _repeats(sample: Sample, date: tuple[str, ...], part: str) -> bool:
    """Whether dates repeat and the part tells rows of one date apart."""
    days = sample.distinct(*date)
    return days < sample.rows and sample.distinct(*date, part) > days


def _is_part(column: Column, part: str, sample: Sample) -> bool:
    """Whether the cells can be years, months, hours, ..."""
    cells = {c.strip() for c in sample.cells[column.name]} - set(MISSING)
    if part == "month" and column.form == "month":
        return True
    prefix = {"quarter": "[Qq]", "week": "(?:[Ww]|KW ?)", "half": "[HhSs]", "month": "M"}.get(part)
    if prefix:
        cells = {re.sub(f"^{prefix}", "", c) for c in cells}
    if not cells or not all(re.fullmatch(r"\d{1,4}(\.0+)?", c) for c in cells):
        return False
    low, high = LIMITS[part]
    numbers = [int(float(c)) for c in cells]
    return min(numbers) >= low and max(numbers) <= high


def _parts(free: Sequence[Column], sample: Sample) -> list[str]:
    """Columns that are year, month, day, hour, ... as far as they go; [] without a year."""
    found: dict[str, str] = {}
    for column in free:
        part = part_named(column.name)
        if part and part not in found and _is_part(column, part, sample):
            found[part] = column.name
    clocks = [c.name for c in free if c.form == "clock" and c.kind == "text"]
    if "year" not in found:
        return []
    if "month" in found and "day" in found:
        chain = ["year", "month", "day"]
        if "hour" in found:
            chain += ["hour", *(p for p in ("minute", "second") if p in found)]
        elif clocks:
            return [*(found[p] for p in chain), clocks[0]]
        elif "period" in found:
            chain.append("period")
        return [found[p] for p in chain]
    finer = next((p for p in ("week", "month", "quarter", "half") if p in found), None)
    return [found["year"], *([found[finer]] if finer else [])]


# --- the id ---------------------------------------------------------------------------------


def _choose_id(
    sample: Sample, time: tuple[str, ...], settings: DataSettings, reasons: dict[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The id columns, and those that may become it when the times repeat."""
    if settings.no_id:
        reasons["id"] = "--no-id: one series"
        return (), ()
    if settings.id_col:
        reasons["id"] = "--id-col"
        return named_columns(settings.id_col, sample.names, "--id-col", sample.where), ()
    if settings.wide:
        return (), ()
    taken = {*time, *_named_targets(sample, settings)}
    free = [
        c for c in sample.columns if c.name not in taken and not _derived(c, sample, time)
    ]  # fmt: skip
    for wanted in ID_NAMES:
        for column in free:
            if key_of(column.name) == wanted:
                if _once_each(column, sample, time):
                    reasons["id"] = f"none: '{column.name}' differs in every row"
                    continue
                reasons["id"] = "its name"
                groups = [c.name for c in free if names_series(c.name) and c != column]
                return (column.name,), tuple(groups)
    options = [c for c in free if _may_be_id(c, sample, time)]
    options += [c for c in _numbered(free, sample, time, options, settings) if c not in options]
    reasons.setdefault("id", "none: one series")
    in_order = [c.name for c in free if c in options]
    return (), tuple(in_order)


def _may_be_id(column: Column, sample: Sample, time: tuple[str, ...]) -> bool:
    words = column.kind == "text" and column.form != "clock"
    called = column.kind in ("integer", "boolean") and names_series(column.name)
    return (words or called) and not _once_each(column, sample, time)


def _once_each(column: Column, sample: Sample, time: tuple[str, ...]) -> bool:
    """Whether a column differs in every row while times go on: it names rows, not series."""
    if sample.rows <= 3 or column.distinct < sample.rows or column.kind not in ("integer", "text"):
        return False
    return column.kind == "integer" if not time else sample.distinct(*time) > 2


def _numbered(
    free: Sequence[Column], sample: Sample, time: tuple[str, ...], options: Sequence[Column],
    settings: DataSettings,
) -> list[Column]:  # fmt: skip
    """Columns of whole numbers that tell apart the rows of one time, as nothing else does.

    Each of the numbers must stand at most times, as the number of a shop does and a value not.
    """
    if not time or sample.rows < 8:
        return []
    base, targets = (*time, *(c.name for c in options)), _named_targets(sample, settings)
    if sample.distinct(*base) == sample.rows:
        return []
    times, found = sample.distinct(*time), []
    for column in free:
        if column.kind != "integer" or column in options or column.name in targets:
            continue
        full = sample.distinct(*base, column.name) == sample.rows
        few = 1 < column.distinct <= max(2, sample.rows // 3)
        if full and few and sample.rows >= 0.8 * column.distinct * times / max(1, len(options) + 1):
            found.append(column)
    return found if len(found) == 1 else []


def _derived(column: Column, sample: Sample, time: tuple[str, ...]) -> bool:
    """Whether a column says again what the time says: weekday, year, month, day."""
    if not time or column.name in time:
        return False
    key = key_of(column.name)
    if key in DERIVED:
        return True
    part = part_named(column.name)
    if part in (None, "period") or not (_is_part(column, part, sample) or column.form == "month"):
        return False
    whole = sample.distinct(*time, column.name) == sample.distinct(*time)
    return whole


# --- the target -----------------------------------------------------------------------------


def _named_targets(sample: Sample, settings: DataSettings) -> tuple[str, ...]:
    """What --target-col names: nothing, one column, or several that are series side by side."""
    if not settings.target_col or settings.target_col == NO_TARGET:
        return ()
    return named_columns(settings.target_col, sample.names, "--target-col", sample.where)


def _beside_each_other(
    sample: Sample,
    time: tuple[str, ...],
    ids: tuple[str, ...],
    targets: tuple[str, ...],
    extra: tuple[str, ...],
    reasons: dict[str, str],
) -> Mapping:
    """A table of which several columns are forecast, each as a series of its own.

    Raises InputError where rows belong to several series already.
    """
    _check_roles((*time, *ids, *targets), sample.where)
    if ids or (time and sample.distinct(*time) < sample.rows):
        whose = f"column '{ids[0]}' names them" if ids else "one time has several rows"
        raise refuse(
            "input/several-targets",
            f"several targets can be forecast at once where a row is a time, and here rows are of "
            f"several series ({whose})", where=sample.where, value=",".join(targets),
            remedy="Forecast one at a time, e.g. --target-col "
            f"{quoted(targets[0])}; or --no-id where all rows are one series",
        )  # fmt: skip
    reasons["target"] = "--target-col"
    return Mapping(time, (), (), targets, True, reasons, extra)


def _choose_target(
    sample: Sample,
    time: tuple[str, ...],
    ids: tuple[str, ...],
    options: tuple[str, ...],
    settings: DataSettings,
    reasons: dict[str, str],
) -> str:
    if settings.target_col:
        reasons["target"] = "--target-col"
        return _named_targets(sample, settings)[0]
    free = [c for c in sample.columns if c.name not in (*time, *ids)]
    for name in TARGET_TIERS:
        named = [c for c in free if key_of(c.name) in name and c.kind not in ("text", "boolean")]
        if len(named) == 1:
            reasons["target"] = "its name"
            return named[0].name
        if named:
            break
    numeric = [
        c for c in free
        if c.kind in ("number", "integer") and (c.name not in options or c.form == "affixed")
    ]  # fmt: skip
    likely, left = _sorted_out(numeric, sample, time)
    if len(likely) == 1:
        besides = f" besides {listed(left, 5)}" if left else ""
        reasons["target"] = f"the only numeric column{besides}"
        return likely[0].name
    if not numeric:
        return _last_resort(free, sample, reasons)
    shown = likely or numeric
    best = max(shown, key=lambda c: (not names_forecast(c.name), c.distinct))
    wide = "" if ids or options else "; or --wide if each is a series"
    raise refuse(
        "input/ambiguous-target",
        f"several columns could be the target: {listed((c.name for c in shown), 20)}",
        where=sample.where,
        remedy=f"Choose one, e.g. --target-col {quoted(best.name)}{wide}",
    )  # fmt: skip


TARGET_TIERS = ({"y", "target"}, SALES_NAMES)


def _last_resort(free: Sequence[Column], sample: Sample, reasons: dict[str, str]) -> str:
    """The target of a table without a plain column of numbers. Raises InputError."""
    blank = [c for c in free if c.kind == "blank"]
    if len(blank) == 1:
        reasons["target"] = "the only column without text"
        return blank[0].name
    if len(free) == 1:
        reasons["target"] = "the only other column"
        return free[0].name
    raise refuse(
        "input/no-numeric-column", "there is no column of numbers to forecast",
        where=sample.where,
        remedy=f"The columns are {listed(sample.names, 20)}; --decimal or --delimiter may be "
        "missing, or --na-values",
    )  # fmt: skip


def _sorted_out(
    numeric: Sequence[Column], sample: Sample, time: tuple[str, ...]
) -> tuple[list[Column], list[str]]:
    """The columns that may be the target, and why the others are none."""
    kept, left = list(numeric), []
    tests = (
        ("counts rows", lambda c: _counts_rows(c, sample)),
        ("says what the time says", lambda c: _derived(c, sample, time)),
        ("a number that names", lambda c: c.kind == "integer" and names_key(c.name)),
        ("a place", lambda c: names_place(c.name)),
        ("yes or no", lambda c: _flag(c, sample)),
        ("never changes", lambda c: c.distinct == 1 and sample.rows > 1),
    )
    for why, test in tests:
        out = [c for c in kept if test(c)]
        if len(out) < len(kept) or why == "counts rows":
            kept = [c for c in kept if c not in out]
            left += [f"{c.name} ({why})" for c in out]
    return kept, left


def _flag(column: Column, sample: Sample) -> bool:
    return {c.strip() for c in sample.cells[column.name]} - set(MISSING) <= {"0", "1", "0.0", "1.0"}


def _counts_rows(column: Column, sample: Sample) -> bool:
    """An exported index: a nameless or "No" column, or any, that goes 0, 1, 2, ... to the end; or
    down by one from row to row, in a file whose newest row is the first."""
    if column.kind != "integer" or sample.rows < 3:
        return False
    cells = [c.strip() for c in sample.cells[column.name] if c.strip()]
    if not all(c.isdigit() for c in cells) or len(set(cells)) < len(cells):
        return False
    as_they_come = [int(c) for c in cells]
    numbers = sorted(as_they_come)
    whole = numbers[-1] - numbers[0] == len(numbers) - 1
    named = names_row(column.name) or names_number(column.name)
    from_one = numbers[0] < 2 or as_they_come == numbers[::-1]
    return whole and (named or (sample.rows > 9 and from_one))


def _wide_targets(
    sample: Sample, time: tuple[str, ...], ids: tuple[str, ...], reasons: dict[str, str]
) -> tuple[str, ...]:
    """The series of a wide table; text that is no series is left out where times do not repeat."""
    others = [c for c in sample.columns if c.name not in (*time, *ids)]
    useless = [c for c in others if _derived(c, sample, time) or (
        names_row(c.name) and _counts_rows(c, sample))]  # fmt: skip
    text = [c for c in others if c.kind in ("text", "boolean", "time") and c not in useless]
    targets = tuple(c.name for c in others if c not in useless and c not in text)
    repeated = time and sample.distinct(*time) < sample.rows
    if text and (repeated or not targets):
        raise refuse(
            "input/wide-text",
            f"with --wide every column but the time is a series, and '{text[0].name}' is not "
            "numeric", where=sample.where, value=text[0].sample[0], count=len(text),
            remedy="Leave --wide out and name the roles: --id-col, --target-col",
        )  # fmt: skip
    left = [c.name for c in (*useless, *text)]
    reasons["target"] = "--wide" + (f", without {listed(left, 5)}" if left else "")
    return targets
