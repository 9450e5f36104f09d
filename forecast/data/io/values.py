"""Cells read as numbers, strictly: what is a number, in which notation, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forecast.common.errors import InputError
from forecast.data.io.arrow import as_arrow, as_floats, as_numpy, as_strings, word
from forecast.data.io.csv import MISSING
from forecast.data.io.notations import understood
from forecast.data.io.notes import PLACES, Note, Rejects, quoted, refuse

if TYPE_CHECKING:
    import pyarrow as pa

    from forecast.config.schema import DataSettings
    from forecast.data.io.table import Table


# --- Numbers parsed strictly: what is not plainly a finite number or a blank is refused ----------


PLAIN = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
SAME = {" ": "\u00a0\u202f\u2009", "'": "’"}  # marks that --thousands stands for, too
HINTS = (
    (r"^[+-]?[0-9.,]+ ?%$", "Remove the percent signs"),
    (r"^[$€£¥₹] ?[+-]?[0-9.,]+$|^[+-]?[0-9.,]+ ?[$€£¥₹]$", "Remove the currency signs"),
    (r"^[+-]?[0-9]+(_[0-9]+)+$", "Remove the underscores"),
    (r"^[−–]", "Replace the Unicode minus with '-'"),
    (r"^\(.*\)$", "Write negative numbers with '-', not in parentheses"),
    (r"^[+-]?[0-9]{1,3},[0-9]{3}$",
     "Say what the comma is: --thousands ',' or --decimal ,"),
    (r"^[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?$", "Name the separator: --thousands ','"),
    (r"^[+-]?[0-9]{1,3}([. '\u00a0\u202f][0-9]{3})+(,[0-9]+)?$",
     "Name the separators: --thousands and --decimal"),
    (r"^[+-]?[0-9]+,[0-9]+$", "If the comma is the decimal mark: --decimal ,"),
    (r"^(?i:true|false|yes|no)$", "Choose a column of numbers with --target-col"),
    (r"^[+-]?[0-9][0-9.,]* ?[^0-9\\s.,]+$",
     "Write all numbers in one unit; or --set data.units={tail} where it says nothing"),
)  # fmt: skip


def parse_numbers(
    column: pa.Array,
    *,
    name: str,
    where: str,
    locate: Callable[[Sequence[int]], list[str]],
    decimal: str = ".",
    thousands: str | None = None,
    rejects: Rejects | None = None,
    missing: Collection[str] = (),
    units: Collection[str] = (),
    notes: list[Note] | None = None,
) -> np.ndarray:
    """float64 (N,) of a column as it was read: blank and NA are NaN, all else must be finite.

    column: float64, any integer or decimal type, or strings (dictionary-encoded or not). missing,
    units: texts that mean missing, and that stand beside numbers. notes: what was understood of
    unusual notations is appended.
    Raises InputError: infinite, beyond float64, text, Booleans; with `rejects`, cells are put aside
    there and become NaN.
    """
    import pyarrow as pa

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.string()).fill_null(word("")).dictionary_encode()
    if not pa.types.is_dictionary(column.type):
        return _typed_numbers(column, name, where, locate)
    if pa.types.is_null(column.type.value_type) or not len(column.dictionary):
        return np.full(len(column), np.nan)
    numbers, bad = number_strings(column.dictionary, decimal, thousands)
    codes = as_numpy(column.indices)
    odd = bad
    if bad.any() or missing:
        numbers, bad, said = unusual_numbers(
            column.dictionary, numbers, bad, decimal, missing, units
        )  # fmt: skip
        if notes is not None:
            count = int(odd[codes].sum())
            notes += [Note("repair/notation", f"in '{name}' {text}", count) for text in said]
    if bad.any():
        rows = np.flatnonzero(bad[codes])
        if rejects is None:
            raise _bad_cells(rows, column, name, where, locate)
        _put_aside(rows, column, name, where, locate, rejects)
    return numbers[codes]


def unusual_numbers(
    texts: pa.Array,
    numbers: np.ndarray,
    bad: np.ndarray,
    decimal: str,
    missing: Collection[str] = (),
    units: Collection[str] = (),
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """`number_strings`' answer with the bad texts understood where the whole column agrees.

    Also in words what was understood of them.
    """
    import pyarrow.compute as pc

    dotted = r"\d\.\d{3}(\.\d{3}|,\d)"  # points that group digits here do so in every cell
    if decimal == "." and pc.any(pc.match_substring_regex(_some(texts, bad), dotted)).as_py():
        bad = bad | as_numpy(pc.match_substring(texts, "."))
        numbers = np.where(bad, np.nan, numbers)
    odd_at = np.flatnonzero(bad)
    every = texts.take(as_arrow(odd_at)).to_pylist()
    odd = [str(t).strip() for t in every]
    found = understood(odd, _usual(numbers), decimal, missing, units)
    numbers, bad = numbers.copy(), bad.copy()
    if missing:
        numbers[as_numpy(pc.is_in(texts, value_set=as_strings(tuple(missing))))] = np.nan
    for at, text in zip(odd_at.tolist(), odd, strict=True):
        if text in found.plain:
            plain = found.plain[text]
            value = np.nan if plain is None else float(plain)
            if not np.isinf(value):
                numbers[at], bad[at] = value, False
    return numbers, bad, found.said


def _some(texts: pa.Array, chosen: np.ndarray) -> pa.Array:
    return texts.take(as_arrow(np.flatnonzero(chosen)))


def _usual(numbers: np.ndarray) -> int:
    return int(np.isfinite(numbers).sum())


def _typed_numbers(
    column: pa.Array, name: str, where: str, locate: Callable[[Sequence[int]], list[str]]
) -> np.ndarray:
    """float64 (N,) of a column that has a type: finite numbers, nulls as NaN."""
    import pyarrow as pa

    kinds = pa.types
    if kinds.is_boolean(column.type):
        raise _not_numeric("input/boolean-target", "true or false", name, where)
    numeric = (kinds.is_floating, kinds.is_integer, kinds.is_decimal, kinds.is_null)
    if not any(is_kind(column.type) for is_kind in numeric):
        raise _not_numeric("input/not-numeric", str(column.type), name, where)
    values = as_numpy(as_floats(column))
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise refuse(
            "input/infinite", f"column '{name}' holds an infinite value",
            where=where, value=float(values[infinite[0]]), count=len(infinite),
            places=locate(infinite[:PLACES].tolist()),
            remedy="Leave the cell blank where the value is unknown",
        )  # fmt: skip
    return values


def _not_numeric(code: str, what: str, name: str, where: str) -> InputError:
    return refuse(
        code, f"column '{name}' holds {what}, not numbers", where=where,
        remedy="Choose a column of numbers with --target-col",
    )  # fmt: skip


def number_strings(
    texts: pa.Array, decimal: str, thousands: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """float64 values and bool "not a finite number", both (D,), of distinct strings."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pc.utf8_trim_whitespace(texts)
    blank = pc.is_in(text, value_set=as_strings(MISSING))
    if thousands in SAME:  # as wide or narrow as it comes
        marks = "[" + "".join(SAME[thousands]) + "]"
        text = pc.replace_substring_regex(text, rf"(\d){marks}(\d)", rf"\1{thousands}\2")
        text = pc.replace_substring_regex(text, rf"(\d){marks}(\d)", rf"\1{thousands}\2")
    if thousands:
        grouped = pc.match_substring_regex(text, _grouped(thousands, decimal))
        text = pc.if_else(grouped, pc.replace_substring(text, thousands, ""), text)
    if decimal == ",":
        dotted = pc.match_substring(text, ".")
        text = pc.if_else(dotted, word("?"), pc.replace_substring(text, ",", "."))
    plain = pc.match_substring_regex(text, PLAIN)
    numbers = as_numpy(pc.cast(pc.if_else(plain, text, pa.nulls(1, pa.string())[0]), pa.float64()))
    bad = ~np.isfinite(numbers) & ~as_numpy(blank)
    return np.where(bad, np.nan, numbers), bad


