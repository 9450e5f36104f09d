"""The whole of `backtest`: nothing is seen too early, and the files hold what was scored."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecast import train
from forecast.common.errors import InputError, UsageError
from forecast.common.progress import Silent
from forecast.config.schema import Settings
from forecast.data.forecast import Forecast
from forecast.evaluation.scores import score_forecasts
from forecast.evaluation.significance import Comparison, about_arima, fair_verdict, lead
from forecast.inference.predict import forecast_panel
from forecast.training import learn as learning
from forecast.training.zero_shot import zero_shot
from forecast.workflows import backtest_networks
from forecast.workflows.backtest import backtest_run
from forecast.workflows.backtest_networks import Learnt, pretrained
from forecast.workflows.backtest_plan import plan_backtest, usual_windows
from tests.builders import make_panel, make_year
from tests.teaching import taught_here

QUICK = {
    "network": {"hidden_size": 8},
    "training": {"members": 1, "max_steps": 20, "jobs": 1},
    "forecast": {"horizon": 6},
    "evaluation": {"windows": 2},
}


class Heard(Silent):
    """Remembers stages and warnings."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.warnings: list[tuple[str, str]] = []

    def stage(self, text):
        self.stages.append(text)

    def warn(self, code, text):
        self.warnings.append((code, text))


@pytest.fixture
def inline(monkeypatch):
    """Members are taught in this process: the same teaching, without starting torch anew."""
    monkeypatch.setattr(learning, "train_members", taught_here)


def table(lengths=(72, 60), seed=0):
    panel = make_panel(lengths, seed=seed)
    months = pd.period_range("2015-01", periods=max(lengths), freq="M").to_timestamp()
    return pd.DataFrame(
        {
            "unique_id": np.repeat(panel.ids.astype(str), panel.lengths),
            "ds": np.concatenate([months[:n] for n in panel.lengths]),
            "y": panel.values.round(3),
        }
    )


def settings(out, baselines=("seasonal-naive",), **sections):
    """Quick settings that write to `out`; `sections` are added to them."""
    output = {"out": str(out), "root": str(Path(out).parent)}
    given = {**QUICK, "output": output}
    # a budget that a busy machine does not use up
    names = {} if baselines is None else {"names": baselines}
    given["baselines"] = {"budget": 900.0, **names}
    for name, section in sections.items():
        given[name] = {**given.get(name, {}), **section}
    return Settings.model_validate(given)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def everyone(tmp_path_factory):
    """A backtest with every baseline."""
    folder = tmp_path_factory.mktemp("backtest")
    table().to_csv(folder / "data.csv", index=False)
    return backtest_run(str(folder / "data.csv"), settings(folder / "run", baselines=None), Heard())


def test_a_backtest_leaves_its_files_and_nothing_half_written(everyone):
    names = {path.name for path in everyone.folder.iterdir()}
    assert names - {".lstmcast.json"} == {path.name for path, _ in everyone.files} == {
        "manifest.json", "backtest.csv", "metrics.json", "metrics.csv", "series.csv",
        "history.csv", "report.html",
    }  # fmt: skip
    assert {p.name for p in everyone.folder.parent.iterdir()} == {"data.csv", "run", ".baselines"}


def test_all_baselines_and_the_untrained_network_take_part_unless_told_otherwise(everyone):
    assert [score.model for score in everyone.scores.scores] == [
        "LSTM", "LSTM-pretrained", "AutoARIMA", "AutoETS", "DynamicOptimizedTheta",
        "SeasonalNaive", "Naive2",
    ]  # fmt: skip
    assert everyone.scores.score("Naive2").values["owa"] == pytest.approx(1.0)
    assert all(score.series == 2 and score.pairs == 4 for score in everyone.scores.scores)
    assert all(score.seconds > 0 for score in everyone.scores.scores)
    assert everyone.exit_code == 0


