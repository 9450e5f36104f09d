"""ARIMA's likelihood is minimised as R does it: the same models with half the evaluations."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.optimize import minimize, rosen
from statsforecast import arima
from statsforecast.models import AutoARIMA

from forecast.models.baselines.minimise import (
    NOT_FINITE,
    STEPS,
    differences,
    minimise,
    quicken_arima,
    quickened,
)


@pytest.mark.parametrize("start", [(-1.2, 1.0), (0.0, 0.0), (4.0, -3.0), (1.2, 1.0, 0.8, -0.5)])
def test_a_curved_valley_is_followed_to_its_end(start):
    found = minimise(rosen, np.array(start), 500)
    assert found.status == 0
    np.testing.assert_allclose(found.x, 1.0, atol=1e-3)
    assert found.fun == pytest.approx(rosen(found.x))


def test_a_slope_is_found_where_a_small_step_would_be_lost():
    for at in (3e9, -3e9):
        assert differences(lambda x: 2 * x[0], np.array([at]), 2 * at) == pytest.approx([2.0])


def test_a_step_beyond_the_numbers_is_shortened():
    def fenced(x: np.ndarray) -> float:
        return float((x[0] - 2) ** 4 + x[1] ** 2) if abs(x[0]) < 3 else np.nan

    np.testing.assert_allclose(minimise(fenced, np.array([-2.9, 8.0]), 200).x, [2, 0], atol=0.05)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_without_a_value_at_the_start_the_start_is_returned_and_said(value):
    found = minimise(lambda x: value, np.array([1.0, 2.0]), 100)
    assert (found.status, found.success) == (NOT_FINITE, False)
    np.testing.assert_array_equal(found.x, [1.0, 2.0])


def cliff(x: np.ndarray) -> float:
    """Down to 1, where StatsForecast's largest number begins."""
    return float(2 - x[0]) if x[0] <= 1 else sys.float_info.max


@pytest.mark.parametrize("start", [1.0, 0.5, -3.0])
def test_beside_a_cliff_the_search_ends(start):
    asked = []

    def counted(x: np.ndarray) -> float:
        asked.append(x[0])
        assert len(asked) < 1000, "it does not end"
        return cliff(x)

    with np.errstate(all="ignore"):
        found = minimise(counted, np.array([start]), 100)
    assert start <= found.x[0] <= 1 and found.fun == cliff(found.x)
    assert found.success == (found.status == 0)


def test_too_many_steps_are_said():
    found = minimise(rosen, np.array([-1.2, 1.0]), 3)
    assert (found.status, found.success) == (STEPS, False)


def test_other_methods_and_own_gradients_are_left_to_scipy():
    start, parabola = np.array([2.0, 2.0]), lambda x, a: float(a * (x**2).sum())
    known = {"method": "BFGS", "jac": lambda x, a: 2 * a * x}
    for words in ({"method": "Nelder-Mead"}, known):
        plain = minimize(parabola, start, args=(1.0,), **words)
        quick = quickened(minimize)(parabola, start, args=(1.0,), **words)
        np.testing.assert_array_equal(quick.x, plain.x)
        assert quick.nfev == plain.nfev


def test_arima_chooses_the_same_order_and_forecasts_the_same_with_half_the_evaluations(monkeypatch):
    monkeypatch.setattr(arima, "minimize", minimize)
    months = np.arange(60)
    noise = np.random.default_rng(4).standard_normal(60)
    values = 100 + months + 12 * np.sin(months / 12 * 2 * np.pi) + 4 * noise
    evaluated = []
    likelihood = arima.arima_like
    monkeypatch.setattr(arima, "arima_like", lambda *a: evaluated.append(1) or likelihood(*a))

    def made() -> tuple[tuple[int, ...], np.ndarray, int]:
        evaluated.clear()
        model = AutoARIMA(season_length=12, approximation=None, max_p=2, max_q=2).fit(values)
        bound = model.predict(12, level=[80])["lo-80"]
        return model.model_["arma"], bound, len(evaluated)

    order, bound, number = made()
    quicken_arima()
    assert arima.minimize is not minimize
    quick = made()
    assert quick[0] == order
    np.testing.assert_allclose(quick[1], bound, rtol=1e-3)
    assert quick[2] < number / 2
