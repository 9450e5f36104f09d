"""Every series gets a forecast: from the model in service, or from the next that can.

The order is the model in service, the pretrained network, ARIMA, seasonal naive; an item of too
few values, or none, starts at the level of its class where --static names one. Each row says who
made it (`source`) and, where it is not the model in service, why (`reason`).
Axes: S series, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from forecast.common.errors import ForecastError
from forecast.common.progress import Listener
from forecast.common.resources import available_cores
from forecast.common.segments import sum_by_series
from forecast.data.forecast import BLEND, LEVELS, Forecast
from forecast.data.open_steps import reach
from forecast.data.panel import LSTM, Panel
from forecast.inference.class_level import of_unseen, with_class_levels
from forecast.inference.conformal import stretch
from forecast.inference.point import MEAN, MEDIAN, with_point
from forecast.inference.predict import LEAST_VALUES, forecast_panel
from forecast.models.baselines.forecast import forecast_baselines
from forecast.models.baselines.naive import seasonal_naive
from forecast.models.forecaster import Forecaster
from forecast.scheduling.as_of import AsOfSnapshot
from forecast.scheduling.config import Job
from forecast.scheduling.live_scores import StepScore
from forecast.scheduling.models import PRETRAINED, Service, pretrained_service
from forecast.workflows.combination import blended, statistical

FAR = 3.0  # times a series' range beyond its lowest and highest value
TOO_SHORT, NO_VALUE = f"fewer than {LEAST_VALUES} values", "no value yet"
PRETRAINED_SOURCE = "pretrained LSTM"
ARIMA_SOURCE, NAIVE_SOURCE = "AutoARIMA", "SeasonalNaive"
IN_SERVICE = "in service: no model beats it"  # the reason of the rows of seasonal naive then


@dataclass(frozen=True)
class Made:
    """The forecasts of a run, all series for the `H` steps after the as-of.

    forecast: origins are positions right after the as-of, which may lie beyond a series' end;
    reason object (S,): "" where the network in service made the row; failed: how many series it
    could not forecast although they were long enough; blend: of it and baselines, None where the
    model in service is not combined; unseen: the series without any value and their forecast;
    point: which point all of these have, as `with_point` has it.
    """

    forecast: Forecast
    reason: np.ndarray
    failed: int
    blend: Forecast | None = None
    unseen: tuple[Panel, Forecast] | None = None
    point: str = MEDIAN

    @property
    def fallbacks(self) -> int:
        """Series that the model in service did not forecast."""
        return sum(why not in ("", IN_SERVICE) for why in self.reason) + len(self.sources_unseen)

    @property
    def sources_unseen(self) -> list[str]:
        """What the series without any value have their forecast from."""
        return [] if self.unseen is None else self.unseen[1].source.tolist()


def forecast_all(
    job: Job,
    snapshot: AsOfSnapshot,
    service: Service,
    seasons: tuple[int, ...],
    factors: np.ndarray,
    arima_seconds: float,
    listener: Listener,
    unable: np.ndarray | None = None,
    point: str = MEDIAN,
) -> Made:
    """Forecasts every series of the snapshot.

    factors (Q,): online adjustment of the intervals; unable object (S,): why the model in service
    cannot forecast a series, "" where it can (None: anywhere); point: which, as `with_point` has
    it, whoever forecasts.
    """
    negative = job.settings.forecast.allow_negative
    whole = _Whole.empty(snapshot, steps_ahead(snapshot, service.horizon), point)
    known = sum_by_series(np.isfinite(snapshot.panel.values).astype(float), snapshot.panel.offsets)
    enough = known >= LEAST_VALUES
    name = None
    if service.forecaster is not None:
        name = PRETRAINED_SOURCE if service.kind == PRETRAINED else service.forecaster.name
        able = enough if unable is None else enough & (unable == "")
        if unable is not None:
            whole.explain(unable)
        network = _network(service.forecaster, negative)
        whole.fill(network, name, able, listener, _adjusted(factors, negative))
    failed = int((whole.missing & enough).sum()) if name else 0
    if name is not None and whole.missing.any():
        whole.explain(np.where(enough, "", TOO_SHORT))
        whole.fill_from_classes(name, (known > 0) & ~enough)
        if service.kind != PRETRAINED:
            standing, plain = _pretrained(job, snapshot, seasons), np.ones(len(LEVELS))
            whole.fill(standing, PRETRAINED_SOURCE, enough, listener, _adjusted(plain, negative))
        whole.fill(_arima(job, service, arima_seconds, listener), ARIMA_SOURCE, enough, listener)
    whole.fill(_naive(service), NAIVE_SOURCE, known > 0, listener)
    made = whole.made(name or NAIVE_SOURCE, failed)
    if name is None:
        made.reason[made.forecast.available] = IN_SERVICE
    return made


def blend_of(
    job: Job,
    snapshot: AsOfSnapshot,
    service: Service,
    made: Made,
    seconds: float,
    listener: Listener,
) -> Forecast | None:
    """The forecast blended with baselines that are fitted now, in `seconds`, with its point; None
    where the model in service is not combined.

    Where it made no forecast, or the blend's is implausible, the one that was made stands.
    """
    if service.blend is None or not job.settings.baselines.blend:
        return None
    listener.stage("Fitting what is blended")
    steps, main = made.forecast.point.shape[1], made.forecast
    served = made.reason == ""
    own = replace(main, source=np.where(served, main.name, main.source).astype(object))
    parts = {next(iter(service.blend.weights)): own}  # the network comes first
    fitted = statistical(
        snapshot.panel, snapshot.panel.lengths[None], steps + int(snapshot.lags.max()),
        service.blend.names, np.array(LEVELS), service.season, job.settings,
        budget=seconds, listener=listener,
    )  # fmt: skip
    parts |= {name: _after_lags(each, snapshot.lags, steps) for name, (each,) in fitted.items()}
    (blend,) = blended({n: [each] for n, each in parts.items()}, service.blend, made.point)[BLEND]
    for note in blend.notes:
        listener.note(note)
    served &= objections(snapshot.panel, blend.quantile(0.5), blend.quantiles) == ""
    return replace(
        blend,
        point=np.where(served[:, None], blend.point, main.point),
        quantiles=np.where(served[:, None, None], blend.quantiles, main.quantiles),
        source=np.where(served, blend.source, main.source),
        available=main.available,
    )


def _after_lags(made: Forecast, lags: np.ndarray, steps: int) -> Forecast:
    """The `steps` steps after the as-of, which lies `lags` (S,) steps after each series' end."""
    at = lags[:, None] + np.arange(steps)
    point = np.take_along_axis(made.point, at, 1)
    return replace(
        made, point=point, quantiles=np.take_along_axis(made.quantiles, at[:, :, None], 1)
    )


