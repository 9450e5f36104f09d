"""A hierarchy from the settings to forecasts that add up, level by level.

Axes: R nodes, W windows (held-out origins), H horizon (steps).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forecast.common.errors import InputError, UsageError
from forecast.config.schema import DataSettings, Settings
from forecast.data.checks import sums_among
from forecast.data.forecast import Forecast
from forecast.data.io.notes import quantity
from forecast.data.io.table import read_plain
from forecast.data.limits import never_negative
from forecast.data.load import LoadReport
from forecast.data.panel import Panel
from forecast.evaluation import metrics
from forecast.evaluation.catalogue import Metric, Scored, judging, metric_named
from forecast.evaluation.level_table import BEFORE
from forecast.evaluation.scores import score_forecasts
from forecast.inference.point import MEAN, quantile_of, with_point
from forecast.inference.predict import forecast_panel
from forecast.inference.reconciliation import (
    BOTTOM_UP,
    MANY_NODES,
    METHODS,
    NONE,
    TOP_DOWN,
    Errors,
    Reconciler,
    has_library,
    in_brief,
    past_errors,
    reconciled,
)
from forecast.models.forecaster import Forecaster
from forecast.training.plan import Plan, Reason
from forecast.transforms.demand import is_intermittent
from forecast.transforms.hierarchy import (
    Aggregated,
    Factors,
    Hierarchy,
    Labels,
    aggregate,
    columns_of,
    labels_from,
    level_name,
    parse_hierarchy,
)

RECONCILE = "reconciliation"  # the choice's name among the reasons of a run, and in its manifest
MOST_JUDGED = 6  # origins that a method is judged by
CLASH = "input/duplicate-time"


def refuse_hierarchy(settings: DataSettings, command: str) -> None:
    """Raises UsageError where sums are asked of a command that forecasts series alone."""
    for flag, value in (("--hierarchy", settings.hierarchy), ("--by", settings.by)):
        if value:
            raise UsageError(
                f"{command} works on the series themselves, not on their sums",
                code="usage/hierarchy-here",
                where=flag,
                value=value,
                remedy="Leave it out, or take a model that was trained without; train, predict and "
                "forecast know hierarchies, and check what they would be",
            )


def factors_of(settings: DataSettings) -> Factors:
    """The hierarchy that --hierarchy or --by names; () without. Raises UsageError for both."""
    if settings.hierarchy and settings.by:
        raise UsageError(
            "a hierarchy holds the sums over its columns already",
            code="usage/hierarchy-and-by",
            where="--by",
            value=settings.by,
            remedy="Give --hierarchy for every level, or --by for the sums alone",
        )
    text = settings.hierarchy or settings.by
    return parse_hierarchy(text) if text else ()


def read_with_columns(
    read: Callable[[DataSettings], tuple[Panel, LoadReport]], settings: DataSettings
) -> tuple[Panel, LoadReport]:
    """What `read` gives with the hierarchy's columns among the static covariates, or, where it is
    they that tell the series apart, as the parts of the ids: also where --id-col names one level
    whose names return elsewhere (a shop of the same name in two regions)."""
    columns = columns_of(factors_of(settings))
    elsewhere = (
        () if settings.static is None else tuple(read_plain(settings.static, settings).columns)
    )
    own = {name.strip().lower() for name in (settings.id_col or "").split(",") if name.strip()}
    beside = {name.lower() for name in (*elsewhere, *settings.static_cov)}
    wanted = tuple(column for column in columns if column.lower() not in own | beside)
    lowered = {column.lower() for column in columns}
    joinable = own < lowered and not beside & lowered
    words = {"categorical": tuple(dict.fromkeys((*settings.categorical, *columns)))}
    asked = settings.model_copy(update={"static_cov": (*settings.static_cov, *wanted), **words})
    try:
        return read(asked)
    except InputError as error:
        _advise(error, settings, wanted)
        if error.code != CLASH:
            raise
        if own and not own & lowered and wanted:
            raise _with_more_columns(error, read, settings, wanted) from None
        if not joinable:
            raise
        together = settings.model_copy(update={"id_col": ",".join(columns), **words})
        try:
            return read(together)
        except InputError:
            raise error from None


def _advise(error: InputError, settings: DataSettings, wanted: Sequence[str]) -> None:
    """Says in the remedy of `error` what helps where the columns are asked for as a hierarchy's."""
    flag, text = ("--by", settings.by) if settings.by else ("--hierarchy", settings.hierarchy)
    if error.code == "input/missing-column" and error.value in wanted:
        remedy = (error.remedy or "").replace("--set data.static_cov", flag)
        error.remedy = f"{remedy}; or give it in a table of the series: --static FILE"
    elif error.code == "input/static-missing":
        error.remedy = "Add what is missing with its place in the hierarchy (a blank marks a sum)"
    elif error.code == "input/blank-id":
        instead = " in place of --by" if settings.by else ""
        error.remedy = (
            "Where such a row is a sum of others, name the column that is blank last: --hierarchy "
            f"{text}/COLUMN{instead}; else fill it"
        )