def test_the_untrained_network_is_judged_as_forecast_uses_it():
    panel = make_year(4, 3)
    asked = Settings.model_validate({"forecast": {"horizon": 28}, "evaluation": {"windows": 1}})
    plan = plan_backtest(panel, (7,), asked)
    past = panel.truncate(panel.lengths - 28)
    network = zero_shot(past, (7,), asked).forecaster
    (made,) = pretrained(panel, plan, False)
    assert network.longer
    np.testing.assert_array_equal(made.quantiles, forecast_panel(network, past, 28).quantiles)


def test_forecasts_stand_beside_the_actuals_with_their_cutoffs(everyone):
    held = pd.read_csv(everyone.folder / "backtest.csv")
    assert list(held)[:7] == [
        "unique_id", "ds", "cutoff", "y", "LSTM", "LSTM-lo-80", "LSTM-hi-80",
    ]  # fmt: skip
    data = table().assign(ds=lambda frame: frame.ds.dt.strftime("%Y-%m-%d"))
    joined = held.merge(data, on=["unique_id", "ds"], suffixes=("", "-read"))
    assert len(joined) == len(held) == 2 * 2 * 6
    assert (joined["y"] == joined["y-read"]).all()
    first = held[held.unique_id == "series-0"]
    assert first.cutoff.unique().tolist() == ["2019-12-01", "2020-06-01"]
    assert (first.ds > first.cutoff).all()


def test_the_scores_are_those_of_the_table_overall_by_origin_step_and_series(everyone):
    held = pd.read_csv(everyone.folder / "backtest.csv")
    document = json.loads((everyone.folder / "metrics.json").read_text())
    assert document["season"] == 12 and "mean over the steps" in document["pooling"]
    held["step"] = held.groupby(["unique_id", "cutoff"]).cumcount() + 1
    held["origin"] = held.groupby("unique_id").cutoff.rank(method="dense").astype(int)
    for name in ("LSTM", "AutoARIMA", "Naive2"):
        error = (held.y - held[name]).abs()
        overall = {row["model"]: row["mae"] for row in document["models"]}
        assert overall[name] == pytest.approx(error.mean())
        for key, listed in (("step", document["steps"]), ("origin", document["origins"])):
            found = {row[key]: row["mae"] for row in listed if row["model"] == name}
            assert found == pytest.approx(error.groupby(held[key]).mean().to_dict())
        by_series = {
            row["unique_id"]: float(row["mae"])
            for row in rows(everyone.folder / "series.csv")
            if row["model"] == name
        }
        assert by_series == pytest.approx(error.groupby(held.unique_id).mean().to_dict())


def test_every_comparison_is_written_with_what_can_be_said_about_chance(everyone):
    document = json.loads((everyone.folder / "metrics.json").read_text())
    assert document["verdict"] == everyone.verdict
    assert "cannot be told" in everyone.verdict and "pretrained" not in everyone.verdict
    assert [pair["second"] for pair in document["comparisons"]] == [
        score.model for score in everyone.scores.scores[1:]
    ]
    assert document["comparisons"][1]["p"] is None
    assert document["against_arima"] is None


def test_baselines_are_not_fitted_twice(everyone, inline):
    again = Heard()
    folder = everyone.folder.parent
    result = backtest_run(
        str(folder / "data.csv"), settings(folder / "again", baselines=None), again
    )
    assert not [stage for stage in again.stages if "AutoARIMA" in stage]
    for name in ("AutoARIMA", "AutoETS", "DynamicOptimizedTheta"):
        assert result.scores.score(name) == everyone.scores.score(name)


def lstm_by_cutoff(folder):
    held = pd.read_csv(folder / "backtest.csv")
    columns = [name for name in held if name.startswith("LSTM")]
    return [part[columns].to_numpy() for _, part in held.groupby("cutoff")]


