"""Results as frames, pictures and short pages, for whoever works in Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.evaluation.scores import ScoreTable

if TYPE_CHECKING:
    import pandas as pd

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


def frame_of(table: Any, data: Any = None, time: Sequence[str] = ()) -> pd.DataFrame:
    """The table as a frame; times as times where the text says one, in the zone of `data`'s, a
    frame whose columns `time` they were read from."""
    import pandas as pd

    kinds = getattr(data, "dtypes", {})
    zone = next((k.tz for n in time if isinstance(k := kinds.get(n), pd.DatetimeTZDtype)), None)
    return with_times(table.to_pandas(), zone)


def with_times(frame: pd.DataFrame, zone: Any = None) -> pd.DataFrame:
    """The frame, the times of its columns as times in `zone` where each is one; None: their own."""
    import pandas as pd

    for name in (column for column in ("ds", "cutoff") if column in frame):
        if frame[name].dtype == object:
            offsets = frame[name].str.extract(OFFSET)[0].nunique()
            parsed = pd.to_datetime(frame[name], errors="coerce", utc=offsets > 1)
            if not parsed.isna().any():
                frame[name] = parsed
        if zone is not None and isinstance(frame[name].dtype, pd.DatetimeTZDtype):
            frame[name] = frame[name].dt.tz_convert(zone)
        elif zone is not None and frame[name].dtype.kind == "M":
            first = np.ones(len(frame), bool)  # of two that a clock shows alike, the earlier
            frame[name] = frame[name].dt.tz_localize(
                zone, ambiguous=first, nonexistent="shift_forward"
            )
    return frame


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
