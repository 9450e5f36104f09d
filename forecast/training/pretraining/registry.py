"""The families by name: each a function that draws the series of one kind of process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from forecast.common.errors import UsageError
from forecast.training.pretraining.frame import Frame

Build = Callable[[np.random.Generator, Frame], np.ndarray]
KINDS = ("step", "day")


@dataclass(frozen=True)
class Family:
    """One kind of series.

    name     its name, unique over all kinds
    kind     "step" (yearly to daily) or "day" (hourly)
    build    (generator, frame) -> values float64 (T, S), finite; only the part inside each series
             counts
    seasons  season lengths that it makes sense for; empty: any
    count    values are counts: never rescaled, rounded or given outliers afterwards
    source   where the process is described
    """

    name: str
    kind: str
    build: Build
    seasons: tuple[int, ...] = ()
    count: bool = False
    source: str = ""


_FAMILIES: dict[str, Family] = {}


def register(
    name: str,
    kind: str,
    *,
    seasons: tuple[int, ...] = (),
    count: bool = False,
    source: str = "",
) -> Callable[[Build], Build]:
    """Decorator: enters a build function as family `name`. Raises ValueError for a name taken."""

    def enter(build: Build) -> Build:
        if name in _FAMILIES:
            raise ValueError(f"family {name} is registered twice")
        _FAMILIES[name] = Family(name, kind, build, seasons, count, source)
        return build

    return enter


def families(kind: str) -> dict[str, Family]:
    """All families of `kind` by name, in a fixed order. Raises UsageError for an unknown kind."""
    if kind not in KINDS:
        raise UsageError(
            "unknown kind of synthetic series",
            code="usage/synthetic-kind",
            value=kind,
            remedy=f"Choose one of {', '.join(KINDS)}.",
        )
    return {name: f for name, f in sorted(_FAMILIES.items()) if f.kind == kind}
