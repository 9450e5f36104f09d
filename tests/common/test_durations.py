"""Lengths of time are written one way everywhere."""

from __future__ import annotations

import pytest

from forecast.common.durations import duration

DAY = 86_400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-0.2, "0s"), (0.2, "0s"), (59.4, "59s"), (59.6, "1m 00s"), (200, "3m 20s"), (7500, "2h 05m"),
     (47 * 3600, "47h 00m"), (50 * 3600, "2d 2h"), (729 * DAY, "729d"), (66.2 * 365.25 * DAY,
     "66 years"), (-7500, "-2h 05m")],
)  # fmt: skip
def test_a_duration_is_said_as_a_person_would(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.031, "<0.1s"), (0.07, "0.1s"), (4.21, "4.2s"), (26.4, "26s"), (311, "5m 11s")],
)
def test_short_times_are_told_to_a_tenth_where_that_is_asked(seconds, text):
    assert duration(seconds, tenths_below=10) == text
