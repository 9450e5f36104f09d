"""Charts of one series and its forecasts: image files and text."""
