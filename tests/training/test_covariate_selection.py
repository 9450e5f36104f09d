from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from forecast import predict, train
from forecast.cli.app import run as lstmcast
from forecast.cli.error_handler import guarded
from forecast.common.errors import InputError, UsageError
from forecast.common.progress import Silent
from forecast.config.sources import resolve
from forecast.models.store import describe, load_model, model_path
from forecast.training import learn as learning
from forecast.training import selection
from forecast.transforms.covariates import Design, Entry
from forecast.workflows.predict import forecast_run, predict_run
from tests.teaching import taught_here

STEPS = 6
QUICK = dict(
    horizon=STEPS, max_steps=60, hidden=16, members=1, from_scratch=True, context=8,
    learning_rate=0.01, baselines="none", windows=2, refit=False,
)  # fmt: skip


def table(effect, ids=3, length=96, ahead=STEPS, seed=3):
    """Monthly series of a season and noise; `effect` times a random x, known `ahead` steps on."""
    random = np.random.default_rng(seed)
    months = pd.period_range("2012-01", periods=length + ahead, freq="M").to_timestamp()
    parts = []
    for number in range(ids):
        x = random.standard_normal(length + ahead).round(4)
        step = np.arange(length + ahead)
        y = 100 * np.exp(0.1 * np.sin(step * np.pi / 6 + number) + effect * x)
        y *= np.exp(0.01 * random.standard_normal(length + ahead))
        part = pd.DataFrame({"unique_id": f"s{number}", "ds": months, "y": y.round(4), "x": x})
        part.loc[length:, "y"] = None
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def helped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("helped")
    table(0.2).to_csv(folder / "data.csv", index=False)
    return folder, train(folder / "data.csv", out=str(folder / "run"), future_cov="x", **QUICK)


def reason(run):
    return next(each for each in run.result.chosen if each[0] == "covariates")


def test_covariates_that_help_are_used_and_said_to(helped):
    _, run = helped
    _, value, why = reason(run)
    assert value == "used"
    assert why.startswith("x: loss on validation origins ")
    assert "(-" in why and why.endswith("%)")
    network = describe(run.folder)["network"]["covariates"]
    assert [entry["name"] for entry in network["entries"]] == ["x"]


def test_the_forecast_follows_the_covariate_of_the_steps_to_come(helped):
    folder, run = helped
    steps = table(0.2)
    steps = steps[steps["y"].isna()]
    outlook = steps.drop(columns="y")
    past = table(0.2, ahead=0)  # without rows to come
    past.to_csv(folder / "past.csv", index=False)

    def forecast(x):
        path = folder / "outlook.csv"
        outlook.assign(x=x).to_csv(path, index=False)
        return predict(folder / "past.csv", model=run.folder, future_covariates=str(path))["LSTM"]

    low, high = forecast(-1.0), forecast(1.0)
    assert np.log(high / low).mean() > 0.2  # 0.4 by construction


