from __future__ import annotations

import csv
import json
import shutil
import sqlite3
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from forecast.cli.app import run
from forecast.common.errors import InputError, LockedError, OutputError, StaleInputError, UsageError
from forecast.common.progress import Silent
from forecast.config.schema import Settings
from forecast.models.store import load_model
from forecast.scheduling import decisions, ledger, retraining
from forecast.scheduling import forecast as forecasting
from forecast.scheduling.as_of import take_snapshot
from forecast.scheduling.config_file import load_config
from forecast.scheduling.context import RunLog
from forecast.scheduling.decisions import CHALLENGER, Decision
from forecast.scheduling.live_scores import step_scores
from forecast.scheduling.lock import locked
from forecast.scheduling.models import naive_service
from forecast.scheduling.override import override_job
from forecast.scheduling.recovery import read_state
from forecast.scheduling.retention import prune_job
from forecast.scheduling.rollback import roll_back
from forecast.scheduling.run import run_job
from forecast.scheduling.score import score_job
from forecast.scheduling.serving import decide_point
from forecast.scheduling.status import job_facts, job_metrics
from forecast.training import learn as learning
from forecast.training.ensemble import Member
from forecast.training.learn import Learnt
from forecast.workflows.combination import Combination
from forecast.workflows.demand import point_of
from tests.builders import make_panel
from tests.teaching import taught_here

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
DAYS = pd.date_range("2023-11-01", periods=120, freq="D")  # to 28 February
VALUES = make_panel((120, 120, 120), 7).values.reshape(3, 120).round(3)


def data(folder, until=120, values=VALUES, names=("a", "b", "c")):
    frame = pd.DataFrame(
        {
            "unique_id": np.repeat(list(names), until),
            "ds": np.tile(DAYS[:until].strftime("%Y-%m-%d"), len(names)),
            "y": values[:, :until].reshape(-1),
        }
    )
    frame.to_csv(folder / "data.csv", index=False)


def job(folder, more="", model="pretrained", levels="[80, 95]"):
    path = folder / "batch.yaml"
    path.write_text(
        f"jobs:\n  sales:\n    data: data.csv\n    folder: out\n    model: {model}\n    settings:\n"
        f"      forecast: {{horizon: 7, level: {levels}}}\n"
        "      training: {max_steps: 10, members: 1, try_scratch: false}\n"
        f"      evaluation: {{windows: 1}}\n{more}"
    )
    return load_config(path, environ={}).jobs["sales"]


def rows(folder, run="current"):
    place = folder / "out" / run if run == "current" else folder / "out" / "runs" / run
    with open(place / "predictions.csv", newline="") as file:
        return list(csv.DictReader(file))


def cutoffs(folder):
    with ledger.opened(folder / "out" / ledger.NAME) as connection:
        return list(ledger.recorded_runs(connection))


def choices(outcome):
    return {decision.what: decision.choice for decision in outcome.decisions}


def test_a_run_publishes_whole_and_a_second_one_finds_it_done(tmp_path):
    data(tmp_path)
    outcome = run_job(job(tmp_path), now=NOW)
    assert (outcome.outcome, outcome.exit_code, outcome.as_of) == ("published", 0, "2024-02-28")
    published = rows(tmp_path)
    assert [r["ds"] for r in published[:7]] == [f"2024-{d}" for d in (
        "02-29", "03-01", "03-02", "03-03", "03-04", "03-05", "03-06")]  # fmt: skip
    assert len(published) == 21
    assert {r["source"] for r in published} == {"pretrained LSTM"}
    before = sorted((tmp_path / "out" / "runs").iterdir())
    again = run_job(job(tmp_path), now=NOW)
    assert (again.outcome, again.exit_code, again.run) == ("already done", 0, outcome.run)
    assert sorted((tmp_path / "out" / "runs").iterdir()) == before
    assert len(cutoffs(tmp_path)) == 1


def test_the_horizon_counts_the_days_that_there_are_and_is_scored_by_them(tmp_path):
    """A shop that is shut on Sundays beside one that never is: seven days of each."""
    values = VALUES.copy()
    data(tmp_path, values=values)
    table = pd.read_csv(tmp_path / "data.csv")
    sunday = pd.to_datetime(table["ds"]).dt.weekday == 6
    table[~(sunday & (table["unique_id"] == "a"))].to_csv(tmp_path / "data.csv", index=False)
    run_job(job(tmp_path), now=NOW)
    days = {n: [r["ds"] for r in rows(tmp_path) if r["unique_id"] == n] for n in "ab"}
    march = [f"2024-03-0{d}" for d in range(1, 8)]
    assert days["b"] == ["2024-02-29", *march[:6]]
    assert days["a"] == ["2024-02-29", *[d for d in march if d != "2024-03-03"]]
    later = pd.concat([table, pd.DataFrame(
        {"unique_id": n, "ds": ["2024-02-29", *march], "y": range(8)} for n in "abc"
    ).explode(["ds", "y"])])  # fmt: skip
    later[~((later["ds"] == "2024-03-03") & (later["unique_id"] == "a"))].to_csv(
        tmp_path / "data.csv", index=False
    )
    run_job(job(tmp_path), now=datetime(2024, 3, 8, 12, tzinfo=UTC))
    with ledger.opened(tmp_path / "out" / ledger.NAME) as connection:
        true = {score.step: score.count for score in step_scores(connection)}
    assert [true[step] for step in range(1, 8)] == [3, 3, 3, 2, 3, 3, 3]