def _with_more_columns(
    error: InputError,
    read: Callable[[DataSettings], tuple[Panel, LoadReport]],
    settings: DataSettings,
    wanted: Sequence[str],
) -> InputError:
    """`error`, with the ids that tell the rows apart in its remedy where there are such ids."""
    ids = ",".join((settings.id_col or "", *wanted))
    try:
        read(settings.model_copy(update={"id_col": ids}))
    except InputError:
        return error
    error.remedy = f"If these are different series, tell them apart: --id-col {ids}"
    return error


def labels_of(panel: Panel, report: LoadReport, factors: Factors) -> Labels:
    """Where each series belongs, by the parts of its id and its static covariates. Raises
    InputError."""
    ids = report.columns.get("id")
    names = [str(name).lower() for name in ids] if isinstance(ids, list) else []
    columns = columns_of(factors)
    in_id = [column for column in columns if column.lower() in names]
    beside = tuple(column for column in columns if column not in in_id)
    of = labels_from(panel, (beside,)).of if beside else {}
    if in_id:
        parts = _parts(panel.ids, len(names))
        of |= {
            column: np.array([each[names.index(column.lower())] for each in parts], dtype=object)
            for column in in_id
        }
    return Labels(factors, {column: of[column] for column in columns})


def _parts(ids: np.ndarray, count: int) -> list[list[str]]:
    """The columns' values that each id was joined from. Raises InputError where that cannot be
    told."""
    parts = [str(name).split("/") if count > 1 else [str(name)] for name in ids]
    wrong = next((s for s, each in enumerate(parts) if len(each) != count), None)
    if wrong is not None:
        raise InputError(
            "the id cannot be split into the columns that it was joined from",
            code="input/hierarchy-ids",
            where="--hierarchy",
            value=str(ids[wrong]),
            remedy="Give the series an id column of its own, with --id-col",
        )
    return parts


@dataclass(frozen=True)
class Levels:
    """The nodes that are forecast, None where only sums are; method: how they are made to add up,
    "" where that is not chosen yet."""

    hierarchy: Hierarchy
    method: str = ""

    @property
    def names(self) -> np.ndarray:
        """object (R,): the level of each node."""
        return self.hierarchy.names()


def to_levels(
    panel: Panel, report: LoadReport, settings: DataSettings
) -> tuple[Panel, Levels | None, tuple[str, ...]]:
    """The panel of all levels, their hierarchy, and what was found; with --by the panel of the
    sums, and None.

    Columns of the hierarchy that are not covariates by name are none for the network.
    """
    factors = factors_of(settings)
    labels = labels_of(panel, report, factors)
    _refuse_sums(panel, labels)
    season = report.seasons[0] if report.seasons else 1
    made = aggregate(
        _without(panel, factors, settings), labels, season, ignore_parents=settings.ignore_parents
    )
    if settings.by:
        return _sums_alone(made, factors), None, made.notes
    return made.panel, Levels(made.hierarchy), made.notes


def _refuse_sums(panel: Panel, labels: Labels) -> None:
    paths = zip(*labels.of.values(), panel.ids, strict=True)
    found = sums_among(panel, ("/".join(map(str, path)) for path in paths))
    if len(found):
        raise InputError(
            "a series is the sum of others: in the sums that are made it would count twice",
            code="input/sums-among-series",
            where="the data",
            value=str(panel.ids[found[0]]),
            remedy="Leave the rows of such series out "
            f"({quantity(len(found), 'series', 'series')}), or leave their column blank where a "
            "row is a sum over it",
        )


