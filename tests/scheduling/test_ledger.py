from __future__ import annotations

import sqlite3
from dataclasses import replace

import numpy as np
import pytest

from forecast.common.errors import OutputError
from forecast.scheduling import ledger
from forecast.scheduling.forecast import HIGHEST, LOWEST, adapted, stretches
from forecast.scheduling.live_scores import (
    StepScore,
    by_age,
    by_step,
    live,
    notice_changes,
    of_model,
    promised,
    remember,
    score_rows,
    step_scores,
    take_in,
)
from tests.builders import make_panel

LEVELS = (0.1, 0.5, 0.9)


def published(panel, cutoff, run=None, horizon=3, model="m", sequence=1, offset=0.0):
    """A forecast of `offset` above the actual values, with intervals of +-1 around it."""
    at = np.full(panel.size, cutoff + 1) - panel.first
    point = panel.window(at, horizon) + offset
    point = np.where(np.isnan(point), 0.0, point)
    return ledger.Published(
        run=run or f"run-{cutoff}",
        sequence=sequence,
        cutoff=cutoff,
        cutoff_time=str(cutoff),
        created="2024-01-01T00:00:00+00:00",
        model=model,
        season=1,
        ids=panel.ids.tolist(),
        source=["LSTM"] * panel.size,
        scale=np.array([2.0, *[np.nan] * (panel.size - 1)]),
        point=point,
        levels=LEVELS,
        quantiles=point[:, :, None] + np.array([-1.0, 0.0, 1.0]),
    )


@pytest.fixture
def open_ledger(tmp_path):
    with ledger.opened(tmp_path / ledger.NAME) as connection:
        yield connection


def count(connection, table):
    return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def rows(connection):
    """How many steps of series are recorded."""
    return connection.execute(
        "SELECT sum(f.size * r.horizon) FROM forecasts f JOIN runs r ON r.id = f.run"
    ).fetchone()[0]


def test_the_same_cutoff_replaces_and_never_appends(open_ledger):
    panel = make_panel((20, 20), 1)
    ledger.record(open_ledger, published(panel, 9))
    ledger.record(open_ledger, published(panel, 10))
    ledger.record(open_ledger, published(panel, 10, run="again", sequence=3))
    assert ledger.recorded_runs(open_ledger) == {9: "run-9", 10: "again"}
    assert rows(open_ledger) == 2 * 2 * 3
    ledger.withdraw(open_ledger, "again")
    assert ledger.recorded_runs(open_ledger) == {9: "run-9"}
    assert rows(open_ledger) == 6


def test_a_transaction_that_is_cut_off_leaves_nothing(tmp_path):
    panel = make_panel((20, 20), 1)
    path = tmp_path / ledger.NAME
    with ledger.opened(path) as connection:
        ledger.record(connection, published(panel, 9))
    broken = published(panel, 9, run="other")
    broken = replace(broken, source=[None, set()])  # fails once the old rows are deleted
    with pytest.raises(TypeError), ledger.opened(path) as connection:
        ledger.record(connection, broken)
    with ledger.opened(path) as connection:
        assert ledger.recorded_runs(connection) == {9: "run-9"}
        assert rows(connection) == 6


def test_a_ledger_of_another_version_or_that_is_none_is_refused(tmp_path):
    path = tmp_path / ledger.NAME
    with ledger.opened(path) as connection:
        connection.execute("UPDATE meta SET value = '99'")
    with pytest.raises(OutputError, match="another version"), ledger.opened(path):
        pass
    path.write_bytes(b"this is no database" * 100)
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    with pytest.raises(OutputError) as caught, ledger.opened(path):
        pass
    assert ledger.is_damaged(caught.value)
    assert caught.value.exit_code == 74


def bring_in(connection, panel, seen="t"):
    changes = notice_changes(connection, panel)
    touched, restated = take_in(connection, panel, changes, seen)
    remember(connection, panel)
    return touched, restated


def test_actuals_whose_scores_did_not_get_in_come_again(open_ledger, monkeypatch):
    panel = make_panel((20, 20), 1)
    ledger.record(open_ledger, published(panel, 9))

    def full(*_):
        raise OutputError("cannot write: no space", code="output/disk-full", where="x")

    with monkeypatch.context() as patch:
        patch.setattr("forecast.scheduling.live_scores.score_runs", full)
        with pytest.raises(OutputError):
            bring_in(open_ledger, panel.truncate(panel.lengths - 8))
    assert open_ledger.execute("SELECT count(*) FROM actuals").fetchone() == (0,)
    assert bring_in(open_ledger, panel.truncate(panel.lengths - 8))[0] == {10, 11}
    assert open_ledger.execute("SELECT count(*) FROM scores").fetchone() != (0,)


