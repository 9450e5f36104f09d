"""The covariates of a panel, read from its own table, from one of steps to come and one of series.

Axes: S series, N rows of one table, M rows of all series on the grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from forecast.common.errors import InputError
from forecast.data.clocks import on_wall_clock, zoned
from forecast.data.io.columns import NO_TARGET, Mapping
from forecast.data.io.folders import files_in
from forecast.data.io.notes import PLACES, Note, listed, quantity, refuse
from forecast.data.io.table import Table, read_plain, read_table
from forecast.data.io.timestamps import day_first
from forecast.data.io.values import Cells, cells_of, joined_cells, texts_of
from forecast.data.io.vocabulary import ID_NAMES, TARGET_NAMES, key_of
from forecast.data.joined_files import named_by_file, with_names
from forecast.data.panel import FUTURE, PAST, STATIC, Covariate, Covariates, Panel, Unseen
from forecast.data.regularise import at_begins, period_positions
from forecast.data.rows import LongRows, long_rows
from forecast.data.series_ids import with_needed_id
from forecast.data.time_columns import AMBIGUOUS_DAYS, timed

if TYPE_CHECKING:
    from forecast.config.schema import DataSettings

MOST_AHEAD = 10_000  # steps after the last value that are kept: the longest horizon


@dataclass(frozen=True)
class Source:
    """Rows of one table with covariates.

    series int64 (N,): the panel's series of each row; step int64 (N,): its step in the series;
    cells: column -> its cells in these rows.
    """

    series: np.ndarray
    step: np.ndarray
    cells: dict[str, Cells]

    def where(self, chosen: np.ndarray) -> Source:
        """The rows that are `chosen`, bool (N,)."""
        at = np.flatnonzero(chosen)
        cells = {name: each.taken(at) for name, each in self.cells.items()}
        return Source(self.series[at], self.step[at], cells)


def wants_covariates(settings: DataSettings) -> bool:
    """Whether any column is to stand beside the values."""
    named = (settings.future_cov, settings.past_cov, settings.static_cov)
    return any(named) or bool(settings.future_covariates or settings.static)


def future_columns(settings: DataSettings) -> tuple[list[Table], DataSettings]:
    """The tables of --future-covariates, and settings that name their columns as known ahead."""
    if settings.future_covariates is None:
        return [], settings
    files, notes = files_in(settings.future_covariates)
    tables = with_names([_read_future(file, settings) for file in files])
    tables[0] = replace(tables[0], notes=(*notes, *tables[0].notes))
    if settings.future_cov:
        return tables, settings
    other = {n.lower() for n in (*settings.past_cov, *settings.static_cov)}
    names = [n for n in tables[0].mapping.extra if n.lower() not in other]
    given = settings.target_col
    target = {given} if given else {n for n in names if key_of(n) in TARGET_NAMES}
    names = [n for n in names if n not in target]
    return tables, settings.model_copy(update={"future_cov": tuple(names)})


def _read_future(file: str | Path, settings: DataSettings) -> Table:
    """A table of --future-covariates, its columns but time and id all covariates."""
    plain = {"target_col": NO_TARGET, "past_cov": (), "static_cov": (), "query": None,
             "wide": False, "transpose": False, "no_id": False}  # fmt: skip
    for_future = settings.model_copy(update=plain)
    try:
        table = read_table(file, for_future)
    except InputError as error:
        if error.code != "input/missing-column" or settings.id_col is None:
            raise
        # The id that is named for the data: one outlook for all series has none.
        table = read_table(file, for_future.model_copy(update={"id_col": None}))
    try:
        found = timed(table, for_future)
    except InputError as error:
        if error.code != AMBIGUOUS_DAYS:
            raise
        # Which times are alike is the same either way; the data will tell which way it is.
        found = timed(table, for_future.model_copy(update={"dayfirst": True}))
    mapping = with_needed_id(found.table, table.mapping, found.stamps)
    extra = tuple(n for n in mapping.extra if n not in mapping.id)
    return replace(found.table, mapping=replace(mapping, extra=extra))


def with_covariates(
    panel: Panel,
    tables: Sequence[Table],
    mapping: Mapping,
    future: Sequence[Table],
    settings: DataSettings,
    empty: Sequence[str] = (),
) -> Panel:
    """The panel with its covariates, and what --static says of the series `empty` of any value.
    Raises InputError; each check says why."""
    known = list(mapping.extra)
    names = known + _of_their_own(known, future, settings)
    roles = {name: _role(name, settings) for name in names}
    coming, outlooks = [n for n in names if roles[n] == FUTURE], []
    for table in future:
        own = table.mapping
        if mapping.id and all(n in table.columns for n in mapping.id):
            own = replace(own, id=mapping.id)  # as in the data, whatever it looks like here
        table = _named_as(table, coming)
        ahead = [n for n in coming if n in table.columns and n not in own.id]
        if not ahead:
            raise _none_known_ahead(table, coming)
        outlooks.append(_source(panel, table, own, settings, ahead, False))
    mine: list[Source] = []
    if known:
        mine = [_source(panel, t, mapping, settings, known, len(tables) > 1) for t in tables]
    sources = _by_weight(panel, mine, outlooks)
    _check_past(panel, [n for n in names if n not in known], sources)
    lengths = panel.lengths.copy()
    for source in sources:
        np.maximum.at(lengths, source.series, source.step + 1)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    columns = [_column(panel, n, roles[n], sources, offsets) for n in names]
    static, unseen = _of_series(panel, settings, empty)
    columns += static
    _check_names([c.name for c in columns])
    return replace(panel, covariates=Covariates(offsets, tuple(columns), unseen))


def _named_as(table: Table, names: Sequence[str]) -> Table:
    """The table with its columns written as `names` are, where capitals alone differ."""
    columns = table.columns
    wanted = {n.lower(): n for n in names if n not in columns}
    found = {name: wanted.pop(name.lower()) for name in list(columns) if name.lower() in wanted}
    return replace(table, columns={found.get(n, n): c for n, c in columns.items()})


def _none_known_ahead(table: Table, names: Sequence[str]) -> InputError:
    return refuse(
        "input/missing-column",
        "this table has no covariate known ahead: its columns are "
        f"{listed(list(table.columns), 8)}",
        where=table.where, remedy=f"Name its columns as the data do: {listed(names, 8)}",
    )  # fmt: skip


def _by_weight(panel: Panel, mine: list[Source], outlooks: list[Source]) -> list[Source]:
    """The sources so that the last word on a step counts: of steps to come that of an outlook,
    which was named for them, of the past that of the data, whatever an old outlook expected."""
    if not outlooks:
        return mine
    past = [source.step < panel.lengths[source.series] for source in mine]
    ahead = [source.where(~before) for source, before in zip(mine, past, strict=True)]
    return ahead + outlooks + [s.where(before) for s, before in zip(mine, past, strict=True)]


def _of_their_own(known: list[str], future: Sequence[Table], settings: DataSettings) -> list[str]:
    """Columns known ahead that stand in --future-covariates alone, their past there, too."""
    asked = {n.lower() for n in settings.future_cov}
    lower = {n.lower() for n in known}
    found = [n for t in future for n in t.mapping.extra if n.lower() in asked]
    missing = asked - lower - {n.lower() for n in found}
    if missing:
        name = next(n for n in settings.future_cov if n.lower() in missing)
        raise refuse(
            "input/missing-column", f"there is no column '{name}' in the data or the outlook",
            value=name, remedy="Name one that is there with --future-cov",
        )  # fmt: skip
    return [n for n in dict.fromkeys(found) if n.lower() not in lower]


def _check_past(panel: Panel, names: Sequence[str], sources: Sequence[Source]) -> None:
    """Refuse a covariate that has no value before the forecast: nothing is learnt from it."""
    for name in names:
        past = False
        for source in sources:
            if name in source.cells:
                before = source.step < panel.lengths[source.series]
                past |= bool(np.isfinite(source.cells[name].values[before]).any())
        if not past:
            raise refuse(
                "input/covariates-without-past",
                f"covariate '{name}' has no value before the forecast begins: there is nothing to "
                "learn from it",
                remedy="Give its past too, as a column of the data or as earlier rows of "
                "--future-covariates FILE",
            )  # fmt: skip


def _role(name: str, settings: DataSettings) -> str:
    roles = {PAST: settings.past_cov, STATIC: settings.static_cov}
    return next((r for r, given in roles.items() if name.lower() in map(str.lower, given)), FUTURE)


def _check_names(names: Sequence[str]) -> None:
    twice = [n for n in names if names.count(n) > 1]
    if twice:
        raise refuse(
            "input/covariate-twice", "a covariate is given twice", value=twice[0],
            remedy="Name it once, in the data or in --static",
        )  # fmt: skip


def _source(
    panel: Panel,
    table: Table,
    mapping: Mapping,
    settings: DataSettings,
    names: Sequence[str],
    by_file: bool,
) -> Source:
    """The rows of `table` that belong to the panel's series and lie on its grid."""
    plain = replace(table, mapping=replace(mapping, targets=(), id_options=(), wide=False))
    rows, _, _, table = _rows_as_in(panel, plain, settings)
    rows, _ = zoned(rows, settings.tz, "first")
    if None not in (rows.tz, panel.tz) and rows.tz != panel.tz:  # the same moments on one clock
        rows, _ = zoned(rows, panel.tz, "first")
    if by_file:
        rows = named_by_file(rows, table)
    if settings.resample and panel.tz is None:
        rows = on_wall_clock(rows)
    _check_alike(panel, rows)
    step_of_grid = _positions(panel, rows, settings)
    series, known = _series(panel, rows)
    numbers = rows.values.astype(np.int64)
    _check_one_row_each(rows, table, settings)
    if rows.id_name is None and panel.size > 1:  # one table for all series
        series = np.repeat(np.arange(panel.size), len(numbers))
        known = np.ones(len(series), bool)
        numbers, step_of_grid = np.tile(numbers, panel.size), np.tile(step_of_grid, panel.size)
    elif not known.any():
        raise refuse(
            "input/other-series",
            f"no series of this table is in the data (found {listed(rows.ids.tolist(), 3)})",
            where=rows.where, value=str(rows.ids[0]),
            remedy=f"Write the series as in the data: {listed(panel.ids.tolist(), 3)}",
        )  # fmt: skip
    step = step_of_grid - panel.first[series]
    kept = known & (step >= 0) & (step < panel.lengths[series] + MOST_AHEAD)
    cells = {n: cells_of(table, n, settings, n.lower() in _forced(settings)) for n in names}
    return Source(series[kept], step[kept], {n: c.taken(numbers[kept]) for n, c in cells.items()})


