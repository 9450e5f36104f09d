"""What if: several futures side by side, own events, and outlooks that end too early."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from openpyxl import load_workbook
from scipy.sparse import csr_matrix

from forecast.common.errors import InputError, UsageError
from forecast.common.progress import Silent
from forecast.config.schema import DataSettings, Settings
from forecast.data.forecast import Forecast
from forecast.data.panel import FUTURE, Covariate, Covariates, Panel
from forecast.inference import effect_error
from forecast.inference.effect_error import EffectError, pooled
from forecast.inference.reconciliation import Errors
from forecast.inference.tables import whole_of
from forecast.transforms.covariates import Design, Entry
from forecast.transforms.hierarchy import Hierarchy
from forecast.transforms.outlook import Event, cover, read_events, with_columns, with_events
from forecast.workflows import scenarios
from forecast.workflows.hierarchy import Levels
from forecast.workflows.load import Found
from forecast.workflows.scenarios import parse_scenarios, scenarios_run
from tests.builders import make_panel, random_forecaster

LEVELS = np.array([0.1, 0.5, 0.9])
PRICE = Design((Entry("price", FUTURE),))


def with_price(price: float, ahead: int = 4, length: int = 24) -> Panel:
    """One series of months, and a price that is `price` from its end on."""
    panel = make_panel((length,))
    values = np.concatenate([np.full(length, 10.0), np.full(ahead, price)])
    columns = (Covariate("price", FUTURE, values),)
    return replace(panel, covariates=Covariates(np.array([0, len(values)]), columns))


def with_moves(price: float, noise: float = 0.0) -> Panel:
    """As `with_price`, of 60 months in which the price moved; sales are 200 less ten times it."""
    chance = np.random.default_rng(3)
    panel = with_price(price, length=60)
    assert panel.covariates is not None
    (column,) = panel.covariates.columns
    past = np.repeat(chance.uniform(8, 12, 20), 3)
    column = replace(column, values=np.concatenate([past, column.values[60:]]))
    sales = 200 - 10 * past + noise * chance.standard_normal(60)
    return replace(panel, values=sales, covariates=replace(panel.covariates, columns=(column,)))


def elastic(
    forecaster, panel: Panel, horizon: int, *, allow_negative: bool = False, slope: float = 10.0
) -> Forecast:
    """Sales of 200 less ten times the price, with a spread of 5."""
    assert panel.covariates is not None
    price = panel.covariates.columns[0].values[panel.lengths[0] :][:horizon]
    point = (200 - slope * price + (slope - 10) * 10)[None]
    quantiles = point[:, :, None] + np.array([-6.4, 0.0, 6.4])
    return Forecast(
        "LSTM", panel.lengths, point, LEVELS, quantiles, np.array(["LSTM"], object),
        np.array([True]),
    )  # fmt: skip


@pytest.fixture
def world(monkeypatch, tmp_path):
    """A model of elastic demand; a scenario's file says its price."""
    asked = []

    def find(source, settings, listener, model):
        asked.append((settings.data.future_covariates, model))
        panel = with_price(float(settings.data.future_covariates))
        forecaster = replace(random_forecaster(horizon=3), design=PRICE)
        report = type("Report", (), {"skipped": ()})()
        return Found(tmp_path / "run" / "model", forecaster, {}, panel, report)

    monkeypatch.setattr(scenarios, "find_model", find)
    monkeypatch.setattr(scenarios, "forecast_panel", elastic)
    (tmp_path / "run").mkdir()
    return asked


def test_a_price_up_by_a_tenth_changes_sales_by_what_is_known_with_its_interval(world, tmp_path):
    out = tmp_path / "out.csv"
    given = {"base": "10", "dearer": "11", "same": "10"}
    result = scenarios_run("x.csv", given, Settings(), Silent(), output=str(out))
    rows = result.predictions.to_pylist()
    assert [row["scenario"] for row in rows] == ["base"] * 3 + ["dearer"] * 3 + ["same"] * 3
    base, dearer, same = rows[0], rows[3], rows[6]
    assert base["change"] is None and base["change-lo-80"] is None
    assert (base["LSTM"], dearer["LSTM"], dearer["change"]) == (100, 90, -10)
    # the price never moved before, so nothing tells how right the change is: it may be none at all
    assert -35 < dearer["change-lo-95"] < -25 and 5 < dearer["change-hi-95"] < 15
    assert (same["change"], same["change-lo-80"], same["change-hi-80"]) == (0, 0, 0)
    assert out.read_text().splitlines()[0].startswith('"unique_id","ds","scenario","LSTM"')
    # the model of the first scenario serves the others
    folder = str(tmp_path / "run" / "model")
    assert [model for _, model in world] == [None, folder, folder]


