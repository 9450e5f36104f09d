"""What a model remembers of the data that it was trained on, and whether other data are the same.

Data are the same when columns, frequency and ids are; where one series without a name could be
anything, its past has to agree as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from forecast.common.documents import BadDocument
from forecast.common.errors import ModelDamagedError, ModelNotFoundError
from forecast.common.files import STAGING
from forecast.common.segments import evenly
from forecast.data.panel import Panel
from forecast.models.store import MANIFEST, frequency_of, read_manifest

SERIES, VALUES = 20, 8  # that are remembered: series, evenly spread; last values of each
NAMED = 5  # models named in an error
TUNING = "tuning.json"  # in the folder of a search, whose trials are no models to serve

Manifest = Mapping[str, Any]


def remember(panel: Panel) -> list[dict[str, Any]]:
    """Of some series: id, grid position of the last value, and the last values (None: missing)."""
    found = []
    for s in evenly(panel.size, SERIES).tolist():
        values = panel.series(s)[-VALUES:]
        found.append(
            {
                "id": str(panel.ids[s]),
                "end": int(panel.first[s] + panel.lengths[s] - 1),
                "values": [float(v) if np.isfinite(v) else None for v in values],
            }
        )
    return found


def is_of(manifest: Manifest, panel: Panel, columns: Mapping[str, Any], path: str | None) -> bool:
    """Whether the model was trained on these data, or on what they were before they grew.

    columns: those of the table by role ("time", "target", "id"); path: its file, None without one.
    """
    data = manifest.get("data", {})
    if frequency_of(manifest) != panel.frequency:
        return False
    if _roles(data.get("columns", {})) != _roles(columns):
        return False
    number = {str(name): s for s, name in enumerate(panel.ids.tolist())}
    past = data.get("past") or []
    shared = [each for each in past if each["id"] in number]
    if past and 2 * len(shared) < len(past):
        return False
    if path is not None and path == data.get("path"):
        return True
    if past and _names(columns, "id"):
        return True
    return any(_agrees(panel, number[each["id"]], each) for each in shared)


def _roles(columns: Mapping[str, Any]) -> list[list[str]]:
    """Names of time, id and target; where columns are the series, which may become more, of the
    first two alone."""
    target = columns.get("target")
    wide = isinstance(target, str) or (target is not None and len(target) > 1)
    return [_names(columns, role) for role in ("time", "id", *(() if wide else ("target",)))]


def _names(columns: Mapping[str, Any], role: str) -> list[str]:
    return [str(name) for name in columns.get(role) or ()]


def _agrees(panel: Panel, s: int, past: Mapping[str, Any]) -> bool:
    """Whether at least half of the remembered values stand where they stood."""
    then = np.array([np.nan if v is None else v for v in past["values"]], float)
    at = past["end"] - len(then) + 1 + np.arange(len(then)) - int(panel.first[s])
    inside = (at >= 0) & (at < panel.lengths[s]) & np.isfinite(then)
    now = panel.series(s)[at[inside]]
    same = np.isclose(now, then[inside], rtol=1e-9, atol=0.0)
    return bool(inside.any()) and 2 * int(same.sum()) >= int(inside.sum())


def trained_models(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Model folders below `root` with their manifests, the newest first: no students, no trials,
    and nothing that cannot be read."""
    found = []
    for run in root.iterdir() if root.is_dir() else ():
        manifest = run / "model" / MANIFEST
        if not run.name.startswith((".", STAGING)) and manifest.is_file():
            found.append((manifest.stat().st_mtime_ns, run.name, manifest.parent))
    for _, _, folder in sorted(found, reverse=True):
        try:
            manifest_of = read_manifest(folder)
        except (ModelDamagedError, ModelNotFoundError, BadDocument):
            continue
        if "distilled" not in manifest_of and not (folder.parent / TUNING).is_file():
            yield folder, manifest_of


def newest_trained(root: Path, *, of_one: bool = False) -> Path:
    """The model folder of the newest training below `root`, no student and no trial.

    of_one: all of them must be of the same data, for nothing tells which are meant. Raises
    ModelNotFoundError.
    """
    seen = list(trained_models(root))
    if not seen:
        raise none_of_these(root, seen)
    sources = {str(manifest.get("data", {}).get("path")) for _, manifest in seen}
    if of_one and len(sources) > 1:
        raise ModelNotFoundError(
            "there are models of several data, and which one is meant is not said",
            code="model/which",
            where=str(root),
            value="; ".join(described(*each) for each in seen[:NAMED]),
            remedy="Name one with --model",
        )
    return seen[0][0]


def none_of_these(root: Path, seen: Sequence[tuple[Path, Manifest]]) -> ModelNotFoundError:
    """The error where no model below `root` was trained on the data; seen: those there are."""
    if not seen:
        return ModelNotFoundError(
            "there is no trained model",
            code="model/none",
            where=str(root),
            remedy="Train one with `lstmcast train DATA`, or name one with --model",
        )
    more = f" and {len(seen) - NAMED} more" if len(seen) > NAMED else ""
    return ModelNotFoundError(
        "no model here was trained on these data: same columns, frequency and series",
        code="model/none-of-these-data",
        where=str(root),
        value="; ".join(described(*each) for each in seen[:NAMED]) + more,
        remedy="Name one with --model, or train one: lstmcast train DATA",
    )


def described(folder: Path, manifest: Manifest) -> str:
    """ "runs/sales-20240501-120000 (of sales.csv)"."""
    source = Path(str(manifest.get("data", {}).get("source") or "unknown data")).name
    return f"{folder.parent} (of {source})"