def _rows_as_in(
    panel: Panel, table: Table, settings: DataSettings
) -> tuple[LongRows, Mapping, list[Note], Table]:
    """`long_rows`; dates that could be day first or month first are as those of the data."""
    try:
        return long_rows(table, settings)
    except InputError as error:
        order = day_first(panel.time_format)
        if error.code != AMBIGUOUS_DAYS or order is None:
            raise
        return long_rows(table, settings.model_copy(update={"dayfirst": order}))


def _check_one_row_each(rows: LongRows, table: Table, settings: DataSettings) -> None:
    """Refuse several rows for one time where no column says whose they are."""
    if rows.id_name is not None or settings.resample or settings.duplicates != "error":
        return
    times, counts = np.unique(rows.stamps, return_counts=True)
    if (counts > 1).any():
        at = np.flatnonzero(rows.stamps == times[np.argmax(counts > 1)])
        raise refuse(
            "input/duplicate-time",
            "several rows stand for one time, and no column says whose they are",
            where=table.where, places=[rows.place(int(r)) for r in at[:PLACES]],
            count=int((counts > 1).sum()),
            remedy="Name the column that tells the series apart, as in the data: --id-col",
        )  # fmt: skip


def _forced(settings: DataSettings) -> set[str]:
    return {n.lower() for n in settings.categorical}


