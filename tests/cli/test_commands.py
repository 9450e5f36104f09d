"""Each command's screen, JSON document and exit code, with the work itself replaced."""

from __future__ import annotations

import errno
import io
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest

from forecast.cli.console import make_console
from forecast.cli.render import show_scores
from forecast.common.errors import ModelNotFoundError
from forecast.common.progress import Terminated
from forecast.evaluation.scores import Score, ScoreTable

REPORT = {
    "source": "a.csv",
    "digest": "ab" * 32,
    "rows": 1440,
    "columns": {
        "id": ["shop"],
        "time": ["Month"],
        "target": ["Passengers\x1b[2J"],
        "reasons": {"time": "its name"},
    },
    "dialect": {"encoding": "utf-8", "separator": ";"},
    "frequency": "MS",
    "candidate_seasons": [12],
    "seasons": [12],
    "span": {"first": "1949-01", "last": "1960-12"},
    "series": 10,
    "lengths": {"min": 12, "median": 144, "max": 144},
    "observed": 1400,
    "missing": 28,
    "gaps": 8,
    "repairs": [{"code": "repair/sorted", "text": "rows were sorted", "count": 1, "places": []}],
    "warnings": [
        {"code": "warning/outlier", "text": "one value is huge", "count": 1, "places": ["line 7"]}
    ],
    "ended_early": 2,
    "constant": 0,
    "skipped": ["x"],
    "coverage": [0.0, 0.01, 0.5, 1.0],
}


@dataclass(frozen=True)
class Report:
    rows: int = 144

    def to_dict(self) -> dict[str, object]:
        return REPORT


@dataclass(frozen=True)
class Trained:
    scores: ScoreTable | None
    folder: Path = Path("runs/one")
    report: Report = field(default_factory=Report)
    chosen: tuple[tuple[str, object, str], ...] = (("horizon", 24, "two seasons"),)
    files: tuple[tuple[Path, str], ...] = ((Path("runs/one/predictions.csv"), "the forecast"),)
    chart: str = "CHART"
    interrupted: bool = False
    exit_code: int = 0
    seconds: float = 13.5
    predictions: object = field(
        default_factory=lambda: pa.table({"unique_id": ["a"], "ds": ["2020-01"], "LSTM": [1.5]})
    )
    levels: tuple[object, ...] = ()


@dataclass(frozen=True)
class Predicted:
    path: str = "runs/one/predictions.csv"
    rows: int = 24
    series: int = 1
    model: str = "runs/one/model"
    horizon: int = 24
    span: tuple[str, str] = ("1961-01", "1962-12")
    fallbacks: int = 0
    exit_code: int = 0
    chart: str = "CHART"
    predictions: object = None
    samples: str = ""


def score(model: str, mase: float, seconds: float) -> Score:
    values = {"mase": mase, "smape": 3.5, "rmse": 20.0, "wql": float("nan"), "coverage-80": 0.79}
    return Score(model, values, 1, 1, float(mase < 1), (), (), seconds)


def table() -> ScoreTable:
    losses = {"LSTM": np.array([[0.9]]), "AutoARIMA": np.array([[1.25]])}
    return ScoreTable(
        season=12,
        horizon=24,
        windows=1,
        step=0,
        quantiles=(0.1, 0.9),
        ids=np.array(["a"], dtype=object),
        scores=(score("LSTM", 0.9, 4.2), score("AutoARIMA", 1.25, 9.0)),
        per_series={m: {"mase": v[0], "mae": v[0]} for m, v in losses.items()},
        per_step={},
        losses=losses,
        errors=losses,
    )


class Pipeline(ModuleType):
    """Stands for workflows.train and .predict: remembers what it was asked, returns or raises
    `outcome`."""

    def __init__(self) -> None:
        super().__init__("forecast.workflows.train")
        self.outcome: object = None
        self.asked: dict[str, object] = {}

    def train_run(self, source, settings, listener, ranks=None):
        self.asked = {"source": source, "settings": settings}
        listener.stage("Training the LSTM")
        listener.progress(5, 10, {"loss": 0.5})
        listener.note("season 12: found in the data")
        listener.warn("data/short", "this is short")
        return self._answer()

    def predict_run(self, source, settings, listener, *, model, output):
        self.asked = {"source": source, "settings": settings, "model": model, "output": output}
        if output == "-":
            print("unique_id,ds,LSTM")
        return self._answer()

    def _answer(self):
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@pytest.fixture
def pipeline(monkeypatch):
    fake = Pipeline()
    monkeypatch.setitem(sys.modules, "forecast.workflows.train", fake)
    monkeypatch.setitem(sys.modules, "forecast.workflows.predict", fake)
    return fake


