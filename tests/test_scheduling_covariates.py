"""Jobs whose data have covariates, from the file to the published forecast."""

from __future__ import annotations

import csv
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from forecast.common.errors import InputError
from forecast.scheduling.config_file import load_config
from forecast.scheduling.run import run_job

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


def test_without_any_outlook_nothing_is_published_and_the_error_says_what_is_missing(trained):
    current = (trained / "sales" / "current").resolve()
    write(trained, ahead=0)
    with pytest.raises(InputError, match="covariate 'x' does not cover the horizon") as caught:
        run_job(job(trained), now=NOW)
    assert caught.value.code == "input/covariates-short"
    assert (trained / "sales" / "current").resolve() == current
