"""A student is drawn to its teacher's quantiles, through the one training loop."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from forecast.cli.app import run
from forecast.common.errors import UsageError
from forecast.common.resources import least_seconds
from forecast.config.schema import Settings
from forecast.data.forecast import Forecast
from forecast.data.panel import panel_to_arrow
from forecast.inference.predict import forecast_panel
from forecast.inference.tables import csv_bytes
from forecast.models.store import load_model, save_model
from forecast.training import learn as learning
from forecast.training.distillation import Teacher, drawn_to
from forecast.training.ensemble import MemberTask, _digest, train_members
from forecast.training.loop import fit
from forecast.training.selection import on_validation_origins
from forecast.transforms.windows import ahead, context, step_layout
from forecast.workflows.distill import _check, student_settings
from tests.builders import make_panel, random_forecaster, train_config
from tests.teaching import taught_here


def teacher_of(share: float = 0.5, members: int = 2) -> Teacher:
    forecaster = random_forecaster(members=members)
    return Teacher.of(forecaster.members, "lstm", share)


def test_a_teacher_keeps_its_members_apart():
    forecaster = random_forecaster(members=2)
    first, second = Teacher.of(forecaster.members, "lstm", 0.5).members()
    for kept, member in zip((first, second), forecaster.members, strict=True):
        assert kept.keys() == member.keys()
        assert all(np.array_equal(kept[name], member[name]) for name in member)


def test_the_distance_is_from_the_mean_of_the_members_in_units_of_errors():
    from forecast.models.networks.numpy_forward import forward, last_state
    from forecast.training.sampler import to_device
    from forecast.transforms.scaling import scale_panel
    from forecast.transforms.windows import Flat

    forecaster = random_forecaster(members=2)
    layout, panel = step_layout(12), make_panel((60, 50))
    scaled = scale_panel(panel.values, panel.offsets, lags=[1, 12, 24, 36], level_window=12)
    flat = Flat.of(scaled)
    series, end = np.arange(2), panel.lengths
    x = context(flat, layout, series, end, 24)
    decoder = ahead(flat, layout, series, end[None], 1)
    made = [
        forward(weights, layout, last_state(weights, x), decoder, len(forecaster.levels))
        for weights in forecaster.members
    ]
    wanted = np.abs(np.mean(made, 0)) / decoder.scale[:, :, None, None, None]

    tensors = to_device(flat, torch.device("cpu"))
    where = (torch.from_numpy(series), torch.from_numpy(end))
    inputs = (context(tensors, layout, *where, 24),)
    seen = ahead(tensors, layout, where[0], where[1][None], 1)
    loss = drawn_to(
        Teacher.of(forecaster.members, "lstm", 0.25), layout, 24, 11, torch.device("cpu")
    )
    nothing = torch.zeros(made[0].shape, requires_grad=True)
    found = loss(torch.tensor(2.0), nothing, inputs, torch.tensor([23]), seen)
    capped = np.where(wanted <= 20, wanted, 20 * (1 + np.log(np.maximum(wanted, 20) / 20)))
    assert found.item() == pytest.approx(0.75 * 2.0 + 0.25 * capped.mean(), rel=1e-4)
    found.backward()
    assert nothing.grad.abs().sum() > 0


def test_a_student_comes_nearer_to_its_teacher_than_one_that_has_none():
    panel, layout = make_panel((70, 66, 60)), step_layout(12)
    forecaster = random_forecaster(layout, horizon=6, hidden=6)
    wanted = forecast_panel(forecaster, panel, 6).quantiles
    config = train_config(
        steps=60, hidden_size=6, layers=1, dropout=0.0, context=24, learning_rate=0.01, seed=1
    )
    apart = {}
    for share in (None, 1.0):
        teacher = None if share is None else Teacher.of(forecaster.members, "lstm", share)
        fitted = fit(panel.values, panel.offsets, layout, config, teacher=teacher)
        student = replace(forecaster, members=(fitted.weights,))
        made = forecast_panel(student, panel, 6).quantiles
        apart[share] = np.abs(made - wanted).mean()
    assert apart[1.0] < 0.7 * apart[None]


def test_a_lesson_with_a_teacher_reaches_the_worker_and_is_told_from_one_without(tmp_path):
    """The worker learns, bit for bit, what a member learns here with that very teacher."""
    panel, layout = make_panel((50, 40)), step_layout(12)
    task = MemberTask(
        panel.values, panel.offsets, panel.lengths, np.empty((0, 2), np.int64), layout,
        train_config(steps=4, context=24), 0.0, 1.0, None,
    )  # fmt: skip
    weights = {}
    for name, teacher in (("alone", None), ("taught", teacher_of()), ("more", teacher_of(0.9))):
        (member,), _ = taught_here(
            replace(task, teacher=teacher), [1], tmp_path, 1, lambda number, event: None
        )
        weights[name] = member.final["out.weight"]
    (member,), _ = train_members(replace(task, teacher=teacher_of()), [1], tmp_path, 1)
    assert np.array_equal(member.final["out.weight"], weights["taught"])
    assert not np.array_equal(weights["alone"], weights["taught"])
    assert not np.array_equal(weights["taught"], weights["more"])
    digests = {_digest(replace(task, teacher=t), [1]) for t in (None, teacher_of(), None)}
    assert len(digests) == 2


def test_the_student_reads_as_its_teacher_and_is_smaller():
    teacher = random_forecaster(hidden=48, horizon=7)
    then = {"settings": {"data": {"season": 12}, "training": {"members": 5, "max_steps": 9}}}
    made = student_settings(Settings(), teacher, then, Path("runs/r/model"))
    assert (made.network.hidden_size, made.network.context) == (12, teacher.context)
    assert (made.forecast.horizon, made.data.season) == (7, 12)
    assert (made.training.members, made.training.from_scratch) == (1, True)
    assert made.training.max_steps is None
    given = Settings(network={"hidden_size": 8}, training={"members": 2, "seed": 5})
    made = student_settings(given, teacher, then, Path("runs/r/model"))
    assert (made.network.hidden_size, made.training.members, made.training.seed) == (8, 2, 5)


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"design": object()}, "covariates"), ({"likelihood": "student-t"}, "--likelihood")],
    ids=["covariates", "student-t"],
)
def test_what_cannot_be_a_teacher_is_refused(changes, word):
    with pytest.raises(UsageError) as caught:
        _check(replace(random_forecaster(), **changes))
    assert caught.value.code == "distill/no-teacher"
    assert caught.value.remedy == f"Distil a model trained without {word}"


def test_distill_leaves_a_model_that_predict_takes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(learning, "train_members", taught_here)
    monkeypatch.chdir(tmp_path)
    panel = make_panel((70, 60, 50))
    Path("data.csv").write_bytes(csv_bytes(panel_to_arrow(panel)))
    about = {"season": 12, "data": {"path": "data.csv"}, "settings": {}}
    save_model(Path("big/model"), random_forecaster(hidden=32), panel.frequency, about)
    words = ["distill", "big", "--root", ".", "--hidden", "8", "--layers", "1", "--max-steps", "6"]
    assert run([*words, "--out", "small", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    teacher, student = document["figures"]
    assert student["parameters"] < teacher["parameters"] / 2
    assert student["size"] == 4 * student["parameters"]
    assert {score["model"] for score in document["scores"]["models"]} == {"teacher", "student"}
    forecaster, manifest = load_model(Path("small/model"))
    assert len(forecaster.members[0]["norm.bias"]) == 8
    assert manifest["distilled"]["sha256"]
    assert manifest["scores"] == []
    assert (
        run(["predict", "--model", "small", "--root", ".", "--output", "out.csv", "--quiet"]) == 0
    )
    assert len(Path("out.csv").read_text().splitlines()) == 1 + 3 * 12
    assert run([*words, "--out", "again"]) == 0
    shown = capsys.readouterr().out
    assert "times fewer parameters; its MASE on the validation origins is" in shown


def test_validation_origins_score_every_forecaster_from_what_precedes_them():
    panel = make_panel((40, 30))
    seen: list[np.ndarray] = []

    def last(past):
        seen.append(past.lengths)
        point = np.repeat([[past.series(s)[-1]] for s in range(past.size)], 4, axis=1)
        source = np.array(["Last", "Other"], object)
        none = np.empty((past.size, 4, 0))
        return Forecast(
            "Last", past.lengths, point, np.empty(0), none, source, np.ones(past.size, bool)
        )

    validation = np.array([[30, 20], [34, -1]])
    scores = on_validation_origins(panel, validation, {"one": last}, 12)
    assert [lengths.tolist() for lengths in seen] == [[30, 20], [34, 30]]
    assert scores.score("one").series == 1, "a fallback is no forecast of its own"
    assert on_validation_origins(panel, np.full((1, 2), -1), {"one": last}, 12) is None


def test_the_quickest_call_counts():
    waits = iter([0.0, 0.03, 0.001, *[0.02] * 100])

    def call():
        import time

        time.sleep(next(waits))

    assert 0.001 <= least_seconds(call) < 0.02
