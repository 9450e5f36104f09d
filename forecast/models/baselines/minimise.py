"""ARIMA's likelihood is minimised as R's `arima` does it: 3 to 5 times as fast as by SciPy's BFGS.

StatsForecast asks SciPy for a gradient of 1e-8, which forward differences never reach: its line
searches go on for as long again where the likelihood does not change any more, and around a
function of two or three numbers SciPy's own work costs several times what the function does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

STEP = float(np.sqrt(np.finfo(float).eps))  # of the differences, absolute, as SciPy's
# As in R's `optim`: the share of a value from which a change counts, the share of the slope that a
# step has to go down, by how much a step is shortened that does not.
TOLERANCE, LEAST_DESCENT, SHORTER = 1e-8, 1e-4, 0.2
STEPS, NOT_FINITE = 1, 2  # SciPy's status: too many steps; a value or slope that is no number

Objective = Callable[[np.ndarray], float]


def minimise(function: Objective, start: np.ndarray, most_steps: int) -> OptimizeResult:
    """The least value near `start` (n,), by a variable metric method with forward differences.

    Nash 1990, "Compact numerical methods for computers", algorithm 21, which R's `optim` calls
    BFGS: steps are shortened until they go down, and where nothing is gained any more the metric is
    forgotten once before that is believed. Beside a cliff, where a slope is infinite, it ends.
    """
    from scipy.optimize import OptimizeResult

    x, steps = np.array(start, dtype=float), 0
    value = function(x.copy())
    inverse: np.ndarray | None = None  # of the metric; None: that of steepest descent
    slope = differences(function, x, value)
    status = 0 if np.isfinite([value, *slope]).all() else NOT_FINITE
    while status == 0:
        way = -slope if inverse is None else -(inverse @ slope)
        found = downhill(function, x, value, slope, way)
        gained = found is not None and value - found[1] > TOLERANCE * (abs(value) + TOLERANCE)
        if found is not None:
            steps, before, old = steps + 1, x, slope
            x, value = found
        if not gained and inverse is None:
            break
        if found is not None:
            slope = differences(function, x, value)
        if not np.isfinite(slope).all():
            status = NOT_FINITE
        elif steps >= most_steps:
            status = STEPS
        inverse = updated(inverse, x - before, slope - old) if gained else None
    metric = np.eye(len(x)) if inverse is None else inverse
    return OptimizeResult(x=x, fun=value, status=status, success=status == 0, hess_inv=metric)


def differences(function: Objective, x: np.ndarray, value: float) -> np.ndarray:
    """Forward differences at x (n,), where the function is `value`."""
    found = np.empty(len(x))
    for i in range(len(x)):
        there = x.copy()
        there[i] += STEP
        if there[i] == x[i]:  # so far out that the step is lost
            there[i] += STEP * np.copysign(abs(x[i]), x[i])
        found[i] = (function(there) - value) / (there[i] - x[i])
    return found


def downhill(
    function: Objective, x: np.ndarray, value: float, slope: np.ndarray, way: np.ndarray
) -> tuple[np.ndarray, float] | None:
    """Where along `way` (n,) the function is lower, and its value; None if nowhere."""
    descent = float(way @ slope)
    if not -np.inf < descent < 0:
        return None
    length = 1.0
    while True:
        there = x + length * way
        if np.all(there + 10.0 == x + 10.0):
            return None
        lower = function(there.copy())
        if np.isfinite(lower) and lower <= value + LEAST_DESCENT * length * descent:
            return there, lower
        length *= SHORTER


def updated(inverse: np.ndarray | None, moved: np.ndarray, bent: np.ndarray) -> np.ndarray | None:
    """The inverse metric (n, n) after a step `moved` by which the slope changed by `bent`; None
    where the function does not bend upwards."""
    along = float(moved @ bent)
    if not along > 0:
        return None
    inverse = np.eye(len(moved)) if inverse is None else inverse
    seen = inverse @ bent
    both = (1 + float(bent @ seen) / along) * np.outer(moved, moved)
    return np.asarray(inverse + (both - np.outer(moved, seen) - np.outer(seen, moved)) / along)


def quickened(scipys: Callable[..., Any]) -> Callable[..., Any]:
    """scipy.optimize.minimize (`scipys`) whose BFGS without a gradient is `minimise`."""

    def minimise_quickly(
        function: Callable[..., float], x0: Any, args: Any = (), **words: Any
    ) -> Any:
        if words.get("method") != "BFGS" or words.get("jac") is not None:
            return scipys(function, x0, args=args, **words)
        most = (words.get("options") or {}).get("maxiter", 200 * len(x0))
        return minimise(lambda x: function(x, *args), x0, most)

    minimise_quickly.quickened = True  # type: ignore[attr-defined]
    return minimise_quickly


def quicken_arima() -> None:
    """Lets StatsForecast's ARIMA of this process minimise quickly; once is enough."""
    from statsforecast import arima

    minimize = getattr(arima, "minimize", None)
    if minimize is not None and not getattr(minimize, "quickened", False):
        arima.minimize = quickened(minimize)
