"""Every file that is read back, with every field wrong: an error that names it, never a bug.

Here a seeded sample of all that proof/hostile_files.py tries through the commands.
"""

from __future__ import annotations

import json
import random
import resource
import shutil

import numpy as np
import pytest

from forecast.common.documents import sealed
from forecast.common.errors import ForecastError, ModelDamagedError
from forecast.inference.predict import forecast_panel
from forecast.models.store import load_model, read_manifest
from forecast.reporting.finished_run import read_run
from forecast.scheduling.context import read_last
from forecast.scheduling.models import load_trained
from forecast.scheduling.publication import current_run
from forecast.scheduling.recovery import read_state, recover
from forecast.workflows.partitions.job import read_job
from forecast.workflows.partitions.worker import read_record
from tests import ROOT
from tests.builders import make_panel
from tests.hostile import flipped, hostile
from tests.scheduling.test_damage import Heard

HOUSE = ROOT / "tests" / "fixtures" / "first_house"
MOST_MEMORY = 1_000_000  # kB
PANEL = make_panel((60, 48))


@pytest.fixture
def house(tmp_path):
    """The fixture as this version would have written it."""
    shutil.copytree(HOUSE, tmp_path / "h", symlinks=True)
    for path in (tmp_path / "h").rglob("*.json"):
        if path.name in ("manifest.json", "about.json"):
            document = {**json.loads(path.read_text()), "schema_version": 2}
            path.write_text(json.dumps(sealed(document)))
    return tmp_path / "h"


def some(document, share, seed=5):
    """A seeded part of all hostile versions of a document."""
    draw = random.Random(seed)
    return [each for each in hostile(document) if draw.random() < share]


def written(path, document):
    path.write_text(json.dumps(sealed(document) if isinstance(document, dict) else document))


def refusals(path, share, use, codes=(12,)):
    """How many hostile versions of `path` were refused, with one of `codes`; others are used."""
    before, refused = path.read_bytes(), 0
    at_first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for what, document in some(json.loads(before), share):
        written(path, document)
        try:
            use()
        except ForecastError as error:
            assert error.exit_code in codes, (what, error)
            assert error.exit_code != 70, (what, error)
            refused += 1
        except Exception as error:
            raise AssertionError(f"{what}: {error!r}") from error
    path.write_bytes(before)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < at_first + MOST_MEMORY
    return refused


def forecast_with(folder):
    forecaster, _ = load_model(folder)
    made = forecast_panel(forecaster, PANEL, min(forecaster.horizon, 200))
    assert np.isfinite(made.point).all() and np.isfinite(made.quantiles).all()
    assert (np.diff(made.quantiles, axis=2) >= 0).all()


def test_a_model_s_manifest(house):
    model = house / "run" / "model"
    assert refusals(model / "manifest.json", 0.012, lambda: forecast_with(model)) > 30


def test_a_model_s_manifest_names_the_field(house):
    path = house / "run" / "model" / "manifest.json"
    document = json.loads(path.read_text())
    document["network"]["levels"][3] = 1.5
    written(path, document)
    with pytest.raises(ForecastError, match=r"wrong at network\.levels\[3\].*found 1\.5") as caught:
        read_manifest(path.parent)
    assert caught.value.exit_code == 12


def test_null_in_a_model_s_manifest_is_the_same_as_nothing(house, lstmcast):
    path = house / "run" / "model" / "manifest.json"
    document = json.loads(path.read_text())
    optional = ("shapes", "mixers", "parameters", "covariates")
    told = []
    for change in ({}, dict.fromkeys(optional)):
        named = {k: v for k, v in document["network"].items() if k not in optional}
        written(path, {**document, "network": named | change})
        told.append(lstmcast("inspect", str(house / "run")))
    assert told[0] == told[1] and told[0][0] == 0
    forecast_with(path.parent)


@pytest.mark.parametrize("wrong", [None, 5, "x", ["x"], {"id": 5}, {"time": [7]}])
def test_the_columns_that_a_model_was_trained_on_are_names(house, lstmcast, wrong):
    path = house / "run" / "model" / "manifest.json"
    document = json.loads(path.read_text())
    document["data"]["columns"] = wrong
    written(path, document)
    words = ("predict", str(house / "passengers.csv"), "--model", str(house / "run"))
    code, _, err = lstmcast(*words, "--output", "-")
    assert code == 12 and "data.columns" in err


@pytest.mark.parametrize("wrong", [None, 5, [None], [{}], [{"name": 5}]])
def test_status_does_without_what_was_chosen_for_a_model_where_it_is_damaged(
    house, lstmcast, wrong
):
    (path,) = (house / "job" / "models").glob("*/about.json")
    written(path, {**json.loads(path.read_text()), "chosen": wrong})
    code, out, _ = lstmcast("status", str(house / "batch.yaml"), "--json")
    assert code != 70 and "jobs" in json.loads(out)


def test_no_flipped_bit_of_a_manifest_is_taken(house):
    path = house / "run" / "model" / "manifest.json"
    whole, draw = path.read_bytes(), random.Random(1)
    plain = json.loads(whole)
    for _ in range(150):
        path.write_bytes(flipped(whole, draw))
        try:
            assert read_manifest(path.parent) == plain  # a space in place of another
        except ForecastError as error:
            assert error.exit_code == 12
    path.write_bytes(whole)


