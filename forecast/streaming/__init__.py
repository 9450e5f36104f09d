"""Rows that come one by one, each answered at once with a forecast from its series' new end."""
