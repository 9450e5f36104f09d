"""One budget for every network, and what is said of the best."""

from __future__ import annotations

from operator import attrgetter

import numpy as np
import pytest

from forecast.common.durations import seconds_in
from forecast.common.errors import UsageError
from forecast.config.schema import Settings
from forecast.data.forecast import Forecast
from forecast.evaluation.scores import score_forecasts
from forecast.models.networks.registry import NETWORK_SPECS
from forecast.workflows.compare import _as_the_others, budget_of, plans_of, rows_of, sentence_of
from tests.builders import make_panel

PANEL = make_panel((72, 60, 60))
SHARED = attrgetter(
    "steps", "batch_size", "context", "learning_rate", "patience", "hidden_size"
)  # numbers of every network's training


def settings(**sections):
    return Settings.model_validate({"forecast": {"horizon": 6}, **sections})


def test_all_networks_have_the_same_origins_seeds_steps_and_validation():
    names = list(NETWORK_SPECS)
    plans = plans_of(PANEL, (12,), settings(compare={"networks": names}))
    assert list(plans) == names
    first = plans["lstm"].training
    for name, plan in plans.items():
        mine = plan.training
        assert mine.config.network == name and mine.start.model is None
        assert mine.scratch is None and not mine.compare
        for part in ("origins", "keep", "validation"):
            assert np.array_equal(getattr(mine, part), getattr(first, part))
        assert mine.seeds == first.seeds
        assert SHARED(mine.config) == SHARED(first.config)
    assert {plan.training.config.origins_per_window for name, plan in plans.items()
            if NETWORK_SPECS[name].each_origin} == {4}  # fmt: skip


def test_a_deadline_is_parted_evenly_among_the_networks_and_the_fine_tuned_lstm():
    given = settings(compare={"networks": ["lstm", "gru"]}, training={"deadline": "60s"})
    plans = plans_of(PANEL, (12,), given)
    whole = plans_of(PANEL, (12,), settings(
        compare={"networks": ["gru"]}, training={"deadline": "60s"}))  # fmt: skip
    part = plans["gru"].training.config.seconds
    assert part == plans["lstm"].training.config.seconds
    assert 3 * part == pytest.approx(whole["gru"].training.config.seconds)
    # `variants` halves what it is given: the fine-tuned network gets a third as well.
    assert seconds_in(_as_the_others(plans, given).deadline) / 2 == pytest.approx(20)
    assert any(f"{part:.0f} s at most" in why for _, _, why in budget_of(plans))


def test_a_size_that_one_network_cannot_have_is_refused():
    given = settings(compare={"networks": ["gru", "convlstm"]}, network={"hidden_size": 10})
    with pytest.raises(UsageError, match="a ConvLSTM on these data must be a multiple of 4"):
        plans_of(PANEL, (12,), given)


def scored(point="median", **errors):
    """Scores of forecasters whose every forecast is so far above the actual."""
    origins = PANEL.lengths - 6
    actual = PANEL.window(origins, 6)
    made = {
        name: [
            Forecast(
                name, origins, actual + error, np.empty(0), np.empty((3, 6, 0)),
                np.full(3, name, object), np.ones(3, bool),
            )
        ]
        for name, error in errors.items()
    }  # fmt: skip
    return score_forecasts(PANEL, made, 12, point=point)


def test_the_best_network_is_the_best_by_the_metric_that_judges():
    errors = {"LSTM": np.full((3, 6), 1.5), "GRU": np.array([[0.0, 0, 0, 0, 0, 6]] * 3)}
    medians, means = (scored(point, **errors) for point in ("median", "mean"))
    assert [row["model"] for row in rows_of(medians, {})] == ["GRU", "LSTM"]
    assert [row["model"] for row in rows_of(means, {})] == ["LSTM", "GRU"]
    assert sentence_of(medians, ["LSTM", "GRU"]).startswith("GRU was the best")
    assert sentence_of(means, ["LSTM", "GRU"]).startswith("LSTM was the best")


def test_the_best_network_is_named_with_what_its_choice_does_to_its_figure():
    table = scored(LSTM=3.0, GRU=1.0, AutoARIMA=2.0)
    text = sentence_of(table, ["LSTM", "GRU"])
    assert text.startswith("GRU was the best of 2 networks on these origins; being chosen by them")
    assert "GRU against AutoARIMA on 3 series" in text
    assert "GRU against LSTM on 3 series" in text
    alone = sentence_of(scored(GRU=1.0, AutoARIMA=2.0), ["GRU"])
    assert alone.startswith("GRU against AutoARIMA")
    lost = sentence_of(scored(GRU=1.0, SeasonalNaive=0.5), ["GRU"])
    assert lost.startswith("GRU against SeasonalNaive")
    rows = rows_of(table, {})
    assert [row["model"] for row in rows] == ["GRU", "AutoARIMA", "LSTM"]
