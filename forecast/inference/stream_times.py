"""Times of rows that come one by one: text to position on the grid, and back."""

from __future__ import annotations

import re

import numpy as np

from forecast.data.frequency import Frequency
from forecast.data.io.timestamp_writing import format_stamps

BLOCK = 512  # positions whose texts are made together


class Clock:
    """Reads and writes times as the history wrote them; other spellings are read too, more slowly.

    Texts are made in blocks and kept, so that a time costs two look-ups in a table.
    """

    def __init__(self, frequency: Frequency, time_format: str, tz: str | None) -> None:
        self.frequency, self.time_format, self.tz = frequency, time_format, tz
        self._texts: dict[int, str] = {}
        self._positions: dict[str, int] = {}

    def text(self, position: int) -> str:
        """The time at `position` of the grid. Raises OverflowError outside the years 1678-2261."""
        found = self._texts.get(position)
        if found is None:
            self._make(position // BLOCK * BLOCK)
            found = self._texts[position]
        return found

    def position(self, text: str, near: int) -> int:
        """The position that `text` names; near: where it is expected, which makes it quick.

        Raises ValueError where it is no time, or none of the grid.
        """
        found = self._positions.get(text)
        if found is None:
            self.text(near)
            found = self._positions.get(text)
        return self._parsed(text) if found is None else found

    def _make(self, first: int) -> None:
        positions = np.arange(first, first + BLOCK)
        stamps = self.frequency.stamps(positions)
        made = [str(t) for t in format_stamps(stamps, self.time_format, self.tz).to_pylist()]
        if len(self._texts) > 200 * BLOCK:
            self._texts.clear()
            self._positions.clear()
        self._texts.update(zip(positions.tolist(), made, strict=True))
        # An hour that the clock shows twice is the first of the two, as in a file without offsets.
        for at, text in zip(positions.tolist(), made, strict=True):
            self._positions.setdefault(text, at)

    def _parsed(self, text: str) -> int:
        import pyarrow as pa

        from forecast.data.io.timestamps import parse_times

        kind = self.time_format
        unit = (
            "step" if kind == "integer" else kind.partition(":")[2] if kind[:5] == "epoch" else None
        )
        times = parse_times(
            pa.array([text]),
            name="ds",
            unit=unit,
            dayfirst=re.search("%-?d.*%-?m", kind) is not None,
        )
        if times.bad[0] or times.integer != self.frequency.integer:
            raise ValueError(f"{text!r} is not a time such as {self.text(0)!r}")
        if self.tz not in (None, times.tz) and "/" in self.tz:
            raise ValueError(f"{text!r} is not written as the history's times are")
        stamps = times.stamps if times.integer else times.stamps.view("M8[ns]")
        positions, fits = self.frequency.locate(stamps)
        if not fits[0]:
            raise ValueError(
                f"{text!r} lies between two steps of the grid ({self.frequency.alias})"
            )
        return int(positions[0])
