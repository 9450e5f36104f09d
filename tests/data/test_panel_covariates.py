from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from forecast.common.errors import InputError
from forecast.config.schema import DataSettings
from forecast.data.load import load_panel, panel_from_frame
from forecast.data.panel import check_ahead

DAYS = pd.date_range("2024-01-01", periods=40, freq="D")


def frame(ids=("a", "b"), ahead=0, **columns):
    """A long table of 30 days a series, `ahead` rows without y behind them."""
    days = DAYS[: 30 + ahead]
    parts = []
    for number, name in enumerate(ids):
        part = pd.DataFrame({"unique_id": name, "ds": days})
        part["y"] = [float(10 * number + i) if i < 30 else None for i in range(len(days))]
        for column, values in columns.items():
            part[column] = values(number, np.arange(len(days))) if callable(values) else values
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def heat(number, step):
    return 100.0 * number + step


def written(tmp_path, table, name="data.csv"):
    table.to_csv(tmp_path / name, index=False)
    return str(tmp_path / name)


def load(tmp_path, table, **settings):
    return load_panel(written(tmp_path, table), DataSettings(**settings))


def column(panel, name):
    return next(c for c in panel.covariates.columns if c.name == name)


def test_rows_after_the_last_value_are_the_covariates_of_the_steps_to_come(tmp_path):
    panel, report = load(tmp_path, frame(ahead=5, heat=heat), future_cov="heat")
    assert panel.lengths.tolist() == [30, 30]
    assert np.diff(panel.covariates.offsets).tolist() == [35, 35]
    assert column(panel, "heat").values[[0, 34, 35, 69]].tolist() == [0.0, 34.0, 100.0, 134.0]
    assert not [n for n in report.repairs if n.code == "repair/trailing-blanks"]
    check_ahead(panel, 5)


def test_covariates_that_end_before_the_horizon_are_refused_with_series_and_date(tmp_path):
    table = frame(ahead=5, heat=heat)
    table.loc[(table.unique_id == "b") & (table.ds == "2024-02-04"), "heat"] = None
    panel, _ = load(tmp_path, table, future_cov="heat")
    check_ahead(panel, 4)
    with pytest.raises(InputError) as caught:
        check_ahead(panel, 5)
    assert caught.value.code == "input/covariates-short"
    assert caught.value.message == (
        "covariate 'heat' does not cover the horizon: series 'b' has no value at 2024-02-04, and "
        "5 steps, up to 2024-02-04, are to be forecast"
    )
    assert "--future-covariates" in caught.value.remedy
    (heat_,) = panel.covariates.columns
    fair = replace(panel.covariates, columns=(replace(heat_, name="event: fair"),))
    with pytest.raises(InputError) as caught:
        check_ahead(replace(panel, covariates=fair), 5)
    assert caught.value.remedy.endswith("with --events FILE")
    check_ahead(panel, 5, names=["another"])


def test_a_gap_inside_the_horizon_is_a_missing_value_and_no_error(tmp_path):
    table = frame(ahead=5, heat=heat)
    table.loc[table.ds == "2024-02-02", "heat"] = None
    panel, _ = load(tmp_path, table, future_cov="heat")
    check_ahead(panel, 5)
    assert np.isnan(column(panel, "heat").values[32])


def test_a_table_of_the_steps_to_come_gives_its_columns_without_naming_them(tmp_path):
    ahead = frame(ahead=5, heat=heat).drop(columns="y")
    ahead = ahead[ahead.ds > "2024-01-30"]
    path = written(tmp_path, ahead, "ahead.csv")
    panel, _ = load(tmp_path, frame(heat=heat), future_covariates=path)
    assert [(c.name, c.role) for c in panel.covariates.columns] == [("heat", "future")]
    assert np.diff(panel.covariates.offsets).tolist() == [35, 35]
    check_ahead(panel, 5)


def test_an_id_column_that_the_outlook_shares_is_no_covariate(tmp_path):
    names = {"unique_id": "sku", "y": "units"}
    ahead = frame(ahead=5, promo=1.0).drop(columns="y").rename(columns=names)
    path = written(tmp_path, ahead[ahead.ds > "2024-01-30"], "plan.csv")
    table = frame(promo=1.0).rename(columns=names)
    panel, report = load(tmp_path, table, target_col="units", future_covariates=path)
    assert report.columns["id"] == ["sku"]
    assert [c.name for c in panel.covariates.columns] == ["promo"]


def test_what_the_data_say_counts_where_an_old_outlook_overlaps_it(tmp_path):
    outlook = frame(ahead=5, heat=lambda number, step: -1.0 * step).drop(columns="y")
    path = written(tmp_path, outlook, "ahead.csv")
    panel, _ = load(tmp_path, frame(heat=heat), future_covariates=path)
    assert column(panel, "heat").values[[29, 30, 34]].tolist() == [29.0, -30.0, -34.0]


