"""ARIMA minimised quickly gives the same numbers as SciPy's own differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from statsforecast import arima
from statsforecast.models import AutoARIMA

from forecast.models.baselines.gradients import quicken_arima, quickened


def valley(x: np.ndarray, steep: float) -> float:
    """Rosenbrock's function, and no number beyond 50."""
    return float((1 - x[0]) ** 2 + steep * (x[1] - x[0] ** 2) ** 2) if abs(x[0]) < 50 else np.nan


@pytest.mark.parametrize("start", [(-1.2, 1.0), (0.0, 0.0), (49.0, 3.0), (3e9, 1.0)])
def test_bfgs_takes_the_same_steps_with_fewer_words(start):
    calls = []

    def counted(x, steep):
        calls.append(x.copy())
        return valley(x, steep)

    asked = {"args": (100.0,), "method": "BFGS", "tol": 1e-9, "options": {"maxiter": 200}}
    plain = minimize(counted, np.array(start), **asked)
    at, calls[:] = list(calls), []
    quick = quickened(minimize)(counted, np.array(start), **asked)
    np.testing.assert_array_equal(calls, at)  # the very same points, in the same order
    np.testing.assert_array_equal(quick.x, plain.x)
    np.testing.assert_array_equal(quick.hess_inv, plain.hess_inv)
    assert (quick.nit, quick.status) == (plain.nit, plain.status)


def test_other_methods_and_own_gradients_are_left_alone():
    start = np.array([2.0, 2.0])
    for words in ({"method": "Nelder-Mead"}, {"method": "BFGS", "options": {"eps": 1e-4}}):
        plain = minimize(valley, start, args=(1.0,), **words)
        quick = quickened(minimize)(valley, start, args=(1.0,), **words)
        np.testing.assert_array_equal(quick.x, plain.x)


def test_arima_forecasts_the_same_to_the_bit(monkeypatch):
    monkeypatch.setattr(arima, "minimize", minimize)
    months = np.arange(60)
    noise = np.random.default_rng(4).standard_normal(60)
    values = 100 + months + 12 * np.sin(months / 12 * 2 * np.pi) + 4 * noise

    def made() -> np.ndarray:
        model = AutoARIMA(season_length=12, approximation=None, max_p=2, max_q=2)
        return model.forecast(values, 12, level=[80])["lo-80"]

    plain = made()
    quicken_arima()
    assert arima.minimize is not minimize
    np.testing.assert_array_equal(made(), plain)
