"""One-step forecasts from every origin at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecast.inference.one_step import one_step_ahead
from forecast.inference.predict import forecast_panel
from forecast.transforms.windows import segment_layout, step_layout
from tests.builders import make_panel, random_forecaster
from tests.models.test_likelihoods import count_panel, forecaster_of

LAYOUTS = [(step_layout(12), "MS"), (segment_layout(24), "h"), (segment_layout(48), "30min")]


@pytest.mark.parametrize(("layout", "alias"), LAYOUTS, ids=["step", "hourly", "half-hourly"])
def test_each_is_the_forecast_of_the_values_before_it(layout, alias):
    forecaster = replace(random_forecaster(layout, members=2), context=5)
    panel = make_panel((330, 40, 1, 150), season=layout.season, alias=alias, missing=0.1)
    made = one_step_ahead(forecaster, panel, np.ones(4, bool))
    for s, n in [(0, 8), (0, 100), (0, 329), (1, 39), (3, 77)]:
        # What a window has read: one context, and this one's part of the next.
        read = forecaster.context + n // layout.width % forecaster.context + 1
        past = panel.select(np.array([s])).truncate(np.array([n]))
        alone = forecast_panel(replace(forecaster, context=read), past, 1).quantiles[0, 0]
        np.testing.assert_allclose(made[panel.offsets[s] + n], alone, rtol=1e-5)
    assert np.isnan(made[panel.offsets[:-1]]).all()  # nothing comes before the first value


def test_the_future_changes_nothing_before_it():
    forecaster = replace(random_forecaster(step_layout(7)), context=6)
    panel = make_panel((90, 60), season=7, alias="D")
    values = panel.values.copy()
    values[80:90], values[140:] = -1e6, np.nan
    before = one_step_ahead(forecaster, panel, np.zeros(2, bool))
    after = one_step_ahead(forecaster, replace(panel, values=values), np.zeros(2, bool))
    for part in (slice(1, 81), slice(91, 141)):
        # The unit of the whole series only serves float32: equal up to its rounding.
        np.testing.assert_allclose(after[part], before[part], rtol=1e-3)


def test_a_value_without_a_logarithm_counts_as_missing_where_logarithms_are_taken():
    forecaster = replace(random_forecaster(step_layout(7)), context=6)
    panel = make_panel((60,), season=7, alias="D")
    zero, missing = panel.values.copy(), panel.values.copy()
    zero[30], missing[30] = 0.0, np.nan
    made = [
        one_step_ahead(forecaster, replace(panel, values=v), np.ones(1, bool))
        for v in (zero, missing)
    ]
    np.testing.assert_array_equal(*made)


def test_a_network_without_states_reads_its_context_for_each_origin():
    forecaster = replace(random_forecaster(step_layout(7), network="gru"), context=8)
    panel = make_panel((60,), season=7, alias="D")
    made = one_step_ahead(forecaster, panel, np.ones(1, bool))
    for n in (10, 41, 59):
        past = panel.truncate(np.array([n]))
        alone = forecast_panel(forecaster, past, 1).quantiles[0, 0]
        np.testing.assert_allclose(made[n], alone, rtol=1e-5)


def test_quantiles_of_counts_are_counts():
    panel = count_panel()
    made = one_step_ahead(forecaster_of("negative-binomial"), panel, np.ones(panel.size, bool))
    known = made[np.isfinite(made).all(1)]
    assert len(known) > 0.8 * len(made) and (known == np.rint(known)).all()
