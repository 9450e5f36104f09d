"""A hierarchy of series: its levels, who is summed into whom, and the panel that holds them all.

Axes: B bottom series, R nodes (aggregates and bottom series, in the panel's order), T steps from
the earliest beginning to the common end, M rows of covariates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.common.errors import InputError, UsageError
from forecast.common.segments import positions, sum_by_series
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.open_steps import closed_at
from forecast.data.panel import STATIC, Covariate, Covariates, Panel

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

TOTAL, BOTTOM = "total", "series"  # names of the top level, and of series below all columns
MOST_MISSING = 0.2  # share of an aggregate's usual size that may be filled in before it is masked
AGREES = 1e-6  # relative difference between a given parent and the sum of its children
SURE = 5.0  # standard deviations beyond which rounding does not go
UNITS = tuple(10.0**n for n in range(9, -7, -1))  # in which figures are written
Factors = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Hierarchy:
    """Who is summed into whom.

    levels   names, the total first, the bottom series last
    level    int64 (R,): the level of each node
    summing  sparse (R, B) of zeros and ones: node = summing @ bottom
    bottom   int64 (B,): the node that each bottom series is
    """

    levels: tuple[str, ...]
    level: np.ndarray
    summing: csr_matrix
    bottom: np.ndarray

    @property
    def size(self) -> int:
        """R, the number of nodes."""
        return len(self.level)

    @property
    def whole(self) -> int:
        """The node that sums most: the total."""
        return int(np.argmax(np.asarray(self.summing.sum(axis=1)).ravel()))

    def names(self) -> np.ndarray:
        """object (R,): the name of each node's level."""
        return np.array(self.levels, dtype=object)[self.level]

    def part(self, kept: np.ndarray) -> Hierarchy:
        """The hierarchy of the nodes `kept`, bool (R,): a bottom series that is not among them is
        in no sum any more, and neither is an aggregate of none but such."""
        inside = kept[self.bottom]
        summing = self.summing[:, inside]
        rows = kept & (np.asarray(summing.sum(axis=1)).ravel() > 0)
        place = np.cumsum(rows) - 1
        return Hierarchy(self.levels, self.level[rows], summing[rows], place[self.bottom[inside]])

    def rows_kept(self, kept: np.ndarray) -> np.ndarray:
        """bool (R,): the nodes that `part(kept)` has."""
        inside = kept[self.bottom]
        return kept & (np.asarray(self.summing[:, inside].sum(axis=1)).ravel() > 0)


def parse_hierarchy(text: str) -> Factors:
    """Columns of "purpose,state/region": a comma crosses, a slash nests. Raises UsageError."""
    factors = tuple(tuple(c.strip() for c in part.split("/")) for part in text.split(","))
    columns = [column for factor in factors for column in factor]
    if not all(columns) or len(set(columns)) < len(columns):
        raise UsageError(
            "a hierarchy names each of its columns once",
            code="usage/hierarchy",
            where="--hierarchy",
            value=text,
            remedy="For example: --hierarchy state/region (nested) or purpose,state/region",
        )
    return factors


def columns_of(factors: Factors) -> list[str]:
    """All columns of a hierarchy, as written."""
    return [column for factor in factors for column in factor]


def levels_of(factors: Factors) -> list[tuple[str, ...]]:
    """The columns of every level, the total (none) first: all products of the factors' prefixes."""
    prefixes = [[factor[:n] for n in range(len(factor) + 1)] for factor in factors]
    made = [tuple(c for part in parts for c in part) for parts in product(*prefixes)]
    return sorted(made, key=len)


def level_name(level: Sequence[str], factors: Factors) -> str:
    """ "total", "state/region", "purpose x state"."""
    parts = ("/".join(c for c in factor if c in level) for factor in factors)
    return " x ".join(part for part in parts if part) or TOTAL


@dataclass(frozen=True)
class Labels:
    """The columns of a hierarchy: column -> object (S,) text of each series, "" where blank."""

    factors: Factors
    of: dict[str, np.ndarray]


def labels_from(panel: Panel, factors: Factors) -> Labels:
    """The hierarchy's columns among the panel's static covariates. Raises InputError without."""
    columns = panel.covariates.of(STATIC) if panel.covariates else ()
    given = {c.name.lower(): c for c in columns}
    found = {}
    for column in columns_of(factors):
        here = given.get(column.lower())
        if here is None:
            known = ", ".join(c.name for c in columns) or "none"
            raise InputError(
                f"there is no column '{column}' that says where a series belongs",
                code="input/hierarchy-column",
                where="--hierarchy",
                value=column,
                remedy=f"Name a column of the data or of --static; of each series: {known}",
            )
        found[column] = _texts(here)
    return Labels(factors, found)


