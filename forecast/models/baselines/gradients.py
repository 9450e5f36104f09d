"""ARIMA's likelihood is minimised with the same gradients in a fraction of the time.

StatsForecast hands SciPy an objective without a gradient. SciPy's forward differences are right,
and for a function of two or three numbers its checks and wrappers around each take several times as
long as the function itself. The same differences are taken here without them: step by step the same
numbers, so that the models and forecasts are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

STEP = float(np.sqrt(np.finfo(float).eps))  # SciPy's own, absolute

Objective = Callable[..., float]


class Remembered:
    """An objective that knows its last value, and its forward differences."""

    def __init__(self, function: Objective) -> None:
        self.function = function
        self.at: np.ndarray | None = None
        self.value = np.nan

    def __call__(self, x: np.ndarray, *args: Any) -> float:
        """The value at x (n,)."""
        self.at = x.copy()
        self.value = self.function(x, *args)
        return self.value

    def gradient(self, x: np.ndarray, *args: Any) -> np.ndarray:
        """Forward differences at x (n,)."""
        here = self.value if self.at is not None and np.array_equal(x, self.at) else None
        if here is None:
            here = self.function(x.copy(), *args)
        found = np.empty(len(x))
        for i in range(len(x)):
            there = x.copy()
            there[i] += STEP
            if there[i] == x[i]:  # so far out that the step is lost
                there[i] += STEP * np.copysign(max(1.0, abs(x[i])), x[i])
            moved = there[i] - x[i]
            found[i] = (self.function(there, *args) - here) / moved
        return found


def quickened(minimise: Callable[..., Any]) -> Callable[..., Any]:
    """scipy.optimize.minimize whose BFGS without a gradient has that of `Remembered`."""

    def minimise_quickly(function: Objective, x0: Any, args: Any = (), **words: Any) -> Any:
        own = words.get("method") == "BFGS" and words.get("jac") is None
        control = words.get("options") or {}
        if not own or "eps" in control:
            return minimise(function, x0, args=args, **words)
        known = Remembered(function)
        return minimise(known, x0, args=args, **{**words, "jac": known.gradient})

    minimise_quickly.quickened = True  # type: ignore[attr-defined]
    return minimise_quickly


def quicken_arima() -> None:
    """Lets StatsForecast's ARIMA of this process minimise quickly; once is enough."""
    from statsforecast import arima

    minimise = getattr(arima, "minimize", None)
    if minimise is not None and not getattr(minimise, "quickened", False):
        arima.minimize = quickened(minimise)
