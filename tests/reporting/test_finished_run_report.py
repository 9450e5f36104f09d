"""A page made again from a run's folder shows what the run found, for the series one names."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from forecast import train
from forecast.common.documents import sealed
from forecast.common.errors import InputError, ModelDamagedError, ModelNotFoundError, UsageError
from forecast.common.progress import Silent
from forecast.config.schema import Settings
from forecast.data.frequency import Frequency
from forecast.reporting.finished_run import newest_run
from forecast.reporting.finished_run_report import rebuilt_report as read_again
from forecast.reporting.finished_run_tables import places
from forecast.reporting.html.page import render_report
from forecast.training import learn as learning
from forecast.workflows.backtest import backtest_run
from tests.builders import make_panel
from tests.teaching import taught_here

rebuilt_report = partial(read_again, root="/")  # every run is the user's own

QUICK = {"network": {"hidden_size": 8}, "training": {"members": 1, "max_steps": 10, "jobs": 1}}


class Heard(Silent):
    """Remembers warnings."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def warn(self, code, text):
        self.codes.append(code)


def table(lengths=(72, 60, 66)):
    panel = make_panel(lengths)
    months = pd.period_range("2015-01", periods=max(lengths), freq="M").to_timestamp()
    return pd.DataFrame(
        {
            "unique_id": np.repeat(panel.ids.astype(str), panel.lengths),
            "ds": np.concatenate([months[:n] for n in panel.lengths]),
            "y": panel.values.round(3),
        }
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with data.csv, a train run and a backtest run with two windows and a gap of none."""
    folder = tmp_path_factory.mktemp("runs")
    table().to_csv(folder / "data.csv", index=False)
    given = {
        **QUICK,
        "baselines": {"names": ["seasonal-naive"]},
        "forecast": {"horizon": 6},
        "evaluation": {"windows": 2},
        "output": {"out": str(folder / "tested"), "root": str(folder)},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "train_members", taught_here)
        backtest_run(str(folder / "data.csv"), Settings.model_validate(given), Silent())
        stock = {**given, "output": {"out": str(folder / "stock"), "root": str(folder)}}
        stock["forecast"] = {"horizon": 6, "point": "0.9"}
        backtest_run(str(folder / "data.csv"), Settings.model_validate(stock), Silent())
        quick = dict(max_steps=10, hidden=8, members=1, baselines="seasonal-naive", jobs=1)
        train(folder / "data.csv", out=str(folder / "trained"), horizon=6, windows=2, **quick)
    return folder


@pytest.fixture
def copied(runs, tmp_path):
    """The same, to be spoilt."""
    shutil.copytree(runs, tmp_path / "copy")
    return tmp_path / "copy"


def parts(page):
    """The table of scores and the data of the charts, as they stand in the page."""
    scores = re.search(r"<table.*?</table>", page, re.S)
    data = re.findall(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.S)
    return scores.group(0), [json.loads(each) for each in data]


@pytest.mark.parametrize("name", ["tested", "trained", "stock"])
def test_a_page_made_again_shows_the_scores_and_charts_of_the_first(runs, name):
    written = (runs / name / "report.html").read_text(encoding="utf-8")
    again = render_report(rebuilt_report(runs / name))
    (old_scores, old_data), (scores, data) = parts(written), parts(again)
    assert scores == old_scores
    assert len(data) == len(old_data) > 0
    if name == "tested":  # which writes its numbers in full
        assert data == old_data


def test_stock_levels_are_told_by_their_own_loss_on_a_page_made_again_too(runs):
    page = rebuilt_report(runs / "stock")
    assert page.headline == page.step_metric == "scaled_loss-0.9"
    assert page.tiles[0].label == "scaled 0.9 quantile loss of LSTM"
    assert "scaled 0.9 quantile loss " in page.verdict


@pytest.mark.parametrize("name", ["tested", "trained"])
def test_the_figures_are_those_that_the_run_wrote(runs, name):
    document = json.loads((runs / name / "metrics.json").read_text())
    page = rebuilt_report(runs / name)
    assert document["verdict"] in page.verdict
    assert [row.model for row in page.scores] == [row["model"] for row in document["models"]]
    for row, written in zip(page.scores, document["models"], strict=True):
        for metric, value in row.values.items():
            assert value == pytest.approx(written[metric], nan_ok=True) or written[metric] is None
    first = [r["mase"] for r in document["steps"] if r["model"] == "LSTM"]
    np.testing.assert_allclose(page.step_errors["LSTM"], first)
    assert len(page.learning) == 1
    assert "forecast.horizon" in {s.name for s in page.settings}
    assert "horizon" in {s.name for s in page.decisions}


def test_only_the_named_series_are_drawn_in_the_order_given(runs):
    page = rebuilt_report(runs / "tested", ["series-2", "series-0", "series-2"])
    assert [entry.chart.title for entry in page.series] == ["series-2", "series-0"]
    assert page.total_series == 3


def test_a_train_run_keeps_its_forecast_ahead_and_its_model_folder_will_do(runs):
    page = rebuilt_report(runs / "trained" / "model")
    ahead = next(entry.future for entry in page.series if entry.chart.title == "series-0")
    frame = pd.read_csv(runs / "trained" / "predictions.csv")
    own = frame[frame.unique_id == "series-0"]
    np.testing.assert_allclose(ahead.medians["LSTM"], own.LSTM)
    np.testing.assert_allclose(ahead.bands["LSTM"][80.0][0], own["LSTM-lo-80"])


def test_data_that_have_grown_since_change_no_figure(copied):
    later = pd.DataFrame({"ds": pd.date_range("2021-01", periods=3, freq="MS"), "y": 150.0})
    newer = table((20,)).assign(unique_id="a new one")
    longer = pd.concat([table(), later.assign(unique_id="series-0"), newer])
    longer.to_csv(copied / "longer.csv", index=False)
    before = rebuilt_report(copied / "tested")
    after = rebuilt_report(copied / "tested", ["series-0"], str(copied / "longer.csv"))
    assert after.scores == before.scores
    old = next(entry.chart for entry in before.series if entry.chart.title == "series-0")
    np.testing.assert_array_equal(after.series[0].chart.history, old.history)
    np.testing.assert_array_equal(after.series[0].chart.medians["LSTM"], old.medians["LSTM"])


def test_other_data_are_refused_with_the_value_that_differs(copied):
    frame = table()
    frame.loc[frame.index[70], "y"] = 1.0
    frame.to_csv(copied / "other.csv", index=False)
    with pytest.raises(InputError, match="series-0 is 1 at 2020-11-01, then it was") as caught:
        rebuilt_report(copied / "tested", data=str(copied / "other.csv"))
    assert caught.value.code == "report/other-data"


def test_data_without_a_series_of_the_run_are_refused(copied):
    table((72,)).to_csv(copied / "one.csv", index=False)
    with pytest.raises(InputError, match="they have no unique_id 'series-1'"):
        rebuilt_report(copied / "tested", data=str(copied / "one.csv"))


def test_a_forecast_of_other_data_is_left_out_with_a_warning(copied):
    path = copied / "trained" / "predictions.csv"
    path.write_text(path.read_text().replace("2021-", "2031-"))
    heard = Heard()
    page = rebuilt_report(copied / "trained", listener=heard)
    assert heard.codes == ["report/forecast-left-out"]
    assert all(entry.future is None for entry in page.series)


def test_data_that_are_gone_are_an_error_that_names_the_flag(copied):
    path = copied / "tested" / "manifest.json"
    document = json.loads(path.read_text())
    document["data"]["path"] = str(copied / "gone.csv")
    path.write_text(json.dumps(sealed(document)))
    with pytest.raises(InputError, match="--data"):
        rebuilt_report(copied / "tested")


def test_an_unknown_series_is_an_error_that_names_the_nearest(runs):
    with pytest.raises(UsageError, match="Did you mean series-"):
        rebuilt_report(runs / "tested", ["serie-1"])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", "{"),
        ("metrics.json", "[]"),
        ("metrics.json", "{}"),
        ("backtest.csv", "a\n1\n"),
        ("history.csv", "member,phase,step\n1,fit,x\n"),
    ],
)
def test_a_file_that_was_spoilt_is_named(copied, name, content):
    (copied / "tested" / name).write_text(content)
    with pytest.raises(ModelDamagedError, match="tested"):
        rebuilt_report(copied / "tested")


def test_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(ModelNotFoundError, match="no finished run here"):
        rebuilt_report(tmp_path)
    with pytest.raises(ModelNotFoundError, match="lstmcast backtest"):
        newest_run(tmp_path)


def test_the_newest_run_of_any_kind_is_found(runs):
    assert newest_run(runs) == runs / "trained"


def test_hours_that_come_twice_are_one_step_of_the_clock():
    panel = replace(
        make_panel((48,), 24, alias="h"),
        frequency=Frequency("h"),
        first=np.array([Frequency("h").positions(np.array(["2023-10-28T12"], "M8[ns]"))[0]]),
        time_format="%Y-%m-%d %H:%M",
        tz="Europe/Paris",
    )

    def found(text):
        return places(panel, pa.table({"unique_id": ["series-0"], "ds": [text]}), "ds")

    assert found("2023-10-28 15:00").position.tolist() == [3]
    assert found("2023-10-29 02:00").position.tolist() == [14]
    panel = replace(panel, time_format="%Y-%m-%dT%H:%M%:z")
    assert found("2023-10-29T02:00+02:00").position.tolist() == [14]
    assert found("2023-10-29T02:00+01:00").position.tolist() == [14]
