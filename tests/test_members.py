"""What a training process cannot write is an error of the disk, told apart from a bug."""

from __future__ import annotations

import numpy as np
import pytest
from builders import make_panel, recipe_numbers
from safetensors import SafetensorError

from forecast.errors import OutputError, TrainingError
from forecast.members import Lesson, train_members
from forecast.windows import step_layout


def lesson(**changes: object) -> Lesson:
    panel = make_panel((40, 40))
    numbers = recipe_numbers(steps=2, **changes)
    validation = np.full((1, 2), 34)
    return Lesson(
        panel.values, panel.offsets, panel.lengths, validation, step_layout(12), numbers, 0.0, 1.0
    )


@pytest.mark.parametrize("name", ["lesson.safetensors", "member-0-scored.safetensors"])
def test_what_cannot_be_written_is_an_output_error_in_the_parent_and_in_the_worker(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(OutputError) as error:
        train_members(lesson(), [1], tmp_path, 1)
    assert error.value.code == "output/cannot-write"
    assert error.value.where == str(tmp_path / name)


def test_a_full_disk_is_named_as_such(tmp_path, monkeypatch):
    def refused(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left (os error 28)")

    monkeypatch.setattr("safetensors.numpy.save_file", refused)
    with pytest.raises(OutputError) as error:
        train_members(lesson(), [1], tmp_path, 1)
    assert error.value.code == "output/disk-full"


def test_numbers_that_cannot_be_learnt_from_stay_a_training_error(tmp_path):
    with pytest.raises(TrainingError) as error:
        train_members(lesson(learning_rate=1e30, clip=1e30), [1], tmp_path, 1)
    assert error.value.code == "train/not-finite"
