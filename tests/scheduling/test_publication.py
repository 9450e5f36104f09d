from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from forecast.common.errors import OutputError
from forecast.common.folders import whole_folder
from forecast.common.marks import JOB_MODEL
from forecast.common.progress import Silent
from forecast.scheduling.config import Retention
from forecast.scheduling.config_file import load_config
from forecast.scheduling.publication import (
    PublishedForecast,
    current_run,
    is_intact,
    point_at,
    read_published,
    write_published,
)
from forecast.scheduling.recovery import (
    State,
    bring_link,
    clear_leftovers,
    read_state,
)
from forecast.scheduling.retention import (
    Kept,
    choose_kept,
    sweep_logs,
    sweep_models,
    sweep_runs,
    to_keep,
)
from tests.builders import run_manifest


def published(folder, name, sequence, position=None, *, leads=True, model="m"):
    return write_published(
        folder,
        name,
        {"predictions.csv": name.encode()},
        run_manifest(
            sequence=sequence,
            as_of_position=sequence if position is None else position,
            leads=leads,
            model={"id": model, "sha256": hashlib.sha256(model.encode()).hexdigest()},
        ),
    )


def test_the_manifest_is_what_makes_a_run(tmp_path):
    made = published(tmp_path, "r1", 1)
    assert read_published(tmp_path / "runs" / "r1") == made
    assert is_intact(tmp_path, made)
    (tmp_path / "runs" / "r1" / "predictions.csv").write_text("other")
    assert not is_intact(tmp_path, made)
    (tmp_path / "runs" / "r1" / "manifest.json").unlink()
    assert read_published(tmp_path / "runs" / "r1") is None


def test_a_manifest_that_cannot_be_read_is_no_reason_to_forget_the_run(tmp_path):
    published(tmp_path, "r1", 1)
    path = tmp_path / "runs" / "r1" / "manifest.json"
    path.write_text("{")
    clear_leftovers(tmp_path, Silent())
    assert path.exists()
    with pytest.raises(OutputError, match="manifest of a published run"):
        read_published(path.parent)
    assert [d.path.name for d in read_state(tmp_path).damaged] == ["r1"]


def test_the_link_moves_in_one_step(tmp_path, monkeypatch):
    published(tmp_path, "r1", 1)
    published(tmp_path, "r2", 2)
    point_at(tmp_path, "r1")
    assert os.readlink(tmp_path / "current") == "runs/r1"
    assert (tmp_path / "current" / "predictions.csv").read_text() == "r1"

    def full(*words):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError) as caught:
        point_at(tmp_path, "r2")
    assert (caught.value.exit_code, current_run(tmp_path)) == (74, "r1")
    monkeypatch.undo()
    point_at(tmp_path, "r2")
    assert current_run(tmp_path) == "r2"


def test_what_was_half_written_is_removed_and_the_rest_untouched(tmp_path):
    published(tmp_path, "r1", 1)
    half = tmp_path / "runs" / "20240102T000000-0123456789"
    half.mkdir()
    (half / "predictions.csv").write_text("half")
    (tmp_path / "runs" / "r1" / ".writing-abcd1234").write_text("part")
    (tmp_path / ".writing-current-1").symlink_to("runs/r2")
    staging = tmp_path / "models" / ".writing-wxyz6789"
    staging.mkdir(parents=True)
    clear_leftovers(tmp_path, Silent())
    left = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*"))
    assert left == [
        "models", "runs", "runs/r1", "runs/r1/.lstmcast.json", "runs/r1/manifest.json",
        "runs/r1/predictions.csv",
    ]  # fmt: skip


def test_the_newest_run_that_leads_is_current_whatever_the_link_says(tmp_path):
    for n in (1, 2):
        published(tmp_path, f"r{n}", n)
    published(tmp_path, "backfill", 3, position=0, leads=False)
    point_at(tmp_path, "r1")  # as if the run was killed before the link moved
    state = read_state(tmp_path)
    bring_link(tmp_path, state, Silent())
    assert current_run(tmp_path) == "r2"
    assert state.next_sequence() == 4
    assert state.of_position(0).run == "backfill"


def states(*rollbacks, count=4):
    made = {
        f"r{n}": PublishedForecast(
            f"r{n}",
            {
                "sequence": n,
                "as_of_position": n,
                "leads": True,
                "model": {"id": f"m{n}", "sha256": f"m{n}"},
            },
        )
        for n in range(1, count + 1)
    }
    return State(made, rollbacks)


def back(to, *withdrawn, refused=()):
    return {"to": to, "withdrawn": list(withdrawn), "refused": list(refused), "trial": None}


def test_withdrawn_runs_do_not_count_until_one_is_named_again():
    assert states().current.run == "r4"
    one = back("r3", "r4", refused=["m4"])
    assert states(one).current.run == "r3"
    assert states(one).refused == {"m4"}
    assert states(one, count=3).current.run == "r3"
    two = back("r2", "r3", "r4", refused=["m3", "m4"])
    assert states(one, two).current.run == "r2"
    assert states(one, two, back("r4")).current.run == "r4"
    assert states(one, two, back("r4")).withdrawn == {"r3"}
    assert states(one, two, back("r4")).refused == {"m3"}
    assert states(one, count=4).next_sequence() == 5


