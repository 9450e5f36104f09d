"""A trained forecaster on disk: `manifest.json` and `weights.safetensors`, nothing that runs code.

The manifest is checked against its own sum and its schema (manifest.py); names, types and shapes of
all tensors against the manifest, and the size and the sum of their file, before any is read.
Loading needs no torch.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from platform import python_version
from typing import Any, NamedTuple

import numpy as np

from forecast.common.documents import (
    BadDocument,
    as_bytes,
    check_schema,
    open_seal,
    parse_document,
    read_bounded,
    read_document,
    sealed,
)
from forecast.common.errors import (
    InputError,
    ModelDamagedError,
    ModelNotFoundError,
    without_password,
)
from forecast.common.files import STAGING, reading
from forecast.data.frequency import Frequency
from forecast.models.forecaster import USUAL_DEPENDENCE, Forecaster
from forecast.models.likelihoods import QUANTILES
from forecast.models.networks.base import Shapes
from forecast.models.networks.registry import effects_of, mixer_of, size_of, state_shapes
from forecast.transforms.augment import View
from forecast.transforms.covariates import read_design, widths
from forecast.transforms.windows import Layout

SCHEMA_VERSION = 2  # version 1 had no sum of the manifest itself
WITH_SPREAD = 3  # of a network whose covariates say more than their effect (`effects`)
READ = (1, SCHEMA_VERSION, WITH_SPREAD)
MANIFEST, WEIGHTS = "manifest.json", "weights.safetensors"
LARGEST_HEADER, LARGEST_WEIGHTS = 4 * 2**20, 2 * 2**30  # bytes
FORMAT = "lstmcast-model"


def save_model(
    folder: Path, forecaster: Forecaster, frequency: Frequency, about: dict[str, Any]
) -> None:
    """Writes the two files into the new folder `folder`; `about` is added to the manifest."""
    from safetensors.numpy import save

    assert not forecaster.longer, "longer steps are decided anew by each forecast"
    folder.mkdir(parents=True)
    tensors = {
        f"{member}.{name}": np.ascontiguousarray(array, np.float32)
        for member, weights in enumerate(forecaster.members)
        for name, array in weights.items()
    }
    blob = save(tensors)
    sizes = [size_of(weights, forecaster.network) for weights in forecaster.members]
    mixers = [mixer_of(weights) for weights in forecaster.members]
    effects = effects_of(forecaster.members[0])
    (folder / WEIGHTS).write_bytes(blob)
    manifest = {
        "schema_version": WITH_SPREAD if effects > 1 else SCHEMA_VERSION,
        "format": FORMAT,
        "versions": versions(),
        "weights_sha256": hashlib.sha256(blob).hexdigest(),
        "frequency": asdict(frequency),
        "network": {
            "name": forecaster.network,
            "likelihood": forecaster.likelihood,
            "members": len(forecaster.members),
            **dict(zip(("hidden_size", "layers"), sizes[0], strict=True)),
            "shapes": [list(size) for size in sizes],
            **({"mixers": mixers} if any(mixers) else {}),
            **({"effects": effects} if effects > 1 else {}),
            "parameters": forecaster.parameters,
            "levels": forecaster.levels.tolist(),
            "context": forecaster.context,
            "horizon": forecaster.horizon,
            "layout": asdict(forecaster.layout),
            "interval_factors": forecaster.factors.tolist(),
            "dependence": forecaster.dependence,
            "views": [view._asdict() for view in forecaster.views],
            **({"covariates": asdict(forecaster.design)} if forecaster.design else {}),
        },
        **about,
    }
    text = json.dumps(sealed(manifest), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST).write_bytes(as_bytes(text))


def load_model(folder: Path) -> tuple[Forecaster, dict[str, Any]]:
    """The forecaster in a model folder and its manifest.

    Raises ModelNotFoundError, or ModelDamagedError when anything does not fit.
    """
    forecaster, _, shapes, manifest = _planned(folder)
    path = folder / WEIGHTS
    blob = _read_weights(path, manifest, shapes)
    _check_header(path, blob, shapes)
    tensors = _tensors(path, blob)
    weights = tuple(
        {name: tensors[f"{m}.{name}"] for name in shape} for m, shape in enumerate(shapes)
    )
    if not all(np.isfinite(array).all() for array in tensors.values()):
        raise _damaged(path, "holds numbers that are not finite")
    return replace(forecaster, members=weights), manifest


def read_about(folder: Path) -> tuple[Forecaster, tuple[int, int]]:
    """The forecaster in a model folder without its weights, which are not read, and its first
    member's hidden size and number of layers. Raises as `load_model`."""
    forecaster, sizes, _, _ = _planned(folder)
    return forecaster, (sizes[0].hidden, sizes[0].layers)


