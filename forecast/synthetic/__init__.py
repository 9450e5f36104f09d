"""Synthetic series for pretraining: many named families, mixed, with no real value among them."""

from forecast.synthetic import (  # noqa: F401 (importing a module registers its families)
    calendar,
    counts,
    day_flow,
    day_level,
    events,
    kernels,
    mixing,
    sarima,
    smoothing,
    structural,
)
from forecast.synthetic.generator import VERSION, SyntheticBatch, generate
from forecast.synthetic.recipe import Recipe, load_recipe
from forecast.synthetic.registry import Family, families

__all__ = ["VERSION", "Family", "Recipe", "SyntheticBatch", "families", "generate", "load_recipe"]