START = datetime(2024, 1, 1, tzinfo=UTC)


def history(days, per_day=1):
    return [
        Kept(f"r{n}", n, n, START + timedelta(days=n // per_day, hours=n % per_day))
        for n in range(days * per_day)
    ]


def test_retention_keeps_the_newest_the_days_and_the_weeks():
    rules = Retention(keep_last=3, keep_daily=5, keep_weekly=4)
    kept = choose_kept(history(60, 2), (), "r119", rules)
    assert list(kept)[:2] == ["r119", "r118"]
    assert {run for run, why in kept.items() if why == "keep_daily"} == {
        "r115", "r113", "r111",
    }  # fmt: skip
    weekly = [run for run, why in kept.items() if why == "keep_weekly"]
    assert len(kept) == len(set(kept)) <= 3 + 5 + 4
    # Sundays' last runs; the two newest weeks have theirs among the days.
    assert weekly == ["r97", "r83"]


def test_current_and_the_last_good_run_always_stay():
    rules = Retention(keep_last=1, keep_daily=0, keep_weekly=0)
    assert choose_kept(history(30), (), "r10", rules) == {
        "r10": "current",
        "r9": "the last good one before it",
        "r29": "keep_last",
    }
    kept = choose_kept(history(12), {"r11", "r9", "r4"}, "r10", rules)
    assert kept == {
        "r10": "current",
        "r8": "the last good one before it",
        "r11": "withdrawn, newer than the current one",
    }


def test_of_runs_for_the_same_as_of_only_the_newest_counts():
    again = [Kept(f"r{n}", n, 7, START + timedelta(hours=n)) for n in range(6)]
    kept = choose_kept(again, (), "r5", Retention(keep_last=4))
    assert set(kept) == {"r5", "r4"}  # r4: what a rollback goes back to


def test_retention_never_keeps_more_than_its_rules_however_long_it_runs():
    rules = Retention(keep_last=7, keep_daily=10, keep_weekly=6)
    runs: list[Kept] = []
    for n in range(800):
        runs.append(Kept(f"r{n}", n, n, START + timedelta(days=n)))
        kept = choose_kept(runs, (), f"r{n}", rules)
        assert len(kept) <= 7 + 10 + 6 + 2
        runs = [r for r in runs if r.run in kept]
    weeks = {r.moment.isocalendar()[:2] for r in runs}
    assert len(weeks) == 6


def test_days_and_weeks_go_by_the_as_of_whatever_the_clock_showed(tmp_path):
    config = tmp_path / "batch.yaml"
    rules = "retention: {keep_last: 1, keep_daily: 5, keep_weekly: 0}"
    config.write_text(f"jobs: {{sales: {{data: d.csv, {rules}}}}}\n")
    job = load_config(config, {}).jobs["sales"]
    made = {}
    for n in range(1, 31):
        day = START + timedelta(days=n)
        clock = day + timedelta(days=400) if n % 3 == 0 else day  # one of three was far ahead
        made[f"r{n}"] = PublishedForecast(f"r{n}", {
            "sequence": n, "as_of_position": n, "leads": True, "created": clock.isoformat(),
            "as_of_moment": day.isoformat(), "model": {"id": "m", "sha256": "m"},
        })  # fmt: skip
    assert set(to_keep(job, State(made))) == {"r30", "r29", "r28", "r27", "r26"}


def test_logs_of_the_future_go_before_those_of_now(tmp_path):
    names = [f"2026-01-{day:02d}T060000+0000-{day}.jsonl" for day in range(1, 10)]
    ahead = [f"2027-01-{day:02d}T060000+0000-7.jsonl" for day in range(1, 4)]
    for name in (*names, *ahead, "notes.jsonl"):
        (tmp_path / name).write_text("")
    sweep_logs(tmp_path, 4, names[-1])
    assert sorted(p.name for p in tmp_path.iterdir()) == [*names[-4:], "notes.jsonl"]
    back = "1970-01-01T000500+0000-9.jsonl"  # a clock that is back takes no more than its due
    sweep_logs(tmp_path, 3, back)
    assert sorted(p.name for p in tmp_path.iterdir()) == [*names[-3:], "notes.jsonl"]


def test_sweeping_removes_exactly_what_is_not_kept(tmp_path):
    for n in (1, 2, 3):
        published(tmp_path, f"r{n}", n)
        with whole_folder(tmp_path / "models" / f"m{n}", JOB_MODEL) as staging:
            (staging / "about.json").write_text("{}")
    assert sweep_runs(tmp_path, {"r3"}, ["r1", "r2", "r3"]) == ["r1", "r2"]
    assert sweep_models(tmp_path, {"m3"}) == ["m1", "m2"]
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["r3"]
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["m3"]
    assert json.loads((tmp_path / "runs" / "r3" / "manifest.json").read_text())["run"] == "r3"
