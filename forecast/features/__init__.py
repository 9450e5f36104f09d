"""Covariates, calendar and holidays as numbers that the network reads."""

from forecast.features.design import (
    CATEGORIES,
    Design,
    Entry,
    encode,
    fit_design,
    read_design,
    widths,
)

__all__ = ["CATEGORIES", "Design", "Entry", "encode", "fit_design", "read_design", "widths"]
