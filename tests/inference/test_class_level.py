"""New items start at the level of their class."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from forecast.data.panel import STATIC, Covariate, Covariates, Unseen
from forecast.inference.class_level import of_unseen, with_class_levels
from forecast.inference.point import with_point
from forecast.inference.predict import forecast_panel
from tests.builders import make_panel, random_forecaster

KINDS, SIZES = ("food", "toys"), ("large", "small")


def shop():
    """Eight series; the last two are new: a toy of which one value is known, and food with none of
    its size beside it."""
    panel = make_panel((30, 30, 30, 30, 30, 30, 1, 2))
    kind = Covariate("kind", STATIC, np.array([0.0, 0, 0, 1, 1, 1, 1, 0]), KINDS)
    size = Covariate("size", STATIC, np.array([0.0, 0, 0, 1, 1, 1, 1, 1]), SIZES)
    return replace(panel, covariates=Covariates(panel.offsets, (kind, size)))


def test_a_new_item_has_the_forecast_of_its_class_and_says_which():
    panel = shop()
    plain = forecast_panel(random_forecaster(), panel, 3)
    made = with_class_levels(plain, panel)
    assert made.source.tolist() == ["LSTM"] * 6 + [
        "class level: kind=toys, size=small",
        "class level: kind=food",  # there is no small food
    ]
    pooled = plain.quantiles[3:6].transpose(1, 0, 2).reshape(3, -1)
    assert made.quantiles[6] == pytest.approx(np.quantile(pooled, made.levels, axis=1).T)
    assert (np.diff(made.quantiles[6:], axis=2) >= 0).all()
    assert np.array_equal(made.quantiles[:6], plain.quantiles[:6])


def test_without_a_class_of_three_it_stays_as_it_is():
    panel = replace(shop(), covariates=None)
    plain = forecast_panel(random_forecaster(), panel, 3)
    made = with_class_levels(plain, panel)
    assert np.array_equal(made.point, plain.point)
    assert made.source.tolist() == plain.source.tolist()


def test_a_new_shop_of_a_hierarchy_starts_at_the_level_of_its_state(lstmcast, tmp_path):
    rows = ["date,state,shop,sales"]
    for k in range(7):
        level = 1000 if k < 4 else 10
        for t in range(36 if k not in (3, 6) else 1):
            month = t if k not in (3, 6) else 35
            day = f"{2020 + month // 12}-{month % 12 + 1:02d}-01"
            rows.append(f"{day},{'X' if k < 4 else 'Y'},shop{k},{level + t % 12}")
    (tmp_path / "sales.csv").write_text("\n".join(rows) + "\n")
    out = tmp_path / "out.csv"
    code = lstmcast(
        "forecast", str(tmp_path / "sales.csv"), "--hierarchy", "state/shop", "--target-col",
        "sales", "--horizon", "2", "--set", "forecast.reconcile=bottom-up",
        "-o", str(out), "--quiet",
    )[0]  # fmt: skip
    assert code == 3  # a forecast that others stand in for
    made = {row["unique_id"]: row for row in csv.DictReader(out.open())}
    assert made["X/shop3"]["source"] == "class level: state=X"
    assert float(made["X/shop3"]["LSTM"]) == pytest.approx(1005, rel=0.05)
    # Y has two shops that are known, too few: the new one is like all shops
    assert made["Y/shop6"]["source"] == "class level: total"


def test_an_item_without_any_value_is_shut_only_when_every_other_series_is():
    panel = make_panel((70, 70, 70), alias="D")
    shut = np.zeros((3, 7), bool)
    shut[0], shut[:, 6] = [True, True, False, False, False, False, False], True
    kind = Covariate("kind", STATIC, np.zeros(3), KINDS)
    covariates = Covariates(panel.offsets, (kind,), (Unseen("new", {"kind": 0.0}),))
    panel = replace(panel, shut=shut, covariates=covariates)
    new, made = of_unseen(forecast_panel(random_forecaster(), panel, 7), panel)
    assert new.ids.tolist() == ["new"] and made.source.tolist() == ["class level: kind=food"]
    assert new.shut.tolist() == [[False] * 6 + [True]]
    of_all = forecast_panel(random_forecaster(), panel, 7)
    mean = of_unseen(of_all, panel, "mean")[1]  # as the others of a run whose point is the mean
    np.testing.assert_allclose(mean.point, with_point(made, "mean").point)
    assert (mean.point != made.point).any()


def toys(folder):
    """Four toys of 60 days, one of whose name alone is known, and one that no class is known of."""
    rows = ["item,day,sales"]
    days = np.datetime_as_string(np.datetime64("2024-01-01") + np.arange(60))
    for k in range(4):
        rows += [f"toy{k},{day},{50 + k + 9 * (t % 7)}" for t, day in enumerate(days)]
    rows += [f"{new},{day}," for new in ("new", "odd") for day in days[-3:]]
    (folder / "sales.csv").write_text("\n".join(rows) + "\n")
    kinds = [f"toy{k},toys" for k in range(4)] + ["new,toys", "odd,", "never-sold,toys"]
    (folder / "items.csv").write_text("\n".join(["item,kind", *kinds]) + "\n")
    return ["sales.csv", "--static", "items.csv"]


def test_an_item_without_any_value_has_the_forecast_of_its_class(tmp_path, lstmcast, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [*toys(tmp_path), "--horizon", "3", "--out", "run", "--windows", "1"]
    small = ["--max-steps", "2", "--members", "1", "--set", "training.try_scratch=false"]
    small += ["--baselines", "none"]
    code, _, err = lstmcast("train", *words, *small)
    assert code == 3, err  # not every series has a forecast of its own
    with open("run/predictions.csv") as file:
        made = list(csv.DictReader(file))
    new = [row for row in made if row["unique_id"] == "new"]
    assert [row["ds"] for row in new] == ["2024-03-01", "2024-03-02", "2024-03-03"]
    assert {row["source"] for row in new} == {"class level: kind=toys"}
    levels = [float(r["LSTM"]) for r in made if r["ds"] == "2024-03-01" and r["source"] == "LSTM"]
    assert min(levels) <= float(new[0]["LSTM"]) <= max(levels) and len(levels) == 4
    assert not {"odd", "never-sold"} & {row["unique_id"] for row in made}
    again = ["--model", "run", "--root", ".", "--output", "again.csv"]
    assert lstmcast("predict", *again)[0] == 3
    with open("again.csv") as file:
        assert [row for row in csv.DictReader(file) if row["unique_id"] == "new"] == new
    assert lstmcast("report", "run", "--root", ".")[0] == 0
    (tmp_path / "items.csv").rename("elsewhere.csv")
    lost = lstmcast("predict", "sales.csv", "--model", "run", "--output", "lost.csv")
    assert "a table of static columns, which is not at hand" in "".join(lost[1:])
    assert (
        "--static FILE" in "".join(lost[1:]) and "class level" not in Path("lost.csv").read_text()
    )
    words = ("sales.csv", "--model", "run", "--static", "elsewhere.csv", "--output", "back.csv")
    found = lstmcast("predict", *words)
    assert "not at hand" not in "".join(found[1:])
    assert "class level: kind=toys" in Path("back.csv").read_text()
