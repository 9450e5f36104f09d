"""The command line from outside: help, exit codes, errors, streams, start-up."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from forecast.cli.app import COMMANDS, build_app
from forecast.config.options import BACKTEST_ONLY, all_options
from tests import ROOT

HEAVY = ("torch", "pandas", "pyarrow", "numpy", "statsforecast", "sklearn", "matplotlib", "plotext")


def in_process(*words: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "forecast", *words],
        capture_output=True,
        text=True,
        timeout=60,
        **{"cwd": ROOT, **options},
    )


def test_every_command_has_help_that_begins_with_its_line_in_the_list(lstmcast):
    listing = " ".join(lstmcast("--help")[1].split())
    for name, line in COMMANDS.items():
        code, out, err = lstmcast(name, "--help")
        assert (code, err) == (0, "")
        assert f"lstmcast {name}" in out
        assert line in listing
        assert line.split(",")[0].split(":")[0].rstrip(".") in " ".join(out.split())


def test_train_offers_a_flag_for_every_setting_that_people_have_a_reason_to_change(
    lstmcast, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "200")
    flags = set(re.findall(r"--[a-z-]+", lstmcast("train", "--help-all")[1]))
    shown = {
        o.flag if o.default is not True else o.flag.replace("--", "--no-")
        for o in all_options()
        if o.path not in BACKTEST_ONLY
        and o.has_flag
        and not o.path.startswith(
            ("compare.", "engine.", "tuning.", "federation.")
        )  # other commands' own
    }
    assert shown <= flags
    assert {"--config", "--show-config", "--json", "--quiet", "--verbose", "--debug"} <= flags


def test_help_shows_the_defaults_in_force(lstmcast, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    out = " ".join(lstmcast("train", "--help-all")[1].split())
    assert "Levels of the prediction intervals, per cent. (default: 80,95)" in out
    assert "Forecasters to compare with" in out
    assert "(for train arima,seasonal-naive; for backtest ets and theta as well, and Naive2;" in out


def test_without_a_command_the_help_is_shown_and_it_is_a_usage_error(lstmcast):
    code, out, _ = lstmcast()
    assert code == 2
    assert "train" in out


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("trian", "x.csv"), "usage/command-line", "No such command 'trian'"),
        (("train", "x.csv", "--horizn", "3"), "usage/no-such-option", "--horizon"),
        (("train", "x.csv", "--horizon"), "usage/bad-option-usage", "requires an argument"),
        (("train", "x.csv", "y.csv"), "usage/command-line", "y.csv"),
        (("train",), "usage/missing-data", "DATA is missing"),
        (("train", "--query", "select 1"), "usage/missing-data", "--db sqlite:///sales.db"),
        (("check",), "usage/missing-data", "lstmcast check sample_data/"),
        (("inspect", "x", "y"), "usage/command-line", "y"),
        (("train", "x.csv", "--horizon", "0"), "config/bad-value", "must be at least 1"),
        (("train", "x.csv", "--config", "zzz"), "config/not-found", "default, fast"),
    ],
)
def test_a_wrong_command_line_is_exit_2_with_a_code_and_a_remedy(lstmcast, words, code, text):
    exit_code, out, err = lstmcast(*words)
    assert exit_code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert f"  code   {code}\n" in err
    assert text in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("--target-col", "A", "--target-col", "B b"), "--target-col 'A,B b'"),
        (("--level", "80", "--level", "90"), "--level 80,90"),
        (("--cost", "9", "--cost=1"), "--cost 9,1"),
    ],
)
def test_a_list_in_several_flags_is_refused_with_how_it_is_written(lstmcast, words, advice):
    code, out, err = lstmcast("train", "x.csv", *words)
    assert (code, out) == (2, "") and "usage/contradiction" in err
    assert f"{words[0]} is given more than once" in err
    assert f"Write {advice} for all, or leave all but one out" in " ".join(err.split())
    followed = shlex.split(advice)
    shown = json.loads(lstmcast("train", *followed, "--show-config", "--json")[1])
    values = {
        row["name"].split(".")[1].replace("_", "-"): row["value"] for row in shown["settings"]
    }
    assert values[words[0].removeprefix("--")] in ("A,B b", [80.0, 90.0], [9.0, 1.0])


def test_an_error_with_json_is_a_document_on_stdout(lstmcast):
    code, out, err = lstmcast("train", "x.csv", "--horizon", "x", "--json")
    assert (code, err) == (2, "")
    assert json.loads(out) == {
        "schema_version": 1,
        "error": {
            "code": "config/bad-value",
            "message": "--horizon must be a whole number",
            "where": None,
            "value": "x",
            "remedy": "Give one that fits, or leave it out: steps ahead (by the frequency and the "
            "length of the data).",
            "exit_code": 2,
        },
    }


def test_show_config_says_where_each_value_came_from(lstmcast, monkeypatch):
    monkeypatch.setenv("LSTMCAST_SEED", "9")
    code, out, _ = lstmcast("train", "--show-config", "--config", "fast", "--horizon", "6")
    rows = {line.split()[0]: line.split() for line in out.splitlines() if "." in line}
    assert code == 0
    assert rows["forecast.horizon"][1:] == ["6", "--horizon"]
    assert rows["training.seed"][1:] == ["9", "LSTMCAST_SEED"]
    assert rows["training.members"][1:5] == ["1", "preset", "fast,", "line"]
    assert rows["network.layers"][-1] == "default"
    assert set(rows) == {option.path for option in all_options()}


def test_show_config_as_json_has_values_with_their_types(lstmcast):
    _, out, _ = lstmcast("predict", "--show-config", "--json", "--level", "90", "--root", "x")
    document = json.loads(out)
    rows = {row["name"]: row for row in document["settings"]}
    assert document["schema_version"] == 1
    assert rows["forecast.level"] == {
        "name": "forecast.level",
        "value": [90.0],
        "source": "--level",
    }
    assert rows["output.root"]["value"] == "x"


def test_a_switch_can_be_turned_off_again(lstmcast, monkeypatch):
    monkeypatch.setenv("LSTMCAST_WIDE", "yes")
    rows = json.loads(lstmcast("check", "--show-config", "--json", "--no-wide")[1])["settings"]
    assert {"name": "data.wide", "value": False, "source": "--no-wide"} in rows


def test_both_ways_of_a_switch_work_though_help_shows_the_one_that_changes_something(lstmcast):
    def blend(*words: str) -> tuple[bool, str]:
        rows = json.loads(lstmcast("train", "--show-config", "--json", *words)[1])["settings"]
        row = next(row for row in rows if row["name"] == "baselines.blend")
        return row["value"], row["source"]

    assert blend() == (True, "default")
    assert blend("--no-blend") == (False, "--no-blend")
    assert blend("--blend") == (True, "--blend")
    code, _, err = lstmcast("train", "--show-config", "--blend", "--no-blend")
    assert code == 2
    assert err.startswith("error: --blend and --no-blend contradict each other\n")


def test_a_setting_without_a_flag_is_given_by_name(lstmcast):
    def patience(*words: str) -> tuple[int, str]:
        rows = json.loads(lstmcast("train", "--show-config", "--json", *words)[1])["settings"]
        row = next(row for row in rows if row["name"] == "training.patience")
        return row["value"], row["source"]

    assert patience() == (8, "default")
    assert patience("--set", "training.patience=20") == (20, "--set training.patience")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--patience", "20"), "usage/no-such-option", "--set training.patience=VALUE"),
        (("--patience=20",), "usage/no-such-option", "patience: VALUE below training:"),
        (("--no-refit",), "usage/no-such-option", "--set training.refit=false"),
        (("--set", "training.patience"), "usage/set", "--set training.patience=20"),
        (("--set", "training.patiense=2"), "config/unknown-key", "training.patience"),
        (("--set", "tuning.trials=2"), "config/unknown-key", "Leave it out here"),
        (("--set", "training.patience=x"), "config/bad-value", "alidation rounds"),
        (("--set", "training.clip=1", "--set", "training.clip=2"), "usage/contradiction", "one of"),
        (("--horizon", "3", "--set", "forecast.horizon=4"), "usage/contradiction", "one of them"),
    ],
)
def test_what_is_wrong_with_a_setting_by_name_is_told_and_how_it_is_right(
    lstmcast, words, code, says
):
    got, out, _ = lstmcast("train", "x.csv", "--json", *words)
    error = json.loads(out)["error"]
    assert (got, error["code"]) == (2, code)
    assert says in error["remedy"]


def test_the_version_is_one_line():
    done = in_process("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"lstmcast (\d+\.\d+\.\d+\S*|unknown)\n", done.stdout)


def test_the_version_as_json_names_what_it_runs_on():
    done = in_process("--version", "--json")
    document = json.loads(done.stdout)
    assert document["schema_version"] == 1
    assert document["python"] == ".".join(map(str, sys.version_info[:3]))
    assert re.match(r"\d+\.\d+", document["torch"])
    assert isinstance(document["devices"], list)


@pytest.mark.parametrize("words", [("--help",), ("train", "--help"), ("--version",)])
def test_help_imports_nothing_heavy(words):
    script = (
        "import sys\nfrom forecast.cli.app import run\n"
        f"run({list(words)!r})\n"
        f"print('loaded', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "loaded []", done.stderr


def test_check_of_a_file_imports_neither_torch_nor_pandas():
    data = ROOT / "sample_data" / "airline_passengers.csv"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "forecast", "check", str(data)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 0
    assert "144, none missing" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "pyarrow" in imported
    assert not imported & {"torch", "pandas", "pandas.core.frame", "statsforecast", "matplotlib"}


def complete(line: str, folder: Path = ROOT) -> list[str]:
    """What bash is offered for the last word of `line`."""
    words = line.split(" ")
    environ = {
        "_LSTMCAST_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "PYTHONPATH": str(ROOT),
    }
    return in_process(env={**os.environ, **environ}, cwd=folder).stdout.split()


def test_completion_offers_presets_runs_series_and_jobs(tmp_path):
    for name in ("air", "shops"):
        (tmp_path / "runs" / name / "model").mkdir(parents=True)
        (tmp_path / "runs" / name / "predictions.csv").write_text(
            f"unique_id,ds,LSTM\n{name}-1,2020,1\n{name}-1,2021,1\n{name}-2,2020,1\n"
        )
        os.utime(tmp_path / "runs" / name, (len(name), len(name)))
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "batch.yaml").write_text("jobs:\n  sales: {}\n  stock: {}\n  load: {}\n")
    assert complete("lstmcast train x.csv --config fa", tmp_path) == ["fast"]
    assert complete("lstmcast train x.csv --config b", tmp_path) == ["batch.yaml"]
    assert complete("lstmcast plot ", tmp_path) == ["runs/shops", "runs/air"]
    assert complete("lstmcast predict --model runs/a", tmp_path) == ["runs/air"]
    assert complete("lstmcast plot runs/air --series ", tmp_path) == ["air-1", "air-2"]
    assert complete("lstmcast plot --series ", tmp_path) == ["shops-1", "shops-2"]
    assert complete("lstmcast run batch.yaml --job s", tmp_path) == ["sales", "stock"]
    assert complete("lstmcast run nowhere.yaml --job s", tmp_path) == []


def test_completion_offers_commands_options_and_choices():
    assert complete("lstmcast tr") == ["train"]
    assert complete("lstmcast train --horiz") == ["--horizon"]
    assert complete("lstmcast train --duplicates m") == ["mean"]
    assert complete("lstmcast train --baselines arima,e") == ["arima,ets"]


def test_only_the_wanted_command_is_imported():
    loaded = in_process_modules(["predict", "--help"])
    assert "forecast.cli.commands.predict" in loaded
    assert "forecast.cli.commands.train" not in loaded


def in_process_modules(words: list[str]) -> list[str]:
    script = (
        f"import sys\nfrom forecast.cli.app import run\nrun({words!r})\nprint(*sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    return done.stdout.splitlines()[-1].split()


def test_the_app_knows_every_command_even_unread():
    names = {command.name for command in build_app([]).registered_commands}
    assert names == set(COMMANDS)


READY_THEN_WAIT = """
import sys, time
from forecast.cli.error_handler import guarded
def work():
    print("ready", file=sys.stderr, flush=True)
    time.sleep(30)
    return 0
