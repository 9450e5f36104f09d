"""Every family of synthetic series: importing this module registers them."""

from forecast.training.pretraining import (  # noqa: F401 (importing a module registers its families)
    calendar_effects,
    counts,
    events,
    exponential_smoothing,
    gaussian_process,
    hourly_flow,
    hourly_level,
    mixtures,
    sarima,
    structural,
)
from forecast.training.pretraining.registry import families

__all__ = ["families"]
