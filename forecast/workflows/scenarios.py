"""What if: one model, several futures of the covariates known ahead, side by side.

Axes: C scenarios, S series, N paths, H horizon (steps).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from forecast.common.errors import InputError, UsageError
from forecast.common.progress import Listener
from forecast.config.schema import Settings
from forecast.data.forecast import Forecast
from forecast.data.limits import never_negative
from forecast.data.open_steps import reach, rows_ahead
from forecast.data.panel import COV_SHORT, FUTURE, Panel, interval_names
from forecast.inference.class_level import with_class_levels
from forecast.inference.effect_error import EffectError, effect_error
from forecast.inference.formats.registry import USUAL, format_of
from forecast.inference.point import MEDIAN, quantile_of, with_point
from forecast.inference.predict import at_levels, forecast_panel
from forecast.inference.reconciliation import NONE, Errors, coherent_paths
from forecast.inference.sample_paths import paths_from
from forecast.inference.tables import FORECAST, forecast_table, numbers, wanted_levels, with_level
from forecast.models.forecaster import Forecaster
from forecast.workflows.demand import EACH_ITS_OWN, point_of
from forecast.workflows.hierarchy import Levels, errors_of, method_of, reconcile_windows
from forecast.workflows.load import Found, find_model
from forecast.workflows.predict import (
    check_table,
    covered,
    new_predictions,
    sheets,
    with_dates,
    with_point_setting,
    write_table,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from forecast.workflows.load import Source

SCENARIO, CHANGE = "scenario", "change"  # columns: which one, and what it adds to the first
PATHS = 1000  # by which intervals of differences are told
AT_ONCE = 2_000_000  # values of paths that are held at a time


@dataclass(frozen=True)
class ScenarioResult:
    """What `predict --scenario` did; chart: that of the first series, for a terminal; point: what
    the forecasts are, "median", "mean" or a quantile."""

    path: str
    scenarios: tuple[str, ...]
    rows: int
    series: int
    model: Path
    horizon: int
    exit_code: int
    chart: str
    predictions: pa.Table
    point: str


@dataclass(frozen=True)
class AddingUp:
    """How the levels of a hierarchy are made to add up, alike in all scenarios.

    errors: of all nodes in the past; alone: each scenario's forecast as it was before.
    """

    levels: Levels
    errors: Errors
    alone: dict[str, Forecast]


def parse_scenarios(given: Sequence[str]) -> dict[str, str]:
    """Name -> file of "NAME=FILE" texts. Raises UsageError: another form, a name twice."""
    found: dict[str, str] = {}
    for text in given:
        name, mark, path = text.partition("=")
        if not (mark and name.strip() and path.strip()) or name.strip() in found:
            raise UsageError(
                "a scenario is a name of its own and a table of covariates",
                code="usage/scenario",
                where="--scenario",
                value=text,
                remedy="For example: --scenario base=outlook.csv --scenario promo=promo.csv",
            )
        found[name.strip()] = path.strip()
    return found


def scenarios_run(
    source: Source | None,
    given: Mapping[str, str],
    settings: Settings,
    listener: Listener,
    *,
    model: str | None = None,
    output: str | None = None,
) -> ScenarioResult:
    """Forecasts `source` once for each of the futures `given` (name -> table of covariates).

    The table has a column `scenario` and, for each but the first, what it changes: the difference
    of the points to the first's, with intervals from paths that share their random numbers, as wide
    as members disagree and as changes of these covariates were wrong before. The levels of a
    hierarchy add up in every scenario, and so do the changes. Raises
    UsageError (a model without covariates known ahead, --future-covariates as well), InputError.
    """
    check_table(output, None, FORECAST)
    _refuse_a_future_beside(settings)
    made: dict[str, tuple[Panel, Forecast]] = {}
    found: Found | None = None
    horizon = 0
    for name, path in given.items():
        listener.stage(f"Scenario {name}")
        data = settings.data.model_copy(update={"future_covariates": path})
        asked = settings.model_copy(update={"data": data})
        found = find_model(source, asked, listener, str(found.folder) if found else model)
        horizon = settings.forecast.horizon or found.forecaster.horizon
        made[name] = _forecast(found, asked, horizon)
    assert found is not None
    point = point_of(settings, found.manifest)
    settings = with_point_setting(settings, point)
    made, adding = _added_up(made, found, settings, listener)
    table = scenario_table(made, found.forecaster, settings, horizon, listener, adding)
    chosen = format_of(output or USUAL)
    where = write_table(
        table,
        output,
        new_predictions(found.folder.parent),
        FORECAST,
        dated=_with_dates(table, made, horizon) if chosen.dated else None,
        beside=_sheets(settings, found, given, horizon, adding) if chosen.beside else None,
    )
    panel = next(iter(made.values()))[0]
    fallen = any((each.source != found.forecaster.name).any() for _, each in made.values())
    return ScenarioResult(
        path=where,
        scenarios=tuple(given),
        rows=table.num_rows,
        series=panel.size,
        model=found.folder,
        horizon=horizon,
        exit_code=3 if fallen or found.report.skipped else 0,
        chart=_chart(panel, made, settings),
        predictions=table,
        point=point,
    )


def _refuse_a_future_beside(settings: Settings) -> None:
    if settings.data.future_covariates:
        raise UsageError(
            "each scenario has its own future covariates",
            code="usage/scenario-and-future",
            where="--future-covariates",
            value=settings.data.future_covariates,
            remedy="Give that file as a scenario: --scenario base=FILE",
        )


def _with_dates(
    table: pa.Table, made: Mapping[str, tuple[Panel, Forecast]], horizon: int
) -> pa.Table:
    """The table of all scenarios with times as timestamps."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = [
        with_dates(table.filter(pc.equal(table.column(SCENARIO), name)), panel, each, horizon)
        for name, (panel, each) in made.items()
    ]
    return pa.concat_tables(parts)