class Sizes(NamedTuple):
    """Of one member: units, layers, channels of the mixer, what is said of covariates."""

    hidden: int
    layers: int
    mixer: int
    effects: int


def _planned(
    folder: Path,
) -> tuple[Forecaster, list[Sizes], list[Shapes], dict[str, Any]]:
    """What the manifest says: the forecaster yet without members, their sizes as `_described` has
    them, their tensors' shapes, and the manifest itself. Raises as `load_model`."""
    manifest = read_manifest(folder)
    forecaster, sizes = _described(manifest["network"])
    try:
        return forecaster, sizes, [_shapes(forecaster, size) for size in sizes], manifest
    except ValueError as error:
        raise _damaged(folder / MANIFEST, f"is wrong at network: {error}") from error


def _read_weights(path: Path, manifest: dict[str, Any], shapes: list[Shapes]) -> bytes:
    """The file of weights, whole. Raises ModelDamagedError unless it is as large as its tensors
    are, and its checksum is right."""
    bytes_of_numbers = 4 * sum(math.prod(shape) for each in shapes for shape in each.values())
    try:
        blob = read_bounded(path, min(bytes_of_numbers + LARGEST_HEADER + 8, LARGEST_WEIGHTS))
    except OSError as error:
        raise _damaged(path, f"cannot be read: {error.strerror}") from error
    except BadDocument as error:
        raise _damaged(path, str(error)) from error
    if hashlib.sha256(blob).hexdigest() != manifest["weights_sha256"]:
        raise _damaged(path, "does not match its checksum in the manifest")
    return blob


