"""What `explain` left in a run's folder, for the page."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from forecast.reporting.finished_run import damaged
from forecast.reporting.html.contents import Explained

DOCUMENT, PICTURE = "explanation.json", "explanation.svg"
SHOWN = 6  # lags, and covariates


def read_explained(folder: Path) -> Explained | None:
    """The explanation in the run's folder, None without one. Raises ModelDamagedError."""
    document, picture = folder / DOCUMENT, folder / PICTURE
    if not (document.is_file() and picture.is_file()):
        return None
    try:
        told = json.loads(document.read_text(encoding="utf-8"))
        image = base64.b64encode(picture.read_bytes()).decode()
        return Explained(
            str(told["series"]),
            f"data:image/svg+xml;base64,{image}",
            tuple(
                (_steps(row["lag"]), f"{row['contribution']:.4g}") for row in told["lags"][:SHOWN]
            ),
            tuple(_covariate(row) for row in told["covariates"][:SHOWN]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(document, "is not an explanation") from error


def _steps(lag: int) -> str:
    return "1 step before" if lag == 1 else f"{lag} steps before"


def _covariate(row: dict[str, object]) -> tuple[str, str]:
    growth, share = row["importance"], row["contribution"]
    text = f"moved it by {share:.4g}"
    return str(row["name"]), text if growth is None else f"{text}; shuffled, errors {growth:+.1%}"
