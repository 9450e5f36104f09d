"""Jobs whose data have covariates, from the file to the published forecast."""

from __future__ import annotations

import csv
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from forecast.common.errors import InputError
from forecast.scheduling.config_file import load_config
from forecast.scheduling.dated_files import data_as_of
from forecast.scheduling.run import run_job
from forecast.training import learn as learning
from tests.teaching import taught_here

STEPS, LENGTH, NAMES = 6, 96, ("a", "b", "c")
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def write(folder, known=LENGTH, ahead=STEPS, outlook=None):
    """Monthly series that follow a random x, known `ahead` steps beyond the values.

    known, ahead: a number, or one for each series; outlook: x of all steps to come.
    """
    months = pd.period_range("2012-01", periods=LENGTH + STEPS, freq="M").strftime("%Y-%m-%d")
    random, parts = np.random.default_rng(3), []
    for number, name in enumerate(NAMES):
        until = known if np.isscalar(known) else known[number]
        end = until + (ahead if np.isscalar(ahead) else ahead[number])
        x = random.standard_normal(LENGTH + STEPS).round(4)
        season = np.sin(np.arange(LENGTH + STEPS) * np.pi / 6 + number)
        y = 100 * np.exp(0.1 * season + 0.2 * x + 0.01 * random.standard_normal(len(x)))
        frame = pd.DataFrame({"unique_id": name, "ds": months, "y": y.round(4), "x": x})
        frame.loc[until:, "y"] = None
        if outlook is not None:
            frame.loc[until:, "x"] = outlook
        parts.append(frame[:end])
    pd.concat(parts).to_csv(folder / "data.csv", index=False)


def job(folder):
    (folder / "batch.yaml").write_text(
        "jobs:\n  sales:\n    data: data.csv\n    max_failed: 50%\n    retrain: {every: 365d}\n"
        "    settings:\n"
        "      data: {future_cov: [x]}\n"
        f"      forecast: {{horizon: {STEPS}}}\n"
        "      network: {hidden_size: 16, context: 8}\n"
        "      training: {max_steps: 60, members: 1, learning_rate: 0.01,\n"
        "                 from_scratch: true, refit: false}\n"
        "      evaluation: {windows: 2}\n"
    )
    return load_config(folder / "batch.yaml", environ={}).jobs["sales"]


def published(folder):
    with open(folder / "sales" / "current" / "predictions.csv", newline="") as file:
        return list(csv.DictReader(file))