def test_train_prints_choices_scores_verdict_and_files_on_stdout(lstmcast, pipeline):
    pipeline.outcome = Trained(table())
    code, out, err = lstmcast("train", "a.csv", "--horizon", "24", "--seed", "3")
    assert code == 0
    assert pipeline.asked["source"] == "a.csv"
    assert pipeline.asked["settings"].forecast.horizon == 24
    assert pipeline.asked["settings"].training.seed == 3
    rows = [line.split() for line in out.splitlines()]
    assert ["horizon", "24", "two", "seasons"] in rows
    assert ["LSTM", "0.900", "3.50", "20", "79%", "1", "4.2s"] in rows
    assert ["AutoARIMA", "1.250", "3.50", "20", "79%", "0", "9.0s"] in rows
    assert "MASE scale: seasonal naive, 12 steps back" in out
    assert "LSTM was the most accurate" in out
    assert "written to runs/one\n  predictions.csv  the forecast" in out
    assert "CHART" not in out  # only terminals get a chart
    assert "Training the LSTM" in err
    assert "season 12" in err
    assert "warning: this is short  [data/short]" in err


def test_train_as_json_is_one_document_without_nan(lstmcast, pipeline):
    pipeline.outcome = Trained(table())
    code, out, _ = lstmcast("train", "a.csv", "--json")
    document = json.loads(out, parse_constant=pytest.fail)
    assert code == 0
    assert document["schema_version"] == 1
    assert document["command"] == "train"
    assert document["folder"] == "runs/one"
    assert document["report"]["rows"] == 1440
    assert document["scores"]["models"][0]["model"] == "LSTM"
    assert document["scores"]["models"][0]["wql"] is None
    assert document["verdict"].startswith("LSTM was the most accurate")
    assert document["files"] == [{"path": "runs/one/predictions.csv", "what": "the forecast"}]
    assert document["chosen"] == [{"name": "horizon", "value": 24, "why": "two seasons"}]
    assert (document["interrupted"], document["exit_code"]) == (False, 0)


def test_quiet_train_prints_only_warnings(lstmcast, pipeline):
    pipeline.outcome = Trained(table())
    assert lstmcast("train", "a.csv", "--quiet") == (
        0,
        "",
        "warning: this is short  [data/short]\n",
    )


def test_a_partial_result_is_exit_3_and_an_interrupted_one_130(lstmcast, pipeline):
    pipeline.outcome = Trained(table(), exit_code=3)
    assert lstmcast("train", "a.csv")[0] == 3
    pipeline.outcome = Trained(table(), interrupted=True)
    code, out, _ = lstmcast("train", "a.csv")
    assert code == 130
    assert "LSTM was the most accurate" in out


def test_without_held_out_data_there_is_no_table_and_the_reason_is_said(lstmcast, pipeline):
    pipeline.outcome = Trained(None)
    code, out, _ = lstmcast("train", "a.csv")
    assert code == 0
    assert "No series is long enough to hold data back" in out
    assert "MASE" not in out
    document = json.loads(lstmcast("train", "a.csv", "--json")[1])
    assert document["scores"] is None
    assert document["verdict"].startswith("No series is long enough")


def test_there_is_a_coverage_column_for_each_level():
    rows = [
        {"model": "LSTM", "mase": 0.5, "coverage-50": 0.5, "coverage-99.5": 1.0, "series": 3},
        {"model": "AutoARIMA", "mase": None, "coverage-50": 0.4, "series": 3},
    ]
    stream = io.StringIO()
    show_scores(make_console(stream, {}), rows, "caption")
    lines = [line.split() for line in stream.getvalue().splitlines() if line.strip()]
    assert lines[0] == ["model", "MASE", "in", "50%", "in", "99.5%"]
    assert lines[2] == ["LSTM", "0.500", "50%", "100%"]
    assert lines[3] == ["AutoARIMA", "–", "40%", "–"]