def test_the_manifest_and_the_log_say_what_was_decided_and_why(tmp_path):
    data(tmp_path)
    outcome = run_job(job(tmp_path), now=NOW)
    place = tmp_path / "out" / "current"
    manifest = json.loads((place / "manifest.json").read_text())
    assert manifest["as_of_moment"].startswith("2024-02-28")
    assert manifest["series"] == {
        "forecast": 3, "fallbacks": 0, "failed": 0, "lost": 0, "by_source": {"pretrained LSTM": 3},
        "left_out": [],
    }  # fmt: skip
    assert manifest["decisions"] == [d.to_dict() for d in outcome.decisions]
    log = [json.loads(line) for line in (place / "log.jsonl").read_text().splitlines()]
    assert [line["text"] for line in log if line["kind"] == "decision"] == [
        f"{d.what}: {d.choice}" for d in outcome.decisions
    ]
    last = json.loads((tmp_path / "out" / "last.json").read_text())
    assert (last["state"], last["outcome"], last["run"]) == ("finished", "published", outcome.run)


def test_restated_data_replace_the_forecast_of_the_same_as_of(tmp_path):
    data(tmp_path)
    first = run_job(job(tmp_path), now=NOW)
    values = VALUES.copy()
    values[1, 50] += 3
    data(tmp_path, values=values)
    second = run_job(job(tmp_path), now=NOW)
    assert second.manifest["replaces"] == first.run
    assert [w["code"] for w in second.warnings] == ["input/history-restated"]
    assert len(cutoffs(tmp_path)) == 1
    assert {r.run for r in read_state(tmp_path / "out").standing} == {first.run, second.run}
    data(tmp_path, until=118, values=values)
    shrunk = run_job(job(tmp_path), now=NOW)
    said = [w["code"] for w in shrunk.warnings]
    assert said == ["input/old", "input/history-shrunk", "run/not-leading"]
    assert (tmp_path / "out" / "current").resolve().name == second.run  # it never goes back


def test_touching_or_reordering_the_file_is_not_new_data(tmp_path):
    data(tmp_path)
    run_job(job(tmp_path), now=NOW)
    frame = pd.read_csv(tmp_path / "data.csv").sample(frac=1, random_state=1)
    frame.to_csv(tmp_path / "data.csv", index=False)
    assert run_job(job(tmp_path), now=NOW).outcome == "already done"


def test_changed_settings_or_damaged_files_are_a_reason_to_run_again(tmp_path):
    data(tmp_path)
    first = run_job(job(tmp_path), now=NOW)
    other = run_job(job(tmp_path, "    outputs: {files: [parquet, csv]}\n"), now=NOW)
    assert other.outcome == "published"
    assert (tmp_path / "out" / "current" / "predictions.parquet").exists()
    (tmp_path / "out" / "current" / "predictions.csv").write_text("mangled")
    healed = run_job(job(tmp_path, "    outputs: {files: [parquet, csv]}\n"), now=NOW)
    assert healed.outcome == "published"
    assert "missing or were changed" in healed.decisions[1].reason
    assert len({first.run, other.run, healed.run}) == 3


def test_an_earlier_as_of_is_published_but_does_not_become_current(tmp_path):
    data(tmp_path)
    newest = run_job(job(tmp_path), now=NOW)
    earlier = run_job(job(tmp_path), as_of="2024-01-31", now=NOW)
    assert (earlier.outcome, earlier.as_of) == ("published", "2024-01-31")
    assert rows(tmp_path, earlier.run)[0]["ds"] == "2024-02-01"
    assert (tmp_path / "out" / "current").resolve().name == newest.run
    assert run_job(job(tmp_path), as_of="2024-01", now=NOW).outcome == "already done"
    assert len(cutoffs(tmp_path)) == 2
    values = VALUES.copy()
    values[:, 95:] = 0  # after that as-of
    data(tmp_path, values=values)
    assert run_job(job(tmp_path), as_of="2024-01-31", now=NOW).outcome == "already done"


def test_a_forecast_for_an_earlier_as_of_is_scored_by_what_was_known_already(tmp_path):
    data(tmp_path)
    run_job(job(tmp_path), now=NOW)
    for as_of in ("2024-01-30", "2024-01-31"):
        run_job(job(tmp_path), as_of=as_of, now=NOW)
        facts = score_job(job(tmp_path), Silent(), now=NOW)
        by_rebuilding = score_job(job(tmp_path), Silent(), rebuild=True, now=NOW)
        assert facts.ages
        assert facts.ages == by_rebuilding.ages


class Heard(Silent):
    """What a run says."""

    def __init__(self):
        self.texts = []

    def note(self, text):
        self.texts.append(text)

    def warn(self, code, text):
        self.texts.append(text)


def test_old_data_are_told_of_once(tmp_path):
    data(tmp_path)
    heard = Heard()
    old = job(tmp_path, "    freshness: {warn_after: 2d}\n")
    run_job(old, now=NOW, listener=heard)
    assert len([text for text in heard.texts if "warn_after" in text]) == 1


def test_stale_data_publish_nothing_and_old_data_warn(tmp_path):
    data(tmp_path)
    strict = job(tmp_path, "    freshness: {warn_after: 2d, error_after: 3d}\n")
    outcome = run_job(strict, now=NOW)
    assert [w["code"] for w in outcome.warnings] == ["input/old"]
    with pytest.raises(StaleInputError) as caught:
        run_job(strict, now=NOW.replace(day=9))
    assert caught.value.exit_code == 5
    assert (tmp_path / "out" / "current").resolve().name == outcome.run
    facts = job_facts(strict)
    assert (facts.last["outcome"], facts.last["failures_in_a_row"]) == ("stale", 1)
    assert facts.last["last_success"]["run"] == outcome.run


