"""From a trained forecaster and a panel to forecasts."""