def _sheets(
    settings: Settings,
    found: Found,
    given: Mapping[str, str],
    horizon: int,
    adding: AddingUp | None,
) -> dict[str, pa.Table]:
    """What stands in a workbook beside the scenarios: as of a forecast, and each one's file."""
    more = [(f"scenario {name}", path) for name, path in given.items()]
    levels = None if adding is None else adding.levels
    return sheets(settings, found.folder, horizon, levels, more)


def _forecast(found: Found, settings: Settings, horizon: int) -> tuple[Panel, Forecast]:
    forecaster = found.forecaster
    names = () if forecaster.design is None else [e.name for e in forecaster.design.of(FUTURE)]
    if not names:
        raise UsageError(
            "this model knows no covariates ahead, so no scenario can change its forecast",
            code="usage/scenario-without-covariates",
            where="--scenario",
            value=str(found.folder),
            remedy="Train one with --future-cov (it is kept where covariates help)",
        )
    steps = reach(found.panel, found.panel.lengths, horizon)
    try:
        panel = covered(found.panel, forecaster, horizon, settings)
    except InputError as error:
        if error.where != "--events":  # which are the same in all scenarios
            error.where = settings.data.future_covariates
            error.remedy = f"Give the steps to come in that file; {COV_SHORT}"
        raise
    made = forecast_panel(forecaster, panel, steps, allow_negative=settings.forecast.allow_negative)
    made = with_class_levels(made, panel, None if found.levels is None else found.levels.hierarchy)
    return panel, with_point(made, point_of(settings, found.manifest))


def _added_up(
    made: dict[str, tuple[Panel, Forecast]], found: Found, settings: Settings, listener: Listener
) -> tuple[dict[str, tuple[Panel, Forecast]], AddingUp | None]:
    """The forecasts of a hierarchy made to add up, and how; of single series as they are."""
    if found.levels is None:
        return made, None
    levels = replace(found.levels, method=method_of(settings, found.manifest))
    point = settings.forecast.point or MEDIAN
    if quantile_of(point) is not None:
        listener.note(f"point forecast {point}: {EACH_ITS_OWN}")
    panel, first = next(iter(made.values()))
    errors = errors_of(found.forecaster, panel, levels, first.point.shape[1])
    adding = AddingUp(levels, errors, {name: each for name, (_, each) in made.items()})
    together = {}
    for name, (panel, each) in made.items():
        done = reconcile_windows([each], panel, levels, found.forecaster, errors, settings, point)
        together[name] = panel, done[0]
    return together, adding


def scenario_table(
    made: Mapping[str, tuple[Panel, Forecast]],
    forecaster: Forecaster,
    settings: Settings,
    horizon: int,
    listener: Listener,
    adding: AddingUp | None = None,
) -> pa.Table:
    """All scenarios, one below the other: unique_id, ds, scenario, the forecast, and the change to
    the first with its intervals (missing for the first itself); of a hierarchy the level as well.
    """
    import pyarrow as pa

    asked = settings.forecast
    first_panel, first = next(iter(made.values()))

    def paths_of(name: str) -> np.ndarray:
        panel, each = made[name]
        if adding is None or adding.levels.method == NONE:
            return _paths(panel, each, forecaster, settings)
        return _coherent(panel, adding.alone[name], forecaster, settings, adding)

    base = paths_of(next(iter(made)))

    @cache
    def error_of(names: tuple[str, ...]) -> EffectError:  # scenarios change the same columns, often
        return _error_of(names, forecaster, first_panel, first.point.shape[1], listener)

    parts = []
    for number, (name, (panel, each)) in enumerate(made.items()):
        shown = at_levels(each, wanted_levels(asked.level, asked.quantiles))
        table = forecast_table(panel, [shown], asked.level, asked.quantiles, horizon)
        kept = np.flatnonzero(each.available)
        series, step, _ = rows_ahead(panel, kept, each.origins, each.point.shape[1], horizon)
        at = kept[series], step
        point = np.full(each.point.shape, np.nan) if number == 0 else each.point - first.point
        columns = {CHANGE: numbers(point[at])}
        gap = None
        if number:
            gap = paths_of(name) - base
            gap += _doubt(gap, first_panel, panel, forecaster, settings, error_of)
        for level in asked.level:
            tail = (1 - level / 100) / 2
            bounds = np.full((2, *each.point.shape), np.nan)
            if gap is not None:
                bounds = np.quantile(gap, (tail, 1 - tail), axis=1)
            for title, bound in zip(interval_names(CHANGE, level), bounds, strict=True):
                columns[title] = numbers(bound[at])
        table = table.add_column(2, SCENARIO, pa.array([name] * table.num_rows))
        for title, column in columns.items():
            table = table.append_column(title, column)
        parts.append(table)
    table = pa.concat_tables(parts, promote_options="default")
    return with_level(table, first_panel, None if adding is None else adding.levels.names)