def _check_alike(panel: Panel, rows: LongRows) -> None:
    """Raises InputError where the times of a table are not of the panel's kind."""
    if rows.integer != panel.frequency.integer or rows.tz != panel.tz:
        mine = "integers" if rows.integer else f"dates with the zone {rows.tz or 'none'}"
        other = "integers" if panel.frequency.integer else f"dates with zone {panel.tz or 'none'}"
        raise refuse(
            "input/files-differ", f"the times are {mine}, and {other} in the data",
            where=rows.where, remedy="Write the times of both tables in one form",
        )  # fmt: skip


def _positions(panel: Panel, rows: LongRows, settings: DataSettings) -> np.ndarray:
    """Positions (N,) on the panel's grid."""
    if settings.resample:
        begins, _ = at_begins(rows, panel.frequency, settings.stamps)
        return period_positions(panel.frequency, begins)
    stamps = rows.stamps if rows.integer else rows.stamps.view("M8[ns]")
    positions, fits = panel.frequency.locate(stamps)
    stray = np.flatnonzero(~fits)
    if len(stray):
        raise refuse(
            "input/irregular-times",
            f"times in column '{rows.time_name}' are not on the {panel.frequency.alias} grid of "
            "the values", where=rows.where, count=len(stray),
            places=[rows.place(int(r)) for r in stray[:PLACES]],
            remedy="Correct them, or leave these rows out",
        )  # fmt: skip
    return positions


def _series(panel: Panel, rows: LongRows) -> tuple[np.ndarray, np.ndarray]:
    """The panel's series of each row, and whether there is one."""
    if rows.id_name is None and panel.size == 1:
        return np.zeros(len(rows.codes), np.int64), np.ones(len(rows.codes), bool)
    place_of = {name: s for s, name in enumerate(panel.ids)}
    if panel.size == len(rows.ids) == 1:
        place_of = {rows.ids[0]: 0}
    own = np.array([place_of.get(name, -1) for name in rows.ids], np.int64)[rows.codes]
    return np.maximum(own, 0), own >= 0


