"""A trained forecaster on disk: `manifest.json` and `weights.safetensors`, nothing that runs code.

Names, types and shapes of all tensors are checked against the manifest before any is read, and
the file against its checksum. Loading needs no torch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np

from forecast.common.errors import ModelDamagedError, ModelNotFoundError
from forecast.common.files import STAGING
from forecast.data.frequency import Frequency
from forecast.models.forecaster import USUAL_DEPENDENCE, Forecaster
from forecast.models.likelihoods import QUANTILES
from forecast.models.networks.registry import size_of, state_shapes
from forecast.transforms.augment import View
from forecast.transforms.covariates import read_design, widths
from forecast.transforms.windows import Layout

SCHEMA_VERSION = 1
MANIFEST, WEIGHTS = "manifest.json", "weights.safetensors"
LARGEST_MANIFEST = 16 * 2**20
LARGEST_HEADER = 4 * 2**20
MOST_MEMBERS, LARGEST_PART = 256, 16384  # of an ensemble; units or layers of a network


def save_model(
    folder: Path, forecaster: Forecaster, frequency: Frequency, about: dict[str, Any]
) -> None:
    """Writes the two files into the new folder `folder`; `about` is added to the manifest."""
    from safetensors.numpy import save

    folder.mkdir(parents=True)
    tensors = {
        f"{member}.{name}": np.ascontiguousarray(array, np.float32)
        for member, weights in enumerate(forecaster.members)
        for name, array in weights.items()
    }
    blob = save(tensors)
    sizes = [size_of(weights, forecaster.network) for weights in forecaster.members]
    (folder / WEIGHTS).write_bytes(blob)
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "format": "lstmcast-model",
        "versions": versions(),
        "weights_sha256": hashlib.sha256(blob).hexdigest(),
        "frequency": asdict(frequency),
        "network": {
            "name": forecaster.network,
            "likelihood": forecaster.likelihood,
            "members": len(forecaster.members),
            **dict(zip(("hidden_size", "layers"), sizes[0], strict=True)),
            "shapes": [list(size) for size in sizes],
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
    (folder / MANIFEST).write_text(
        json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
    )


def load_model(folder: Path) -> tuple[Forecaster, dict[str, Any]]:
    """The forecaster in a model folder and its manifest.

    Raises ModelNotFoundError, or ModelDamagedError when anything does not fit.
    """
    manifest = read_manifest(folder)
    path = folder / WEIGHTS
    blob = _read_weights(path, manifest)
    try:
        forecaster, sizes = _described(manifest["network"])
        shapes = [_shapes(forecaster, *size) for size in sizes]
        frequency_of(manifest)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder / MANIFEST, f"is not a model's manifest ({error})") from error
    _check_header(path, blob, shapes)
    from safetensors.numpy import load

    tensors = load(blob)
    weights = tuple(
        {name: tensors[f"{m}.{name}"] for name in shape} for m, shape in enumerate(shapes)
    )
    if not all(np.isfinite(array).all() for array in tensors.values()):
        raise _damaged(path, "holds numbers that are not finite")
    return replace(forecaster, members=weights), manifest


def _read_weights(path: Path, manifest: dict[str, Any]) -> bytes:
    """The file of weights, whole. Raises ModelDamagedError unless its checksum is right."""
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise _damaged(path, f"cannot be read: {error.strerror}") from error
    if hashlib.sha256(blob).hexdigest() != manifest.get("weights_sha256"):
        raise _damaged(path, "does not match its checksum in the manifest")
    return blob


def _described(network: dict[str, Any]) -> tuple[Forecaster, list[tuple[int, int]]]:
    """The forecaster that a manifest tells of, yet without members, and the units and layers of
    each member. Raises KeyError, TypeError or ValueError for what no model has."""
    forecaster = Forecaster(
        Layout(**network["layout"]),
        (),
        np.array(network["levels"], float),
        int(network["context"]),
        int(network["horizon"]),
        np.array(network["interval_factors"], float),
        network=network.get("name", "lstm"),
        design=read_design(network["covariates"]) if "covariates" in network else None,
        views=tuple(View(**view) for view in network.get("views", [{}])),
        likelihood=network.get("likelihood", QUANTILES),
        dependence=float(network.get("dependence", USUAL_DEPENDENCE)),
    )
    if not -1 < forecaster.dependence < 1:
        raise ValueError(f"a dependence of {forecaster.dependence}")
    return forecaster, _sizes(network)


def _sizes(network: dict[str, Any]) -> list[tuple[int, int]]:
    """Units and layers of each member. Raises as `_described`."""
    one = (network["hidden_size"], network["layers"])
    sizes = network.get("shapes", [one] * min(int(network["members"]), MOST_MEMBERS))
    if not sizes or len(sizes) != int(network["members"]) or tuple(sizes[0]) != one:
        raise ValueError("members and their shapes do not agree")
    if len(sizes) > MOST_MEMBERS:
        raise ValueError("an ensemble of impossible size")
    if any(not 0 < int(part) <= LARGEST_PART for size in sizes for part in size):
        raise ValueError("a network of impossible size")
    return [(int(hidden), int(layers)) for hidden, layers in sizes]


def _shapes(forecaster: Forecaster, hidden: int, layers: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors of one member."""
    layout = forecaster.layout
    return state_shapes(
        layout.features,
        hidden,
        layers,
        len(forecaster.levels),
        *widths(forecaster.design, layout.segment_points),
        network=forecaster.network,
        context=forecaster.context,
        likelihood=forecaster.likelihood,
    )


def frequency_of(manifest: dict[str, Any]) -> Frequency:
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
    if path.stat().st_size > LARGEST_MANIFEST:
        raise _damaged(path, "is larger than any manifest")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, "is not a model's manifest") from error
    if version != SCHEMA_VERSION:
        raise ModelDamagedError(
            "the model was written by another version of lstmcast",
            code="model/incompatible",
            where=str(path),
            value=version,
            remedy=f"This one reads version {SCHEMA_VERSION}; train again",
        )
    return dict(manifest)


def model_path(where: Path) -> Path:
    """The model folder of a run folder, or `where` itself."""
    inner = where / "model"
    return inner if (inner / MANIFEST).is_file() else where


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


def _check_header(path: Path, blob: bytes, shapes: list[dict[str, tuple[int, ...]]]) -> None:
    """The header of a safetensors file lists exactly the tensors of these shapes, in float32."""
    size = int.from_bytes(blob[:8], "little") if len(blob) >= 8 else -1
    if not 0 < size <= min(LARGEST_HEADER, len(blob) - 8):
        raise _damaged(path, "is not a safetensors file")
    try:
        header = json.loads(blob[8 : 8 + size])
        found = {
            name: (entry["dtype"], tuple(entry["shape"]))
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, "has a damaged header") from error
    wanted = {
        f"{m}.{name}": ("F32", shape)
        for m, member in enumerate(shapes)
        for name, shape in member.items()
    }
    if found != wanted:
        odd = sorted(set(found.items()) ^ set(wanted.items()))[0][0]
        raise _damaged(path, f"does not hold the tensors of its manifest: {odd}")


def _damaged(path: Path, what: str) -> ModelDamagedError:
    return ModelDamagedError(
        f"the file {what}",
        code="model/damaged",
        where=str(path),
        remedy="Train again, or restore the folder from a copy",
    )
