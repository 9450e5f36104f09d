"""`Design`: how a panel's covariates become numbers, fixed before training and kept with the model.

Axes: S series, M rows of all series on the grid, K features.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecast.common.errors import InputError
from forecast.common.segments import positions
from forecast.data.io.notes import listed, shorten
from forecast.data.open_steps import is_open
from forecast.data.panel import FUTURE, PAST, STATIC, Covariate, Panel
from forecast.transforms.calendar import calendar_features
from forecast.transforms.covariate_tensors import Known

CATEGORIES = 24  # the most frequent names of a column that get a feature of their own
SERIES_DIFFER = 0.5  # share of a column's variance between series from which each has its measure
FAR = 8.0  # in standard deviations: beyond, a number says no more than "far"


@dataclass(frozen=True)
class Entry:
    """How one column is read: (value - centre) / scale, or a feature for each of `categories`.

    flag: there are gaps in the data it was fitted on, so whether there is a value is a feature too;
    own: series differ more than steps do, so centre and scale are those of each series' past;
    smooth: the mean of the last day stands beside.
    """

    name: str
    role: str
    centre: float = 0.0
    scale: float = 1.0
    categories: tuple[str, ...] | None = None
    flag: bool = False
    own: bool = False
    smooth: bool = False

    @property
    def width(self) -> int:
        """Features of the column."""
        if self.categories is not None:
            return len(self.categories)
        return 1 + self.flag + self.smooth


@dataclass(frozen=True)
class Design:
    """All columns, and what is read of the calendar.

    steps_per_day: 0 where a step is a day or longer; zone: whose clock the calendar goes by (None:
    that of the times); calendar_width: features of a step that the calendar has.
    """

    entries: tuple[Entry, ...]
    steps_per_day: int = 0
    calendar: bool = False
    holidays: tuple[str, ...] = ()
    zone: str | None = None
    calendar_width: int = 0

    def of(self, role: str) -> list[Entry]:
        """The columns of one role."""
        return [entry for entry in self.entries if entry.role == role]


def widths(design: Design | None, segment_points: int) -> tuple[int, int]:
    """Features known ahead and features beside the inputs: `Known.ahead` and `Known.beside`."""
    if design is None:
        return 0, 0
    own, past, static = (sum(e.width for e in design.of(r)) for r in (FUTURE, PAST, STATIC))
    ahead = own + design.calendar_width
    return (ahead + static if ahead else 0), past * segment_points + static


def fit_design(
    panel: Panel,
    keep: np.ndarray,
    *,
    calendar: bool,
    holidays: Iterable[str],
    calendar_tz: str | None,
) -> Design | None:
    """The design of a panel's covariates by what the first `keep` (S,) steps hold; None: no
    covariates. Raises InputError, UsageError where there is no calendar to be had."""
    covariates = panel.covariates
    per_day = panel.frequency.steps_per_day or 0
    entries = []
    if covariates is not None:
        seen = positions(covariates.offsets) < np.repeat(keep, np.diff(covariates.offsets))
        series = np.repeat(np.arange(panel.size), np.diff(covariates.offsets))
        for column in covariates.columns:
            static = column.role == STATIC
            values = column.values if static else column.values[seen]
            owner = None if static else series[seen]
            entries.append(_entry(column, values, owner, panel.size, per_day))
    holidays = tuple(holidays)
    if not (entries or calendar or holidays):
        return None
    width = 0
    if calendar or holidays:
        width = _calendar(panel, panel.first[:1], calendar_tz, calendar, holidays).shape[1]
    return Design(tuple(entries), per_day, calendar, holidays, calendar_tz, width)


def _entry(
    column: Covariate, values: np.ndarray, series: np.ndarray | None, size: int, per_day: int
) -> Entry:
    known = np.isfinite(values)
    if column.categories is not None:
        counts = np.bincount(values[known].astype(np.int64), minlength=len(column.categories))
        common = np.argsort(-counts, kind="stable")[:CATEGORIES]
        kept = tuple(column.categories[i] for i in sorted(common) if counts[i])
        return Entry(column.name, column.role, categories=kept)
    flag = bool(not known.all() and known.any())
    seen = values[known]
    if not len(seen) or np.isin(seen, (0.0, 1.0)).all():
        return Entry(column.name, column.role, flag=flag)
    centre, scale = float(seen.mean()), float(seen.std())
    scale = scale if scale > 1e-9 * max(1.0, abs(centre)) else 1.0
    if series is None:
        return Entry(column.name, column.role, centre, scale, None, flag)
    owner = series[known]
    count = np.maximum(np.bincount(owner, minlength=size), 1)
    mean = np.bincount(owner, weights=seen, minlength=size) / count
    within = float(np.mean((seen - mean[owner]) ** 2))
    own = within < (1 - SERIES_DIFFER) * scale**2
    return Entry(
        name=column.name,
        role=column.role,
        centre=centre,
        scale=scale,
        categories=None,
        flag=flag,
        own=own,
        smooth=bool(per_day),
    )


def encode(design: Design, panel: Panel, horizon: int = 0) -> Known:
    """The panel's covariates as the network reads them, `horizon` steps on: numpy.

    Only rows before the end of a series have a part in its own measure, so nothing after an origin
    is seen there. Raises InputError where a column of the design is missing or of another kind.
    """
    covariates = panel.covariates
    offsets = covariates.offsets if covariates is not None else panel.offsets
    if not design.entries:
        offsets = panel.offsets
    given = {c.name: c for c in covariates.columns} if covariates is not None else {}
    _refuse_missing(design, given)
    rows = _Rows(panel, offsets, design.steps_per_day)
    blocks = {
        role: [_features(e, _column(e, given), rows) for e in design.of(role)]
        for role in (FUTURE, PAST)
    }
    static = [_plain(e, _column(e, given)) for e in design.of(STATIC)]
    shared, starts = _shared(design, panel, horizon)
    return Known(
        own=_table(blocks[FUTURE], int(offsets[-1])),
        past=_table(blocks[PAST], int(offsets[-1])),
        starts=offsets[:-1].copy(),
        lengths=np.diff(offsets),
        shared=shared,
        shared_starts=starts,
        static=np.concatenate([np.zeros((panel.size, 0)), *static], 1).astype(np.float32),
    )


def unknown_ahead(
    design: Design | None, panel: Panel, horizon: int | np.ndarray
) -> list[tuple[str, str]]:
    """Code and sentence of what the network cannot know of the `horizon` steps to come: names in a
    column that training never saw, and open steps without a value. They are forecast as if the
    column said nothing there, which intervals do not show. horizon: of all series, or of each (S,).
    """
    told: list[tuple[str, str]] = []
    if design is None or panel.covariates is None:
        return told
    rows = _Rows(panel, panel.covariates.offsets, 0)
    ahead = ~rows.past & (rows.place < (panel.lengths + horizon)[rows.series])
    ahead[ahead] = _open(panel, rows.series[ahead], rows.place[ahead])
    steps = np.broadcast_to(horizon, panel.lengths.shape)
    series = np.repeat(np.arange(panel.size), steps)
    place = panel.lengths[series] + positions(np.concatenate([[0], np.cumsum(steps)]))
    wanted = int(_open(panel, series, place).sum())
    given = {c.name: c for c in panel.covariates.columns}
    for entry in design.of(FUTURE):
        column = given.get(entry.name)
        if column is None:
            continue
        values = column.values[ahead]
        holes = int(np.isnan(values).sum()) + wanted - len(values)
        if holes:
            text = f"covariate '{entry.name}' has no value on {holes:,} of the steps to come"
            told.append(("covariates/hole", f"{text}: {_UNSAID}"))
        if entry.categories is None or column.categories is None:
            continue
        names, counts = np.unique(values[np.isfinite(values)].astype(int), return_counts=True)
        new = {column.categories[n]: int(k) for n, k in zip(names, counts, strict=True)
               if column.categories[n] not in entry.categories}  # fmt: skip
        if new:
            words = ", ".join(f"'{shorten(name, 20)}'" for name in list(new)[:3])
            text = f"covariate '{entry.name}' is {words} on {sum(new.values()):,} of the steps to "
            told.append(("covariates/unseen", f"{text}come, which training never saw: {_UNSAID}"))
    return told


def _open(panel: Panel, series: np.ndarray, place: np.ndarray) -> np.ndarray:
    """bool: whether the `series` may have values at their steps `place` (same shape)."""
    return is_open(panel, series, panel.first[series] + place)


_UNSAID = "they are forecast as if it were not known there, and their intervals are no wider"


class _Rows:
    """Where rows stand: their series, their place in it, and which are known at the origin."""

    def __init__(self, panel: Panel, offsets: np.ndarray, per_day: int) -> None:
        self.size, self.per_day = panel.size, per_day
        self.series = np.repeat(np.arange(panel.size), np.diff(offsets))
        self.place = positions(offsets)
        self.past = self.place < panel.lengths[self.series]


def _refuse_missing(design: Design, given: dict[str, Covariate]) -> None:
    """Raises InputError where columns of the design are not given; names all of one role."""
    for role, kind, remedy in (
        (FUTURE, "covariate", "Give columns of these names, or train anew"),
        (PAST, "covariate", "Give columns of these names, or train anew"),
        (STATIC, "static column", "Give a table with a row of them for each series: --static FILE"),
    ):
        wanted = [entry.name for entry in design.of(role)]
        missing = [n for n in wanted if n not in given or given[n].role != role]
        if missing:
            raise InputError(
                f"the model was trained with the {kind}{'s' * (len(missing) > 1)} "
                f"{listed(missing)}, and the data have none",
                code="input/covariate-missing",
                value=missing[0],
                remedy=remedy,
            )


def _column(entry: Entry, given: dict[str, Covariate]) -> Covariate:
    column = given[entry.name]
    numbers_now = column.categories is None and np.isfinite(column.values).any()
    if (entry.categories is None) != (column.categories is None) and (
        column.categories is not None or numbers_now
    ):
        was = "names" if entry.categories is not None else "numbers"
        raise InputError(
            f"covariate '{entry.name}' held {was} in training and does not now",
            code="input/covariate-kind",
            value=entry.name,
            remedy="Write it as then, or say --set data.categorical=COLUMN where numbers are names",
        )
    return column


def _plain(entry: Entry, column: Covariate) -> np.ndarray:
    """(rows, 1 + flag) or (rows, categories): values in the design's units, 0 where missing."""
    values, known = column.values, np.isfinite(column.values)
    if entry.categories is not None:
        place = {name: i for i, name in enumerate(entry.categories)}
        rank = [place.get(name, -1) for name in column.categories or ()]
        code = np.array([*rank, -1])[np.where(known, values, -1).astype(np.int64)]
        return (code[:, None] == np.arange(len(entry.categories))).astype(np.float64)
    scaled = np.clip(
        (np.where(known, values, entry.centre) - entry.centre) / entry.scale, -FAR, FAR
    )
    return np.stack([scaled, known], 1) if entry.flag else scaled[:, None]


