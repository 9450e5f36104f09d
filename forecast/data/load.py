"""`load_panel`: from a path, standard input or a frame to a checked panel and its report."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.common.errors import InputError
from forecast.common.files import check_output, one_command
from forecast.common.segments import evenly
from forecast.data.build_panel import Built, build_panel
from forecast.data.checks import coverage, notice
from forecast.data.clocks import on_one_clock, said_of_zone, zoned
from forecast.data.io.columns import Mapping
from forecast.data.io.dialect import first_lines
from forecast.data.io.folders import files_in
from forecast.data.io.notes import REJECTS, Note, Rejects, listed
from forecast.data.io.table import Table, column_names, read_frame, read_tables
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.io.timestamps import day_first
from forecast.data.joined_files import (
    FILE,
    joined_digest,
    joined_notes,
    joined_rows,
    spelt_alike,
    with_names,
)
from forecast.data.load_covariates import future_columns, wants_covariates, with_covariates
from forecast.data.load_large import direct_panel
from forecast.data.open_steps import never_filled
from forecast.data.panel import Panel
from forecast.data.regularise import twins_of
from forecast.data.rows import LongRows, long_rows
from forecast.data.seasonality import confirm_seasons
from forecast.data.series_ids import ids_of
from forecast.data.time_columns import AMBIGUOUS_DAYS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from forecast.config.schema import DataSettings


# --- `LoadReport`: what the loader understood, changed and noticed, as plain data ----------------


@dataclass(frozen=True)
class LoadReport:
    """What was read from where, and how it was understood.

    source         path as given, "<stdin>" or "<frame>"
    digest         sha256 of the bytes as stored ("" for a frame)
    rows           data rows read
    columns        id, time and target columns and how each was chosen
    dialect        encoding, separator, decimal mark (empty for Parquet and frames)
    frequency      alias
    candidates     season lengths that the frequency suggests
    seasons        season lengths that the data confirm (or --season)
    span           first and last time, as the input writes times
    series         number of series
    lengths        shortest, median, longest series (steps)
    observed       values present; missing: steps without one (gaps and blanks)
    gaps           steps that no row of the table names
    repairs        what was changed on the way in
    warnings       what deserves a look
    ended_early    series (positions in the panel) that end before the panel does
    constant       series (positions) with a single value
    skipped        ids of series without any value: not in the panel
    coverage       share of series with a value, in up to 60 equal parts of the span
    time_format    how the input writes times, see `Panel`
    flags          columns of yes and no that were not used, and might be covariates
    """

    source: str
    digest: str
    rows: int
    columns: dict[str, object]
    dialect: dict[str, object]
    frequency: str
    candidates: tuple[int, ...]
    seasons: tuple[int, ...]
    span: tuple[str, str]
    series: int
    lengths: tuple[int, int, int]
    observed: int
    missing: int
    gaps: int
    repairs: tuple[Note, ...]
    warnings: tuple[Note, ...]
    ended_early: np.ndarray
    constant: np.ndarray
    skipped: tuple[str, ...]
    coverage: np.ndarray
    time_format: str = ""
    flags: tuple[str, ...] = ()

    @property
    def time(self) -> tuple[str, ...]:
        """The columns that the times were read from."""
        return tuple(map(str, self.columns["time"]))  # type: ignore[call-overload]

    def to_dict(self) -> dict[str, object]:
        """The report as JSON-able data; long lists of series as counts."""
        return {
            "source": self.source,
            "digest": self.digest,
            "rows": self.rows,
            "columns": self.columns,
            "dialect": self.dialect,
            "frequency": self.frequency,
            "candidate_seasons": list(self.candidates),
            "seasons": list(self.seasons),
            "span": {"first": self.span[0], "last": self.span[1]},
            "series": self.series,
            "lengths": dict(zip(("min", "median", "max"), self.lengths, strict=True)),
            "observed": self.observed,
            "missing": self.missing,
            "gaps": self.gaps,
            "repairs": [n.to_dict() for n in self.repairs],
            "warnings": [n.to_dict() for n in self.warnings],
            "ended_early": len(self.ended_early),
            "constant": len(self.constant),
            "skipped": list(self.skipped[:100]),
            "coverage": [round(float(c), 4) for c in self.coverage],
        }


# -------------------------------------------------------------------------------------------------


def load_panel(source: str | Path, settings: DataSettings) -> tuple[Panel, LoadReport]:
    """The panel of a file (CSV, plain or compressed, Parquet, Feather) or of "-", standard input.

    A folder, or a pattern such as "in/*.csv", is read as one table. "sqlite:///sales.db" and other
    database addresses need settings.query. Raises InputError: what is wrong, where, the remedy.
    """
    files, notes = files_in(source)
    parts = [(file, settings.query) for file in files]
    return load_several(parts, source, settings, notes=notes)


@one_command()
def load_several(
    parts: Sequence[tuple[str | Path, str | None]],
    name: str | Path,
    settings: DataSettings,
    most: int | None = None,
    notes: Sequence[Note] = (),
) -> tuple[Panel, LoadReport]:
    """The panel of several sources read as one table, which is called `name`.

    parts: of each its place, as in `load_panel`, and its query where that is a database; most: so
    many series of each part are kept, evenly spread, before the next is read; None for all;
    notes: what is to be said of the places.
    """
    _check_rejects(settings)
    future, settings = future_columns(settings)
    by_file = settings.id_col == FILE and FILE not in column_names(parts[0][0], settings)
    apart = True if by_file else False if settings.no_id else None
    if by_file:
        settings = settings.model_copy(update={"id_col": None, "no_id": True})

    def read(place: str | Path, query: str | None) -> list[Table]:
        tables = read_tables(place, settings.model_copy(update={"query": query}))
        return tables if most is None else [_spread(table, most) for table in tables]

    tables, bare = [], []
    known: frozenset[str] | None = None
    for place, query in parts:
        try:
            tables += read(place, query)
        except InputError as error:
            if error.code != "input/no-rows":
                raise
            known = headers_above_rows(parts) if known is None else known
            if not has_header_of(place, known):
                raise
            bare.append(Path(place).name)
    if bare:
        text = f"left out, with a header and no row: {listed(bare, 3)}"
        notes = [*notes, Note("repair/left-out", text, len(bare))]
    tables = spelt_alike(with_names(tables))
    tables[0] = replace(tables[0], notes=(*notes, *tables[0].notes))
    where = tables[0].where if len(tables) == 1 else str(name)
    return _load(tables, where, settings, future, apart)


def headers_above_rows(parts: Sequence[tuple[str | Path, str | None]]) -> frozenset[str]:
    """The headers of those files of the parts that have rows."""
    heads = (first_lines(Path(place)) for place, query in parts if query is None)
    return frozenset(lines[0] for lines in heads if len(lines) > 1)


def has_header_of(place: str | Path, headers: Container[str]) -> bool:
    """Whether a file without rows has one of the `headers` of those that have some: a day without a
    sale, not a file that is being written."""
    mine = first_lines(Path(place))
    return len(mine) == 1 and mine[0] in headers


def _spread(table: Table, most: int) -> Table:
    """The rows of at most `most` of the series that a long table names, evenly spread by id."""
    if table.mapping.wide or not table.mapping.id:
        return table
    ids, codes, _ = ids_of(table, table.mapping)
    if len(ids) <= most:
        return table
    chosen = np.zeros(len(ids), bool)
    chosen[evenly(len(ids), most)] = True
    return table.taken(np.flatnonzero(chosen[codes]))


@one_command()
def panel_from_frame(
    frame: pd.DataFrame | pa.Table, settings: DataSettings
) -> tuple[Panel, LoadReport]:
    """The panel of a pandas frame or an Arrow table, with the checks of `load_panel`."""
    _check_rejects(settings)
    future, settings = future_columns(settings)
    table = read_frame(frame, settings)
    return _load([table], table.where, settings, future)


def _load(
    tables: Sequence[Table],
    source: str,
    settings: DataSettings,
    future: Sequence[Table],
    apart: bool | None = None,
) -> tuple[Panel, LoadReport]:
    panel, report, mapping = _values(tables, source, settings, apart)
    report = replace(report, flags=tuple(n for n in mapping.flags if n not in mapping.id))
    if wants_covariates(settings):
        if named_by_ends(report.to_dict()) and settings.stamps == "auto":
            settings = settings.model_copy(update={"stamps": "end"})
        panel = with_covariates(panel, tables, mapping, future, settings, report.skipped)
        repairs = tuple(n for n in report.repairs if n.code != "repair/trailing-blanks")
        repairs += tuple(n for t in future for n in t.notes if n.code == "repair/left-out")
        report = replace(report, repairs=repairs)
    if settings.rejects:  # last of all: where the table is refused, nothing is written
        _rejected(tables).write(settings.rejects)
    return panel, report


def named_by_ends(report: dict[str, Any]) -> bool:
    """Whether the times of a `LoadReport`, as JSON, were taken for the ends of their intervals."""
    return any(note["code"] == "repair/interval-ends" for note in report.get("repairs") or ())


def _check_rejects(settings: DataSettings) -> None:
    """Raises UsageError where the file of rejects would replace another one."""
    if settings.rejects:
        check_output(settings.rejects, REJECTS)


def _rejected(tables: Sequence[Table]) -> Rejects:
    return Rejects([entry for t in tables if t.rejects for entry in t.rejects.entries])


def _values(
    tables: Sequence[Table], source: str, settings: DataSettings, apart: bool | None
) -> tuple[Panel, LoadReport, Mapping]:
    """The panel without covariates, its report, and the columns that it was made of."""
    if len(tables) == 1 and not apart and (direct := direct_panel(tables[0], settings)):
        columns = tables[0].mapping.to_dict()
        report = _report(tables, source, columns, direct, [], settings)
        return direct.panel, report, tables[0].mapping
    typed = _typed(tables, settings)
    told = [part for _, _, part, _ in typed]
    parts, more = on_one_clock([part for part, *_ in typed], told)
    notes = [*joined_notes(told), *more]
    rows, more = joined_rows(parts, tables, source, apart)
    notes += more
    rows, more = zoned(rows, settings.tz, twins_of(rows, settings))
    notes = [said_of_zone(note, rows.tz) for note in notes]
    if settings.rejects:
        notes += _rejected(tables).note(settings.rejects)
    built = build_panel(rows, settings)
    mapping = typed[0][1]
    report = _report(tables, source, mapping.to_dict(), built, [*notes, *more], settings)
    return built.panel, report, mapping


def _typed(
    tables: Sequence[Table], settings: DataSettings
) -> list[tuple[LongRows, Mapping, list[Note], Table]]:
    """`long_rows` of each table. Dates of one that could be day first or month first (the first
    twelve days of a month) are as the others have them, where these agree."""
    found: list[tuple[LongRows, Mapping, list[Note], Table] | InputError] = []
    for table in tables:
        try:
            found.append(long_rows(table, settings))
        except InputError as error:
            if error.code != AMBIGUOUS_DAYS or len(tables) == 1:
                raise
            found.append(error)
    clear = {day_first(made[0].format) for made in found if not isinstance(made, InputError)}
    typed = []
    for table, made in zip(tables, found, strict=True):
        if isinstance(made, InputError):
            if clear not in ({True}, {False}):
                raise made
            asked = settings.model_copy(update={"dayfirst": True in clear})
            made = long_rows(table, asked)
        typed.append(made)
    return typed


def _report(
    tables: Sequence[Table], source: str, columns: dict[str, object], built: Built,
    notes: list[Note], settings: DataSettings,
) -> LoadReport:  # fmt: skip
    panel = built.panel
    warnings, ended, constant = notice(panel)
    every = [*notes, *built.notes, *warnings]
    frequency = panel.frequency
    seasons = (settings.season,) if settings.season else confirm_seasons(panel)
    ends = np.array([panel.first.min(), (panel.first + panel.lengths - 1).max()])
    first, last = format_stamps(frequency.stamps(ends), panel.time_format, panel.tz).to_pylist()
    lengths = panel.lengths
    missing = int(np.isnan(panel.values).sum() - never_filled(panel).sum())
    return LoadReport(
        source=source, digest=joined_digest(tables), rows=sum(t.rows for t in tables),
        columns=columns,
        dialect=tables[0].dialect, frequency=frequency.alias, candidates=frequency.seasons,
        seasons=seasons, span=(str(first), str(last)), series=panel.size,
        lengths=(int(lengths.min()), int(np.median(lengths)), int(lengths.max())),
        observed=int(np.isfinite(panel.values).sum()), missing=missing, gaps=built.gaps,
        repairs=tuple(n for n in every if n.is_repair),
        warnings=tuple(n for n in every if not n.is_repair),
        ended_early=ended, constant=constant, skipped=built.skipped, coverage=coverage(panel),
        time_format=panel.time_format,
    )  # fmt: skip