def test_the_metric_that_judges_stands_first():
    rows = [{"model": "LSTM", "mase": 0.5, "rmsse": 0.7, "series": 3}]
    for judged, heads in (("mase", ["model", "MASE"]), ("rmsse", ["model", "RMSSE", "MASE"])):
        stream = io.StringIO()
        show_scores(make_console(stream, {}), rows, "caption", judged)
        assert next(line.split() for line in stream.getvalue().splitlines() if line) == heads


def best_cells(rows: list[dict[str, object]]) -> tuple[set[str], str]:
    """The figures in bold green, and the whole text."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    environ = {"TERM": "xterm-256color", "COLUMNS": "120"}
    show_scores(make_console(stream, environ), rows, "caption")
    marked = re.findall("\x1b\\[1;32m([^\x1b]+)\x1b", stream.getvalue())
    return {cell.strip() for cell in marked}, stream.getvalue()


def test_the_best_figure_of_a_column_is_marked():
    rows = [
        {"model": "LSTM", "mase": 0.5, "smape": 9.0, "seconds": 1.0, "series": 3},
        {"model": "AutoARIMA", "mase": 0.7, "smape": 8.0, "seconds": 0.5, "series": 3},
    ]
    cells, text = best_cells(rows)
    assert cells == {"0.500", "8.00"}
    assert "series" not in text


def test_a_forecaster_scored_on_fewer_series_is_never_marked_best():
    rows = [
        {"model": "LSTM", "mase": 0.9, "series": 8},
        {"model": "AutoARIMA", "mase": 0.4, "series": 1},
        {"model": "SeasonalNaive", "mase": 1.2, "series": 8},
    ]
    cells, text = best_cells(rows)
    assert cells == {"0.900"}
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert [line.split()[-1] for line in plain.splitlines()[3:6]] == ["8", "1", "8"]


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (90, "model MASE sMAPE RMSE WQL in 80% best on time"),
        (64, "model MASE sMAPE in 80% best on time"),
        (44, "model MASE in 80% time"),
        (40, "model MASE in 80%"),
    ],
)
def test_a_narrow_terminal_gets_fewer_columns_and_whole_figures(width, headings):
    row = {"mase": 0.6571, "smape": 4.1, "rmse": 24985.2, "wql": 0.0178, "coverage-80": 0.58}
    rows = [{"model": name, **row, "best": 1.0, "seconds": 149} for name in ("LSTM", "x" * 21)]
    stream = io.StringIO()
    show_scores(make_console(stream, {"COLUMNS": str(width)}), rows, "caption")
    lines = [line for line in stream.getvalue().splitlines() if line.strip()]
    assert " ".join(lines[0].split()) == headings
    assert all(len(line.rstrip()) <= width for line in lines)
    assert "0.657" in lines[2]
    assert ("24,985" in lines[2]) == ("RMSE" in headings)
    assert ("2m 29s" in lines[2]) == ("time" in headings)
    told = "a wider terminal also shows WQL" in " ".join(" ".join(lines).split())
    assert told == ("WQL" not in headings)


def test_predict_says_what_it_wrote_and_passes_on_what_was_asked(lstmcast, pipeline):
    pipeline.outcome = Predicted()
    code, out, _ = lstmcast("predict", "b.csv", "--model", "runs/one", "--horizon", "6")
    assert code == 0
    assert pipeline.asked["model"] == "runs/one"
    assert pipeline.asked["output"] is None
    assert pipeline.asked["settings"].forecast.model_fields_set == {"horizon"}
    assert "1 series, 24 steps, 24 rows" in out
    assert "1961-01 to 1962-12" in out


def test_predict_needs_no_argument(lstmcast, pipeline):
    pipeline.outcome = Predicted(exit_code=3, fallbacks=2)
    code, out, _ = lstmcast("predict")
    assert code == 3
    assert (pipeline.asked["source"], pipeline.asked["model"]) == (None, None)
    assert re.search(r"fallbacks +2", out)


def test_predict_to_stdout_has_nothing_but_the_forecast_there(lstmcast, pipeline):
    pipeline.outcome = Predicted(path="-")
    code, out, err = lstmcast("predict", "--output", "-")
    assert (code, out) == (0, "unique_id,ds,LSTM\n")
    assert "24 steps" in err


def test_predict_refuses_two_documents_on_stdout(lstmcast, pipeline):
    code, out, _ = lstmcast("predict", "--json", "-o", "-")
    assert code == 2
    assert json.loads(out)["error"]["code"] == "usage/one-stdout"
    assert pipeline.asked == {}


@pytest.mark.parametrize(
    ("problem", "exit_code", "code", "text"),
    [
        (
            ModelNotFoundError("no model in runs", code="model/none", remedy="Run lstmcast train"),
            10,
            "model/none",
            "Run lstmcast train",
        ),
        (KeyboardInterrupt(), 130, "run/interrupted", "interrupted"),
        (Terminated(), 143, "run/terminated", "terminated by a signal"),
        (
            OSError(errno.ENOSPC, "No space left on device", "out.csv"),
            74,
            "system/enospc",
            "Free some space",
        ),
        (PermissionError(errno.EACCES, "no", "x"), 74, "system/eacces", "another folder"),
        (OSError("torn cable"), 74, "system/unknown", "torn cable"),
        (MemoryError(), 70, "system/no-memory", "training.batch_size"),
    ],
)
def test_failures_have_their_exit_code_and_words(
    lstmcast, pipeline, problem, exit_code, code, text
):
    pipeline.outcome = problem
    found, out, err = lstmcast("train", "a.csv", "--quiet")
    assert found == exit_code
    assert out == ""
    assert f"code   {code}\n" in err
    assert text in err
    assert "Traceback" not in err
    found, out, _ = lstmcast("train", "a.csv", "--quiet", "--json")
    error = json.loads(out)["error"]
    assert found == error["exit_code"] == exit_code
    assert error["code"] == code


def test_a_bug_is_exit_70_with_its_traceback_in_a_file(lstmcast, pipeline, tmp_path):
    pipeline.outcome = ZeroDivisionError("nought\x1b[2J")
    code, _, err = lstmcast("train", "a.csv", "--quiet")
    assert code == 70
    assert "ZeroDivisionError: nought\\x1b[2J" in err
    assert "Traceback" not in err
    logs = list((tmp_path / "state" / "lstmcast").glob("*.log"))
    assert len(logs) == 1
    assert f"full story in {logs[0]}" in err
    assert "Traceback" in logs[0].read_text()
    assert "ZeroDivisionError" in logs[0].read_text()


def test_debug_shows_the_traceback_of_every_failure(lstmcast, pipeline):
    pipeline.outcome = ModelNotFoundError("no model", code="model/none")
    code, _, err = lstmcast("train", "a.csv", "--debug")
    assert code == 10
    assert "Traceback (most recent call last)" in err
    assert "error: no model" in err


def test_a_failure_before_work_leaves_the_sigterm_handler_as_it_was(lstmcast, pipeline):
    import signal

    before = signal.getsignal(signal.SIGTERM)
    pipeline.outcome = KeyboardInterrupt()
    lstmcast("train", "a.csv")
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture
def loader(monkeypatch):
    fake = ModuleType("forecast.workflows.load")
    fake.load_levels = lambda source, settings: (None, Report(), None)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "forecast.workflows.load", fake)
    plans = ModuleType("forecast.training.plan")
    rows = (("horizon", 12, "usual"), ("held-out windows", 2, "the last 24"))
    plans.outlook = lambda panel, report, settings: rows  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "forecast.training.plan", plans)


def test_check_is_a_page_of_facts_then_repairs_and_warnings(lstmcast, loader):
    code, out, err = lstmcast("check", "a.csv")
    assert (code, err) == (0, "")
    assert [line.rstrip() for line in out.splitlines()] == [
        "file       a.csv: 1,440 rows",
        "time       Month (its name)",
        "target     Passengers\\x1b[2J",
        "id         shop",
        "series     10: 12 to 144 steps, median 144; 2 ended before the others; "
        "1 without any value, left out",
        "frequency  MS (month starts)",
        "season     12 steps",
        "span       1949-01 to 1960-12",
        "values     1,400 of 1,428; 28 missing (2.0%), 8 of them without a row",
        "coverage    ▁▄█",
        "training   horizon 12 (usual)",
        "           held-out windows 2 (the last 24)",
        "repair: rows were sorted  [repair/sorted]",
        "warning: one value is huge  [warning/outlier]",
        "  line 7",
    ]
    verbose = lstmcast("check", "a.csv", "-v")[1]
    assert "read as    encoding utf-8, separator ;" in verbose
    assert "ab" * 32 in verbose


def test_a_clean_report_says_so_in_one_line(lstmcast, loader, monkeypatch):
    monkeypatch.setitem(REPORT, "repairs", [])
    monkeypatch.setitem(REPORT, "warnings", [])
    monkeypatch.setitem(REPORT, "missing", 0)
    monkeypatch.setitem(REPORT, "seasons", [])
    out = lstmcast("check", "a.csv")[1]
    assert "nothing was repaired, nothing deserves a warning" in out
    assert "season     none found (usual for this frequency: 12)" in out
    assert "values     1,400, none missing" in out


def test_seasons_are_told_apart_and_counts_have_their_commas(lstmcast, loader, monkeypatch):
    monkeypatch.setitem(REPORT, "seasons", [24])
    monkeypatch.setitem(REPORT, "candidate_seasons", [24, 168])
    rows = (("learnt from", 3540, "steps up to 1990-09-10"),)
    monkeypatch.setattr(sys.modules["forecast.training.plan"], "outlook", lambda *given: rows)
    out = lstmcast("check", "a.csv")[1]
    assert "season     24 steps (usual for this frequency: 24 and 168)" in out
    assert "learnt from 3,540 (steps up to 1990-09-10)" in out


def test_check_as_json_is_the_report(lstmcast, loader):
    _, out, _ = lstmcast("check", "a.csv", "--json")
    document = json.loads(out)
    assert document["command"] == "check"
    assert document["report"] == REPORT


MANIFEST = {
    "schema_version": 1,
    "created": "2026-01-01T00:00:00+00:00",
    "versions": {"lstmcast": "0.1.0"},
    "network": {"layers": 2, "hidden_size": 48, "members": 1, "parameters": 77796, "horizon": 12},
    "data": {
        "source": "a\x1b[2J.csv",
        "series": 3,
        "frequency": "MS",
        "span": {"first": "1949-01", "last": "1960-12"},
        "coverage": [1.0] * 60,
    },
    "settings": {"training": {"members": 1}},
    "chosen": [{"name": "season", "value": 12, "why": "found in the data"}],
    "scores": [{"model": "LSTM", "mase": 0.657, "unavailable": 0}],
    "seen": None,
}


@pytest.fixture
def model_folder(monkeypatch):
    fake = ModuleType("forecast.models.store")
    fake.describe = lambda path: MANIFEST  # type: ignore[attr-defined]
    fake.newest_model = lambda root: root / "newest"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "forecast.models.store", fake)


def test_inspect_is_a_page_of_facts_choices_and_scores(lstmcast, model_folder):
    code, out, err = lstmcast("inspect", "runs/one")
    assert (code, err) == (0, "")
    lines = [line.rstrip() for line in out.splitlines()]
    assert lines[0] == "model     runs/one"  # which one it is, where none was named as well
    assert "network   LSTM, 2 x 48 units, 1 member, 77,796 weights" in lines
    assert "horizon   12 steps" in lines
    assert "data      a\\x1b[2J.csv, 3 series, MS" in lines
    assert "span      1949-01 to 1960-12" in lines
    assert "settings  training.members 1" in lines
    assert ["season", "12", "found in the data"] in [re.split(r" {2,}", line) for line in lines]
    assert ["LSTM", "0.657"] in [line.split() for line in lines]


def test_inspect_verbose_is_every_entry_with_long_lists_cut(lstmcast, model_folder):
    out = lstmcast("inspect", "runs/one", "-v")[1]
    assert re.search(r"^network\.hidden_size +48 *$", out, re.M)
    assert re.search(r"^chosen\.0\.name +season *$", out, re.M)
    assert "(60 values)" in out
    assert "seen" not in out


def test_inspect_as_json_is_the_whole_manifest(lstmcast, model_folder):
    document = json.loads(lstmcast("inspect", "runs/one", "--json")[1])
    assert document["folder"] == "runs/one"
    assert document["model"] == MANIFEST


def test_inspect_takes_the_newest_run_below_the_root(lstmcast, model_folder):
    document = json.loads(lstmcast("inspect", "--root", "there", "--json")[1])
    assert document["folder"] == "there/newest"
