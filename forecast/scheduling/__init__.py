"""Scheduled forecasting that can be left alone: `lstmcast run CONFIG`."""