def test_predict_reads_the_training_file_again_and_imports_no_torch(helped):
    folder, run = helped
    code = (
        "import sys; from forecast.cli.app import run; "
        f"code = run(['predict', '--model', {str(run.folder)!r}, '--root', {str(folder)!r}, '-o', "
        f"{str(folder / 'again.csv')!r}, '--quiet']); "
        "print(code, 'torch' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["0", "False", "False"], done.stderr
    again = pd.read_csv(folder / "again.csv")
    first = pd.read_csv(run.folder / "predictions.csv")
    np.testing.assert_allclose(again["LSTM"], first["LSTM"], rtol=1e-9)


def test_predict_without_the_steps_to_come_names_what_is_missing(helped):
    folder, run = helped
    table(0.2, ahead=2).to_csv(folder / "short.csv", index=False)
    with pytest.raises(InputError) as caught:
        predict(folder / "short.csv", model=run.folder)
    assert caught.value.code == "input/covariates-short"
    assert "series 's0' has no value at 2020-03" in caught.value.message


def test_covariates_that_stop_short_are_refused_before_a_word_of_holes(helped, capsys):
    folder, run = helped
    table(0.2, ahead=2).to_csv(folder / "short.csv", index=False)
    words = ["predict", str(folder / "short.csv"), "--model", str(run.folder), "-q"]
    assert guarded(lambda: lstmcast(words)) == 4
    told = capsys.readouterr().err
    assert "input/covariates-short" in told and "warning" not in told
    out = ["-o", str(folder / "made.csv")]
    assert guarded(lambda: lstmcast([*words, *out, "--cov-short", "last"])) == 0
    assert "warning" not in capsys.readouterr().err  # the steps have the last value
    assert guarded(lambda: lstmcast([*words, *out, "--cov-short", "mask"])) == 0
    assert "covariates/hole" in capsys.readouterr().err


def test_predict_refuses_options_that_would_change_what_the_model_reads(helped):
    folder, run = helped
    with pytest.raises(UsageError) as caught:
        predict(folder / "data.csv", model=run.folder, calendar=True)
    assert caught.value.code == "usage/covariates-of-the-model"
    assert caught.value.where == "calendar"


def test_covariates_of_noise_are_left_out_and_the_model_does_without_them(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "train_members", taught_here)
    data, quick = table(0.0), {**QUICK, "max_steps": 60}
    data.to_csv(tmp_path / "data.csv", index=False)
    run = train(tmp_path / "data.csv", out=str(tmp_path / "run"), future_cov="x", **quick)
    assert reason(run)[1] == "left out"
    assert load_model(model_path(run.folder))[0].design is None
    plain = data.dropna().drop(columns="x")
    plain.to_csv(tmp_path / "plain.csv", index=False)
    alone = train(tmp_path / "plain.csv", out=str(tmp_path / "alone"), **quick)
    one, two = (load_model(model_path(r.folder))[0].members[0] for r in (run, alone))
    for name, array in two.items():
        np.testing.assert_array_equal(one[name], array)
    assert len(predict(tmp_path / "plain.csv", model=run.folder)) == 3 * STEPS

    class Heard(Silent):
        notes: ClassVar[list[str]] = []

        def note(self, text: str) -> None:
            self.notes.append(text)

    late = {"data.future_covariates": str(tmp_path / "not read at all.csv")}
    settings = resolve(late, None, None).settings
    plain = str(tmp_path / "plain.csv")
    predict_run(plain, settings, Heard(), model=str(run.folder), output="")
    assert "this model reads no covariates: their file is left unread" in Heard.notes


def test_the_pretrained_network_alone_refuses_covariates(tmp_path):
    table(0.0).to_csv(tmp_path / "data.csv", index=False)
    settings = resolve({"data.future_cov": "x"}, None, None).settings
    with pytest.raises(UsageError) as caught:
        forecast_run(str(tmp_path / "data.csv"), settings, None)
    assert caught.value.code == "usage/covariates-untrained"


@pytest.mark.parametrize(
    ("plain", "full", "word"),
    [
        ([1.0, 1.0, 1.0], [0.995, 0.995, 0.995], "left out"),  # less than a hundredth
        ([1.0, 1.0, 1.0], [0.9, 0.92, 0.91], "used"),
        ([1.0, 1.0, 1.0], [0.2, 1.3, 1.4], "left out"),  # luck at one origin
        ([np.nan, np.nan], [0.1, 0.1], "left out"),
        ([np.nan, 1.0, 1.0], [0.1, 0.8, 0.7], "used"),
    ],
)
def test_covariates_must_gain_more_than_a_hundredth_and_more_than_chance(
    monkeypatch, plain, full, word
):
    losses = iter([np.array(plain), np.array(full)])
    monkeypatch.setattr(selection, "losses_of", lambda *given: next(losses))
    plan = SimpleNamespace(design=Design((Entry("x", "future"),)), tried=False)
    one, two = (SimpleNamespace(ended="steps") for _ in range(2))
    chosen, ((_, found, why),) = selection.better(None, plan, [one], [two])
    assert found == word
    assert chosen == ([two] if word == "used" else [one])
    better = np.nanmean(np.subtract(plain, full)) > 0 if np.isfinite(plain).all() else False
    assert ("too small a gain" in why) == (word == "left out" and better)


@pytest.mark.parametrize(
    ("gain", "series", "word"),
    [(0.02, 100, "left out"), (0.05, 100, "used"), (0.05, 4, "left out"), (0.2, 4, "used")],
)
def test_a_calendar_that_nobody_asked_for_must_clearly_lead(monkeypatch, gain, series, word):
    plain = np.linspace(0.9, 1.1, series)
    losses = iter([plain, plain * (1 - gain)])
    monkeypatch.setattr(selection, "losses_of", lambda *given: next(losses))
    plan = SimpleNamespace(design=Design((), calendar=True, calendar_width=5), tried=True)
    members = [SimpleNamespace(ended="steps")]
    _, ((_, found, why),) = selection.better(None, plan, members, members)
    assert (found, why.split(":")[0]) == (word, "calendar")


def paydays(ids=8, days=450, seed=0):
    """Daily takings of a week's pattern, a half more on three days of each month."""
    random, dates = np.random.default_rng(seed), pd.date_range("2023-01-02", periods=days)
    paid = 0.5 * np.isin(dates.day, (25, 26, 27))
    parts = []
    for number in range(ids):
        week = 0.2 * random.standard_normal(7)[np.arange(days) % 7]
        y = 100 * np.exp(week + paid + 0.05 * random.standard_normal(days))
        parts.append(pd.DataFrame({"unique_id": f"s{number}", "ds": dates, "y": y.round(2)}))
    return pd.concat(parts, ignore_index=True)


def test_paydays_are_found_without_being_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "train_members", taught_here)
    paydays().to_csv(tmp_path / "data.csv", index=False)
    quick = dict(horizon=28, max_steps=40, members=1, baselines="none", refit=False, windows=1)
    run = train(tmp_path / "data.csv", out=str(tmp_path / "run"), **quick)
    _, word, why = reason(run)
    assert word == "used" and why.startswith("calendar: ")
    assert describe(run.folder)["network"]["covariates"]["calendar"]
    made = predict(tmp_path / "data.csv", model=run.folder)
    on = pd.to_datetime(made["ds"]).dt.day.isin((25, 26, 27))
    assert made["LSTM"][on].mean() > 1.15 * made["LSTM"][~on].mean()
    for word in ({"calendar": True}, {"calendar": None}):
        pd.testing.assert_frame_equal(
            predict(tmp_path / "data.csv", model=run.folder, **word), made
        )
    with pytest.raises(UsageError) as caught:
        predict(tmp_path / "data.csv", model=run.folder, calendar=False)
    assert caught.value.code == "usage/covariates-of-the-model"
    more = train(
        tmp_path / "data.csv", out=str(tmp_path / "more"), init=str(run.folder),
        **{**quick, "max_steps": 4},
    )  # fmt: skip
    assert reason(more)[1] == "used"  # what is trained on goes on reading it


