"""Results as frames, pictures and short pages, for whoever works in Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from forecast.data.io.arrow import as_strings
from forecast.data.io.timestamps import day_first, parse_times
from forecast.evaluation.scores import ScoreTable

if TYPE_CHECKING:
    import pandas as pd

ISO = r"\d{4}-\d\d-\d\d(?:[ T]\d\d:?\d\d|$)"  # the one form that pandas reads as we do
OFFSET = r"\d:\d\d\S*?([+-]\d\d:?\d\d)$"  # at the end of a time, as text
ROWS = 8  # of a frame that a result shows in a notebook


@dataclass(frozen=True)
class Picture:
    """A chart, shown by a notebook as it is."""

    png: bytes = field(repr=False)

    def _repr_png_(self) -> bytes:
        return self.png

    def save(self, path: str | Path) -> Path:
        """Writes it as a PNG file."""
        Path(path).write_bytes(self.png)
        return Path(path)


class HasTimes(Protocol):
    """What was read: the columns that make the time, and how they write it (see `Panel`)."""

    @property
    def time(self) -> tuple[str, ...]: ...
    @property
    def time_format(self) -> str: ...


def frame_of(table: Any, read: HasTimes, data: Any = None) -> pd.DataFrame:
    """The table as a frame; times as times where the text says one, in the zone of those of `data`,
    the frame that was read."""
    import pandas as pd

    kinds = getattr(data, "dtypes", {})
    zone = next(
        (k.tz for n in read.time if isinstance(k := kinds.get(n), pd.DatetimeTZDtype)), None
    )
    return with_times(table.to_pandas(), read.time_format, zone)


def with_times(frame: pd.DataFrame, time_format: str, zone: Any = None) -> pd.DataFrame:
    """The frame, the times of its columns, written so, as times in `zone`; None: their own."""
    import pandas as pd

    for name in (column for column in ("ds", "cutoff") if column in frame):
        if frame[name].dtype == object:
            frame[name] = _times(frame[name], time_format)
        if zone is not None and isinstance(frame[name].dtype, pd.DatetimeTZDtype):
            frame[name] = frame[name].dt.tz_convert(zone)
        elif zone is not None and frame[name].dtype.kind == "M":
            first = np.ones(len(frame), bool)  # of two that a clock shows alike, the earlier
            frame[name] = frame[name].dt.tz_localize(
                zone, ambiguous=first, nonexistent="shift_forward"
            )
    return frame


def _times(text: pd.Series, time_format: str) -> pd.Series:
    """The times that texts are, as this project reads them, 01.02.2024 for one; the texts where one
    of them is none. Pandas would take it for January, and 2008.5 for May."""
    import pandas as pd

    if text.str.match(ISO).all():
        offsets = text.str.extract(OFFSET)[0].nunique()
        parsed = pd.to_datetime(text, errors="coerce", format="ISO8601", utc=offsets > 1)
        return text if parsed.isna().any() else parsed
    times = parse_times(as_strings(text.tolist()), name=text.name, dayfirst=day_first(time_format))
    if times.bad.any() or times.integer:
        return text
    parsed = pd.Series(times.stamps.view("M8[ns]"), index=text.index, name=text.name)
    if times.tz is None:
        return parsed
    return parsed.dt.tz_localize("UTC" if times.instant else times.tz)


def in_short(scores: ScoreTable | None) -> str:
    """`ScoreTable.in_short`, also where every series was too short for scores."""
    return "no held-out scores" if scores is None else scores.in_short()


def score_frame(scores: ScoreTable | None) -> pd.DataFrame | None:
    """The figures that are usually looked at."""
    if scores is None:
        return None
    frame = scores.to_frame()
    usual = (scores.judged, "mase", "smape", "rmse", "wql")
    shown = dict.fromkeys((*usual, *(n for n in frame if n.startswith("coverage-"))))
    return frame[[name for name in shown if name in frame]]


def page_of(sentence: str, *frames: pd.DataFrame | None) -> str:
    """A sentence and the heads of frames, for a notebook."""
    from html import escape

    parts = [f"<p>{escape(sentence)}</p>" if sentence else ""]
    parts += [
        frame.head(ROWS).to_html(float_format="{:.4g}".format)
        for frame in frames
        if frame is not None
    ]
    return "\n".join(parts)