def _without(panel: Panel, factors: Factors, settings: DataSettings) -> Panel:
    """The panel without the covariates that are columns of the hierarchy and nothing else."""
    if panel.covariates is None:
        return panel
    asked = {name.lower() for name in settings.static_cov}
    columns = {column.lower() for column in columns_of(factors)} - asked
    kept = tuple(c for c in panel.covariates.columns if c.name.lower() not in columns)
    rest = replace(panel.covariates, columns=kept) if kept else None
    return replace(panel, covariates=rest)


def _sums_alone(made: Aggregated, factors: Factors) -> Panel:
    """The sums over all columns, called by these where there is one."""
    name = level_name(columns_of(factors), factors)
    names = made.hierarchy.names()
    chosen = np.flatnonzero(names == (name if name in made.hierarchy.levels else names[0]))
    if name not in made.hierarchy.levels:  # each series is its own sum
        chosen = made.hierarchy.bottom[np.argsort(made.hierarchy.bottom)]
    panel = made.panel.select(chosen)
    columns = columns_of(factors)
    if len(columns) == 1:
        ids = panel.ids.copy()
        ids[:] = [str(each).removeprefix(f"{columns[0]}=") for each in panel.ids]
        if len(set(ids.tolist())) == len(ids):
            panel = replace(panel, ids=ids)
    return panel


def choose_method(
    levels: Levels,
    panel: Panel,
    forecaster: Forecaster,
    errors: Errors,
    plan: Plan,
    settings: Settings,
    point: str,
) -> Reason:
    """How forecasts are made to add up: as asked, or what forecasts the validation origins best,
    by the mean over levels of the metric that judges such points; where these are quantiles, which
    do not add up, of the means."""
    if settings.forecast.reconcile is not None:
        return (RECONCILE, settings.forecast.reconcile, "as asked (--reconcile)")
    added = point if quantile_of(point) is None else MEAN
    metric = metric_named(judging(is_intermittent(panel), added, ())[0])
    losses = _validation_losses(levels.hierarchy, panel, forecaster, errors, plan, added, metric)
    if not losses:
        return (RECONCILE, BOTTOM_UP, "no series is long enough to choose by")
    best = min(losses, key=lambda name: losses[name])
    told = ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
    return (
        RECONCILE,
        best,
        f"lowest {metric.heading}{'' if added == point else ' of the means'} over the levels on "
        f"validation origins and those before: {told}",
    )


def _validation_losses(
    hierarchy: Hierarchy,
    panel: Panel,
    forecaster: Forecaster,
    errors: Errors,
    plan: Plan,
    point: str,
    metric: Metric,
) -> dict[str, float]:
    """Mean over levels of the mean `metric` of each method on the validation origins, and those a
    quarter of the horizon before each other; {} without.

    What all series have in common goes one way at one origin, and a method that errs the other way
    looks good there: one origin says little of the total, however many series there are.
    """
    sums: dict[str, list[float]] = {}
    forecaster = in_brief(forecaster, hierarchy.size)
    for row in _judged(plan, hierarchy.size):
        origins = np.where(row >= 0, row, panel.lengths)
        cut = panel.truncate(origins)
        made = with_point(forecast_panel(forecaster, cut, plan.horizon), point)
        together = hierarchy.rows_kept(_begins_with_the_total(panel, hierarchy, row))
        if not together[hierarchy.bottom].any():
            continue
        part = hierarchy.part(together)
        past = errors.before(_steps_back(panel, hierarchy, origins)).of(together, hierarchy)
        actual = panel.window(origins, plan.horizon)[together]
        scale, squared = (
            metrics.seasonal_errors(cut.values, cut.offsets, plan.season, power=power)[together]
            for power in (1, 2)
        )
        nonnegative = never_negative(cut)[together]
        for method in METHODS if has_library() else (BOTTOM_UP, TOP_DOWN):
            one = Reconciler(method, part, past, nonnegative=nonnegative)
            coherent = one.coherent(made.point[together])
            loss = _loss(metric, actual, coherent, scale, squared)
            by_level = [loss[part.level == each] for each in np.unique(part.level)]
            known = [np.nanmean(each) for each in by_level if np.isfinite(each).any()]
            sums.setdefault(method, []).append(float(np.mean(known)) if known else np.nan)
    return {m: float(np.nanmean(each)) for m, each in sums.items() if np.isfinite(each).any()}


def _loss(
    metric: Metric,
    actual: np.ndarray,
    made: np.ndarray,
    scale: np.ndarray,
    squared_scale: np.ndarray,
) -> np.ndarray:
    """`metric` of points `made` (S, H) for each series, (S,)."""
    assert metric.per_series is not None
    return metric.per_series(
        Scored(
            own=np.ones(len(actual), bool),
            actual=actual,
            point=made,
            scale=scale,
            squared_scale=squared_scale,
            levels=np.empty(0),
            quantiles=np.empty((*made.shape, 0)),
        )
    )


