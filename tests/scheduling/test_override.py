"""Overrides of published forecasts, their stability, and who made them better."""

from __future__ import annotations

import csv
import json
import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from openpyxl import Workbook

from forecast.cli.commands.score import about_planning
from forecast.common.errors import InputError, UsageError
from forecast.common.progress import Silent
from forecast.data.frequency import Frequency
from forecast.data.panel import Panel
from forecast.reporting.html.live_page import render_live_page
from forecast.scheduling.override import OVERRIDES, override_job
from forecast.scheduling.recovery import read_state
from forecast.scheduling.retention import prune_job
from forecast.scheduling.rollback import roll_back
from forecast.scheduling.run import run_job
from forecast.scheduling.score import score_job
from forecast.scheduling.value_added import _Run, stability, value_added
from tests.scheduling.test_run import NOW, VALUES, cutoffs, data, job, rows

NAMES = ("a", "b", "c")


def numbers(folder, text: str) -> str:
    (folder / "ours.csv").write_text(text)
    return str(folder / "ours.csv")


def overridden(folder, text: str, by: str = "Ann", reason: str = "fair", moment=NOW):
    return override_job(
        job(folder), numbers(folder, text), Silent(), by=by, reason=reason, moment=moment
    )


def test_a_planners_numbers_are_published_beside_the_models_with_who_and_why(tmp_path):
    data(tmp_path)
    run_job(job(tmp_path), now=NOW)
    before = rows(tmp_path)
    first = (tmp_path / "out" / "current").resolve()
    content = (first / "predictions.csv").read_bytes()
    made = overridden(tmp_path, "unique_id,ds,value\nb,2024-03-01,500\nb,2024-03-02,\n")
    assert (made.steps, made.run != made.before) == (1, True)
    after = rows(tmp_path)
    changed = [(b, a) for b, a in zip(before, after, strict=True) if b["LSTM"] != a["LSTM"]]
    ((was, now_),) = changed
    assert (now_["unique_id"], now_["ds"], now_["LSTM"]) == ("b", "2024-03-01", "500")
    assert now_["model"] == was["LSTM"] and now_["LSTM-lo-80"] == was["LSTM-lo-80"]
    assert (now_["override_by"], now_["override_reason"]) == ("Ann", "fair")
    assert all(row["model"] == row["LSTM"] for row in after if row is not now_)
    # nothing of what was published before has changed, and the ledger has the model's numbers
    assert (first / "predictions.csv").read_bytes() == content and len(cutoffs(tmp_path)) == 1
    manifest = json.loads((tmp_path / "out" / "current" / "manifest.json").read_text())
    assert manifest["override"] == {"by": "Ann", "reason": "fair", "of": made.before, "steps": 1}
    assert made.total_after - made.total_before == pytest.approx(500 - float(was["LSTM"]))


def test_a_second_override_keeps_the_first_and_a_rollback_takes_it_back(tmp_path):
    data(tmp_path)
    run_job(job(tmp_path), now=NOW)
    overridden(tmp_path, "unique_id,ds,value\nb,2024-03-01,500\n")
    model = next(r["model"] for r in rows(tmp_path) if (r["unique_id"], r["ds"]) == (
        "b", "2024-03-01"))  # fmt: skip
    overridden(tmp_path, "unique_id,ds,value\na,2024-03-01,7\nb,2024-03-01,600\n", "Bob", "recount")
    with open(tmp_path / "out" / "current" / OVERRIDES, newline="") as file:
        found = {(r["unique_id"], r["override"], r["by"]): r for r in csv.DictReader(file)}
    assert set(found) == {("a", "7", "Bob"), ("b", "600", "Bob")}
    assert found["b", "600", "Bob"]["model"] == model  # not Ann's
    roll_back(job(tmp_path), Silent(), moment=NOW)
    assert {r["LSTM"] for r in rows(tmp_path) if r["override_by"]} == {"500"}


def test_the_next_run_of_the_same_data_leaves_the_override_and_new_data_end_it(tmp_path):
    data(tmp_path)
    run_job(job(tmp_path), now=NOW)
    made = overridden(tmp_path, "unique_id,ds,value\nb,2024-03-01,500\n")
    again = run_job(job(tmp_path), now=NOW)
    assert again.outcome == "already done"
    assert read_state(tmp_path / "out").current.run == made.run