def _texts(column: Covariate) -> np.ndarray:
    texts = np.full(len(column.values), "", dtype=object)
    for s, value in enumerate(column.values):
        if np.isfinite(value):
            names = column.categories
            texts[s] = f"{value:g}" if names is None else names[int(value)]
    return texts


@dataclass(frozen=True)
class Tree:
    """The nodes before they stand in the order of the panel: ids, levels and members of each."""

    ids: list[str]
    level: list[int]
    members: list[np.ndarray]
    levels: tuple[str, ...]


def tree_of(ids: np.ndarray, labels: Labels, parents: dict[tuple[str, ...], str]) -> Tree:
    """The aggregates of the series `ids` (B,) by their labels, and the series themselves.

    parents: the id of an aggregate that the data have, by its place ("" for all of a column).
    A level that is the same as one below it (each node has one member alone) is left out.
    """
    columns = columns_of(labels.factors)
    taken = set(ids.tolist())
    made = Tree([], [], [], ())
    names: list[str] = []
    for level in levels_of(labels.factors):
        groups = _groups(labels, level, len(ids))
        if level and all(len(rows) == 1 for rows in groups.values()):
            continue  # these are the series themselves
        for key, rows in groups.items():
            place = dict(zip(level, key, strict=True))
            whole = tuple(place.get(column, "") for column in columns)
            made.ids.append(_free(parents.get(whole) or _written(place), taken))
            made.level.append(len(names))
            made.members.append(rows)
        names.append(level_name(level, labels.factors))
    alone = level_name(columns, labels.factors)
    names.append(BOTTOM if alone in names else alone)
    for row, name in enumerate(ids.tolist()):
        made.ids.append(name)
        made.level.append(len(names) - 1)
        made.members.append(np.array([row]))
    return replace(made, levels=tuple(names))


def _groups(labels: Labels, level: tuple[str, ...], size: int) -> dict[tuple[str, ...], np.ndarray]:
    """Rows of each combination of labels at one level, in order of the labels."""
    if not level:
        return {(): np.arange(size)}
    keys: dict[tuple[str, ...], list[int]] = {}
    for row, key in enumerate(zip(*(labels.of[column].tolist() for column in level), strict=True)):
        keys.setdefault(key, []).append(row)
    return {key: np.array(keys[key]) for key in sorted(keys)}


def _written(place: dict[str, str]) -> str:
    """The id of an aggregate: "state=NSW, purpose=Holiday"."""
    return ", ".join(f"{column}={text}" for column, text in place.items()) or TOTAL


def _free(name: str, taken: set[str]) -> str:
    """`name`, or with "(sum)" behind it as often as it takes to be no other series' id."""
    while name in taken:
        name += " (sum)"
    taken.add(name)
    return name


def split_parents(panel: Panel, labels: Labels) -> tuple[np.ndarray, dict[tuple[str, ...], int]]:
    """bool (S,), the bottom series; and the series that are sums of others, by their place.

    A series is a sum where a column is blank: of its factor's columns those after it must be too.
    Raises InputError where they are not, or two series stand in one place.
    """
    columns = columns_of(labels.factors)
    table = np.stack([labels.of[column] for column in columns], axis=1)  # (S, columns)
    bottom = (table != "").all(axis=1)
    parents: dict[tuple[str, ...], int] = {}
    for s in np.flatnonzero(~bottom).tolist():
        place = tuple(str(text) for text in table[s])
        by_column = dict(zip(columns, place, strict=True))
        for factor in labels.factors:
            filled = [bool(by_column[column]) for column in factor]
            if filled != sorted(filled, reverse=True):
                raise _misplaced(panel, s, "has a blank above a name", place)
        if place in parents:
            raise _misplaced(panel, s, f"stands where '{panel.ids[parents[place]]}' does", place)
        parents[place] = s
    if not bottom.any():
        raise InputError(
            "no series has all columns of the hierarchy",
            code="input/hierarchy-blank",
            where="--hierarchy",
            value=", ".join(columns),
            remedy="Fill the columns; blank means: the sum of all that it has below it",
        )
    return bottom, parents


def _misplaced(panel: Panel, s: int, why: str, place: tuple[str, ...]) -> InputError:
    return InputError(
        f"series '{panel.ids[s]}' {why} in the hierarchy",
        code="input/hierarchy-place",
        where="--hierarchy",
        value=" / ".join(text or "(blank)" for text in place),
        remedy="Fill the columns of each series; blank means: the sum of all that it has below it",
    )