def test_what_came_true_is_scored_and_compared_with_the_promise(tmp_path):
    for until in (110, 111, 114, 120):
        data(tmp_path, until)
        run_job(job(tmp_path), now=NOW)
    facts = job_facts(job(tmp_path))
    counts = {step: scores.count for step, scores in facts.steps.items()}
    assert counts == {1: 9, 2: 9, 3: 9, 4: 9, 5: 9, 6: 9, 7: 6}
    assert facts.recent.count == 60
    assert facts.expected > 0
    metrics = job_metrics(facts)
    assert metrics.live_mase == facts.recent.mase
    assert metrics.origin == pytest.approx(datetime(2024, 2, 28).astimezone().timestamp())
    with ledger.opened(tmp_path / "out" / ledger.NAME) as connection:
        score = next(s for s in step_scores(connection) if s.step == 1)
    made = [float(r["LSTM"]) for r in rows(tmp_path, score.run) if r["ds"] == "2024-02-19"]
    assert score.absolute == pytest.approx(np.abs(VALUES[:, 110] - made).sum(), rel=1e-6)


LUMPS = np.where(np.random.default_rng(3).random((3, 120)) < 0.3, 1 + np.abs(VALUES).round(), 0)


def with_point(folder, point):
    """The job that publishes `point`; None: what suits its data."""
    made = job(folder)
    if point is not None:
        text = made.config.read_text().replace("horizon: 7", f"horizon: 7, point: {point}")
        made.config.write_text(text)
    return load_config(made.config, environ={}).jobs["sales"]


def points(table):
    return [float(row["LSTM"]) for row in table]


def of_forecast(folder, *words):
    """The points that `lstmcast forecast` writes of the same data."""
    out = folder / "forecast.csv"
    out.unlink(missing_ok=True)
    file = str(folder / "data.csv")
    assert run(["forecast", file, "--horizon", "7", *words, "-q", "-o", str(out)]) == 0
    with open(out, newline="") as opened:
        return points(csv.DictReader(opened))


def test_a_job_of_intermittent_data_publishes_means_as_forecast_does(tmp_path):
    data(tmp_path, values=LUMPS)
    outcome = run_job(job(tmp_path), now=NOW)
    assert choices(outcome)["point"] == outcome.manifest["point"] == "mean"
    published = points(rows(tmp_path))
    assert published == pytest.approx(of_forecast(tmp_path), rel=1e-6)
    assert sum(published) > 1.2 * sum(of_forecast(tmp_path, "--point", "median"))


def test_a_job_publishes_the_point_that_it_asks_for(tmp_path):
    data(tmp_path)
    outcome = run_job(with_point(tmp_path, "0.975"), now=NOW)
    assert choices(outcome)["point"] == outcome.manifest["point"] == "0.975"
    published = rows(tmp_path)
    assert points(published) == [float(row["LSTM-hi-95"]) for row in published]
    assert points(published) == pytest.approx(of_forecast(tmp_path, "--point", "0.975"), rel=1e-6)


def test_another_point_publishes_the_as_of_anew(tmp_path):
    data(tmp_path)
    medians = run_job(with_point(tmp_path, None), now=NOW)
    means = run_job(with_point(tmp_path, "mean"), now=NOW)
    assert (means.outcome, means.manifest["replaces"]) == ("published", medians.run)
    assert run_job(with_point(tmp_path, "mean"), now=NOW).outcome == "already done"


def test_what_a_version_without_points_published_is_not_published_again(tmp_path):
    data(tmp_path, values=LUMPS)
    outcome = run_job(job(tmp_path), now=NOW)
    path = tmp_path / "out" / "runs" / outcome.run / "manifest.json"
    manifest = json.loads(path.read_text())
    for name in ("point", "document_sha256"):
        del manifest[name]
    path.write_text(json.dumps({**manifest, "schema_version": 1}))
    with sqlite3.connect(tmp_path / "out" / ledger.NAME) as connection:
        connection.execute("DROP TABLE points")
    assert run_job(job(tmp_path), now=NOW).outcome == "already done"
    assert job_facts(job(tmp_path)).current.point == "median"


@pytest.mark.parametrize("made_anew", [False, True])
def test_live_errors_are_those_of_the_medians_whichever_point_is_published(tmp_path, made_anew):
    found = []
    for point in ("median", "mean", "0.95"):
        folder = tmp_path / point
        folder.mkdir()
        for until in (110, 120):
            data(folder, until, values=LUMPS)
            asked = with_point(folder, point)
            run_job(asked, now=NOW)
        facts = score_job(asked, Silent(), rebuild=made_anew, now=NOW)
        found.append((facts.recent.mase, facts.recent.coverage))
        added = facts.planning["value_added"]
        assert bool(added) == (point != "0.95")  # an absolute error says nothing of a stock level
        assert facts.planning["quantile_runs"] == (2 if point == "0.95" else 0)
        if added:
            with ledger.opened(folder / "out" / ledger.NAME) as connection:
                name = ledger.recorded_runs(connection)[min(cutoffs(folder))]
            made = np.array(points(rows(folder, name))).reshape(3, 7)
            wrong = LUMPS[:, 110:117] - made
            assert added["all"]["mae_model"] == pytest.approx(np.abs(wrong).mean(), rel=1e-6)
            means = added["all"]["judged"] == "rmse"
            assert means == (point == "mean")
            if means:
                error = np.sqrt((wrong**2).mean())
                assert added["all"]["rmse_model"] == pytest.approx(error, rel=1e-6)
    for mase, coverage in found[1:]:
        assert mase == pytest.approx(found[0][0], rel=1e-6) and coverage == found[0][1]


