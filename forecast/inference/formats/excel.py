"""Excel workbooks: numbers as numbers, dates as dates, text as text whatever it begins with."""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import IO, TYPE_CHECKING, Any

from forecast.common.errors import UsageError
from forecast.inference.formats.registry import Format

if TYPE_CHECKING:
    import pyarrow as pa
    from openpyxl.worksheet._write_only import WriteOnlyWorksheet

MAIN = "forecast"  # the sheet of the table itself
MOST_ROWS = 2**20 - 1  # of a sheet, without its header
FIRST = datetime(1980, 1, 1)  # the date that a zip archive begins with: same content, same bytes
DAY, MOMENT = "yyyy-mm-dd", "yyyy-mm-dd hh:mm"
_MOMENT = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
WIDTHS = (10, 40)  # of a column, in characters


class Workbook:
    """A workbook with a sheet of the table, and one for each table beside it."""

    def __init__(self, file: IO[bytes], schema: pa.Schema, beside: Mapping[str, pa.Table]) -> None:
        from openpyxl import Workbook as Book

        self._file, self._beside, self._rows = file, beside, 0
        self._book = Book(write_only=True)
        self._sheet = self._begin(MAIN, schema.names)

    def write_table(self, table: pa.Table) -> None:
        """Adds the rows. Raises UsageError where a sheet has no room for them."""
        self._rows += table.num_rows
        if self._rows > MOST_ROWS:
            self._sheet.close()
            raise UsageError(
                f"a sheet holds {MOST_ROWS:,} rows, and this table has more",
                code="output/too-many-rows",
                where="--output",
                value=self._rows,
                remedy="Write it as .csv or .parquet",
            )
        self._add(self._sheet, table)

    def close(self) -> None:
        """Writes the other sheets and the file."""
        for name, table in self._beside.items():
            self._add(self._begin(name, table.column_names), table)
        self._book.properties.created = self._book.properties.modified = FIRST
        made = io.BytesIO()
        self._book.save(made)
        self._file.write(_undated(made.getvalue()))

    def _begin(self, name: str, columns: list[str]) -> WriteOnlyWorksheet:
        from openpyxl.cell import WriteOnlyCell
        from openpyxl.styles import Font
        from openpyxl.utils import get_column_letter

        sheet = self._book.create_sheet(name)
        sheet.freeze_panes = "A2"
        for number, column in enumerate(columns, 1):
            width = min(max(len(column) + 2, WIDTHS[0]), WIDTHS[1])
            sheet.column_dimensions[get_column_letter(number)].width = width
        header = [WriteOnlyCell(sheet, value=_text(column)) for column in columns]
        for cell in header:
            cell.data_type, cell.font = "s", Font(bold=True)
        sheet.append(header)
        return sheet

    def _add(self, sheet: WriteOnlyWorksheet, table: pa.Table) -> None:
        columns = [self._cells(sheet, column) for column in table.columns]
        for row in zip(*columns, strict=True):
            sheet.append(list(row))

    def _cells(self, sheet: WriteOnlyWorksheet, column: pa.ChunkedArray) -> list[Any]:
        import pyarrow as pa

        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            return _dates(sheet, [_naive(value) for value in column.to_pylist()])
        return [_cell(sheet, value) for value in column.to_pylist()]


def _naive(value: datetime | date | None) -> datetime | None:
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else datetime.combine(value, time())
    return moment.replace(tzinfo=None)


def _dates(sheet: WriteOnlyWorksheet, values: list[datetime | None]) -> list[Any]:
    """Cells of moments, written as days where none has a time of day."""
    from openpyxl.cell import WriteOnlyCell

    days = all(value is None or value.time() == time() for value in values)
    made = []
    for value in values:
        cell = WriteOnlyCell(sheet, value=value)
        cell.number_format = DAY if days else MOMENT
        made.append(cell)
    return made


def _cell(sheet: WriteOnlyWorksheet, value: Any) -> Any:
    """A number as it is, blank where it is none, and text as text: `=1+1` is no formula."""
    from openpyxl.cell import WriteOnlyCell

    if isinstance(value, float) and not math.isfinite(value):
        return None
    if not isinstance(value, str):
        return value
    cell = WriteOnlyCell(sheet, value=_text(value))
    cell.data_type = "s"
    return cell


def _text(value: str) -> str:
    """Without the control characters that a workbook cannot hold."""
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    made: str = ILLEGAL_CHARACTERS_RE.sub("", value)
    return made


def _undated(content: bytes) -> bytes:
    """The archive with the same date on all its parts."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        for part in old.infolist():
            info = zipfile.ZipInfo(part.filename, FIRST.timetuple()[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            content = old.read(part.filename)
            if part.filename == "docProps/core.xml":  # the moment of writing stands there as well
                content = _MOMENT.sub(FIRST.strftime("%Y-%m-%dT%H:%M:%SZ").encode(), content)
            new.writestr(info, content)
    return made.getvalue()


FORMAT = Format(".xlsx", "an Excel workbook", Workbook, beside=True, dated=True)