def steps_ahead(snapshot: AsOfSnapshot, horizon: int) -> int:
    """Steps of the grid after the as-of in which every series has `horizon` that there are."""
    return reach(snapshot.panel, snapshot.position + 1 - snapshot.panel.first, horizon)


Make = Callable[[Panel, int], Forecast]  # the forecast of so many steps after every series' end


Adjust = Callable[[Forecast], Forecast]  # a forecast with its intervals adjusted


def _network(forecaster: Forecaster, negative: bool) -> Make:
    def make(panel: Panel, horizon: int) -> Forecast:
        return forecast_panel(forecaster, panel, horizon, allow_negative=negative)

    return make


def _adjusted(factors: np.ndarray, negative: bool) -> Adjust:
    """factors (Q,): on the distances of the quantiles from the median."""

    def adjust(made: Forecast) -> Forecast:
        quantiles = stretch(made.quantiles, factors)
        if not negative:
            floor = np.where((made.quantiles >= 0).all((1, 2)), 0.0, -np.inf)
            quantiles = np.maximum(quantiles, floor[:, None, None])
        return replace(made, quantiles=quantiles)

    return adjust


def _pretrained(job: Job, snapshot: AsOfSnapshot, seasons: tuple[int, ...]) -> Make:
    """Its intervals are fitted to all series of the snapshot, not to those that it forecasts."""

    def make(panel: Panel, horizon: int) -> Forecast:
        forecaster = pretrained_service(job, snapshot.panel, seasons).forecaster
        assert forecaster is not None
        return _network(forecaster, job.settings.forecast.allow_negative)(panel, horizon)

    return make


def _arima(job: Job, service: Service, seconds: float, listener: Listener) -> Make:
    def make(panel: Panel, horizon: int) -> Forecast:
        made = forecast_baselines(
            panel=panel,
            origins=panel.lengths,
            horizon=horizon,
            names=("arima",),
            levels=np.array(LEVELS),
            season=service.season,
            budget=seconds,
            jobs=job.settings.training.jobs or available_cores(),
            listener=listener,
            allow_negative=job.settings.forecast.allow_negative,
        )
        return next(iter(made.values()))

    return make