def test_the_forecast_is_no_less_stable_where_its_point_became_another(tmp_path):
    for until, point in ((110, "median"), (111, "median"), (112, "0.95")):
        data(tmp_path, until)
        run_job(with_point(tmp_path, point), now=NOW)
    told = score_job(with_point(tmp_path, "0.95"), Silent(), now=NOW).planning["stability"]
    assert len(told["by_run"]) == 1


def test_a_model_that_notes_no_point_has_the_one_that_its_data_suggest(tmp_path):
    noted, plain = with_point(tmp_path, None), naive_service(7, 7, {})
    for values, wanted in ((LUMPS, "mean"), (VALUES + 100, "median")):
        panel = replace(make_panel((120, 120, 120), 7), values=values.reshape(-1))
        assert decide_point(noted, plain, panel).choice == wanted
        assert decide_point(noted, replace(plain, point="mean"), panel).choice == "mean"
    assert decide_point(with_point(tmp_path, "0.9"), replace(plain, point="mean"), panel) == (
        Decision("point", "0.9", "as the job asks")
    )


def test_a_rehearsed_past_does_not_know_its_future(tmp_path):
    data(tmp_path)
    for as_of in ("2024-01-20", "2024-01-21"):
        run_job(job(tmp_path), as_of=as_of, now=NOW)
    score_job(job(tmp_path), Silent(), now=NOW)
    informed = run_job(job(tmp_path), as_of="2024-01-22", now=NOW)
    other = tmp_path / "other"
    other.mkdir()
    data(other)
    for as_of in ("2024-01-20", "2024-01-21"):
        run_job(job(other), as_of=as_of, now=NOW)
    plain = run_job(job(other), as_of="2024-01-22", now=NOW)
    assert rows(tmp_path, informed.run) == rows(other, plain.run)


def test_too_many_failed_series_publish_nothing(tmp_path, monkeypatch):
    from forecast.scheduling import forecast as forecasting

    data(tmp_path)
    good = run_job(job(tmp_path), now=NOW)
    data(tmp_path, 119)
    monkeypatch.setattr(forecasting, "FAR", -10.0)  # nothing is plausible
    monkeypatch.setattr(forecasting, "forecast_baselines", lambda *a, **k: {}["arima"])
    with pytest.raises(InputError, match="3 of 3 series failed") as caught:
        run_job(job(tmp_path), now=NOW)
    assert caught.value.code in ("run/too-many-failed",)
    assert (tmp_path / "out" / "current").resolve().name == good.run
    tolerant = run_job(job(tmp_path, "    max_failed: 100%\n    fallback_seconds: 1\n"), now=NOW)
    assert tolerant.exit_code == 3


def test_a_series_that_ends_is_left_out_and_told_once(tmp_path):
    values = VALUES.copy()
    values[2, 100:] = np.nan
    data(tmp_path, 105, values)
    assert run_job(job(tmp_path), now=NOW).exit_code == 0  # five days late: forecast all the same
    data(tmp_path, 110, values)
    outcome = run_job(job(tmp_path), now=NOW)
    assert (outcome.exit_code, outcome.series) == (3, 2)
    assert outcome.manifest["series"]["left_out"][0]["series"] == "c"
    data(tmp_path, 111, values)
    assert run_job(job(tmp_path), now=NOW).exit_code == 0


def test_advice_names_keys_of_the_job_and_works_when_it_is_followed(tmp_path):
    data(tmp_path)
    with (tmp_path / "data.csv").open("a") as file:
        file.write("a,2024-02-01,9999\n")
    with pytest.raises(InputError) as caught:
        run_job(job(tmp_path), now=NOW)
    below = "(keys below settings: of the job)"
    remedy = f"Choose with data.duplicates: first, last, mean or sum {below}"
    assert caught.value.remedy == remedy
    last = json.loads((tmp_path / "out" / "last.json").read_text())
    assert last["error"]["remedy"] == remedy
    with pytest.raises(InputError, match=r"data\.duplicates: first"):
        run_job(job(tmp_path), now=NOW, dry_run=True)
    text = (tmp_path / "batch.yaml").read_text()
    followed = text.replace("    settings:\n", "    settings:\n      data.duplicates: first\n")
    (tmp_path / "batch.yaml").write_text(followed)
    found = load_config(tmp_path / "batch.yaml", environ={}).jobs["sales"]
    assert run_job(found, now=NOW).outcome == "published"


def test_a_log_with_advice_in_it_is_still_json(tmp_path):
    log = RunLog(tmp_path, "sales", NOW, Silent(), ("hunter22",))
    log.begin(3)
    log.note("If the comma is the decimal mark: --decimal ,")
    log.decide(Decision("read", "--tz Europe/Berlin", 'it says "--thousands \'"'))
    log.warn("w", "hunter22 is --sheet 'a b'")
    (path,) = (tmp_path / "logs").iterdir()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["text"] for line in lines[1:]] == [
        "If the comma is the decimal mark: data.decimal: ','",
        "read: data.tz: Europe/Berlin",
        "*** is data.sheet: 'a b'",
    ]


def test_a_locked_job_is_left_alone(tmp_path):
    data(tmp_path)
    with locked(tmp_path / "out"), pytest.raises(LockedError) as caught:
        run_job(job(tmp_path), now=NOW)
    assert caught.value.exit_code == 11
    assert not (tmp_path / "out" / "last.json").exists()


def test_a_dry_run_says_what_would_be_done_and_leaves_nothing(tmp_path):
    data(tmp_path)
    outcome = run_job(job(tmp_path, model="trained"), now=NOW, dry_run=True)
    assert outcome.outcome == "dry run"
    assert choices(outcome) == {"freshness": "fresh", "this as-of": "run", "model": "train"}
    assert not (tmp_path / "out").exists()


