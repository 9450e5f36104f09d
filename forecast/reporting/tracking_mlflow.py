"""Runs handed over to MLflow, each once: settings as parameters, scores and curves as metrics."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from forecast.common.errors import OutputError
from forecast.common.resources import needed
from forecast.reporting.tracking import TrackedRun, history_of

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
    recipe = run.document.get("training", {}).get("recipe") or run.document.get("best", {})
    made = {"network": run.network, "shape": run.shape, "seed": run.seed, "horizon": run.horizon}
    made |= dict(_flat(run.settings, "settings."))
    made |= dict(_flat(recipe, "chosen."))
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