@dataclass(frozen=True)
class Aggregated:
    """A panel of all nodes, their hierarchy, what was found and done (one sentence each), and
    series that ended long before the others: in the past of their sums, but not forecast."""

    panel: Panel
    hierarchy: Hierarchy
    notes: tuple[str, ...]
    ended: tuple[str, ...]


def aggregate(
    panel: Panel, labels: Labels, season: int, *, ignore_parents: bool = False
) -> Aggregated:
    """The panel with the sums of every level beside its series, all of which end together.

    A series counts for nothing before it begins. One that ends up to a season (three steps at the
    least) before the others is late: its last steps are missing. One that ended earlier is over: it
    counts for nothing from there on, and is not forecast. Where a series has a gap or is late, its
    sums take it as the line between its neighbours, or as a season ago; they are masked where more
    than MOST_MISSING of them would be such. Raises InputError (a given parent that disagrees).
    """
    bottom, parents = split_parents(panel, labels)
    rows = np.flatnonzero(bottom)
    below = panel.select(rows)
    own = {column: texts[rows] for column, texts in labels.of.items()}
    tree = tree_of(
        below.ids,
        replace(labels, of=own),
        {place: str(panel.ids[s]) for place, s in parents.items()},
    )
    grid = _Grid(below, season)
    values = grid.sums(tree)
    rounded = 0.0
    if parents and not ignore_parents:
        rounded = _check_parents(panel, parents, tree, values, grid)
    made, hierarchy = _assemble(below, tree, values, grid)
    used = {str(panel.ids[s]) for s in parents.values()} - set(tree.ids)
    notes = grid.notes()
    if rounded:
        notes += (
            f"given sums differ by up to {rounded:.6g} from those of the series below, as rounded "
            "figures do: the series below count",
        )
    if used:
        notes += (f"{len(used)} given sums belong to no series and are left out",)
    return Aggregated(made, hierarchy, notes, tuple(below.ids[grid.over].tolist()))


class _Grid:
    """The bottom series on the steps from the earliest beginning to the common end.

    known (B, T) values, NaN where missing or outside; filled (B, T): what stands for them in sums,
    zero outside; usual (B,) mean size.
    """

    def __init__(self, panel: Panel, season: int) -> None:
        self.panel, self.start = panel, int(panel.first.min())
        ends = panel.first + panel.lengths
        self.steps = int(ends.max()) - self.start
        lacking = int(ends.max()) - ends
        self.over = lacking > max(season, 3)
        self.late = (lacking > 0) & ~self.over
        self.new = panel.first > self.start
        self.known = np.full((panel.size, self.steps), np.nan)
        series = np.repeat(np.arange(panel.size), panel.lengths)
        at = panel.first[series] - self.start + positions(panel.offsets)
        self.known[series, at] = panel.values
        count = np.maximum(sum_by_series(np.isfinite(panel.values) * 1.0, panel.offsets), 1)
        self.closed = closed_at(panel, self.start + np.arange(self.steps))
        self.usual = sum_by_series(np.abs(np.nan_to_num(panel.values)), panel.offsets) / count
        self.inside = self._inside()
        self.filled = self._filled(season)

    def _inside(self) -> np.ndarray:
        """bool (B, T): from a series' beginning to its end, or to the common one if it is late."""
        at = np.arange(self.steps)
        begin = (self.panel.first - self.start)[:, None]
        end = np.where(self.over, begin[:, 0] + self.panel.lengths, self.steps)[:, None]
        inside = (at >= begin) & (at < end)
        if self.panel.shut is not None:  # nothing is missing where nothing ever is
            inside &= ~self.panel.shut[:, (self.start + at) % self.panel.shut.shape[1]]
        return inside & ~self.closed

    def _filled(self, season: int) -> np.ndarray:
        values = np.where(self.inside, self.known, 0.0)
        for s in np.flatnonzero(np.isnan(values).any(axis=1)).tolist():
            row = values[s]
            there = np.flatnonzero(np.isfinite(self.known[s]))
            gaps = np.flatnonzero(np.isnan(row))
            if not len(there):
                row[gaps] = 0.0
                continue
            row[gaps] = np.interp(gaps, there, row[there])
            for t in gaps[gaps > there[-1]].tolist():  # late: as a season ago, where there is one
                row[t] = row[t - season] if t - season >= there[0] else row[there[-1]]
        return values

    def sums(self, tree: Tree) -> np.ndarray:
        """float64 (R, T): each node of the tree; NaN where too much of it is missing."""
        matrix = _matrix(tree.members, self.panel.size)
        total = matrix @ self.filled
        lacking = self.inside & np.isnan(self.known)
        if lacking.any():
            size = matrix @ (self.inside * self.usual[:, None])
            share = matrix @ (lacking * self.usual[:, None])
            total[share > MOST_MISSING * np.maximum(size, 1e-300)] = np.nan
        shut = self.shut(matrix)
        if shut is not None:
            total[shut[:, (self.start + np.arange(self.steps)) % shut.shape[1]]] = np.nan
        alone = np.array([len(rows) for rows in tree.members]) == 1
        only = np.array([rows[0] for rows in tree.members])
        own = np.where(self.inside, self.known, 0.0)[only[alone]]
        if shut is not None:
            own[np.isnan(total[alone]) & ~self.inside[only[alone]]] = np.nan
        total[alone] = own
        total[:, self.closed] = np.nan
        return total

    def shut(self, matrix: Any) -> np.ndarray | None:
        """bool (R, K): slots of the week on which all series of a node are shut; None without."""
        if self.panel.shut is None:
            return None
        open_ = np.broadcast_to(~self.panel.shut, (self.panel.size, self.panel.shut.shape[1]))
        return np.asarray(matrix @ open_.astype(float) == 0)

    def notes(self) -> tuple[str, ...]:
        """What was found, one sentence each."""
        gaps = (self.inside & np.isnan(self.known)).any(axis=1) & ~self.late
        told = (
            (self.new, "begin later than the others and count for nothing before"),
            (self.over, "ended long before the others: left out of the forecast, not of the past"),
            (self.late, "end a little before the others: their last steps are taken as missing"),
            (gaps, "have gaps, which their sums bridge"),
        )
        return tuple(f"{int(rows.sum())} series {what}" for rows, what in told if rows.any())