def test_a_rollback_goes_back_and_the_next_run_goes_on(tmp_path):
    made = []
    for until in (116, 117, 118):
        data(tmp_path, until)
        made.append(run_job(job(tmp_path), now=NOW).run)
    done = roll_back(job(tmp_path), Silent())
    assert (done.before, done.to, done.withdrawn) == (made[2], made[1], (made[2],))
    assert (tmp_path / "out" / "current").resolve().name == made[1]
    assert len(cutoffs(tmp_path)) == 2
    assert roll_back(job(tmp_path), Silent()).to == made[0]
    with pytest.raises(UsageError) as caught:
        roll_back(job(tmp_path), Silent())
    assert caught.value.code == "rollback/nothing"
    assert roll_back(job(tmp_path), Silent(), to=made[2]).to == made[2]
    assert (tmp_path / "out" / "current").resolve().name == made[2]
    data(tmp_path, 119)
    run_job(job(tmp_path), now=NOW)
    assert len(cutoffs(tmp_path)) == 3  # made[1] stays withdrawn


def test_a_rollback_holds_until_the_data_change_or_somebody_asks(tmp_path):
    for until in (117, 118):
        data(tmp_path, until)
        made = run_job(job(tmp_path), now=NOW)
    back = roll_back(job(tmp_path), Silent()).to
    held = run_job(job(tmp_path), now=NOW)
    assert (held.outcome, held.exit_code, held.run) == ("rolled back", 0, back)
    assert (tmp_path / "out" / "current").resolve().name == back
    prune_job(job(tmp_path, "    retention: {keep_last: 1}\n"), Silent())
    assert run_job(job(tmp_path), now=NOW).outcome == "rolled back"
    asked = run_job(job(tmp_path), as_of="2024-02-26", now=NOW)
    assert (asked.outcome, asked.as_of) == ("published", made.as_of)
    assert run_job(job(tmp_path), now=NOW).outcome == "already done"
    assert roll_back(job(tmp_path), Silent()).to == back
    values = VALUES.copy()
    values[0, 100] += 1
    data(tmp_path, 118, values)
    assert run_job(job(tmp_path), now=NOW).outcome == "published"


def test_the_ledger_is_made_anew_from_the_run_folders(tmp_path):
    for until in (112, 116, 120):
        data(tmp_path, until)
        run_job(job(tmp_path), now=NOW)
    path = tmp_path / "out" / ledger.NAME

    def content():
        with ledger.opened(path) as connection:
            scores = step_scores(connection)
            runs = connection.execute("SELECT run, id FROM runs ORDER BY run").fetchall()
            names = dict(connection.execute("SELECT id, unique_id FROM series").fetchall())
            forecasts = [
                (run, names[number], part.point[s].tolist(), part.quantiles[s].tolist())
                for run, id_ in runs
                for part in ledger.recorded(connection, id_)
                for s, number in enumerate(part.series.tolist())
            ]
        return scores, forecasts

    before = content()
    score_job(job(tmp_path), Silent(), rebuild=True, now=NOW)
    after = content()
    assert len(before[0]) == 11
    assert len(before[1]) == 9
    assert after == before
    path.write_bytes(b"\0" * 5000)
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    assert run_job(job(tmp_path), now=NOW).outcome == "already done"
    assert content()[1] == before[1]


def test_pruning_says_first_and_then_removes(tmp_path):
    rules = "    retention: {keep_last: 2, keep_daily: 0, keep_weekly: 0}\n"
    for until in (114, 116, 118, 120):
        data(tmp_path, until)
        run_job(job(tmp_path), now=NOW)
    said = prune_job(job(tmp_path, rules), Silent(), dry_run=True)
    assert len(said["runs"]) == 2
    assert len(read_state(tmp_path / "out").forecasts) == 4
    assert prune_job(job(tmp_path, rules), Silent())["runs"] == said["runs"]
    assert set(read_state(tmp_path / "out").forecasts) == set(said["kept"])
    assert len(cutoffs(tmp_path)) == 4  # the ledger remembers longer than the folders


def test_data_that_go_back_rewrite_no_forecast_that_retention_let_go(tmp_path):
    rules = "    retention: {keep_last: 1, keep_daily: 0, keep_weekly: 0}\n"
    for until in (114, 116, 118, 120):
        data(tmp_path, until)
        run_job(job(tmp_path, rules), now=NOW)
    before = cutoffs(tmp_path)
    data(tmp_path, 114)
    again = run_job(job(tmp_path, rules), now=NOW)
    assert (again.outcome, "let go by retention" in again.decisions[-1].reason) == (
        "already done", True)  # fmt: skip
    assert cutoffs(tmp_path) == before
    assert run_job(job(tmp_path, rules), as_of="2024-02-22", now=NOW).outcome == "published"


def test_a_run_without_news_tidies_what_a_killed_one_has_left(tmp_path):
    rules = "    retention: {keep_last: 2, keep_daily: 0, keep_weekly: 0}\n"
    for until in (114, 116, 118, 120):
        data(tmp_path, until)
        run_job(job(tmp_path), now=NOW)
    assert run_job(job(tmp_path, rules), now=NOW).outcome == "already done"
    assert len(read_state(tmp_path / "out").forecasts) == 2


