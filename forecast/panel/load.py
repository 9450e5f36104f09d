"""`load_panel`: from a path, standard input or a frame to a checked panel and its report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from forecast.frequency import confirm_seasons, format_stamps
from forecast.panel.build import Built, build_panel
from forecast.panel.data import Panel
from forecast.panel.notice import coverage, notice
from forecast.panel.report import LoadReport
from forecast.panel.rows import LongRows
from forecast.panel.typed import long_rows
from forecast.panel.zones import zoned
from forecast.tables.notes import Note
from forecast.tables.table import Table, read_frame, read_table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from forecast.config import DataSettings


def load_panel(source: str | Path, settings: DataSettings) -> tuple[Panel, LoadReport]:
    """The panel of a file (CSV, plain or compressed, Parquet, Feather) or of "-", standard input.

    Raises InputError: what is wrong, where, and which flag helps.
    """
    return _load(read_table(source, settings), settings)


def panel_from_frame(
    frame: pd.DataFrame | pa.Table, settings: DataSettings
) -> tuple[Panel, LoadReport]:
    """The panel of a pandas frame or an Arrow table, with the checks of `load_panel`."""
    return _load(read_frame(frame, settings), settings)


def _load(table: Table, settings: DataSettings) -> tuple[Panel, LoadReport]:
    rows, mapping, notes = long_rows(table, settings)
    rows, more = zoned(rows, settings.tz)
    notes += more
    built = build_panel(rows, settings)
    return built.panel, _report(table, mapping.to_dict(), rows, built, notes, settings)


def _report(
    table: Table, columns: dict[str, object], rows: LongRows, built: Built, notes: list[Note],
    settings: DataSettings,
) -> LoadReport:  # fmt: skip
    panel = built.panel
    warnings, ended, constant = notice(panel)
    every = [*notes, *built.notes, *warnings]
    frequency = panel.frequency
    seasons = (settings.season,) if settings.season else confirm_seasons(panel)
    ends = np.array([panel.first.min(), (panel.first + panel.lengths - 1).max()])
    first, last = format_stamps(frequency.stamps(ends), panel.time_format, panel.tz).to_pylist()
    lengths = panel.lengths
    missing = int(np.isnan(panel.values).sum())
    return LoadReport(
        source=table.where, digest=table.digest, rows=table.rows, columns=columns,
        dialect=table.dialect, frequency=frequency.alias, candidates=frequency.seasons,
        seasons=seasons, span=(str(first), str(last)), series=panel.size,
        lengths=(int(lengths.min()), int(np.median(lengths)), int(lengths.max())),
        observed=len(panel.values) - missing, missing=missing, gaps=built.gaps,
        repairs=tuple(n for n in every if n.is_repair),
        warnings=tuple(n for n in every if not n.is_repair),
        ended_early=ended, constant=constant, skipped=built.skipped, coverage=coverage(panel),
    )  # fmt: skip
