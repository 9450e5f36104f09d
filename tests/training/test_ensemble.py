"""What a training process says and cannot write: an error of the disk is told apart from a bug."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from safetensors import SafetensorError

from forecast.common.errors import OutputError, TrainingError
from forecast.training.ensemble import MemberTask, _say, train_members
from forecast.transforms.windows import step_layout
from tests.builders import make_panel, train_config


def task(**changes: object) -> MemberTask:
    panel = make_panel((40, 40))
    numbers = train_config(steps=2, **changes)
    validation = np.full((1, 2), 34)
    return MemberTask(
        panel.values, panel.offsets, panel.lengths, validation, step_layout(12), numbers, 0.0, 1.0
    )


@pytest.mark.parametrize("name", ["lesson.safetensors", "member-0-scored.safetensors"])
def test_what_cannot_be_written_is_an_output_error_in_the_parent_and_in_the_worker(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(OutputError) as error:
        train_members(task(), [1], tmp_path, 1)
    assert error.value.code == "output/cannot-write"
    assert error.value.where == str(tmp_path / name)


def test_a_full_disk_is_named_as_such(tmp_path, monkeypatch):
    def refused(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left (os error 28)")

    monkeypatch.setattr("safetensors.numpy.save_file", refused)
    with pytest.raises(OutputError) as error:
        train_members(task(), [1], tmp_path, 1)
    assert error.value.code == "output/disk-full"


def test_numbers_that_cannot_be_learnt_from_stay_a_training_error(tmp_path):
    with pytest.raises(TrainingError) as error:
        train_members(task(learning_rate=1e30, clip=1e30), [1], tmp_path, 1)
    assert error.value.code == "train/not-finite"


def test_a_training_process_leaves_nothing_among_the_temporary_files(tmp_path, monkeypatch):
    place, folder = tmp_path / "tmp", tmp_path / "members"
    place.mkdir()
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    members, _ = train_members(task(), [1], folder, 1)
    assert len(members) == 1
    assert not list(place.iterdir())
    assert not [path for path in folder.iterdir() if path.is_dir()]


def test_a_line_goes_to_the_parent_in_one_write(monkeypatch):
    class Unbuffered(io.RawIOBase):
        written: ClassVar[list[bytes]] = []

        def writable(self):
            return True

        def write(self, data):
            self.written.append(bytes(data))
            return len(data)

    pipe = io.TextIOWrapper(Unbuffered(), write_through=True)  # as PYTHONUNBUFFERED makes it
    monkeypatch.setattr("sys.stdout", pipe)
    _say({"step": 3})
    assert Unbuffered.written == [b'{"step": 3}\n']


@pytest.mark.parametrize("line", [b"\n", b'ep": 3}\n', b'{"step"'])
def test_a_line_that_ctrl_c_took_part_of_says_nothing(tmp_path, monkeypatch, line):
    heard = iter([b'{"step": 1}\n', line, b""])

    class Process:
        stdout = SimpleNamespace(readline=lambda: next(heard), fileno=lambda: 0, close=lambda: None)
        wait = kill = staticmethod(lambda: 0)

    class Selector:
        close = lambda self: None  # noqa: E731
        register = unregister = lambda self, *key: None
        select = lambda self, seconds: [(SimpleNamespace(data=0, fileobj=None), 0)]  # noqa: E731

    monkeypatch.setattr("forecast.training.ensemble._start", lambda *which: Process())
    monkeypatch.setattr("forecast.training.ensemble.selectors.DefaultSelector", Selector)
    told = []
    train_members(task(), [1], tmp_path, 1, lambda member, event: told.append(event))
    assert told == [{"step": 1}]
