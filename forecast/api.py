"""The Python API: the commands as functions on pandas frames or files.

`train`, `predict`, `forecast`, `backtest`, `compare`, `tune`, `detect`, `explain` and `load`.
Options have the names of the command line's flags, dashes as underscores (`horizon=24`,
`id_col="store"`, `baselines="arima,ets"`), and the same defaults: help(train) lists them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from forecast.cli.commands.backtest import PARTS as OF_BACKTEST
from forecast.cli.commands.compare import PARTS as OF_COMPARE
from forecast.cli.commands.train import SECTIONS as OF_TRAIN
from forecast.cli.commands.tune import PARTS as OF_TUNE
from forecast.common.errors import ForecastError as ForecastError
from forecast.common.errors import UsageError
from forecast.common.files import one_command
from forecast.common.progress import Listener, Silent
from forecast.common.scratch import ScratchFolder
from forecast.config.options import show
from forecast.config.schema import Settings
from forecast.config.signatures import as_given, in_python, speaks_python, takes_options
from forecast.config.sources import resolve
from forecast.data.io.frames import plain_frame
from forecast.evaluation.scores import ScoreTable
from forecast.evaluation.significance import verdict
from forecast.reporting.notebook import (
    Picture,
    frame_of,
    in_short,
    page_of,
    score_frame,
    with_times,
)
from forecast.workflows.backtest import BacktestResult, backtest_run
from forecast.workflows.compare import ComparisonResult, compare_run
from forecast.workflows.detect import detect_run
from forecast.workflows.explain import ExplainResult, chart_of, explain_run
from forecast.workflows.load import load as load_data
from forecast.workflows.predict import forecast_run, predict_run
from forecast.workflows.train import TrainResult, train_run
from forecast.workflows.tune import TuneResult, tune_run

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    Data: TypeAlias = str | Path | pd.DataFrame | pd.Series | pa.Table | Mapping[str, Any]
    AnyModel: TypeAlias = str | Path | "Model"


@dataclass(frozen=True)
class Model:
    """A trained model on disk; `folder` is its run folder or model folder."""

    folder: Path

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r})"

    def predict(self, data: Data | None = None, **options: Any) -> pd.DataFrame:
        """Forecasts from the end of `data` (default: the file it was trained on, read again).

        One row a series and step: unique_id, ds, LSTM and its intervals. Options: those of
        `lstmcast predict`. Raises ForecastError.
        """
        return predict(data, model=self.folder, **options)

    def explain(self, data: Data | None = None, **options: Any) -> Explained:
        """What moved its forecast from the end of `data`; as `explain`."""
        return explain(data, model=self.folder, **options)


@dataclass(frozen=True, repr=False)
class Run(Model):
    """What `train` made: the model, its forecast, and how it compares."""

    result: TrainResult
    data: Any = None
    settings: Settings = field(default_factory=Settings)
    kept: Any = None  # the folder of a run that is written nowhere, as long as the run is known

    def predict(self, data: Data | None = None, **options: Any) -> pd.DataFrame:
        """As `Model.predict`; the run is one's own, wherever it was written."""
        given = self.data if data is None and not isinstance(self.data, str) else data
        return super().predict(given, **{"root": str(self.folder.parent), **options})

    def explain(self, data: Data | None = None, **options: Any) -> Explained:
        """As `Model.explain`, by default of the data that it was trained on."""
        given = self.data if data is None and not isinstance(self.data, str) else data
        return super().explain(given, **{"root": str(self.folder.parent), **options})

    @property
    def predictions(self) -> pd.DataFrame:
        """The forecast from the end of the data, the baselines' beside the LSTM's."""
        return frame_of(self.result.predictions, self.result.report, self.data)

    @property
    def scores(self) -> ScoreTable | None:
        """Scores on the held-out origins; None when every series was too short for one."""
        return self.result.scores

    @property
    def verdict(self) -> str:
        """Who won, in one sentence; empty without scores."""
        return verdict(self.result.scores) if self.result.scores is not None else ""

    @property
    def report(self) -> Path:
        """The page of the run."""
        return self.folder / "report.html"

    @speaks_python
    def plot(self, series: str | None = None) -> Picture:
        """The forecast of `series` (default: the first) after its history."""
        from forecast.reporting.charts.image import forecast_image
        from forecast.reporting.finished_run import chart_of as chart_of_run

        panel, _ = load_data(self.data, self.settings.data)
        chart = chart_of_run(panel, self.result.predictions, series)
        return Picture(forecast_image(chart, "png"))

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, {in_short(self.scores)})"

    def _repr_html_(self) -> str:
        return page_of(self.verdict, score_frame(self.scores), self.predictions)


