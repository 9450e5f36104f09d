"""Round ticks of axes: values, and times of any step; for terminals and pictures alike."""

from __future__ import annotations

import numpy as np


def round_values(low: float, high: float, most: int) -> np.ndarray:
    """At most `most` multiples of 1, 2 or 5 times a power of ten between `low` and `high`."""
    span = high / 2 - low / 2  # halved, lest it overflow
    if not span > 0:
        return np.array([low])
    power = 10.0 ** np.floor(np.log10(span / most))
    for factor in (1, 2, 5, 10, 20, 50, 100):
        step = power * factor
        first, last = np.ceil(low / step), np.floor(high / step)
        if last - first < most:
            return np.asarray(np.arange(first, last + 1) * step)
    return np.array([low, high])


# What ticks may stand on, from fine to coarse: a unit of time and how many of it; and the
# characters first:last of 2024-04-30T12:00:00 that say it.
_STEPS = (
    *(("s", n, (11, 19)) for n in (1, 5, 15, 30)),
    *(("m", n, (11, 16)) for n in (1, 5, 15, 30)),
    *(("h", n, (5, 16)) for n in (1, 3, 6, 12)),
    *(("D", n, (5, 10)) for n in (1, 2)),
    ("W", 1, (5, 10)),
    ("W", 2, (5, 10)),
    *(("M", n, (0, 7)) for n in (1, 2, 3, 6)),
    *(("Y", n, (0, 4)) for n in (1, 2, 5, 10, 20, 25, 50, 100)),
)


def round_times(times: np.ndarray, most: int) -> tuple[np.ndarray, list[str]]:
    """Where ticks stand, at most `most`, and their labels: the first step of a year, a month, a
    day, whichever is the finest that leaves so few; integers at round ones."""
    if not np.issubdtype(times.dtype, np.datetime64):
        wanted = round_values(float(times[0]), float(times[-1]), most)
        places = np.unique(np.searchsorted(times, wanted))
        return places, [str(int(time)) for time in times[places]]
    stamps = times.astype("datetime64[s]")
    for step in _STEPS:
        unit, number = step[:2]
        count = stamps.astype(f"datetime64[{unit}]").astype(np.int64)
        if unit == "Y":
            count = count + 1970  # years are round as they are written
        begun = np.append(True, np.diff(count // number) > 0)
        begun[0] = count[0] % number == 0 and bool(
            stamps[0] == stamps[0].astype(f"datetime64[{unit}]")
        )
        places = np.flatnonzero(begun)
        if len(places) <= most:
            break
    if not len(places):
        return np.array([0]), [str(stamps[0])[:10]]
    texts = np.datetime_as_string(stamps[places])
    return places, [str(text)[slice(*step[2])].replace("T", " ") for text in texts]
