"""Results as frames, pictures and short pages, for whoever works in Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.evaluation.catalogue import metric_named
from forecast.evaluation.scores import ScoreTable

if TYPE_CHECKING:
    import pandas as pd

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


def frame_of(table: Any, data: Any = None) -> pd.DataFrame:
    """The table as a frame; ds as times where the text says one, in the zone of `data`'s."""
    import pandas as pd

    frame = table.to_pandas()
    if frame["ds"].dtype == object:
        parsed = pd.to_datetime(frame["ds"], errors="coerce")
        if not parsed.isna().any():
            frame["ds"] = parsed
    zones = [
        kind.tz for kind in getattr(data, "dtypes", ()) if isinstance(kind, pd.DatetimeTZDtype)
    ]
    if zones and isinstance(frame["ds"].dtype, pd.DatetimeTZDtype):
        frame["ds"] = frame["ds"].dt.tz_convert(zones[0])
    elif zones and frame["ds"].dtype.kind == "M":
        frame["ds"] = frame["ds"].dt.tz_localize(
            zones[0], ambiguous="NaT", nonexistent="shift_forward"
        )
    return frame


def in_short(scores: ScoreTable | None) -> str:
    """ "MASE LSTM 0.427, AutoARIMA 0.608"."""
    if scores is None:
        return "no held-out scores"
    metric = metric_named(scores.judged)
    known = [(each.model, each.values.get(metric.name, float("nan"))) for each in scores.scores]
    return f"{metric.heading} " + ", ".join(f"{name} {value:.3f}" for name, value in known)


def score_frame(scores: ScoreTable | None) -> pd.DataFrame | None:
    import pandas as pd

    if scores is None:
        return None
    frame = pd.DataFrame(scores.to_rows()).set_index("model")
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
