from __future__ import annotations

import errno
import os

import pytest

from forecast.common import files
from forecast.common.errors import OutputError
from forecast.common.files import whole_folder, write_bytes


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "a" / "x.csv"
    write_bytes(path, b"one")
    write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert names(path.parent) == ["x.csv"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, call):
    path = tmp_path / "x.csv"
    write_bytes(path, b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, call, full)
    with pytest.raises(OutputError, match="No space left") as caught:
        write_bytes(path, b"new")
    assert caught.value.exit_code == 74
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x.csv"]


@pytest.mark.parametrize("swap", [True, False])
def test_a_folder_takes_the_place_of_the_old_one(tmp_path, monkeypatch, swap):
    if not swap:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    for text in ("one", "two"):
        with whole_folder(tmp_path / "run") as staging:
            (staging / "x").write_text(text)
            assert staging.parent == tmp_path
    assert (tmp_path / "run" / "x").read_text() == "two"
    assert names(tmp_path) == ["run"]


def test_a_failure_half_way_leaves_the_old_folder_and_no_litter(tmp_path):
    with whole_folder(tmp_path / "run") as staging:
        (staging / "x").write_text("old")
    with pytest.raises(ValueError), whole_folder(tmp_path / "run") as staging:
        (staging / "x").write_text("new")
        raise ValueError
    assert (tmp_path / "run" / "x").read_text() == "old"
    assert names(tmp_path) == ["run"]


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as caught, whole_folder(tmp_path / "file" / "run"):
        pass
    assert caught.value.message.startswith("cannot write: ")
    assert "--" not in caught.value.remedy  # predict, plot and train name their output differently