def test_of_steps_to_come_the_outlook_counts_even_where_the_data_say_something_too(tmp_path):
    outlook = frame(ahead=5, heat=lambda number, step: -1.0 * step).drop(columns="y")
    path = written(tmp_path, outlook[outlook.ds > "2024-01-31"], "ahead.csv")
    panel, _ = load(
        tmp_path, frame(ahead=5, heat=heat), future_cov=("heat",), future_covariates=path
    )
    assert column(panel, "heat").values[[29, 30, 31, 34]].tolist() == [29.0, 30.0, -31.0, -34.0]


def test_an_outlook_whose_column_differs_in_capitals_is_read(tmp_path):
    ahead = frame(ahead=5, Heat=heat).drop(columns="y")
    path = written(tmp_path, ahead[ahead.ds > "2024-01-30"], "ahead.csv")
    panel, _ = load(tmp_path, frame(heat=heat), future_cov=("heat",), future_covariates=path)
    check_ahead(panel, 5)


def test_an_outlook_without_any_covariate_known_ahead_is_refused(tmp_path):
    ahead = frame(ahead=5, Aktion=1.0).drop(columns="y")
    path = written(tmp_path, ahead, "ahead.csv")
    with pytest.raises(InputError, match="no covariate known ahead") as refused:
        load(tmp_path, frame(ahead=5, heat=heat), future_cov=("heat",), future_covariates=path)
    assert "heat" in refused.value.remedy and "Aktion" in refused.value.message


def test_one_table_without_ids_counts_for_every_series(tmp_path):
    weather = pd.DataFrame({"ds": DAYS[30:35], "heat": [1.0, 2, 3, 4, 5]})
    path = written(tmp_path, weather, "ahead.csv")
    panel, _ = load(tmp_path, frame(heat=heat), future_covariates=path)
    assert column(panel, "heat").values[30:35].tolist() == [1, 2, 3, 4, 5]
    assert column(panel, "heat").values[65:70].tolist() == [1, 2, 3, 4, 5]


def test_true_and_false_are_numbers_and_other_words_are_categories(tmp_path):
    table = frame(
        promo=lambda number, step: np.where(step % 7 == 0, "TRUE", "FALSE"),
        weather=lambda number, step: np.where(step % 2 == 0, "sun", "rain"),
        kind=lambda number, step: 10.0 + step % 2,
    )
    panel, _ = load(tmp_path, table, future_cov="promo,weather,kind", categorical="kind")
    assert column(panel, "promo").categories is None
    assert column(panel, "promo").values[:8].tolist() == [1, 0, 0, 0, 0, 0, 0, 1]
    assert column(panel, "weather").categories == ("rain", "sun")
    assert column(panel, "weather").values[:2].tolist() == [1, 0]
    assert column(panel, "kind").categories == ("10", "11") or column(panel, "kind").categories == (
        "10.0",
        "11.0",
    )


def test_a_category_that_comes_only_in_the_steps_to_come_is_one_too(tmp_path):
    ahead = frame(ahead=5, weather="snow").drop(columns="y")
    path = written(tmp_path, ahead[ahead.ds > "2024-01-30"], "ahead.csv")
    panel, _ = load(tmp_path, frame(weather="sun"), future_covariates=path)
    weather = column(panel, "weather")
    assert weather.categories == ("snow", "sun")
    assert weather.values[[29, 30]].tolist() == [1.0, 0.0]


def test_a_table_of_series_gives_what_never_changes(tmp_path):
    static = pd.DataFrame({"unique_id": ["b", "a"], "area": [20.0, 10.0], "town": ["x", "y"]})
    path = written(tmp_path, static, "static.csv")
    panel, _ = load(tmp_path, frame(), static=path)
    assert column(panel, "area").values.tolist() == [10.0, 20.0]
    assert column(panel, "town").values.tolist() == [1.0, 0.0]
    with pytest.raises(InputError) as caught:
        load(tmp_path, frame(ids=("a", "b", "c")), static=path)
    assert caught.value.code == "input/static-missing"
    assert caught.value.message == "series without a row: c"


@pytest.mark.parametrize("head", ["kind,shop", "shop,kind", "item,shop"])
def test_the_series_of_a_static_table_stand_in_any_of_its_columns(tmp_path, head):
    table = frame().rename(columns={"unique_id": "shop"})
    places = {"shop": ("a", "b"), "kind": ("x", "x"), "item": ("x", "x")}
    rows = [",".join(places[name][k] for name in head.split(",")) for k in (1, 0)]
    (tmp_path / "static.csv").write_text("\n".join([head, *rows]) + "\n")
    panel, _ = load(tmp_path, table, static=str(tmp_path / "static.csv"), id_col="shop")
    again, _ = load(tmp_path, table, static=str(tmp_path / "static.csv"))
    for made in (panel, again):
        (own,) = made.covariates.columns
        assert own.name != "shop" and own.values.tolist() == [0, 0]