def test_of_a_forecast_that_is_handed_back_only_the_changed_steps_are_overridden(tmp_path):
    data(tmp_path)
    run_job(job(tmp_path), now=NOW)
    overridden(tmp_path, "unique_id,ds,value\nb,2024-03-01,500\n")
    handed_out = (tmp_path / "out" / "current" / "predictions.csv").read_text()
    lines = [",".join(line.split(",")[:3]) for line in handed_out.replace('"', "").splitlines()]
    nothing = overridden(tmp_path, "\n".join(lines), "Bob")
    assert (nothing.steps, nothing.run) == (0, nothing.before)
    assert (tmp_path / "out" / "current" / "predictions.csv").read_text() == handed_out
    assert lines[1].startswith("a,2024-02-29,")
    lines[1] = "a,2024-02-29,7"
    made = overridden(tmp_path, "\n".join(lines), "Bob", "recount")
    assert made.steps == 1
    by = {(r["unique_id"], r["LSTM"]): r["override_by"] for r in rows(tmp_path) if r["override_by"]}
    assert by == {("a", "7"): "Bob", ("b", "500"): "Ann"}  # Ann's is still hers


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("unique_id;ds;value\nb;2024-03-01;1.250\n", "input/point-or-group"),
        ("unique_id,ds,value\nb,2031-01-01,5\n", "input/override-step"),
        ("unique_id,ds,value\nnobody,2024-03-01,5\n", "input/override-step"),
        ("unique_id,ds,value\nb,2024-03-01,5\nb,2024-03-01,6\n", "input/override-step"),
        ("unique_id,ds,value\nb,2024-03-01,many\n", "input/override-number"),
        ("unique_id,ds,value\nb,2024-03-01,inf\n", "input/override-number"),
        ("ds,value\n2024-03-01,5\n", "input/override-columns"),
        ("unique_id,ds,value\nb,2024-03-01,\n", "input/override-empty"),
    ],
)
def test_what_overrides_nothing_that_is_forecast_is_refused_and_changes_nothing(
    published, text, code
):
    before = read_state(published / "out").current.run
    with pytest.raises(InputError) as caught:
        overridden(published, text)
    assert caught.value.code == code
    assert read_state(published / "out").current.run == before


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A job that ran once."""
    folder = tmp_path_factory.mktemp("job")
    data(folder)
    run_job(job(folder), now=NOW)
    return folder


def test_an_override_is_signed_and_needs_something_published(published, tmp_path):
    with pytest.raises(UsageError, match="who made it, and why"):
        overridden(published, "unique_id,ds,value\nb,2024-03-01,5\n", by=" ")
    data(tmp_path)
    with pytest.raises(UsageError, match="no published forecast"):
        overridden(tmp_path, "unique_id,ds,value\nb,2024-03-01,5\n")


# --- stability and value added, by hand ----------------------------------------------------------


def runs() -> list[_Run]:
    """Three daily runs of one series, two steps each: cutoffs 9, 10, 11."""
    points = ([[10.0, 20.0]], [[22.0, 30.0]], [[24.0, 40.0]])
    return [
        _Run(f"r{k}", 9 + k, 2, 1, np.array([5]), np.array(point)) for k, point in enumerate(points)
    ]


def test_stability_is_the_mean_change_over_the_mean_level_by_age():
    # position 11: 20 -> 22; position 12: 30 -> 24; both one step ahead of the later run
    found = stability(runs())
    assert found["pairs"] == 2
    assert found["change"] == pytest.approx((2 + 6) / (22 + 24))
    assert found["by_age"] == {"1": pytest.approx(8 / 46)}
    same = [replace(run, point=np.array([[3.0, 3.0]])) for run in runs()]
    assert stability(same)["change"] == 0
    assert stability(runs()[:1]) == {}


def test_value_added_by_model_and_planner_by_hand():
    values = np.array([8.0, 9, 8, 9, 8, 9, 8, 9, 8, 10, 12, 18, 30, np.nan])
    panel = Panel(
        np.array(["x"], dtype=object), np.array([0, 14]), values, np.array([0]), Frequency("D")
    )
    given = {10: {("x", "1970-01-12"): (19.0, "Ann"), ("x", "1970-01-13"): (31.0, "Ann")}}
    found = value_added(runs(), {5: "x"}, given, panel)
    # rows (position): 10, 11 of the first run; 11, 12 of the second; 12 of the third (13 unknown)
    naive = [abs(10 - 12), abs(10 - 18), abs(12 - 18), abs(12 - 30), abs(18 - 30)]
    model = [abs(10 - 12), abs(20 - 18), abs(22 - 18), abs(30 - 30), abs(24 - 30)]
    final = [abs(10 - 12), abs(20 - 18), abs(19 - 18), abs(31 - 30), abs(24 - 30)]
    every = found["all"]
    assert every["count"] == 5
    assert every["mae_naive"] == pytest.approx(np.mean(naive))
    assert every["mae_model"] == pytest.approx(np.mean(model))
    assert every["mae_override"] == pytest.approx(np.mean(final))
    assert every["added_by_model"] == pytest.approx(np.mean(naive) - np.mean(model))
    assert found["by"]["Ann"]["count"] == 2
    assert found["by"]["Ann"]["added_by_override"] == pytest.approx((4 + 0) / 2 - (1 + 1) / 2)
    assert found["series"]["x"] == every
    assert every["judged"] == "mae" and "rmse_model" not in every


def test_an_override_of_means_is_judged_by_squared_errors():
    """Lumpy demand of 2 a day in the mean: zero is nearer to most days, and worth nothing."""
    values = np.tile([0.0, 0.0, 0.0, 0.0, 10.0], 4)
    panel = Panel(
        np.array(["x"], dtype=object), np.array([0, 20]), values, np.array([0]), Frequency("D")
    )
    days = [f"1970-01-{day:02d}" for day in range(16, 21)]
    given = {14: {("x", day): (0.0, "Ann") for day in days}}
    run = _Run("r", 14, 5, 5, np.array([5]), np.full((1, 5), 2.0), "mean")
    told = value_added([run], {5: "x"}, given, panel)
    every = told["all"]
    assert every["judged"] == "rmse" and every["mae_override"] < every["mae_model"]
    assert (every["rmse_model"], every["rmse_override"]) == pytest.approx((4.0, 20**0.5))
    assert every["added_by_override"] < 0 and told["by"]["Ann"]["added_by_override"] < 0
    medians = replace(run, kind="median")
    assert value_added([medians], {5: "x"}, given, panel)["all"]["added_by_override"] > 0
    lines = about_planning({"value_added": told, "other_runs": 3})
    assert "3 of the runs, which published another point" in lines[0]
    assert "RMSE" in lines[1] and lines[2].startswith("Overrides by Ann: worse")
    page = render_live_page("t", [{"job": "sales", "value_added": told, "other_runs": 3}])
    assert "Root of the mean squared error on the way" in page
    assert page_cells(page)["with overrides"][0] == f"{20**0.5:.3f}"


def test_ten_days_of_runs_and_an_override_are_told_by_score(tmp_path, lstmcast, monkeypatch):
    for day in range(4):
        data(tmp_path, until=100 + day)
        moment = NOW - timedelta(days=20 - day)
        run_job(job(tmp_path), now=moment)
        if day == 1:
            when = rows(tmp_path)[0]["ds"]
            truth = VALUES[0][101]
            overridden(tmp_path, f"unique_id,ds,value\na,{when},{truth}\n", moment=moment)
    facts = score_job(job(tmp_path), Silent(), now=NOW - timedelta(days=16))
    told = facts.planning
    assert told["stability"]["change"] >= 0 and set(told["stability"]["by_age"]) == {
        str(step) for step in range(1, 7)
    }
    assert told["value_added"]["by"]["Ann"]["mae_override"] == pytest.approx(0, abs=1e-9)
    assert told["value_added"]["all"]["added_by_override"] > 0
    monkeypatch.setattr("forecast.scheduling.clock.now", lambda: NOW - timedelta(days=16))
    code, out, err = lstmcast("score", str(tmp_path / "batch.yaml"))
    assert code == 0, err
    text = " ".join(out.split())
    page = tmp_path / "page.html"
    assert lstmcast("score", str(tmp_path / "batch.yaml"), "--report", str(page))[0] == 0
    assert page_cells(page.read_text())["Ann"][0] == "1"
    page.write_text("notes")  # the advice of the refusal is one that the command takes
    assert "--force" in lstmcast("score", str(tmp_path / "batch.yaml"), "--report", str(page))[2]
    words = ("score", str(tmp_path / "batch.yaml"), "--report", str(page), "--force")
    assert lstmcast(*words)[0] == 0 and page_cells(page.read_text())["Ann"][0] == "1"
    assert "Stability: from one run to the next" in text and "Overrides by Ann: better on 1" in text


def test_the_command_publishes_and_says_what_changed(published, lstmcast):
    config = str(published / "batch.yaml")
    file = numbers(published, "unique_id,ds,value\nc,2024-03-01,77\n")
    code, out, err = lstmcast("override", config, file, "--by", "Ann", "--reason", "fair")
    assert code == 0, err
    assert "sales: 1 steps overridden; the sum of all goes from" in " ".join(out.split())
    code, _, err = lstmcast("override", config, file, "--by", "Ann")
    assert code == 2


# --- weeks of daily runs -------------------------------------------------------------------------


def run_daily(folder, runs_made: int):
    """Published points by day and series, what planners wrote, and when the last run was: Ann knows
    what comes, Bob doubles it, each once a week."""
    points, wrote, moment = {}, [], NOW
    for day in range(runs_made):
        known = 50 + day
        data(folder, until=known)
        moment = datetime(2023, 11, 1, 12, tzinfo=UTC) + timedelta(days=known)
        run_job(job(folder), now=moment)
        published = rows(folder)
        for name in NAMES:
            points[day, name] = [float(r["LSTM"]) for r in published if r["unique_id"] == name]
        when = [row["ds"] for row in published if row["unique_id"] == "a"]
        by, name, times = {0: ("Ann", "a", 1.0), 3: ("Bob", "b", 2.0)}.get(day % 7, ("", "a", 0.0))
        if by and known + 1 < 120:
            numbers_ = [times * VALUES[NAMES.index(name)][known + step] for step in (0, 1)]
            wrote += [(by, day, name, step, number) for step, number in enumerate(numbers_)]
            lines = [f"{name},{when[step]},{number}" for step, number in enumerate(numbers_)]
            overridden(folder, "unique_id,ds,value\n" + "\n".join(lines), by, moment=moment)
    return points, wrote, moment


def stability_by_hand(points, runs_made: int):
    """Mean change over mean level by age, and in all; six steps of a run were forecast before."""
    moves, sizes = {k: [] for k in range(1, 7)}, {k: [] for k in range(1, 7)}
    for (day, name), own in points.items():
        for step in range(6 if day else 0):
            moves[step + 1].append(abs(own[step] - points[day - 1, name][step + 1]))
            sizes[step + 1].append(abs(own[step]))
    by_age = {str(step): sum(moves[step]) / sum(sizes[step]) for step in moves}
    return by_age, sum(map(sum, moves.values())) / sum(map(sum, sizes.values()))


def moves_by_hand(points, runs_made: int) -> list[float]:
    """Mean change over mean level of each run but the first."""
    found = []
    for day in range(1, runs_made):
        now = np.array([points[day, name][:6] for name in NAMES])
        then = np.array([points[day - 1, name][1:] for name in NAMES])
        found.append(np.abs(now - then).sum() / np.abs(now).sum())
    return found


def errors_by_hand(points, runs_made: int) -> list[float]:
    """Absolute errors of what has come true: 49 + runs_made values are known."""
    return [
        abs(own[step] - VALUES[NAMES.index(name)][50 + day + step])
        for (day, name), own in points.items()
        for step in range(min(7, runs_made - 1 - day))
    ]


def test_weeks_of_daily_runs_and_overrides_by_hand(tmp_path):
    """Every figure that `score` tells is made anew from the published tables and the data alone.
    LSTMCAST_TEN_WEEKS=1 takes 70 runs; retention keeps 31 days."""
    runs_made = 70 if os.environ.get("LSTMCAST_TEN_WEEKS") else 12
    more = (
        "    retention: {keep_last: 2, keep_daily: 2, keep_weekly: 1}\n" if runs_made < 70 else ""
    )
    points, wrote, moment = run_daily(tmp_path, runs_made)
    prune_job(job(tmp_path, more), Silent())  # runs are let go, but for those with an override
    facts = score_job(job(tmp_path, more), Silent(), now=moment)
    told = facts.planning

    by_age, change = stability_by_hand(points, runs_made)
    assert told["stability"]["pairs"] == (runs_made - 1) * 3 * 6
    assert told["stability"]["by_age"] == pytest.approx(by_age, rel=1e-6)
    assert told["stability"]["change"] == pytest.approx(change, rel=1e-6)
    moved = [each["change"] for each in told["stability"]["by_run"]]
    assert moved == pytest.approx(moves_by_hand(points, runs_made), rel=1e-6)

    final = {key: list(own) for key, own in points.items()}
    for _, day, name, step, number in wrote:
        final[day, name][step] = number
    every, by = told["value_added"]["all"], told["value_added"]["by"]
    assert every["count"] == len(errors_by_hand(points, runs_made))
    model, override = (np.mean(errors_by_hand(each, runs_made)) for each in (points, final))
    assert every["mae_model"] == pytest.approx(model, rel=1e-6)
    assert every["mae_override"] == pytest.approx(override, rel=1e-6)
    assert by["Ann"]["mae_override"] == pytest.approx(0, abs=1e-9)
    known = [w for w in wrote if w[0] == "Bob" and w[1] + w[3] < runs_made - 1]
    assert by["Bob"]["count"] == len(known)
    assert by["Bob"]["mae_override"] == pytest.approx(np.mean([w[4] / 2 for w in known]), rel=1e-6)
    assert by["Ann"]["added_by_override"] > 0 > by["Bob"]["added_by_override"]

    cells = page_cells(render_live_page("t", [{"job": "sales", **facts.scores_document()}]))
    assert cells["the model"][0] == f"{model:.3f}"
    assert cells["with overrides"][0] == f"{override:.3f}"
    share = 100 * (override / model - 1)
    assert cells["with overrides"][2] == f"{share:+,.1f}%".replace("-", "\u2212")
    assert cells["Bob"][0] == str(len(known))
    assert cells["Ann"][2:] == ["0", "\u2212100.0%"]
    assert f"{100 * change:.1f}%" in cells["tiles"]


def page_cells(page: str) -> dict[str, list[str]]:
    """Figures of the page's tables by the name of their row, and those of the tiles."""
    rows = re.findall(r'<th scope="row"[^>]*>(.*?)</th>(.*?)</tr>', page, re.DOTALL)
    found = {name: re.findall(r"<td[^>]*>(.*?)</td>", cells) for name, cells in rows}
    return {**found, "tiles": re.findall(r'class="figure">(.*?)<', page)}


