"""Intervals stretched to fit validation origins."""

from __future__ import annotations

import numpy as np
import pytest

from forecast.inference.predict import forecast_panel
from forecast.training import selection
from tests.builders import make_panel, random_forecaster


def test_of_very_many_series_some_evenly_spread_calibrate(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = make_panel((40,) * 30)
    origins = (panel.lengths - 6)[None]
    sizes = []

    def counted(forecaster, panel, horizon):  # type: ignore[no-untyped-def]
        sizes.append([str(name) for name in panel.ids])
        return forecast_panel(forecaster, panel, horizon)

    monkeypatch.setattr(selection, "forecast_panel", counted)
    forecaster = random_forecaster()
    every = selection.calibrated(forecaster, panel, origins, 6)
    monkeypatch.setattr(selection, "MOST_SERIES", 10)
    some = selection.calibrated(forecaster, panel, origins, 6)
    assert [len(each) for each in sizes] == [30, 10]
    assert sizes[1][0] == panel.ids[0]
    assert sizes[1][-1] == panel.ids[-1]
    middle = len(some.levels) // 2
    assert some.factors[middle] == every.factors[middle] == 1
    assert np.isfinite(some.factors).all()