sys.exit(guarded(work))
"""


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [
        (signal.SIGTERM, 143, "error: terminated by a signal"),
        (signal.SIGINT, 130, "error: interrupted"),
    ],
)
def test_signals_end_with_their_code_and_no_traceback(number, code, text):
    with subprocess.Popen(
        [sys.executable, "-c", READY_THEN_WAIT], stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        start = time.monotonic()
        process.send_signal(number)
        err = process.stderr.read()
    assert process.returncode == code
    assert err.startswith(text)
    assert "Traceback" not in err
    assert time.monotonic() - start < 20


def test_a_closed_pipe_is_quiet():
    script = (
        "import sys\nfrom forecast.cli.error_handler import guarded\n"
        "def work():\n    for i in range(200_000): print(i)\n    return 0\n"
        "sys.exit(guarded(work))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (141, "")


def test_a_full_disk_behind_stdout_is_exit_74(tmp_path):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with full.open("w") as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "forecast", "train", "--show-config"],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            timeout=60,
        )
    assert done.returncode == 74
    assert done.stderr.splitlines()[0] == (
        "error: the system refused to read or write: No space left on device"
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_closed_stdout_is_no_failure():
    command = f"exec {sys.executable} -m forecast train --show-config >&-"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_ascii_terminal_gets_what_it_can_show():
    done = in_process("train", "--show-config", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "forecast.horizon" in done.stdout


def test_verbose_names_the_settings_that_were_given(lstmcast):
    code, _, err = lstmcast("train", "/no/such/file.csv", "-v", "--seed", "5")
    assert code != 0
    assert "- training.seed = 5 (--seed)" in err
    assert "training.members" not in err