def _naive(service: Service) -> Make:
    def make(panel: Panel, horizon: int) -> Forecast:
        return seasonal_naive(panel, panel.lengths, horizon, np.array(LEVELS), service.season)

    return make


@dataclass
class _Whole:
    """Forecasts as they come together; `missing` (S,): series that have none yet.

    point: which one they get in the end; until then `medians`. plain: the quantiles before they
    were adjusted to their live coverage, of which means are taken: an interval that held too much
    says nothing against the mean.
    """

    snapshot: AsOfSnapshot
    point: str
    medians: np.ndarray
    quantiles: np.ndarray
    plain: np.ndarray
    source: np.ndarray
    reason: np.ndarray

    @staticmethod
    def empty(snapshot: AsOfSnapshot, horizon: int, point: str) -> _Whole:
        size = snapshot.panel.size
        quantiles = np.full((size, horizon, len(LEVELS)), np.nan)
        return _Whole(
            snapshot,
            point,
            np.full((size, horizon), np.nan),
            quantiles,
            quantiles.copy() if point == MEAN else quantiles,
            np.full(size, "", object),
            np.full(size, "", object),
        )

    @property
    def missing(self) -> np.ndarray:
        return np.asarray(self.source == "")

    def explain(self, why: np.ndarray) -> None:
        """Says why the model in service has no forecast, where nothing was said yet; why object
        (S,), "" for nothing."""
        rows = self.missing & (self.reason == "") & (why != "")
        self.reason[rows] = why[rows]

    def fill(
        self,
        make: Make,
        name: str,
        able: np.ndarray,
        listener: Listener,
        adjust: Adjust = lambda made: made,
    ) -> None:
        """Lets one forecaster try the missing series that it is `able` (S,) to forecast."""
        rows = np.flatnonzero(self.missing & able)
        if not len(rows):
            return
        horizon = self.medians.shape[1]
        lags = self.snapshot.lags[rows]
        panel = self.snapshot.panel.select(rows)
        try:
            plain = make(panel, horizon + int(lags.max()))
            made = adjust(plain)
        except ForecastError:
            raise
        except Exception as problem:  # one forecaster's bug must not cost the others' forecasts
            listener.warn("run/forecaster-failed", f"{name}: {type(problem).__name__}: {problem}")
            failed = np.isin(np.arange(len(self.missing)), rows)
            self.explain(np.where(failed, f"{name} failed", ""))
            return
        made, plain = (_after_lags(each, lags, horizon) for each in (made, plain))
        wrong = objections(panel, made.point, made.quantiles)
        wrong[~made.available & (wrong == "")] = "no forecast"
        wrong[np.asarray(made.source != made.name) & (wrong == "")] = "it fell back"
        good = wrong == ""
        self.medians[rows[good]], self.plain[rows[good]] = made.point[good], plain.quantiles[good]
        self.quantiles[rows[good]] = made.quantiles[good]  # the last, as `plain` may be the same
        self.source[rows[good]] = name
        for at in np.flatnonzero(~good):
            if self.reason[rows[at]] == "":
                self.reason[rows[at]] = f"{name}: {wrong[at]}"

    def fill_from_classes(self, name: str, new: np.ndarray) -> None:
        """Gives the missing of the `new` (S,) series what `name` forecast of their class."""
        made, plain = (
            with_class_levels(each, self.snapshot.panel)
            for each in self._forecasts(name, ~self.missing | new)
        )
        self.medians, self.quantiles, self.source = made.point, made.quantiles, made.source
        self.plain = plain.quantiles if self.point == MEAN else self.quantiles

    def _forecasts(self, name: str, available: np.ndarray) -> tuple[Forecast, Forecast]:
        """What is published, with medians, and the same before it was adjusted."""
        origins = self.snapshot.position + 1 - self.snapshot.panel.first
        made = Forecast(
            name, origins, self.medians, np.array(LEVELS), self.quantiles, self.source, available
        )
        return made, replace(made, quantiles=self.plain)

    def _pointed(self, made: Forecast, plain: Forecast) -> Forecast:
        """`made` with the point that is asked for."""
        of = plain if self.point == MEAN else made
        return replace(made, point=with_point(of, self.point).point)

    def made(self, service: str, failed: int) -> Made:
        self.reason[np.asarray(self.source == service)] = ""
        made, plain = self._forecasts(service, ~self.missing)
        forecast, unseen = self._pointed(made, plain), of_unseen(made, self.snapshot.panel)
        if unseen is not None and (before := of_unseen(plain, self.snapshot.panel)) is not None:
            unseen = unseen[0], self._pointed(unseen[1], before[1])
        # The column that readers count on keeps its name, whatever serves: `source` says what did.
        forecast = replace(forecast, name=LSTM)
        return Made(forecast, self.reason, failed, unseen=unseen, point=self.point)