def _error_of(
    names: Sequence[str], forecaster: Forecaster, panel: Panel, horizon: int, listener: Listener
) -> EffectError:
    """How far changes by the columns `names` were off in the past; where nothing tells, a warning
    says so."""
    error = effect_error(forecaster, panel, names, horizon)
    if not error.cells:
        told = ", ".join(repr(name) for name in names)
        text = f"{told} did not move in the last windows, so nothing tells how right its effect is"
        listener.warn("scenario/never-moved", f"{text}: the intervals of the change are wide")
    return error


def _doubt(
    gap: np.ndarray,
    first: Panel,
    other: Panel,
    forecaster: Forecaster,
    settings: Settings,
    error_of: Callable[[tuple[str, ...]], EffectError],
) -> np.ndarray:
    """What is to be added to the changes `gap` (S, N, H) as their effect is not known exactly: the
    error of such changes in the past, one for all steps of a path, and the members' own changes."""
    names = changed(first, other)
    if not names:
        return np.zeros_like(gap)
    horizon = gap.shape[2]
    error = error_of(tuple(names))
    random = np.random.default_rng(settings.training.seed + 1)
    doubt = gap * (error.share * random.standard_normal(gap.shape[:2]))[:, :, None]
    if len(forecaster.members) > 1:
        changes = [
            forecast_panel(alone, other, horizon).point
            - forecast_panel(alone, first, horizon).point
            for alone in (replace(forecaster, members=(m,)) for m in forecaster.members)
        ]
        apart = np.stack(changes, 1) - np.mean(changes, 0)[:, None]
        doubt += apart[:, np.arange(gap.shape[1]) % len(changes)]
    return doubt


def changed(first: Panel, other: Panel) -> list[str]:
    """The columns known ahead that differ between two futures."""
    assert first.covariates is not None and other.covariates is not None
    theirs = {column.name: column.values for column in other.covariates.columns}
    return [
        column.name
        for column in first.covariates.columns
        if column.role == FUTURE
        and not np.array_equal(column.values, theirs[column.name], equal_nan=True)
    ]


def _paths(panel: Panel, made: Forecast, forecaster: Forecaster, settings: Settings) -> np.ndarray:
    """(S, N, H) paths of one scenario; the random numbers are those of every other."""
    random = np.random.default_rng(settings.training.seed)
    noise = random.standard_normal((panel.size, _number(made), made.point.shape[1]))
    paths = paths_from(made, noise, forecaster.dependence)
    if not settings.forecast.allow_negative:
        never = never_negative(panel)
        paths[never] = np.maximum(paths[never], 0.0)
    return paths


def _coherent(
    panel: Panel, made: Forecast, forecaster: Forecaster, settings: Settings, adding: AddingUp
) -> np.ndarray:
    """As `_paths`, of a hierarchy's forecast before it was made to add up: paths that do."""
    paths = _paths(panel, made, forecaster, settings)
    nodes, drawn = coherent_paths(
        made,
        panel,
        adding.levels.hierarchy,
        adding.errors,
        adding.levels.method,
        forecaster.dependence,
        _number(made),
        allow_negative=settings.forecast.allow_negative,
        seed=settings.training.seed,
    )
    paths[nodes] = drawn
    return paths


def _number(made: Forecast) -> int:
    """How many paths of every series are held at once."""
    return max(20, min(PATHS, AT_ONCE // max(made.point.size, 1)))


def _chart(panel: Panel, made: Mapping[str, tuple[Panel, Forecast]], settings: Settings) -> str:
    """The first series under all scenarios, in characters, where a terminal will show it."""
    first = next(iter(made.values()))[1]
    if not sys.stdout.isatty() or not first.available[0]:
        return ""
    return draw_scenarios(panel, made, settings)


def draw_scenarios(
    panel: Panel, made: Mapping[str, tuple[Panel, Forecast]], settings: Settings
) -> str:
    """The first series' forecasts under all scenarios in one chart of characters."""
    from forecast.reporting.charts.fan import fan_chart
    from forecast.reporting.charts.terminal import terminal_chart

    levels = wanted_levels(settings.forecast.level, ())
    shown = [
        replace(at_levels(each, levels), name=name, source=np.full(len(each.source), name, object))
        for name, (_, each) in made.items()
    ]
    return terminal_chart(fan_chart(panel, 0, shown, settings.forecast.level))
