"""Which of its two moments a local time of the hour that clocks repeat names.

Axes: N rows of all series together.
"""

from __future__ import annotations

import numpy as np


def second_times(
    codes: np.ndarray, stamps: np.ndarray, moments: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """bool (N,): rows that name the second moment of their time; and the rows that do not say.

    codes, stamps int64 (N,): series and local time; moments: the earlier and the later moment of
    each time, different in the repeated hour. A time that a series has twice is told by the order
    of its rows. One that it has once is told by its neighbours: clocks went back within the hour,
    or only one reading keeps the series' step to the rows before and after. So the end of a file
    is read that was written while the hour was repeated.
    """
    early, late = moments
    second = np.zeros(len(codes), bool)
    at = np.flatnonzero(early != late)
    order = at[np.lexsort((at, stamps[at], codes[at]))]
    first = np.ones(len(order), bool)
    first[1:] = (codes[order][1:] != codes[order][:-1]) | (stamps[order][1:] != stamps[order][:-1])
    counts = np.bincount(np.cumsum(first) - 1)[np.cumsum(first) - 1]
    newest_first = len(stamps) > 1 and stamps[0] > stamps[-1]
    second[order] = first if newest_first else ~first
    single = np.unique(codes[order[counts != 2]])
    untold: list[np.ndarray] = []
    if not len(single):
        return second, np.empty(0, np.int64)
    by_series = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[by_series], [single, single + 1])
    for begin, end in ends.T:
        own = by_series[begin:end]
        own = own[::-1] if newest_first else own
        second[own], unclear = _of_series(stamps[own], early[own], late[own])
        untold.append(own[unclear])
    return second, np.sort(np.concatenate(untold))


def _of_series(
    stamps: np.ndarray, early: np.ndarray, late: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """bool (N,) twice: the second moments, and the times that do not say, of one series' rows as
    they come, oldest first."""
    second, unclear = np.zeros(len(stamps), bool), np.zeros(len(stamps), bool)
    twofold = np.concatenate([[False], early != late, [False]])
    begins, ends = (np.flatnonzero(twofold[1:] & ~twofold[:-1]),
                    np.flatnonzero(~twofold[1:] & twofold[:-1]))  # fmt: skip
    steps = np.sort(np.diff(early))
    step = int(steps[(len(steps) - 1) // 2]) if len(steps) else 0
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        back = begin + 1 + np.flatnonzero(np.diff(stamps[begin:end]) <= 0)
        if len(back) == 1:
            second[back[0] : end] = True
        elif len(back) == 0 and _goes_on(early, begin, end, early, step):
            continue
        elif len(back) == 0 and _goes_on(early, begin, end, late, step):
            second[begin:end] = True
        else:
            unclear[begin:end] = True
    return second, unclear


def _goes_on(around: np.ndarray, begin: int, end: int, reading: np.ndarray, step: int) -> bool:
    """Whether rows begin to end, so read, lie a step after the one before and before the next."""
    before = begin == 0 or reading[begin] - around[begin - 1] == step
    after = end == len(around) or around[end] - reading[end - 1] == step
    return bool(before and after and (begin > 0 or end < len(around)))
