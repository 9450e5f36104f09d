"""Sheets of Excel workbooks as tables."""

from __future__ import annotations

import io
from datetime import date, datetime, time
from fnmatch import fnmatchcase
from glob import has_magic
from typing import TYPE_CHECKING, Any, NamedTuple
from zipfile import BadZipFile

from forecast.data.io.dialect import LINES_ABOVE
from forecast.data.io.notes import Note, listed, quantity, refuse

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 10  # sheets that an error names
ERRORS = {"#N/A", "#NA", "#VALUE!", "#REF!", "#DIV/0!", "#NUM!", "#NAME?", "#NULL!"}


class Sheet(NamedTuple):
    """The table of a sheet, and a note of the title that was left out."""

    name: str
    table: pa.Table
    notes: tuple[Note, ...]


def read_sheets(content: bytes, sheet: str | None, where: str) -> list[Sheet]:
    """One sheet: the only one with cells, or the one called or counted `sheet`; all with cells that
    have a name like `sheet` where that is a pattern (20*), in the workbook's order.

    The first row with cells is the header, or the first below a title (rows of a single cell above
    a wider table); values are those that the program last computed, error values (#N/A) are
    missing; blank rows and columns around the table are left out. Raises
    InputError: no such sheet, several to choose from, no table, a damaged file.
    """
    from openpyxl import load_workbook

    try:
        book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        names = list(book.sheetnames)
        rows = {name: _rows(book[name]) for name in _wanted(names, sheet, where)}
    except (BadZipFile, OSError, KeyError, ValueError, SyntaxError, EOFError) as error:
        raise refuse(
            "input/damaged", f"the workbook cannot be read: {error}", where=where,
            remedy="Open it in its program and save it again as .xlsx",
        ) from None  # fmt: skip
    filled = {name: each for name, each in rows.items() if len(each) > 1}
    if len(filled) > 1 and sheet is None:
        raise refuse(
            "input/which-sheet", f"several sheets hold a table: {listed(list(filled), SHOWN)}",
            where=where,
            remedy=f"Choose one, e.g. --sheet '{next(iter(filled))}', or those that go on from one "
            "another by a pattern, e.g. --sheet '*' or '20*'",
        )  # fmt: skip
    if not filled:
        raise refuse(
            "input/no-rows", "no sheet has a header and a row below it", where=where,
            remedy=f"Choose another with --sheet; there are {listed(names, SHOWN)}",
        )  # fmt: skip
    return [_sheet(name, each, place_of(where, name)) for name, each in filled.items()]


def place_of(where: str, name: str) -> str:
    """A sheet of the workbook `where` in messages."""
    return f"{where}, sheet '{name}'"


def _sheet(name: str, rows: list[list[Any]], where: str) -> Sheet:
    above = _titles(rows)
    table = _table(rows[above:], where)
    if not above:
        return Sheet(name, table, ())
    title = next(str(cell) for cell in rows[0] if cell is not None)[:60]
    text = f"{quantity(above, 'row')} above the table: left out"
    return Sheet(name, table, (Note("repair/preamble", text, above, (title,)),))


def _wanted(names: list[str], sheet: str | None, where: str) -> list[str]:
    if sheet is None:
        return names
    found = [name for name in names if fnmatchcase(name.lower(), sheet.lower())]
    if has_magic(sheet) and found:  # no name of a sheet may hold *, ? or [
        return found
    for name in names:
        if name == sheet or name.lower() == sheet.lower():
            return [name]
    if sheet.isdigit() and 1 <= int(sheet) <= len(names):
        return [names[int(sheet) - 1]]
    raise refuse(
        "input/no-sheet", f"there is no sheet '{sheet}'", where=where, value=sheet,
        remedy=f"--sheet takes one of: {listed(names, SHOWN)}, its number from 1, or a pattern "
        "such as '20*'",
    )  # fmt: skip


def _rows(sheet: Any) -> list[list[Any]]:
    """The cells of the rows from the first to the last that has any, None where blank."""
    if not hasattr(sheet, "iter_rows"):  # a sheet that is a chart
        return []
    rows = [[_value(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
    filled = [n for n, row in enumerate(rows) if any(cell is not None for cell in row)]
    if not filled:
        return []
    rows = rows[filled[0] : filled[-1] + 1]
    width = max((n for row in rows for n, cell in enumerate(row, 1) if cell is not None), default=0)
    return [row + [None] * (width - len(row)) if len(row) < width else row[:width] for row in rows]


def _titles(rows: list[list[Any]]) -> int:
    """How many rows at the top are a title: a single text each, and a table of more columns and two
    rows at least below them."""
    cells = [sum(cell is not None for cell in row) for row in rows[: LINES_ABOVE + 1]]
    first = next((n for n, count in enumerate(cells) if count > 1), 0)
    titles = [cell for row in rows[:first] for cell in row if cell is not None]
    return first if first < len(rows) - 1 and all(isinstance(t, str) for t in titles) else 0


def _value(cell: Any) -> Any:
    if isinstance(cell, str) and (not cell.strip() or cell in ERRORS):
        return None
    return cell


def _table(rows: list[list[Any]], where: str) -> pa.Table:
    import pyarrow as pa

    header, *body = rows
    columns = list(zip(*body, strict=True))
    names, arrays = [], []
    for number, (name, cells) in enumerate(zip(header, columns, strict=True), 1):
        if name is None and all(cell is None for cell in cells):
            continue
        if name is None:
            raise refuse(
                "input/no-header", f"column {number} has values and no name", where=where,
                remedy="Give each column a name in the first row of the table",
            )  # fmt: skip
        names.append(_name(name))
        arrays.append(_array(cells))
    return (
        pa.table(dict(zip(names, arrays, strict=True)))
        if len(set(names)) == len(names)
        else (pa.Table.from_arrays(arrays, names=names))
    )


def _name(cell: Any) -> str:
    """A header's cell as text: a day without its midnight, a whole number without its point."""
    if isinstance(cell, datetime) and cell.time() == time():
        return cell.date().isoformat()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def _array(cells: tuple[Any, ...]) -> pa.Array:
    """A column of one type: moments, whole numbers, numbers; else everything as text."""
    import pyarrow as pa

    known = [cell for cell in cells if cell is not None]
    if known and all(isinstance(cell, datetime | date) for cell in known):
        moments = [
            None if cell is None
            else cell if isinstance(cell, datetime) else datetime.combine(cell, time())
            for cell in cells
        ]  # fmt: skip
        return pa.array(moments, pa.timestamp("us"))
    if known and all(isinstance(cell, bool) for cell in known):
        return pa.array(cells, pa.bool_())
    if known and all(isinstance(c, int | float) and not isinstance(c, bool) for c in known):
        whole = all(isinstance(cell, int) for cell in known)
        kind = pa.int64() if whole else pa.float64()
        return pa.array([None if c is None else int(c) if whole else float(c) for c in cells], kind)
    days = all(cell.time() == time() for cell in known if isinstance(cell, datetime))
    return pa.array([None if cell is None else _text(cell, days) for cell in cells], pa.string())


def _text(cell: Any, days: bool) -> str:
    """A cell beside cells of other types. days: moments are midnights, of days."""
    if isinstance(cell, datetime):
        return cell.date().isoformat() if days else cell.isoformat(sep=" ")
    return f"{cell:g}" if isinstance(cell, float) else str(cell)
