"""Irregular times brought to a regular grid, the values of each period joined."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from forecast.data.frequency import Frequency
from forecast.data.io.notes import Note, quantity
from forecast.data.regular_grid import named_frequency
from forecast.data.rows import LongRows
from forecast.data.sort_rows import aggregate
from forecast.data.time_zones import on_wall_clock

if TYPE_CHECKING:
    from forecast.config.schema import DataSettings


def resampled(rows: LongRows, settings: DataSettings) -> tuple[LongRows, list[Note]]:
    """Sorted rows brought to the grid that --resample names, joined by --agg.

    A period without rows stays a gap. Days and longer periods are those of the wall clock.
    """
    grid = replace(named_frequency(settings.resample or "", rows, "--resample"), phase=0)
    if not rows.integer and grid.steps_per_day is None:
        rows = on_wall_clock(rows)
    positions = period_positions(grid, rows)
    change = (rows.codes[1:] != rows.codes[:-1]) | (positions[1:] != positions[:-1])
    starts = np.flatnonzero(np.concatenate([[True], change]))
    joined = replace(
        rows.taken(starts),
        stamps=grid.stamps(positions[starts]).astype(np.int64),
        values=aggregate(rows.values, starts, settings.agg),
        format=_form_for(rows.format, grid),
    )
    text = (
        f"{quantity(len(rows.codes), 'row')} became {len(starts):,} on the {grid.alias} grid "
        f"by their {settings.agg}"
    )
    return joined, [Note("repair/resampled", text, len(rows.codes) - len(starts))]


def period_positions(grid: Frequency, rows: LongRows) -> np.ndarray:
    """Position (N,) of the period of `grid` that holds each row."""
    if grid.parts[1] in ("ME", "QE", "YE"):
        return _period_ends(grid, rows.stamps)
    return grid.locate(rows.stamps if rows.integer else rows.stamps.view("M8[ns]"))[0]


def _period_ends(grid: Frequency, stamps: np.ndarray) -> np.ndarray:
    """Positions of the periods that hold `stamps`, for grids that name a period by its end."""
    positions, _ = grid.locate(stamps.astype("M8[ns]"))
    ends = grid.stamps(positions).astype("M8[D]")
    return np.where(stamps.astype("M8[ns]").astype("M8[D]") > ends, positions + 1, positions)


def _form_for(form: str, grid: Frequency) -> str:
    """`form`, or a finer one where it cannot tell the grid's steps apart."""
    if not form.startswith("%") or re.search(r"%-?H|%-?I", form):
        return form
    if grid.steps_per_day is not None:
        return "%Y-%m-%d %H:%M:%S"
    if grid.parts[1] in ("D", "B", "W") and not re.search(r"%-?d|%u", form):
        return "%Y-%m-%d"
    return form
