"""Baseline forecasts kept on disk, by what they depend on: a re-run need not fit them again.

One file a model: numpy arrays, no pickle. A file that cannot be read is computed anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from forecast.common.files import write_bytes
from forecast.common.folders import unfinished_in
from forecast.data.forecast import Forecast
from forecast.data.panel import Panel
from forecast.models.baselines.naive import NAME as NAIVE

MOST_BYTES = 500 * 2**20  # of all kept forecasts together
FORMAT = 4  # raised when a change of ours makes old results wrong


def digest(panel: Panel, naive: Sequence[Forecast], wanted: np.ndarray, season: int) -> str:
    """What a baseline's forecast depends on besides its name: a hexadecimal SHA-256.

    The values up to the last origin, the origins, horizon, levels, seasons, library version.
    """
    latest = np.max([each.origins for each in naive], axis=0)
    seen = panel.truncate(latest)
    plain = {
        "format": FORMAT,
        "library": version("statsforecast"),
        "horizon": naive[0].point.shape[1],
        "levels": naive[0].levels.tolist(),
        "season": season,
        "seasons": list(panel.frequency.seasons),
    }
    state = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for array in (seen.values, seen.offsets, wanted, *(each.origins for each in naive)):
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()


def store(
    folder: Path, key: str, forecasts: Sequence[Forecast], budget: float, complete: bool
) -> None:
    """Keeps one model's forecasts (one for each window), replacing older ones in one step.

    complete: every wanted series was fitted, so that a larger budget would change nothing.
    Raises OutputError.
    """
    arrays: dict[str, np.ndarray] = {}
    windows = [_told(each) for each in forecasts]
    meta = {"budget": budget, "complete": complete, "windows": windows}
    for window, forecast in enumerate(forecasts):
        rows = np.flatnonzero(forecast.available)
        arrays[f"rows{window}"] = rows
        arrays[f"point{window}"] = forecast.point[rows]
        arrays[f"quantiles{window}"] = forecast.quantiles[rows]
        arrays[f"own{window}"] = np.asarray(forecast.source[rows] == forecast.name, dtype=bool)
    arrays["meta"] = np.array(json.dumps(meta))
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    write_bytes(_path(folder, key, forecasts[0].name), content.getvalue())


def _told(forecast: Forecast) -> dict[str, Any]:
    """What is kept of a forecast besides its numbers."""
    memory = forecast.memory if np.isfinite(forecast.memory) else None
    return {"seconds": forecast.seconds, "memory": memory, "notes": list(forecast.notes)}


def load(
    folder: Path, key: str, name: str, naive: Sequence[Forecast], budget: float
) -> list[Forecast] | None:
    """What `store` kept for this key, or None: nothing there, unreadable, or cut short by a
    smaller budget than this one. `naive` gives shapes and origins."""
    path = _path(folder, key, name)
    try:
        with np.load(path, allow_pickle=False) as kept:
            meta = json.loads(str(kept["meta"]))
            if not meta["complete"] and meta["budget"] < budget:
                return None
            found = [
                _restore(name, base, kept, window, meta["windows"][window])
                for window, base in enumerate(naive)
            ]
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile):
        return None
    with suppress(OSError):  # a folder that cannot be written to: only its order of age suffers
        os.utime(path)
    return found


def prune(folder: Path, most: int = MOST_BYTES) -> None:
    """Removes the files that were used longest ago, so that the rest holds at most `most` bytes.

    What runs that were killed left half-written counts, and goes, in the same way.
    """
    kept = []
    for path in (*filter(_is_ours, folder.glob("*.npz")), *unfinished_in(folder)):
        with suppress(OSError):  # another run may remove it just now
            about = path.stat()
            kept.append((about.st_mtime, about.st_size, path))
    total = 0
    for _, size, path in sorted(kept, reverse=True):
        total += size
        if total > most:
            with suppress(OSError):
                path.unlink()


def _is_ours(path: Path) -> bool:
    """Whether a file has a name that `store` gives."""
    return re.fullmatch(r".+-[0-9a-f]{32}\.npz", path.name) is not None


def _restore(
    name: str, base: Forecast, kept: np.lib.npyio.NpzFile, window: int, meta: dict
) -> Forecast:
    rows = kept[f"rows{window}"]
    point = np.full_like(base.point, np.nan)
    quantiles = np.full_like(base.quantiles, np.nan)
    source = np.full(len(point), "", dtype=object)
    point[rows], quantiles[rows] = kept[f"point{window}"], kept[f"quantiles{window}"]
    source[rows] = np.where(kept[f"own{window}"], name, NAIVE)
    return replace(
        base,
        name=name,
        point=point,
        quantiles=quantiles,
        source=source,
        available=source != "",
        seconds=float(meta["seconds"]),
        memory=float("nan") if meta["memory"] is None else float(meta["memory"]),
        notes=tuple(meta["notes"]),
    )


def _path(folder: Path, key: str, name: str) -> Path:
    return folder / f"{name}-{key[:32]}.npz"
