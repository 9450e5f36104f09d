"""A forecaster as the bytes of one ONNX file: graph, weights and what the numbers mean."""

from __future__ import annotations

import io
import json
import logging
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from forecast.common.errors import ForecastError, UsageError
from forecast.common.resources import needed
from forecast.common.scratch import ScratchFolder
from forecast.data.forecast import Forecast
from forecast.data.frequency import Frequency
from forecast.data.open_steps import as_read
from forecast.data.panel import Panel
from forecast.inference.point import mean_of_quantiles
from forecast.inference.predict import forecast_panel
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
            remedy="Train without covariates, with --no-calendar, for the export, or forecast with "
            "lstmcast predict",
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


def metadata_of(
    forecaster: Forecaster, manifest: Mapping[str, Any], point: str = "median"
) -> dict[str, str]:
    """What a reader of the file must know, as text: JSON where it is a list. point: what `predict`
    publishes as the forecast."""
    frequency, data = manifest.get("frequency", {}), manifest.get("data", {})
    return {
        "horizon": str(forecaster.horizon),
        "levels": json.dumps(forecaster.levels.tolist()),
        "point": point,
        "mean_weights": json.dumps(mean_weights(forecaster.levels).tolist()),
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


def mean_weights(levels: np.ndarray) -> np.ndarray:
    """(Q,): quantiles times these, added up, are the mean of the distribution."""
    return mean_of_quantiles(np.eye(len(levels)), levels)


def quantised(blob: bytes) -> bytes:
    """The file with the networks' weights as int8, each output's in its own unit, and the inputs
    of their products as int8 in a unit found anew at each call (dynamic quantisation)."""
    onnx = needed("onnx", EXTRA, "export")
    quantization = needed("onnxruntime.quantization", EXTRA, "export")
    model = onnx.load_model_from_string(blob)
    with ScratchFolder() as folder, _without_advice():
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


# --- A panel forecast by an ONNX file in ONNX Runtime, on one thread -----------------------------
# Axes: S series, B series of one batch, N observations of the longest, H horizon, Q quantiles.


NUMBERS_AT_ONCE = 1_000_000  # observations of one batch, the empty ones included


def session_of(blob: bytes) -> Any:
    """An inference session of one thread on the CPU."""
    runtime = needed("onnxruntime", EXTRA, "export")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return runtime.InferenceSession(blob, options, providers=["CPUExecutionProvider"])


def rectangle(panel: Panel) -> np.ndarray:
    """The series of a panel as rows float64 (S, N) that end together, NaN before their first."""
    lengths = panel.lengths
    longest = max(1, int(lengths.max(initial=0)))
    rows = np.repeat(np.arange(panel.size), lengths)
    column = np.arange(len(panel.values)) - np.repeat(panel.offsets[1:] - longest, lengths)
    made = np.full((panel.size, longest), np.nan)
    made[rows, column] = as_read(panel)
    return made


def forecast_with(session: Any, panel: Panel, name: str) -> Forecast:
    """What the file forecasts for every series of the panel, from its end."""
    levels = np.array(json.loads(session.get_modelmeta().custom_metadata_map["levels"]))
    started = time.monotonic()
    size = max(1, NUMBERS_AT_ONCE // max(1, int(panel.lengths.max(initial=1))))
    parts = [
        session.run(None, {INPUT: rectangle(panel.select(rows))})[0]
        for rows in np.array_split(np.arange(panel.size), -(-panel.size // size))
    ]
    quantiles = np.concatenate(parts)
    available = np.isfinite(quantiles).all((1, 2))
    return Forecast(
        name=name,
        origins=panel.lengths,
        point=quantiles[:, :, len(levels) // 2].copy(),
        levels=levels,
        quantiles=quantiles,
        source=np.full(panel.size, name, object),
        available=available,
        seconds=time.monotonic() - started,
    )


# --- Does an exported file forecast what the model does? Tried on series made for it -------------
# Batches of one, a few and many series; short, usual and long ones; gaps, one that never moves.


TOLERANCE = 1e-5  # of a series' own size
BATCHES = (1, 4, 16)
LENGTHS = (0.3, 1.0, 3.0)  # of what the network reads


def largest_difference(forecaster: Forecaster, session: Any) -> float:
    """Of the file's and the model's quantiles, as a share of each series' own size, over all batch
    sizes and lengths. Raises ForecastError when it is more than TOLERANCE."""
    usual = forecaster.context * forecaster.layout.width
    worst = 0.0
    for number, (batch, share) in enumerate((b, s) for b in BATCHES for s in LENGTHS):
        panel = trial_panel(batch, max(4, int(share * usual)), forecaster.layout.season, number)
        wanted = forecast_panel(forecaster, panel, forecaster.horizon).quantiles
        made = forecast_with(session, panel, forecaster.name).quantiles
        size = np.abs(wanted).max((1, 2), keepdims=True)
        apart = np.abs(made - wanted) / np.where(size > 0, size, 1.0)
        worst = max(worst, float(np.where(np.isfinite(apart), apart, np.inf).max()))
    if worst > TOLERANCE:
        raise ForecastError(
            "the exported file does not forecast what the model does; nothing was written",
            code="export/disagrees",
            value=worst,
            remedy=f"At most {TOLERANCE:g} of a series' size is allowed: this is a bug",
        )
    return worst


def trial_panel(size: int, length: int, season: int, seed: int) -> Panel:
    """`size` series of up to `length` values: waves, noise, trends, gaps; one never moves."""
    random = np.random.default_rng(seed)
    lengths = length - random.integers(0, max(1, length // 3), size)
    parts = []
    for s, n in enumerate(lengths):
        t = np.arange(n)
        wave = np.sin(2 * np.pi * (t / max(2, season) + random.random()))
        y = 10.0 ** random.integers(-2, 5) * (
            3 * random.random() + wave + t / n + 0.2 * random.standard_normal(n)
        )
        y[1:-1][random.random(n - 2) < 0.05] = np.nan
        parts.append(np.full(n, 5.0) if s == 3 else y)
    return Panel(
        np.array([f"{s:03d}" for s in range(size)], object),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate(parts),
        np.zeros(size, np.int64),
        Frequency("1", integer=True),
    )