def _features(entry: Entry, column: Covariate, rows: _Rows) -> np.ndarray:
    """(M, width) features of a column of rows."""
    plain = _plain(entry, column)
    known = np.isfinite(column.values)
    if entry.own:
        plain[:, 0] = _by_own_past(column.values, known, rows)
    if entry.smooth:
        plain = np.concatenate([plain, _last_day(plain[:, 0], known, rows)[:, None]], 1)
    return plain


def _by_own_past(values: np.ndarray, known: np.ndarray, rows: _Rows) -> np.ndarray:
    """Values in standard deviations from the mean of their series' past; 0 where missing."""
    used = known & rows.past
    owner = rows.series[used]
    count = np.maximum(np.bincount(owner, minlength=rows.size), 1)
    mean = np.bincount(owner, weights=values[used], minlength=rows.size) / count
    gap = np.where(known, values, 0.0) - mean[rows.series]
    square = np.bincount(owner, weights=gap[used] ** 2, minlength=rows.size) / count
    spread = np.sqrt(square)
    spread = np.where(spread > 1e-9 * np.maximum(1.0, np.abs(mean)), spread, 1.0)
    return np.where(known, np.clip(gap / spread[rows.series], -FAR, FAR), 0.0)


def _last_day(scaled: np.ndarray, known: np.ndarray, rows: _Rows) -> np.ndarray:
    """Mean of the known values of the last day, the step itself among them: what is slow to act."""
    total = np.concatenate([[0.0], np.cumsum(np.where(known, scaled, 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    here = np.arange(len(scaled)) + 1
    first = here - np.minimum(rows.place + 1, rows.per_day)
    return (total[here] - total[first]) / np.maximum(count[here] - count[first], 1)


def _shared(design: Design, panel: Panel, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """The calendar of the grid from the first value to the last step to come, and starts (S,)."""
    if not design.calendar_width:
        return np.zeros((1, 0), np.float32), np.zeros(panel.size, np.int64)
    begin = int(panel.first.min())
    end = int((panel.first + panel.lengths).max()) + horizon
    table = _calendar(panel, np.arange(begin, end), design.zone, design.calendar, design.holidays)
    if table.shape[1] != design.calendar_width:
        raise InputError(
            "the calendar of these data is not the one that the model was trained with",
            code="input/other-frequency",
            value=panel.frequency.alias,
            remedy="Train a model on these data",
        )
    return np.concatenate([table, np.zeros((1, table.shape[1]), np.float32)]), panel.first - begin


def _calendar(
    panel: Panel,
    steps: np.ndarray,
    zone: str | None,
    calendar: bool,
    holidays: tuple[str, ...],
) -> np.ndarray:
    return calendar_features(
        panel.frequency, steps, panel.tz, zone, calendar=calendar, holidays=holidays
    )


def _table(blocks: list[np.ndarray], rows: int) -> np.ndarray:
    """float32 (M+1, K) of the columns' features, the last row zeros."""
    joined = np.concatenate([np.zeros((rows, 0)), *blocks], 1)
    return np.concatenate([joined, np.zeros((1, joined.shape[1]))]).astype(np.float32)


def read_design(plain: dict[str, Any]) -> Design:
    """The design that `dataclasses.asdict` made `plain`. Raises KeyError, TypeError, ValueError."""
    entries = tuple(_read_entry(entry) for entry in plain["entries"])
    design = Design(
        entries,
        int(plain["steps_per_day"]),
        bool(plain["calendar"]),
        tuple(str(place) for place in plain["holidays"]),
        None if plain["zone"] is None else str(plain["zone"]),
        int(plain["calendar_width"]),
    )
    if len({e.name for e in entries}) < len(entries) or design.calendar_width < 0:
        raise ValueError("covariates repeat")
    return design


def _read_entry(plain: dict[str, Any]) -> Entry:
    names = plain["categories"]
    entry = Entry(
        name=str(plain["name"]),
        role=str(plain["role"]),
        centre=float(plain["centre"]),
        scale=float(plain["scale"]),
        categories=None if names is None else tuple(str(name) for name in names),
        flag=bool(plain["flag"]),
        own=bool(plain["own"]),
        smooth=bool(plain["smooth"]),
    )
    measured = math.isfinite(entry.centre) and math.isfinite(entry.scale) and entry.scale > 0
    if entry.role not in (FUTURE, PAST, STATIC) or not measured:
        raise ValueError(f"covariate {entry.name!r}")
    return entry
