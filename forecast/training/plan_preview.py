"""What `train` would do with a panel, in a few words, without deciding or computing anything else.

Only lengths and the frequency are looked at, so that it costs nothing on the largest panel.
"""

from __future__ import annotations

import numpy as np

from forecast.config.schema import Settings
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.load import LoadReport
from forecast.data.panel import Panel
from forecast.training.plan import (
    Reason,
    choose_horizon,
    choose_layout,
    choose_origins,
    choose_season,
)


def outlook(panel: Panel, report: LoadReport, settings: Settings) -> tuple[Reason, ...]:
    """(name, value, why) of the horizon, the held-out windows and what there is to learn from.

    The seasons are those that all data show; `train` seeks them before its held-out windows.
    """
    typical = int(np.median(panel.lengths))
    horizon, why_horizon = choose_horizon(panel, settings, report.seasons, typical)
    season, _ = choose_season(panel, settings, report.seasons, typical)
    _, (reading, why_reading) = choose_layout(panel, settings, season, typical)
    origins, why_windows = choose_origins(panel, settings, horizon, typical)
    keep = origins.min(0) if len(origins) else panel.lengths
    return (
        ("horizon", horizon, why_horizon),
        ("held-out windows", len(origins), why_windows),
        ("learnt from", int(keep.sum()), _until(panel, keep)),
        ("one LSTM step", reading, why_reading),
        *_unscored(panel, keep, len(origins)),
    )


def _until(panel: Panel, keep: np.ndarray) -> str:
    """The last time before the held-out windows: "steps up to 1958-12"."""
    last = panel.frequency.stamps(np.array([(panel.first + keep - 1).max()]))
    text = format_stamps(last, panel.time_format, panel.tz)[0].as_py()
    return f"steps up to {text}; once the network is chosen, all {len(panel.values):,}"


def _unscored(panel: Panel, keep: np.ndarray, windows: int) -> tuple[Reason, ...]:
    """Series too short to hold a window out, where others are not."""
    count = int((keep == panel.lengths).sum())
    if not windows or not count:
        return ()
    return (("not scored", count, "series too short to hold a window out"),)