def _grouped(thousands: str, decimal: str) -> str:
    """Pattern of a number whose digits are grouped by `thousands`."""
    mark, group = re.escape(decimal), re.escape(thousands)
    return rf"^[+-]?[0-9]{{1,3}}({group}[0-9]{{3}})+({mark}[0-9]*)?$"


def _bad_cells(
    rows: np.ndarray,
    column: pa.Array,
    name: str,
    where: str,
    locate: Callable[[Sequence[int]], list[str]],
) -> InputError:
    first = [column[int(r)].as_py() for r in rows[:PLACES]]
    value = first[0].strip()
    code, message = _diagnose(value, name)
    tail = re.sub(r"^[+-]?[0-9.,]+ ?", "", value)
    remedy = next(
        (hint.replace("{tail}", quoted(tail)) for p, hint in HINTS if re.search(p, value)), None
    )
    if remedy is None and re.search(r"\d", value):  # a number in words of its own
        remedy = "Write plain numbers, such as 1500000, all in one unit; or --rejects FILE puts "
        remedy += "what is none aside"
    if remedy is None:
        remedy = "Leave the cell blank where the value is unknown"
        remedy += f", or say --na-values {quoted(value)}" if _one_item(value) else ""
    return refuse(
        code, message, where=where, value=first[0], count=len(rows),
        places=[f"{line}, column '{name}'" for line in locate(rows[:PLACES].tolist())],
        remedy=remedy,
    )  # fmt: skip


