"""A forecaster as the bytes of one ONNX file: graph, weights and what the numbers mean."""

from __future__ import annotations

import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from forecast.common.errors import UsageError
from forecast.common.resources import needed
from forecast.models.forecaster import Forecaster
from forecast.models.likelihoods import QUANTILES

EXTRA = "onnx"
OPSET = 18
INPUT, OUTPUT = "values", "quantiles"
LAYERS = ("MatMul", "Gemm", "LSTM", "GRU", "RNN")  # operations that hold a network's weights


def to_onnx(forecaster: Forecaster, about: Mapping[str, str]) -> bytes:
    """The ONNX file of `forecaster`: values float64 (batch, length) -> quantiles float64 (batch,
    horizon, levels), both open in batch and length; `about` becomes its metadata.

    Raises UsageError for a model with covariates or a likelihood of its own, and without the extra.
    """
    if forecaster.design is not None:
        raise UsageError(
            "a model with covariates cannot be exported: its categories, calendar and holidays are "
            "read by code that ONNX has no operations for",
            code="export/covariates",
            remedy="Train without covariates for the export, or forecast with lstmcast predict",
        )
    if forecaster.likelihood != QUANTILES:
        raise UsageError(
            "only a model of quantiles can be exported: ONNX has no operation for the quantiles of "
            "a distribution",
            code="export/likelihood",
            value=forecaster.likelihood,
            remedy="Train without --likelihood for the export",
        )
    onnx = needed("onnx", EXTRA, "export")
    model = onnx.load_model_from_string(_traced(forecaster))
    shape = model.graph.output[0].type.tensor_type.shape
    shape.dim[1].dim_value, shape.dim[2].dim_value = forecaster.horizon, len(forecaster.levels)
    model.producer_name = "lstmcast"
    for name, value in about.items():
        model.metadata_props.add(key=name, value=value)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def metadata_of(forecaster: Forecaster, manifest: Mapping[str, Any]) -> dict[str, str]:
    """What a reader of the file must know, as text: JSON where it is a list."""
    frequency, data = manifest.get("frequency", {}), manifest.get("data", {})
    return {
        "horizon": str(forecaster.horizon),
        "levels": json.dumps(forecaster.levels.tolist()),
        "season": str(manifest.get("season", "")),
        "context": str(forecaster.context),
        "observations_per_step": str(forecaster.layout.width),
        "frequency": str(frequency.get("alias", "")),
        "network": forecaster.network,
        "members": str(len(forecaster.members)),
        "data_digest": str(data.get("digest") or ""),
        "lstmcast": str(manifest.get("versions", {}).get("lstmcast", "")),
        "input": "values: float64, a series a row, the latest value last, NaN where missing and "
        "before a series' first value",
        "output": "quantiles: float64, in the units of the values, by series, step ahead, level",
    }


def quantised(blob: bytes) -> bytes:
    """The file with the networks' weights as int8, each output's in its own unit, and the inputs
    of their products as int8 in a unit found anew at each call (dynamic quantisation)."""
    onnx = needed("onnx", EXTRA, "export")
    quantization = needed("onnxruntime.quantization", EXTRA, "export")
    model = onnx.load_model_from_string(blob)
    with tempfile.TemporaryDirectory(prefix="lstmcast-") as folder, _without_advice():
        path = Path(folder) / "int8.onnx"
        quantization.quantize_dynamic(
            model,
            path,
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_quantize=layers_of(model),
        )
        small = onnx.load(path)
    del small.metadata_props[:]
    small.metadata_props.extend(model.metadata_props)
    small.metadata_props.add(key="precision", value="int8")
    small.producer_name = model.producer_name
    return bytes(small.SerializeToString())


@contextmanager
def _without_advice() -> Iterator[None]:
    """The library advises another tool of its own, through the root logger."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def layers_of(model: Any) -> list[str]:
    """Names of the nodes that multiply by weights: not those that average a day's values."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in LAYERS and len(node.input) > 1 and node.input[1] in stored
    ]


def _traced(forecaster: Forecaster) -> bytes:
    """By torch's exporter of traces: the newer one takes forty times as long over this graph."""
    import torch

    from forecast.inference.onnx.graph import WholeForecaster, networks_of

    module = WholeForecaster(forecaster, networks_of(forecaster)).eval()
    example = torch.ones((2, 5), dtype=torch.float64)
    file: Any = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # that it is the older one; that a batch may be of any size
        torch.onnx.export(
            module,
            (example,),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch", 1: "length"}, OUTPUT: {0: "batch"}},
        )
    return bytes(file.getvalue())
