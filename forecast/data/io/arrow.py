"""Between Arrow and numpy without copies, and without pandas.

pyarrow's own `pa.array`, `pa.scalar` (also where a plain value is passed to a compute function) and
`Array.to_numpy` import pandas where it is installed, which costs more time than reading a usual
file; these work on the buffers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


def as_numpy(array: pa.Array) -> np.ndarray:
    """The values of a numeric, Boolean or temporal array.

    Nulls become NaN in floats and False in Booleans; nulls elsewhere raise ValueError.
    """
    import pyarrow as pa

    if pa.types.is_boolean(array.type):
        return as_numpy(array.cast(pa.uint8()).fill_null(as_arrow(np.zeros(1, np.uint8))[0])).view(
            bool
        )
    if array.null_count:
        if not pa.types.is_floating(array.type):
            raise ValueError(f"an array of {array.type} with nulls has no numpy form")
        array = array.fill_null(as_arrow(np.array([np.nan])).cast(array.type)[0])
    if pa.types.is_temporal(array.type):
        array = array.view(pa.int64() if array.type.bit_width == 64 else pa.int32())
    dtype = np.dtype(str(array.type).replace("double", "float64").replace("halffloat", "float16"))
    if array.type == pa.float32():
        dtype = np.dtype("float32")
    if len(array) == 0:
        return np.zeros(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)


def as_arrow(array: np.ndarray) -> pa.Array:
    """The Arrow array of a numeric or Boolean numpy array."""
    import pyarrow as pa

    if array.dtype == bool:
        return as_arrow(array.view(np.uint8)).cast(pa.bool_())
    kinds: dict[str, Any] = {
        "int64": pa.int64(), "int32": pa.int32(), "int16": pa.int16(), "int8": pa.int8(),
        "uint64": pa.uint64(), "uint8": pa.uint8(),
        "float64": pa.float64(), "float32": pa.float32(),
    }  # fmt: skip
    flat = np.ascontiguousarray(array)
    return pa.Array.from_buffers(kinds[flat.dtype.name], len(flat), [None, pa.py_buffer(flat)])


def rows_of(array: pa.Array, index: np.ndarray) -> pa.Array:
    """The rows `index`, in its order. Texts that are in none of them are in the dictionary no
    longer: its entries are taken for the values that there are (a series each, among ids)."""
    import pyarrow as pa

    rows = array.take(as_arrow(index))
    coded = isinstance(rows, pa.DictionaryArray)
    return rows.dictionary_decode().dictionary_encode() if coded else rows


def as_floats(array: pa.Array) -> pa.Array:
    """A numeric or null array as float64, each value the nearest one.

    Arrow's own cast of decimals scales them in binary and misses the nearest in a third of cases.
    """
    import pyarrow as pa

    if pa.types.is_decimal(array.type):
        array = array.cast(pa.string())
    return array.cast(pa.float64(), safe=False)  # whole numbers over 2^53 have no exact float


def as_strings(values: Sequence[str]) -> pa.Array:
    """The Arrow array of Python strings."""
    import pyarrow as pa

    encoded = [v.encode("utf-8", "surrogatepass") for v in values]
    sizes = np.fromiter(map(len, encoded), np.int32, len(encoded))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    data = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), data)


def word(value: str) -> pa.Scalar:
    """One string as an Arrow scalar."""
    return as_strings([value])[0]
