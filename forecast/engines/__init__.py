"""Forecasts of more series than one process should hold: partition by partition, on any engine."""

from forecast.engines.merge import Merged, merge_run
from forecast.engines.run import EngineResult, engine_run

__all__ = ["EngineResult", "Merged", "engine_run", "merge_run"]
