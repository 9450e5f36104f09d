"""What the first edition left behind goes on working: a run folder, and a job of two runs.

tests/fixtures/first_house was made by the code before its modules were moved: `train` and `predict`
on 72 months of passengers, and two scheduled runs, as of September and November 1954.
"""

from __future__ import annotations

import json
import shutil

import pytest

from forecast import load
from tests import ROOT

FIRST = ROOT / "tests" / "fixtures" / "first_house"


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A copy of all of it, as the working directory."""
    shutil.copytree(FIRST, tmp_path / "house", symlinks=True)
    monkeypatch.chdir(tmp_path / "house")
    return tmp_path / "house"


def test_a_model_of_the_first_edition_forecasts_the_same(house, lstmcast):
    code, out, _ = lstmcast(
        "predict", "passengers.csv", "--model", "run", "--output", "-", "--quiet"
    )
    assert code == 0
    assert out == (house / "predicted.csv").read_text()


def test_a_model_of_the_first_edition_loads_in_python(house):
    predicted = load(house / "run").predict(house / "passengers.csv")
    assert len(predicted) == 6


@pytest.mark.parametrize(
    "words",
    [
        ("inspect", "run"),
        ("report", "run", "--data", "passengers.csv"),
        ("plot", "run", "--data", "passengers.csv"),
    ],
)
def test_a_run_folder_of_the_first_edition_is_read(house, lstmcast, words):
    code, _, error = lstmcast(*words)
    assert code == 0, error


def test_a_job_of_the_first_edition_goes_on(house, lstmcast):
    code, _, error = lstmcast("status", "batch.yaml")
    assert code == 0, error
    code, _, error = lstmcast("run", "batch.yaml")
    assert code == 0, error
    names = sorted(path.name for path in (house / "job" / "runs").iterdir())
    assert (house / "job" / "current").resolve().name == names[-1]
    assert [name[:8] for name in names] == ["19540901", "19541101", "19541201"]


def test_a_job_of_the_first_edition_is_scored_and_rolled_back(house, lstmcast):
    code, out, error = lstmcast("score", "batch.yaml", "--json")
    assert json.loads(out)
    assert code == 0, error
    code, _, error = lstmcast("rollback", "batch.yaml")
    assert code == 0, error
    assert (house / "job" / "current").resolve().name.startswith("19540901")