def _one_item(value: str) -> bool:
    """Whether an option that takes a list, split at commas, takes this text as one of it."""
    return 0 < len(value) < 20 and "," not in value


def _put_aside(
    rows: np.ndarray,
    column: pa.Array,
    name: str,
    where: str,
    locate: Callable[[Sequence[int]], list[str]],
    rejects: Rejects,
) -> None:
    values = [column[int(r)].as_py() for r in rows]
    places = locate(rows.tolist())
    for place, value in zip(places, values, strict=True):
        rejects.add(where, [place], name, [value], _diagnose(value.strip(), name)[0])


def _diagnose(value: str, name: str) -> tuple[str, str]:
    if re.fullmatch(r"[+-]?(?i:inf|infinity)", value):
        return "input/infinite", f"column '{name}' holds an infinite value"
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+", value) or value.isdigit():
        return "input/number-range", f"column '{name}' holds a number beyond what 64 bits can hold"
    if re.fullmatch(r"(?i:true|false|yes|no)", value):
        return "input/boolean-target", f"column '{name}' holds true or false, not numbers"
    if value == name:
        return "input/repeated-header", "the header is repeated inside the table"
    return "input/not-a-number", f"column '{name}' holds text where a number is expected"


# --- Cells of a column that may hold numbers, true and false, or names ---------------------------


WORDS = {"true": 1.0, "yes": 1.0, "t": 1.0, "y": 1.0, "false": 0.0, "no": 0.0, "f": 0.0, "n": 0.0}
MOST_NAMES = 10_000  # different names in one column; more are no categories


@dataclass(frozen=True)
class Cells:
    """float64 (N,), NaN where blank; categories: the names that 0, 1, ... stand for, else None."""

    values: np.ndarray
    categories: tuple[str, ...] | None

    def taken(self, rows: np.ndarray) -> Cells:
        """The cells of these rows; a negative row is blank."""
        if not len(self.values):
            return Cells(np.full(len(rows), np.nan), self.categories)
        return Cells(np.where(rows >= 0, self.values[rows], np.nan), self.categories)


