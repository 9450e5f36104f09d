"""What a person and a monitor are told of a job, for every way in which a run can have ended."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forecast.scheduling.live_scores import Live
from forecast.scheduling.publication import PublishedForecast
from forecast.scheduling.status import JobFacts, ago, describe, exit_code, sentence

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOTHING = Live(0, 0, math.nan, math.nan)


def attempt(outcome: str | None, hours: float = 2, **more) -> dict:
    at = (NOW - hours * HOUR).isoformat()
    well = outcome in ("published", "rolled back")
    success = {"at": at, "run": "r1", "as_of": "2026-01-09"} if well else None
    return {
        "state": "finished" if outcome else "running",
        "outcome": outcome,
        "exit_code": 0,
        "started": at,
        "finished": at,
        "failures_in_a_row": 0,
        "error": None,
        "last_success": success,
        **more,
    }


def facts(**more) -> JobFacts:
    known: dict = {
        "job": "sales", "folder": Path("/srv/sales"), "last": None, "running": None,
        "current": None, "runs": 0, "withdrawn": 0, "recent": NOTHING, "expected": math.nan,
        "ages": {}, "steps": {}, "bytes_kept": 0,
    }  # fmt: skip
    return JobFacts(**{**known, **more})


def made_forecast() -> PublishedForecast:
    return PublishedForecast(
        "r1",
        {
            "as_of": "2026-01-09",
            "created": (NOW - 3 * HOUR).isoformat(),
            "horizon": 7,
            "series": {"forecast": 3, "fallbacks": 1, "by_source": {"LSTM": 2}, "left_out": []},
            "model": {"id": "m1", "kind": "trained", "trained_until": "2026-01-02", "promise": {}},
            "outputs": {"predictions.csv": {}, "forecast.parquet": {}},
            "intervals": {"adjusted": {"80": 1.1}},
            "exit_code": 3,
        },
    )


FAILED = {"error": {"code": "x", "message": "the disk is full", "where": None, "remedy": None}}


@pytest.mark.parametrize(
    ("known", "state", "words"),
    [
        ({}, "never run", "it has never run"),
        ({"last": attempt("published")}, "in order", "ended well: published"),
        ({"last": attempt("rolled back")}, "in order", "a rollback holds"),
        ({"last": attempt("published", 50)}, "too old", "for too long"),
        ({"last": attempt("failed", failures_in_a_row=1, **FAILED)}, "failed",
         "the last run failed: the disk is full"),
        ({"last": attempt("failed", failures_in_a_row=3, **FAILED)}, "failed",
         "the last 3 runs failed: the disk is full"),
        ({"last": attempt(None)}, "cut off", "was cut off"),
        ({"last": attempt(None), "running": {"pid": 7, "since": "2026-01-10"}}, "running",
         "a run is at work since 2026-01-10"),
    ],
)  # fmt: skip
def test_the_state_says_how_the_job_stands(known, state, words):
    document = describe(facts(**known), NOW, 26 * 3600.0)
    assert document["state"] == state
    assert words in sentence(document)


def test_a_success_that_is_too_old_or_missing_ends_with_five_and_only_when_asked():
    fresh = describe(facts(last=attempt("published", 25)), NOW, 26 * 3600.0)
    old = describe(facts(last=attempt("published", 27)), NOW, 26 * 3600.0)
    never = describe(facts(), NOW, 26 * 3600.0)
    assert [d["too_old"] for d in (fresh, old, never)] == [False, True, True]
    assert exit_code([fresh]) == 0
    assert exit_code([fresh, old]) == 5
    assert exit_code([describe(facts(), NOW, None)]) == 0


def test_a_run_that_failed_or_was_cut_off_ends_with_its_own_code():
    def code(*known: dict, most: float | None = None) -> int:
        return exit_code(describe(facts(**each), NOW, most) for each in known)

    well = {"last": attempt("published")}
    failed = {"last": attempt("failed", exit_code=4, **FAILED)}
    stale = {"last": attempt("stale", exit_code=5, **FAILED)}
    assert code(well, failed) == 4
    assert code(stale) == 5
    assert code({"last": attempt("published", exit_code=3)}) == 0  # done in part
    assert code({"last": attempt(None)}) == 130
    assert code({"last": attempt(None), "running": {"pid": 7, "since": "2026-01-10"}}) == 0
    assert code(failed, most=3600.0) == 5  # the age was asked for


def test_a_record_that_is_lost_does_not_pass_for_a_job_that_never_ran():
    document = describe(facts(current=made_forecast()), NOW, 26 * 3600.0)
    assert document["state"] == "unknown"
    assert sentence(document) == "what the last run did is not recorded"
    assert document["too_old"]


def test_a_failure_does_not_hide_the_last_success():
    earlier = {"at": (NOW - 5 * HOUR).isoformat(), "run": "r0", "as_of": "2026-01-08"}
    failed = attempt("failed", failures_in_a_row=2, last_success=earlier, **FAILED)
    document = describe(facts(last=failed), NOW, 26 * 3600.0)
    assert document["last_success"]["age_seconds"] == 5 * 3600
    assert not document["too_old"]


def test_what_is_published_is_named_with_its_age_and_files():
    document = describe(
        facts(last=attempt("published"), current=made_forecast(), runs=4), NOW, None
    )
    published = document["published"]
    assert published["folder"] == "/srv/sales/current"
    assert published["files"] == ["predictions.csv"]
    assert published["age_seconds"] == 3 * 3600
    assert published["model"]["trained_until"] == "2026-01-02"
    assert document["kept"] == {"runs": 4, "withdrawn": 0, "bytes": 0}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0s ago"), (59, "59s ago"), (3 * 3600 + 300, "3h 05m ago"), (-86_400, "in the future")],
)
def test_how_long_ago_is_told_by_a_clock_that_may_be_behind(seconds, words):
    assert ago(seconds) == words


def test_what_became_of_the_covariates_of_the_model_in_service_is_known(tmp_path):
    about = tmp_path / "models" / "m1" / "about.json"
    known = {"last": attempt("published"), "current": made_forecast(), "folder": tmp_path}
    assert describe(facts(**known), NOW, None)["published"]["covariates"] is None
    about.parent.mkdir(parents=True)
    chosen = {"name": "covariates", "value": "left out", "why": "too small a gain"}
    about.write_text(
        json.dumps({"chosen": [{"name": "season", "value": "7", "why": "it repeats"}, chosen]})
    )
    assert describe(facts(**known), NOW, None)["published"]["covariates"] == chosen


def test_a_success_of_the_future_is_said_and_is_too_old_for_any_age():
    known = facts(last=attempt("published", hours=-48), current=made_forecast())
    document = describe(known, NOW, None)
    assert document["last_success"]["in_the_future"] is True
    assert (document["state"], exit_code([document])) == ("in order", 0)
    assert "lies in the future (2026-01-12T12:00:00+00:00)" in sentence(document)
    document = describe(known, NOW, 3600.0)
    assert (document["state"], exit_code([document])) == ("too old", 5)
    assert "lies in the future" in sentence(document)
    nearly = describe(facts(last=attempt("published", hours=-0.05)), NOW, 3600.0)
    assert (nearly["last_success"]["in_the_future"], exit_code([nearly])) == (False, 0)