def _tensors(path: Path, blob: bytes) -> dict[str, np.ndarray]:
    """The tensors of a file whose header was checked. Raises ModelDamagedError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(blob))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"is not a safetensors file ({error})") from error


def _described(network: dict[str, Any]) -> tuple[Forecaster, list[Sizes]]:
    """The forecaster that a manifest tells of, yet without members, and the sizes of each member;
    `network` as its schema has it."""
    forecaster = Forecaster(
        Layout(**network["layout"]),
        (),
        np.array(network["levels"], float),
        network["context"],
        network["horizon"],
        np.array(network["interval_factors"], float),
        network=network.get("name", "lstm"),
        design=read_design(network["covariates"]) if network.get("covariates") else None,
        views=tuple(View(**view) for view in network.get("views", [{}])),
        likelihood=network.get("likelihood", QUANTILES),
        dependence=float(network.get("dependence", USUAL_DEPENDENCE)),
    )
    one = (network["hidden_size"], network["layers"])
    sizes = network.get("shapes") or [one] * network["members"]
    mixers = network.get("mixers") or [0] * len(sizes)
    effects = network.get("effects", 1)
    pairs = zip(sizes, mixers, strict=True)
    return forecaster, [Sizes(hidden, layers, mixer, effects) for (hidden, layers), mixer in pairs]


def _shapes(forecaster: Forecaster, size: Sizes) -> Shapes:
    """Shapes of the tensors of one member."""
    layout = forecaster.layout
    return state_shapes(
        layout.features,
        size.hidden,
        size.layers,
        len(forecaster.levels),
        *widths(forecaster.design, layout.segment_points),
        network=forecaster.network,
        context=forecaster.context,
        likelihood=forecaster.likelihood,
        mixer=size.mixer,
        effects=size.effects,
    )


def frequency_of(manifest: Mapping[str, Any]) -> Frequency:
    """The grid in time that the model was trained on."""
    return Frequency(**manifest["frequency"])


def describe(where: str | Path) -> dict[str, Any]:
    """The manifest of a run folder or its model folder. Raises as `load_model`."""
    return read_manifest(model_path(Path(where)))


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a model folder. Raises ModelNotFoundError or ModelDamagedError."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelNotFoundError(
            "there is no model here",
            code="model/not-found",
            where=str(folder),
            remedy="Name a run folder or its model folder, or train one with `lstmcast train`",
        )
    from forecast.models.manifest import ModelManifest

    reading(path)
    reading(folder / WEIGHTS)
    try:
        manifest = read_document(path)
        version = manifest.get("schema_version")
        if manifest.get("format") == FORMAT and type(version) is int and version not in READ:
            raise _of_another_version(path, version)
        open_seal(manifest, required=version != 1)
        check_schema(ModelManifest, manifest)
    except BadDocument as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        raise _damaged(path, f"cannot be read: {error.strerror}") from error
    network = {key: value for key, value in manifest["network"].items() if value is not None}
    return {**manifest, "network": network}  # null is the same as not there


def model_path(where: Path) -> Path:
    """The model folder of a run folder, or `where` itself."""
    inner = where / "model"
    return inner if (inner / MANIFEST).is_file() else where


def run_of(folder: Path) -> Path:
    """The run folder of a model folder, or the folder itself where it stands alone."""
    return folder.parent if folder.absolute().name == "model" else folder


# Of the settings of reading, those that say how a table is understood. All others name a place (a
# file, a database, a query, the file of rejects) or lift a limit.
HOW_TO_READ = frozenset({
    "id_col", "time_col", "target_col", "freq", "season", "wide", "encoding", "delimiter",
    "decimal", "thousands", "dayfirst", "time_unit", "tz", "duplicates", "missing", "drop_value",
    "resample", "agg", "max_gap_share", "future_cov", "past_cov", "static_cov", "categorical",
    "calendar", "holidays", "calendar_tz", "no_id", "no_time", "transpose", "na_values", "units",
    "hierarchy", "by", "ignore_parents", "censored_col", "sheet", "cov_short", "drop_partial",
    "stamps",
})  # fmt: skip


def refuse_to_take_places(
    manifest: Mapping[str, Any], folder: Path, root: str | Path, remedy: str
) -> None:
    """Raises InputError where a manifest says where its data are, and is not believed."""
    path = (manifest.get("data") or {}).get("path")
    if path and not is_below(folder, root):
        raise InputError(
            "this folder is not below --root, so the data that it names are not read unasked",
            code="input/not-own-model",
            where=str(folder),
            value=without_password(str(path)),
            remedy=f"{remedy}, or say with --root where your runs are",
        )


def is_below(folder: str | Path, root: str | Path) -> bool:
    """Whether a folder lies in the root of all runs, links followed."""
    real, above = os.path.realpath(folder), os.path.realpath(root)
    return os.path.commonpath([real, above]) == above


def recorded_data(
    manifest: Mapping[str, Any], folder: Path, root: str | Path
) -> tuple[str | None, dict[str, Any]]:
    """Where the data are that a run or a model was made from, and how they are read, as far as its
    manifest is believed.

    A folder may be from somebody else. Only of the user's own, below the root of all runs, are
    places taken, to be read; of any other no path, no address and no query. A file of rejects,
    which would be written, is never taken.
    """
    given = dict((manifest.get("settings") or {}).get("data") or {})
    given.pop("rejects", None)
    if is_below(folder, root):
        return (manifest.get("data") or {}).get("path"), given
    return None, {name: value for name, value in given.items() if name in HOW_TO_READ}


def newest_model(root: Path) -> Path:
    """The model folder of the newest finished run below `root`. Raises ModelNotFoundError."""
    found = []
    if root.is_dir():
        for run in root.iterdir():
            manifest = run / "model" / MANIFEST
            if not run.name.startswith(STAGING) and manifest.is_file():
                found.append((manifest.stat().st_mtime_ns, run.name, manifest.parent))
    if not found:
        raise ModelNotFoundError(
            "there is no trained model",
            code="model/none",
            where=str(root),
            remedy="Train one with `lstmcast train DATA`, or name one with --model",
        )
    return max(found)[2]


def versions() -> dict[str, str]:
    """Versions that the numbers depend on, read without importing anything heavy."""
    names = ("lstmcast", "torch", "numpy", "pandas", "pyarrow", "statsforecast", "holidays")
    found = {"python": python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _check_header(path: Path, blob: bytes, shapes: list[Shapes]) -> None:
    """The header of a safetensors file lists exactly the tensors of these shapes, in float32."""
    size = int.from_bytes(blob[:8], "little") if len(blob) >= 8 else -1
    if not 0 < size <= min(LARGEST_HEADER, len(blob) - 8):
        raise _damaged(path, "is not a safetensors file")
    try:
        header = parse_document(blob[8 : 8 + size])
        found = {
            name: (entry["dtype"], tuple(entry["shape"]))
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, "has a damaged header") from error
    wanted = {
        f"{m}.{name}": ("F32", shape)
        for m, member in enumerate(shapes)
        for name, shape in member.items()
    }
    if found != wanted:
        odd = min(n for n in {*found, *wanted} if found.get(n) != wanted.get(n))
        raise _damaged(path, f"does not hold the tensors of its manifest: {odd}")


def _of_another_version(path: Path, version: int) -> ModelDamagedError:
    return ModelDamagedError(
        "the model was written by another version of lstmcast",
        code="model/incompatible",
        where=str(path),
        value=version,
        remedy=f"This one reads versions {READ[0]} to {READ[-1]}; train again",
    )


def _damaged(path: Path, what: str) -> ModelDamagedError:
    return ModelDamagedError(
        f"the file {what}",
        code="model/damaged",
        where=str(path),
        remedy="Train again, or restore the folder from a copy",
    )
