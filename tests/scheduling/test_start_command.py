"""Units and crontab lines start the very command, folder and environment that are meant."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forecast.common.errors import UsageError
from forecast.scheduling.config_file import load_config
from forecast.scheduling.timers import (
    Start,
    When,
    carried,
    crontab_lines,
    own_program,
    start_of,
    unit_stem,
    units,
)

NOW = datetime(2026, 1, 15, tzinfo=UTC)
WITNESS = """#!/bin/sh
exec python3 -c 'import json, os, sys
json.dump([sys.argv[1:], os.getcwd(), dict(os.environ)], open(os.environ["WITNESS"], "w"))' "$@"
"""
NASTY = "a b%c$d'e\"f;g"
VALUE = "100% of $HOME 'x' \"y\" \\ & ;"


def has(program: str) -> bool:
    return shutil.which(program) is not None


@pytest.fixture(params=["plain", NASTY])
def start(tmp_path, request) -> Start:
    folder = tmp_path / request.param
    folder.mkdir()
    program = folder / "lstmcast"
    program.write_text(WITNESS)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    python = shutil.which("python3")
    assert python is not None
    environment = {"LSTMCAST_NOTE": VALUE, "WITNESS": str(tmp_path / "witness.json")}
    return Start("sales", folder / "batch.yaml", When("day", 6, 15), (str(program),), environment)


def as_cron_runs(line: str, home: Path) -> None:
    """What cron does with the sixth field: percent signs, /bin/sh, a bare environment."""
    fields = 1 if line.startswith("@") else 5
    command = line.split(None, fields)[fields]
    assert not re.search(r"(?<!\\)%", command), "cron would cut the command there"
    command = command.replace("\\%", "%").removeprefix("sleep 120 && ")
    path = "/usr/local/bin:/usr/bin:/bin"
    bare = {"HOME": str(home), "LOGNAME": "me", "SHELL": "/bin/sh", "PATH": path}
    subprocess.run(["/bin/sh", "-c", command], cwd=home, env=bare, check=True)


def test_cron_runs_the_command_in_the_folder_with_the_environment(start, tmp_path):
    text = crontab_lines(start, "UTC", NOW)
    timed, at_boot = [line for line in text.splitlines() if not line.startswith("#")]
    assert timed.startswith("15 6 * * * ")
    assert at_boot.startswith("@reboot ")
    for line in (timed, at_boot):
        as_cron_runs(line, tmp_path)
        witness = Path(start.environment["WITNESS"])
        words, folder, environ = json.loads(witness.read_text())
        witness.unlink()
        assert words == ["run", str(start.config), "--job", "sales", "--quiet"]
        assert folder == str(start.config.parent)
        assert environ["LSTMCAST_NOTE"] == VALUE


def test_cron_reads_secrets_from_their_file_and_shows_them_nowhere(start, tmp_path):
    start = replace(start, secrets=("DB",))
    start.secrets_file.write_text("DB='p%w d'\n")
    text = crontab_lines(start, "UTC", NOW)
    as_cron_runs(next(line for line in text.splitlines() if line.startswith("15 ")), tmp_path)
    assert json.loads(Path(start.environment["WITNESS"]).read_text())[2]["DB"] == "p%w d"
    assert "p%w" not in text


def test_a_guard_for_another_zone_lets_the_command_through_at_its_time_alone(start, tmp_path):
    zone = When("day", 6, 15, zone="Europe/Berlin")
    text = crontab_lines(replace(start, when=zone), "UTC", NOW)
    line = next(line for line in text.splitlines() if not line.startswith("#"))
    assert line.startswith('15 4,5 * * * test "$(TZ=Europe/Berlin date +\\%H:\\%M)" = 06:15 && ')
    fake = tmp_path / "bin"
    fake.mkdir()
    for clock, runs in (("06:15", True), ("05:15", False)):
        (fake / "date").write_text(
            f'#!/bin/sh\ntest "$TZ$*" = "Europe/Berlin+%H:%M" && echo {clock}\n'
        )
        (fake / "date").chmod(0o755)
        command = line.split(None, 5)[5].replace("\\%", "%")
        env = {"PATH": f"{fake}:/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
        done = subprocess.run(["/bin/sh", "-c", command], env=env)
        assert (done.returncode == 0) is runs
        assert Path(start.environment["WITNESS"]).exists() is runs
        Path(start.environment["WITNESS"]).unlink(missing_ok=True)


def test_the_guard_goes_on_where_clocks_skip_the_time_of_day(start, tmp_path):
    when = When("day", 2, 30, zone="Europe/Berlin")
    text = crontab_lines(replace(start, when=when), "UTC", NOW)
    line = next(line for line in text.splitlines() if not line.startswith("#"))
    command = line.split(None, 5)[5].replace("\\%", "%")
    fake = tmp_path / "bin"
    fake.mkdir()
    moments = {
        "2026-03-28T01:30Z": True, "2026-03-29T00:30Z": False, "2026-03-29T01:30Z": True,
        "2026-03-30T00:30Z": True, "2026-03-30T01:30Z": False, "2027-03-28T01:30Z": True,
    }  # fmt: skip
    date = shutil.which("date")
    for moment, runs in moments.items():
        (fake / "date").write_text(f'#!/bin/sh\nexec {date} -d {moment} "$@"\n')
        (fake / "date").chmod(0o755)
        env = {"PATH": f"{fake}:/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
        subprocess.run(["/bin/sh", "-c", command], env=env)
        assert Path(start.environment["WITNESS"]).exists() is runs, moment
        Path(start.environment["WITNESS"]).unlink(missing_ok=True)


@pytest.mark.skipif(not has("crontab"), reason="no cron")
@pytest.mark.parametrize("zone", [None, "Asia/Kolkata"])
def test_crontab_itself_finds_the_syntax_right(start, tmp_path, zone):
    file = tmp_path / "crontab"
    for every in ("hour", "day", "week", "month"):
        when = When(every, 6, 15, "sun", 31, zone)
        file.write_text(crontab_lines(replace(start, when=when), "UTC", NOW))
        for flag in ("-n", "-T"):  # Debian's, cronie's
            done = subprocess.run(["crontab", flag, file], capture_output=True, text=True)
            if "successfully checked" in done.stderr or done.returncode == 0:
                break
        else:
            pytest.fail(done.stderr)


def test_a_line_that_cron_would_cut_is_refused(start):
    long = replace(start, environment={"LSTMCAST_NOTE": "x" * 1000})
    with pytest.raises(UsageError) as error:
        crontab_lines(long, "UTC", NOW)
    assert error.value.code == "schedule/line-too-long"


@pytest.mark.parametrize(
    "printed", [lambda start: units(start, NOW), lambda start: crontab_lines(start, "UTC", NOW)]
)
def test_a_line_end_in_a_path_or_value_is_refused(start, printed):
    for bad in (
        replace(start, config=start.config.with_name("a\nb.yaml")),
        replace(start, environment={"LSTMCAST_NOTE": "a\nExecStart=/bin/evil"}),
    ):
        with pytest.raises(UsageError) as error:
            printed(bad)
        assert error.value.code == "schedule/control-character"


@pytest.mark.skipif(not has("systemd-analyze"), reason="no systemd")
def test_systemd_finds_nothing_to_say_about_the_units(start, tmp_path):
    where = tmp_path / "units"
    where.mkdir()
    start = replace(start, secrets=("DB",), limit=1200.0)
    for name, text in units(start, NOW).items():
        (where / name).write_text(text)
    words = ["systemd-analyze", "verify", *map(str, where.iterdir())]
    done = subprocess.run(words, capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if "lstmcast" in line]
    assert (done.returncode, ours) == (0, [])


def exposure(service: Path) -> float:
    """What systemd says of how much a unit may do: 0 nothing, 10 everything."""
    words = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(service)]
    done = subprocess.run(words, capture_output=True, text=True)
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", done.stdout)
    assert found, done.stdout + done.stderr
    return float(found[1])


@pytest.mark.skipif(not has("systemd-analyze"), reason="no systemd")
@pytest.mark.parametrize(("accelerator", "most"), [(True, 2.8), (False, 2.6)])
def test_the_service_may_do_little(start, tmp_path, accelerator, most):
    start = replace(start, accelerator=accelerator, writes=(tmp_path,))
    name, text = next(iter(units(start, NOW).items()))
    (tmp_path / name).write_text(text)
    assert exposure(tmp_path / name) <= most
    assert f"ReadWritePaths=-{tmp_path}\n" in text
    for word in ("PrivateTmp=yes", "ProtectSystem=strict", "NoNewPrivileges=yes"):
        assert word in text


def test_a_job_may_write_to_its_folder_and_to_that_of_its_metrics(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "textfile").mkdir()
    (tmp_path / "b.yaml").write_text(
        "jobs:\n  a: {data: d.csv, folder: out, metrics_file: textfile/a.prom}\n"
        "  b: {data: d.csv, folder: not/yet/there}\n"
    )
    jobs = load_config(tmp_path / "b.yaml", environ={}).jobs
    assert start_of(jobs["a"], {}).writes == (tmp_path / "out", tmp_path / "textfile")
    assert start_of(jobs["b"], {}).writes == (tmp_path,)


def test_the_units_start_once_make_up_for_what_was_missed_and_take_no_lock(start):
    service, timer = units(replace(start, limit=1200.0), NOW).values()
    assert "Type=oneshot" in service
    assert "SuccessExitStatus=3" in service
    assert "TimeoutStartSec=1200s" in service
    assert "Persistent=true" in timer
    assert "OnCalendar=*-*-* 06:15:00" in timer
    assert "flock" not in service + timer
    assert "TimeoutStartSec=infinity" in next(iter(units(start, NOW).values()))


def test_two_jobs_never_share_a_unit():
    stems = [unit_stem(job) for job in ("a b", "a-b", "a/b", "../../x", "", "é", "a" * 100)]
    assert len(set(stems)) == len(stems)
    assert all(re.fullmatch(r"lstmcast-[A-Za-z0-9_.-]+", stem) for stem in stems)
    assert unit_stem("store-sales_2") == "lstmcast-store-sales_2"


def test_our_settings_are_carried_over_and_secrets_are_not():
    environ = {"LSTMCAST_SEED": "3", "LSTMCAST_TZ": "x", "LSTMCAST_OTHER_TOKEN": "secret"}
    environ |= {"HOME": "/root", "TZ": "UTC", "LSTMCAST_DB": "postgresql://me:secret@host/base"}
    assert carried(environ, ("LSTMCAST_TZ",)) == {
        "LC_ALL": "C.UTF-8",
        "LSTMCAST_SEED": "3",
        "TZ": "UTC",
    }


def test_a_path_of_the_environment_holds_wherever_the_schedule_starts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environ = {"LSTMCAST_EVENTS": "own.csv", "LSTMCAST_STATIC": "/a/b.csv"}
    environ["LSTMCAST_DB_PASSWORD"] = "env:NAME"
    found = carried(environ)
    assert found["LSTMCAST_EVENTS"] == str(tmp_path / "own.csv")
    assert (found["LSTMCAST_STATIC"], found["LSTMCAST_DB_PASSWORD"]) == ("/a/b.csv", "env:NAME")


def test_the_program_is_this_installation_and_starts(tmp_path):
    program = own_program()
    assert os.path.isabs(program[0])
    (tmp_path / "typer.py").write_text("raise SystemExit('a file of the working folder was run')")
    done = subprocess.run(
        [*program, "--version"], cwd=tmp_path, env={}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("lstmcast ")
