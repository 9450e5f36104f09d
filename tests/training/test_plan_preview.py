"""What `train` would do is what it then does."""

from __future__ import annotations

from pathlib import Path

import pytest

from forecast.config.schema import Settings
from forecast.data.load import load_panel
from forecast.training.plan import make_plan, outlook
from tests.inputs.builders import days, table, wave, write


@pytest.mark.parametrize("lengths", [(300,), (200, 120, 90), (60, 6)])
def test_the_outlook_names_what_the_plan_decides(lengths: tuple[int, ...], tmp_path: Path) -> None:
    ids = [f"s{k}" for k, n in enumerate(lengths) for _ in range(n)]
    times = [t for n in lengths for t in days(n)]
    path = write(tmp_path, table(["unique_id", "ds", "y"], ids, times, wave(len(times))))
    settings = Settings()
    panel, report = load_panel(path, settings.data)
    would = {name: (value, why) for name, value, why in outlook(panel, report, settings)}
    plan = make_plan(panel, report.seasons, settings)
    did = {name: (value, why) for name, value, why in plan.reasons}
    for name in ("horizon", "held-out windows"):
        assert would[name] == did[name]
    assert would["learnt from"][0] == int(plan.keep.sum())
    longest = max(plan.keep)
    assert f"up to {days(longest)[-1]}" in would["learnt from"][1]
    assert ("not scored" in would) == (lengths == (60, 6))