def test_a_full_disk_keeps_the_last_good_forecast(tmp_path, monkeypatch):
    from forecast.scheduling import run as steps

    data(tmp_path, 119)
    good = run_job(job(tmp_path), now=NOW)
    data(tmp_path)

    def full(*words):
        raise OutputError("cannot write: no space", code="output/disk-full", where="x")

    monkeypatch.setattr(steps, "write_published", full)
    with pytest.raises(OutputError):
        run_job(job(tmp_path), now=NOW)
    assert (tmp_path / "out" / "current").resolve().name == good.run
    monkeypatch.undo()
    assert run_job(job(tmp_path), now=NOW).as_of == "2024-02-28"


def table(path):
    with sqlite3.connect(path) as base:
        return base.execute(
            "SELECT as_of, count(*), count(DISTINCT unique_id || ds) FROM lstmcast_forecasts"
            " GROUP BY as_of ORDER BY as_of"
        ).fetchall()


def test_the_database_gets_each_as_of_once_and_follows_a_rollback(tmp_path):
    pytest.importorskip("sqlalchemy")
    base = tmp_path / "base.sqlite"
    more = f"    outputs: {{database: 'sqlite:///{base}'}}\n"
    for until in (118, 119, 119, 120):
        data(tmp_path, until)
        run_job(job(tmp_path, more), now=NOW)
    days = ["2024-02-26", "2024-02-27", "2024-02-28"]
    assert table(base) == [(day, 21, 21) for day in days]
    values = VALUES + 1
    data(tmp_path, values=values)
    run_job(job(tmp_path, more), now=NOW)
    assert table(base) == [(day, 21, 21) for day in days]
    with sqlite3.connect(base) as connection:
        found = connection.execute(
            "SELECT \"LSTM\" FROM lstmcast_forecasts WHERE as_of = ? AND unique_id = 'a'"
            " ORDER BY ds", (days[-1],)
        ).fetchall()  # fmt: skip
    assert [x for (x,) in found] == [float(r["LSTM"]) for r in rows(tmp_path)[:7]]
    roll_back(job(tmp_path, more), Silent())
    roll_back(job(tmp_path, more), Silent())
    assert table(base) == [(day, 21, 21) for day in days[:2]]


def test_the_database_s_table_gets_the_columns_that_it_lacks(tmp_path):
    pytest.importorskip("sqlalchemy")
    base = tmp_path / "base.sqlite"
    more = f"    outputs: {{database: 'sqlite:///{base}'}}\n"
    data(tmp_path, 119)
    run_job(job(tmp_path, more), now=NOW)
    first = rows(tmp_path)[0]
    (tmp_path / "ours.csv").write_text(
        f"unique_id,ds,value\n{first['unique_id']},{first['ds']},7\n"
    )
    ours = str(tmp_path / "ours.csv")
    override_job(job(tmp_path, more), ours, Silent(), by="Ann", reason="a fair")
    data(tmp_path, 120)
    run_job(job(tmp_path, more, levels="[60]"), now=NOW)
    assert table(base) == [("2024-02-27", 21, 21), ("2024-02-28", 21, 21)]
    with sqlite3.connect(base) as connection:
        found = connection.execute(
            'SELECT "LSTM", model, override_by, override_reason, "LSTM-lo-60" FROM'
            " lstmcast_forecasts WHERE override_by <> ''"
        ).fetchall()
        late = connection.execute('SELECT count("LSTM-lo-60"), count(model) FROM lstmcast_forecasts'
                                  " WHERE as_of = '2024-02-28'").fetchone()  # fmt: skip
    assert found == [(7.0, pytest.approx(float(first["LSTM"])), "Ann", "a fair", None)]
    assert late == (21, 0)


def test_a_table_that_another_job_makes_at_the_same_moment_is_written_to_all_the_same(
    tmp_path, monkeypatch
):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    base, make = tmp_path / "base.sqlite", sqlalchemy.Table.create

    def once(self, connection, **options):
        monkeypatch.setattr(sqlalchemy.Table, "create", make)
        raise sqlalchemy.exc.IntegrityError("create", {}, Exception("duplicate key value"))

    monkeypatch.setattr(sqlalchemy.Table, "create", once)
    data(tmp_path)
    run_job(job(tmp_path, f"    outputs: {{database: 'sqlite:///{base}'}}\n"), now=NOW)
    assert table(base) == [("2024-02-28", 21, 21)]


def test_a_database_that_is_away_is_made_up_for_and_its_password_is_not_told(tmp_path):
    pytest.importorskip("sqlalchemy")
    secret = tmp_path / "address"
    base = tmp_path / "away" / "base.sqlite"
    secret.write_text(f"sqlite:///{base}?password=hush-hush\n")
    more = f"    outputs: {{database: 'file:{secret}'}}\n"
    data(tmp_path)
    with pytest.raises(OutputError, match="the database refuses") as caught:
        run_job(job(tmp_path, more), now=NOW)
    assert "hush" not in str(caught.value)
    assert len(rows(tmp_path)) == 21  # the files are published
    base.parent.mkdir()
    assert run_job(job(tmp_path, more), now=NOW).outcome == "already done"
    assert table(base) == [("2024-02-28", 21, 21)]
    written = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert not [p for p in written if b"hush-hush" in p.read_bytes()]