def objections(panel: Panel, point: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """object (S,): what is wrong with each series' forecast, "" for nothing.

    point (S, H), quantiles (S, H, Q). Not finite; quantiles that cross; or a point further than
    FAR times the history's range (at least half of its largest value) outside of it.
    """
    found = np.full(panel.size, "", object)
    series = np.repeat(np.arange(panel.size), panel.lengths)
    known = np.isfinite(panel.values)
    low, high = np.full(panel.size, np.inf), np.full(panel.size, -np.inf)
    np.minimum.at(low, series[known], panel.values[known])
    np.maximum.at(high, series[known], panel.values[known])
    reach = np.maximum(high - low, 0.5 * np.maximum(np.abs(low), np.abs(high)))
    reach = FAR * np.where(reach > 0, reach, 1.0)
    finite = np.isfinite(point).all(1) & np.isfinite(quantiles).all((1, 2))
    with np.errstate(invalid="ignore"):
        far = (point < (low - reach)[:, None]) | (point > (high + reach)[:, None])
        crossing = (np.diff(quantiles, axis=2) < 0).any((1, 2))
    for s in np.flatnonzero(finite & far.any(1)):
        worst = point[s][far[s]][0]
        found[s] = f"implausible: {worst:.4g} where the history is {low[s]:.4g} to {high[s]:.4g}"
    found[finite & crossing] = "its quantiles cross"
    found[~finite] = "it is not a finite number"
    return found


# --- Intervals that follow their live coverage: adaptive conformal inference ---------------------
# After each run whose steps came true, the miss rate alpha that an interval aims at moves against
# its error: alpha <- alpha + RATE (nominal - misses) (Gibbs & Candes 2021, equation 2). An interval
# at the moved rate is the forecast's own, stretched around the median by the ratio of the normal
# quantiles. It is bounded, and a new model, which has a calibration of its own, goes half way back.
# Everything is computed from the ledger's scores alone: there is no state to lose.


RATE = 0.05
LEAST = 20  # values that must have come true for a run to say anything
LOWEST, HIGHEST = 0.02, 4.0  # times the nominal miss rate; at most 0.9
METHOD = "adaptive conformal inference (Gibbs & Candes 2021)"


def stretches(scores: Sequence[StepScore], levels: Sequence[float]) -> tuple[np.ndarray, int]:
    """Factors (Q,) for the distances of quantiles from the median, and the runs they come from.

    scores: of all runs, by cutoff; levels (Q,): ascending and symmetric.
    """
    factors = np.ones(len(levels))
    normal = NormalDist()
    updates = 0
    for low in range(len(levels) // 2):
        high = len(levels) - 1 - low
        nominal = 1 - (levels[high] - levels[low])
        misses = miss_rates(scores, f"{100 * (1 - nominal):g}")
        rate = adapted([m for _, m in misses], [model for model, _ in misses], nominal)
        updates = max(updates, len(misses))
        factors[low] = factors[high] = normal.inv_cdf(1 - rate / 2) / normal.inv_cdf(
            1 - nominal / 2
        )
    return factors, updates


def miss_rates(scores: Sequence[StepScore], level: str) -> list[tuple[str, float]]:
    """(model, share of actuals outside the `level` per cent interval) of each run, by cutoff."""
    runs: dict[str, tuple[str, int, int]] = {}
    for score in scores:
        if level in score.inside:
            model, count, inside = runs.get(score.run, (score.model, 0, 0))
            runs[score.run] = (model, count + score.count, inside + score.inside[level])
    return [(model, 1 - inside / n) for model, n, inside in runs.values() if n >= LEAST]


def adapted(misses: Sequence[float], models: Sequence[str], nominal: float) -> float:
    """The miss rate to aim at after these runs, in their order."""
    low, high = LOWEST * nominal, min(HIGHEST * nominal, 0.9)
    rate, before = nominal, None
    for missed, model in zip(misses, models, strict=True):
        if before is not None and model != before:
            rate = (rate + nominal) / 2
        before = model
        rate = min(max(rate + RATE * (nominal - missed), low), high)
    return rate