def cells_of(table: Table, name: str, settings: DataSettings, names: bool) -> Cells:
    """The cells of column `name`; `names`: numbers in it are names too.

    Raises InputError: an infinite number, more than 10,000 different names.
    """
    import pyarrow as pa

    column = table.columns[name]
    kinds = pa.types
    if kinds.is_boolean(column.type):
        column = column.cast(pa.uint8())
    typed = kinds.is_integer(column.type) or kinds.is_floating(column.type)
    if (typed or kinds.is_decimal(column.type) or kinds.is_null(column.type)) and not names:
        values = np.array(as_numpy(column.cast(pa.float64())))
        _check_finite(values, name, table)
        return Cells(values, None)
    texts = column if kinds.is_dictionary(column.type) else _encoded(column)
    return _from_texts(texts, name, table, settings, names)


def _encoded(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    return column.cast(pa.string()).fill_null(word("")).dictionary_encode()


def _from_texts(
    texts: pa.Array, name: str, table: Table, settings: DataSettings, names: bool
) -> Cells:
    """Numbers, else true and false, else names: what all distinct cells are."""
    codes = as_numpy(texts.indices)
    distinct = [str(t).strip() for t in texts.dictionary.to_pylist()]
    blank = np.array([t in MISSING for t in distinct], bool)
    if not names:
        numbers, bad = _numbers(distinct, table, settings)
        words = np.array([WORDS.get(t.lower(), np.nan) for t in distinct])
        if not bad.any():
            return Cells(numbers[codes] if len(numbers) else np.full(len(codes), np.nan), None)
        if (np.isfinite(words) | blank).all():
            return Cells(np.where(blank, np.nan, words)[codes], None)
    found = sorted({t for t, is_blank in zip(distinct, blank, strict=True) if not is_blank})
    if len(found) > MOST_NAMES:
        raise refuse(
            "input/too-many-categories", f"column '{name}' holds {len(found):,} different names",
            where=table.where, value=found[0],
            remedy="Write numbers where it is a number; leave it out where it names each row",
        )  # fmt: skip
    rank = {text: float(r) for r, text in enumerate(found)}
    return Cells(np.array([rank.get(t, np.nan) for t in distinct])[codes], tuple(found))


def _numbers(
    distinct: list[str], table: Table, settings: DataSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of distinct cells, and which are none, in the notations that a target may have."""
    texts = as_strings(distinct)
    numbers, bad = number_strings(texts, table.decimal, settings.thousands)
    if bad.any() and not bad.all():
        numbers, bad, _ = unusual_numbers(
            texts, numbers, bad, table.decimal, settings.na_values, settings.units
        )  # fmt: skip
    return numbers, bad


def _check_finite(values: np.ndarray, name: str, table: Table) -> None:
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise refuse(
            "input/infinite", f"column '{name}' holds an infinite value", where=table.where,
            count=len(infinite), places=table.locate(infinite[:3].tolist()),
            remedy="Leave the cell blank where the value is unknown",
        )  # fmt: skip


def joined_cells(parts: Sequence[Cells]) -> list[Cells]:
    """The parts of one column with the same categories; numbers beside names become names."""
    if all(part.categories is None for part in parts):
        return list(parts)
    named = [part if part.categories is not None else _as_names(part) for part in parts]
    every = tuple(sorted({name for part in named for name in part.categories or ()}))
    rank = {name: r for r, name in enumerate(every)}
    joined = []
    for part in named:
        own = np.array([*(rank[name] for name in part.categories or ()), np.nan])
        at = np.where(np.isnan(part.values), len(own) - 1, part.values).astype(np.int64)
        joined.append(Cells(own[at], every))
    return joined


def _as_names(cells: Cells) -> Cells:
    distinct, codes = np.unique(cells.values, return_inverse=True)
    texts = [f"{value:.12g}" for value in distinct if np.isfinite(value)]
    order = sorted(texts)
    rank = np.array([*(float(order.index(t)) for t in texts), np.nan])
    return Cells(rank[np.minimum(codes, len(texts))], tuple(order))


def texts_of(column: pa.Array) -> list[str]:
    """The cells as text, blank where there is none."""
    import pyarrow as pa

    return ["" if t is None else str(t) for t in column.cast(pa.string()).to_pylist()]
