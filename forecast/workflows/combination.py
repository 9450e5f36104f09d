"""`Blend`: the network's forecast and statistical ones, by weights from validation origins.

Axes: S series, H horizon (steps), Q quantiles, P parts, C combinations, N series at origins.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forecast.common.progress import Listener
from forecast.common.quantiles import normal_quantiles
from forecast.common.resources import available_cores
from forecast.common.segments import evenly
from forecast.config.schema import Baseline, Settings
from forecast.data.forecast import BLEND, LEVELS, Forecast
from forecast.data.panel import Panel
from forecast.inference.conformal import calibrate
from forecast.inference.predict import at_levels, forecast_panel
from forecast.models.baselines.forecast import COLUMNS, forecast_baselines_windows
from forecast.models.forecaster import Forecaster
from forecast.training.plan import Plan, Reason
from forecast.training.selection import leads, naive_error

# Beside the network. ETS had next to no weight on eleven panels, and ARIMA takes too long to be
# fitted at the validation origins as well (benchmarks/TRIED.md).
PARTS: tuple[Baseline, ...] = ("theta", "seasonal-naive")
# Series at validation origins that the weights are chosen on, evenly spread: as many as have so
# many values together, between these bounds. The error of a mean of eighty is about a per cent.
SAMPLE, SAMPLED_VALUES = (80, 240), 30_000
LEAST_PAIRS = 3  # of series and validation origin, below which no lead can be told
TENTHS = 10  # weights are tenths
BUDGET = 45.0  # seconds in which the statistical parts of all series are fitted: the usual ones
FEW = 500  # fits that one process fits in less time than starting a second one takes
BLENDING = "blend"  # the choice's name among the reasons of a run, and in its manifest
LEAST_GAIN = 0.005  # share of the network's error
# Where no weights lead clearly: a fifth of Theta, the first baseline, if it lowers the error at
# all. On no panel was that worse than the network by more than noise (benchmarks/TRIED.md).
USUAL, LEAST_USUAL = 0.2, 20  # its weight; pairs of series and validation origin, at least
TOO_LITTLE = "there is too little data to choose its weights"


@dataclass(frozen=True)
class Combination:
    """Weights by column name, the network first, adding up to 1; and how many times the network's
    levels of quantiles are stretched, (Q,) at LEVELS."""

    weights: dict[str, float]
    factors: tuple[float, ...] = (1.0,) * len(LEVELS)

    @property
    def names(self) -> tuple[Baseline, ...]:
        """The baselines with a weight, by the names that they are asked for."""
        return tuple(name for name in PARTS if self.weights.get(COLUMNS[name], 0) > 0)

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
    """The weights with the least absolute error on validation origins, in units of the seasonal
    naive one; None, with the reason, where the network alone is as good.

    network: as it was before the held-out windows were seen. Of many series a sample is fitted,
    in `budget` seconds.
    """
    rows = np.flatnonzero((plan.validation >= 0).all(axis=0))
    if rows.size * len(plan.validation) < LEAST_PAIRS:
        return None, (BLENDING, "none", TOO_LITTLE)
    listener.stage("Weighing the network and the baselines")
    wanted = np.clip(SAMPLED_VALUES // max(1, int(np.median(panel.lengths))), *SAMPLE)
    most = -(-int(wanted) // len(plan.validation))  # of a few series all have several origins
    rows = rows[evenly(len(rows), most)]
    origins = plan.validation[:, rows]
    tried = _tried(panel.select(rows), origins, plan, network, settings, budget)
    names = list(tried[0].parts)
    losses = np.concatenate([each.losses() for each in tried], axis=1)
    weights, why = weigh(names, losses[:, np.isfinite(losses).all(axis=0)])
    if weights is None:
        return None, (BLENDING, "none", why)
    plain = Combination(weights)
    quantiles = np.concatenate([combine(each.parts, plain).quantiles for each in tried])
    actual = np.concatenate([each.actual for each in tried])
    times = (panel.first[rows] + origins).reshape(-1)
    factors = calibrate(quantiles, np.array(LEVELS), actual, times)
    chosen = replace(plain, factors=tuple(float(each) for each in factors))
    return chosen, (BLENDING, chosen.in_words(), why)


def weigh(names: Sequence[str], losses: np.ndarray) -> tuple[dict[str, float] | None, str]:
    """The weights of `names` with the least mean of `losses` (C, N), those of every combination of
    tenths in the order of `combinations`, the first name alone first. Where their lead on it is too
    small or unsure, the usual ones if they have any lead, else None. And why."""
    if not losses.shape[1]:
        return None, TOO_LITTLE
    best = int(losses.mean(axis=1).argmin())
    gain = losses[0] - losses[best]
    alone = float(losses[0].mean())
    why = f"error on validation origins {alone - gain.mean():.3g}, of {names[0]} alone {alone:.3g}"
    if best == 0:
        return None, f"no weight of {' or '.join(names[1:])} lowers the error on validation origins"
    shares = combinations(len(names))
    if not leads(gain, LEAST_GAIN * alone):
        usual = int(np.flatnonzero(np.isclose(shares[:, :2].sum(axis=1), 1))[round(USUAL * TENTHS)])
        mean = float(losses[usual].mean())
        if losses.shape[1] < LEAST_USUAL or mean >= alone:
            return None, f"{why}: too small a gain, or too unsure"
        best = usual
        why = f"error on validation origins {mean:.3g}, of {names[0]} alone {alone:.3g}; the usual "
        why += "weights, as no others are clearly better"
    return dict(zip(names, shares[best].tolist(), strict=True)), why


def combinations(parts: int) -> np.ndarray:
    """Every way to share out ten tenths between `parts`, (C, P), the first part alone first."""
    counts = itertools.product(range(TENTHS, -1, -1), repeat=parts)
    return np.array([each for each in counts if sum(each) == TENTHS]) / TENTHS


@dataclass(frozen=True)
class _Tried:
    """What the parts forecast from one validation origin of each series, what came, (S, H), and
    the units of errors (S,)."""

    parts: dict[str, Forecast]
    actual: np.ndarray
    unit: np.ndarray

    def losses(self) -> np.ndarray:
        """Mean absolute error of every combination, (C, S), in units; NaN where unknown."""
        points = np.stack([each.point for each in self.parts.values()])
        shares = combinations(len(points))
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
    """Network and baselines from each row of `origins` (V, S)."""
    levels, negative = np.array(LEVELS), settings.forecast.allow_negative
    fitted = statistical(
        panel, origins, plan.horizon, PARTS, levels, plan.season, settings, budget=budget
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
    made: Mapping[str, Sequence[Forecast]], combination: Combination | None
) -> dict[str, list[Forecast]]:
    """BLEND's forecasts from every origin that the parts forecast from; none where a part lacks."""
    used = [] if combination is None else [n for n, w in combination.weights.items() if w]
    if combination is None or not all(name in made for name in used):
        return {}
    windows = zip(*(made[name] for name in used), strict=True)
    return {BLEND: [combine(dict(zip(used, one, strict=True)), combination) for one in windows]}


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
