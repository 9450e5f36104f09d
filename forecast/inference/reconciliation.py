"""Forecasts of a hierarchy's levels made to add up: points exactly, intervals from whole futures.

A method is a matrix G (B, R) that makes bottom forecasts of those of all nodes; all levels are then
sums of these (Wickramasuriya, Athanasopoulos & Hyndman 2019: MinT). Intervals: paths of all nodes
are drawn together, as errors of one step were high and low together, each path is reconciled, and
quantiles are read off what came of it (Panagiotelis, Gamakumara, Athanasopoulos & Hyndman 2023),
no closer to the median than the node's own, which are made as wide as past errors of its level.

Axes: R nodes, B bottom series, H horizon (steps), Q quantiles, T steps of the past, N paths.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forecast.common.errors import UsageError
from forecast.common.quantiles import normal_quantiles, normal_scores, values_at_scores
from forecast.common.segments import positions
from forecast.data.forecast import Forecast
from forecast.data.limits import never_negative
from forecast.data.panel import Panel
from forecast.inference.one_step import one_step_ahead
from forecast.inference.predict import forecast_panel
from forecast.models.forecaster import Forecaster
from forecast.transforms.hierarchy import Hierarchy

MINT, OLS, BOTTOM_UP, TOP_DOWN, NONE = "mint", "ols", "bottom-up", "top-down", "none"
METHODS = (MINT, OLS, BOTTOM_UP, TOP_DOWN)
MOST_DENSE = 4000  # nodes whose whole covariance is estimated; beyond, their variances alone
FEWEST = 8  # steps with a known error, of the median node, from which there is a covariance
HORIZONS, LEAST_HORIZONS = 12, 3  # past horizons whose errors tell of the coming one's
MANY_NODES, FEW_HORIZONS = 500, 6  # of so many nodes fewer tell enough (see in_brief as well)
LEAST_PAST = 8  # values of a series before an origin that counts
PATHS = 1000  # drawn for the intervals
LATEST = 400  # last steps whose errors are looked at


@dataclass(frozen=True)
class Errors:
    """Errors in the past, of all nodes on a common end; NaN where unknown.

    residuals (R, T) of one step ahead in the data's units; scores (R, T) the same as normal scores
    of the forecast; values (B, T) of the bottom series; season: steps over which their mean is
    their present size; ahead: of whole horizons, steps from the last one's end to the end of the
    data, and the normal scores (R, H), the newest first.
    """

    residuals: np.ndarray
    scores: np.ndarray
    values: np.ndarray
    season: int
    ahead: tuple[tuple[int, np.ndarray], ...] = ()

    @property
    def size(self) -> np.ndarray:
        """Mean of the last season's values (twelve at the least) of each bottom series, (B,)."""
        last = self.values[:, -max(12, self.season) :]
        known = np.isfinite(last)
        total = np.where(known, last, 0.0).sum(axis=1)
        return np.asarray(total / np.maximum(known.sum(axis=1), 1))

    def before(self, steps: int) -> Errors:
        """What was known `steps` before the end."""
        end = max(self.residuals.shape[1] - steps, 0)
        cut = (self.residuals[:, :end], self.scores[:, :end], self.values[:, :end])
        known = tuple((back - steps, scores) for back, scores in self.ahead if back >= steps)
        return Errors(*cut, self.season, known)

    @property
    def joint(self) -> np.ndarray:
        """(R, T') normal scores that tell which nodes are high and low together: of whole horizons,
        where errors that last show; of one step, where too few horizons are known."""
        if len(self.ahead) < LEAST_HORIZONS:
            return self.scores
        return np.concatenate([scores for _, scores in self.ahead[:HORIZONS]], axis=1)

    def of(self, kept: np.ndarray, hierarchy: Hierarchy) -> Errors:
        """Those of the nodes `kept`, bool (R,)."""
        inside = kept[hierarchy.bottom]
        ahead = tuple((back, scores[kept]) for back, scores in self.ahead)
        return Errors(
            self.residuals[kept], self.scores[kept], self.values[inside], self.season, ahead
        )


