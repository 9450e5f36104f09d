"""Parquet: columns with their types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, TYPE_CHECKING

from forecast.inference.formats.registry import Format, Writer

if TYPE_CHECKING:
    import pyarrow as pa


def _open(file: IO[bytes], schema: pa.Schema, _beside: Mapping[str, pa.Table]) -> Writer:
    from pyarrow.parquet import ParquetWriter

    made: Writer = ParquetWriter(file, schema)
    return made


FORMAT = Format(".parquet", "Parquet", _open)
