"""`Blend`: the mean, by weight, of the network's forecast and a statistical one, where validation
origins do not speak against it.

Axes: S series, H horizon (steps), Q quantiles, N series at origins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from forecast.common.progress import Listener
from forecast.common.quantiles import normal_quantiles
from forecast.common.resources import available_cores
from forecast.common.segments import evenly
from forecast.config.baselines import Baseline
from forecast.config.schema import Settings
from forecast.data.forecast import BLEND, LEVELS, Forecast
from forecast.data.panel import Panel
from forecast.inference.conformal import calibrate
from forecast.inference.point import MEDIAN, quantile_of, with_point
from forecast.inference.predict import at_levels, forecast_panel
from forecast.models.baselines.forecast import COLUMNS, forecast_baselines_windows
from forecast.models.forecaster import Forecaster
from forecast.training.plan import Plan, Reason
from forecast.training.selection import naive_error

# A fifth of the first baseline beside the network, as long as that raises the error at validation
# origins by no more than chance. Weights that are sought there are worse at later origins: what all
# series live through at one origin is one observation (benchmarks/TRIED.md).
PART: Baseline = "theta"
WEIGHT, TOLERANCE = 0.2, 0.005  # of the network's error
LEAST_PAIRS = 20  # of series and validation origin, below which nothing can be told
# Series at validation origins that are looked at, evenly spread: as many as have so many values
# together, between these bounds. The error of a mean of eighty is about a per cent.
SAMPLE, SAMPLED_VALUES = (80, 240), 30_000
BUDGET = 45.0  # seconds in which the statistical parts of all series are fitted: the usual ones
FEW = 500  # fits that one process fits in less time than starting a second one takes
BLENDING = "blend"  # the choice's name among the reasons of a run, and in its manifest
SEVERAL_A_DAY = "Theta knows one season, and was worse on other data of several values a day"
TOO_LITTLE = "there is too little data to tell whether it helps"
TOO_LATE = "too few series could be fitted in time to tell whether it helps"


@dataclass(frozen=True)
class Combination:
    """Weights by column name, the network first, adding up to 1; and how many times the network's
    levels of quantiles are stretched, (Q,) at LEVELS."""

    weights: dict[str, float]
    factors: tuple[float, ...] = (1.0,) * len(LEVELS)

    @property
    def names(self) -> tuple[Baseline, ...]:
        """The baselines with a weight, by the names that they are asked for."""
        return tuple(n for n in get_args(Baseline) if self.weights.get(COLUMNS[n], 0) > 0)

    def in_words(self) -> str:
        """The weights as a user reads them."""
        used = {name: weight for name, weight in self.weights.items() if weight}
        return " + ".join(f"{weight:g} {name}" for name, weight in used.items())

    def to_dict(self) -> dict[str, Any]:
        """What a model's manifest keeps."""
        return {"weights": self.weights, "interval_factors": list(self.factors)}

    @classmethod
    def read(cls, manifest: Mapping[str, Any]) -> Combination | None:
        """What `to_dict` gave a manifest, None where it has none."""
        kept = manifest.get(BLENDING)
        if not kept:
            return None
        return cls(dict(kept["weights"]), tuple(kept["interval_factors"]))

    @classmethod
    def of(cls, manifest: Mapping[str, Any], settings: Settings) -> Combination | None:
        """That of a trained model, None where it has none or none is wanted."""
        return cls.read(manifest) if settings.baselines.blend else None


