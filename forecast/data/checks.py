"""What deserves a look in a panel that is formally right: warnings, and a picture of its gaps."""

from __future__ import annotations

import time
import unicodedata
from collections import Counter
from collections.abc import Iterable

import numpy as np

from forecast.common.segments import evenly, positions
from forecast.data.io.notes import PLACES, Note, quantity
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.io.vocabulary import TOTAL_WORDS
from forecast.data.open_steps import always_open, is_open, slots
from forecast.data.panel import Panel

SENTINELS = (-999.0, -9999.0, -99999.0, -999.9, 999.0, 9999.0, 99999.0)
PARTS = 60  # columns of the gap picture
MOST_NAMES = 100_000  # series whose names are looked at
ROUNDING = 0.005  # of a sum, by which the values that it was made of may be off
SAMPLE = 5_000_000  # steps that it is drawn from


def notice(panel: Panel) -> tuple[list[Note], np.ndarray, np.ndarray]:
    """Warnings, and the positions of series that ended early and of constant ones."""
    notes: list[Note] = []
    ended, note = _ended_early(panel)
    notes += note
    constant, note = _constant(panel)
    notes += note
    notes += _sentinels(panel) + _outliers(panel) + _future(panel) + _twins(panel.ids)
    notes += _sums(panel)
    return notes, ended, constant


def _names(panel: Panel, series: np.ndarray) -> tuple[str, ...]:
    return tuple(str(i) for i in panel.ids[series[:PLACES]])


def _ended_early(panel: Panel) -> tuple[np.ndarray, list[Note]]:
    last = panel.first + panel.lengths - 1
    ended = np.flatnonzero(last < last.max())
    if len(ended) and (
        panel.shut is not None or panel.closed
    ):  # an office that ends on Friday ends with Sunday
        span = np.arange(1, slots(panel.frequency) + 1)
        at = np.minimum(last[ended, None] + span, last.max())
        later = is_open(panel, np.broadcast_to(ended[:, None], at.shape), at)
        ended = ended[(later & (at > last[ended, None])).any(1)]
    if len(ended) == 0 or panel.frequency.integer:
        return ended if not panel.frequency.integer else ended[:0], []
    text = f"{quantity(len(ended), 'series', 'series')} end before the latest one does"
    return ended, [Note("warning/ended-early", text, len(ended), _names(panel, ended))]


def _constant(panel: Panel) -> tuple[np.ndarray, list[Note]]:
    starts = panel.offsets[:-1]
    low = np.fmin.reduceat(panel.values, starts)
    high = np.fmax.reduceat(panel.values, starts)
    constant = np.flatnonzero((low == high) & (panel.lengths > 1))
    if len(constant) == 0:
        return constant, []
    text = f"{quantity(len(constant), 'series never changes', 'series never change')}"
    return constant, [Note("warning/constant", text, len(constant), _names(panel, constant))]


def _sentinels(panel: Panel) -> list[Note]:
    """Values such as -9999 that stand apart from all others: probably "missing"."""
    notes = []
    rest = panel.values
    while len(rest):
        low, high = np.fmin.reduce(rest), np.fmax.reduce(rest)
        mark = next((v for v in (low, high) if v in SENTINELS), None)
        if mark is None:
            break
        rest = rest[rest != mark]
        low, high = np.fmin.reduce(rest, initial=np.inf), np.fmax.reduce(rest, initial=-np.inf)
        apart = low - mark > high - low if mark < 0 else mark - high > high - low
        if not np.isfinite(low) or not apart:
            break
        at = np.flatnonzero(panel.values == mark)
        text = f"the value {mark:g} may mean missing; --drop-value={mark:g} treats it so"
        notes.append(Note("warning/sentinel", text, len(at), _where(panel, at)))
    return notes


