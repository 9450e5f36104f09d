"""What a run's manifest says of the data that were seen and of the forecast that was made."""

from __future__ import annotations

from collections import Counter
from typing import Any

from forecast.data.forecast import LEVELS
from forecast.data.load import LoadReport
from forecast.scheduling.as_of import Slot
from forecast.scheduling.forecast import Made
from forecast.scheduling.models import Service
from forecast.scheduling.publication import Edition


def about_the_data(report: LoadReport, slot: Slot) -> dict[str, Any]:
    """The as-of and the input, with the digests of the file and of what of it was seen."""
    return {
        "as_of": slot.time,
        "as_of_position": slot.position,
        "as_of_moment": slot.moment,
        "input": {
            "path": report.source,
            "sha256": report.digest,
            "seen_sha256": slot.digest,
            "rows": report.rows,
            "series": slot.seen.size,
            "last": slot.time,
            "dropped": slot.dropped,
            "age_seconds": slot.age,
        },
    }


def about_the_forecast(service: Service, slot: Slot, made: Made) -> dict[str, Any]:
    """The model, and who forecast how many series."""
    available = made.forecast.available
    return {
        "model": service.to_dict(),
        "horizon": service.horizon,
        "season": service.season,
        "levels": list(LEVELS),
        "series": {
            "forecast": int(available.sum()),
            "fallbacks": made.fallbacks,
            "failed": made.failed,
            "by_source": dict(Counter(made.forecast.source[available].tolist())),
            "left_out": [{"series": name, "reason": why} for name, why in slot.left_out],
        },
    }


def newly_left_out(current: Edition | None, slot: Slot) -> int:
    """Series left out now that the current run did not leave out."""
    if current is None:
        return 0
    before = {entry["series"] for entry in current.manifest["series"]["left_out"]}
    return sum(name not in before for name, _ in slot.left_out)