def choose_combination(
    panel: Panel,
    plan: Plan,
    network: Forecaster,
    settings: Settings,
    budget: float,
    listener: Listener,
) -> tuple[Combination | None, Reason]:
    """The usual weights, unless the mean absolute error on validation origins, in units of the
    seasonal naive one, is higher with them, or there are several values a day; then None, and the
    reason.

    network: as it was before the held-out windows were seen. Of many series a sample is fitted,
    in `budget` seconds.
    """
    if plan.layout.width > 1:
        return None, (BLENDING, "none", SEVERAL_A_DAY)
    rows = np.flatnonzero((plan.validation >= 0).all(axis=0))
    if rows.size * len(plan.validation) < LEAST_PAIRS:
        return None, (BLENDING, "none", TOO_LITTLE)
    listener.stage("Weighing the network and the baselines")
    wanted = np.clip(SAMPLED_VALUES // max(1, int(np.median(panel.lengths))), *SAMPLE)
    most = -(-int(wanted) // len(plan.validation))  # of a few series all have several origins
    rows = rows[evenly(len(rows), most)]
    origins = plan.validation[:, rows]
    usual = Combination({network.name: 1 - WEIGHT, COLUMNS[PART]: WEIGHT})
    tried = _tried(panel.select(rows), origins, plan, network, settings, budget)
    losses = np.concatenate([each.losses(usual) for each in tried], axis=1)
    helps, why = weigh(losses[:, np.isfinite(losses).all(axis=0)], usual)
    if not helps:
        return None, (BLENDING, "none", why)
    quantiles = np.concatenate([combine(each.parts, usual).quantiles for each in tried])
    actual = np.concatenate([each.actual for each in tried])
    times = (panel.first[rows] + origins).reshape(-1)
    factors = calibrate(quantiles, np.array(LEVELS), actual, times)
    chosen = replace(usual, factors=tuple(float(each) for each in factors))
    return chosen, (BLENDING, chosen.in_words(), why)


def weigh(losses: np.ndarray, usual: Combination) -> tuple[bool, str]:
    """Whether a combination is kept by `losses` (2, N), the network's alone and its, and why."""
    if losses.shape[1] < LEAST_PAIRS:  # of at least as many that were asked for
        return False, TOO_LATE
    alone, mixed = losses.mean(axis=1)
    first = next(iter(usual.weights))
    why = f"error on validation origins {mixed:.3g} as {usual.in_words()}, of {first} alone"
    return bool(mixed <= (1 + TOLERANCE) * alone), f"{why} {alone:.3g}"


@dataclass(frozen=True)
class _Tried:
    """What the parts forecast from one validation origin of each series, what came, (S, H), and
    the units of errors (S,)."""

    parts: dict[str, Forecast]
    actual: np.ndarray
    unit: np.ndarray

    def losses(self, usual: Combination) -> np.ndarray:
        """Mean absolute error of the first part and of the combination, (2, S), in units; NaN
        where unknown."""
        shares = [1.0, *[0.0] * (len(self.parts) - 1)], list(usual.weights.values())
        points = np.stack([each.point for each in self.parts.values()])
        known = np.isfinite(self.actual)
        with np.errstate(invalid="ignore", divide="ignore"):
            errors = np.abs(np.einsum("cp,psh->csh", shares, points) - self.actual)
            return np.where(known, errors, 0.0).sum(axis=2) / known.sum(axis=1) / self.unit


def _tried(
    panel: Panel,
    origins: np.ndarray,
    plan: Plan,
    network: Forecaster,
    settings: Settings,
    budget: float,
) -> list[_Tried]:
    """Network and baseline from each row of `origins` (V, S)."""
    levels, negative = np.array(LEVELS), settings.forecast.allow_negative
    fitted = statistical(
        panel, origins, plan.horizon, (PART,), levels, plan.season, settings, budget=budget
    )
    found = []
    for window, row in enumerate(origins):
        past = panel.truncate(row)
        made = forecast_panel(network, past, plan.horizon, allow_negative=negative)
        parts = {name: each[window] for name, each in fitted.items()}
        parts = {made.name: at_levels(made, levels), **parts}
        actual = panel.window(row, plan.horizon)
        found.append(_Tried(parts, actual, naive_error(past, plan.season)))
    return found


def statistical(
    panel: Panel,
    origins: np.ndarray,
    horizon: int,
    names: Sequence[Baseline],
    levels: np.ndarray,
    season: int,
    settings: Settings,
    *,
    budget: float = BUDGET,
    listener: Listener | None = None,
) -> dict[str, list[Forecast]]:
    """The statistical parts from each row of `origins` (W, S), at `levels` (Q,), in `budget`
    seconds."""
    return forecast_baselines_windows(
        panel=panel,
        origins=origins,
        horizon=horizon,
        names=names,
        levels=levels,
        season=season,
        budget=budget,
        jobs=1 if origins.size <= FEW else settings.training.jobs or available_cores(),
        listener=listener,
        allow_negative=settings.forecast.allow_negative,
    )


def with_parts(names: Sequence[Baseline], combination: Combination | None) -> tuple[Baseline, ...]:
    """The baselines `names`, and those that a combination needs beside them."""
    needed = () if combination is None else combination.names
    return tuple(dict.fromkeys((*names, *needed)))


def blended(
    made: Mapping[str, Sequence[Forecast]], combination: Combination | None, point: str = MEDIAN
) -> dict[str, list[Forecast]]:
    """BLEND's forecasts from every origin that the parts forecast from; none where a part lacks.

    point: which, as `with_point` has it; a quantile is the blend's own, as others' points are none.
    """
    used = [] if combination is None else [n for n, w in combination.weights.items() if w]
    if combination is None or not all(name in made for name in used):
        return {}
    windows = zip(*(made[name] for name in used), strict=True)
    found = [combine(dict(zip(used, one, strict=True)), combination) for one in windows]
    own = quantile_of(point) is not None
    return {BLEND: [with_point(each, point) for each in found] if own else found}


def combine(parts: Mapping[str, Forecast], combination: Combination) -> Forecast:
    """The parts' forecasts, all at the same levels, as one called BLEND, of as many steps as all
    have.

    Points and quantiles are means by weight (of quantiles: Vincent's), the quantiles stretched
    around the median. A part that made no forecast of a series of its own leaves its weight to the
    others there, and `source` is what is left if that is one alone. The network's own forecast
    stands where no part has one.
    """
    used = [(parts[name], weight) for name, weight in combination.weights.items() if weight]
    steps = min(each.point.shape[1] for each, _ in used)
    used = [(each.first(steps), weight) for each, weight in used]
    weights = np.stack([np.where(_own(each), weight, 0.0) for each, weight in used])
    lacking = weights.sum(axis=0) == 0
    weights[0] += lacking  # the first part is the network
    weights /= weights.sum(axis=0)
    point, quantiles = (
        sum(
            np.where(share.reshape(-1, *[1] * (field.ndim - 1)) > 0, field, 0.0)
            * share.reshape(-1, *[1] * (field.ndim - 1))
            for share, field in zip(weights, fields, strict=True)
        )
        for fields in ([e.point for e, _ in used], [e.quantiles for e, _ in used])
    )
    main = used[0][0]
    sources = np.stack([each.source for each, _ in used])
    alone = (weights > 0).sum(axis=0) == 1
    source = np.where(alone, sources[weights.argmax(axis=0), np.arange(len(lacking))], BLEND)
    return replace(
        main,
        name=BLEND,
        point=point,
        quantiles=_stretched(quantiles, main.levels, combination),
        source=source,
        available=np.any([each.available for each, _ in used], axis=0),
        seconds=sum(each.seconds for each, _ in used),
        notes=_notes(used, weights),
        whole=False,
    )


def _own(forecast: Forecast) -> np.ndarray:
    """Series of which the forecaster made a forecast of its own, (S,) bool."""
    return np.asarray(forecast.available & (forecast.source == forecast.name))


def _stretched(quantiles: np.ndarray, levels: np.ndarray, combination: Combination) -> np.ndarray:
    """Quantiles (S, H, Q) at any `levels`, 0.5 among them, stretched around the median; none below
    zero of a series that had none there."""
    middle = len(LEVELS) // 2
    known = normal_quantiles(np.array(LEVELS[middle:]))
    factors = np.interp(np.abs(normal_quantiles(levels)), known, combination.factors[middle:])
    median = quantiles[..., [int(np.abs(levels - 0.5).argmin())]]
    made = np.sort(median + (quantiles - median) * factors, axis=-1)
    floor = np.where((quantiles >= 0).all(axis=(1, 2)), 0.0, -np.inf)
    return np.asarray(np.maximum(made, floor[:, None, None]))


def _notes(used: Sequence[tuple[Forecast, float]], weights: np.ndarray) -> tuple[str, ...]:
    """Parts that made no forecast of some series: their weight went to the others."""
    lacking = {each.name: int((weights[rank] == 0).sum()) for rank, (each, _) in enumerate(used)}
    return tuple(
        f"{BLEND}: of {count} series {name} has no forecast of its own; the others share its weight"
        for name, count in lacking.items()
        if count
    )
