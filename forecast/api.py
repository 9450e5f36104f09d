"""The Python API: `train`, `predict`, `backtest` and `load` on pandas frames or files.

Options have the names of the command line's flags, dashes as underscores (`horizon=24`,
`id_col="store"`, `baselines="arima,ets"`), and the same defaults; the results are the same too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from forecast.common.errors import UsageError
from forecast.common.files import one_command
from forecast.common.progress import Listener, Silent
from forecast.config.options import (
    BACKTEST_ONLY,
    PROCESSES_ONLY,
    TRAIN_ONLY,
    TUNE_ONLY,
    all_options,
)
from forecast.config.schema import Settings
from forecast.config.sources import resolve
from forecast.evaluation.scores import ScoreTable
from forecast.evaluation.significance import verdict
from forecast.workflows.backtest import BacktestResult, backtest_run
from forecast.workflows.predict import PredictResult, predict_run
from forecast.workflows.train import TrainResult, train_run

if TYPE_CHECKING:
    import pandas as pd

    Data: TypeAlias = str | Path | pd.DataFrame


@dataclass(frozen=True)
class Model:
    """A trained model on disk; `folder` is its run folder or model folder."""

    folder: Path

    def predict(self, data: Data | None = None, **options: Any) -> pd.DataFrame:
        """Forecasts from the end of `data` (default: the file it was trained on, read again).

        One row a series and step: unique_id, ds, LSTM and its intervals. Options: those of
        `lstmcast predict`. Raises ForecastError.
        """
        return predict(data, model=self.folder, **options)


@dataclass(frozen=True)
class Run(Model):
    """What `train` made: the model, its forecast, and how it compares."""

    result: TrainResult

    def predict(self, data: Data | None = None, **options: Any) -> pd.DataFrame:
        """As `Model.predict`; the run is one's own, wherever it was written."""
        return super().predict(data, **{"root": str(self.folder.parent), **options})

    @property
    def predictions(self) -> pd.DataFrame:
        """The forecast from the end of the data, the baselines' beside the LSTM's."""
        return _frame(self.result.predictions)

    @property
    def scores(self) -> ScoreTable | None:
        """Scores on the held-out origins; None when every series was too short for one."""
        return self.result.scores

    @property
    def verdict(self) -> str:
        """Who won, in one sentence; empty without scores."""
        return verdict(self.result.scores) if self.result.scores is not None else ""


@dataclass(frozen=True)
class Backtest:
    """What `backtest` made: everyone's forecasts from every origin, and how good they were."""

    folder: Path
    result: BacktestResult

    @property
    def forecasts(self) -> pd.DataFrame:
        """One row a series, origin and step: unique_id, ds, cutoff, y, then each forecaster."""
        return _frame(self.result.table)

    @property
    def scores(self) -> ScoreTable:
        """Every metric, overall, by series and by step ahead."""
        return self.result.scores

    @property
    def verdict(self) -> str:
        """Who won, in one sentence, and whether the lead is more than chance."""
        return self.result.verdict


def train(
    data: Data, *, config: str | None = None, listener: Listener | None = None, **options: Any
) -> Run:
    """Trains on `data`, scores against the baselines on held-out origins, writes a run folder.

    config: a settings file or preset ("fast", "accurate"). Options: those of `lstmcast train`.
    Raises ForecastError.
    """
    settings = _settings(config, options, BACKTEST_ONLY)
    result = train_run(_source(data), settings, listener or Silent())
    assert result is not None, "nobody trains together here"
    return Run(result.folder, result)


def backtest(
    data: Data,
    *,
    models: Sequence[str | Path] = (),
    config: str | None = None,
    listener: Listener | None = None,
    **options: Any,
) -> Backtest:
    """Scores the LSTM and the baselines on `data` from rolling origins, writes a folder.

    models: run folders or model folders to be compared as well. config: a settings file or
    preset. Options: those of `lstmcast backtest` (`windows=8`, `gap=2`, `refit=True`). Raises
    ForecastError.
    """
    result = backtest_run(
        _source(data),
        _settings(config, options, TRAIN_ONLY),
        listener or Silent(),
        models=[str(model) for model in models],
    )
    return Backtest(result.folder, result)


def predict(
    data: Data | None = None,
    *,
    model: str | Path | None = None,
    output: str | Path | None = None,
    force: bool = False,
    listener: Listener | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Forecasts with a trained model (default: the newest), as `lstmcast predict` does.

    Nothing is written unless `output` names a file; force: even if that holds something else.
    Raises ForecastError.
    """
    with one_command(force=force):
        result: PredictResult = predict_run(
            None if data is None else _source(data),
            _settings(None, options, BACKTEST_ONLY),
            listener or Silent(),
            model=None if model is None else str(model),
            output="" if output is None else str(output),
        )
    return _frame(result.predictions)


def load(folder: str | Path) -> Model:
    """The trained model in a run folder or model folder.

    Raises ModelNotFoundError or ModelDamagedError.
    """
    from forecast.models.store import load_model, model_path

    load_model(model_path(Path(folder)))
    return Model(Path(folder))


def _settings(config: str | None, options: dict[str, Any], foreign: Collection[str]) -> Settings:
    """Settings from keyword options, named as the flags are; not those of another command."""
    foreign = {*foreign, *PROCESSES_ONLY, *TUNE_ONLY}
    known = {o.parameter: o.path for o in all_options() if o.path not in foreign}
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise UsageError(
                "there is no such option",
                code="usage/unknown-option",
                value=name,
                remedy=f"Did you mean {near[0]}?" if near else "See lstmcast train --help",
            )
    return resolve({known[name]: value for name, value in options.items()}, None, config).settings


def _source(data: Data) -> Any:
    return str(data) if isinstance(data, Path) else data


def _frame(table: Any) -> pd.DataFrame:
    """The forecast table as a frame; ds as times where the text says one, else as it is."""
    import pandas as pd

    frame = table.to_pandas()
    if frame["ds"].dtype == object:
        parsed = pd.to_datetime(frame["ds"], errors="coerce")
        if not parsed.isna().any():
            frame["ds"] = parsed
    return frame
