"""What is handed out: metadata, the page for an index, the set for prediction, the image."""

from __future__ import annotations

import re
import runpy
import tomllib

import pytest
import setuptools

from forecast.cli.app import run
from forecast.cli.error_handler import as_forecast_error
from forecast.common import resources
from forecast.common.errors import UsageError
from tests import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOT_FOR_PREDICTION = {"torch", "statsforecast", "scikit-learn", "matplotlib"}


def name_of(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9-]", requirement)[0]


def steps_of(dockerfile: str) -> list[str]:
    return re.sub(r"\\\n\s*", " ", dockerfile).splitlines()


@pytest.mark.parametrize("address", ["", "https://host.example/owner/lstmcast"])
def test_no_link_of_the_page_for_the_index_is_relative(monkeypatch, address):
    told = {}
    monkeypatch.setenv("PROJECT_URL", address)
    monkeypatch.setattr(setuptools, "setup", lambda **fields: told.update(fields))
    runpy.run_path(str(ROOT / "setup.py"))
    links = re.findall(r"\]\(([^)\s]+)\)", told["long_description"])
    assert all(link.startswith("https://") for link in links)
    assert bool(links) == bool(told["project_urls"]) == bool(address)
    assert "lstmcast train" in told["long_description"]


def test_the_licence_is_the_one_that_the_metadata_name():
    assert PROJECT["license"] == "MIT"
    text = (ROOT / PROJECT["license-files"][0]).read_text(encoding="utf-8")
    assert text.startswith("MIT License") and "THE SOFTWARE IS PROVIDED" in text


def test_prediction_needs_the_dependencies_without_what_only_training_uses():
    lines = (ROOT / "requirements-predict.txt").read_text(encoding="utf-8").splitlines()
    named = [line for line in lines if line and not line.startswith("#")]
    needed = [each for each in PROJECT["dependencies"] if name_of(each) not in NOT_FOR_PREDICTION]
    assert named == needed


def test_the_image_has_the_packages_torch_and_no_root():
    steps = steps_of((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    torch = next(each for each in PROJECT["dependencies"] if name_of(each) == "torch")
    assert any(f'"{torch}"' in step for step in steps if step.startswith("RUN"))
    assert [step for step in steps if step.startswith("USER")] == ["USER 10001"]
    last = max(i for i, step in enumerate(steps) if step.startswith("FROM"))
    assert steps[last] == "FROM user"  # the stage that has the user, the health check, the command
    assert any("lstmcast status" in step for step in steps if step.startswith("HEALTHCHECK"))


def test_what_the_image_is_built_from_is_not_ignored():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    kept = {line[1:] for line in lines if line.startswith("!")}
    named = {"pyproject.toml", "setup.py", "README.md", "LICENSE", "requirements-predict.txt"}
    assert named | {"forecast", "configs", "sample_data"} <= kept
    assert all((ROOT / name).exists() for name in kept)


@pytest.mark.parametrize("command", ["train", "backtest", "compare", "tune", "distill"])
def test_training_without_torch_says_so_before_any_work(command, monkeypatch):
    monkeypatch.setattr(resources, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="training needs torch, which is not installed") as caught:
        run([command, "no-such-file.csv"])
    assert caught.value.code == "usage/dependency-missing"


def test_a_library_that_prediction_alone_leaves_out_is_no_bug():
    missing = ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib.figure")
    assert "matplotlib, which is not installed" in str(as_forecast_error(missing))
    other = ModuleNotFoundError("No module named 'forecast.typo'", name="forecast.typo")
    assert as_forecast_error(other).code == "bug/unexpected"