def _judged(plan: Plan, nodes: int) -> Iterator[np.ndarray]:
    """Validation origins (R,), -1 for none, and earlier ones: of many nodes none but the former."""
    rows = list(plan.validation)
    yield from rows
    if not rows or nodes > MANY_NODES:
        return
    first = rows[0]
    for back in range(1, MOST_JUDGED - len(rows) + 1):
        earlier = first - back * max(1, plan.horizon // 4)
        yield np.where((first >= 0) & (earlier >= plan.keep / 2), earlier, -1)


def _begins_with_the_total(panel: Panel, hierarchy: Hierarchy, row: np.ndarray) -> np.ndarray:
    whole = hierarchy.whole
    at = panel.first + row
    return np.asarray((row >= 0) & (at == at[whole]) & (row[whole] >= 0))


def _steps_back(panel: Panel, hierarchy: Hierarchy, origins: np.ndarray) -> int:
    """Steps from the origin of the total to the end."""
    return int(panel.lengths[hierarchy.whole] - origins[hierarchy.whole])


def reconcile_windows(
    made: Sequence[Forecast],
    panel: Panel,
    levels: Levels,
    forecaster: Forecaster,
    errors: Errors,
    settings: Settings,
    point: str,
) -> list[Forecast]:
    """Each forecast (one an origin) with points that add up and coherent intervals; what is known
    of past errors is cut off at its origin. Quantiles do not add up: where `point` is one, the
    points are every node's own, of what is reconciled."""
    together = [
        reconciled(
            each,
            panel,
            levels.hierarchy,
            errors.before(_steps_back(panel, levels.hierarchy, each.origins)),
            levels.method,
            forecaster.dependence,
            allow_negative=settings.forecast.allow_negative,
            seed=settings.training.seed,
        )
        for each in made
    ]
    if quantile_of(point) is None:
        return together
    return [with_point(each, point) for each in together]


def errors_of(
    forecaster: Forecaster, panel: Panel, levels: Levels, horizon: int, earliest: int = 0
) -> Errors:
    """Past errors of all nodes, as they are known up to `earliest` steps before the end."""
    return past_errors(forecaster, panel, levels.hierarchy, horizon, earliest)


def method_of(settings: Settings, manifest: Mapping[str, Any]) -> str:
    """The method that is asked for now, else that of the trained model, else the usual."""
    if settings.forecast.reconcile is not None:
        return settings.forecast.reconcile
    for each in manifest.get("chosen") or ():
        if isinstance(each, Mapping) and each.get("name") == RECONCILE:
            return str(each.get("value"))
    return METHODS[0] if has_library() else BOTTOM_UP


def level_rows(
    panel: Panel,
    levels: Levels,
    held_out: Mapping[str, Sequence[Forecast]],
    before: Sequence[Forecast],
    season: int,
    intervals: Sequence[float],
    point: str,
) -> list[dict[str, Any]]:
    """The scores of every forecaster on each level, the network before and after reconciliation."""
    network = next(iter(held_out))
    everyone = {network: held_out[network], f"{network} {BEFORE}": before, **held_out}
    if levels.method == NONE:
        del everyone[f"{network} {BEFORE}"]
    rows = []
    for number, name in enumerate(levels.hierarchy.levels):
        chosen = np.flatnonzero(levels.hierarchy.level == number)
        if not len(chosen):
            continue
        part = panel.select(chosen)
        made = {
            title: [_renamed(_rows(each, chosen), title) for each in forecasts]
            for title, forecasts in everyone.items()
        }
        table = score_forecasts(part, made, season, intervals, point=point)
        rows += [{"level": name, "nodes": len(chosen), **row} for row in table.to_rows()]
    return rows


def _rows(made: Forecast, rows: np.ndarray) -> Forecast:
    return replace(
        made,
        origins=made.origins[rows],
        point=made.point[rows],
        quantiles=made.quantiles[rows],
        source=made.source[rows],
        available=made.available[rows],
    )


def _renamed(made: Forecast, title: str) -> Forecast:
    """The forecast under another name, its own rows still its own."""
    source = np.where(made.source == made.name, title, made.source).astype(object)
    return replace(made, name=title, source=source)