def _column(
    panel: Panel,
    name: str,
    role: str,
    sources: Sequence[Source],
    offsets: np.ndarray,
) -> Covariate:
    """One column of all sources on the grid; where they overlap, the last one's word counts."""
    with_it = [s for s in sources if name in s.cells]
    cells = joined_cells([s.cells[name] for s in with_it])
    values = np.full(offsets[-1], np.nan)
    for source, each in zip(with_it, cells, strict=True):
        at = offsets[:-1][source.series] + source.step
        part = _on_grid(each, at, len(values))
        values = np.where(np.isnan(part), values, part)
    categories = cells[0].categories
    if role == STATIC:
        return Covariate(name, role, _constant(panel, name, values, offsets), categories)
    return Covariate(name, role, values, categories)


def _on_grid(cells: Cells, at: np.ndarray, size: int) -> np.ndarray:
    """float64 (M,): the mean of the numbers at each place, of names the last."""
    known = np.isfinite(cells.values)
    at, values = at[known], cells.values[known]
    result = np.full(size, np.nan)
    if cells.categories is None and len(at):
        count = np.bincount(at, minlength=size)
        total = np.bincount(at, weights=values, minlength=size)
        return np.divide(total, count, out=result, where=count > 0)
    result[at] = values
    return result


def _constant(panel: Panel, name: str, values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """float64 (S,): the one value of each series. Raises InputError where there are several."""
    series = np.repeat(np.arange(panel.size), np.diff(offsets))
    known = np.isfinite(values)
    low, high = np.full(panel.size, np.inf), np.full(panel.size, -np.inf)
    np.minimum.at(low, series[known], values[known])
    np.maximum.at(high, series[known], values[known])
    varying = np.flatnonzero(high > low)
    if len(varying):
        raise refuse(
            "input/static-varies", f"covariate '{name}' is not one value for a series",
            value=str(panel.ids[varying[0]]), count=len(varying),
            remedy="Name it with --future-cov or --past-cov",
        )  # fmt: skip
    return np.where(np.isfinite(low), low, np.nan)


def _of_series(
    panel: Panel, settings: DataSettings, empty: Sequence[str]
) -> tuple[list[Covariate], tuple[Unseen, ...]]:
    """The columns of --static, a table keyed by id; and its rows of series `empty` of any value."""
    if settings.static is None:
        return [], ()
    table = read_plain(settings.static, settings)
    id_name = _id_column(table, panel, settings)
    ids = [text.strip() for text in texts_of(table.columns[id_name])]
    row_of = {name: row for row, name in enumerate(ids)}
    if len(row_of) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise refuse(
            "input/static-twice", "a series has two rows", where=table.where, value=twice,
            remedy="Give each series one row",
        )  # fmt: skip
    rows = np.array([row_of.get(str(name).strip(), -1) for name in panel.ids])
    if (rows < 0).any():
        missing = panel.ids[rows < 0]
        raise refuse(
            "input/static-missing", f"series without a row: {listed(missing.tolist(), 3)}",
            where=table.where, remedy=f"Add {quantity(len(missing), 'row')}, blank if unknown",
        )  # fmt: skip
    forced = _forced(settings)
    unseen = [Unseen(name, {}) for name in empty if name.strip() in row_of]
    rows = np.concatenate([rows, [row_of[each.id.strip()] for each in unseen]]).astype(int)
    found = []
    for name in table.columns:
        if name != id_name:
            cells = cells_of(table, name, settings, name.lower() in forced).taken(rows)
            found.append(Covariate(name, STATIC, cells.values[: panel.size], cells.categories))
            for each, number in zip(unseen, cells.values[panel.size :], strict=True):
                each.numbers[name] = float(number)
    return found, tuple(unseen)


def _id_column(table: Table, panel: Panel, settings: DataSettings) -> str:
    """The column as asked; else one of a usual name, or any, in which every series stands; else the
    one of a usual name, or the first, of which the error that follows tells."""
    names = list(table.columns)
    lower = {n.lower(): n for n in reversed(names)}
    wanted = [settings.id_col] if settings.id_col else ID_NAMES
    usual = [lower[name.lower()] for name in wanted if name.lower() in lower]
    likely = usual or ([] if settings.id_col or len(names) == 1 else names)
    if not likely:
        raise refuse(
            "input/static-id", "no column names the series", where=table.where,
            remedy=f"Name it as in the data; there are {listed(names, 20)}",
        )  # fmt: skip
    ids = {str(name).strip() for name in panel.ids}
    tried = () if settings.id_col else dict.fromkeys((*usual, *names))
    whole = (n for n in tried if ids <= {t.strip() for t in texts_of(table.columns[n])})
    return next(whole, likely[0])