@dataclass(frozen=True, repr=False)
class Backtest:
    """What `backtest` made: everyone's forecasts from every origin, and how good they were."""

    folder: Path
    result: BacktestResult
    data: Any = None
    kept: Any = None

    @property
    def forecasts(self) -> pd.DataFrame:
        """One row a series, origin and step: unique_id, ds, cutoff, y, then each forecaster."""
        return frame_of(self.result.table, self.result.report, self.data)

    @property
    def scores(self) -> ScoreTable:
        """Every metric, overall, by series and by step ahead."""
        return self.result.scores

    @property
    def verdict(self) -> str:
        """Who won, in one sentence, and whether the lead is more than chance."""
        return self.result.verdict

    def __repr__(self) -> str:
        return f"Backtest({str(self.folder)!r}, {in_short(self.scores)})"

    def _repr_html_(self) -> str:
        return page_of(self.verdict, score_frame(self.scores), self.forecasts)


@dataclass(frozen=True, repr=False)
class Comparison:
    """What `compare` made: networks under one budget, beside the baselines."""

    folder: Path
    result: ComparisonResult
    kept: Any = None

    @property
    def scores(self) -> pd.DataFrame:
        """One row a network or baseline."""
        import pandas as pd

        return pd.DataFrame(self.result.rows)

    @property
    def verdict(self) -> str:
        """Which was best, in one sentence."""
        return self.result.sentence

    def __repr__(self) -> str:
        return f"Comparison({str(self.folder)!r}, {self.verdict!r})"

    def _repr_html_(self) -> str:
        return page_of(self.verdict, self.scores)


@dataclass(frozen=True, repr=False)
class Tuning:
    """What `tune` found. `config` is a settings file that `train(config=...)` takes."""

    folder: Path
    result: TuneResult
    kept: Any = None

    @property
    def config(self) -> Path:
        """The best settings, as a file."""
        return next(path for path, _ in self.result.files if path.suffix in (".yaml", ".yml"))

    @property
    def verdict(self) -> str:
        """What tuning gained on held-out data, in one sentence."""
        return self.result.sentence

    def __repr__(self) -> str:
        return f"Tuning({str(self.folder)!r}, {self.verdict!r})"

    def _repr_html_(self) -> str:
        return page_of(self.verdict)


@dataclass(frozen=True, repr=False)
class Explained:
    """What moved a forecast."""

    result: ExplainResult

    @property
    def past(self) -> pd.DataFrame:
        """Past values, the latest first: ds, lag, value and contribution to the explained steps."""
        import pandas as pd

        from forecast.analysis.attribution import past_rows

        found = self.result.found
        rows, panel = pd.DataFrame(past_rows(found)), found.panel
        return rows if panel.frequency.integer else with_times(rows, panel.time_format, panel.tz)

    @property
    def covariates(self) -> pd.DataFrame:
        """Covariates: name, contribution, importance and its spread; empty without any."""
        import pandas as pd

        from forecast.analysis.attribution import covariate_rows

        return pd.DataFrame(covariate_rows(self.result.found))

    def plot(self) -> Picture:
        """The picture of `lstmcast explain`."""
        from forecast.reporting.charts.image import explanation_image

        return Picture(explanation_image(chart_of(self.result.found), "png"))

    def __repr__(self) -> str:
        return f"Explained(series {self.result.found.series!r})"

    def _repr_html_(self) -> str:
        return page_of(f"What moved the forecast of {self.result.found.series}", self.past)


@takes_options(*OF_TRAIN)
def train(
    data: Data,
    *,
    config: str | Path | None = None,
    write: bool = True,
    progress: bool | None = None,
    listener: Listener | None = None,
    **options: Any,
) -> Run:
    """Trains on `data`, scores against the baselines on held-out origins, writes a run folder.

    data: a file, a folder or pattern of files, or a pandas frame. config: a settings file or preset
    ("fast", "accurate"). write: False keeps the run's files in a temporary folder, which goes with
    the result. progress: lines on the way (in a notebook unless False). Raises ForecastError.
    """
    with _place(write, options) as (options, kept):
        settings = _settings(config, options, train)
        result = train_run(_source(data), settings, _listener(progress, listener))
    assert result is not None, "nobody trains together here"
    return Run(result.folder, result, _source(data), settings, kept)