class Warned(Silent):
    """A listener that keeps the codes of its warnings."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def warn(self, code: str, text: str) -> None:
        self.codes.append(code)


@pytest.mark.parametrize(
    ("slope", "noise", "narrow", "wide"),
    [
        (10.0, 0.0, 0.0, 8.0),  # right in the past: as little as few windows allow
        (13.0, 1.0, 8.0, 30.0),  # told 30 per cent too strong: the true change is inside
    ],
)
def test_an_interval_of_a_change_holds_how_wrong_such_changes_were(
    slope, noise, narrow, wide, monkeypatch
):
    monkeypatch.setattr(scenarios, "forecast_panel", partial(elastic, slope=slope))
    monkeypatch.setattr(effect_error, "forecast_panel", partial(elastic, slope=slope))
    forecaster = replace(random_forecaster(horizon=3), design=PRICE)
    made = {}
    for name, price in (("base", 10.0), ("dearer", 11.0)):
        panel = with_moves(price, noise)
        made[name] = (panel, elastic(None, panel, 3, slope=slope))
    heard = Warned()
    table = scenarios.scenario_table(made, forecaster, Settings(), 3, heard)
    row = table.to_pylist()[3]
    assert row["change"] == pytest.approx(-slope) and heard.codes == []
    assert narrow < row["change-hi-80"] - row["change-lo-80"] < wide
    assert row["change-lo-80"] <= -10 <= row["change-hi-80"]


def test_the_error_of_past_changes_is_sought_once_for_all_scenarios_of_a_column(monkeypatch):
    sought = []

    def seek(forecaster, panel, names, horizon):
        sought.append((tuple(names), horizon))
        return EffectError(1.0, 0)

    monkeypatch.setattr(scenarios, "forecast_panel", elastic)
    monkeypatch.setattr(scenarios, "effect_error", seek)
    forecaster = replace(random_forecaster(horizon=3), design=PRICE)
    prices = {"base": 10.0, "dearer": 11.0, "cheaper": 9.0, "same": 10.0}
    made = {n: (with_price(p), elastic(None, with_price(p), 3)) for n, p in prices.items()}
    heard = Warned()
    scenarios.scenario_table(made, forecaster, Settings(), 3, heard)
    assert sought == [(("price",), 3)] and heard.codes == ["scenario/never-moved"]


def test_members_that_disagree_about_a_change_widen_its_interval(monkeypatch):
    def forecast(forecaster, panel, horizon, **_):
        return elastic(None, panel, horizon, slope=float(forecaster.members[0]["slope"]))

    monkeypatch.setattr(scenarios, "forecast_panel", forecast)
    monkeypatch.setattr(scenarios, "effect_error", lambda *_: EffectError(0.0, 9))
    members = tuple({"slope": np.array(slope)} for slope in (8.0, 10.0, 12.0))
    forecaster = replace(random_forecaster(horizon=3), design=PRICE, members=members)
    made = {n: (with_price(p), elastic(None, with_price(p), 3)) for n, p in
            (("base", 10.0), ("dearer", 11.0))}  # fmt: skip
    row = scenarios.scenario_table(made, forecaster, Settings(), 3, Silent()).to_pylist()[3]
    assert (row["change-lo-80"], row["change-hi-80"]) == pytest.approx((-12, -8))


def test_slopes_are_pooled_by_hand():
    same = pooled(np.full(8, 0.5), np.full(8, 0.08))
    # mean 0.5, no excess spread, its own variance 0.08 / 8; and one cell that knows nothing
    assert same.share == pytest.approx(np.sqrt((8 * (0.25 + 0.01) + 1) / 9))
    apart = pooled(np.array([-0.4, 0.4]), np.array([0.01, 0.01]))
    # Q = 32, less 1, over 200 - 100: a spread of 0.31 squared
    assert apart.share == pytest.approx(np.sqrt((2 * (0.31 + 0.005) + 1) / 3))
    assert pooled(np.empty(0), np.empty(0)) == EffectError(1.0, 0)


def test_scenarios_are_drawn_together(world):
    made = {
        name: (with_price(p), elastic(None, with_price(p), 3))
        for name, p in (("base", 10.0), ("dearer", 11.0))
    }
    text = scenarios.draw_scenarios(with_price(10.0), made, Settings())
    assert "base" in text and "dearer" in text


def two_shops_and_their_total(price: float) -> Panel:
    """Two shops and their total, with a price that is `price` from the end on."""
    panel = make_panel((24, 24, 24))
    values = np.tile(np.concatenate([np.full(24, 10.0), np.full(4, price)]), 3)
    columns = (Covariate("price", FUTURE, values),)
    return replace(panel, covariates=Covariates(np.array([0, 28, 56, 84]), columns))


def never_adding_up(forecaster, panel: Panel, horizon: int, **_) -> Forecast:
    """The shops sell 200 less ten, and 100 less five times the price; the total is a tenth off."""
    price = panel.covariates.columns[0].values[24]
    below = np.array([200 - 10 * price, 100 - 5 * price])
    point = np.append(below, 1.1 * below.sum())[:, None] * np.ones((3, horizon))
    quantiles = point[:, :, None] + np.array([-6.4, 0.0, 6.4])
    every = np.full(3, "LSTM", object)
    return Forecast("LSTM", panel.lengths, point, LEVELS, quantiles, every, np.ones(3, bool))


def test_scenarios_of_a_hierarchy_add_up_in_what_is_forecast_and_in_what_changes(
    monkeypatch, tmp_path
):
    summing = csr_matrix(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    hierarchy = Hierarchy(("total", "shop"), np.array([1, 1, 0]), summing, np.array([0, 1]))

    def find(source, settings, listener, model):
        panel = two_shops_and_their_total(float(settings.data.future_covariates))
        forecaster = replace(random_forecaster(horizon=3), design=PRICE)
        report = type("Report", (), {"skipped": ()})()
        return Found(tmp_path / "model", forecaster, {}, panel, report, Levels(hierarchy))

    unknown = np.full((3, 24), np.nan)
    monkeypatch.setattr(scenarios, "find_model", find)
    monkeypatch.setattr(scenarios, "forecast_panel", never_adding_up)
    monkeypatch.setattr(scenarios, "effect_error", lambda *_: EffectError(0.0, 9))
    monkeypatch.setattr(
        scenarios, "errors_of", lambda *_: Errors(unknown, unknown, np.ones((2, 24)), 12)
    )
    settings = Settings(forecast={"reconcile": "bottom-up"})
    given = {"base": "10", "dearer": "11"}
    table = scenarios_run("x.csv", given, settings, Silent(), output="").predictions
    assert table.column_names[:5] == ["unique_id", "level", "ds", "scenario", "LSTM"]
    rows = [row for row in table.to_pylist() if row["ds"] == table["ds"][0].as_py()]
    assert [row["level"] for row in rows] == ["shop", "shop", "total"] * 2
    assert [row["LSTM"] for row in rows] == pytest.approx([100, 50, 150, 90, 45, 135])
    assert [row["change"] for row in rows[3:]] == pytest.approx([-10, -5, -15])
    # one and the same future under both prices: nothing of the change is left to chance
    assert [row["change-lo-80"] for row in rows[3:]] == pytest.approx([-10, -5, -15])
    whole = whole_of(table)  # the terminal and Studio add these up: every shop counts once
    assert whole["LSTM"].to_pylist() == pytest.approx([150] * 3 + [135] * 3)


def test_what_is_no_scenario_is_refused(world):
    assert parse_scenarios(["a=x.csv", "b = y=1.csv"]) == {"a": "x.csv", "b": "y=1.csv"}
    for wrong in (["promo.csv"], ["=x.csv"], ["a=x.csv", "a=y.csv"]):
        with pytest.raises(UsageError, match="a name of its own and a table"):
            parse_scenarios(wrong)
    both = Settings(data={"future_covariates": "f.csv"})
    with pytest.raises(UsageError, match="its own future covariates"):
        scenarios_run("x.csv", {"a": "10"}, both, Silent())


def test_a_model_without_covariates_cannot_tell_scenarios_apart(world, monkeypatch):
    find = scenarios.find_model

    def without(*words):
        found = find(*words)
        return replace(found, forecaster=replace(found.forecaster, design=None))

    monkeypatch.setattr(scenarios, "find_model", without)
    with pytest.raises(UsageError, match="knows no covariates ahead"):
        scenarios_run("x.csv", {"a": "10"}, Settings(), Silent())


def test_options_for_one_future_are_refused_beside_scenarios(lstmcast, tmp_path):
    code, _, err = lstmcast("predict", "x.csv", "--scenario", "a=b.csv", "--samples", "5")
    assert code == 2 and "usage/scenario-alone" in err


# --- outlooks that end too early -----------------------------------------------------------------


def test_a_short_outlook_is_refused_with_the_flags_that_help():
    with pytest.raises(InputError) as caught:
        cover(with_price(12.0, ahead=2), 4, None)
    assert "--cov-short mask" in caught.value.remedy and "last" in caught.value.remedy
    whole = with_price(12.0, ahead=4)
    assert cover(whole, 4, None) is whole


def test_of_several_scenarios_the_short_one_is_named_and_the_advice_followed_helps(world, tmp_path):
    given = {"base": "10", "promo": "11"}
    five = Settings.model_validate({"forecast": {"horizon": 5}})  # they know four steps
    with pytest.raises(InputError, match="does not cover the horizon") as caught:
        scenarios_run("x.csv", given, five, Silent())
    assert caught.value.where == "10"
    assert "--future-covariates" not in caught.value.remedy  # refused beside scenarios
    assert "--cov-short mask" in caught.value.remedy
    longer = five.model_copy(update={"data": five.data.model_copy(update={"cov_short": "last"})})
    made = scenarios_run("x.csv", given, longer, Silent(), output=str(tmp_path / "out.csv"))
    assert [row["change"] for row in made.predictions.to_pylist()[5:]] == [-10] * 5


def test_a_short_outlook_goes_on_with_its_last_value_or_is_missing_from_there():
    def price(how):
        made = cover(with_price(12.0, ahead=2), 4, how)
        assert made.covariates is not None
        return made.covariates.columns[0].values[24:]

    assert price("last").tolist() == [12.0, 12.0, 12.0, 12.0]
    assert price("mask") == pytest.approx([12.0, 12.0, np.nan, np.nan], nan_ok=True)


# --- own events ----------------------------------------------------------------------------------


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_events_are_read_with_spans_days_around_and_ids(tmp_path):
    path = write(
        tmp_path / "e.csv",
        "start,end,name,id,before,after\n2024-05-01,,fair,,1,\n2024-06-10,2024-06-12,sale,s1,,2\n",
    )
    fair, sale = read_events(path, DataSettings())
    assert fair == Event("fair", np.datetime64("2024-04-30"), np.datetime64("2024-05-01"))
    assert sale == Event("sale", np.datetime64("2024-06-10"), np.datetime64("2024-06-14"), "s1")
    for text, why in (
        ("when,what\n2024-05-01,x\n", "needs a date and a name"),
        ("date,name\nMay,x\n", "this is no date"),
        ("start,end,name\n2024-05-02,2024-05-01,x\n", "ends before it begins"),
        ("date,name,before\n2024-05-02,x,-1\n", "whole numbers"),
    ):
        with pytest.raises(InputError, match=why):
            read_events(write(tmp_path / "w.csv", text), DataSettings())


@pytest.mark.parametrize(
    ("alias", "on"),
    [("D", [2, 3]), ("h", list(range(48, 96))), ("W-SUN", [0]), ("MS", [0]), ("ME", [0])],
)
def test_an_event_counts_in_the_steps_that_its_days_fall_into(alias, on):
    panel = make_panel((60,), season=1, alias=alias)
    day = np.asarray(panel.frequency.stamps(panel.first)).astype("M8[D]")[0]
    if alias in ("D", "h"):
        day = day + np.timedelta64(2, "D")
    elif alias != "MS":  # the step is called by its last day
        day = day - np.timedelta64(2, "D")
    made = with_events(panel, [Event("x", day, day + np.timedelta64(1, "D"))], None)
    assert made.covariates is not None
    column = made.covariates.columns[0]
    assert column.name == "event: x" and np.flatnonzero(column.values).tolist() == on
    assert len(column.values) == 60 + 400


def test_events_of_one_series_leave_the_others_alone_and_unknown_ones_are_refused():
    panel = make_panel((30, 30))
    day = np.datetime64("1970-03-05")
    made = with_events(panel, [Event("x", day, day, "series-1")], 500)
    assert made.covariates is not None
    values = made.covariates.columns[0].values
    assert np.flatnonzero(values).tolist() == [530 + 2] and len(values) == 2 * 530
    with pytest.raises(InputError, match="of a series that there is not"):
        with_events(panel, [Event("x", day, day, "nobody")], None)


def test_an_event_that_a_model_knows_and_that_does_not_occur_is_zero():
    panel = with_columns(make_panel((10,)), ["event: fair", "price"])
    assert panel.covariates is not None
    (column,) = panel.covariates.columns
    assert column.name == "event: fair" and not column.values.any()
    assert with_columns(panel, ["event: fair"]) is panel


@pytest.mark.parametrize(
    "text",
    [
        "start;end;name\n04.03.2024;17.03.2024;fair\n13.5.2024;;fair\n",
        "start,end,name\n03/04/2024,03/17/2024,fair\n05/13/2024,,fair\n",
        "start,end,name\n20240304,20240317,fair\n20240513,,fair\n",
        "start,end,name\n2024-03-04 00:00:00,2024-03-17 00:00:00,fair\n2024-05-13 00:00:00,,fair\n",
    ],
)
def test_dates_of_events_are_read_as_those_of_data_are(tmp_path, text):
    span, day = read_events(write(tmp_path / "e.csv", text), DataSettings())
    assert (span.first, span.last) == (np.datetime64("2024-03-04"), np.datetime64("2024-03-17"))
    assert (day.first, day.last) == (np.datetime64("2024-05-13"), np.datetime64("2024-05-13"))


@pytest.mark.parametrize(
    ("time_format", "flag", "month"),
    [("%d/%m/%Y", None, 4), ("%m/%d/%Y %H:%M", None, 3), ("%d/%m/%Y", False, 3)],
)
def test_dates_of_events_that_could_be_either_are_as_the_data_s_unless_told(
    tmp_path, time_format, flag, month
):
    path = write(tmp_path / "e.csv", "date,name\n03/04/2024,x\n05/06/2024,x\n")
    first, _ = read_events(path, DataSettings(dayfirst=flag), time_format)
    assert first.first == np.datetime64(f"2024-{month:02}-{7 - month:02}")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("date,name\n03/04/2024,x\n05/06/2024,x\n", "cannot be told apart"),
        ("date,name\n2024-05-02,x\n3.5.2024,x\n", "no date as the others"),
        ("date,name,before\n2024-05-02,x,1.5\n", "whole numbers"),
        ("date,name,before\n2024-05-02,x,inf\n", "whole numbers"),
        ("date,name\n17,x\n", "no date"),
    ],
)
def test_what_is_no_date_of_an_event_is_named_with_its_line(tmp_path, text, why):
    with pytest.raises(InputError, match=why) as raised:
        read_events(write(tmp_path / "e.csv", text), DataSettings())
    assert "line " in str(raised.value.where)


def test_a_workbook_of_scenarios_has_dates_scores_and_settings(world, tmp_path):
    out = tmp_path / "out.xlsx"
    given = {"base": "10", "dearer": "11"}
    scenarios_run("x.csv", given, Settings(), Silent(), output=str(out))
    book = load_workbook(out)
    rows = list(book["forecast"].iter_rows(values_only=True))
    assert len(rows) == 7 and all(isinstance(row[1], datetime) for row in rows[1:])
    told = dict(book["settings"].iter_rows(min_row=2, values_only=True))
    assert told["point forecast"] == "median" and told["scenario dearer"] == "11"
