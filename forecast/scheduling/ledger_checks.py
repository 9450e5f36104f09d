"""Is the ledger's content what was written? Looked at before anything is read from it.

SQLite keeps its pages together but not what stands in them: a flipped bit makes a number a text, a
length negative, a date no date. The ledger is made of the run folders, so that a damaged one is
made anew (recovery.py); what matters is that damage is noticed, and where.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from forecast.common.documents import BadDocument, check_schema
from forecast.common.errors import OutputError
from forecast.models.manifest import LONGEST_HORIZON, LONGEST_SEASON, Level

WHOLE = 256 * 2**20  # bytes of a ledger whose every row and page is looked at
COLUMNS = {
    "meta": ("key", "value"),
    "runs": (
        "id", "run", "sequence", "cutoff", "cutoff_time", "created", "model", "horizon", "season",
        "levels",
    ),
    "series": ("id", "unique_id", "first", "length", "fingerprint"),
    "scores": ("run", "step", "count", "absolute", "scaled", "scaled_count", "inside"),
    "deliveries": ("run", "target", "at"),
    "forecasts": ("run", "part", "size", "series", "source", "scale", "point", "quantiles"),
    "moments": ("id", "at"),
    "actuals": ("position", "series", "value", "revision", "seen"),
    "restated": ("position", "series", "revision", "value", "seen"),
    "points": ("run", "point"),
}  # fmt: skip
_NAMED = "length({0}) BETWEEN 1 AND 250 AND {0} NOT GLOB '*[^A-Za-z0-9_.+-]*'"
_FAR = 2**62
# Of each table, what holds of every row. A name that begins with a type is that column's type.
RULES: Mapping[str, tuple[str, ...]] = {
    "runs": (
        "typeof(run) = 'text' AND " + _NAMED.format("run"),
        "typeof(sequence) = 'integer' AND sequence >= 1",
        f"typeof(cutoff) = 'integer' AND cutoff BETWEEN -{_FAR} AND {_FAR}",
        "typeof(cutoff_time) = 'text'",
        "typeof(created) = 'text' AND created GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*'",
        "typeof(model) = 'text' AND " + _NAMED.format("model"),
        f"typeof(horizon) = 'integer' AND horizon BETWEEN 1 AND {LONGEST_HORIZON}",
        f"typeof(season) = 'integer' AND season BETWEEN 1 AND {LONGEST_SEASON}",
        "typeof(levels) = 'text'",
    ),
    "series": (
        "typeof(unique_id) = 'text'",
        "typeof(first) IN ('integer', 'null')",
        "(typeof(first) = 'null') = (typeof(length) = 'null')",
        f"length IS NULL OR (typeof(length) = 'integer' AND length BETWEEN 0 AND {2**40})",
        f"first IS NULL OR first BETWEEN -{_FAR} AND {_FAR}",
        "(length IS NULL) = (typeof(fingerprint) = 'null')",
        "typeof(fingerprint) IN ('integer', 'null')",
    ),
    "scores": (
        f"typeof(step) = 'integer' AND step BETWEEN 1 AND {LONGEST_HORIZON}",
        "typeof(count) = 'integer' AND count >= 1",
        "typeof(absolute) = 'real' AND absolute >= 0",
        "typeof(scaled) = 'real' AND scaled >= 0",
        "typeof(scaled_count) = 'integer' AND scaled_count BETWEEN 0 AND count",
        """typeof(inside) = 'text' AND inside GLOB '{*}' AND inside NOT GLOB '*[^0-9 ,.:"{}]*'
           AND inside NOT GLOB '{*{*' AND json_valid(inside)""",
    ),
    "deliveries": ("typeof(run) = 'text'", "typeof(target) = 'text'", "typeof(at) = 'text'"),
    "forecasts": (
        "typeof(size) = 'integer' AND size BETWEEN 1 AND 4000000",
        "typeof(series) = 'blob' AND typeof(source) = 'blob' AND typeof(scale) = 'blob'",
        "typeof(point) = 'blob' AND typeof(quantiles) = 'blob'",
    ),
    "moments": ("typeof(at) = 'text'",),
    "actuals": (
        f"typeof(position) = 'integer' AND position BETWEEN -{_FAR} AND {_FAR}",
        "typeof(value) IN ('real', 'integer', 'null')",
        "typeof(revision) = 'integer' AND revision >= 0",
    ),
    "points": ("typeof(point) = 'text' AND (point = 'mean' OR point + 0 BETWEEN 1e-9 AND 1)",),
    "restated": ("typeof(value) IN ('real', 'integer', 'null')", "typeof(revision) = 'integer'"),
}
LARGE = ("forecasts", "actuals", "restated")
_LEVELS = TypeAdapter(Annotated[list[Level], Field(min_length=1, max_length=199)])


def check_ledger(connection: sqlite3.Connection, path: Path) -> None:
    """Raises OutputError (ledger/damaged), naming table and column, where the content is not what
    a ledger holds. Of one larger than WHOLE only the small tables are looked at."""
    _check_columns(connection, path)
    whole = path.stat().st_size <= WHOLE
    for table, rules in RULES.items():
        if table not in LARGE or whole:
            _check_rows(connection, path, table, rules)
    for (text,) in connection.execute("SELECT DISTINCT levels FROM runs"):
        levels_of(text, path)
    if whole:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise damaged(path, str(found))
        if row := connection.execute("PRAGMA foreign_key_check").fetchone():
            raise damaged(path, f"a row of {row[0]} belongs to no row of {row[2]}")


def levels_of(text: str, path: Path) -> list[float]:
    """The quantile levels of a run, as `runs.levels` holds them. Raises OutputError."""
    try:
        return check_schema(_LEVELS, json.loads(text))
    except (BadDocument, ValueError, TypeError, RecursionError) as error:
        raise damaged(path, f"runs.levels {error}") from error


def check_shares(inside: Iterable[Mapping[str, int]], path: Path) -> None:
    """Raises OutputError where the counts of `scores.inside` are none."""
    inside = list(inside)
    for level in set(chain.from_iterable(inside)):
        if level.count(".") > 1 or not 0 < float(level) < 100:
            raise damaged(path, f"scores.inside: {level} is no level in per cent")
    if not all(type(n) is int for each in inside for n in each.values()):
        raise damaged(path, "scores.inside holds what is no count")


def damaged(path: Path, what: str) -> OutputError:
    """The error of a ledger whose content cannot be trusted."""
    return OutputError(
        f"the ledger: {what}",
        code="ledger/damaged",
        where=str(path),
        remedy="The next run makes a new one from the run folders",
    )


def _check_columns(connection: sqlite3.Connection, path: Path) -> None:
    for table, wanted in COLUMNS.items():
        found = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        if missing := [name for name in wanted if name not in found]:
            what = f"column {table}.{missing[0]}" if found else f"table {table}"
            raise damaged(path, f"its {what} is missing")


def _check_rows(
    connection: sqlite3.Connection, path: Path, table: str, rules: tuple[str, ...]
) -> None:
    """One pass for all rules of a table; another to say which, where one is broken."""
    together = " AND ".join(f"coalesce({rule}, 0)" for rule in rules)
    if connection.execute(f"SELECT 1 FROM {table} WHERE NOT ({together}) LIMIT 1").fetchone():
        for rule in rules:
            wrong = f"SELECT 1 FROM {table} WHERE NOT coalesce({rule}, 0) LIMIT 1"
            if connection.execute(wrong).fetchone():
                raise damaged(path, f"a row of {table} breaks the rule: {rule}")
