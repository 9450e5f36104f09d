"""Forecasts in parts, on processes of this machine, Ray or Spark."""
