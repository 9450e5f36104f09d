"""A job whose files are damaged: what is published stays, the next run goes on, and it is said."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from forecast.cli.app import run as command
from forecast.common.documents import sealed
from forecast.common.errors import InputError, OutputError, TrainingError
from forecast.common.progress import Silent
from forecast.scheduling import ledger, serving
from forecast.scheduling.config_file import load_config
from forecast.scheduling.monitoring import exposition
from forecast.scheduling.publication import current_run
from forecast.scheduling.recovery import read_state, recover
from forecast.scheduling.repair import repair_job
from forecast.scheduling.rollback import roll_back
from forecast.scheduling.run import run_job
from forecast.scheduling.status import job_facts, job_metrics
from tests.hostile import flipped
from tests.scheduling.test_run import NOW, VALUES, choices, cutoffs, data, job


class Heard(Silent):
    def __init__(self):
        self.codes = []

    def warn(self, code, text):
        self.codes.append(code)


@pytest.fixture(scope="module")
def four_runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four")
    for until in (116, 117, 118, 119):
        data(folder, until)
        run_job(job(folder), now=NOW)
    data(folder, 120)
    return folder


@pytest.fixture
def folder(four_runs, tmp_path):
    shutil.copytree(four_runs, tmp_path / "j", symlinks=True)
    return tmp_path / "j"


def names(folder):
    return sorted(os.listdir(folder / "out" / "runs"))


def goes_on(folder):
    """The next run publishes the newest data; what it said."""
    heard = Heard()
    outcome = run_job(job(folder), now=NOW, listener=heard)
    assert (outcome.outcome, outcome.as_of) == ("published", "2024-02-28")
    assert current_run(folder / "out") == outcome.run
    again = Heard()
    assert run_job(job(folder), now=NOW, listener=again).outcome == "already done"
    assert again.codes == []
    return heard.codes


def edits(manifest):
    yield ""
    yield "[]"
    yield "null"
    yield {k: v for k, v in manifest.items() if k != "leads"}
    yield {k: v for k, v in manifest.items() if k != "model"}
    yield {**manifest, "sequence": 10**30}
    yield {**manifest, "as_of_position": 10**30}
    yield {**manifest, "created": "x"}


@pytest.mark.parametrize("which", [0, -1])
@pytest.mark.parametrize("kind", range(8))
def test_a_damaged_run_is_set_aside_and_the_next_one_publishes(folder, which, kind):
    run = names(folder)[which]
    path = folder / "out" / "runs" / run / "manifest.json"
    wrong = list(edits(json.loads(path.read_text())))[kind]
    path.write_text(wrong if isinstance(wrong, str) else json.dumps(sealed(wrong)))
    facts = job_facts(job(folder))
    assert facts.aside == (run,) and run in facts.trouble
    assert 'lstmcast_set_aside{forecast_job="sales"} 1' in exposition(job_metrics(facts))
    assert "run/set-aside" in goes_on(folder)
    assert os.listdir(folder / "out" / "set-aside") == [run]
    assert job_facts(job(folder)).aside == (run,)
    assert len(cutoffs(folder)) == 5  # the ledger had taken it in before it was damaged


def test_one_flipped_bit_of_a_manifest_is_never_taken(folder):
    draw = random.Random(7)
    path = folder / "out" / "runs" / names(folder)[1] / "manifest.json"
    whole = path.read_bytes()
    before = read_state(folder / "out").forecasts
    for _ in range(60):
        path.write_bytes(flipped(whole, draw))
        state = read_state(folder / "out")
        assert len(state.forecasts) == 3 or state.forecasts == before  # or the flip says nothing
    path.write_bytes(whole)


def test_a_rollback_goes_to_the_newest_run_that_is_whole(folder):
    (folder / "out" / "runs" / names(folder)[-2] / "manifest.json").write_text("{")
    done = roll_back(job(folder), Silent(), moment=NOW)
    assert done.to == names(folder)[1]
    assert current_run(folder / "out") == done.to


@pytest.mark.parametrize("text", ['{"rollbacks":[{"x":1}]}', "", "[]", '{"rollbacks": 5}'])
def test_a_lost_list_of_rollbacks_brings_nothing_back(folder, text):
    before = names(folder)
    roll_back(job(folder), Silent(), to=before[1], moment=NOW)
    (folder / "out" / "rollbacks.json").write_text(text)
    assert current_run(folder / "out") == before[1]
    assert read_state(folder / "out").current.run == before[1]
    heard = Heard()
    recover(folder / "out", heard)
    assert heard.codes == ["run/set-aside"]
    assert current_run(folder / "out") == before[1]
    assert read_state(folder / "out").withdrawn == {before[2], before[3]}
    assert "rolled back" not in goes_on(folder)


def test_current_that_became_a_folder_is_set_aside(folder):
    (folder / "out" / "current").unlink()
    (folder / "out" / "current").mkdir()
    (folder / "out" / "current" / "note").write_text("mine")
    assert "run/set-aside" in goes_on(folder)
    assert (folder / "out" / "set-aside" / "current" / "note").read_text() == "mine"


@pytest.mark.parametrize("statement", [
    "DROP TABLE actuals",
    "UPDATE forecasts SET point = x'00ff'",
    "UPDATE runs SET levels = 'x'",
    "UPDATE runs SET horizon = 1000000000000",
    "UPDATE runs SET created = 7",
    "UPDATE series SET length = -1",
    "UPDATE series SET unique_id = x'ff' WHERE id = 1",
    "UPDATE scores SET inside = '{\"x\": 1}'",
    "DELETE FROM meta",
    "UPDATE meta SET value = 'zwei'",
    "DROP TABLE meta",
])  # fmt: skip
def test_a_ledger_that_is_wrong_in_meaning_is_made_anew(folder, statement):
    path = folder / "out" / ledger.NAME
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute(statement)
    connection.commit()
    connection.close()
    job_facts(job(folder))
    assert "ledger/damaged" in goes_on(folder)
    assert len(cutoffs(folder)) == 5


def test_a_ledger_with_flipped_bits_never_stops_a_job(folder, tmp_path):
    draw = random.Random(11)
    path = folder / "out" / ledger.NAME
    whole, made = path.read_bytes(), 0
    for _ in range(12):
        blob = whole
        for _ in range(draw.choice((1, 5, 50))):
            blob = flipped(blob, draw)
        path.write_bytes(blob)
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        job_facts(job(folder))
        made += run_job(job(folder), now=NOW).outcome in ("published", "already done")
        assert len(cutoffs(folder)) == 5
    assert made == 12


@pytest.mark.parametrize("kind", ["link", "folder", "empty"])
def test_a_ledger_that_is_no_ledger_is_made_anew(folder, kind):
    path = folder / "out" / ledger.NAME
    path.unlink()
    if kind == "link":
        path.symlink_to("nowhere/gone.sqlite")
    elif kind == "folder":
        path.mkdir()
    else:
        path.touch()
    assert ("ledger/damaged" in goes_on(folder)) == (kind != "empty")
    assert len(cutoffs(folder)) == 5


def test_repair_says_what_it_would_do_and_does_it(folder, capsys):
    first, *_, last = names(folder)
    (folder / "out" / "runs" / first / "manifest.json").write_text("{}")
    (folder / "out" / "runs" / last / "predictions.csv").write_text("other\n")
    (folder / "out" / "last.json").write_text("[")
    connection = sqlite3.connect(folder / "out" / ledger.NAME)
    connection.execute("UPDATE runs SET season = 'x'")
    connection.commit()
    connection.close()
    before = sorted(str(p) for p in folder.rglob("*") if "ledger" not in p.name)
    assert command(["repair", str(folder / "batch.yaml"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["jobs"][0]["repairs"]
    assert {each["what"] for each in said} == {first, last, "current", "last.json", ledger.NAME}
    assert sorted(str(p) for p in folder.rglob("*") if "ledger" not in p.name) == before
    assert command(["repair", str(folder / "batch.yaml"), "--yes", "--quiet"]) == 0
    assert repair_job(job(folder), Silent()) == []
    assert sorted(os.listdir(folder / "out" / "set-aside")) == sorted([first, last, "last.json"])
    assert current_run(folder / "out") == names(folder)[-1]
    goes_on(folder)
    capsys.readouterr()
    assert command(["status", str(folder / "batch.yaml")]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("set aside", first, last, "last.json")), shown


def test_a_database_that_is_down_stops_no_forecast(folder):
    more = f"    outputs: {{database: 'sqlite:///{folder}/none/x.db'}}\n"
    for until in (119, 120):
        data(folder, until)
        with pytest.raises(OutputError) as caught:
            run_job(job(folder, more), now=NOW)
        assert caught.value.code == "output/database"
    published = read_state(folder / "out").current
    assert published.manifest["as_of"] == "2024-02-28"
    assert current_run(folder / "out") == published.run
    (folder / "none").mkdir()
    assert run_job(job(folder, more), now=NOW).outcome == "already done"
    with sqlite3.connect(folder / "none" / "x.db") as base:
        assert base.execute("SELECT max(as_of) FROM lstmcast_forecasts").fetchone()[0] == (
            "2024-02-28"
        )


def test_a_training_that_dies_falls_back_as_a_deadline_does(tmp_path, monkeypatch):
    def dies(**given):
        raise TrainingError("a training process ended with code -9", code="train/worker-died")

    monkeypatch.setattr(serving, "run_trial", dies)
    data(tmp_path)
    heard = Heard()
    outcome = run_job(job(tmp_path, model="trained"), now=NOW, listener=heard)
    assert (outcome.outcome, outcome.as_of) == ("published", "2024-02-28")
    assert choices(outcome)["model"] == "pretrained"
    assert "run/training-failed" in heard.codes


def test_an_older_dump_never_takes_current_back(folder):
    goes_on(folder)
    before = current_run(folder / "out")
    data(folder, 109)
    heard = Heard()
    outcome = run_job(job(folder), now=NOW, listener=heard)
    assert outcome.outcome == "published" and outcome.as_of == "2024-02-17"
    assert current_run(folder / "out") == before
    assert "run/not-leading" in heard.codes


def test_a_clock_that_was_set_back_never_takes_current_back(folder):
    before = current_run(folder / "out")
    run_job(job(folder), now=datetime(2024, 1, 20, 12, tzinfo=UTC))
    assert current_run(folder / "out") == before
    goes_on(folder)


def test_a_success_in_the_future_is_no_success(folder):
    from forecast.scheduling.status import describe, exit_code

    run_job(job(folder), now=NOW + timedelta(days=30_000))
    told = describe(job_facts(job(folder)), NOW, 26 * 3600.0)
    assert told["too_old"] and exit_code([told]) == 5


def test_the_file_of_a_second_shop_changes_no_name_without_a_word(tmp_path):
    data(tmp_path)
    lines = [line.split(",", 1) for line in (tmp_path / "data.csv").read_text().splitlines()]

    def shop(series, name):
        (tmp_path / "in").mkdir(exist_ok=True)
        mine = [rest for first, rest in lines if first in ("unique_id", series)]
        (tmp_path / "in" / f"{name}.csv").write_text("\n".join(mine) + "\n")

    def made(most):
        job(tmp_path, f"    max_lost: {most}\n")
        path = tmp_path / "batch.yaml"
        path.write_text(path.read_text().replace("data: data.csv", "data: in"))
        return load_config(path, environ={}).jobs["sales"]

    shop("a", "north")
    run_job(made(0.5), now=NOW)
    before = current_run(tmp_path / "out")
    shop("b", "south")
    with pytest.raises(InputError) as caught:
        run_job(made(0.5), now=NOW)
    assert (
        caught.value.code == "run/too-many-lost" and "called by its column" in caught.value.remedy
    )
    assert current_run(tmp_path / "out") == before
    outcome = run_job(made(1), now=NOW)  # as the remedy says
    assert outcome.manifest["series"]["lost"] == 1 and current_run(tmp_path / "out") != before


def test_series_that_vanish_are_said_and_too_many_are_refused(folder):
    goes_on(folder)
    before = current_run(folder / "out")
    day = datetime(2024, 3, 2, 12, tzinfo=UTC)
    longer = np.concatenate([VALUES, VALUES[:, -1:]], axis=1)
    days = pd.date_range("2023-11-01", periods=121, freq="D")

    def write(names):
        lines = [
            f"{name},{day:%Y-%m-%d},{value}"
            for k, name in enumerate("abc")
            if name in names
            for day, value in zip(days, longer[k], strict=True)
        ]
        (folder / "data.csv").write_text("unique_id,ds,y\n" + "\n".join(lines) + "\n")

    write("a")
    with pytest.raises(InputError) as caught:
        run_job(job(folder), now=day)
    assert caught.value.code == "run/too-many-lost" and "max_lost" in str(caught.value)
    assert current_run(folder / "out") == before
    write("ab")
    heard = Heard()
    outcome = run_job(job(folder), now=day, listener=heard)
    assert (outcome.exit_code, outcome.manifest["series"]["lost"]) == (3, 1)
    assert "input/series-lost" in heard.codes
    assert 'lstmcast_lost_series{forecast_job="sales"} 1' in exposition(
        job_metrics(job_facts(job(folder)))
    )


def test_an_as_of_does_not_know_the_seasons_that_come_after_it(tmp_path):
    def write(until):
        rows = [f"{n},{100 + (n > 60) * 50 * (n % 9 == 0) + n % 2}" for n in range(until)]
        (tmp_path / "data.csv").write_text("step,y\n" + "\n".join(rows) + "\n")

    text = "jobs:\n  a: {data: data.csv, folder: FOLDER, model: pretrained}\n"
    made = {}
    for name, until in (("cut", 61), ("whole", 200)):
        write(until)
        (tmp_path / "b.yaml").write_text(text.replace("FOLDER", name))
        run_job(load_config(tmp_path / "b.yaml", environ={}).jobs["a"], as_of="60", now=NOW)
        made[name] = read_state(tmp_path / name).current.manifest
    for field in ("horizon", "season", "model", "series"):
        assert made["cut"][field] == made["whole"][field], field
    sums = [m["outputs"]["predictions.csv"]["sha256"] for m in made.values()]
    assert sums[0] == sums[1]


def test_another_frequency_begins_a_ledger_of_its_own(folder):
    weeks = pd.date_range("2022-01-03", periods=112, freq="W-MON")
    rows = [f"{s},{d:%Y-%m-%d},{v}" for k, s in enumerate("abc")
            for d, v in zip(weeks, VALUES[k], strict=False)]  # fmt: skip
    (folder / "data.csv").write_text("unique_id,ds,y\n" + "\n".join(rows) + "\n")
    heard = Heard()
    outcome = run_job(job(folder), now=NOW, listener=heard)
    assert outcome.outcome == "published" and "input/other-grid" in heard.codes
    assert current_run(folder / "out") == outcome.run
    assert len(cutoffs(folder)) == 1
    assert run_job(job(folder), now=NOW).outcome == "already done"
    assert len(cutoffs(folder)) == 1
    assert job_facts(job(folder)).recent.count == 0


@pytest.mark.parametrize(("zone", "moment"), [
    ("Europe/Berlin", "2024-03-31T01:00"), ("Australia/Sydney", "2024-04-06T16:00"),
])  # fmt: skip
def test_no_hour_is_lost_where_offsets_change(tmp_path, zone, moment):
    change = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    hours = [change + timedelta(hours=n) for n in range(-100, 3)]
    lines = [
        f"{hour.astimezone(ZoneInfo(zone)).isoformat()},{100 + 20 * np.sin(n / 3.82):.3f}"
        for n, hour in enumerate(hours)
    ]
    (tmp_path / "b.yaml").write_text(
        "jobs:\n  a: {data: d.csv, folder: o, model: pretrained, "
        "settings: {forecast: {horizon: 6}}}"
    )
    hourly = load_config(tmp_path / "b.yaml", environ={}).jobs["a"]
    positions = []
    for until in range(98, 104):
        (tmp_path / "d.csv").write_text("ds,y\n" + "\n".join(lines[:until]) + "\n")
        heard = Heard()
        outcome = run_job(hourly, now=hours[until - 1] + timedelta(minutes=70), listener=heard)
        positions.append(outcome.manifest["as_of_position"])
        assert heard.codes == [], heard.codes
        assert current_run(tmp_path / "o") == outcome.run
    assert list(np.diff(positions)) == [1] * 5
    with ledger.opened(tmp_path / "o" / ledger.NAME) as connection:
        assert len(ledger.recorded_runs(connection)) == 6
