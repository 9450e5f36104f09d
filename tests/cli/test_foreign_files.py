"""No command destroys a file that is not its own."""

from __future__ import annotations

import os
import random

import pytest

from tests import foreign_commands, foreign_tree

ON_A_TREE = 8  # commands, one after the other
CASES = 120  # proof/foreign_files.py has 5,000 of them


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return foreign_commands.template(tmp_path_factory.mktemp("made") / "template")


def test_commands_pointed_anywhere_change_nothing_of_the_users(template, tmp_path):
    """A failure names its seed; proof/foreign_files.py --first SEED --cases 8 repeats it."""
    outcomes: dict[int, int] = {}
    for seed in range(CASES // ON_A_TREE):
        rng = random.Random(seed)
        tree = foreign_tree.build(tmp_path / f"{seed}", template, rng)
        try:
            for _ in range(ON_A_TREE):
                words = foreign_commands.chosen(tree, rng)
                code, changes = foreign_commands.try_command(tree, words)
                assert changes == [], f"seed {seed}: {' '.join(words)}: code {code}"
                assert code != 70, f"seed {seed}: {' '.join(words)}"
                outcomes[code] = outcomes.get(code, 0) + 1
        finally:
            tree.close()
    assert outcomes[2] > CASES / 5, outcomes  # refusals
    assert outcomes[0] > CASES / 5, outcomes  # and what was let through


# --- What was found, each as it was found ---------------------------------------------------------


@pytest.fixture
def here(template, tmp_path, monkeypatch):
    """A copy of what lstmcast made, as the current folder, in a home of its own."""
    foreign_tree.copied(template, tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def refused(lstmcast, folder, *words):
    """The error's text; nothing below the folder has changed, and no work was begun."""
    before = foreign_tree.snapshot(folder)
    code, out, err = lstmcast(*words)
    assert (code, out) == (2, ""), err
    assert "to do" in err
    assert "Reading" not in err
    assert foreign_tree.snapshot(folder) == before
    return err


@pytest.mark.parametrize("command", ["train", "backtest", "compare", "tune", "distill"])
@pytest.mark.parametrize("target", ["proj", ".", "..", "in.csv", "jobs/first", "links", "s3://b/x"])
def test_a_folder_that_lstmcast_did_not_make_is_never_emptied(lstmcast, here, command, target):
    (here / "proj" / ".git").mkdir(parents=True)
    (here / "proj" / ".git" / "HEAD").write_text("ref")
    (here / "proj" / "data.csv").write_bytes((here / "in.csv").read_bytes())
    (here / "links").symlink_to("proj")
    data = {"train": ["proj/data.csv"], "distill": ["runs/run", "in.csv"]}.get(command, ["in.csv"])
    path = str(here / "proj") if target == "proj" else target
    refused(lstmcast, here.parent, command, *data, "--out", path)


def test_a_folder_with_the_input_in_it_is_refused_even_if_it_is_a_run(lstmcast, here):
    error = refused(
        lstmcast, here, "train", "runs/run/predictions.csv", "--out", "runs/run", "--quiet"
    )
    assert "holds what is read" in error
    refused(lstmcast, here, "train", "in.csv", "--init", "runs/run", "--out", "runs/run", "-q")
    refused(lstmcast, here, "distill", "runs/run", "in.csv", "--out", "runs/run", "-q")


CONFIG = """
jobs:
  a: {data: in.csv, folder: FOLDER, model: pretrained, settings: {forecast: {horizon: 3}}}
"""


@pytest.mark.parametrize("command", ["run", "prune", "score", "rollback", "doctor"])
@pytest.mark.parametrize("folder", [".", "runs", "in.csv"])
def test_a_job_in_a_folder_of_something_else_is_refused(lstmcast, here, command, folder):
    (here / "models" / "hand-made").mkdir(parents=True)
    (here / "runs" / "NOTES.txt").write_text("mine")
    (here / "batch.yaml").write_text(CONFIG.replace("FOLDER", folder))
    before = foreign_tree.snapshot(here)
    code, out, err = lstmcast(command, "batch.yaml")
    assert code == 2
    assert "the folder to write" in out + err
    assert foreign_tree.snapshot(here) == before


def test_a_job_leaves_what_it_did_not_make(lstmcast, here):
    """Also a job of the first edition, which has no marks; what it has made itself is swept."""
    job = here / "jobs" / "first"
    mine = [
        "runs/precious/model/manifest.json", "runs/NOTES.txt", "models/hand-made/about.json",
        "models/notes", "logs/mine.jsonl", "notes.txt", ".writing-notes",
        "runs/19541101T000000-2bc7e632bd/notes.txt", "runs/.writing-mine/x",
    ]  # fmt: skip
    for name in mine:
        (job / name).parent.mkdir(parents=True, exist_ok=True)
        (job / name).write_text("mine")
    text = CONFIG.replace("FOLDER", "jobs/first").replace(
        "model:", "retention: {keep_last: 1, keep_daily: 0, keep_weekly: 0, keep_logs: 1}, model:"
    )
    (here / "batch.yaml").write_text(text)
    before = {name: entry for name, entry in foreign_tree.snapshot(job).items() if name in mine}
    for command in ("run", "prune", "score", "run"):
        code, _, err = lstmcast(command, "batch.yaml")
        assert code == 0, err
        after = foreign_tree.snapshot(job)
        assert {name: after.get(name) for name in before} == before
    assert not (job / "runs" / "19540901T000000-a6a5d17bb6").exists()
    assert not list((job / "runs").glob(".writing-????????"))


def test_the_input_is_never_the_output(lstmcast, here):
    os.link("in.csv", "twin.csv")
    (here / "link.csv").symlink_to("in.csv")
    (here / "jan.csv").write_text("unique_id,ds,LSTM\n")
    for name in ("in.csv", "twin.csv", "link.csv", "./in.csv"):
        for force in ((), ("--force",)):
            words = ("forecast", "in.csv", "--horizon", "3", "--output", name, "-q", *force)
            refused(lstmcast, here, *words)
            refused(lstmcast, here, "detect", "in.csv", "--output", name, "-q", *force)
    before = foreign_tree.snapshot(here)
    for name in ("bad.csv", "./bad.csv"):
        code, _, _ = lstmcast("check", "bad.csv", "--rejects", name)
        assert code == 2
        code, _, _ = lstmcast("check", "bad.csv", "--rejects", name, "--force")
        assert code == 2
    assert foreign_tree.snapshot(here) == before


def test_force_replaces_a_file_of_other_content_and_is_named(lstmcast, here):
    (here / "notes.txt").write_text("mine")
    (here / "notes.txt").chmod(0o600)
    words = ("forecast", "in.csv", "--horizon", "3", "--output", "notes.txt", "-q")
    assert "--force" in refused(lstmcast, here, *words)
    assert lstmcast(*words, "--force")[0] == 0
    assert (here / "notes.txt").read_text().startswith('"unique_id"')
    assert (here / "notes.txt").stat().st_mode & 0o777 == 0o600
    assert lstmcast(*words)[0] == 0  # its own it replaces unasked


def test_devices_pipes_and_links_stay_what_they_are(lstmcast, here):
    (here / "target.csv").touch()
    for name, target in {
        "null": "/dev/null", "link": "target.csv", "gone": "new.csv", "stdout": "/dev/stdout",
    }.items():  # fmt: skip
        (here / name).symlink_to(target)
    for name in ("null", "link", "gone", "stdout", "/dev/null", "/dev/stdout"):
        code, _, err = lstmcast("forecast", "in.csv", "--horizon", "3", "--output", name, "-q")
        assert code == 0, err
    assert {name: (here / name).is_symlink() for name in ("null", "link", "gone", "stdout")} == {
        "null": True, "link": True, "gone": True, "stdout": True,
    }  # fmt: skip
    assert os.path.exists("/dev/null") and not os.path.isfile("/dev/null")
    for name in ("target.csv", "new.csv"):
        assert (here / name).read_text().startswith('"unique_id"')


def test_a_model_of_somebody_else_writes_nothing(lstmcast, here):
    for name in ("notes.txt", "secret.csv"):
        (here / name).write_text("mine")
    before = foreign_tree.snapshot(here)
    for words in (
        ("predict", "in.csv", "--model", "runs/evil", "--output", "-"),
        ("predict", "in.csv", "--model", "runs/evil"),
        ("predict", "in.csv", "--model", "runs/evil", "--root", "jobs"),
        ("explain", "runs/evil", "in.csv"),
    ):
        lstmcast(*words, "--quiet")
        after = foreign_tree.snapshot(here)
        changes = [name for name in {*before, *after} if before.get(name) != after.get(name)]
        assert all(name.startswith("runs/evil/predictions-2") for name in changes), words


def test_a_model_of_somebody_else_runs_no_statement_and_reads_no_file(lstmcast, here):
    import json
    import sqlite3

    with sqlite3.connect("app.db") as base:
        base.execute("create table t (ds, y)")
    base.close()
    manifest = here / "runs" / "first" / "model" / "manifest.json"
    document = json.loads(manifest.read_text())
    document["data"]["path"] = f"sqlite:///{here}/app.db"
    for query in (
        "drop table t",
        "vacuum into 'new.db'",
        "attach 'new.db' as other",
        "insert into t values (1, 2) returning *",
        "pragma journal_mode = delete",
        "select load_extension('x')",
    ):
        document["settings"]["data"] = {"query": query}
        manifest.write_text(json.dumps(document))
        before = foreign_tree.snapshot(here)
        words = ("predict", "--model", "runs/first", "--output", "-")
        code, _, err = lstmcast(*words, "--root", "jobs")
        assert code == 4
        assert "not below --root" in err
        code, _, err = lstmcast(*words)  # below --root: the user's own
        assert code == 4, query
        assert "refuses the query" in err
        assert foreign_tree.snapshot(here) == before


def test_queries_read_what_they_should():
    """What reading needs is let through: functions, recursion, JSON, the schema."""
    import sqlite3

    from sqlalchemy import create_engine, text

    from forecast.data.io.database import _only_read

    engine = create_engine("sqlite://")
    _only_read(engine)
    with engine.connect() as connection:
        for query in (
            "select 1",
            "with recursive x(n) as (select 1 union all select n + 1 from x where n < 3) "
            "select n from x",
            "select date('now'), json_extract('[1]', '$[0]'), count(*) from sqlite_master",
            "select * from json_each('[1, 2]')",
            "select * from pragma_table_info('t')",
        ):
            connection.execute(text(query)).fetchall()
    assert sqlite3.sqlite_version


def test_every_setting_of_reading_is_taken_from_a_manifest_or_is_not():
    from forecast.config.schema import DataSettings
    from forecast.models.store import HOW_TO_READ

    places = {"rejects", "query", "db", "db_password", "future_covariates", "static",
              "max_expansion", "events"}  # fmt: skip
    assert set(DataSettings.model_fields) == HOW_TO_READ | places


def test_what_train_advises_works_wherever_the_run_is(lstmcast, here):
    from pathlib import Path
    from types import SimpleNamespace

    from forecast.cli.parameters import model_words
    from forecast.config.schema import Settings

    run = SimpleNamespace(settings=Settings())
    assert model_words(run, Path("runs/run")) == "--model runs/run"
    foreign_tree.copied(here / "runs" / "first", here / "else where" / "run")
    words = model_words(run, Path("else where/run"))
    import shlex

    code, _, err = lstmcast("predict", "in.csv", *shlex.split(words), "--output", "-", "--quiet")
    assert code == 0, err
