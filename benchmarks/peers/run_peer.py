"""One peer on one set, inside the peers' own environment: reads Parquet, writes points as npz.

    python run_peer.py PEER TRAIN.parquet ALIAS HORIZON INPUT_SIZE STEPS OUT.npz

The peer's defaults, but for the horizon, the input size (GluonTS and NeuralForecast have defaults
of their own for it and keep them), the number of optimisation steps, and one thread. Imports
nothing of this project. Points are medians where the peer has them, else means, (S, H), in the
order of the sorted ids; the seconds written are those of fit and forecast alone.
"""

from __future__ import annotations

import inspect
import logging
import sys
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)
SEED = 1
QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "logger": False,
    "enable_checkpointing": False,
}


def main(peer: str, train: str, alias: str, horizon: str, size: str, steps: str, out: str) -> None:
    """Runs the peer and writes what it forecast."""
    import torch

    torch.set_num_threads(1)
    frame = pd.read_parquet(train)[["unique_id", "ds", "y"]]
    frame["unique_id"] = frame["unique_id"].astype(str)
    frame = on_a_grid(frame.sort_values(["unique_id", "ds"]), alias)
    started = time.monotonic()
    make = PEERS[peer]
    point = make(frame, alias, int(horizon), int(size), int(steps))
    np.savez(out, point=np.asarray(point, float), seconds=time.monotonic() - started)


def on_a_grid(frame: pd.DataFrame, alias: str) -> pd.DataFrame:
    """Every series from the same first time on, step by step, without gaps: what the libraries ask
    for. Scores go by position alone."""
    frame = frame.copy()
    frame["y"] = frame.groupby("unique_id")["y"].transform(lambda y: y.interpolate().bfill())
    number = frame.groupby("unique_id").cumcount().to_numpy()
    times = pd.date_range("2000-01-01", periods=int(number.max()) + 1, freq=alias)
    frame["ds"] = times.to_numpy()[number]
    return frame


def neural(name: str) -> Any:
    """A NeuralForecast model by its class name."""

    def run(frame: pd.DataFrame, alias: str, horizon: int, size: int, steps: int) -> np.ndarray:
        import neuralforecast.models as models
        from neuralforecast import NeuralForecast

        shortest = int(frame.groupby("unique_id").size().min())
        pad = {"start_padding_enabled": True} if shortest < size + horizon else {}
        kind = getattr(models, name)
        usual = {k: v for k, v in pad.items() if k in inspect.signature(kind.__init__).parameters}
        model = kind(h=horizon, input_size=size, max_steps=steps, random_seed=SEED,
                     **usual, **QUIET)  # fmt: skip
        fitted = NeuralForecast([model], freq=alias)
        fitted.fit(frame)
        made = fitted.predict().reset_index().sort_values(["unique_id", "ds"])
        return made[name].to_numpy().reshape(-1, horizon)

    return run


def deepar(frame: pd.DataFrame, alias: str, horizon: int, size: int, steps: int) -> np.ndarray:
    """GluonTS DeepAR: median of its samples; its own context length."""
    from gluonts.dataset.pandas import PandasDataset
    from gluonts.torch import DeepAREstimator
    from lightning.pytorch import seed_everything

    seed_everything(SEED)
    alias = {"MS": "M"}.get(alias, alias)  # of periods, not of their first days
    data = PandasDataset.from_long_dataframe(
        frame, item_id="unique_id", timestamp="ds", target="y", freq=alias
    )
    a_round = 50  # gradient steps of an epoch, the estimator's own number
    rounds = max(1, steps // a_round)
    quiet = {k: v for k, v in QUIET.items() if k != "enable_checkpointing"}  # it keeps its best
    estimator = DeepAREstimator(
        freq=alias, prediction_length=horizon, num_batches_per_epoch=a_round,
        trainer_kwargs={"max_epochs": rounds, **quiet},
    )  # fmt: skip
    made = {each.item_id: each.quantile(0.5) for each in estimator.train(data).predict(data)}
    return np.stack([made[name] for name in sorted(made)])


def block_rnn(frame: pd.DataFrame, alias: str, horizon: int, size: int, steps: int) -> np.ndarray:
    """Darts BlockRNN of LSTM cells, every series scaled to between 0 and 1 as its guide says."""
    from darts import TimeSeries
    from darts.dataprocessing.transformers import Scaler
    from darts.models import BlockRNNModel

    groups = list(frame.groupby("unique_id", sort=True))
    shortest = min(len(part) for _, part in groups)
    size = max(1, min(size, shortest - horizon))
    series = [
        TimeSeries.from_times_and_values(
            pd.DatetimeIndex(part["ds"]), part["y"].to_numpy(np.float32)
        )
        for _, part in groups
    ]
    scaler = Scaler()
    scaled = scaler.fit_transform(series)
    model = BlockRNNModel(
        size, horizon, model="LSTM", n_epochs=1, random_state=SEED,
        pl_trainer_kwargs={**QUIET, "max_epochs": -1, "max_steps": steps},
    )  # fmt: skip
    model.fit(scaled, epochs=1_000_000)
    made = scaler.inverse_transform(model.predict(horizon, scaled))
    return np.stack([each.values()[:, 0] for each in made])


PEERS = {
    "NeuralForecast LSTM": neural("LSTM"),
    "NeuralForecast NHITS": neural("NHITS"),
    "GluonTS DeepAR": deepar,
    "Darts BlockRNN": block_rnn,
}


if __name__ == "__main__":
    main(*sys.argv[1:])
