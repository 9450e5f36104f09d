"""CSV: a header, quotes only where needed, empty for missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, TYPE_CHECKING

from forecast.inference.formats.registry import Format, Writer

if TYPE_CHECKING:
    import pyarrow as pa


def _open(file: IO[bytes], schema: pa.Schema, _beside: Mapping[str, pa.Table]) -> Writer:
    from pyarrow import csv

    plain = csv.WriteOptions(quoting_style="needed")
    made: Writer = csv.CSVWriter(file, schema, write_options=plain)
    return made


FORMAT = Format(".csv", "CSV", _open)
