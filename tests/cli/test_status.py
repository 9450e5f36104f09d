"""`lstmcast status` of a job that has run, on the screen and as JSON."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from forecast.cli.app import run
from forecast.cli.error_handler import guarded


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """The config of two jobs, of which one has published twice, the second time with actuals."""
    home = tmp_path_factory.mktemp("jobs")
    config = home / "batch.yaml"
    config.write_text(
        "jobs:\n"
        "  sales: {data: sales.csv, model: pretrained, settings: {forecast: {horizon: 3}}}\n"
        "  stock: {data: stock.csv, model: pretrained}\n"
    )
    for months in (48, 52):
        rows = [f"{2000 + n // 12}-{n % 12 + 1:02d},{100 + n % 12}" for n in range(months)]
        (home / "sales.csv").write_text("month,sales\n" + "\n".join(rows) + "\n")
        assert guarded(lambda: run(["run", str(config), "--job", "sales", "--quiet"])) == 0
    return config


def call(capsys, *words: str) -> tuple[int, str]:
    code = guarded(lambda: run(["status", *words]), as_json="--json" in words)
    return code, capsys.readouterr().out


def test_one_line_a_job_and_the_state_of_each(published, capsys):
    code, out = call(capsys, str(published))
    assert code == 0
    sales, stock = (next(x for x in out.splitlines() if x.startswith(n)) for n in ("sales", "stoc"))
    assert "in order" in sales
    assert "2004-04" in sales
    assert "never run" in stock


def test_a_job_alone_is_shown_with_its_forecast_reasons_and_live_scores(published, capsys):
    code, out = call(capsys, str(published), "--job", "sales")
    assert code == 0
    assert "3 steps after 2004-04" in out
    assert f"{published.parent}/sales/current: predictions.csv" in out
    assert "as the job asks" in out
    assert "newest" in out
    assert "in 80%" in out


def test_max_age_ends_with_five_for_a_job_that_never_ran_and_is_refused_when_it_is_no_time(
    published, capsys
):
    assert call(capsys, str(published), "--max-age", "26h")[0] == 5
    assert call(capsys, str(published), "--job", "sales", "--max-age", "26h")[0] == 0
    code, out = call(capsys, str(published), "--max-age", "soon", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "config/bad-value")


def test_the_document_has_the_same_facts(published, capsys):
    code, out = call(capsys, str(published), "--json", "--max-age", "26h")
    document = json.loads(out, parse_constant=pytest.fail)
    assert code == document["exit_code"] == 5
    sales, stock = document["jobs"]
    assert (sales["state"], stock["state"]) == ("in order", "never run")
    assert sales["published"]["as_of"] == "2004-04"
    assert sales["scores"]["by_age"]["newest"]["count"] == 3
    assert stock["published"] is None
    assert list(published.parent.glob("stock*")) == []


def test_a_damaged_published_forecast_is_the_jobs_state_and_exit_code(published, capsys, tmp_path):
    home = tmp_path / "jobs"
    shutil.copytree(published.parent, home, symlinks=True)
    current = home / "sales" / "current"
    (home / "sales" / "runs" / current.readlink().name / "manifest.json").write_text('{"x"')
    code, out = call(capsys, str(home / "batch.yaml"), "--job", "sales")
    assert code == 12
    assert "what is published is damaged; the next run publishes anew" in out
    assert guarded(lambda: run(["run", str(home / "batch.yaml"), "--job", "sales", "-q"])) == 0
    assert call(capsys, str(home / "batch.yaml"), "--job", "sales")[0] == 0