def level(folder, name):
    values = [float(row["LSTM"]) for row in published(folder) if row["unique_id"] == name]
    assert len(values) == STEPS
    return float(np.log(values).mean())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A job that has trained once, on all but the last month."""
    folder = tmp_path_factory.mktemp("covariates")
    write(folder, LENGTH - 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "train_members", taught_here)
        outcome = run_job(job(folder), now=NOW)
    assert (outcome.outcome, outcome.exit_code) == ("published", 0)
    assert {row["source"] for row in published(folder)} == {"LSTM"}
    return folder


def test_the_next_run_reuses_the_model_and_follows_the_outlook(trained):
    write(trained, outlook=-1.0)
    low = run_job(job(trained), now=NOW)
    assert {d.what: d.choice for d in low.decisions}["model"] == "reuse"
    before = level(trained, "a")
    write(trained, outlook=1.0)
    high = run_job(job(trained), now=NOW)
    assert high.manifest["replaces"] == low.run  # another outlook is other data
    assert level(trained, "a") - before > 0.2  # 0.4 by construction


def test_a_series_whose_covariates_end_too_soon_falls_back_alone(trained):
    write(trained, ahead=(STEPS, 2, STEPS))
    outcome = run_job(job(trained), now=NOW)
    assert (outcome.outcome, outcome.exit_code, outcome.fallbacks) == ("published", 3, 1)
    found = {row["unique_id"]: (row["source"], row["reason"]) for row in published(trained)}
    assert found["a"] == found["c"] == ("LSTM", "")
    assert found["b"] == ("pretrained LSTM", "covariate x does not cover the horizon")


def test_a_series_that_ends_sooner_needs_them_up_to_the_same_month(trained):
    write(trained, known=(LENGTH, LENGTH - 1, LENGTH), ahead=(STEPS, STEPS + 1, STEPS))
    assert run_job(job(trained), now=NOW).fallbacks == 0
    write(trained, known=(LENGTH, LENGTH - 1, LENGTH), ahead=STEPS)
    assert run_job(job(trained), now=NOW).fallbacks == 1


def dated(folder, *days):
    """A job whose outlook comes as a file each day, and those of `days`."""
    for day in days:
        (folder / f"weather-{day}.csv").write_text("ds,x\n2030-01-01,1\n")
    (folder / "batch.yaml").write_text(
        "jobs: {load: {data: data.csv, schedule: {time_zone: Australia/Melbourne},\n"
        "  settings: {data: {future_covariates: 'weather-{date}.csv'}}}}"
    )
    return load_config(folder / "batch.yaml", environ={}).jobs["load"]


@pytest.mark.parametrize(
    ("moment", "as_of", "chosen"),
    [
        ("2030-01-03T01:00+00:00", None, "weather-20300103.csv"),
        ("2030-01-02T20:00+00:00", None, "weather-20300103.csv"),  # the third in Melbourne
        ("2030-01-02T01:00+00:00", None, "weather-2030-01-01.csv"),  # the second's is not there
        ("2030-01-09T01:00+00:00", "2030-01-02 23:30", "weather-2030-01-01.csv"),
    ],
)
def test_of_dated_files_the_newest_is_read_that_the_run_can_know(tmp_path, moment, as_of, chosen):
    job = dated(tmp_path, "2029-12-31", "2030-01-01", "20300103", "2030-13-45", "old")
    data, told = data_as_of(job, datetime.fromisoformat(moment), as_of)
    assert data.future_covariates == str(tmp_path / chosen) and chosen in told
    assert job.settings.data.future_covariates.endswith("{date}.csv")  # no other settings each day


def test_where_no_dated_file_fits_those_that_are_there_are_named(tmp_path):
    job = dated(tmp_path, "2030-02-01")
    with pytest.raises(InputError, match="dated 2030-01-01 or before") as caught:
        data_as_of(job, NOW)
    assert (
        caught.value.code == "input/no-dated-file"
        and caught.value.value == "weather-2030-02-01.csv"
    )
    assert load_config(job.config, environ={}).jobs["load"].digest == job.digest


def test_a_run_reads_the_dated_file(trained):
    months = pd.period_range("2012-01", periods=LENGTH + STEPS, freq="M").strftime("%Y-%m-%d")
    write(trained, ahead=0)
    rows = [f"{name},{month},1.0" for name in NAMES for month in months[LENGTH:]]
    table = "\n".join(["unique_id,ds,x", *rows]) + "\n"
    (trained / "outlook-2029-12-31.csv").write_text(table)
    asked = job(trained)
    text = asked.config.read_text()
    ahead = text.replace("{future_cov: [x]}", "{future_covariates: 'outlook-{date}.csv'}")
    asked.config.write_text(ahead)
    outcome = run_job(load_config(asked.config, environ={}).jobs["sales"], now=NOW, dry_run=True)
    assert outcome.outcome == "dry run"
    log = [d.reason for d in outcome.decisions]
    assert log and not any("does not cover" in each for each in log)


def test_without_any_outlook_nothing_is_published_and_the_error_says_what_is_missing(trained):
    current = (trained / "sales" / "current").resolve()
    write(trained, ahead=0)
    with pytest.raises(InputError, match="covariate 'x' does not cover the horizon") as caught:
        run_job(job(trained), now=NOW)
    assert caught.value.code == "input/covariates-short"
    assert (trained / "sales" / "current").resolve() == current