@takes_options(*OF_BACKTEST)
def backtest(
    data: Data,
    *,
    models: Sequence[AnyModel] = (),
    config: str | Path | None = None,
    write: bool = True,
    progress: bool | None = None,
    listener: Listener | None = None,
    **options: Any,
) -> Backtest:
    """Scores the LSTM and the baselines on `data` from rolling origins, writes a folder.

    models: run folders or model folders to be compared as well. config, write, progress: as for
    `train`. Raises ForecastError.
    """
    with _place(write, options) as (options, kept):
        result = backtest_run(
            _source(data),
            _settings(config, options, backtest),
            _listener(progress, listener),
            models=[
                str(_place_of(model))
                for model in ([models] if isinstance(models, str | Path | Model) else models)
            ],
        )
    return Backtest(result.folder, result, _source(data), kept)


@takes_options(*OF_COMPARE)
def compare(
    data: Data,
    *,
    config: str | Path | None = None,
    write: bool = True,
    progress: bool | None = None,
    listener: Listener | None = None,
    **options: Any,
) -> Comparison:
    """Trains networks on `data` under one budget, and scores them beside the baselines.

    config, write, progress: as for `train`. Raises ForecastError.
    """
    with _place(write, options) as (options, kept):
        settings = _settings(config, options, compare)
        result = compare_run(_source(data), settings, _listener(progress, listener))
    return Comparison(result.folder, result, kept)


@takes_options(*OF_TUNE)
def tune(
    data: Data,
    *,
    config: str | Path | None = None,
    write: bool = True,
    progress: bool | None = None,
    listener: Listener | None = None,
    **options: Any,
) -> Tuning:
    """Searches for better settings on validation origins of `data`, and says what they gain.

    config, write, progress: as for `train`. Raises ForecastError.
    """
    with _place(write, options) as (options, kept):
        settings = _settings(config, options, tune)
        result = tune_run(_source(data), settings, _listener(progress, listener))
    return Tuning(result.folder, result, kept)