def _matrix(members: Sequence[np.ndarray], size: int) -> Any:
    from scipy.sparse import csr_matrix

    counts = [len(rows) for rows in members]
    return csr_matrix(
        (np.ones(sum(counts)), np.concatenate(members), np.concatenate([[0], np.cumsum(counts)])),
        shape=(len(members), size),
    )


def _check_parents(
    panel: Panel,
    parents: dict[tuple[str, ...], int],
    tree: Tree,
    values: np.ndarray,
    grid: _Grid,
) -> float:
    """By how much given parents differ at most from the sums of their children, all of them known.
    Raises InputError where that is more than the rounding of the figures may make."""
    furthest = 0.0
    node_of = {name: node for node, name in enumerate(tree.ids)}
    matrix = _matrix(tree.members, grid.panel.size)
    lacking = (matrix @ (grid.inside & np.isnan(grid.known)).astype(float)) > 0
    for s in parents.values():
        node = node_of.get(str(panel.ids[s]))
        if node is None:
            continue
        given = panel.series(s)
        at = int(panel.first[s]) - grid.start + np.arange(len(given))
        inside = (at >= 0) & (at < grid.steps)
        given, at = given[inside], at[inside]
        gap = given - values[node, at]
        gap = np.where(lacking[node, at], np.nan, gap)
        differs = np.abs(gap) > AGREES * np.maximum(1.0, np.abs(given))
        if not differs.any():
            continue
        most, mean = _rounding(given, grid, tree.members[node])
        one_sided = abs(np.nan_to_num(gap).mean()) > mean
        wrong = differs & (one_sided | (np.abs(gap) > (1 + AGREES) * most))
        if wrong.any():
            first = int(np.argmax(wrong))
            stamp = panel.frequency.stamps(np.array([grid.start + at[first]]))
            when = format_stamps(stamp, panel.time_format, panel.tz).to_pylist()[0]
            raise InputError(
                f"'{panel.ids[s]}' is not the sum of the series below it: at {when} it is "
                f"{given[first]:.10g}, and they make {values[node, at[first]]:.10g}, a "
                f"difference of {gap[first]:.10g} ({int(wrong.sum()):,} steps in all)",
                code="input/parent-disagrees",
                where="--hierarchy",
                value=str(panel.ids[s]),
                remedy="Correct the data (what is no sum has no blank in the hierarchy's columns), "
                "or go by the series below it with --set data.ignore_parents=true",
            )
        furthest = max(furthest, float(np.abs(gap[differs]).max(initial=0.0)))
    return furthest


