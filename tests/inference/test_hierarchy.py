"""Hierarchies: levels, sums over gaps, ends and beginnings, and forecasts that add up."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from forecast import forecast
from forecast.common.errors import InputError, UsageError
from forecast.config.schema import Settings
from forecast.data.forecast import Forecast
from forecast.data.frequency import Frequency
from forecast.data.panel import FUTURE, STATIC, Covariate, Covariates, Panel
from forecast.evaluation.level_table import level_lines
from forecast.inference.predict import forecast_panel
from forecast.inference.reconciliation import (
    METHODS,
    Errors,
    Reconciler,
    coherent_paths,
    own_errors,
    past_errors,
    reconciled,
    shared_errors,
    width_by_level,
)
from forecast.transforms.hierarchy import (
    Hierarchy,
    Labels,
    aggregate,
    labels_from,
    level_name,
    levels_of,
    parse_hierarchy,
)
from forecast.workflows.hierarchy import Levels, choose_method
from tests.builders import make_panel, random_forecaster

NESTED = (("state", "region"),)


def panel_of(ids: list[str], series: list[np.ndarray], first: list[int] | None = None) -> Panel:
    lengths = [len(each) for each in series]
    return Panel(
        np.array(ids, dtype=object),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate(series).astype(float),
        np.array(first or [0] * len(ids), dtype=np.int64),
        Frequency("MS"),
    )


def labels(states: str, regions: str) -> Labels:
    """One letter a series; a dot is a blank."""
    of = {
        "state": np.array([s.strip(".") for s in states], dtype=object),
        "region": np.array([r.strip(".") for r in regions], dtype=object),
    }
    return Labels(NESTED, of)


def test_commas_cross_and_slashes_nest():
    factors = parse_hierarchy("purpose, state/region")
    assert factors == (("purpose",), ("state", "region"))
    names = [level_name(level, factors) for level in levels_of(factors)]
    assert sorted(names) == sorted(
        ["total", "purpose", "state", "state/region", "purpose x state", "purpose x state/region"]
    )
    for wrong in ("state/state", "a,,b", "/a"):
        with pytest.raises(UsageError, match="names each of its columns once"):
            parse_hierarchy(wrong)


def test_every_level_is_the_sum_of_its_series_and_ids_do_not_collide():
    panel = panel_of(["a", "b", "c", "total"], [np.arange(6.0) + k for k in range(4)])
    made = aggregate(panel, labels("XXYY", "1122"), 1)
    assert made.hierarchy.levels == ("total", "state", "state/region", "series")
    ids = made.panel.ids.tolist()
    assert "total" in ids and "total (sum)" in ids and len(set(ids)) == len(ids)
    assert ids == sorted(ids)
    values = made.panel.values.reshape(len(ids), -1)
    assert values[ids.index("state=Y")] == pytest.approx(2 * np.arange(6.0) + 5)
    bottom = values[made.hierarchy.bottom]
    assert made.hierarchy.summing @ bottom == pytest.approx(values)
    assert made.hierarchy.names()[ids.index("total (sum)")] == "total"


def test_the_finest_level_is_left_out_where_it_is_the_series_themselves():
    panel = panel_of(["a", "b", "c"], [np.arange(6.0)] * 3)
    made = aggregate(panel, labels("XXY", "123"), 1)
    assert made.hierarchy.levels == ("total", "state", "state/region")
    assert made.panel.size == 1 + 2 + 3


def test_a_series_that_is_new_ended_late_or_has_a_gap_does_not_spoil_the_totals():
    t = np.arange(24.0)
    gap = 20 + t
    gap[10] = np.nan
    late = (200 + t)[:22]
    over = np.full(12, 7.0)
    new = np.full(4, 30.0)
    panel = panel_of(["gap", "late", "new", "over"], [gap, late, new, over], [0, 0, 20, 0])
    made = aggregate(panel, labels("XXXX", "1122"), 4)
    ids = made.panel.ids.tolist()
    assert made.ended == ("over",) and "over" not in ids
    total = made.panel.series(ids.index("total"))
    assert len(total) == 24 and np.isfinite(total[:11]).all()
    assert total[10] == pytest.approx(30 + 210 + 7)  # the gap is bridged
    assert total[13] == pytest.approx(33 + 213)  # over: nothing any more
    # late: as a season ago, or masked where too much of the sum would be made up
    region = made.panel.series(ids.index("state=X, region=1"))
    assert np.isnan(region[22:]).all() and np.isnan(total[22:]).all()
    assert total[21] == pytest.approx(41 + 221 + 30)
    assert made.panel.series(ids.index("late"))[22:] == pytest.approx([np.nan] * 2, nan_ok=True)
    assert len(made.panel.series(ids.index("new"))) == 4
    assert (made.panel.first + made.panel.lengths == 24).all()
    assert len(made.notes) == 4


def test_steps_that_never_are_are_no_gaps_of_a_sum_and_never_are_where_all_are_shut():
    t = np.arange(28)
    one, two = np.where(t % 7 == 6, np.nan, 10.0), np.where(t % 7 >= 5, np.nan, 1.0)
    panel = panel_of(["one", "two"], [one, two])
    week = np.zeros((2, 7), bool)
    week[0, 6], week[1, 5:] = True, True
    panel = replace(panel, frequency=Frequency("D"), shut=week)
    made = aggregate(panel, labels("XX", "12"), 7).panel
    total = made.ids.tolist().index("total")
    assert made.shut is not None and np.flatnonzero(made.shut[total]).tolist() == [6]
    assert made.series(total)[:7] == pytest.approx([11] * 5 + [10, np.nan], nan_ok=True)
    assert np.isnan(made.series(made.ids.tolist().index("two"))[5])


def test_a_given_parent_that_agrees_keeps_its_name_and_one_that_does_not_is_an_error():
    a, b = np.arange(5.0), np.arange(5.0) * 2
    right = panel_of(["all of X", "a", "b"], [a + b, a, b])
    made = aggregate(right, labels("XXX", ".12"), 1)
    assert "all of X" in made.panel.ids.tolist() and made.panel.size == 4
    wrong = a + b
    wrong[3] += 0.5
    panel = panel_of(["all of X", "a", "b"], [wrong, a, b])
    with pytest.raises(InputError, match=r"at 1970-04-01 it is 9\.5, and they make 9") as caught:
        aggregate(panel, labels("XXX", ".12"), 1)
    assert "--set data.ignore_parents=true" in caught.value.remedy
    made = aggregate(panel, labels("XXX", ".12"), 1, ignore_parents=True)
    at = made.panel.ids.tolist().index("all of X")
    assert made.panel.series(at) == pytest.approx(a + b)


@pytest.mark.parametrize("unit", [0.01, 1.0, 1000.0])
def test_a_given_parent_may_differ_as_rounded_figures_do_and_by_no_more(unit):
    exact = np.random.default_rng(3).uniform(5, 90, (3, 40)) * unit
    parts = np.round(exact / unit) * unit
    whole = np.round(exact.sum(axis=0) / unit) * unit
    gap = np.abs(whole - parts.sum(axis=0)).max()
    assert gap > 0.9 * unit, "the case is one"
    panel = panel_of(["all of X", "a", "b", "c"], [whole, *parts])
    made = aggregate(panel, labels("XXXX", ".123"), 1)
    at = made.panel.ids.tolist().index("all of X")
    assert made.panel.series(at) == pytest.approx(parts.sum(axis=0))
    assert made.notes == (
        f"given sums differ by up to {unit:g} from those of the series below, as rounded figures "
        "do: the series below count",
    )
    whole[7] = parts[:, 7].sum() + 3 * unit  # more than half a unit of each of the four
    panel = panel_of(["all of X", "a", "b", "c"], [whole, *parts])
    with pytest.raises(InputError) as caught:
        aggregate(panel, labels("XXXX", ".123"), 1)
    assert caught.value.code == "input/parent-disagrees" and "(1 steps in all)" in str(caught.value)


def test_a_small_shop_that_is_left_out_is_no_rounding():
    parts = np.random.default_rng(3).integers(5, 90, (3, 60)).astype(float)
    whole = parts.sum(axis=0) + np.tile([0.0, 1.0, 2.0], 20)  # never more than rounding may make
    panel = panel_of(["all of X", "a", "b", "c"], [whole, *parts])
    with pytest.raises(InputError) as caught:
        aggregate(panel, labels("XXXX", ".123"), 1)
    assert caught.value.code == "input/parent-disagrees" and "(40 steps in all)" in str(
        caught.value
    )


def test_figures_that_are_not_rounded_must_agree_to_the_last():
    exact = np.random.default_rng(3).uniform(5, 90, (2, 40))
    whole = exact.sum(axis=0)
    aggregate(panel_of(["all of X", "a", "b"], [whole, *exact]), labels("XXX", ".12"), 1)
    whole[7] += 0.01
    with pytest.raises(InputError):
        aggregate(panel_of(["all of X", "a", "b"], [whole, *exact]), labels("XXX", ".12"), 1)


def test_a_blank_above_a_name_and_two_series_in_one_place_are_refused():
    panel = panel_of(["a", "b", "c"], [np.arange(5.0)] * 3)
    with pytest.raises(InputError, match="blank above a name"):
        aggregate(panel, labels(".XX", "112"), 1)
    with pytest.raises(InputError, match="stands where 'a' does"):
        aggregate(panel, labels("XXX", "..1"), 1)
    with pytest.raises(InputError, match="no series has all columns"):
        aggregate(panel, labels("XYZ", "..."), 1)


def test_covariates_of_a_sum_are_means_and_names_that_all_agree_on():
    panel = panel_of(["a", "b"], [np.arange(4.0), np.arange(4.0)])
    rows = np.array([1.0, 2, 3, 4, 5, 3, 4, 5, 6, 7])
    columns = (
        Covariate("price", FUTURE, rows),
        Covariate("day", FUTURE, np.array([0.0, 1, 0, 1, 1, 0, 1, 1, 1, 0]), ("no", "yes")),
        Covariate("kind", STATIC, np.array([0.0, 0.0]), ("shop",)),
    )
    panel = replace(panel, covariates=Covariates(np.array([0, 5, 10]), columns))
    made = aggregate(panel, labels("XX", "12"), 1).panel
    at = made.ids.tolist().index("total")
    assert made.covariates is not None
    rows = slice(made.covariates.offsets[at], made.covariates.offsets[at + 1])
    price, day, kind = made.covariates.columns
    assert price.values[rows].tolist() == [2, 3, 4, 5, 6]  # the step to come as well
    assert day.values[rows] == pytest.approx([0, 1, np.nan, 1, np.nan], nan_ok=True)
    assert kind.values[at] == 0
    assert labels_from(panel, (("kind",),)).of["kind"].tolist() == ["shop", "shop"]
    with pytest.raises(InputError, match="no column 'state'"):
        labels_from(panel, NESTED)


# --- reconciliation ------------------------------------------------------------------------------


def small() -> Hierarchy:
    """total = a + b + c + d, x = a + b, y = c + d, in the order total, x, y, a, b, c, d."""
    summing = np.vstack([np.ones(4), [1, 1, 0, 0], [0, 0, 1, 1], np.eye(4)])
    level = np.array([0, 1, 1, 2, 2, 2, 2])
    return Hierarchy(("total", "half", "series"), level, csr_matrix(summing), np.arange(3, 7))


def errors_for(hierarchy: Hierarchy, steps: int = 60, seed: int = 0) -> Errors:
    random = np.random.default_rng(seed)
    bottom = random.standard_normal((4, steps)) + random.standard_normal(steps)
    every = hierarchy.summing @ bottom
    return Errors(every, every / every.std(axis=1, keepdims=True), bottom + 9, 12)


@pytest.mark.parametrize("method", METHODS)
def test_reconciled_points_add_up_whatever_the_method(method):
    hierarchy = small()
    values = np.random.default_rng(1).normal(10, 3, (7, 5))
    one = Reconciler(method, hierarchy, errors_for(hierarchy), nonnegative=False)
    made = one.coherent(values)
    assert made == pytest.approx(hierarchy.summing @ made[3:], rel=1e-9)
    coherent = hierarchy.summing @ values[3:]
    if method != "top-down":  # what adds up already is left alone
        assert one.coherent(coherent) == pytest.approx(coherent, rel=1e-6)


def test_ols_is_the_projection_and_variances_alone_give_wls(monkeypatch):
    hierarchy, errors = small(), errors_for(small())
    summing = hierarchy.summing.toarray()
    values = np.random.default_rng(1).normal(10, 3, (7, 2))
    ols = Reconciler("ols", hierarchy, errors, nonnegative=False)
    projection = summing @ np.linalg.solve(summing.T @ summing, summing.T)
    assert ols.coherent(values) == pytest.approx(projection @ values)
    monkeypatch.setattr("forecast.inference.reconciliation.MOST_DENSE", 3)
    large = Reconciler("ols", hierarchy, errors, nonnegative=False)
    assert large.coherent(values) == pytest.approx(projection @ values)
    weight = np.diag(1 / (errors.residuals**2).mean(axis=1))
    wls = summing @ np.linalg.solve(summing.T @ weight @ summing, summing.T @ weight)
    variances = Reconciler("mint", hierarchy, errors, nonnegative=False)
    assert variances.coherent(values) == pytest.approx(wls @ values, rel=1e-4)


def test_forecasts_of_what_is_never_negative_are_not_and_keep_their_total():
    hierarchy = small()
    values = hierarchy.summing @ np.array([[5.0], [-2.0], [1.0], [1.0]])
    one = Reconciler("ols", hierarchy, errors_for(hierarchy), nonnegative=True)
    made = one.coherent(values)
    assert (made >= 0).all() and made[0] == pytest.approx(5.0)
    assert made == pytest.approx(hierarchy.summing @ made[3:])


def test_one_negative_node_lets_no_other_fall_below_zero():
    hierarchy = small()
    values = hierarchy.summing @ np.array([[5.0], [-2.0], [-3.0], [1.0]])
    never = np.array([True, True, True, True, True, False, True])
    made = Reconciler("bottom-up", hierarchy, errors_for(hierarchy), nonnegative=never).coherent(
        values
    )
    assert made[3:].ravel() == pytest.approx([5 * 4 / 6, 0.0, -3.0, 4 / 6])
    assert made == pytest.approx(hierarchy.summing @ made[3:])


def test_nodes_without_errors_do_not_stop_mint():
    hierarchy, errors = small(), errors_for(small())
    errors.residuals[4] = 0.0
    errors.residuals[5] = np.nan
    one = Reconciler("mint", hierarchy, errors, nonnegative=False)
    assert np.isfinite(one.coherent(np.ones((7, 1)))).all()
    few = errors.before(58)
    assert np.isfinite(
        Reconciler("mint", hierarchy, few, nonnegative=False).coherent(np.ones((7, 1)))
    ).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_how_forecasts_add_up_does_not_depend_on_the_unit(method, unit):
    hierarchy, errors = small(), errors_for(small())
    values = np.random.default_rng(1).normal(10, 3, (7, 2))
    other = Errors(unit * errors.residuals, errors.scores, unit * errors.values, errors.season)
    one, scaled = (Reconciler(method, hierarchy, e, nonnegative=True) for e in (errors, other))
    assert scaled.coherent(unit * values) / unit == pytest.approx(one.coherent(values), rel=1e-9)


def test_shared_errors_have_unit_variance_and_the_correlation_of_the_past():
    random = np.random.default_rng(0)
    common = random.standard_normal(400)
    scores = np.stack([common + 0.5 * random.standard_normal(400) for _ in range(3)])
    scores = np.vstack([scores, random.standard_normal((1, 400)), np.zeros((1, 400))])
    loadings, own = shared_errors(scores)
    covariance = loadings @ loadings.T + np.diag(own**2)
    assert np.diag(covariance) == pytest.approx(np.ones(5))
    assert covariance[0, 1] == pytest.approx(0.8, abs=0.05) and abs(covariance[0, 3]) < 0.1


def joint(steps: int = 6) -> tuple[Forecast, Panel, Hierarchy, Errors]:
    """Normal forecasts of the small hierarchy, sd 1 below, with a common shock."""
    hierarchy = small()
    from statistics import NormalDist

    levels = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    z = np.array([NormalDist().inv_cdf(q) for q in levels])
    mean = hierarchy.summing @ np.full(4, 100.0)
    size = np.array([4.0, 2, 2, 1, 1, 1, 1])
    quantiles = mean[:, None, None] + size[:, None, None] * z + np.zeros((7, steps, 5))
    panel = panel_of([f"n{k}" for k in range(7)], [np.full(40, m) for m in mean])
    made = Forecast(
        "LSTM", panel.lengths, quantiles[:, :, 2], levels, quantiles,
        np.full(7, "LSTM", object), np.ones(7, bool),
    )  # fmt: skip
    shock = np.random.default_rng(0).standard_normal(300) * np.ones((7, 1))
    return made, panel, hierarchy, Errors(shock, shock, np.full((4, 300), 100.0), 12)


def test_the_total_of_series_with_a_common_shock_is_as_wide_as_their_sum():
    made, panel, hierarchy, errors = joint()
    done = reconciled(made, panel, hierarchy, errors, "bottom-up", 0.0, allow_negative=False)
    low, high = done.interval(80)
    # four series with one and the same shock: four times as wide as one, not twice
    assert (high - low)[0] == pytest.approx(4 * 2 * 1.2816, rel=0.15)
    assert done.point[0] == pytest.approx(400.0) and done.point[3] == pytest.approx(100.0)


def test_intervals_are_no_narrower_than_the_nodes_own_nor_than_past_errors_of_its_level():
    made, panel, hierarchy, _ = joint()
    alone = errors_for(hierarchy)  # scores without a common shock
    plain = reconciled(made, panel, hierarchy, alone, "bottom-up", 0.0, allow_negative=False)
    low, high = plain.interval(80)
    own_low, own_high = made.interval(80)
    assert ((high - low) >= (own_high - own_low) - 1e-9).all()
    # over three past horizons errors of the total were twice as far out as they should be
    scores = np.full((7, 6), 0.5)
    scores[0] = 2 * 1.2816
    past = replace(alone, ahead=tuple((back, scores) for back in (0, 6, 12)))
    unsure = 1.6377 / 1.2816  # Student's t of the three horizons, which lie side by side
    assert width_by_level(past, hierarchy.level) == pytest.approx([2 * unsure, *[1] * 6], rel=1e-3)
    wide = reconciled(made, panel, hierarchy, past, "bottom-up", 0.0, allow_negative=False)
    low, high = wide.interval(80)
    assert (high - low)[0] == pytest.approx(2 * unsure * (own_high - own_low)[0], rel=1e-3)
    assert (np.diff(wide.quantiles, axis=2) >= 0).all()


def test_few_past_horizons_of_a_total_make_its_interval_wider_by_students_t():
    _, _, hierarchy, errors = joint()
    chance = np.random.default_rng(4).standard_normal((7, 6))
    scores = np.where(hierarchy.level[:, None] == 0, 2 * 1.2816, 0.5 * chance)

    def told(*backs):
        past = replace(errors, ahead=tuple((back, scores) for back in backs))
        return float(width_by_level(past, hierarchy.level)[0])

    assert told(0, 6, 12) == pytest.approx(2 * 1.6377 / 1.2816, rel=1e-3)  # three, side by side
    assert told(0, 3, 6) == pytest.approx(2 * 1.8856 / 1.2816, rel=1e-3)  # room for two
    assert told(0, 6) == 1  # too few to tell anything
    # nodes that err for themselves tell more: five of them as much as five times the horizons
    assert own_errors(np.random.default_rng(1).standard_normal((5, 4000))) == pytest.approx(
        5, rel=0.02
    )
    assert own_errors(np.ones((5, 6))) == pytest.approx(1.0)


def test_paths_add_up_in_every_future_and_one_seed_gives_the_same():
    made, panel, hierarchy, errors = joint()
    rows, paths = coherent_paths(
        made, panel, hierarchy, errors, "mint", 0.3, 50, allow_negative=False, seed=1
    )
    assert rows.tolist() == list(range(7)) and paths.shape == (7, 50, 6)
    assert paths[0] == pytest.approx(paths[3:].sum(axis=0))
    again = coherent_paths(
        made, panel, hierarchy, errors, "mint", 0.3, 50, allow_negative=False, seed=1
    )
    assert np.array_equal(paths, again[1])


def test_a_node_without_a_forecast_is_part_of_no_sum_and_left_as_it_is():
    made, panel, hierarchy, errors = joint()
    available = made.available.copy()
    available[6] = False
    point = made.point.copy()
    point[6] = np.nan
    short = replace(made, available=available, point=point)
    done = reconciled(short, panel, hierarchy, errors, "bottom-up", 0.0, allow_negative=False)
    assert np.isnan(done.point[6]).all()
    assert done.point[0] == pytest.approx(300.0) and done.point[2] == pytest.approx(100.0)
    assert reconciled(made, panel, hierarchy, errors, "none", 0.0, allow_negative=False) is made


def test_past_errors_are_those_of_one_step_and_cut_off_before_an_origin():
    panel = make_panel((40, 40, 30))
    made = aggregate(
        replace(panel, first=np.array([0, 0, 10])),
        Labels((("kind",),), {"kind": np.array(["x", "x", "y"], dtype=object)}),
        12,
    )
    forecaster = random_forecaster()
    errors = past_errors(forecaster, made.panel, made.hierarchy, 3)
    assert errors.residuals.shape == (6, 40)
    changed = made.panel.values.copy()
    changed[made.panel.offsets[1:] - 1] += 50
    other = past_errors(forecaster, replace(made.panel, values=changed), made.hierarchy, 3)
    before, changed = errors.before(1).residuals, other.before(1).residuals
    assert before == pytest.approx(changed, abs=1e-3, nan_ok=True)
    assert not np.isclose(errors.residuals[:, -1], other.residuals[:, -1]).any()
    known = errors.before(2)
    assert [back for back, _ in errors.ahead[:4]] == [0, 1, 2, 3] and known.ahead[0][0] == 0
    assert np.array_equal(known.ahead[0][1], errors.ahead[2][1], equal_nan=True)
    assert errors.joint.shape == (6, 3 * 12) and not np.isnan(errors.joint[0]).any()
    assert errors.before(39).joint.shape == (6, 1)  # too few: those of one step
    done = reconciled(
        forecast_panel(forecaster, made.panel, 3), made.panel, made.hierarchy, errors, "mint", 0.5,
        allow_negative=False,
    )  # fmt: skip
    summing = made.hierarchy.summing
    assert done.point == pytest.approx(summing @ done.point[made.hierarchy.bottom], rel=1e-9)


# --- which method --------------------------------------------------------------------------------


def narrow_forecast(panel: Panel, point: np.ndarray) -> Forecast:
    """`point` (R, H) with quantiles a little to both sides: mean and median are the same."""
    levels = np.array([0.1, 0.5, 0.9])
    quantiles = point[:, :, None] + np.array([-0.1, 0.0, 0.1])
    every = np.ones(panel.size, bool)
    source = np.full(panel.size, "LSTM", object)
    return Forecast("LSTM", panel.lengths, point, levels, quantiles, source, every)


@pytest.mark.parametrize(
    "point, best, why",
    [
        ("mean", "top-down", "lowest RMSSE over the levels"),
        ("median", "bottom-up", "lowest MASE over the levels"),
        ("0.9", "top-down", "lowest RMSSE of the means over the levels"),
    ],
)
def test_how_levels_add_up_is_chosen_by_what_the_points_are_best_at(monkeypatch, point, best, why):
    """One large error from the series up, small ones at every step from the total down."""
    past = np.where(np.arange(28) % 2, 11.0, 9.0)
    past[24:] = 10.0
    panel = panel_of(["a", "b", "total"], [past, past, 2 * past])
    summing = csr_matrix(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    hierarchy = Hierarchy(("total", "series"), np.array([1, 1, 0]), summing, np.array([0, 1]))
    made = np.array([[10.0, 10, 10, 18], [10.0] * 4, [23.0] * 4])
    monkeypatch.setattr(
        "forecast.workflows.hierarchy.forecast_panel", lambda _, cut, __: narrow_forecast(cut, made)
    )
    monkeypatch.setattr("forecast.workflows.hierarchy.has_library", lambda: False)
    never = np.full(3, 1000)
    plan = SimpleNamespace(validation=np.full((1, 3), 24), horizon=4, season=1, keep=never)
    nothing = np.zeros((3, 28))
    errors = Errors(nothing, nothing, np.tile(past, (2, 1)), 12)
    levels, forecaster = Levels(hierarchy), random_forecaster()
    chosen = choose_method(levels, panel, forecaster, errors, plan, Settings(), point)
    assert chosen[1] == best and chosen[2].startswith(why)


# --- the command ---------------------------------------------------------------------------------


def write_sales(path, *, with_id: bool) -> None:
    rows = ["date,state,shop,sales" + (",unique_id" if with_id else "")]
    for k, (state, shop) in enumerate([("X", "one"), ("X", "two"), ("Y", "three")]):
        for t in range(36):
            day = f"{2020 + t // 12}-{t % 12 + 1:02d}-01"
            value = 100 * (k + 1) + 10 * (t % 12) + t
            rows.append(f"{day},{state},{shop},{value}" + (f",s{k}" if with_id else ""))
    path.write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize("with_id", [True, False])
def test_forecast_of_a_hierarchy_names_levels_and_adds_up(lstmcast, tmp_path, with_id):
    write_sales(tmp_path / "sales.csv", with_id=with_id)
    out = tmp_path / "out.csv"
    asked = ["forecast", str(tmp_path / "sales.csv"), "--hierarchy", "state/shop", "--target-col",
             "sales", "--horizon", "3", "-o", str(out), "--samples", "20", "--quiet"]  # fmt: skip
    assert lstmcast(*asked)[0] == 0
    rows = list(csv.DictReader(out.open()))
    by_level: dict[str, float] = {}
    for row in rows:
        by_level[row["level"]] = by_level.get(row["level"], 0) + float(row["LSTM"])
    assert list(sorted(by_level)) == ["state", "state/shop", "total"]
    assert by_level["state"] == pytest.approx(by_level["total"], rel=1e-6)
    assert by_level["state/shop"] == pytest.approx(by_level["total"], rel=1e-6)
    paths = list(csv.DictReader((tmp_path / "out-samples.csv").open()))
    first = [p for p in paths if p["sample"] == "1" and p["ds"] == paths[0]["ds"]]
    total = next(float(p["LSTM"]) for p in first if p["unique_id"] == "total")
    parts = [float(p["LSTM"]) for p in first if "=" not in p["unique_id"]]
    assert total == pytest.approx(sum(parts) - total, rel=1e-6)


def test_a_quantile_of_a_sum_is_its_own_and_not_the_sum_of_quantiles(lstmcast, tmp_path):
    write_sales(tmp_path / "sales.csv", with_id=True)
    out = tmp_path / "out.csv"
    asked = ["forecast", str(tmp_path / "sales.csv"), "--hierarchy", "state/shop", "--target-col",
             "sales", "--horizon", "3", "-o", str(out)]  # fmt: skip
    code, _, err = lstmcast(*asked, "--point", "0.9")
    assert code == 0 and "quantiles do not add up: every series and every sum has its own" in err
    rows = pd.read_csv(out)
    assert rows["LSTM"].to_numpy() == pytest.approx(rows["LSTM-hi-80"].to_numpy(), rel=1e-6)


def test_by_forecasts_the_sums_alone_and_other_commands_refuse_sums(lstmcast, tmp_path):
    write_sales(tmp_path / "sales.csv", with_id=False)
    data, out = str(tmp_path / "sales.csv"), tmp_path / "out.csv"
    asked = ["--by", "state", "--target-col", "sales"]
    done = lstmcast("forecast", data, *asked, "--horizon", "2", "-o", str(out), "--quiet")
    assert done[0] == 0
    assert {row["unique_id"] for row in csv.DictReader(out.open())} == {"X", "Y"}
    code, said, _ = lstmcast("check", data, *asked)
    assert code == 0 and "series forecast 2 (as --by state sums them)" in " ".join(said.split())
    code, _, err = lstmcast("detect", data, *asked)
    assert code == 2 and "usage/hierarchy-here" in err
    code, _, err = lstmcast("forecast", data, *asked, "--hierarchy", "state/shop")
    assert code == 2 and "usage/hierarchy-and-by" in err


def test_train_tells_each_level_on_the_terminal_and_on_the_page_which_can_be_made_again(
    lstmcast, tmp_path
):
    write_sales(tmp_path / "sales.csv", with_id=True)
    run = tmp_path / "run"
    code, out, err = lstmcast(
        "train", str(tmp_path / "sales.csv"), "--hierarchy", "state/shop", "--target-col", "sales",
        "--horizon", "3", "--max-steps", "3", "--members", "1",
        "--set", "training.try_scratch=false", "--windows",
        "2", "--baselines", "seasonal-naive", "--out", str(run), "--set", "forecast.reconcile=ols",
    )  # fmt: skip
    assert code == 0, err
    told = " ".join(out.split())
    assert "Adding up made the forecasts better at" in told and "levels, by RMSSE." in told
    document = json.loads((run / "metrics.json").read_text())
    rows = document["levels"]
    assert (document["point"], document["judged"]) == ("mean", "rmsse")
    network = next(row for row in rows if row["level"] == "total" and row["model"] == "LSTM")
    lines = level_lines(rows, "rmsse")
    assert [line.level for line in lines] == ["total", "state", "state/shop"]
    assert lines[0].after == pytest.approx(network["rmsse"])
    assert (lines[0].nodes, lines[0].rival) == (1, "SeasonalNaive")
    again = ("report", str(run), "--data", str(tmp_path / "sales.csv"), "--output")
    for page in (run / "report.html", tmp_path / "again.html"):
        if not page.exists():
            assert lstmcast(*again, str(page))[0] == 0
        text = page.read_text()
        assert "Level by level" in text and f"{network['rmsse']:.3f}" in text
        assert "RMSSE before and after" in text


@pytest.mark.parametrize("third", ["a", "c"])  # "a": the name of a shop in the other region too
@pytest.mark.parametrize("id_col", ["shop", "region,shop", None])
def test_the_id_may_be_a_level_beside_columns_above_it(tmp_path, id_col, third):
    from forecast.config.schema import DataSettings
    from forecast.workflows.load import load_levels

    months = pd.date_range("2020-01-01", periods=24, freq="MS")
    rows = [
        {"region": region, "shop": shop, "date": month, "sales": 10.0 * n + m}
        for n, (region, shop) in enumerate([("north", "a"), ("north", "b"), ("south", third)])
        for m, month in enumerate(months)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "sales.csv", index=False)
    settings = DataSettings(hierarchy="region/shop", **({"id_col": id_col} if id_col else {}))
    panel, _, levels = load_levels(str(tmp_path / "sales.csv"), settings)
    sums = {str(name): panel.values[panel.offsets[s]] for s, name in enumerate(panel.ids)}
    assert levels is not None
    assert (sums["region=north"], sums["region=south"], sums["total"]) == (10.0, 20.0, 30.0)
    assert len(sums) == 6


def test_an_id_that_returns_above_is_refused_with_advice_that_works(tmp_path):
    from forecast.common.errors import InputError
    from forecast.config.schema import DataSettings
    from forecast.workflows.load import load_levels

    rows = [
        {"region": region, "shop": "a", "date": month, "sales": 10.0 * n + m}
        for n, region in enumerate(["north", "south"])
        for m, month in enumerate(pd.date_range("2020-01-01", periods=24, freq="MS"))
    ]
    path = tmp_path / "sales.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    with pytest.raises(InputError) as met:
        load_levels(str(path), DataSettings(id_col="shop", hierarchy="region"))
    assert met.value.remedy is not None and "--id-col shop,region" in met.value.remedy
    panel, _, _ = load_levels(str(path), DataSettings(id_col="shop,region", hierarchy="region"))
    assert panel.ids.tolist() == ["a/north", "a/south", "total"]


# --- as people write it -------------------------------------------------------------------------


def shops_csv(path, region: bool, sums: bool = False) -> str:
    """Four shops in two regions, 30 months, semicolons; sums: rows of each region, no shop."""
    rows = ["Datum;Gebiet;Filiale;Umsatz" if region else "Datum;Filiale;Umsatz"]
    for t in range(30):
        day = f"01.{t % 12 + 1:02d}.{2021 + t // 12}"
        for shop in range(4):
            place = f"{'NS'[shop % 2]};" if region else ""
            rows.append(f"{day};{place}F{shop};{100 + 10 * shop + t}")
        for number, name in enumerate("NS" if sums else ""):
            rows.append(f"{day};{name};;{2 * (100 + t) + 20 * (number + 1)}")
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def test_forecast_takes_a_hierarchy_from_a_table_of_the_series(tmp_path):
    data = shops_csv(tmp_path / "d.csv", region=False)
    (tmp_path / "s.csv").write_text("Filiale;Gebiet;Flaeche\nF0;N;10\nF1;S;20\nF2;N;30\nF3;S;9\n")
    frame = forecast(data, horizon=3, hierarchy="Gebiet", static=str(tmp_path / "s.csv"))
    assert frame["level"].value_counts().to_dict() == {"series": 12, "Gebiet": 6, "total": 3}
    sums = frame.groupby(["level", "ds"])["LSTM"].sum().unstack("ds")
    assert np.allclose(sums / sums.loc["total"], 1, rtol=1e-6)
    with pytest.raises(UsageError, match="learnt from no covariates"):
        forecast(data, horizon=3, static=str(tmp_path / "s.csv"))
    (tmp_path / "s.csv").write_text("Filiale;Gebiet\nF0;N\nF1;S\nF2;N\n")
    with pytest.raises(InputError, match="series without a row: F3") as caught:
        forecast(data, horizon=3, hierarchy="Gebiet", static=str(tmp_path / "s.csv"))
    assert "a blank marks a sum" in caught.value.remedy


def test_a_column_of_the_hierarchy_that_is_not_there_is_told_by_the_flag_that_named_it(tmp_path):
    data = shops_csv(tmp_path / "d.csv", region=True)
    for flag in ("hierarchy", "by"):
        with pytest.raises(InputError, match="no column 'Region'") as caught:
            forecast(data, horizon=3, **{flag: "Region"})
        assert f"{flag} takes one of: Datum, Gebiet" in caught.value.remedy
        assert "static_cov" not in caught.value.remedy


def test_sums_of_a_blank_shop_are_told_how_they_are_read_and_the_advice_works(tmp_path):
    data = shops_csv(tmp_path / "d.csv", region=True, sums=True)
    with pytest.raises(InputError, match="'Filiale' does not name the series") as caught:
        forecast(data, horizon=3, hierarchy="Gebiet")
    assert 'hierarchy="Gebiet/COLUMN"' in caught.value.remedy
    frame = forecast(data, horizon=3, hierarchy="Gebiet/Filiale")
    assert frame["level"].value_counts().to_dict() == {
        "Gebiet/Filiale": 12,
        "Gebiet": 6,
        "total": 3,
    }