@takes_options("forecast", "data", "sampling", "training.seed", "output.root", "baselines.blend")
def predict(
    data: Data | None = None,
    *,
    model: AnyModel | None = None,
    output: str | Path | None = None,
    force: bool = False,
    progress: bool | None = None,
    listener: Listener | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Forecasts with a trained model (default: the newest of these data), as `lstmcast predict`.

    Nothing is written unless `output` names a file; force: even if that holds something else.
    Raises ForecastError.
    """
    source = None if data is None else _source(data)
    with one_command(force=force):
        result = predict_run(
            source,
            _settings(None, options, predict),
            _listener(progress, listener),
            model=_place_of(model),
            output="" if output is None else str(output),
        )
    return frame_of(result.predictions, result, source)


@takes_options("forecast", "data", "sampling", "training.seed")
def forecast(
    data: Data,
    *,
    output: str | Path | None = None,
    force: bool = False,
    progress: bool | None = None,
    listener: Listener | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Forecasts `data` at once with the pretrained network: nothing is trained.

    Nothing is written unless `output` names a file; force: even if that holds something else.
    Raises ForecastError.
    """
    source = _source(data)
    with one_command(force=force):
        result = forecast_run(
            source,
            _settings(None, options, forecast),
            _listener(progress, listener),
            output="" if output is None else str(output),
        )
    return frame_of(result.predictions, result, source)


@takes_options("detection", "data")
def detect(
    data: Data,
    *,
    model: AnyModel | None = None,
    progress: bool | None = None,
    listener: Listener | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Finds anomalies in `data`: one row each, unique_id, ds, y, score, lo, hi, kind, reason.

    model: a run or model folder that judges (default: the pretrained network). Raises
    ForecastError.
    """
    source = _source(data)
    result = detect_run(
        source,
        _settings(None, options, detect),
        _listener(progress, listener),
        model=_place_of(model),
        output="",
    )
    return frame_of(result.anomalies, result, source)


@takes_options("forecast.horizon", "data", "training.seed", "output.root")
def explain(
    data: Data | None = None,
    *,
    model: AnyModel | None = None,
    series: str | None = None,
    step: int | None = None,
    progress: bool | None = None,
    listener: Listener | None = None,
    **options: Any,
) -> Explained:
    """What moved the forecast of `series` (default: the first) from the end of `data`.

    model: default, the newest of these data; step: of the forecast, from 1 (default: all). Nothing
    is written. Raises ForecastError.
    """
    result = explain_run(
        None if data is None else _source(data),
        _settings(None, options, explain),
        _listener(progress, listener),
        model=_place_of(model),
        series=series,
        step=step,
        output="",
    )
    return Explained(result)


@speaks_python
def load(folder: AnyModel) -> Model:
    """The trained model in a run folder or model folder.

    Raises ModelNotFoundError or ModelDamagedError.
    """
    from forecast.models.store import load_model, model_path

    place = Path(str(_place_of(folder)))
    load_model(model_path(place))
    return Model(place)


def _place_of(model: AnyModel | None) -> str | None:
    return None if model is None else str(model.folder if isinstance(model, Model) else model)


def _settings(config: str | Path | None, options: dict[str, Any], function: Any) -> Settings:
    """Settings from keyword options, named as the flags are; not those of another function."""
    known: dict[str, str] = function.options
    for name in options:
        if name not in known:
            hint = f"Did you mean {near}? " if (near := _nearest(name, function)) else ""
            raise UsageError(
                "there is no such option",
                code="usage/unknown-option",
                value=name,
                remedy=f"{hint}help(forecast.{function.__name__}) lists the options",
            )
    given = {known[name]: as_given(known[name], value) for name, value in options.items()}
    return resolve(given, None, None if config is None else str(config)).settings


# What other libraries call an option of ours.
ELSEWHERE = {
    "horizon": "h fh n steps periods n_periods n_steps prediction_length output_chunk_length",
    "season": "season_length seasonal_period seasonality sp m",
    "level": "levels alpha coverage interval_width confidence",
    "seed": "random_state random_seed", "jobs": "n_jobs num_workers",
    "max_steps": "epochs n_epochs max_epochs num_batches", "windows": "n_windows n_splits cv folds",
    "context": "input_size context_length lookback input_chunk_length",
    "samples": "num_samples n_samples", "future_covariates": "x_df futr_df exog covariates",
    "static": "static_df static_covariates", "progress": "verbose", "freq": "frequency",
    "layers": "n_layers num_layers", "hidden": "hidden_size units", "time_col": "timestamp",
    "id_col": "item_id unique_id", "out": "output_dir folder", "model": "run",
}  # fmt: skip


def _nearest(name: str, function: Any) -> str | None:
    """The parameter of the function that `name`, which it has not, may stand for."""
    parameters = function.__signature__.parameters
    for ours, theirs in ELSEWHERE.items():
        if name.lower() in theirs.split() and ours in parameters:
            return ours
    return next(iter(get_close_matches(name.lower(), parameters, n=1)), None)


@contextmanager
def _place(write: bool, options: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """The options with the folder of the run, and what keeps a temporary one."""
    if write:
        yield options, None
        return
    if options.get("out") is not None:
        raise UsageError(
            "write=False writes no folder, and out names one",
            code="usage/contradiction",
            value=show(options["out"]),
            remedy="Leave one of them out",
        )
    kept = ScratchFolder()
    yield {**options, "out": str(Path(kept.name) / "run")}, kept


def _listener(progress: bool | None, listener: Listener | None) -> Listener:
    """Who hears of the way: the given listener, lines for `progress`, by default in a notebook."""
    if listener is not None:
        return listener
    if not (_in_a_notebook() if progress is None else progress):
        return Silent()
    from forecast.cli.console import LineListener, make_console

    class InPython(LineListener):
        def note(self, text: str) -> None:
            super().note(in_python(text))

        def warn(self, code: str, text: str) -> None:
            super().warn(code, in_python(text))

    return InPython(make_console(sys.stderr))


def _in_a_notebook() -> bool:
    kernel = sys.modules.get("IPython")
    shell = kernel.get_ipython() if kernel is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def _source(data: Data) -> Any:
    """What the loader takes: a path as text, or a plain frame. Raises UsageError, InputError."""
    return str(data) if isinstance(data, str | Path) else plain_frame(data)
