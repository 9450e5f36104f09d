"""What moved a forecast: past steps, covariates, and what the network did while it read."""

from forecast.explanation.explain import Explanation, explain

__all__ = ["Explanation", "explain"]
