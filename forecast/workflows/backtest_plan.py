"""What a backtest decides before it computes: horizon, gap and origins, each with its reason.

Axes: S series, W windows (origins of each series).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from forecast.config.schema import Settings
from forecast.data.panel import Panel
from forecast.evaluation.rolling import rolling_origins
from forecast.training.plan import (
    LEAST_HISTORY,
    MANY_SERIES,
    Plan,
    Reason,
    choose_horizon,
    choose_validation,
    make_plan,
)

FEW_SERIES = 10  # below this only many origins can tell a lead from chance
MOST_FEW, MOST_SOME, MOST_MANY = 10, 4, 2  # origins for few, some and many series
HELD_OUT_SHARE = 0.4  # of the typical series, that all windows together may hold out


@dataclass(frozen=True)
class BacktestPlan:
    """Resolved numbers of one backtest.

    training  the plan of the LSTM; its horizon is gap + H, all of which is forecast; its `origins`
              int64 (W, S) are those of the backtest, a series' own length where it has none
    horizon   H, steps scored; gap: steps after the origin that are forecast but not scored
    step      steps from one origin to the next
    """

    training: Plan
    horizon: int
    gap: int
    step: int
    reasons: tuple[Reason, ...]

    @property
    def origins(self) -> np.ndarray:
        """int64 (W, S), the earliest first."""
        return self.training.origins

    @property
    def steps(self) -> int:
        """Steps that every forecaster forecasts: gap + H."""
        return self.gap + self.horizon


def plan_backtest(panel: Panel, confirmed: tuple[int, ...], settings: Settings) -> BacktestPlan:
    """Decides; season and layout are sought in what precedes the first origin, as for `train`.

    confirmed: season lengths that all data show, which only say how far ahead is usual. Raises
    InputError "input/too-short-for-backtest" when no series has an origin.
    """
    typical = int(np.median(panel.lengths))
    horizon, why_horizon = choose_horizon(panel, settings, confirmed, typical)
    step, gap = settings.evaluation.step_size or horizon, settings.evaluation.gap
    asked = settings.evaluation.windows
    windows = asked or usual_windows(panel.size, typical, horizon, gap, step)
    rolling_origins(panel.lengths, horizon, 1, step, gap, LEAST_HISTORY)  # raises when impossible
    training = make_plan(panel, confirmed, _for_plan(settings, gap + horizon, windows, step))
    made = len(training.origins)
    reasons: list[Reason] = [("horizon", horizon, why_horizon)]
    if gap:
        reasons.append(("gap", gap, "steps after an origin that are not scored"))
    why_windows = _why_windows(asked, made, horizon + gap + (made - 1) * step)
    reasons.append(("held-out windows", made, why_windows))
    if made > 1:
        every = "as asked" if settings.evaluation.step_size else "one horizon"
        reasons.append(("step size", step, every))
    reasons += [each for each in training.reasons if each[0] not in ("horizon", "held-out windows")]
    return BacktestPlan(training, horizon, gap, step, tuple(reasons))


def usual_windows(size: int, typical: int, horizon: int, gap: int, step: int) -> int:
    """Origins when none are asked for: as many as 40 per cent of the typical series hold.

    At most 10 for fewer than 10 series, so that a test over origins can tell a lead from chance;
    for more series, over which the test runs then, at most 4 or 2.
    """
    most = MOST_FEW if size < FEW_SERIES else MOST_SOME if size < MANY_SERIES else MOST_MANY
    return int(np.clip((HELD_OUT_SHARE * typical - horizon - gap) // step + 1, 1, most))


def without_later(plan: Plan, origins: np.ndarray) -> Plan:
    """The plan with training stopped at `origins` (S,): for training anew before an origin."""
    return replace(
        plan, keep=origins, validation=choose_validation(len(origins), origins, plan.horizon)
    )


def _for_plan(settings: Settings, steps: int, windows: int, step: int) -> Settings:
    """The settings as the plan of the LSTM needs them; no network here ever sees all data."""
    return settings.model_copy(
        update={
            "forecast": settings.forecast.model_copy(update={"horizon": steps}),
            "evaluation": settings.evaluation.model_copy(
                update={"windows": windows, "step_size": step}
            ),
            "training": settings.training.model_copy(update={"refit": False}),
        }
    )


def _why_windows(asked: int | None, made: int, held_out: int) -> str:
    if asked is None:
        return f"the last {held_out} values of each series"
    return "as asked" if made == asked else f"the data allow no {asked}"
