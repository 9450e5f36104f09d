"""The only table input: CSV (plain or compressed), Parquet, Feather, standard input, frames."""

from forecast.tables.notes import Note
from forecast.tables.table import Table, read_frame, read_table

__all__ = ["Note", "Table", "read_frame", "read_table"]