def test_what_a_finished_run_holds(house):
    run = house / "run"
    assert refusals(run / "metrics.json", 0.03, lambda: read_run(run)) > 25


def test_a_job_s_model(house):
    job = house / "job"
    name = next((job / "models").iterdir()).name
    about = job / "models" / name / "about.json"
    assert refusals(about, 0.04, lambda: load_trained(job, name), (10, 12)) > 15


def test_a_run_s_manifest_is_left_out_or_fits(house):
    """None of them stops anything, and what is left out is said."""
    job = house / "job"
    run = current_run(job)
    path = job / "runs" / run / "manifest.json"
    before, out = path.read_bytes(), 0
    for what, document in some(json.loads(before), 0.04):
        written(path, document)
        state = read_state(job)
        assert (run in state.forecasts) != bool(state.damaged), what
        out += run not in state.forecasts
        assert state.current is not None and state.next_sequence() > 1
    path.write_bytes(before)
    assert out > 60


@pytest.mark.parametrize("name", ["last.json", "rollbacks.json"])
def test_a_job_s_own_files_stop_nothing(house, name):
    job = house / "job"
    run = current_run(job)
    if name == "rollbacks.json":
        entry = {"at": "2026-01-01T00:00:00+00:00", "to": run, "withdrawn": [], "refused": []}
        (job / name).write_text(json.dumps({"schema_version": 1, "rollbacks": [entry]}))
    document = json.loads((job / name).read_text())
    for what, wrong in some(document, 0.08):
        (job / name).write_text(json.dumps(wrong))
        read_last(job)
        assert recover(job, Heard()).current.run == run, what


def test_a_forecast_in_parts(tmp_path):
    part = {"name": "a.csv", "place": "/data/a.csv", "query": None, "size": 100}
    layout = {"width": 1, "chunk": 24, "season": 12, "long": 0, "level_window": 12}
    job = {
        "schema_version": 2, "request": "a" * 64, "model": None,
        "network": {"layout": layout, "context": 24, "factors": [1.0] * 11},
        "data": {"target_col": "y"}, "forecast": {"horizon": 12}, "horizon": 12,
        "frequency": {"alias": "MS", "integer": False, "phase": 0, "stride": 1, "start": 0},
        "partitions": [part, {**part, "name": "b.csv"}],
    }  # fmt: skip
    written(tmp_path / "job.json", job)
    assert len(read_job(tmp_path).partitions) == 2

    def use():
        read_job(tmp_path).settings  # noqa: B018
        read_job(tmp_path).forecaster()

    assert refusals(tmp_path / "job.json", 0.15, use) > 60
    record = {
        "partition": 0, "name": "a.csv", "request": "a" * 64, "rows": 12, "series": 1,
        "fallbacks": 0, "skipped": 0, "bytes": 9, "sha256": "b" * 64, "span": ["x", "y"],
        "changed": 5, "seconds": 0.1, "cpu": 0.1, "host": "h",
    }  # fmt: skip
    written(tmp_path / "part-00000.json", record)
    assert read_record(tmp_path, 0).rows == 12
    for _, wrong in some(record, 0.5):
        written(tmp_path / "part-00000.json", wrong)
        found = read_record(tmp_path, 0)
        assert found is None or (found.partition == 0 and found.rows >= 0)


@pytest.mark.parametrize("kind", ["fifo", "endless", "sparse"])
def test_a_file_without_an_end_is_refused_at_once(house, kind):
    import os

    path = house / "run" / "model" / "weights.safetensors"
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(100 * 2**30)
    with pytest.raises(ForecastError) as caught:
        load_model(path.parent)
    assert caught.value.exit_code == 12


@pytest.mark.parametrize("field", ["views", "layout"])
def test_a_field_that_nobody_knows_is_named_where_fields_are_handed_on_by_name(house, field):
    path = house / "run" / "model" / "manifest.json"
    document = json.loads(path.read_text())
    network = document["network"]
    inner = network.setdefault("views", [{}])[0] if field == "views" else network[field]
    inner["mirroved"] = True
    written(path, document)
    with pytest.raises(ForecastError, match=r"mirroved: no field is called so") as caught:
        read_manifest(path.parent)
    assert caught.value.exit_code == 12


@pytest.mark.parametrize("wrong", ["../../etc/passwd", ["a"], [{}], {"code": "x"}, [{"code": 5}]])
def test_notes_of_the_data_in_a_manifest_that_are_none_are_told(house, wrong):
    path = house / "run" / "model" / "manifest.json"
    before = json.loads(path.read_text())
    path.write_text(json.dumps(sealed({**before, "data": {**before["data"], "repairs": wrong}})))
    with pytest.raises(ModelDamagedError, match="repairs"):
        read_manifest(path.parent)


def test_no_notes_of_the_data_are_the_same_as_null(house, lstmcast):
    path, told = house / "run" / "model" / "manifest.json", []
    before = json.loads(path.read_text())
    for notes in ([], None):
        written(path, {**before, "data": {**before["data"], "repairs": notes}})
        data, run = str(house / "passengers.csv"), str(house / "run")
        told.append(lstmcast("predict", data, "--model", run, "--output", "-", "--quiet")[:2])
    assert told[0] == told[1] and told[0][0] == 0
