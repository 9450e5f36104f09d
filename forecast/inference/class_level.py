"""New items: a series with too few values to say anything, or none, starts at the level of its
class.

A class are the series that share all static names with the new one, or, where fewer than
LEAST_PEERS of these are known, all but the last, and so on; in a hierarchy those that are summed
with it, in the smallest sum that has enough. What is forecast of the class together, each series
the same, is the forecast of the new one.

Axes: S series, H horizon (steps), Q quantiles, P peers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from forecast.data.forecast import Forecast
from forecast.data.panel import STATIC, Panel
from forecast.inference.point import with_point
from forecast.transforms.hierarchy import Hierarchy

LEAST_PEERS = 3
CLASS = "class level"


def with_class_levels(made: Forecast, panel: Panel, hierarchy: Hierarchy | None = None) -> Forecast:
    """The forecast in which series that the network could say nothing of, of one or two values,
    have the forecast of their class; `source` names the class. As it is where there is none.

    hierarchy: of the nodes that `panel` has, None where it has none.
    """
    new = np.flatnonzero(made.available & (made.source != made.name))
    if not len(new):
        return made
    known = made.available & (made.source == made.name)
    point, quantiles, source = made.point.copy(), made.quantiles.copy(), made.source.copy()
    for s in new.tolist():
        classes = _in_static(panel, s) if hierarchy is None else _in_sums(panel, hierarchy, s)
        found = _of_class(made, known, classes)
        if found is not None:
            source[s], quantiles[s] = found
            point[s] = quantiles[s, :, len(made.levels) // 2]
    return replace(made, point=point, quantiles=quantiles, source=source)


def of_unseen(made: Forecast, panel: Panel, point: str = "median") -> tuple[Panel, Forecast] | None:
    """The series that have no value at all (they are not in `panel`; --static names their class)
    and their forecast, after the last step of all; None where there is none, or none has a class.

    made: the forecast of `panel` at many levels; point: which, as `with_point` has it.
    """
    if panel.covariates is None:
        return None
    known = made.available & (made.source == made.name)
    found = []
    for each in panel.covariates.unseen:
        of_class = _of_class(made, known, _in_static(panel, each.numbers))
        found += [(each.id, *of_class)] if of_class is not None else []
    if not found:
        return None
    ids, source, quantiles = zip(*found, strict=True)
    size, last = len(ids), int((panel.first + panel.lengths).max()) - 1
    new = replace(
        panel.select(np.zeros(size, int)),
        ids=np.array(ids, object),
        offsets=np.arange(size + 1),
        values=np.full(size, np.nan),
        first=np.full(size, last),
        shut=None if panel.shut is None else np.atleast_2d(panel.shut.all(axis=0)),
        covariates=None,
    )
    values = np.stack(quantiles)
    forecast = replace(
        made,
        origins=new.lengths,
        point=values[..., len(made.levels) // 2],
        quantiles=values,
        source=np.array(source, object),
        available=np.ones(size, bool),
    )
    return new, with_point(forecast, point)


def _of_class(
    made: Forecast, known: np.ndarray, classes: Iterable[tuple[str, np.ndarray]]
) -> tuple[str, np.ndarray] | None:
    """Source and quantiles (H, Q) of the smallest of `classes` with enough `known` (S,) series."""
    for name, members in classes:
        peers = members[known[members]]
        if len(peers) >= LEAST_PEERS:
            pooled = made.quantiles[peers].transpose(1, 0, 2).reshape(made.point.shape[1], -1)
            quantiles = np.quantile(pooled, made.levels, axis=1).T
            return f"{CLASS}: {name}", np.rint(quantiles) if made.whole else quantiles
    return None


def _in_static(panel: Panel, item: int | dict[str, float]) -> Iterator[tuple[str, np.ndarray]]:
    """Names and series (P,) of the classes of series `item`, or of one that has these numbers, by
    its static names, smallest first."""
    if panel.covariates is None:
        return
    columns = [c for c in panel.covariates.of(STATIC) if c.categories is not None]
    for count in range(len(columns), 0, -1):
        own = [c.values[item] if isinstance(item, int) else item.get(c.name, np.nan)
               for c in columns[:count]]  # fmt: skip
        if not np.isfinite(own).all():
            continue
        alike = [c.values == value for c, value in zip(columns[:count], own, strict=True)]
        name = ", ".join(
            f"{c.name}={c.categories[int(value)]}"
            for c, value in zip(columns[:count], own, strict=True)
            if c.categories is not None
        )
        yield name, np.flatnonzero(np.all(alike, axis=0))


def _in_sums(panel: Panel, hierarchy: Hierarchy, s: int) -> Iterator[tuple[str, np.ndarray]]:
    """Names and bottom series (P,) of the sums that node `s` is part of, the smallest first."""
    place = np.flatnonzero(hierarchy.bottom == s)
    if not len(place):
        return
    sums = hierarchy.summing.tocsc()[:, place[0]].indices
    size = np.asarray(hierarchy.summing.sum(axis=1)).ravel()
    for node in sums[np.argsort(size[sums], kind="stable")].tolist():
        if node != s:
            yield str(panel.ids[node]), hierarchy.bottom[hierarchy.summing[[node]].indices]