def test_without_the_calendar_training_is_given_up_where_it_falls_behind(tmp_path, monkeypatch):
    taught = []

    def counted(task, seeds, folder, jobs, report, until=None):
        unheard = lambda member, event: None  # noqa: E731
        heard = report if taught else unheard  # another rank, or members that were done before
        made = taught_here(task, seeds, folder, jobs, heard, until)
        taught.append((task, made[0]))
        return made

    monkeypatch.setattr(learning, "train_members", counted)
    monkeypatch.setattr(learning, "MANY_WATCHED", 8)
    paydays().to_csv(tmp_path / "data.csv", index=False)
    quick = dict(horizon=28, max_steps=40, members=1, baselines="none", refit=False, windows=1)
    run = train(tmp_path / "data.csv", out=str(tmp_path / "run"), patience=40, **quick)
    (first, kept), (second, left) = taught
    assert (first.known is None, second.known is None) == (False, True)
    assert second.config.behind == pytest.approx(1.05 * kept[0].best_loss)
    assert (kept[0].ended, left[0].ended) == ("steps", "behind")
    assert reason(run)[1:] == (
        "used", "calendar: without it the loss was over 5% higher after a third of the steps",
    )  # fmt: skip
    assert describe(run.folder)["network"]["covariates"]["calendar"]


def test_a_calendar_of_noise_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "train_members", taught_here)
    random, dates = np.random.default_rng(1), pd.date_range("2023-01-02", periods=450)
    y = np.round(100 + 10 * random.standard_normal(450), 2)
    pd.DataFrame({"ds": dates, "y": y}).to_csv(tmp_path / "data.csv", index=False)
    quick = dict(horizon=28, max_steps=20, members=1, baselines="none", refit=False, windows=1)
    run = train(tmp_path / "data.csv", out=str(tmp_path / "run"), **quick)
    assert reason(run)[1] == "left out"
    assert "covariates" not in describe(run.folder)["network"]
    predict(tmp_path / "data.csv", model=run.folder, calendar=False)  # which it is without