def _outliers(panel: Panel) -> list[Note]:
    """Values a million times beyond the largest of nearly all others that are not zero."""
    sample = panel.values[np.isfinite(panel.values) & (panel.values != 0)]
    known = np.abs(sample[:: max(1, len(sample) // 100_000)])
    if len(known) < 3:
        return []
    usual = np.quantile(known, 0.95, method="lower")
    bound = max(float(usual), 1e-12) * 1e6
    at = np.flatnonzero((panel.values > bound) | (panel.values < -bound))
    if len(at) == 0:
        return []
    text = f"{quantity(len(at), 'value')} beyond {bound:.0e}, far from all others"
    return [Note("warning/outlier", text, len(at), _where(panel, at))]


def _where(panel: Panel, at: np.ndarray) -> tuple[str, ...]:
    """`A at 2020-01-31` for the first places in the flat values."""
    series = np.searchsorted(panel.offsets, at[:PLACES], side="right") - 1
    stamps = panel.frequency.stamps(panel.first[series] + at[:PLACES] - panel.offsets[series])
    texts = format_stamps(stamps, panel.time_format, panel.tz).to_pylist()
    return tuple(f"{panel.ids[s]} at {t}" for s, t in zip(series, texts, strict=True))


def _future(panel: Panel) -> list[Note]:
    """Values for times after now (with a day's grace for time zones)."""
    if panel.frequency.integer:
        return []
    last = panel.frequency.stamps(panel.first + panel.lengths - 1).astype(np.int64)
    late = np.flatnonzero(last > time.time_ns() + 86_400 * 10**9)
    if len(late) == 0:
        return []
    text = f"{quantity(len(late), 'series has', 'series have')} values after today"
    return [Note("warning/future", text, len(late), _names(panel, late))]


def _twins(ids: np.ndarray) -> list[Note]:
    """Ids that differ only in case, in outer spaces or in Unicode form."""
    if len(ids) < 2:
        return []
    notes = []
    plain = [unicodedata.normalize("NFC", i) for i in ids]
    forms = [("warning/unicode-twins", "Unicode form", plain)]
    forms.append(
        ("warning/case-twins", "case or outer spaces", [i.strip().casefold() for i in plain])
    )
    for code, what, keys in forms:
        if len(set(keys)) == len(set(forms[0][2]) if code != forms[0][0] else ids):
            continue
        counts = Counter(keys)
        twins = [str(i) for i, k in zip(ids, keys, strict=True) if counts[k] > 1]
        text = f"{quantity(len(twins), 'id')} differ only in {what}"
        notes.append(Note(code, text, len(twins), tuple(twins[:PLACES])))
    return notes


def _sums(panel: Panel) -> list[Note]:
    found = sums_among(panel)
    if len(found) == 0:
        return []
    text = (
        f"{quantity(len(found), 'series is the sum of others', 'series are sums of others')}: "
        "in totals they count twice; leave their rows out, or have sums made: --hierarchy"
    )
    return [Note("warning/sums-among-series", text, len(found), _names(panel, found))]


def sums_among(panel: Panel, names: Iterable[str] | None = None) -> np.ndarray:
    """Positions of series that are called a total ("Gesamt", "West/Summe") and at most of their
    steps are the sum of those beside them ("West/...").

    names: what each is called, its id where nothing else is known.
    """
    if not 2 < panel.size <= MOST_NAMES:
        return np.array([], np.int64)
    parts = [str(name).split("/") for name in (panel.ids if names is None else names)]
    at = [next((k for k, p in enumerate(each) if TOTAL_WORDS.fullmatch(p)), None) for each in parts]
    beside: dict[tuple[str, ...], list[int]] = {
        tuple(parts[s][:k]): [] for s, k in enumerate(at) if k is not None
    }
    for s in [s for s, k in enumerate(at) if k is None] if beside else ():
        for k in range(len(parts[s]) + 1):
            if (path := tuple(parts[s][:k])) in beside:
                beside[path].append(s)
    sums = {path: _sum_of(panel, of) for path, of in beside.items() if len(of) > 1}
    named = ((s, sums.get(tuple(parts[s][:k]))) for s, k in enumerate(at) if k is not None)
    found = [s for s, total in named if total is not None and _is_sum(panel, s, total)]
    return np.array(found, np.int64)


def _sum_of(panel: Panel, series: list[int]) -> np.ndarray:
    """The sum of these series at each step from the panel's first to its last."""
    some = panel.select(np.array(series))
    at = np.repeat(some.first - panel.first.min(), some.lengths) + positions(some.offsets)
    size = int((panel.first + panel.lengths).max() - panel.first.min())
    return np.bincount(at, np.nan_to_num(some.values), size)


def _is_sum(panel: Panel, series: int, total: np.ndarray) -> bool:
    """Whether the values of a series are those of `total` at most steps, but for rounding."""
    values, start = panel.series(series), int(panel.first[series] - panel.first.min())
    known = np.isfinite(values)
    off = np.abs(total[start : start + len(values)] - values)[known]
    return bool(len(off) and (off <= ROUNDING * np.abs(values[known])).mean() > 0.5)


def coverage(panel: Panel) -> np.ndarray:
    """Share (0 to 1) of steps with a value, in up to 60 equal parts of the panel's span.

    Of a large panel, as many series are looked at as make SAMPLE steps (one at least).
    """
    first = int(panel.first.min())
    span = int((panel.first + panel.lengths).max()) - first
    most = max(1, panel.size * SAMPLE // max(len(panel.values), 1))
    if most < panel.size:
        panel = panel.select(evenly(panel.size, most))
    parts = min(PARTS, span)
    edges = -(-np.arange(parts + 1) * span // parts)
    reached = np.clip(edges + first - panel.first[:, None], 0, panel.lengths[:, None])
    there = np.isfinite(panel.values)
    if not always_open(panel):  # what never is cannot be missing
        at = np.flatnonzero(~there)
        series = np.searchsorted(panel.offsets, at, side="right") - 1
        there[at] = ~is_open(panel, series, panel.first[series] + at - panel.offsets[series])
    known = np.concatenate([[0], np.cumsum(there)])
    counts = np.diff(known[panel.offsets[:-1, None] + reached], axis=1).sum(axis=0)
    return np.asarray(counts / (np.diff(edges) * panel.size))
