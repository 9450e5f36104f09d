from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from forecast.common.errors import ModelDamagedError
from forecast.training.checkpoint import Checkpoint
from forecast.training.ensemble import MemberTask, _digest, fit_member, keep_member, resumes
from forecast.training.loop import fit
from forecast.transforms.windows import step_layout
from tests import ROOT
from tests.builders import make_panel, train_config

PANEL = make_panel()
VALIDATION = (PANEL.lengths - 12)[None]
pytestmark = pytest.mark.usefixtures("one_thread")


def task(every=1e9, **changes):
    return MemberTask(
        changes.pop("values", PANEL.values),
        PANEL.offsets,
        PANEL.lengths - 6,
        VALIDATION,
        step_layout(12),
        train_config(**{"steps": 16, **changes}),
        0.3,
        0.3,
        None,
        checkpoint_every=every,
    )


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def after(calls):
    """True from the call number `calls` on."""
    count = iter(range(10**9))
    return lambda: next(count) >= calls


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return fit_member(task(None), 1, lambda: False, lambda event: None)


@pytest.mark.parametrize("calls", sorted(random.Random(0).sample(range(1, 22), 4)))
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(tmp_path, uninterrupted, calls):
    place = tmp_path / "member-0"
    fit_member(task(), 1, after(calls), lambda event: None, place)
    scored, final, _ = fit_member(task(), 1, lambda: False, lambda event: None, place)
    assert same(scored.weights, uninterrupted[0].weights)
    assert same(final, uninterrupted[1])
    assert (scored.best_step, scored.ended) == (uninterrupted[0].best_step, "steps")


@pytest.mark.parametrize("looks", range(4))
def test_a_stop_between_the_two_fits_leaves_neither_out(tmp_path, uninterrupted, looks):
    place, first = tmp_path / "member-0", tmp_path / "member-0-fit.safetensors"
    seen = []

    def stopping():
        seen.extend([1] * first.exists())
        return len(seen) > looks

    final = fit_member(task(), 1, stopping, lambda event: None, place)[1]
    assert first.exists()
    if final is None:
        final = fit_member(task(), 1, lambda: False, lambda event: None, place)[1]
    assert same(final, uninterrupted[1])


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_being_stopped_again_and_again_changes_nothing(tmp_path, schedule):
    config = train_config(steps=20, schedule=schedule, patience=3, seed=5)
    words = (PANEL.values, PANEL.offsets, step_layout(12), config)
    once = fit(*words, validation=VALIDATION)
    path = tmp_path / "fit.checkpoint"
    for _ in range(30):
        parts = fit(
            *words, validation=VALIDATION, interrupted=after(11), checkpoint=Checkpoint(path, 1e9)
        )
        if parts.ended != "interrupted":
            break
    assert same(parts.weights, once.weights)
    assert (parts.ended, parts.best_step, parts.best_loss) == (
        once.ended,
        once.best_step,
        once.best_loss,
    )


def test_saving_on_the_way_changes_nothing(tmp_path, uninterrupted):
    scored, final, _ = fit_member(
        task(0.0), 1, lambda: False, lambda e: None, tmp_path / "member-0"
    )
    assert same(scored.weights, uninterrupted[0].weights)
    assert same(final, uninterrupted[1])


def test_a_checkpoint_of_other_data_or_settings_is_refused(tmp_path):
    folder = tmp_path / "training"
    assert resumes(task(), [1], folder) == "new"
    fit_member(task(), 1, after(5), lambda event: None, folder / "member-0")
    assert resumes(task(5.0, seconds=9.0), [1], folder) == "resumed"
    assert (folder / "member-0-fit.checkpoint").exists()
    values = PANEL.values.copy()
    values[0] += 1
    for other, seeds in (
        (task(values=values), [1]),
        (task(hidden_size=12), [1]),
        (task(), [2]),
    ):
        assert resumes(other, seeds, folder) == "refused"
        assert not (folder / "member-0-fit.checkpoint").exists()
        assert _digest(other, seeds) == (folder / "lesson.sha256").read_text()


def test_a_damaged_checkpoint_is_an_error_that_says_what_to_do(tmp_path):
    place = tmp_path / "member-0"
    fit_member(task(), 1, after(5), lambda event: None, place)
    path = tmp_path / "member-0-fit.checkpoint"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelDamagedError, match="Remove its folder"):
        fit_member(task(), 1, lambda: False, lambda event: None, place)


def test_what_is_damaged_of_an_unfinished_training_starts_anew(tmp_path, uninterrupted):
    folder = tmp_path / "kept"
    place = folder / "member-0"
    resumes(task(), [1], folder)
    fit_member(task(), 1, after(5), lambda event: None, place)
    path = folder / "member-0-fit.checkpoint"
    whole = path.read_bytes()
    draw = random.Random(3)
    for _ in range(40):  # a flipped weight is as wrong as a flipped header
        blob = bytearray(whole)
        blob[draw.randrange(len(blob))] ^= 1 << draw.randrange(8)
        path.write_bytes(blob)
        assert resumes(task(), [1], folder) == "damaged"
        assert not path.exists()
    scored, final, device = fit_member(task(), 1, lambda: False, lambda event: None, place)
    assert same(scored.weights, uninterrupted[0].weights)
    keep_member(folder, 0, scored, final, device)
    assert resumes(task(), [1], folder) == "resumed"
    for name in ("member-0-scored.safetensors", "member-0.json", "member-0-fit.safetensors"):
        keep_member(folder, 0, scored, final, device)
        blob = bytearray((folder / name).read_bytes())
        blob[len(blob) // 2] ^= 1
        (folder / name).write_bytes(blob)
        assert resumes(task(), [1], folder) == "damaged"
    assert not (folder / "member-0-fit.safetensors").exists()


WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.training.test_checkpoint import task
from forecast.training.ensemble import resumes, train_members
folder = Path(sys.argv[1])
resumes(task(0.0), [1], folder)
train_members(task(0.0), [1], folder, 1, lambda m, e: print("on", flush=True))
"""


def wait_until_gone(word: str) -> None:
    """Until no process has `word` in its command line."""
    for _attempt in range(300):
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
        if word not in listed:
            return
        time.sleep(0.1)
    raise AssertionError(listed)


def test_a_member_goes_on_after_its_parent_was_killed(tmp_path, uninterrupted):
    folder = tmp_path / "kept"
    parent = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder), str(ROOT)], stdout=subprocess.PIPE, cwd=ROOT
    )
    parent.stdout.readline()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until_gone(str(folder))  # its worker notices within a step
    assert resumes(task(0.0), [1], folder) == "resumed"
    assert list(folder.glob("member-0*"))
    scored, final, _ = fit_member(task(), 1, lambda: False, lambda e: None, folder / "member-0")
    assert same(scored.weights, uninterrupted[0].weights)
    assert same(final, uninterrupted[1])
