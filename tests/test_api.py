"""`forecast.backtest` from Python: the settings and the results of the command."""

from __future__ import annotations

import pytest

import forecast
from forecast.common.errors import UsageError
from forecast.evaluation.scores import ScoreTable
from tests.test_backtest import inline, table  # noqa: F401 - a fixture

QUICK = dict(horizon=6, windows=2, max_steps=10, hidden=8, members=1, baselines="seasonal-naive")


def test_a_backtest_of_a_frame_gives_forecasts_scores_and_a_verdict(tmp_path, inline):  # noqa: F811
    made = forecast.backtest(table(), gap=2, out=str(tmp_path / "run"), **QUICK)
    frame = made.forecasts
    assert list(frame)[:5] == ["unique_id", "ds", "cutoff", "y", "LSTM"]
    assert frame["ds"].dtype.kind == "M"
    assert len(frame) == 2 * 2 * 6
    mae = (frame.y - frame.LSTM).abs().mean()
    assert isinstance(made.scores, ScoreTable)
    assert made.scores.score("LSTM").values["mae"] == pytest.approx(mae)
    assert made.verdict == made.result.verdict
    assert (made.folder / "report.html").exists()


@pytest.mark.parametrize(("function", "option"), [("train", "gap"), ("backtest", "quantiles")])
def test_an_option_of_another_command_is_refused(function, option):
    with pytest.raises(UsageError, match="no such option"):
        getattr(forecast, function)(table(), **{option: 1})
