"""Data as they are held in Python: a frame, a Series, columns by name or any Arrow table, as one
plain pandas frame; and that frame in Arrow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from forecast.common.errors import UsageError
from forecast.data.io.columns import describe
from forecast.data.io.notes import refuse
from forecast.data.io.vocabulary import ID_NAMES, key_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FRAME = "<frame>"
TIME, ID, VALUE = "ds", "unique_id", "y"  # what has no name of its own is called
SAMPLE = 100  # cells of an index without a name that are looked at


def plain_frame(data: object) -> pd.DataFrame:
    """`data` as a frame whose columns hold everything: the index too, where it has a name or holds
    times; periods as the times at which they begin. `data` stay as they are.

    Raises UsageError: no table; InputError: two columns of one name.
    """
    import pandas as pd

    frame = _frame(data)
    if not isinstance(frame, pd.DataFrame):
        raise _no_data(data, "")
    frame.columns = _flat(frame.columns)
    frame = _with_index(frame)
    frame.columns = [str(name) for name in frame.columns]
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise refuse(
            "input/duplicate-column", "two columns have the same name", where=FRAME,
            value=twice[0], remedy="Give each column its own name",
        )  # fmt: skip
    changed = {n: plain for n in frame if (plain := _plain(frame[n])) is not None}
    return frame.assign(**changed) if changed else frame


def _frame(data: Any) -> Any:
    """A table of any kind as a pandas frame of its own; what is none as it is."""
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return data.copy(deep=False)
    if isinstance(data, pd.Series):
        return data.to_frame(VALUE if data.name is None else data.name)
    if isinstance(data, Mapping):
        try:
            return pd.DataFrame(dict(data))
        except ValueError as error:
            raise _no_data(data, f": {error}") from None
    if hasattr(data, "__arrow_c_stream__") and hasattr(data, "columns"):  # Polars, DuckDB, Arrow
        return _plain_strings(data).to_pandas(types_mapper=pd.ArrowDtype)
    return data


def _plain_strings(data: Any) -> pa.Table:
    """An Arrow table of any kind, with the strings that pandas knows."""
    import pyarrow as pa

    table = pa.table(data)
    for i, field in enumerate(table.schema):
        coded = pa.types.is_dictionary(field.type)
        if (field.type.value_type if coded else field.type) == pa.string_view():
            texts = [
                pa.DictionaryArray.from_arrays(chunk.indices, chunk.dictionary.cast(pa.string()))
                if coded
                else chunk.cast(pa.string())
                for chunk in table.column(i).chunks
            ]
            empty = pa.dictionary(field.type.index_type, pa.string()) if coded else pa.string()
            table = table.set_column(i, field.name, pa.chunked_array(texts, empty))
    return table


def _no_data(data: object, why: str) -> UsageError:
    return UsageError(
        f"data are a path, a pandas frame or Series, an Arrow table, or columns by name{why}",
        code="usage/data-kind",
        value=type(data).__name__,
        remedy='For example: {"ds": times, "y": values}, or pd.DataFrame of that',
    )


def _flat(names: pd.Index) -> pd.Index:
    """Names of one level: of several those that differ, joined."""
    import pandas as pd

    if names.nlevels == 1:
        return names
    alike = [i for i, level in enumerate(names.levels) if len(level) == 1]
    names = names.droplevel(alike[: names.nlevels - 1])
    if names.nlevels == 1:
        return names
    return pd.Index(["/".join(str(part) for part in name if part != "") for name in names])


def _with_index(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with those levels of its index as columns that say something.

    A level without a name is taken where it holds times that no column does; beside a level of
    times it names the series. Raises InputError where a column of other content has its name.
    """
    import pandas as pd

    levels = [frame.index.get_level_values(i) for i in range(frame.index.nlevels)]
    timed = [_holds_times(level) for level in levels]
    has_times = any(name == TIME or _holds_times(cells) for name, cells in frame.items())
    has_ids = any(key_of(str(name)) in ID_NAMES for name in frame.columns)
    frame.index = pd.RangeIndex(len(frame))  # unlike reset_index, without a copy
    for level, time in reversed(list(zip(levels, timed, strict=True))):
        name = level.name
        if name is None and time and not has_times:
            name = TIME
        elif name is None and not time and any(timed) and not has_ids:
            name = ID
        if name is None:
            continue
        if name not in frame.columns:
            frame.insert(0, name, level)
        elif list(level) != list(frame[name]):
            raise refuse(
                "input/duplicate-column", "the index has the name of a column", where=FRAME,
                value=str(name), remedy="Rename one of them, or drop the index with reset_index",
            )  # fmt: skip
    return frame


def _holds_times(cells: pd.Index | pd.Series) -> bool:
    import pandas as pd

    if isinstance(cells.dtype, pd.PeriodDtype) or cells.dtype.kind == "M":
        return True
    if cells.dtype.kind in "iufcb":
        return False
    first = cells[:SAMPLE].dropna()
    return describe("", [str(cell) for cell in first]).kind == "time"


def _plain(column: pd.Series) -> pd.Series | None:
    """Periods as times, sparse columns as dense ones, Arrow's times in pandas' own type; None where
    the column can stay."""
    import pandas as pd

    kind = column.dtype
    if isinstance(kind, pd.PeriodDtype):
        return column.dt.to_timestamp()
    if isinstance(kind, pd.SparseDtype):
        return column.sparse.to_dense()
    if (zone := getattr(getattr(kind, "pyarrow_dtype", None), "tz", None)) is not None:
        return column.astype(pd.DatetimeTZDtype(kind.pyarrow_dtype.unit, zone))
    if kind.kind == "O" and pd.api.types.infer_dtype(column[:SAMPLE]) == "period":
        return pd.Series(pd.PeriodIndex(column), column.index).dt.to_timestamp()
    return None


def arrow_of(frame: pd.DataFrame) -> pa.Table:
    """The frame in Arrow, without its index. Columns of several types are their text, as a CSV has
    it."""
    import pyarrow as pa

    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError):
        columns = {str(name): _arrow_column(frame[name]) for name in frame.columns}
        return pa.table(columns)


def _arrow_column(column: pd.Series) -> pa.Array:
    import pandas as pd
    import pyarrow as pa

    try:
        return pa.Array.from_pandas(column)
    except (pa.ArrowException, TypeError, ValueError):
        scalar = pd.api.types.is_scalar
        texts = [None if scalar(cell) and pd.isna(cell) else str(cell) for cell in column]
        return pa.array(texts, pa.string())