def test_no_forecast_knows_what_comes_after_its_origin(tmp_path, inline):
    frame = table((72,))
    later = frame.assign(y=np.where(np.arange(72) >= 66, frame.y * 9, frame.y))
    folders = [
        backtest_run(data, settings(tmp_path / name), Silent()).folder
        for name, data in (("one", frame), ("other", later))
    ]
    one, other = (pd.read_csv(folder / "backtest.csv") for folder in folders)
    assert (one.y != other.y).sum() == 6
    names = [name for name in one if name not in ("unique_id", "ds", "cutoff", "y")]
    assert one[names].equals(other[names])


def test_refit_learns_from_what_lies_between_the_origins(tmp_path, inline):
    frame = table((72,))
    later = frame.assign(y=np.where(np.arange(72) >= 66, frame.y * 9, frame.y))
    between = frame.assign(y=np.where(np.arange(72) == 62, frame.y * 2, frame.y))
    folders = [
        backtest_run(data, settings(tmp_path / name, evaluation={"refit": True}), Silent()).folder
        for name, data in (("one", frame), ("later", later), ("between", between))
    ]
    one, after, changed = map(lstm_by_cutoff, folders)
    once = backtest_run(frame, settings(tmp_path / "once"), Silent()).folder
    np.testing.assert_array_equal(one[0], lstm_by_cutoff(once)[0])
    assert (one[1] != lstm_by_cutoff(once)[1]).any()
    np.testing.assert_array_equal(one, after)
    np.testing.assert_array_equal(one[0], changed[0])
    assert (one[1] != changed[1]).any()
    members = {row["member"] for row in rows(folders[0] / "history.csv")}
    assert members == {"1 before origin 1", "1 before origin 2"}


def test_the_steps_of_the_gap_are_forecast_but_not_scored(tmp_path, inline):
    result = backtest_run(table((72,)), settings(tmp_path / "run", evaluation={"gap": 3}), Silent())
    held = pd.read_csv(result.folder / "backtest.csv")
    first = held[held.cutoff == held.cutoff.min()]
    months = pd.to_datetime(first.ds).dt.to_period("M").astype("int64").to_numpy()
    cutoff = pd.Period(first.cutoff.iloc[0][:7], "M").ordinal
    assert (months - cutoff).tolist() == [4, 5, 6, 7, 8, 9]
    mae = (held.y - held.LSTM).abs().mean()
    assert result.scores.score("LSTM").values["mae"] == pytest.approx(mae)
    assert ("gap", 3, "steps after an origin that are not scored") in result.chosen


def test_a_saved_model_takes_part_and_what_it_has_seen_is_said(tmp_path, inline):
    frame = table()
    frame.to_csv(tmp_path / "data.csv", index=False)
    early = frame[frame.ds < "2018-06"]
    quick = dict(max_steps=20, hidden=8, members=1, baselines="none", horizon=6)
    for name, data in (("early", early), ("late", frame)):
        train(data, out=str(tmp_path / name), **quick)
    heard = Heard()
    folders = [str(tmp_path / "early" / "model"), str(tmp_path / "late")]
    result = backtest_run(
        str(tmp_path / "data.csv"), settings(tmp_path / "run"), heard, models=folders
    )
    names = [score.model for score in result.scores.scores]
    assert names[2:4] == ["early", "late"]
    assert [text.split(":")[0] for code, text in heard.warnings if "seen" in code] == ["late"]
    assert result.scores.score("early").notes == ()
    assert "may include held-out values" in result.scores.score("late").notes[0]
    assert "late" not in result.verdict and "early" not in result.verdict
    started = Heard()
    starting = settings(
        tmp_path / "started", network={"hidden_size": None},
        training={"init": str(tmp_path / "late"), "max_steps": 5},
    )  # fmt: skip
    result = backtest_run(str(tmp_path / "data.csv"), starting, started)
    assert "backtest/start-has-seen" in [code for code, _ in started.warnings]
    assert "--init" in result.scores.score("LSTM").notes[0]


