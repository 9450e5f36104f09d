from __future__ import annotations

import json
import os
import shutil
import struct

import numpy as np
import pytest

from forecast.common.documents import sealed
from forecast.common.errors import ModelDamagedError, ModelNotFoundError
from forecast.data.frequency import Frequency
from forecast.inference.predict import forecast_panel
from forecast.models.store import (
    MANIFEST,
    WEIGHTS,
    describe,
    frequency_of,
    load_model,
    newest_model,
    save_model,
)
from tests.builders import make_panel, random_forecaster


@pytest.fixture
def folder(tmp_path):
    save_model(
        tmp_path / "run" / "model", random_forecaster(members=2), Frequency("MS"), {"note": "ü"}
    )
    return tmp_path / "run" / "model"


def edit(folder, **changes):
    path = folder / MANIFEST
    path.write_text(json.dumps(sealed({**json.loads(path.read_text()), **changes})))


def test_a_saved_model_forecasts_bit_for_bit_the_same(folder):
    loaded, manifest = load_model(folder)
    panel = make_panel()
    one = forecast_panel(random_forecaster(members=2), panel, 12).quantiles
    assert np.array_equal(one, forecast_panel(loaded, panel, 12).quantiles)
    assert frequency_of(manifest) == Frequency("MS")


def test_a_run_folder_and_its_model_folder_describe_the_same(folder):
    assert describe(folder) == describe(folder.parent)
    assert describe(folder)["note"] == "ü"


def test_the_model_of_a_file_whose_name_is_not_utf8_is_read_back(tmp_path):
    about = {"data": {"path": os.fsdecode(b"/in/\xff.csv"), "source": os.fsdecode(b"\xff.csv")}}
    save_model(tmp_path / "model", random_forecaster(), Frequency("MS"), about)
    assert load_model(tmp_path / "model")[1]["data"]["path"] == about["data"]["path"]


def test_a_folder_without_a_model_is_not_found(tmp_path):
    with pytest.raises(ModelNotFoundError, match="lstmcast train") as caught:
        load_model(tmp_path)
    assert caught.value.exit_code == 10


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_cut_off_weights_are_damaged(folder, cut):
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ModelDamagedError, match="checksum") as caught:
        load_model(folder)
    assert caught.value.exit_code == 12


def test_one_flipped_bit_is_noticed(folder):
    path = folder / WEIGHTS
    blob = bytearray(path.read_bytes())
    blob[-20] ^= 1
    path.write_bytes(blob)
    with pytest.raises(ModelDamagedError, match="checksum"):
        load_model(folder)


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\xff" * 100,
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 13) + b'{"a":{"b":1}}',
        struct.pack("<Q", 2) + b"{}",
    ],
)
def test_hostile_weights_with_a_right_checksum_are_refused_before_they_are_read(folder, blob):
    import hashlib

    (folder / WEIGHTS).write_bytes(blob)
    edit(folder, weights_sha256=hashlib.sha256(blob).hexdigest())
    with pytest.raises(ModelDamagedError):
        load_model(folder)


@pytest.mark.parametrize("change", [{"network": {}}, {"frequency": 3}, {"network": {"layout": 1}}])
def test_a_manifest_that_does_not_fit_is_damaged(folder, change):
    edit(folder, **change)
    with pytest.raises(ModelDamagedError):
        load_model(folder)


def test_a_horizon_that_is_no_number_is_a_damaged_manifest(folder):
    network = json.loads((folder / MANIFEST).read_text())["network"]
    edit(folder, network={**network, "horizon": "far"})
    with pytest.raises(ModelDamagedError, match=r"network\.horizon"):
        load_model(folder)


def test_an_ensemble_of_no_member_is_a_damaged_manifest(folder):
    network = json.loads((folder / MANIFEST).read_text())["network"]
    edit(folder, network={**network, "members": 0, "shapes": []})
    with pytest.raises(ModelDamagedError, match="members"):
        load_model(folder)


def test_a_network_of_another_size_than_the_weights_is_refused(folder):
    manifest = json.loads((folder / MANIFEST).read_text())
    network = manifest["network"]
    network["hidden_size"] = 16
    network["shapes"] = [[16, layers] for _, layers in network["shapes"]]
    edit(folder, network=network)
    with pytest.raises(ModelDamagedError, match="tensors of its manifest"):
        load_model(folder)


def test_a_model_of_a_later_version_is_incompatible(folder):
    edit(folder, schema_version=99)
    with pytest.raises(ModelDamagedError, match="another version") as caught:
        load_model(folder)
    assert caught.value.code == "model/incompatible"


def test_the_newest_finished_run_is_found_and_unfinished_ones_are_not(folder, tmp_path):
    second = tmp_path / "later"
    shutil.copytree(folder.parent, second)
    os.utime(second / "model" / MANIFEST, ns=(2**62, 2**62))
    shutil.copytree(second, tmp_path / ".writing-x")
    os.utime(tmp_path / ".writing-x" / "model" / MANIFEST, ns=(2**62 + 9, 2**62 + 9))
    assert newest_model(tmp_path) == second / "model"


def test_no_run_at_all_says_how_to_train_one(tmp_path):
    with pytest.raises(ModelNotFoundError, match="lstmcast train DATA"):
        newest_model(tmp_path / "runs")