def _rounding(given: np.ndarray, grid: _Grid, members: np.ndarray) -> tuple[float, float]:
    """What the sum of `members`, each rounded as it is written, may lack to the rounded `given` at
    a step, and on average: the errors of rounding have no side, one that is left out has. A sum
    that is written finer than they are was not made of rounded ones."""
    unit, count = _unit(given), len(members)
    each = min(unit, _unit(grid.known[members]))
    usual = np.sqrt((unit**2 + count * each**2) / 12)  # standard deviation of that many uniform
    most = min((unit + count * each) / 2, SURE * usual)
    return most, SURE * usual / np.sqrt(len(given))


def _unit(values: np.ndarray) -> float:
    """The place to which all figures are rounded: 0.01, 1, 1000; 0 where none is to be seen."""
    known = values[np.isfinite(values) & (values != 0)]
    if not len(known):
        return 0.0
    for unit in UNITS:
        written = known / unit
        nearest = np.rint(written)
        if (nearest != 0).all() and (np.abs(written - nearest) <= AGREES).all():
            return unit
    return 0.0


def _assemble(below: Panel, tree: Tree, values: np.ndarray, grid: _Grid) -> tuple[Panel, Hierarchy]:
    """The panel of all nodes that are forecast, sorted by id, and their hierarchy."""
    gone = set(below.ids[grid.over].tolist())
    alive = np.array([len(rows) > 1 or not grid.over[rows[0]] for rows in tree.members])
    named = np.array([name not in gone for name in tree.ids])
    kept = [node for node in range(len(tree.ids)) if alive[node] and named[node]]
    order = sorted(kept, key=lambda node: tree.ids[node])
    first, parts = [], []
    for node in order:
        begin = min(int(below.first[row]) for row in tree.members[node]) - grid.start
        parts.append(values[node, begin:])
        first.append(grid.start + begin)
    ids = np.empty(len(order), dtype=object)
    ids[:] = [tree.ids[node] for node in order]
    live = np.flatnonzero(~grid.over)
    matrix = _matrix([tree.members[node] for node in order], below.size)
    last = len(tree.levels) - 1
    level = np.array([tree.level[node] for node in order])
    node_of = {tree.ids[node]: place for place, node in enumerate(order)}
    bottom = np.array([node_of[name] for name in below.ids[live].tolist()])
    assert (level[bottom] == last).all()
    panel = replace(
        below,
        ids=ids,
        offsets=np.concatenate([[0], np.cumsum([len(part) for part in parts])]),
        values=np.concatenate(parts),
        first=np.array(first, dtype=np.int64),
        covariates=_covariates(below, matrix, np.array(first)),
        shut=grid.shut(matrix),
    )
    return panel, Hierarchy(tree.levels, level, matrix[:, live], bottom)


def _covariates(below: Panel, matrix: Any, first: np.ndarray) -> Covariates | None:
    """Covariates of every node (R,), which begins at grid position `first` (R,): numbers are the
    mean over its members, names what all of them agree on."""
    given = below.covariates
    if given is None or not given.columns:
        return None
    ends = below.first + np.diff(given.offsets)
    start = int(below.first.min())
    width = int(ends.max()) - start
    series = np.repeat(np.arange(below.size), np.diff(given.offsets))
    at = below.first[series] - start + positions(given.offsets)
    last = np.array([int(ends[matrix[r].indices].max()) for r in range(matrix.shape[0])])
    lengths = last - first
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    columns = []
    for column in given.columns:
        if column.role == STATIC:
            values = _mean(matrix, column.values[:, None], column.categories is not None)[:, 0]
        else:
            dense = np.full((below.size, width), np.nan)
            dense[series, at] = column.values
            mean = _mean(matrix, dense, column.categories is not None)
            spans = zip(mean, first - start, lengths, strict=True)
            values = np.concatenate([row[a : a + n] for row, a, n in spans])
        columns.append(replace(column, values=values))
    return Covariates(offsets, tuple(columns))


def _mean(matrix: Any, values: np.ndarray, names: bool) -> np.ndarray:
    """(R, T) means of what is known of (B, T); of names (codes) the one that all have, else NaN."""
    known = np.isfinite(values)
    count = matrix @ known.astype(float)
    mean = np.divide(
        matrix @ np.nan_to_num(values), count, out=np.full(count.shape, np.nan), where=count > 0
    )
    if names:
        square = matrix @ np.nan_to_num(values) ** 2
        spread = np.divide(square, count, out=np.zeros(count.shape), where=count > 0) - mean**2
        mean = np.where(np.abs(spread) < 1e-9, np.round(mean), np.nan)
    return mean
