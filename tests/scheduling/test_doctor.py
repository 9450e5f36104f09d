"""The doctor looks with cron's eyes, and finds what is missing before cron does."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from forecast.cli.app import run
from forecast.cli.error_handler import guarded
from forecast.scheduling import doctor
from forecast.scheduling.doctor import (
    Check,
    all_checks,
    examine,
    nearest_folder,
    try_folder,
    verdict,
)

ROWS = "".join(f"{2000 + n // 12}-{n % 12 + 1:02d},{n}\n" for n in range(60))


@pytest.fixture
def config(tmp_path) -> Path:
    """A config of one job that trains nothing, and its data."""
    (tmp_path / "sales.csv").write_text("month,sales\n" + ROWS)
    path = tmp_path / "batch.yaml"
    path.write_text("jobs:\n  sales:\n    data: sales.csv\n    model: pretrained\n")
    return path


def more(config: Path, *lines: str) -> None:
    config.write_text(config.read_text() + "".join(f"    {line}\n" for line in lines))


def by_name(found: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in found}


def made(config: Path) -> dict[str, Check]:
    return by_name(list(all_checks(str(config), None)))


def test_a_job_in_order_has_no_problem_and_leaves_nothing_behind(config):
    before = sorted(config.parent.iterdir())
    found = examine(config, None, os.environ)
    assert [check for check in found if check.state != "ok"] == []
    assert verdict(found) == 0
    assert "1 series up to 2004-12" in by_name(found)["data"].found
    assert sorted(config.parent.iterdir()) == before


def test_no_folder_for_temporary_files_is_a_problem(config, monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("forecast.scheduling.doctor.tempfile.gettempdir", none)
    check = made(config)["temporary files"]
    assert (check.state, check.exit_code) == ("problem", 74)
    assert "TMPDIR" in check.remedy


@pytest.mark.parametrize(
    "line",
    [
        "MY_PING=https://h/x?a=1&b=2",
        "MY_PING=pa$word",
        "MY_PING='unbalanced",
        "export MY_PING=x",
        "MY_PING = x",
        "MY_PING=x\r",
        'MY_PING="a$b"',
    ],
)
def test_a_secret_that_shell_and_systemd_read_differently_names_its_line(config, line):
    more(config, "ping: {url: env:MY_PING}")
    config.with_suffix(".env").write_bytes(f"# ours\n\n{line}\n".encode())
    found = by_name(examine(config, None, os.environ))["secrets"]
    assert found.state == "problem" and "batch.env, line 3" in found.found
    assert "single quotes" in found.remedy


def test_a_secret_in_single_quotes_is_the_same_to_both(config):
    more(config, "ping: {url: env:MY_PING}")
    lines = "# ours\nMY_PING='https://h/x?a=1&b=$2'\nOTHER=plain/a@b:c?d=e#f\nMORE=\"two words\" \n"
    config.with_suffix(".env").write_text(lines)
    found = by_name(examine(config, None, os.environ))
    assert "secrets" not in found and found["ping"].state == "ok"


def test_the_checks_see_crons_environment_and_not_ours(config, monkeypatch):
    more(config, "ping: {url: env:MY_PING}")
    monkeypatch.setenv("MY_PING", "https://hc-ping.com/secret-uuid")
    found = by_name(examine(config, None, os.environ))["ping"]
    assert (found.state, found.exit_code) == ("problem", 2)
    assert "MY_PING" in found.found
    config.with_suffix(".env").write_text("MY_PING='https://hc-ping.com/secret-uuid'\n")
    found = by_name(examine(config, None, os.environ))["ping"]
    assert (found.state, found.found) == ("ok", "https://hc-ping.com/..., not called now")


def test_our_own_variables_are_as_the_schedule_sets_them(config, monkeypatch):
    monkeypatch.setenv("LSTMCAST_TARGET_COL", "nothing-of-the-kind")
    found = by_name(examine(config, None, os.environ))["data"]
    assert (found.state, found.exit_code) == ("problem", 4)
    assert "nothing-of-the-kind" in found.found


def test_data_that_cannot_be_read_are_a_problem_of_the_input(config):
    (config.parent / "sales.csv").unlink()
    found = made(config)["data"]
    assert (found.state, found.exit_code) == ("problem", 4)
    assert "sales.csv" in found.found


def test_a_config_that_cannot_be_read_is_the_one_problem(config):
    more(config, "dataa: x")
    found = made(config)
    assert found["config"].state == "problem"
    assert "line 5" in found["config"].found
    assert "data" not in found


def test_a_config_that_anybody_can_change_is_worth_a_warning(config):
    config.chmod(0o666)
    assert made(config)["config"].state == "warning"


def test_a_time_that_clocks_skip_is_worth_a_warning_and_an_unknown_zone_a_problem(config):
    before = config.read_text()
    more(config, 'schedule: {at: "02:30", time_zone: Europe/Berlin}')
    found = made(config)["schedule"]
    assert found.state == "warning"
    assert "-03-" in found.found
    config.write_text(before)
    more(config, "schedule: {time_zone: Europe/Atlantis}")
    assert made(config)["schedule"].state == "problem"


def test_a_folder_below_a_file_or_without_permission_is_a_problem(config, monkeypatch):
    (config.parent / "sealed").mkdir()
    more(config, "folder: sealed/deep/job")

    def refused(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", refused)
    found = made(config)["folder"]
    assert (found.state, found.exit_code) == ("problem", 74)
    assert f"{config.parent}/sealed cannot be written to: Permission denied" == found.found


@pytest.mark.parametrize("lacking", ["locks", "links", "wal"])
def test_a_file_system_without_locks_links_or_shared_memory_is_refused(
    tmp_path, monkeypatch, lacking
):
    def fails(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    if lacking == "locks":
        monkeypatch.setattr("fcntl.flock", lambda *_: None)
    elif lacking == "links":
        monkeypatch.setattr(os, "symlink", fails)
    else:
        real = sqlite3.connect
        monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: real(":memory:"))
    trouble = try_folder(tmp_path)
    assert trouble is not None
    assert trouble[0].startswith(f"{tmp_path} has no links, locks or shared memory: ")
    assert list(tmp_path.iterdir()) == []


def test_too_little_space_is_a_problem_and_little_a_warning(config, monkeypatch):
    run_folder = config.parent / "sales/runs/one"
    run_folder.mkdir(parents=True)
    (run_folder / "forecast.parquet").write_bytes(b"x" * 1_000_000)
    usage = shutil.disk_usage(config.parent)
    for free, state in ((10**8, "problem"), (300 * 2**20, "ok"), (10**9, "ok")):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        assert made(config)["space"].state == state
    monkeypatch.setattr(doctor, "_largest_run", lambda _: 50_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=500_000_000))
    found = made(config)["space"]
    assert (found.state, found.found.split(", ")[1]) == ("warning", "room for 10 runs")


def test_a_metrics_file_that_prometheus_would_not_read_is_worth_a_warning(config):
    more(config, "metrics_file: metrics/sales.txt")
    found = made(config)["metrics file"]
    assert (found.state, found.remedy) == ("warning", "Let its name end in .prom")


def test_a_metrics_file_that_a_run_would_refuse_to_replace_is_worth_a_warning(config):
    more(config, "metrics_file: sales.prom")
    (config.parent / "sales.prom").write_text("notes")
    found = made(config)["metrics file"]
    assert (found.state, found.remedy) == (
        "warning", "Name another file as metrics_file, or move that one away",
    )  # fmt: skip
    (config.parent / "sales.prom").write_text("# HELP lstmcast_series x")
    assert made(config)["metrics file"].state == "ok"


def test_a_database_that_does_not_answer_is_a_problem_and_its_password_is_not_shown(config):
    more(config, "outputs: {database: 'sqlite:////no/such/folder/x.db'}")
    found = made(config)["database"]
    assert found.state == "problem"
    assert "cannot be reached" in found.found
    config.write_text(config.read_text().replace("sqlite:////no/such/folder/x.db", "sqlite://"))
    assert made(config)["database"].state == "ok"


def test_a_package_that_is_missing_or_old_is_named(monkeypatch):
    from importlib import metadata

    asked = ["numpy>=99", "no-such-package>=1", "nothing; extra == 'x'", "pyyaml>=6"]
    monkeypatch.setattr(metadata, "requires", lambda _: asked)
    found = doctor._packages()
    assert found.state == "problem"
    assert "no-such-package is missing" in found.found
    assert "numpy is" in found.found
    assert "nothing" not in found.found


def test_checks_that_do_not_end_or_cannot_start_are_problems(config, monkeypatch):
    found = examine(config, None, os.environ, limit=0.001)
    assert (found[0].state, "did not end" in found[0].found) == ("problem", True)
    monkeypatch.setattr("sys.executable", "/no/such/python")
    found = examine(config, None, os.environ)
    assert (found[0].state, found[0].exit_code) == ("problem", 70)


def test_the_closest_folder_that_exists_is_tried(tmp_path):
    assert nearest_folder(tmp_path / "a/b/c") == tmp_path
    assert nearest_folder(tmp_path) == tmp_path


def test_the_command_prints_every_check_and_ends_with_the_first_problems_code(config, capsys):
    assert guarded(lambda: run(["doctor", str(config), "--json"])) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 0
    assert {"python", "data", "folder", "model"} <= {each["name"] for each in document["checks"]}
    (config.parent / "sales.csv").unlink()
    assert guarded(lambda: run(["doctor", str(config)])) == 4
    out = capsys.readouterr().out
    assert "1 problem: a scheduled run would fail" in out
    assert "sales.csv" in out


def test_a_job_that_is_not_there_is_named(config, capsys):
    assert guarded(lambda: run(["doctor", str(config), "--job", "sale"])) == 2
    assert "Did you mean sales?" in capsys.readouterr().out


def test_secrets_that_others_can_read_are_worth_a_warning(config):
    config.with_suffix(".env").write_text("MY_PING=x\n")
    config.with_suffix(".env").chmod(0o640)
    check = made(config)["config"]
    assert (check.state, "chmod 600" in check.remedy) == ("warning", True)
    config.with_suffix(".env").chmod(0o600)
    assert made(config)["config"].state == "ok"


@pytest.mark.parametrize("name", ["runs", "ledger.sqlite", ".lock"])
def test_what_a_run_may_not_change_is_a_problem_by_name(config, monkeypatch, name):
    assert guarded(lambda: run(["run", str(config), "--quiet"])) == 0
    assert made(config)["folder"].state == "ok"
    honest = os.access
    monkeypatch.setattr(  # root may do everything
        os, "access", lambda path, mode: Path(path).name != name and honest(path, mode)
    )
    check = made(config)["folder"]
    assert (check.state, check.exit_code) == ("problem", 74)
    assert name in check.found