def test_actuals_come_in_once_and_restatements_are_versioned(open_ledger):
    panel = make_panel((20, 20), 1)
    ledger.record(open_ledger, published(panel, 9))
    early = panel.truncate(panel.lengths - 8)  # positions 0 to 11
    assert bring_in(open_ledger, early, "one") == ({10, 11}, 0)
    assert bring_in(open_ledger, early, "two") == (set(), 0)
    assert bring_in(open_ledger, panel, "three")[0] == set(range(12, 20))
    values = panel.values.copy()
    values[10] += 5
    values[3] += 5  # before anything was forecast
    touched, restated = bring_in(open_ledger, replace(panel, values=values), "four")
    assert (touched, restated) == ({10}, 1)
    rows = open_ledger.execute(
        "SELECT value, revision, at FROM actuals JOIN moments ON moments.id = seen"
        " WHERE position = 10 ORDER BY series"
    ).fetchall()
    assert rows[0] == (pytest.approx(values[10]), 1, "four")
    assert rows[1][1:] == (0, "one")
    old = open_ledger.execute(
        "SELECT position, revision, value, at FROM restated JOIN moments ON moments.id = seen"
    ).fetchall()
    assert old == [(10, 0, pytest.approx(panel.values[10]), "one")]


def test_a_value_that_comes_late_and_one_that_is_taken_back_count(open_ledger):
    panel = make_panel((20, 20), 1)
    ledger.record(open_ledger, published(panel, 9))
    gap = panel.values.copy()
    gap[11] = np.nan
    bring_in(open_ledger, replace(panel, values=gap))
    assert count(open_ledger, "actuals") == 19
    assert bring_in(open_ledger, panel) == ({11}, 0)
    assert bring_in(open_ledger, replace(panel, values=gap)) == ({11}, 1)
    value = open_ledger.execute("SELECT value FROM actuals WHERE position = 11").fetchone()
    assert value == (None,)
    assert sum(s.count for s in step_scores(open_ledger) if s.step == 2) == 1


def test_scores_are_exact_means_of_what_came_true(open_ledger):
    panel = make_panel((20, 20), 1)
    ledger.record(open_ledger, published(panel, 9, offset=0.5))
    ledger.record(open_ledger, published(panel, 10, offset=-3.0, model="n"))
    bring_in(open_ledger, panel.truncate(panel.lengths - 8))  # up to position 11
    scores = step_scores(open_ledger)
    assert [(s.cutoff, s.step, s.count) for s in scores] == [(9, 1, 2), (9, 2, 2), (10, 1, 2)]
    every = live(scores)
    assert every.mae == pytest.approx((4 * 0.5 + 2 * 3.0) / 6)
    assert every.mase == pytest.approx((2 * 0.25 + 1.5) / 3)  # only the first series has a scale
    assert every.coverage == {80.0: pytest.approx(4 / 6)}
    assert live(of_model(scores, "n")).mae == pytest.approx(3.0)
    assert {step: s.count for step, s in by_step(scores).items()} == {1: 4, 2: 2}
    assert by_age(scores)["newest"].mae == pytest.approx(3.0)
    expected = promised(scores, {"mase": 9.0, "by_step": {"mase": [1.0, 4.0]}})
    assert expected == pytest.approx((1 + 4 + 1) / 3)
    assert np.isnan(promised(scores, {}))


def test_an_interval_holds_what_lies_on_its_bound():
    rows = score_rows(
        1, 2, np.array([1, 1, 2]), np.zeros(3), (0.1, 0.5, 0.9),
        np.tile(np.float32([-0.1, 0, 0.1]), (3, 1)), np.array([0.1, 0.11, -0.1]),
        np.full(3, np.nan),
    )  # fmt: skip
    assert [(r[1], r[2], r[5], r[6]) for r in rows] == [
        (1, 2, 0, '{"80": 1}'),
        (2, 1, 0, '{"80": 1}'),
    ]


def test_tidying_keeps_the_newest_forecasts_and_all_recent_scores(open_ledger):
    panel = make_panel((40, 40), 1)
    for cutoff in range(5, 25):
        ledger.record(open_ledger, published(panel, cutoff, sequence=cutoff))
    bring_in(open_ledger, panel)
    ledger.apply_retention(open_ledger, 4)
    assert sorted(ledger.recorded_runs(open_ledger)) == list(range(9, 25))
    assert rows(open_ledger) == 4 * 6
    assert {s.cutoff for s in step_scores(open_ledger)} == set(range(9, 25))
    lowest = open_ledger.execute("SELECT min(position) FROM actuals").fetchone()[0]
    assert lowest == 22
    assert bring_in(open_ledger, panel)[0] == set()
    assert {s.cutoff for s in step_scores(open_ledger)} == set(range(9, 25))


