"""`LoadReport`: what the loader understood, changed and noticed, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecast.data.io.notes import Note


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
