from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecast.config.schema import Settings
from forecast.data.frequency import Frequency
from forecast.models import pretrained
from forecast.training.plan import make_plan
from tests.builders import make_panel


def plan(lengths, alias, confirmed=(), **sections):
    panel = make_panel(lengths, confirmed[0] if confirmed else 1, alias=alias)
    return make_plan(panel, confirmed, Settings.model_validate(sections))


@pytest.mark.parametrize(
    ("alias", "length", "confirmed", "horizon", "season", "width", "lag"),
    [
        ("YS-JAN", 40, (), 6, 1, 1, 1),
        ("QS-JAN", 60, (4,), 8, 4, 1, 4),
        ("MS", 144, (12,), 12, 12, 1, 12),
        ("ME", 144, (), 12, 1, 1, 12),
        ("W-SUN", 300, (52,), 13, 52, 1, 52),
        ("D", 300, (7,), 14, 7, 1, 7),
        ("D", 3650, (365,), 14, 365, 1, 7),
        ("B", 300, (), 10, 1, 1, 5),
        ("h", 24 * 60, (24, 168), 48, 24, 24, 168),
        ("30min", 48 * 60, (48,), 48, 48, 48, 336),
        ("h", 24 * 5, (24,), 30, 24, 1, 24),
    ],
)
def test_what_is_decided_for_each_frequency(alias, length, confirmed, horizon, season, width, lag):
    made = plan((length,), alias, confirmed)
    assert (made.horizon, made.season) == (horizon, season)
    assert (made.layout.width, made.layout.season) == (width, lag)


def test_a_year_of_daily_data_is_looked_back_on_when_there_is_more_than_one():
    assert plan((500,), "D", (7,)).layout.long == 364
    assert plan((400,), "D", (7,)).layout.long == 0


@pytest.mark.parametrize(
    ("grid", "season", "context"), [("YS", 1, 24), ("MS", 12, 72), ("D", 7, 112), ("W-MON", 52, 72)]
)
def test_the_context_follows_the_season(grid, season, context):
    seasons = (season,) if season > 1 else ()
    assert plan((1000,), grid, seasons).config.context == context


def test_what_was_asked_for_is_done():
    made = plan(
        (200,),
        "D",
        (7,),
        forecast={"horizon": 5},
        data={"season": 3},
        evaluation={"windows": 3, "step_size": 2},
        training={"max_steps": 9, "members": 4},
    )
    assert (made.horizon, made.season, made.layout.season) == (5, 3, 3)
    assert made.origins[:, 0].tolist() == [191, 193, 195]
    assert made.config.steps == 9
    assert len(set(made.seeds)) == 4


def test_validation_lies_before_the_held_out_windows_and_these_end_with_the_data():
    made = plan((144,), "MS", (12,))
    assert made.origins[-1, 0] + made.horizon == 144
    assert (made.validation.max(0) + made.horizon <= made.keep).all()
    assert made.keep[0] == made.origins[0, 0]


def test_a_series_too_short_to_be_held_out_is_neither_scored_nor_validated():
    made = plan((100, 15), "MS", (12,), forecast={"horizon": 12})
    assert made.origins[:, 1].tolist() == [15] * len(made.origins)
    assert (made.validation[:, 1] == -1).all()
    assert (made.origins[:, 0] < 100).all()


def test_when_every_series_is_too_short_none_is_held_out():
    made = plan((6, 5), "MS", (), forecast={"horizon": 4})
    assert made.origins.shape == (0, 2)
    assert np.array_equal(made.keep, [6, 5])


def test_every_decision_has_its_reason():
    for name, value, why in plan((144,), "MS", (12,)).reasons:
        assert name and why and value is not None


def test_the_horizon_is_a_quarter_of_short_data():
    assert plan((16,), "MS").horizon == 4


def test_members_that_wait_for_others_share_a_deadline():
    deadline = {"deadline": "100s", "members": 3}
    together, after = (
        plan((300,), "MS", training={**deadline, "jobs": jobs}).config.seconds for jobs in (3, 1)
    )
    assert after == pytest.approx(together / 3)


def test_no_season_is_named_where_the_data_show_none():
    told = {name: why for name, _, why in plan((144,), "ME").reasons}
    assert "no season" in told["season"] and "the data show no season" in told["one LSTM step"]
    told = {name: why for name, _, why in plan((144,), "MS", (12,)).reasons}
    assert told["one LSTM step"] == "season 12"


def test_deciding_reads_no_weights(monkeypatch):
    """A plan says in names and numbers what training starts from; a fit reads it."""

    def read(*args):
        raise AssertionError("weights were read")

    monkeypatch.setattr(pretrained, "load_model", read)
    pretrained._stored.cache_clear()
    made = plan((60,) * 3, "MS")
    assert made.start.name == "pretrained"
    assert made.config.hidden_size == made.start.size[0]
    with pytest.raises(AssertionError, match="weights were read"):
        _ = made.start.weights


def test_a_day_ahead_of_a_call_centre_is_one_day_of_its_opening_hours():
    panel = make_panel((40 * 288,), 288, alias="5min")
    assert make_plan(panel, (288,), Settings()).horizon == 288
    slot = np.arange(7 * 288)
    shut = (slot % 288 < 84) | (slot % 288 > 253) | (slot // 288 < 2)
    assert make_plan(replace(panel, shut=shut[None]), (288,), Settings()).horizon == 170


@pytest.mark.parametrize(
    ("lengths", "alias", "sections", "tried"),
    [
        ((500, 480), "D", {}, True),
        ((500, 480), "D", {"network": {"likelihood": "student-t"}}, True),
        ((400, 390), "D", {}, False),  # no year to look back on: months cannot be told from a trend
        ((500, 480), "D", {"data": {"calendar": False}}, False),
        ((500, 480), "D", {"data": {"holidays": ["DE"]}}, False),
        ((500, 480), "D", {"training": {"try_scratch": False}}, False),  # as --config fast has it
        ((500, 480), "D", {"training": {"from_scratch": True}}, False),
        ((500, 480), "D", {"training": {"deadline": "5m"}}, False),
        ((1200, 1100), "h", {}, False),
        ((300, 280), "MS", {}, False),
    ],
)
def test_the_calendar_is_tried_of_days_that_look_a_year_back(lengths, alias, sections, tried):
    made = plan(lengths, alias, (7,) if alias == "D" else (), **sections)
    assert made.tried == tried
    if tried:
        assert made.design.calendar and made.scratch is None
    asked = plan(lengths, alias, (), **{**sections, "data": {"calendar": True}})
    assert not asked.tried and asked.design.calendar


def test_of_days_that_are_plain_numbers_no_calendar_is_tried():
    panel = make_panel((500, 480), 7, alias="D")
    panel = replace(panel, frequency=Frequency("1", integer=True))
    settings = Settings.model_validate({"data": {"season": 7}})
    assert make_plan(panel, (7,), settings).design is None
