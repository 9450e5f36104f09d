"""Anomalies from the forecast's own predictive distribution, one step ahead."""

from forecast.detection.find import Anomalies, find_anomalies, judge
from forecast.detection.table import anomaly_table

__all__ = ["Anomalies", "anomaly_table", "find_anomalies", "judge"]
