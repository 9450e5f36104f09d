"""The pretrained network made ready for a panel: longer steps where they help."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecast.common.progress import Silent
from forecast.config.schema import Settings
from forecast.training import zero_shot as module
from forecast.training.zero_shot import zero_shot
from tests.builders import make_panel, make_year

SETTINGS = Settings.model_validate({"forecast": {"horizon": 28}})


class Told(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_weeks_are_forecast_as_well_where_days_go_with_the_year_and_the_reason_is_told():
    told = Told()
    ready = zero_shot(make_year(4, 3), (7,), SETTINGS, told)
    assert [each.steps for each in ready.forecaster.longer] == [7, 14]
    (note,) = [each for each in told.notes if "means of 7 and 14 steps" in each]
    beside, alone = (float(each) for each in np.array(note.split())[[-5, -2]])
    assert "forecast as well" in note and beside < alone


def test_they_lower_the_error_of_what_comes_where_days_go_with_the_year():
    panel = make_year(4, 3)
    error = []
    for back in (28, 56, 84):
        past = panel.truncate(panel.lengths - back)
        actual = panel.window(panel.lengths - back, 28)
        network = zero_shot(past, (7,), SETTINGS).forecaster
        error.append(
            [
                np.abs(module.forecast_panel(each, past, 28).point - actual).mean()
                for each in (network, replace(network, longer=()))
            ]
        )
    with_them, without = np.mean(error, axis=0)
    assert with_them < 0.98 * without


@pytest.mark.parametrize("years", [0.9, 0.2])
def test_without_a_year_of_days_nothing_is_said_of_weeks(years):
    told = Told()
    assert not zero_shot(make_year(years), (7,), SETTINGS, told).forecaster.longer
    assert not any("means of" in each for each in told.notes)


@pytest.mark.parametrize(
    ("count", "beside", "kept"),
    [(1, 0.96, False), (1, 0.95, True), (2, 0.99, False), (200, 1.004, True), (200, 1.006, False)],
)
def test_the_fewer_errors_speak_for_them_the_lower_these_must_be(count, beside, kept, monkeypatch):
    def errors(network, past, actual, unit):
        return np.full(past.size, beside if network.longer else 1.0)

    monkeypatch.setattr(module, "_errors", errors)
    panel = make_panel((400,) * count, 7, alias="D")  # one validation origin of so long a horizon
    far = Settings.model_validate({"forecast": {"horizon": 60}})
    told = Told()
    assert bool(zero_shot(panel, (7,), far, told).forecaster.longer) is kept
    assert any(("forecast as well" if kept else "left out") in each for each in told.notes)
