"""Runs that were made here, as their own folders tell of them.

`train` and `distill` leave a manifest with its scores, `tune` its tuning.json: configuration,
digest of the data, seed, versions, scores. Nothing is written twice, and a run that is deleted is
gone from the list.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forecast.common.errors import ModelDamagedError
from forecast.models.networks.registry import IDEAS
from forecast.models.store import MANIFEST, read_manifest

TUNING = "tuning.json"
LARGEST = 64 * 2**20  # bytes of a document that is read
BASELINE = "AutoARIMA"
SORTED_BY = ("created", "name", "mase", "smape", "wql", "rmse", "seconds")


@dataclass(frozen=True)
class TrackedRun:
    """One run.

    kind: "train", "distill" or "tune"; model: whose scores `scores` are (metric -> value); arima:
    MASE of AutoARIMA on the same origins, NaN without; shape: layers x units, and of how many
    members or trials; settings: as given, by section; document: all that the run says of itself.
    """

    name: str
    folder: Path
    kind: str
    created: str
    data: str
    digest: str
    horizon: int | None
    network: str
    shape: str
    seed: int | None
    seconds: float
    model: str
    scores: dict[str, float]
    arima: float
    settings: dict[str, Any]
    versions: dict[str, str]
    document: dict[str, Any]

    def value(self, name: str) -> Any:
        """What runs are sorted by; None where it is not known."""
        found = self.scores.get(name) if name in SORTED_BY[2:-1] else getattr(self, name)
        return None if isinstance(found, float) and math.isnan(found) else found

    def row(self) -> dict[str, Any]:
        """All but the whole document, in plain values."""
        fields = {k: v for k, v in vars(self).items() if k not in ("document", "folder", "arima")}
        return {**fields, "folder": str(self.folder), "arima_mase": self.arima}


def runs_below(root: Path) -> tuple[list[TrackedRun], list[tuple[Path, str]]]:
    """The finished runs in the folders of `root`, and those that cannot be read, with why."""
    found, damaged = [], []
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        try:
            if (folder / "model" / MANIFEST).is_file():
                found.append(_trained(folder))
            elif (folder / TUNING).is_file():
                found.append(_tuned(folder))
        except (ModelDamagedError, ValueError, KeyError, TypeError, AttributeError, OSError) as why:
            damaged.append((folder, str(why)))
    return found, damaged


def in_order(runs: list[TrackedRun], by: str) -> list[TrackedRun]:
    """The runs sorted: by time the newest first, by a figure the least first; unknown ones last."""
    known = [run for run in runs if run.value(by) not in (None, "")]
    rest = [run for run in runs if run.value(by) in (None, "")]
    return sorted(known, key=lambda run: run.value(by), reverse=by == "created") + rest


def history_of(run: TrackedRun) -> Iterator[tuple[str, int, float]]:
    """(name of a curve, step, value) of the run's training, from history.csv."""
    path = run.folder / "history.csv"
    if not path.is_file():
        return
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name in ("train_loss", "validation_loss"):
                if row.get(name):
                    where = f"{name}.member-{row['member']}"
                    refit = ".refit" if row["phase"] == "refit" else ""
                    yield where + refit, int(row["step"]), float(row[name])


def _trained(folder: Path) -> TrackedRun:
    manifest = read_manifest(folder / "model")
    network, data = manifest["network"], manifest.get("data", {})
    title = IDEAS[network["name"]].title if network["name"] in IDEAS else network["name"]
    scores, arima = _scores(manifest.get("scores", []), title)
    metrics = _document(folder / "metrics.json")
    seeds = manifest.get("training", {}).get("seeds", [])
    settings = manifest.get("settings", {})
    members = network["members"]
    return TrackedRun(
        folder.name,
        folder,
        "distill" if "distilled" in manifest else "train",
        manifest.get("created", ""),
        str(data.get("source") or ""),
        str(data.get("digest") or ""),
        network.get("horizon"),
        network["name"],
        f"{network['layers']} x {network['hidden_size']}, {members} member{'s' * (members > 1)}",
        settings.get("training", {}).get("seed", seeds[0] // 1000 if seeds else None),
        _number(metrics.get("seconds")),
        title,
        scores,
        arima,
        settings,
        manifest.get("versions", {}),
        manifest,
    )


def _tuned(folder: Path) -> TrackedRun:
    document = _document(folder / TUNING)
    best, data = document["best"], document.get("data", {})
    scores, _ = _scores(document.get("scores", []), "tuned")
    return TrackedRun(
        folder.name,
        folder,
        "tune",
        document.get("created", ""),
        str(data.get("source") or ""),
        str(data.get("digest") or ""),
        None,
        best["network"],
        f"{best['layers']} x {best['hidden']}, {document['trials']} trials",
        document.get("seed"),
        _number(document.get("seconds")),
        "tuned",
        scores,
        math.nan,
        document.get("settings", {}),
        document.get("versions", {}),
        document,
    )


def _scores(rows: list[Mapping[str, Any]], model: str) -> tuple[dict[str, float], float]:
    """Figures of `model` in a score table, and AutoARIMA's MASE."""
    by_model = {row["model"]: row for row in rows}
    figures = {
        name: float(value)
        for name, value in by_model.get(model, {}).items()
        if isinstance(value, int | float) and name not in ("series", "unavailable", "fallen_back")
    }
    return figures, _number(by_model.get(BASELINE, {}).get("mase"))


def _document(path: Path) -> dict[str, Any]:
    """A JSON document; empty where there is none."""
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        text = file.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise ValueError(f"{path.name} is larger than any that is written")
    return dict(json.loads(text))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
