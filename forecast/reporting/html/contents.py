"""What the report page holds, as plain data: nothing here knows of HTML.

Axes: H horizon (steps), S series. Every text may hold anything at all: the page escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from forecast.evaluation.level_table import LevelLine
from forecast.reporting.charts.fan import FanChart


@dataclass(frozen=True)
class ScoreRow:
    """One forecaster's figures: metric -> value, NaN where undefined.

    series: on how many series; figures over fewer series than another's are not compared with it.
    memory: bytes that its processes held at most.
    """

    model: str
    values: Mapping[str, float]
    seconds: float | None = None
    note: str = ""
    series: int | None = None
    memory: float | None = None


@dataclass(frozen=True)
class Tile:
    """One large figure under the verdict; good: whether it speaks for the first forecaster."""

    label: str
    value: str
    note: str = ""
    good: bool | None = None


@dataclass(frozen=True)
class SeriesEntry:
    """One series to look at: its last test window (`chart`) and its forecast ahead (`future`).

    At least one of them is there. scores: its own figure by forecaster, in the headline metric.
    """

    chart: FanChart | None
    scores: Mapping[str, float] = field(default_factory=dict)
    future: FanChart | None = None
    note: str = ""

    @property
    def views(self) -> dict[str, FanChart]:
        """What there is to see, the forecast ahead first."""
        found = {"ahead": self.future, "test": self.chart}
        return {name: chart for name, chart in found.items() if chart is not None}

    @property
    def title(self) -> str:
        """The series' id."""
        return next(iter(self.views.values())).title


@dataclass(frozen=True)
class Reliability:
    """How often the actual value lay below each quantile: promised and observed shares, (Q,).

    ties: share of actual values that are equal to the lowest quantile, as zeros of counts are;
    an observed share cannot be below it.
    """

    promised: np.ndarray
    observed: np.ndarray
    ties: float = 0.0


@dataclass(frozen=True)
class Residuals:
    """Autocorrelation of the errors at lags 1, 2, ...; `limit`: what chance alone allows."""

    autocorrelation: np.ndarray
    limit: float


@dataclass(frozen=True)
class LearningCurve:
    """One network's training, (E,) each: step, losses (NaN where not measured), learning rate."""

    name: str
    steps: np.ndarray
    training: np.ndarray
    validation: np.ndarray
    rate: np.ndarray


@dataclass(frozen=True)
class Setting:
    """One setting of the run, and where its value came from (flag, file, default, ...)."""

    name: str
    value: str
    source: str = ""


@dataclass(frozen=True)
class Explained:
    """What moved one series' forecast, as `explain` left it: a picture (SVG), and rows of text
    (lag or covariate, what it moved)."""

    series: str
    picture: str
    lags: tuple[tuple[str, str], ...]
    covariates: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ReportData:
    """Everything on the page; an empty part is left out.

    verdict       the one sentence that matters; what follows its first clause is set smaller
    won           True, False, or None when neither leads: colours the verdict
    facts         short texts under the verdict: "24 series", "hourly", "horizon 48"
    rival         the forecaster that the first one is drawn beside ("": the next one)
    headline      the metric of `SeriesEntry.scores` and of the series list
    scores        best first or in the order given; scores_note says scale and pooling
    series        a sample, bounded by the caller or by the page; total_series is how many there are
    ahead         heading of the forecast: "The next 12 months"; "" where there is none
    total         the sum of all series ahead; None where there is one, or their times differ
    pinned        id of the series that stands first whatever the order: a hierarchy's total
    zone          whose clock the times show: "UTC", "Europe/Berlin"; "" where the data do not say
    twice         times ahead that come twice on that clock, as summer time ends
    step_errors   model -> error at each step ahead, (H,); step_metric names the error
    description   what the data are: (name, value) pairs; repairs: what was mended or ignored
    by_level      scores of a hierarchy's levels
    decisions     what was decided for the user: name, value, and the reason as its source
    """

    title: str
    created: str
    verdict: str
    won: bool | None = None
    facts: tuple[str, ...] = ()
    tiles: tuple[Tile, ...] = ()
    headline: str = "mase"
    rival: str = ""
    scores: tuple[ScoreRow, ...] = ()
    scores_note: str = ""
    series: tuple[SeriesEntry, ...] = ()
    total_series: int = 0
    ahead: str = ""
    total: SeriesEntry | None = None
    pinned: str = ""
    zone: str = ""
    twice: np.ndarray = field(default_factory=lambda: np.empty(0, "datetime64[s]"))
    step_errors: Mapping[str, np.ndarray] = field(default_factory=dict)
    step_metric: str = "mase"
    reliability: Mapping[str, Reliability] = field(default_factory=dict)
    residuals: Mapping[str, Residuals] = field(default_factory=dict)
    learning: tuple[LearningCurve, ...] = ()
    description: tuple[tuple[str, str], ...] = ()
    repairs: tuple[str, ...] = ()
    decisions: tuple[Setting, ...] = ()
    settings: tuple[Setting, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    explained: Explained | None = None
    by_level: tuple[LevelLine, ...] = ()