def test_the_ledger_of_a_job_that_runs_for_ever_stops_growing(open_ledger):
    panel, moments = make_panel((60, 60), 1), []
    for cutoff in range(5, 50):
        ledger.record(open_ledger, published(panel, cutoff, sequence=cutoff))
        bring_in(open_ledger, panel.truncate(np.full(2, cutoff + 2)), seen=f"minute {cutoff}")
        ledger.apply_retention(open_ledger, 4)
        moments.append(open_ledger.execute("SELECT count(*) FROM moments").fetchone()[0])
    assert max(moments[20:]) == moments[20] <= 12
    seen = "SELECT seen FROM actuals UNION SELECT seen FROM restated"
    assert open_ledger.execute(f"SELECT count(*) FROM ({seen})").fetchone()[0] > 1


def test_a_restated_past_leaves_the_scores_whose_forecasts_were_let_go(open_ledger):
    panel = make_panel((40, 40), 1)
    for cutoff in range(5, 25):
        ledger.record(open_ledger, published(panel, cutoff, sequence=cutoff))
    bring_in(open_ledger, panel)
    ledger.apply_retention(open_ledger, 4)
    before = step_scores(open_ledger)
    values = panel.values.copy()
    values[[7, 23]] += 5  # one before the kept forecasts, one that a kept forecast is about
    assert bring_in(open_ledger, replace(panel, values=values)) == ({23}, 1)
    after = step_scores(open_ledger)
    assert [s for s in after if s.cutoff < 21] == [s for s in before if s.cutoff < 21]
    assert after != before


def test_a_forecast_is_recorded_to_the_bit_in_parts(open_ledger, monkeypatch):
    panel = make_panel((20, 30, 25), 1)
    made = published(panel, 9)
    made.quantiles[1, 0, 2] = made.quantiles[1, 1, 1] = np.nan
    made.point[1, 1:] = 1e-300, 1e300
    monkeypatch.setattr(ledger, "PART", 120)  # bytes: two series of 3 x (3 + 2) numbers
    ledger.record(open_ledger, made)
    whole = list(ledger.recorded(open_ledger, 1))
    assert [len(part.series) for part in whole] == [2, 1]
    joined = {name: np.concatenate([getattr(part, name) for part in whole])
              for name in ("point", "quantiles", "scale")}  # fmt: skip
    assert np.array_equal(joined["point"], made.point, equal_nan=True)
    assert np.array_equal(joined["quantiles"], made.quantiles.astype(np.float32), equal_nan=True)
    assert np.array_equal(joined["scale"], made.scale, equal_nan=True)
    bring_in(open_ledger, panel)
    assert step_scores(open_ledger)[0].count == 3


def scores_of(misses, model="m", level="80", count=100):
    inside = {level: round(count * (1 - misses))}
    return lambda n: StepScore(f"r{n}", n, model, 1, count, 0.0, 0.0, 0, inside)


def test_intervals_widen_while_too_much_falls_outside_and_narrow_while_too_little():
    missing = scores_of(0.5)
    wide, updates = stretches([missing(n) for n in range(10)], LEVELS)
    assert updates == 10
    assert wide[0] == wide[2] > 1.1
    assert wide[1] == 1
    narrow, _ = stretches([scores_of(0.0)(n) for n in range(10)], LEVELS)
    assert 0.5 < narrow[0] < 0.95
    assert stretches([], LEVELS)[0].tolist() == [1, 1, 1]
    few = scores_of(1.0, count=5)
    assert stretches([few(n) for n in range(50)], LEVELS)[0].tolist() == [1, 1, 1]


def test_the_adapted_rate_is_bounded_and_a_new_model_goes_half_way_back():
    assert adapted([1.0] * 1000, ["m"] * 1000, 0.2) == pytest.approx(LOWEST * 0.2)
    assert adapted([0.0] * 1000, ["m"] * 1000, 0.2) == pytest.approx(HIGHEST * 0.2)
    low = adapted([0.6] * 3, ["m"] * 3, 0.2)
    after = adapted([0.6] * 3 + [0.2], ["m"] * 3 + ["n"], 0.2)
    assert low == pytest.approx(0.2 - 3 * 0.05 * 0.4)
    assert after == pytest.approx((low + 0.2) / 2)


def test_recalibration_brings_coverage_back_after_a_shift():
    random = np.random.default_rng(0)
    covered, history = [], []
    for n in range(150):  # errors twice as wide as the model believes
        factor = stretches(history, LEVELS)[0][2]
        inside = np.abs(2 * random.standard_normal(200)) <= 1.2816 * factor
        history.append(scores_of(1 - inside.mean(), count=200)(n))
        covered.append(inside.mean())
    assert np.mean(covered[:3]) < 0.6
    assert np.mean(covered[-50:]) == pytest.approx(0.8, abs=0.03)


def test_an_error_of_the_system_is_an_output_error(tmp_path):
    with pytest.raises(OutputError) as caught, ledger.opened(tmp_path / ledger.NAME) as connection:
        connection.execute("SELECT * FROM nothing")
    assert isinstance(caught.value.__cause__, sqlite3.Error)
