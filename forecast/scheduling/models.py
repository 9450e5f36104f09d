"""The models of a job: trained ones in folders, the pretrained network, seasonal naive.

Axes: S series, Q quantiles.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from forecast.common.documents import (
    BadDocument,
    check_schema,
    open_seal,
    read_document,
    sealed,
)
from forecast.common.errors import ModelDamagedError, ModelNotFoundError
from forecast.common.files import sync_folder
from forecast.common.folders import whole_folder
from forecast.common.marks import JOB_MODEL
from forecast.data.panel import Panel
from forecast.models.forecaster import Forecaster
from forecast.models.manifest import Choice
from forecast.models.pretrained import load_backbone
from forecast.models.store import frequency_of, load_model, save_model
from forecast.scheduling.config import Job
from forecast.scheduling.documents import AboutModel
from forecast.training.zero_shot import zero_shot
from forecast.workflows.combination import BLENDING, Combination
from forecast.workflows.demand import own_point

FOLDER = "models"
ABOUT = "about.json"
SCHEMA_VERSION = 2  # version 1 had no sum of its own
TRAINED, PRETRAINED, NAIVE = "trained", "pretrained", "seasonal-naive"


@dataclass(frozen=True)
class Service:
    """A model that can serve.

    kind: TRAINED, PRETRAINED or NAIVE (which has no forecaster); trained_until: grid position of
    the last value that it has seen, None where it has seen none; learnt: the settings that it
    depends on (Job.what_is_learnt); promise: MASE and coverage of its backtest, also by step;
    blend: how it is combined with baselines, None for not at all; point: the point forecast that
    suits what it was trained on, None where that was not noted.
    """

    id: str
    kind: str
    forecaster: Forecaster | None
    season: int
    horizon: int
    sha256: str = ""
    trained_until: int | None = None
    learnt: Mapping[str, Any] = field(default_factory=dict)
    promise: Mapping[str, Any] = field(default_factory=dict)
    created: str | None = None
    blend: Combination | None = None
    point: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As a manifest holds it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "sha256": self.sha256,
            "trained_until": self.trained_until,
            "created": self.created,
            "promise": dict(self.promise),
            **({} if self.blend is None else {BLENDING: self.blend.to_dict()}),
        }


@dataclass(frozen=True)
class Trained:
    """What a training leaves: the ensemble that the held-out steps judged, and the final one."""

    scored: Forecaster
    final: Forecaster
    about: dict[str, Any]


def save_trained(folder: Path, made: Trained, panel: Panel, label: str) -> Service:
    """Writes a new model below `folder`, whole or not at all. Raises OutputError."""
    digest = weights_digest(made.final)
    name = f"{label}-{digest[:10]}"
    about = {"schema_version": SCHEMA_VERSION, "id": name, "sha256": digest, **made.about}
    with whole_folder(folder / FOLDER / name, JOB_MODEL) as staging:
        chosen = {"chosen": about.get("chosen") or []}
        save_model(staging / "model", made.final, panel.frequency, {**chosen, "batch": about})
        save_model(staging / "scored", made.scored, panel.frequency, {})
        text = json.dumps(sealed(about), indent=2, allow_nan=False)
        (staging / ABOUT).write_text(text, encoding="utf-8")
        for inner in (staging / "model", staging / "scored", staging):
            sync_folder(inner)
    return _service(about, made.final)


def choice_of(folder: Path, name: str, what: str) -> dict[str, Any] | None:
    """What was chosen for the model `name` when it was trained, and why, e.g. of its covariates;
    None where that is not known."""
    try:
        about = read_document(folder / FOLDER / name / ABOUT)
        chosen = check_schema(TypeAdapter(list[Choice]), about.get("chosen") or [])
    except (OSError, BadDocument):
        return None
    return next((each.model_dump() for each in chosen if each.name == what), None)


def load_trained(folder: Path, name: str) -> Service:
    """The model `name` below `folder`. Raises ModelNotFoundError or ModelDamagedError."""
    place = folder / FOLDER / name
    try:
        about = read_document(place / ABOUT)
        open_seal(about, required=about.get("schema_version") != 1)
        found = check_schema(AboutModel, about)
        forecaster, manifest = load_model(place / "model")
        if found.id != name or found.sha256 != weights_digest(forecaster):
            raise BadDocument("is not that of the model beside it")
        if found.horizon != manifest["network"]["horizon"]:
            raise BadDocument(f"speaks of another horizon than the model, {found.horizon}")
    except FileNotFoundError as error:
        raise ModelNotFoundError(
            "the model is gone", code="model/not-found", where=str(place)
        ) from error
    except (OSError, BadDocument) as error:
        what = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else error
        raise ModelDamagedError(
            f"the model's about.json {what}", code="model/damaged", where=str(place)
        ) from error
    return _service(about, forecaster)


def load_scored(folder: Path, name: str) -> Forecaster:
    """The weights of a model before its refit, which saw nothing after its held-out origins."""
    return load_model(folder / FOLDER / name / "scored")[0]


def trained_on_grid(folder: Path, name: str) -> tuple[str, bool]:
    """Alias of the grid that a model was trained on, and whether its times are integers."""
    from forecast.models.store import read_manifest

    frequency = frequency_of(read_manifest(folder / FOLDER / name / "model"))
    return frequency.alias, frequency.integer


def pretrained_service(job: Job, panel: Panel, seasons: tuple[int, ...]) -> Service:
    """The pretrained network, its intervals fitted to the last origins of `panel`."""
    ready = zero_shot(panel, seasons, job.settings)
    digest = weights_digest(load_backbone(ready.forecaster.layout))
    return Service(
        f"pretrained-{digest[:10]}",
        PRETRAINED,
        ready.forecaster,
        ready.season,
        ready.horizon,
        digest,
        learnt=job.what_is_learnt(),
    )


def naive_service(season: int, horizon: int, learnt: Mapping[str, Any]) -> Service:
    """Seasonal naive, where no network beats it."""
    return Service(NAIVE, NAIVE, None, season, horizon, learnt=learnt)


def weights_digest(forecaster: Forecaster) -> str:
    """sha256 of an ensemble's weights and interval factors."""
    found = hashlib.sha256(np.ascontiguousarray(forecaster.factors, np.float64).tobytes())
    for weights in forecaster.members:
        for name in sorted(weights):
            found.update(name.encode())
            found.update(np.ascontiguousarray(weights[name], np.float32).tobytes())
    return found.hexdigest()


def changed_settings(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the settings that differ: "network.layers"."""
    found = []
    for name in sorted({*then, *now}):
        one, other = then.get(name), now.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            found += [
                f"{name}.{key}"
                for key in sorted({*one, *other})
                if _plain(one.get(key)) != _plain(other.get(key))
            ]
        elif _plain(one) != _plain(other):
            found.append(name)
    return tuple(found)


def _plain(value: Any) -> Any:
    """As JSON keeps it: a tuple is a list."""
    return json.loads(json.dumps(value))


def _service(about: Mapping[str, Any], forecaster: Forecaster) -> Service:
    return Service(
        id=about["id"],
        kind=TRAINED,
        forecaster=forecaster,
        season=int(about["season"]),
        horizon=int(about["horizon"]),
        sha256=about["sha256"],
        trained_until=int(about["trained_until"]),
        learnt=about["learnt"],
        promise=about["promise"],
        created=about["created"],
        blend=Combination.read(about),
        point=own_point(about),
    )
