"""Nothing that lies beside the user's data is ever run, whatever it is called."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

NAMES = (
    "forecast", "torch", "json", "numpy", "joblib", "random", "safetensors", "statsforecast",
    "sitecustomize", "selectors", "captum",
)  # fmt: skip
HOSTILE = """
from pathlib import Path
Path(__file__).with_name("EXECUTED").open("a").write(__name__ + "\\n")
raise SystemExit("a file of the user's folder was run")
"""


def hostile_folder(folder: Path) -> Path:
    """A folder with data, and beside it modules that tell on whoever imports them."""
    for name in NAMES:
        (folder / f"{name}.py").write_text(HOSTILE)
    package = folder / "forecast"
    package.mkdir()
    for name in ("__init__", "__main__", "training", "cli"):
        (package / f"{name}.py").write_text(
            HOSTILE.replace('with_name("EXECUTED")', "parent.parent.joinpath('EXECUTED')")
        )
    rows = [f"{2000 + n // 12}-{n % 12 + 1:02d},{100 + n + 30 * (n % 12)}" for n in range(72)]
    (folder / "sales.csv").write_text("month,sales\n" + "\n".join(rows) + "\n")
    return folder


def lstmcast_in(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command as its script starts it: the folder is not on the path of imports."""
    start = (
        "import sys; sys.path[:0] = [sys.argv.pop(1)]; from forecast.__main__ import main; main()"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [sys.executable, "-P", "-c", start, str(ROOT), *words],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_training_runs_nothing_of_the_users_folder(tmp_path):
    folder = hostile_folder(tmp_path)
    done = lstmcast_in(
        folder, "train", "sales.csv", "--baselines", "none", "--hidden", "8", "--members", "1",
        "--max-steps", "3",
        "--set", "training.refit=false", "--windows", "1", "--horizon", "3", "--jobs", "1",
    )  # fmt: skip
    assert not (folder / "EXECUTED").exists(), (folder / "EXECUTED").read_text()
    assert done.returncode == 0, done.stderr
    assert "LSTM" in done.stdout
    assert not list(folder.rglob("__pycache__"))


def test_the_pool_of_the_baselines_runs_nothing_of_the_users_folder(tmp_path):
    """Its workers and its resource tracker are two more ways in which Python is started."""
    folder = hostile_folder(tmp_path)
    code = """
import sys, time
sys.path.insert(0, sys.argv[1])
from forecast.common.workers import Pool
with Pool(1, time.time) as pool:
    (_, answer), = pool.results_until(time.monotonic() + 60, abs, [-7])
print(answer)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(ROOT)],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert not (folder / "EXECUTED").exists(), (folder / "EXECUTED").read_text()
    assert done.stdout == "7\n", done.stderr


def test_python_started_with_the_folder_on_its_path_takes_it_off(tmp_path):
    """As `python -m forecast` does, where the package is installed."""
    folder = hostile_folder(tmp_path)
    for name in ("forecast.py", "forecast"):  # these two Python itself would start
        (folder / name).rename(folder / f"was-{name}")
    done = subprocess.run(
        [sys.executable, "-m", "forecast", "check", "sales.csv", "--json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert not (folder / "EXECUTED").exists(), (folder / "EXECUTED").read_text()
    assert done.returncode == 0, done.stderr


def test_every_place_that_starts_python_says_how():
    """`python_command` is the one way to start Python: it leaves the current folder out."""
    starts = re.compile(r"sys\.executable")
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "forecast").rglob("*.py")
        if starts.search(path.read_text(encoding="utf-8"))
    }
    shown_only = {
        "forecast/scheduling/doctor.py",  # says which Python it is
        "forecast/scheduling/timers.py",  # a command line for cron, with -P
    }
    assert found - shown_only == {"forecast/common/workers.py"}


@pytest.mark.parametrize("printed", ["Traceback ...\nImportError: no spaceship", "Killed"])
def test_the_message_of_a_dead_worker_is_what_it_printed(tmp_path, monkeypatch, printed):
    from forecast.common.errors import TrainingError
    from forecast.training import ensemble
    from forecast.transforms.windows import step_layout
    from tests.builders import make_panel, train_config

    def dies(module: str, *arguments: str) -> list[str]:
        return ["/bin/sh", "-c", f"printf '%s' '{printed}' >&2; exit 3"]

    monkeypatch.setattr(ensemble, "python_command", dies)
    panel = make_panel((60,))
    task = ensemble.MemberTask(
        panel.values, panel.offsets, panel.lengths - 6, panel.lengths[None] - 12, step_layout(12),
        train_config(), 0.0, 0.3,
    )  # fmt: skip
    with pytest.raises(TrainingError) as caught:
        ensemble.train_members(task, [1], tmp_path, 1)
    assert printed.splitlines()[-1] in str(caught.value.value)
    memory = "memory" in str(caught.value.remedy)
    assert memory == (printed == "Killed")  # an ImportError is no lack of memory