def test_a_saved_model_of_another_frequency_is_refused(tmp_path, inline):
    daily = pd.DataFrame({"ds": pd.date_range("2020-01-01", periods=40), "y": np.arange(40.0)})
    quick = dict(max_steps=5, hidden=8, members=1, baselines="none", horizon=3)
    train(daily, out=str(tmp_path / "daily"), **quick)
    with pytest.raises(InputError, match="another frequency"):
        backtest_run(
            table(), settings(tmp_path / "run"), Silent(), models=[str(tmp_path / "daily")]
        )
    assert not (tmp_path / "run").exists()


def test_a_folder_with_a_trained_model_is_not_replaced(tmp_path):
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "model" / "manifest.json").write_text("{}")
    with pytest.raises(UsageError, match="is not a backtest, and holds model"):
        backtest_run(table(), settings(tmp_path / "run"), Silent())


def test_data_that_are_too_short_are_an_error_with_what_is_needed(tmp_path):
    with pytest.raises(InputError, match="no series is long enough to hold out 6 steps"):
        backtest_run(table((9,)), settings(tmp_path / "run"), Silent())


def test_once_interrupted_the_network_at_hand_forecasts_the_rest(monkeypatch):
    panel = make_panel((72,))
    given = Settings.model_validate({**QUICK, "evaluation": {"windows": 3, "refit": True}})
    plan = plan_backtest(panel, (12,), given)
    asked = []

    def once(panel, plan, settings, keep, origins, listener):
        asked.append(origins[:, 0].tolist())
        parts = [f"{len(asked)} from {origin}" for origin in origins[:, 0]]
        return Learnt(parts, [{"member": 1}], interrupted=len(asked) == 2)

    monkeypatch.setattr(backtest_networks, "_trained_once", once)
    learnt = backtest_networks.trained(panel, plan, given, Silent())
    assert asked == [[54, 60, 66], [60, 66]]
    assert learnt.forecasts == ["1 from 54", "2 from 60", "2 from 66"]
    assert learnt.interrupted


@pytest.mark.parametrize(
    ("size", "typical", "expected"), [(1, 144, 4), (1, 1000, 10), (20, 1000, 4), (99, 1000, 2)]
)
def test_few_series_get_many_origins_and_many_series_few(size, typical, expected):
    assert usual_windows(size, typical, 12, 0, 12) == expected


def test_short_data_still_get_one_origin():
    assert usual_windows(1, 20, 12, 0, 12) == 1


def test_a_lead_is_told_from_chance_in_one_sentence():
    pair = Comparison(
        "LSTM", "AutoARIMA", "MASE", 0.8, 1.0, 40, 2, -0.3, -0.1, 0.001,
        "paired bootstrap over 40 series",
    )  # fmt: skip
    assert about_arima([pair]) == (
        "LSTM against AutoARIMA on 40 series at 2 origins: MASE 0.8 against 1; difference -0.2, "
        "95% interval -0.3 to -0.1; the lead of LSTM is more than chance "
        "(paired bootstrap over 40 series, p = 0.001)."
    )
    worse = Comparison("LSTM", "AutoETS", "MASE", 1.1, 1.0, 40, 2, -0.1, 0.3, 0.4, "a test")
    assert "the lead of AutoETS is within what chance alone can do" in lead(worse)
    assert about_arima([worse]) == ""


def test_other_states_of_the_network_are_no_rivals_in_the_verdict():
    panel = make_panel((60,) * 12)
    actual = panel.window(panel.lengths - 6, 6)
    made = {
        name: Forecast(
            name, panel.lengths - 6, actual * factor, np.empty(0), np.empty((12, 6, 0)),
            np.full(12, name, dtype=object), np.ones(12, dtype=bool),
        )
        for name, factor in (("LSTM", 1.1), ("peeked", 1.0), ("AutoARIMA", 1.2))
    }  # fmt: skip
    scores = score_forecasts(panel, made, 12)
    text = fair_verdict(scores, {"peeked"})
    assert text.startswith("LSTM was the most accurate on 12 series")
    # the table shows a lower figure: the sentence does not pass it over
    assert " peeked, which is no rival here, has MASE 0 against" in text
    assert "no rival here" not in fair_verdict(scores, {"AutoARIMA"})
