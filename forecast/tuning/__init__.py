"""Settings sought by trials on validation origins, then judged on origins that no trial saw."""

from forecast.tuning.run import TuneResult, tune_run

__all__ = ["TuneResult", "tune_run"]
