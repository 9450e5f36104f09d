from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecast.data.forecast import LEVELS
from forecast.inference.predict import forecast_panel
from forecast.models.store import load_model, save_model
from forecast.transforms.augment import (
    AS_IT_IS,
    BOTH_WAYS_UP,
    IN_THREE_WAYS,
    IN_TWO_WAYS,
    View,
    distinct,
    in_words,
    upright,
    views_for,
)
from forecast.transforms.windows import segment_layout, step_layout
from tests.builders import make_panel, random_forecaster

PLAIN, MIRRORED = View(False, False), View(False, True)


def made(views, panel, **how):
    forecaster = replace(random_forecaster(), views=tuple(views))
    return forecast_panel(forecaster, panel, 12, **how).quantiles


def test_a_mirrored_series_is_forecast_as_the_mirror_image_of_its_own():
    panel = make_panel((80, 50))
    below = replace(panel, values=-panel.values)
    upright = made([PLAIN], below, allow_negative=True)
    assert made([MIRRORED], panel, allow_negative=True) == pytest.approx(
        -upright[..., ::-1], rel=1e-6
    )


def test_the_forecast_is_the_mean_of_the_views_by_their_weights():
    panel = make_panel((80, 50))
    parts = [
        view.weight * made([view._replace(weight=1.0)], panel, allow_negative=True)
        for view in IN_THREE_WAYS
    ]
    assert made(IN_THREE_WAYS, panel, allow_negative=True) == pytest.approx(sum(parts))


def test_every_view_says_something_else_and_no_quantiles_cross():
    panel = make_panel((80, 50))
    forecasts = [made([view._replace(weight=1.0)], panel) for view in IN_THREE_WAYS]
    for n, one in enumerate(forecasts):
        assert (np.diff(one, axis=-1) >= 0).all()
        assert all(not np.allclose(one, other) for other in forecasts[:n])


def test_series_without_logarithms_are_read_once_as_they_are():
    values, offsets = np.array([0.0, 1.0, -2.0, 3.0]), np.array([0, 4])
    assert distinct(IN_THREE_WAYS, values, offsets) == (
        View(False, False, 0.75),
        View(False, True, 0.25),
    )
    assert distinct(IN_THREE_WAYS, np.arange(1.0, 5), offsets) == IN_THREE_WAYS


def test_a_series_without_logarithms_is_forecast_the_same_alone_and_among_others():
    both = make_panel((80, 60))
    values = both.values.copy()
    values[80:] -= values[80:].mean()
    both = replace(both, values=values)
    alone = both.select(np.array([1]))
    one, two = (made(IN_THREE_WAYS, p, allow_negative=True)[-1] for p in (alone, both))
    assert one == pytest.approx(two, rel=1e-6)


def test_slow_data_are_read_in_one_way_and_the_others_in_several():
    assert views_for(step_layout(1)) == views_for(step_layout(4)) == AS_IT_IS
    assert views_for(step_layout(7, 364)) == AS_IT_IS
    # the series of a hierarchy are upside down half the time: none learns where all of them went
    assert views_for(step_layout(4), summed=True) == BOTH_WAYS_UP
    assert views_for(step_layout(12), summed=True) == IN_THREE_WAYS
    assert views_for(step_layout(12)) == views_for(step_layout(52)) == IN_THREE_WAYS
    assert views_for(segment_layout(24)) == IN_TWO_WAYS
    for views in (AS_IT_IS, IN_TWO_WAYS, IN_THREE_WAYS):
        assert sum(view.weight for view in views) == 1


def test_without_the_mirrored_views_the_others_weigh_more():
    assert upright(IN_TWO_WAYS) == (View(True, False, 1.0),)
    assert upright(IN_THREE_WAYS) == (View(True, False, 2 / 3), View(False, False, 1 / 3))


def test_the_views_are_named():
    assert in_words(AS_IT_IS) == ("in one way", "logarithms where they fit")
    how, which = in_words(IN_TWO_WAYS)
    assert how == "in 2 ways"
    told = "logarithms where they fit, plain values mirrored at zero: the forecasts are averaged"
    assert which == told


def test_a_model_on_disk_keeps_its_views(tmp_path):
    panel = make_panel((80, 50))
    forecaster = replace(random_forecaster(), views=IN_THREE_WAYS)
    save_model(tmp_path / "model", forecaster, panel.frequency, {})
    again, _ = load_model(tmp_path / "model")
    assert again.views == IN_THREE_WAYS
    assert len(LEVELS) == len(again.levels)
    assert (forecast_panel(again, panel, 12).quantiles == made(IN_THREE_WAYS, panel)).all()