def challenger_wins(trial_):
    return Decision("service", CHALLENGER, "for this test")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A job whose trained model serves; ten steps are too few to win by merit."""
    folder = tmp_path_factory.mktemp("trained")
    data(folder, 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retraining, "decide_service", challenger_wins)
        return folder, run_job(job(folder, model="trained"), now=NOW)


def test_the_first_run_trains_and_judges_and_the_next_reuses(trained):
    folder, outcome = trained
    assert choices(outcome)["model"] == "train"
    mase = outcome.manifest["trial"]["mase"]
    assert set(mase) == {"challenger", "champion", "pretrained", "naive"}
    assert mase["champion"] is None
    trial = outcome.manifest["trial"]
    assert (trial["metric"], trial["figures"]) == ("MASE", mase)
    model = outcome.manifest["model"]
    assert (model["kind"], model["promise"]["mase"]) == ("trained", mase["challenger"])
    assert len(model["promise"]["by_step"]["mase"]) == 7
    assert {r["source"] for r in rows(folder)} == {"LSTM"}
    assert not (folder / "out" / "training").exists()
    kept = load_model(folder / "out" / "models" / model["id"] / "model")[1]
    assert point_of(Settings(), kept) == outcome.manifest["point"] == "median"
    data(folder, 103)
    later = run_job(job(folder, model="trained"), now=NOW)
    assert choices(later)["model"] == "reuse"
    assert later.manifest["model"]["id"] == outcome.manifest["model"]["id"]
    assert later.manifest["trial"]["position"] == outcome.manifest["trial"]["position"]


def test_a_model_of_lumps_is_judged_by_its_means_and_keeps_its_point_without_training(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(retraining, "decide_service", challenger_wins)
    data(tmp_path, 100, values=LUMPS)
    first = run_job(job(tmp_path, model="trained"), now=NOW)
    trial, model = first.manifest["trial"], first.manifest["model"]
    assert (first.manifest["point"], trial["metric"]) == ("mean", "RMSSE")
    assert trial["figures"].keys() == trial["mase"].keys()
    assert trial["figures"]["challenger"] != trial["mase"]["challenger"]
    assert model["promise"]["mase"] == trial["mase"]["challenger"]  # of medians, as live errors are
    kept = load_model(tmp_path / "out" / "models" / model["id"] / "model")[1]
    assert point_of(Settings(), kept) == "mean"
    path = job(tmp_path, model="trained").config
    path.write_text(path.read_text().replace("horizon: 7", "horizon: 7, point: 0.9"))
    again = run_job(load_config(path, environ={}).jobs["sales"], now=NOW)
    assert (again.outcome, choices(again)["model"]) == ("published", "reuse")
    assert (again.manifest["point"], again.manifest["model"]["id"]) == ("0.9", model["id"])
    assert again.manifest["replaces"] == first.run


def half_theta(panel, plan, network, settings, budget, listener):
    return Combination({"LSTM": 0.5, "DynamicOptimizedTheta": 0.5}), (
        "blend",
        "half of each",
        "for this test",
    )


@pytest.fixture(scope="module")
def with_a_blend(tmp_path_factory):
    """A job whose trained model serves with a blend, and its first run."""
    folder = tmp_path_factory.mktemp("blend")
    data(folder, 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retraining, "decide_service", challenger_wins)
        patch.setattr(retraining, "choose_combination", half_theta)
        patch.setattr(learning, "train_members", taught_here)
        return folder, run_job(job(folder, model="trained"), now=NOW)


def test_a_blend_is_published_beside_the_forecast_of_a_model_that_has_one(with_a_blend, tmp_path):
    folder, first = with_a_blend
    shutil.copytree(folder, tmp_path, symlinks=True, dirs_exist_ok=True)
    assert first.manifest["model"]["blend"]["weights"] == {
        "LSTM": 0.5,
        "DynamicOptimizedTheta": 0.5,
    }
    before = rows(tmp_path)
    names = ["LSTM", "LSTM-lo-80", "LSTM-hi-80", "LSTM-lo-95", "LSTM-hi-95"]
    blend = [name.replace("LSTM", "Blend") for name in names]
    assert list(before[0]) == ["unique_id", "ds", *names, *blend, "source", "reason"]
    assert all(row["Blend"] != row["LSTM"] for row in before)
    data(tmp_path, 104)
    later = run_job(job(tmp_path, model="trained"), now=NOW)
    assert choices(later)["model"] == "reuse" and "Blend" in rows(tmp_path)[0]
    told = score_job(job(tmp_path, model="trained"), Silent(), now=NOW).planning["value_added"]
    truth = {(n, str(d)[:10]): v for n, row in zip("abc", VALUES, strict=True)
             for d, v in zip(DAYS[:104], row, strict=False)}  # fmt: skip
    known = [row for row in before if (row["unique_id"], row["ds"]) in truth]
    wrong = [abs(float(row["Blend"]) - truth[row["unique_id"], row["ds"]]) for row in known]
    assert told["all"]["count"] == len(known) == 12
    assert told["all"]["mae_blend"] == pytest.approx(np.mean(wrong))
    plain = job(tmp_path, "      baselines: {blend: false}\n", model="trained")
    assert choices(run_job(plain, now=NOW))["model"] == "reuse"
    assert list(rows(tmp_path)[0]) == ["unique_id", "ds", *names, "source", "reason"]


def test_a_blend_that_breaks_down_leaves_the_forecast_in_its_columns(
    with_a_blend, tmp_path, monkeypatch
):
    def broken(*words, **more):
        raise RuntimeError("no Theta here")

    shutil.copytree(with_a_blend[0], tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.setattr(forecasting, "statistical", broken)
    data(tmp_path, 102)
    outcome = run_job(job(tmp_path, model="trained"), now=NOW)
    assert outcome.outcome == "published"
    assert all(row["Blend"] == row["LSTM"] for row in rows(tmp_path))
    assert any("no Theta here" in each["text"] for each in outcome.manifest["warnings"])


def test_a_changed_setting_asks_for_a_new_model(trained):
    folder, _ = trained
    path = folder / "batch.yaml"
    path.write_text(path.read_text().replace("max_steps: 10", "max_steps: 11"))
    changed = load_config(path, environ={}).jobs["sales"]
    outcome = run_job(changed, now=NOW, dry_run=True)
    assert choices(outcome)["model"] == "retrain"
    reason = next(d.reason for d in outcome.decisions if d.what == "model")
    assert reason == "settings changed: training.max_steps"


def test_a_damaged_model_is_replaced_and_an_earlier_as_of_does_not_use_it(trained):
    folder, outcome = trained
    chosen = job(folder, model="trained")
    before = run_job(chosen, as_of="2024-01-15", now=NOW, dry_run=True)
    assert choices(before)["model"] == "retrain"
    assert before.decisions[-1].reason == "no model has seen the data up to the as-of alone"
    place = folder / "out" / "models" / outcome.manifest["model"]["id"]
    weights = place / "model" / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1])
    data(folder, 104)
    damaged = run_job(chosen, now=NOW, dry_run=True)
    weights.write_bytes(content)
    assert choices(damaged)["model"] == "retrain"
    assert "cannot be used" in damaged.decisions[-1].reason


@pytest.mark.parametrize("how", ["whole", "flipped", "gone"])
def test_a_lost_copy_of_the_model_that_judges_stops_no_retraining(trained, tmp_path, how):
    folder, outcome = trained
    copied = tmp_path / "out" / "models"
    shutil.copytree(folder / "out" / "models", copied)
    model = outcome.manifest["model"]["id"]
    weights = copied / model / "scored" / "weights.safetensors"
    if how == "flipped":
        blob = bytearray(weights.read_bytes())
        blob[len(blob) // 2] ^= 8
        weights.write_bytes(blob)
    elif how == "gone":
        shutil.rmtree(weights.parent)
    heard: list[str] = []
    listener = SimpleNamespace(warn=lambda code, text: heard.append(code))
    snapshot = SimpleNamespace(panel=SimpleNamespace(first=np.array([0])))
    plan = SimpleNamespace(origins=np.array([[90]]))
    champion = SimpleNamespace(kind="trained", trained_until=100, id=model)
    chosen = job(tmp_path, model="trained")
    candidate = retraining._as_candidate(chosen, snapshot, plan, champion, listener)
    assert (candidate is None, heard) == ((False, []) if how == "whole" else
                                      (True, ["run/champion-unjudged"]))  # fmt: skip


def test_training_goes_on_from_a_model_only_if_it_saw_nothing_that_judges(tmp_path):
    data(tmp_path)
    chosen = job(tmp_path, model="trained")
    panel = make_panel((120,), 7, alias="D")
    # Held out: the last 7 steps; watched: the 2 x 7 before them (0.15 x 113 / 7).
    assert retraining.is_free(chosen, panel, (7,), 98)
    assert not retraining.is_free(chosen, panel, (7,), 99)
    assert not retraining.is_free(chosen, panel, (7,), None)


def test_a_model_that_was_rolled_back_is_not_put_into_service_again(trained, monkeypatch):
    folder, outcome = trained
    sha = outcome.manifest["model"]["sha256"]
    state = read_state(folder / "out")
    judged = []
    monkeypatch.setattr(retraining, "weights_digest", lambda forecaster: sha)
    monkeypatch.setattr(
        retraining, "decide_service", lambda t: judged.append(t) or challenger_wins(t)
    )
    monkeypatch.setattr(retraining, "save_trained", lambda *words: None)
    monkeypatch.setattr(retraining, "learn", lambda *words: _as_learnt(folder, outcome))
    snapshot = take_snapshot(make_panel((110,), 7, alias="D"), job(folder), 7, None, NOW)
    retrain = Decision("model", "retrain", "")
    for refused in ((), (sha,)):
        retraining.run_trial(
            job(folder), snapshot, (7,), retrain, None, refused, None, "x", Silent()
        )
    assert [t.refused for t in judged] == [False, True]
    assert state.refused == frozenset()


def _as_learnt(folder, outcome):
    """What `learn` returns: the members of the model that serves."""
    final = load_model(folder / "out" / "models" / outcome.manifest["model"]["id"] / "model")[0]
    members = [Member(dict(w), dict(w), 1, 0.0, "steps", "cpu") for w in final.members]
    return Learnt(members, [], False, ())


def test_without_time_to_train_there_is_a_forecast_all_the_same(tmp_path):
    data(tmp_path)
    outcome = run_job(job(tmp_path, "    deadline: 3s\n", model="trained"), now=NOW)
    assert outcome.outcome == "published"
    assert outcome.manifest["model"]["kind"] == "pretrained"
    assert choices(outcome)["model"] == "pretrained"


def test_a_training_that_is_too_slow_is_stopped_and_the_forecast_made(tmp_path, monkeypatch):
    def slow(*words):
        time.sleep(60)

    data(tmp_path)
    monkeypatch.setattr(retraining, "learn", slow)
    monkeypatch.setattr(decisions, "LEAST_SECONDS", 0.0)  # begun, however little is left
    outcome = run_job(job(tmp_path, "    deadline: 3s\n", model="trained"), now=NOW)
    assert [w["code"] for w in outcome.warnings] == ["run/out-of-time"]
    assert outcome.manifest["model"]["kind"] == "pretrained"
    assert outcome.seconds < 40


def test_folders_never_hold_a_series_name(tmp_path):
    data(tmp_path, names=("../../x", "a/b", "c\nd"))
    run_job(job(tmp_path), now=NOW)
    names = {p.name for p in Path(tmp_path).rglob("*")}
    assert not [n for n in names if "a/b" in n or n == "x" or "\n" in n]
    assert {r["unique_id"] for r in rows(tmp_path)} == {"../../x", "a/b", "c\nd"}