def test_of_overrides_nothing_is_told_where_nobody_made_any():
    every = {"judged": "mae", "count": 48, "mae_naive": 281.8, "mae_model": 133.8,
             "added_by_model": 148.0, "mae_override": 133.8, "added_by_override": 0.0}  # fmt: skip
    (line,) = about_planning({"value_added": {"all": every, "by": {}}})
    assert line.endswith("model 133.8 (-148).")
    ann = {"judged": "mae", "count": 10, "mae_model": 3.0, "mae_override": 2.4,
           "added_by_override": 0.6}  # fmt: skip
    both = about_planning({"value_added": {"all": every, "by": {"Ann": ann}}})
    assert "with overrides" in both[0] and "Ann: better" in both[1]


def test_a_planners_table_may_write_numbers_and_dates_as_his_program_does(tmp_path):
    data(tmp_path)
    run_job(job(tmp_path), now=NOW)
    overridden(tmp_path, "unique_id;ds;value\nb;01.03.2024;1.250,5\na;01.03.2024;7\n")
    assert {r["unique_id"]: r["LSTM"] for r in rows(tmp_path) if r["override_by"]} == {
        "a": "7", "b": "1250.5"}  # fmt: skip
    book = Workbook()
    book.active.append(["unique_id", "ds", "value"])
    book.active.append(["b", datetime(2024, 3, 1), 600])
    book.save(tmp_path / "ours.xlsx")
    override_job(
        job(tmp_path), str(tmp_path / "ours.xlsx"), Silent(), by="Bob", reason="fair", moment=NOW
    )
    assert {r["LSTM"] for r in rows(tmp_path) if r["override_by"] == "Bob"} == {"600"}
    with pytest.raises(InputError, match="not forecast"):  # another day, in another form
        overridden(tmp_path, "unique_id;ds;value\nb;02.03.2034;5\n")