def past_errors(
    forecaster: Forecaster, panel: Panel, hierarchy: Hierarchy, horizon: int, earliest: int = 0
) -> Errors:
    """Errors of every node of `panel`, all of which end together.

    horizon: steps of the forecasts whose errors hang together; earliest: how many steps before the
    end the first origin lies at which this is to be known.
    """
    forecaster = in_brief(forecaster, panel.size)
    ahead = tuple(_horizons(forecaster, panel, horizon, earliest))
    steps = LATEST + 4 * forecaster.context * forecaster.layout.width
    panel = _latest(panel, steps)
    quantiles = one_step_ahead(forecaster, panel, np.zeros(panel.size, bool))
    residual = panel.values - quantiles[:, quantiles.shape[1] // 2]
    scores = normal_scores(quantiles, forecaster.levels, panel.values)
    scores = np.where(np.isfinite(residual), scores, np.nan)
    return Errors(
        _by_end(panel, residual, LATEST),
        _by_end(panel, scores, LATEST),
        _by_end(panel, panel.values, LATEST)[hierarchy.bottom],
        max(1, *panel.frequency.seasons[:1]),
        ahead,
    )


def in_brief(forecaster: Forecaster, nodes: int) -> Forecaster:
    """The forecaster that looks at the past of so many nodes: of many the last member alone, in its
    main view. So many errors tell of correlations and widths as well, in a fraction of the time."""
    if nodes <= MANY_NODES:
        return forecaster
    view = max(forecaster.views, key=lambda each: each.weight)
    return replace(forecaster, members=forecaster.members[-1:], views=(view._replace(weight=1.0),))


def _horizons(
    forecaster: Forecaster, panel: Panel, horizon: int, earliest: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Steps from the end, and normal scores (R, H), of forecasts from origins a quarter of the
    horizon apart, HORIZONS of them before `earliest` (of many nodes FEW_HORIZONS, half of it
    apart); none from less than half of the past."""
    many = panel.size > MANY_NODES
    stride, count = max(1, horizon // (2 if many else 4)), FEW_HORIZONS if many else HORIZONS
    longest = int(panel.lengths.max())
    for back in range(0, earliest + count * stride, stride):
        origins = panel.lengths - back - horizon
        if longest - back - horizon < longest / 2:
            return
        usable = origins >= LEAST_PAST
        cut = panel.truncate(np.maximum(origins, 0))
        made = forecast_panel(forecaster, cut, horizon)
        actual = panel.window(np.maximum(origins, 0), horizon)
        scores = normal_scores(made.quantiles, made.levels, actual)
        yield back, np.where(usable[:, None] & made.available[:, None], scores, np.nan)


def _latest(panel: Panel, steps: int) -> Panel:
    """The panel with the last `steps` of each series, or, with covariates, as it is: their rows
    begin where the series does."""
    drop = np.maximum(panel.lengths - steps, 0)
    if panel.covariates is not None or not drop.any():
        return panel
    kept = positions(panel.offsets) >= np.repeat(drop, panel.lengths)
    offsets = np.concatenate([[0], np.cumsum(panel.lengths - drop)])
    return replace(panel, offsets=offsets, values=panel.values[kept], first=panel.first + drop)


def _by_end(panel: Panel, flat: np.ndarray, most: int) -> np.ndarray:
    """(R, T) of the flat array (N,): the last values of each series, NaN before it begins."""
    steps = min(most, int(panel.lengths.max()))
    made = np.full((panel.size, steps), np.nan)
    for s in range(panel.size):
        part = flat[panel.offsets[s] : panel.offsets[s + 1]][-steps:]
        made[s, steps - len(part) :] = part
    return made


class Reconciler:
    """One method for one hierarchy, ready for any number of forecasts.

    nonnegative: bool (R,), or one for all, the nodes that are never below zero: of the bottom ones
    forecasts below zero are set to zero, and the others of them shrunk so that their sum stays (Di
    Fonzo & Girolimetto 2023, whose heuristic lets it grow).
    """

    def __init__(
        self, method: str, hierarchy: Hierarchy, errors: Errors, *, nonnegative: np.ndarray | bool
    ) -> None:
        """Raises UsageError: an unknown method, hierarchicalforecast is not installed."""
        if method not in METHODS:
            raise UsageError(
                "there is no such way to reconcile",
                code="usage/reconcile",
                where="--reconcile",
                value=method,
                remedy=f"Choose from {', '.join((*METHODS, NONE))}",
            )
        self.method, self.hierarchy = method, hierarchy
        self.nonnegative = np.broadcast_to(nonnegative, hierarchy.size)
        above = np.setdiff1d(np.arange(hierarchy.size), hierarchy.bottom)
        self._order = np.concatenate([above, hierarchy.bottom])  # the library's: bottom last
        self._above = len(above)
        self._weights: Any = None
        if method == TOP_DOWN:
            size = np.maximum(errors.size, 0)
            equal = np.full(len(size), 1 / len(size))
            self._weights = size / size.sum() if size.sum() > 0 else equal
        elif method in (MINT, OLS) and self._above:
            residuals = errors.residuals[self._order] if method == MINT else None
            dense = hierarchy.size <= MOST_DENSE
            self._weights = self._dense(residuals) if dense else self._diagonal(residuals)

    def _dense(self, residuals: np.ndarray | None) -> np.ndarray:
        """G (B, R) with the library's estimate of the covariance, or without any (None)."""
        methods = _library()
        summing = self.hierarchy.summing[self._order].toarray()
        nothing = np.zeros((len(summing), 1))
        if residuals is None:
            return np.asarray(methods.MinTrace("ols").fit(summing, nothing).P)
        if np.median(np.isfinite(residuals).sum(axis=1)) < FEWEST:
            return np.asarray(methods.MinTrace("wls_struct").fit(summing, nothing).P)
        scaled = self._complete(residuals)
        fitted = methods.MinTrace("mint_shrink").fit(
            summing, nothing, scaled, np.zeros_like(scaled)
        )
        return np.asarray(fitted.P)

    def _complete(self, residuals: np.ndarray) -> np.ndarray:
        """(R, T) residuals in units of their usual size; noise stands in for nodes that have next
        to none, since a covariance needs some of each."""
        variance = self._variance(residuals)
        count = np.isfinite(residuals).sum(axis=1)
        made = residuals / np.sqrt(np.median(variance))
        poor = (count < FEWEST // 2) | (np.nan_to_num(made).std(axis=1) < 1e-9)
        noise = np.random.default_rng(0).standard_normal((int(poor.sum()), made.shape[1]))
        made[poor] = noise * np.sqrt(variance[poor] / np.median(variance))[:, None]
        return made

    def _variance(self, residuals: np.ndarray | None) -> np.ndarray:
        """(R,) mean squared residuals, at least a millionth of what is usual for as many series."""
        below = np.asarray(self.hierarchy.summing[self._order].sum(axis=1)).ravel()
        if residuals is None:
            return np.ones(len(below))
        known = np.isfinite(residuals)
        total = np.where(known, residuals, 0.0) ** 2
        variance = total.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        each = variance / below
        usual = float(np.median(each[each > 0])) if (each > 0).any() else 1.0
        return np.asarray(np.where(variance > 0, variance, 0.0) + 1e-6 * usual * below)

    def _diagonal(self, residuals: np.ndarray | None) -> np.ndarray:
        """(B, A), what each aggregate's surplus over its sum adds to each bottom forecast, with
        variances alone: the closed form of WLS for hierarchies too large for a covariance."""
        variance = self._variance(residuals)
        sums = self.hierarchy.summing[self._order[: self._above]]  # (A, B)
        spread = sums.multiply(variance[None, self._above :]).tocsr()
        inner = (spread @ sums.T).toarray() + np.diag(variance[: self._above])
        return np.asarray(np.linalg.solve(inner, spread.toarray()).T)

    def bottom(self, values: np.ndarray) -> np.ndarray:
        """Reconciled bottom forecasts (B, K) of the forecasts `values` (R, K) of all nodes."""
        below = values[self.hierarchy.bottom]
        if self.method == TOP_DOWN:
            below = self._weights[:, None] * values[[self.hierarchy.whole]]
        elif self._weights is not None and self._weights.shape[1] == self._above:
            surplus = values[self._order[: self._above]]
            surplus = surplus - self.hierarchy.summing[self._order[: self._above]] @ below
            below = below + self._weights @ surplus
        elif self._weights is not None:
            below = self._weights @ values[self._order]
        raised = self.nonnegative[self.hierarchy.bottom]
        if not raised.any():
            return below
        made = np.array(below)
        made[raised] = _raised(made[raised])
        return made

    def coherent(self, values: np.ndarray) -> np.ndarray:
        """Forecasts (R, K) of all nodes that add up, from `values` (R, K)."""
        return np.asarray(self.hierarchy.summing @ self.bottom(values))


def _raised(below: np.ndarray) -> np.ndarray:
    """Without negative entries (B, K), each column's sum kept where it is above zero."""
    positive = np.maximum(below, 0.0)
    total, made = np.maximum(below.sum(axis=0), 0.0), positive.sum(axis=0)
    return positive * np.divide(total, made, out=np.ones_like(made), where=made > 0)


def has_library() -> bool:
    """Whether hierarchicalforecast is installed."""
    from importlib.util import find_spec

    return find_spec("hierarchicalforecast") is not None


def _library() -> Any:
    """hierarchicalforecast's methods. Raises UsageError where it is not installed."""
    try:
        from hierarchicalforecast import methods
    except ImportError:
        raise UsageError(
            "this way to reconcile needs the package hierarchicalforecast",
            code="usage/missing-package",
            where="--reconcile",
            remedy="pip install 'lstmcast[hierarchy]', or --reconcile bottom-up, which needs none",
        ) from None
    return methods


def reconciled(
    made: Forecast,
    panel: Panel,
    hierarchy: Hierarchy,
    errors: Errors,
    method: str,
    dependence: float,
    *,
    allow_negative: bool,
    seed: int = 0,
) -> Forecast:
    """The forecast of all nodes with points that add up and intervals of reconciled paths.

    made: forecasts of `panel` from origins at one and the same time; a node whose origin lies
    elsewhere, or without a forecast, is left as it is and is part of no sum. dependence: of the
    errors of neighbouring steps. Raises UsageError.
    """
    kept = _together(made, panel, hierarchy)
    if method == NONE or not kept[hierarchy.bottom].any():
        return made
    one = _Joint(made, panel, hierarchy, errors, method, kept, allow_negative)
    point, quantiles = made.point.copy(), made.quantiles.copy()
    point[one.rows] = one.reconciler.coherent(made.point[one.rows])
    for step, paths in enumerate(one.paths(dependence, PATHS, seed)):
        found = np.quantile(paths, made.levels, axis=1).T
        found = _no_narrower(found, made.quantiles[one.rows, step], one.width)
        floor = np.where(one.reconciler.nonnegative, 0.0, -np.inf)
        found = np.maximum(found, floor[:, None])
        quantiles[one.rows, step] = np.rint(found) if made.whole else found
    return replace(made, point=point, quantiles=quantiles)


def coherent_paths(
    made: Forecast,
    panel: Panel,
    hierarchy: Hierarchy,
    errors: Errors,
    method: str,
    dependence: float,
    number: int,
    *,
    allow_negative: bool,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (K,) and their paths (K, N, H), which add up in every one of the `number` futures."""
    kept = _together(made, panel, hierarchy)
    one = _Joint(made, panel, hierarchy, errors, method, kept, allow_negative)
    drawn = list(one.paths(dependence, number, seed))
    return np.flatnonzero(one.rows), np.stack(drawn, axis=2)


def _together(made: Forecast, panel: Panel, hierarchy: Hierarchy) -> np.ndarray:
    """bool (R,): nodes with a forecast that begins where that of the largest sum does."""
    begin = panel.first + made.origins
    fine = made.available & np.isfinite(made.point).all(axis=1)
    return hierarchy.rows_kept(np.asarray(fine & (begin == begin[hierarchy.whole])))


class _Joint:
    """What `reconciled` and `coherent_paths` share: the nodes that take part, and their paths.

    rows: bool (R,); reconciler: of these nodes alone.
    """

    def __init__(
        self,
        made: Forecast,
        panel: Panel,
        hierarchy: Hierarchy,
        errors: Errors,
        method: str,
        kept: np.ndarray,
        allow_negative: bool,
    ) -> None:
        self.rows, self.made = kept, made
        part = hierarchy.part(kept)
        own = errors.of(kept, hierarchy)
        nonnegative = never_negative(panel.truncate(made.origins))[kept] & (not allow_negative)
        self.reconciler = Reconciler(
            MINT if method == NONE else method,
            part,
            own,
            nonnegative=nonnegative,
        )
        self._scores = own.joint
        self.width = width_by_level(own, part.level)

    def paths(self, dependence: float, number: int, seed: int) -> Iterator[np.ndarray]:
        """For each step ahead (K, N) values of `number` futures, reconciled one by one."""
        random = np.random.default_rng(seed)
        common, own = shared_errors(self._scores)
        quantiles = self.made.quantiles[self.rows]
        fresh = np.sqrt(1 - dependence**2)
        before: np.ndarray | None = None
        for step in range(quantiles.shape[1]):
            noise = common @ random.standard_normal((common.shape[1], number))
            noise += own[:, None] * random.standard_normal((len(own), number))
            scores = noise if before is None else dependence * before + fresh * noise
            before = scores
            made = values_at_scores(quantiles[:, None, step], self.made.levels, scores)
            yield self.reconciler.coherent(made)


def width_by_level(errors: Errors, level: np.ndarray) -> np.ndarray:
    """(R,) by how much forecasts of each node's level were too narrow over past horizons, at least
    1: the middle 80 per cent of the errors over those of the forecasts. level: (R,).

    A total has a dozen past horizons that overlap, three or four that do not: what they say of its
    width is itself uncertain, so that the width is Student's t of as many degrees of freedom as
    there are horizons beside each other times nodes that err for themselves.
    """
    from scipy.special import stdtrit

    width = np.ones(len(level))
    if len(errors.ahead) < LEAST_HORIZONS:
        return width
    usual = float(normal_quantiles(np.array([0.9]))[0])
    horizons = _side_by_side(errors.ahead[:HORIZONS])
    for each in np.unique(level):
        own = errors.joint[level == each]
        if np.isfinite(own).any():
            unsure = float(stdtrit(horizons * own_errors(own), 0.9)) / usual
            found = float(np.nanquantile(np.abs(own), 0.8)) / usual
            width[level == each] = max(1.0, found * unsure)
    return width


def _side_by_side(ahead: tuple[tuple[int, np.ndarray], ...]) -> float:
    """How many horizons there would be, beside each other, in the steps that all of them take."""
    steps = ahead[0][1].shape[1]
    ends = [back for back, _ in ahead]
    return (max(ends) - min(ends) + steps) / steps


def own_errors(scores: np.ndarray) -> float:
    """How many nodes there would be if each erred for itself, from scores (R, T): R where errors
    are independent, 1 where all are the same. NaN is unknown."""
    filled = np.nan_to_num(scores)
    small = filled if len(filled) <= filled.shape[1] else filled.T
    together = float(((small @ small.T) ** 2).sum())  # of either side: the same sum of squares
    return float((filled**2).sum()) ** 2 / together if together > 0 else 1.0


def _no_narrower(found: np.ndarray, alone: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Quantiles `found` (R, Q), as far from the median at least as those of the node alone, `alone`
    (R, Q), times its `width` (R,): a few past errors tell less of correlations than of one node."""
    middle = found.shape[1] // 2
    median = found[:, middle, None]
    least = np.abs(alone - alone[:, middle, None]) * width[:, None]
    side = np.sign(np.arange(found.shape[1]) - middle)
    return np.asarray(median + side * np.maximum(np.abs(found - median), least))


def shared_errors(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loadings (R, T) and own spread (R,) that give standard normals the correlation of `scores`.

    scores (R, T), NaN where unknown. The correlations are shrunk towards none by the amount that
    Schaefer & Strimmer (2005) estimate, and are never formed: loadings @ loadings.T plus the own
    variances, 1 on the diagonal, is what they would be.
    """
    filled = np.nan_to_num(scores)
    size = np.sqrt((filled**2).mean(axis=1, keepdims=True))
    known = size[:, 0] > 1e-9
    unit = np.divide(filled, size, out=np.zeros_like(filled), where=size > 1e-9)
    steps = unit.shape[1]
    if steps < FEWEST or known.sum() < 2:
        return np.zeros((len(scores), 1)), np.ones(len(scores))
    products = float(((unit.T @ unit) ** 2).sum())  # over all pairs, the squared sums over steps
    squares = float(((unit**2).sum(axis=0) ** 2).sum()) - float((unit**4).sum())
    of_pairs = products - float(known.sum()) * steps**2
    noise = steps / (steps - 1) ** 3 * (squares - of_pairs / steps)
    shrink = float(np.clip(noise / max(of_pairs / steps**2, 1e-300), 0.0, 1.0))
    loadings = unit * np.sqrt((1 - shrink) / steps)
    return loadings, np.sqrt(np.where(known, shrink, 1.0))
