"""Runs that were made here, as their own folders tell of them.

`train` and `distill` leave a manifest with its scores, `backtest` its manifest and metrics.json,
`compare` its compare.json, `tune` its tuning.json: configuration, digest of the data, seed,
versions, scores. Nothing is written twice, and a run that is deleted is gone from the list.
"""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from forecast.common.documents import (
    BadDocument,
    check_schema,
    open_seal,
    read_bounded,
    read_document,
)
from forecast.common.errors import ModelDamagedError, OutputError
from forecast.common.resources import needed
from forecast.data.io.notes import quantity
from forecast.models.networks.registry import NETWORK_SPECS
from forecast.models.store import MANIFEST, read_manifest
from forecast.reporting.documents import BacktestManifest, Comparison, Metrics, Timed, Tuning

TUNING, COMPARISON = "tuning.json", "compare.json"
LARGEST = 64 * 2**20  # bytes of a document that is read
BASELINE = "AutoARIMA"
SORTED_BY = ("created", "name", "mase", "smape", "wql", "rmse", "seconds")


@dataclass(frozen=True)
class TrackedRun:
    """One run.

    kind: "train", "distill", "backtest", "compare" or "tune"; model: whose scores `scores` are
    (metric -> value), of several networks the best; arima: MASE of AutoARIMA on the same origins,
    NaN without; shape: layers x units, and of how many members or trials, or at how many origins;
    settings: as given, by section; document: all that the run says of itself.
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
            elif (folder / COMPARISON).is_file():
                found.append(_compared(folder))
            elif (folder / MANIFEST).is_file():
                found.append(_backtested(folder))
        except (ModelDamagedError, OSError) as why:
            damaged.append((folder, str(why)))
        except BadDocument as why:
            damaged.append((folder, f"a document of it {why}"))
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
    try:
        text = read_bounded(path, LARGEST).decode("utf-8")
        for row in csv.DictReader(io.StringIO(text, newline="")):
            for name in ("train_loss", "validation_loss"):
                if row.get(name):
                    where = f"{name}.member-{row['member']}"
                    refit = ".refit" if row["phase"] == "refit" else ""
                    yield where + refit, int(row["step"]), float(row[name])
    except (ValueError, KeyError, TypeError, csv.Error, OSError) as error:
        raise ModelDamagedError(
            "the file is not the table that the run wrote",
            code="report/damaged-run",
            where=str(path),
            remedy="Train again, or restore the folder from a copy",
        ) from error


def _trained(folder: Path) -> TrackedRun:
    manifest = read_manifest(folder / "model")
    network, data = manifest["network"], manifest.get("data", {})
    name = network.get("name", "lstm")
    title = NETWORK_SPECS[name].title
    scores, arima = _scores(manifest.get("scores", []), title)
    seeds = manifest.get("training", {}).get("seeds", [])
    settings = manifest.get("settings", {})
    members = network["members"]
    return TrackedRun(
        name=folder.name,
        folder=folder,
        kind="distill" if "distilled" in manifest else "train",
        created=manifest.get("created", ""),
        data=str(data.get("source") or ""),
        digest=str(data.get("digest") or ""),
        horizon=network.get("horizon"),
        network=name,
        shape=f"{network['layers']} x {network['hidden_size']}, "
        f"{members} member{'s' * (members > 1)}",
        seed=settings.get("training", {}).get("seed", seeds[0] // 1000 if seeds else None),
        seconds=_seconds(folder / "metrics.json"),
        model=title,
        scores=scores,
        arima=arima,
        settings=settings,
        versions=manifest.get("versions", {}),
        document=manifest,
    )


def _tuned(folder: Path) -> TrackedRun:
    document = read_document(folder / TUNING, LARGEST)
    check_schema(Tuning, document)
    best, data = document["best"], document.get("data", {})
    scores, _ = _scores(document.get("scores", []), "tuned")
    return TrackedRun(
        name=folder.name,
        folder=folder,
        kind="tune",
        created=document.get("created", ""),
        data=str(data.get("source") or ""),
        digest=str(data.get("digest") or ""),
        horizon=None,
        network=best["network"],
        shape=f"{best['layers']} x {best['hidden']}, {document['trials']} trials",
        seed=document.get("seed"),
        seconds=_number(document.get("seconds")),
        model="tuned",
        scores=scores,
        arima=math.nan,
        settings=document.get("settings", {}),
        versions=document.get("versions", {}),
        document=document,
    )


def _backtested(folder: Path) -> TrackedRun:
    manifest = read_document(folder / MANIFEST, LARGEST)
    open_seal(manifest, required=manifest.get("schema_version", 0) >= 2)
    check_schema(BacktestManifest, manifest)
    metrics = read_document(folder / "metrics.json", LARGEST)
    check_schema(Metrics, metrics)
    network = manifest.get("settings", {}).get("network", {}).get("name", "lstm")
    origins = quantity(metrics["windows"], "origin")
    return _scored(
        folder, "backtest", manifest, metrics, (network, NETWORK_SPECS[network].title, origins)
    )


def _compared(folder: Path) -> TrackedRun:
    document = read_document(folder / COMPARISON, LARGEST)
    check_schema(Comparison, document)
    titles = {spec.title: name for name, spec in NETWORK_SPECS.items()}
    judged = document.get("judged", "mase")
    figures = {
        row["model"]: row[judged]
        for row in document["models"]
        if row["model"] in titles and isinstance(row.get(judged), int | float)
    }
    best = min(figures, key=lambda name: figures[name], default="")
    named = (titles.get(best, ""), best, f"best of {quantity(len(figures), 'network')}")
    return _scored(folder, "compare", document, document, named)


def _scored(
    folder: Path,
    kind: str,
    about: dict[str, Any],
    scored: Mapping[str, Any],
    named: tuple[str, str, str],
) -> TrackedRun:
    """A run that keeps no network. about: its data and settings; scored: its score table and
    seconds; named: network, its name in the table, shape."""
    network, model, shape = named
    scores, arima = _scores(scored["models"], model)
    data, settings = about.get("data", {}), about.get("settings", {})
    return TrackedRun(
        name=folder.name,
        folder=folder,
        kind=kind,
        created=about.get("created", ""),
        data=str(data.get("source") or ""),
        digest=str(data.get("digest") or ""),
        horizon=scored.get("horizon"),
        network=network,
        shape=shape,
        seed=settings.get("training", {}).get("seed"),
        seconds=_number(scored.get("seconds")),
        model=model,
        scores=scores,
        arima=arima,
        settings=settings,
        versions=about.get("versions", {}),
        document=about,
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


def _seconds(path: Path) -> float:
    """What metrics.json says of the time that a run took; NaN where there is none."""
    if not path.is_file():
        return math.nan
    return _number(check_schema(Timed, read_document(path, LARGEST)).seconds)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


# --- Runs handed over to MLflow, each once: settings as parameters, scores and curves as
# metrics


EXTRA = "mlflow"
EXPERIMENT = "lstmcast"
KEY = "lstmcast.run"  # tag by which a run is known to be there
AT_ONCE = {"metrics": 1000, "params": 100}  # as much as MLflow takes in one call
LONGEST = 500  # characters of a parameter's value


def hand_over(runs: Sequence[TrackedRun], uri: str) -> tuple[int, int]:
    """Writes the runs to the MLflow store at `uri` (http://HOST:PORT or sqlite:///FILE); how many,
    and how many were there already.

    Raises UsageError where the extra is not installed, OutputError where the store refuses.
    """
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    tracking = needed("mlflow.tracking", EXTRA, "runs --mlflow")
    problem = needed("mlflow.exceptions", EXTRA, "runs --mlflow").MlflowException
    try:
        client = tracking.MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        where = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT)
        known = _known(client, where)
        new = [run for run in runs if _key(run) not in known]
        for run in new:
            _write(client, where, run)
    except (problem, OSError, ImportError) as error:
        raise OutputError(
            f"the runs cannot be written to MLflow: {error}",
            code="output/mlflow",
            where=uri,
            remedy="Check the address: http://HOST:PORT or sqlite:///FILE",
        ) from error
    return len(new), len(runs) - len(new)


def _known(client: Any, experiment: str) -> set[str]:
    """Keys of the runs that the store has."""
    found: set[str] = set()
    token = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        found |= {run.data.tags[KEY] for run in page if KEY in run.data.tags}
        token = page.token
        if not token:
            return found


def _key(run: TrackedRun) -> str:
    return f"{run.kind} {run.name} {run.created}"


def _write(client: Any, experiment: str, run: TrackedRun) -> None:
    entities = needed("mlflow.entities", EXTRA, "runs --mlflow")
    ended = _milliseconds(run.created)
    taken = int(run.seconds * 1000) if math.isfinite(run.seconds) else 0
    tags = {
        KEY: _key(run),
        "lstmcast.kind": run.kind,
        "lstmcast.data": run.data,
        "lstmcast.digest": run.digest,
        **{f"lstmcast.version.{name}": version for name, version in run.versions.items()},
    }
    made = client.create_run(experiment, ended - taken, tags, run.name)
    number = made.info.run_id
    params = [entities.Param(k, v[:LONGEST]) for k, v in _parameters(run).items()]
    curves = [(name, value, step) for name, step, value in history_of(run)]
    figures = [(name, value, 0) for name, value in _figures(run).items()]
    metrics = [entities.Metric(n, v, ended, s) for n, v, s in (*figures, *curves)]
    for part in _parts(params, AT_ONCE["params"]):
        client.log_batch(number, params=part)
    for part in _parts(metrics, AT_ONCE["metrics"]):
        client.log_batch(number, metrics=part)
    client.set_terminated(number, "FINISHED", ended)


def _parameters(run: TrackedRun) -> dict[str, str]:
    """Settings as given and what they came to, by dotted names."""
    config = run.document.get("training", {}).get("recipe") or run.document.get("best", {})
    made = {"network": run.network, "shape": run.shape, "seed": run.seed, "horizon": run.horizon}
    made |= dict(_flat(run.settings, "settings."))
    made |= dict(_flat(config, "chosen."))
    return {name: str(value) for name, value in made.items() if value is not None}


def _figures(run: TrackedRun) -> dict[str, float]:
    found = {**run.scores, "arima_mase": run.arima, "training_seconds": run.seconds}
    return {_named(name): value for name, value in found.items() if math.isfinite(value)}


def _named(name: str) -> str:
    """A name that MLflow takes: letters, digits, and of signs only some."""
    return "".join(c if c.isalnum() or c in "_-./ " else "_" for c in name)


def _flat(document: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield _named(prefix + name), value


def _parts(entries: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(entries), size):
        yield entries[start : start + size]


def _milliseconds(stamp: str) -> int:
    return int(datetime.fromisoformat(stamp).timestamp() * 1000) if stamp else 0
