"""Has the past changed? Fingerprints of each series' history, compared from run to run.

A fingerprint is the sum (modulo 2**64) of a hash of every value and its grid position, so that it
can be taken of the part that an earlier run saw, for all series at once.
Axes: S series, N observations of all series together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecast.common.segments import positions
from forecast.data.panel import Panel


@dataclass(frozen=True)
class Known:
    """History as an earlier run saw it: by series, its first position, length and fingerprint."""

    ids: list[str]
    first: np.ndarray
    length: np.ndarray
    fingerprint: np.ndarray


@dataclass(frozen=True)
class Changes:
    """Which series changed since then; `moved` start later, so that their past is not comparable.

    restated and moved are positions in the panel; the others are ids. share: of all series that
    were or are there, those that are new or gone.
    """

    new: tuple[str, ...]
    gone: tuple[str, ...]
    shorter: tuple[str, ...]
    restated: np.ndarray
    moved: np.ndarray
    share: float


_NONE = np.empty(0, np.int64)
NOTHING = Changes((), (), (), _NONE, _NONE, 0.0)


def fingerprints(panel: Panel, start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """uint64 (S,): of each series' values at grid positions start[s] to start[s] + length[s]."""
    within = positions(panel.offsets)
    counts = panel.lengths
    place = within + np.repeat(panel.first, counts)
    inside = (place >= np.repeat(start, counts)) & (place < np.repeat(start + length, counts))
    values = np.where(panel.values == 0, 0.0, panel.values)  # -0.0 equals 0.0
    bits = np.where(np.isnan(values), np.nan, values).view(np.uint64)
    with np.errstate(over="ignore"):
        mixed = _mixed(bits ^ _mixed(place.astype(np.uint64)))
    mixed[~inside] = 0
    total = np.zeros(panel.size, np.uint64)
    filled = counts > 0
    if filled.any():
        total[filled] = np.add.reduceat(mixed, panel.offsets[:-1][filled])
    return total


def compare(panel: Panel, known: Known) -> Changes:
    """What is different from what an earlier run saw; nothing where there was none."""
    if not known.ids:
        return NOTHING
    here = {name: at for at, name in enumerate(panel.ids.tolist())}
    there = set(known.ids)
    new = tuple(name for name in panel.ids.tolist() if name not in there)
    gone = tuple(name for name in known.ids if name not in here)
    both = [(here[name], k) for k, name in enumerate(known.ids) if name in here]
    share = (len(new) + len(gone)) / max(1, len(there | set(here)))
    if not both:
        return Changes(new, gone, (), _NONE, _NONE, share)
    at, before = (np.array(part, np.int64) for part in zip(*both, strict=True))
    first, length = known.first[before], known.length[before]
    now_first, now_end = panel.first[at], (panel.first + panel.lengths)[at]
    moved = now_first > first
    shorter = now_end < first + length
    start, count = np.zeros(panel.size, np.int64), np.zeros(panel.size, np.int64)
    start[at], count[at] = first, length
    same = fingerprints(panel, start, count)[at] == known.fingerprint[before]
    return Changes(
        new,
        gone,
        tuple(panel.ids[at[shorter]].tolist()),
        at[~same & ~moved & ~shorter],
        at[moved],
        share,
    )


def _mixed(words: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser (Steele, Lea & Flood 2014): every bit of a word affects all."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
