"""What is handed out works where it lands: the source distribution, and prediction without torch.

    python proof/packages.py [--full]

1. The source distribution is built and unpacked; its tests are collected whole and, of them, those
   that look at files of the project are run (--full: all of them), with nothing else to import.
2. The wheel and requirements-predict.txt go into an empty virtual environment. A model that was
   trained here predicts there, to the byte what it predicts here; the package's own network
   forecasts, the page of the run is made again; torch is not there, and what needs it says so.

Exits with 1 where something failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "sample_data" / "airline_passengers.csv"
LOOKING_AT_FILES = (
    "project", "config/test_schema.py", "scheduling/test_init.py", "reporting/test_report.py",
    "models/test_pretrained.py",
)  # fmt: skip


def call(*words: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """A command's end; its output is kept."""
    words = tuple(str(word) for word in words)
    return subprocess.run(words, capture_output=True, text=True, **options)  # type: ignore[call-overload]


def distributions(folder: Path) -> tuple[Path, Path]:
    """The source distribution, and the wheel that is built from it."""
    done = call(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    if done.returncode:
        raise SystemExit(f"the distributions cannot be built:\n{done.stdout}{done.stderr}")
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


def unpacked_tests(source: Path, folder: Path, full: bool) -> list[str]:
    """What fails in the unpacked source distribution."""
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    place = folder / source.name.removesuffix(".tar.gz")
    environment = {**os.environ, "PYTHONPATH": str(place), "OMP_WAIT_POLICY": "PASSIVE"}
    test = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider"]
    own = "import forecast; print(forecast.__file__)"
    where = call(sys.executable, "-P", "-c", own, cwd=place, env=environment).stdout
    wrong = [] if where.startswith(str(place)) else [f"the tests would run another copy: {where}"]
    chosen = [f"tests/{name}" for name in LOOKING_AT_FILES]
    chosen = ["tests"] if full else [name for name in chosen if (place / name).exists()]
    for words in ([*test, "--collect-only", "tests"], [*test, *chosen]):
        done = call(*words, cwd=place, env=environment)
        print(f"  {' '.join(words[5:])[:70]} …: {done.stdout.strip().splitlines()[-1]}", flush=True)
        if done.returncode:
            wrong.append(done.stdout[-3000:] + done.stderr[-500:])
    return wrong


def prediction_alone(wheel: Path, folder: Path) -> list[str]:
    """What fails where only the packages that prediction needs are installed."""
    here = [sys.executable, "-P", "-m", "forecast"]
    # env: no other copy is on the path, which pip would take for the installed one
    there = ["env", "-u", "PYTHONPATH", folder / "light/bin/lstmcast"]
    pip = ["env", "-u", "PYTHONPATH", folder / "light/bin/python", "-m", "pip", "install"]
    call(sys.executable, "-m", "venv", folder / "light", check=True)
    call(*pip, "--quiet", "--no-deps", wheel, check=True)
    call(*pip, "--quiet", "--requirement", ROOT / "requirements-predict.txt", check=True)
    size = call("du", "-sm", folder / "light").stdout.split()[0]
    print(f"  an environment for prediction: {size} MB", flush=True)
    model = folder / "run"
    call(*here, "train", SAMPLE, "--out", model, "--config", "fast", "--quiet", check=True)
    for words, name in ((here, "here.csv"), (there, "there.csv")):
        call(*words, "predict", SAMPLE, "--model", model, "--output", folder / name, check=True)
    wrong = []
    if (folder / "here.csv").read_bytes() != (folder / "there.csv").read_bytes():
        wrong.append("the forecast without torch differs")
    for words in (
        ("forecast", SAMPLE, "--output", folder / "ahead.csv"),
        ("detect", ROOT / "sample_data" / "co2_weekly.csv", "--quiet"),
        ("report", model, "--data", SAMPLE, "--output", folder / "page.html"),
        ("check", SAMPLE),
    ):
        done = call(*there, *words)
        print(f"  lstmcast {words[0]}: exit code {done.returncode}", flush=True)
        if done.returncode:
            wrong.append(f"lstmcast {words[0]}: {done.stderr[-800:]}")
    done = call(*there, "train", SAMPLE, "--out", folder / "none")
    print(f"  lstmcast train: exit code {done.returncode}", flush=True)
    if done.returncode != 2 or "torch" not in done.stderr:
        wrong.append(f"train without torch does not say what is missing: {done.stderr[-800:]}")
    return wrong


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--full", action="store_true", help="run every test of the distribution")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, wheel = distributions(folder / "dist")
        wrong = unpacked_tests(source, folder, given.full)
        wrong += prediction_alone(wheel, folder)
    print("\n".join(wrong) or "both distributions work where they land")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
