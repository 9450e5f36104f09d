"""Cells and rows that cannot be read, put aside in a file instead of stopping the run."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from forecast.common.errors import OutputError
from forecast.data.io.notes import PLACES, Note, quantity


@dataclass
class Rejects:
    """What was put aside, in the order in which it was found.

    entries  (file, line, column, value, error code); column is "" where the whole row is meant
    """

    entries: list[tuple[str, str, str, str, str]] = field(default_factory=list)

    def add(
        self, where: str, places: Sequence[str], column: str, values: Sequence[str], code: str
    ) -> None:
        """Put cells aside: one place and one value each."""
        for place, value in zip(places, values, strict=True):
            self.entries.append((where, place, column, value, code))

    def note(self, target: str) -> list[Note]:
        """A warning that counts them, or nothing."""
        if not self.entries:
            return []
        places = tuple(f"{e[1]}: {e[4]}" for e in self.entries[:PLACES])
        count = len(self.entries)
        text = f"{quantity(count, 'cell or row', 'cells or rows')} put aside in {target}"
        return [Note("warning/rejected", text, count, places)]

    def write(self, target: str | Path) -> None:
        """Write them as CSV. Raises OutputError."""
        try:
            with open(target, "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(("file", "place", "column", "value", "code"))
                writer.writerows(self.entries)
        except OSError as error:
            raise OutputError(
                f"the rejected rows cannot be written: {error.strerror}",
                code="output/rejects", where=str(target), remedy="Name another --rejects file",
            ) from None  # fmt: skip