def test_a_static_column_of_the_data_must_not_change(tmp_path):
    table = frame(area=lambda number, step: 5.0 + number)
    panel, _ = load(tmp_path, table, static_cov="area")
    assert column(panel, "area").values.tolist() == [5.0, 6.0]
    table.loc[3, "area"] = 7.0
    with pytest.raises(InputError) as caught:
        load(tmp_path, table, static_cov="area")
    assert caught.value.code == "input/static-varies"


def test_covariate_columns_are_neither_target_nor_id(tmp_path):
    table = frame(ids=("a",), weather="sun", heat=heat).drop(columns="unique_id")
    table = table.rename(columns={"y": "load"})
    panel, report = load(tmp_path, table, future_cov="heat,weather")
    assert report.columns["target"] == ["load"]
    assert report.columns["covariates"] == ["heat", "weather"]
    assert panel.ids.tolist() == ["load"]


def test_a_covariate_that_is_not_there_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(InputError) as caught:
        load(tmp_path, frame(heat=heat), future_cov="haet")
    assert caught.value.code == "input/missing-column"
    assert "Did you mean heat? --future-cov takes one of" in caught.value.remedy


def test_a_column_cannot_be_target_and_covariate(tmp_path):
    with pytest.raises(InputError) as caught:
        load(tmp_path, frame(heat=heat), future_cov="heat", past_cov="heat")
    assert caught.value.code == "input/column-twice"


def test_several_targets_are_series_that_share_the_covariates(tmp_path):
    table = frame(ids=("a",), ahead=5, heat=heat).drop(columns="unique_id")
    table = table.rename(columns={"y": "north"}).assign(south=table["y"] * 2, note=1.0)
    panel, report = load(tmp_path, table, target_col="north,south", future_cov=("heat",))
    assert panel.ids.tolist() == ["north", "south"]
    assert panel.values.tolist() == [*map(float, range(30)), *(2.0 * i for i in range(30))]
    assert [c.name for c in panel.covariates.columns] == ["heat"]
    heats = column(panel, "heat").values
    assert heats[:35].tolist() == heats[35:].tolist() == [*map(float, range(35))]
    assert report.columns["target"] == ["north", "south"]


def test_several_targets_of_rows_of_several_series_are_refused_with_a_way(tmp_path):
    table = frame().assign(z=1.0)
    with pytest.raises(InputError) as refused:
        load(tmp_path, table, target_col="y,z")
    assert refused.value.code == "input/several-targets"
    assert "--target-col y" in refused.value.remedy
    assert load(tmp_path, table, target_col="y")[0].size == 2


def test_covariates_of_a_wide_table_are_refused(tmp_path):
    table = pd.DataFrame({"ds": DAYS, "a": np.arange(40.0), "heat": 1.0})
    with pytest.raises(InputError) as caught:
        load(tmp_path, table, wide=True, future_cov="heat")
    assert caught.value.code == "input/wide-covariates"


def test_a_frame_gives_the_same_covariates_as_its_file(tmp_path):
    table = frame(ahead=5, heat=heat, weather="sun")
    settings = DataSettings(future_cov=("heat", "weather"))
    one, _ = panel_from_frame(table, settings)
    two, _ = load_panel(written(tmp_path, table), settings)
    for mine, other in zip(one.covariates.columns, two.covariates.columns, strict=True):
        assert mine.categories == other.categories
        np.testing.assert_array_equal(mine.values, other.values)


def test_resampled_covariates_are_means_of_their_periods(tmp_path):
    table = frame(ids=("a",), ahead=5, heat=heat)
    panel, _ = load(tmp_path, table, future_cov="heat", resample="7D")
    found = column(panel, "heat").values
    assert found[1:4].tolist() == [6.0, 13.0, 20.0]  # of days 3 to 9, 10 to 16, 17 to 23


def test_times_off_the_grid_of_the_values_are_refused(tmp_path):
    ahead = pd.DataFrame({"ds": ["2024-01-31 12:00"], "heat": [1.0]})
    path = written(tmp_path, ahead, "ahead.csv")
    with pytest.raises(InputError) as caught:
        load(tmp_path, frame(ids=("a",), heat=heat), future_covariates=path)
    assert caught.value.code == "input/irregular-times"


def test_selecting_series_takes_their_covariates_along(tmp_path):
    table = frame(ahead=5, heat=heat, area=lambda number, step: 5.0 + number)
    panel, _ = load(tmp_path, table, future_cov="heat", static_cov="area")
    part = panel.select(np.array([1]))
    assert part.covariates.offsets.tolist() == [0, 35]
    assert column(part, "heat").values[0] == 100.0
    assert column(part, "area").values.tolist() == [6.0]
