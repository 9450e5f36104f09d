"""A panel without its anomalies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from forecast.analysis.anomalies import score_values
from forecast.config.schema import Settings
from forecast.data.panel import Panel
from forecast.training.plan import Reason
from forecast.training.zero_shot import ready_backbone


def without_anomalies(
    panel: Panel, seasons: Sequence[int], settings: Settings
) -> tuple[Panel, tuple[Reason, ...]]:
    """The panel with its anomalies missing, and how many there were.

    Whether a value is masked is decided by those before it, so a masked past tells nothing of the
    future.
    """
    threshold = settings.detection.threshold
    found = score_values(ready_backbone(panel, seasons, settings), panel, threshold).kind
    kinds, counts = np.unique(found[found != ""].astype(str), return_counts=True)
    named = ", ".join(f"{count:,} {kind}" for kind, count in zip(kinds, counts, strict=True))
    share = counts.sum() / max(np.isfinite(panel.values).sum(), 1)
    why = f"{named or 'none found'}; {share:.2%} of the values, those over {threshold:g} deviations"
    masked = replace(panel, values=np.where(found != "", np.nan, panel.values))
    return masked, (("masked", f"{counts.sum():,} anomalies", why),)
