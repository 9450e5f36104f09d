"""Files as people bring them: read as a person reads them, or refused with a way that works."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from forecast import train
from forecast.cli.app import run
from forecast.cli.error_handler import guarded
from forecast.common.errors import InputError
from forecast.config.schema import DataSettings
from forecast.data.io.timestamp_writing import format_stamps
from forecast.data.load import LoadReport, load_panel, panel_from_frame
from forecast.data.open_steps import as_read, is_open, reach
from forecast.data.panel import Panel
from forecast.inference.predict import forecast_panel
from forecast.models.pretrained import load_backbone
from forecast.transforms.covariates import fit_design, unknown_ahead
from forecast.transforms.windows import segment_layout
from tests.inputs.everyday import write_all
from tests.teaching import taught_here


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("everyday")
    write_all(made)
    return made


@dataclass(frozen=True)
class Case:
    """One case: the file, what is asked, and what is read, or the refusal and the advice.

    roles (time, target, id); step: its frequency; coming: the next times as they are written;
    values: the first ones; advice: settings that the refusal names, which must then be read so
    """

    number: int
    file: str
    roles: tuple[str, str, str] = ("", "", "")
    step: str = ""
    coming: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    series: int = 1
    asked: dict[str, object] = field(default_factory=dict)
    refused: str = ""
    says: tuple[str, ...] = ()
    advice: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.number}-{self.file}"


HOURS = (100.0, 110.0, 120.0)
QUARTERS = {"step": "QS-JAN", "values": HOURS[1:]}
CASES = [
    Case(2, "a1", refused="input/ambiguous-target", says=("revenue, visits", "--target-col"),
         advice={"target_col": "revenue"}, roles=("date", "revenue", ""), step="D",
         values=(2000.15, 2100.15)),
    Case(2, "a2", ("date", "revenue", "store"), "D", ("2023-03-27",), (2000.15,), 2),
    Case(2, "a3", refused="input/ambiguous-target", says=("Open, High, Low, Close, Volume",),
         advice={"target_col": "Close"}, roles=("Date", "Close", ""), step="B", values=(4005.37,)),
    Case(2, "a4", refused="input/ambiguous-target", says=("pressure, temp", "--wide"),
         advice={"wide": True}, step="D", series=2, values=(1010.1,)),
    Case(2, "a5", ("when", "price", ""), "D", values=(1200.10,)),
    Case(5, "e1", ("Datum", "Umsatz", ""), "D", ("27.03.2023",), (800, 880, 960, 1040, 1120)),
    Case(6, "c1", ("Date+Time", "kW", ""), "h", ("15/01/2023 00:00:00",), HOURS),
    Case(7, "c2", ("Year+Month", "Sales", ""), "MS", ("2018-January",), (110, 120)),
    Case(7, "c3", ("Year+Quarter", "Sales", ""), "QS-JAN", ("2020-Q1",), (110, 120)),
    Case(8, "d1", ("ds", "y", ""), "W-MON", (*(f"2019{w}" for w in range(45, 53)), "202001"),
         (129, 130)),
    Case(9, "d2", ("ds", "y", ""), "min", ("202301020000",), (0, 1)),
    Case(9, "d4", ("ds", "y", ""), "h", ("202301150000",), HOURS),
    Case(9, "d5", ("MESS_DATUM", "TT", ""), "h", ("2023011500",), HOURS),
    Case(10, "d3", ("ds", "y", ""), "D", ("2024001", "2024002"), (105, 106)),
    Case(11, "c10", ("date", "amount", ""), "D", ("2023-03-27",), (510, 560),
         asked={"resample": "D", "agg": "sum"}),
    Case(11, "c10", refused="input/duplicate-time", says=("--duplicates", "sum"),
         advice={"duplicates": "sum"}, roles=("date", "amount", ""), step="D", values=(510, 560)),
    Case(12, "f1", ("date", "sales", ""), "D", ("2023-07-01", "2023-07-03", "2023-07-04"), (100,)),
    Case(12, "f2", ("date", "close", ""), "D", ("2023-07-02", "2023-07-03"), (50, 60)),
    Case(12, "f3", ("time", "kwh", ""), "h", ("2023-07-03 08:00", "2023-07-03 09:00"), HOURS),
    Case(12, "f4", ("ds", "y", "id"), "D", ("2023-01-02", "2023-01-03"), (140,), 2),
    Case(13, "g2", refused="input/local-midnights", says=("--tz",),
         advice={"tz": "Europe/Madrid"}, roles=("ds", "y", ""), step="MS",
         coming=("2022-12-31T23:00:00Z", "2023-01-31T23:00:00Z"), values=(110, 120)),
    Case(13, "g2", ("ds", "y", ""), "MS", ("2023-01-01",), (110, 120),
         asked={"resample": "MS"}),
    Case(13, "g3", ("ds", "y", ""), "D", ("2024-07-18T22:00:00Z",), HOURS,
         asked={"tz": "Europe/Amsterdam"}),
    Case(14, "c7", ("YYYYMMDD+HH", "T", ""), "h", ("20230115 01",), HOURS),
    Case(14, "c7", ("YYYYMMDD+HH", "T", ""), "h", values=HOURS,
         asked={"time_col": "YYYYMMDD,HH"}),
    Case(19, "d6", ("quarter", "sales", ""), "QS-JAN", ("1-2020", "2-2020"), (110, 120)),
    Case(20, "g5", refused="input/long-day", says=("--tz",), advice={"tz": "America/Chicago"},
         roles=("Delivery Date+Hour Ending", "Load", ""), step="h", coming=("11/09/2024 24",),
         values=(55, 52)),
    Case(21, "k15", ("Delivery Date+Hour Ending", "Load", ""), "h",
         tuple(f"01/15/2023 {h}" for h in range(1, 25)), HOURS),
    Case(22, "c4", ("date+hour", "load", ""), "h", ("2023-01-15 00:00",), HOURS),
    Case(22, "c5", ("SETTLEMENT_DATE+SETTLEMENT_PERIOD", "ND", ""), "30min",
         ("2024-01-11 1", "2024-01-11 2"), (100, 100, 110)),
    Case(22, "c6", ("YEAR+MO+DY+HR", "T2M", ""), "h", ("2023-01-15 00:00",), HOURS),
    Case(22, "c8", ("year+week", "sales", ""), "W-MON", ("2021-W17",), (102, 103)),
    Case(22, "c9", ("year+quarter", "sales", ""), "QS-JAN", ("2020-Q1",), (110, 120)),
    Case(23, "k9", ("Month", "Sales", ""), "1", ("6-01", "6-02"), HOURS),
    Case(24, "k8", refused="input/no-time-column", says=("--no-time",), advice={"no_time": True},
         step="1", coming=("97", "98"), values=(100, 111)),
    Case(25, "k6", refused="input/times-in-header", says=("--transpose",),
         advice={"transpose": True}, step="D", coming=("3/22/20",), values=(1, 2), series=3,
         roles=("time", "value", "Province")),
    Case(25, "k7", refused="input/times-in-header", says=("--transpose",),
         advice={"transpose": True}, step="MS", coming=("2020-Jan",), values=(110, 120)),
    Case(26, "k1", ("ds", "y", ""), "D", ("2023-03-27",), HOURS),
    Case(27, "k2", ("time", "temp (C)", ""), "D", ("2023-03-27",), HOURS),
    Case(27, "k3", ("time", "temp", ""), "D", ("2023-03-27",), HOURS),
    Case(27, "k4", ("ds", "y", ""), "D", ("2023-03-27",), HOURS),
    Case(27, "k5", ("Date", "CO", ""), "D", ("27/03/2023",), HOURS),
    Case(28, "e3", ("DATE", "DGS10", ""), "D", ("2023-03-27",), (110, 120)),
    Case(29, "e2", ("date", "use", ""), "D", values=(800, 880, 960, 1040)),
    Case(29, "e2", ("date", "use", ""), "D", values=(800, 880, 960, 1040),
         asked={"thousands": " "}),
    Case(29, "e4", ("date", "use", ""), "D", values=(800, 880, 960, 1040)),
    Case(30, "k10", ("MTU (CET)", "Load", ""), "h",
         ("15.01.2023 00:00 - 15.01.2023 01:00",), HOURS),
    Case(30, "k11", ("Date+Time", "CO", ""), "h", ("15/01/2023 00.00.00",), HOURS),
    Case(30, "k12", ("Local time", "Close", ""), "h",
         ("15.01.2023 00:00:00.000 GMT+0200",), HOURS),
    Case(30, "k13", ("ds", "y", ""), "D", ("27MAR2023",), HOURS),
    Case(30, "k14", refused="input/unreadable-time", says=("no week 53", "2021-12-27")),
    Case(30, "k18", ("ds", "y", ""), "YS-JAN", ("FY2020", "FY2021"), (100, 110)),
    Case(30, "k19", ("ds", "y", ""), "2QS-JAN", ("2020H1", "2020H2"), (100, 110)),
    Case(30, "k20", refused="input/unreadable-time", says=("zone's name out", "--tz")),
    Case(30, "k21", ("ds", "y", ""), "h", ("2023-01-15 00:00",), HOURS,
         asked={"tz": "America/New_York"}),
    Case(31, "k16", refused="input/irregular-times", says=("--resample 5min",),
         advice={"resample": "5min"}, roles=("ds", "y", ""), step="5min", values=(50, 50)),
    Case(32, "k17", ("ds", "y", ""), "SMS", ("2018-01-01", "2018-01-15", "2018-02-01"),
         (100, 110)),
    Case(33, "g4", ("ds", "y", ""), "6h", ("2024-04-20 00:00",), (0, 6, 12),
         asked={"tz": "Europe/Berlin"}),
    Case(33, "g6", ("ds", "y", ""), "h", ("2024-11-09T23:00:00+01:00",), (55, 52),
         asked={"tz": "Europe/Berlin"}),
]  # fmt: skip


def read(folder: Path, file: str, **asked: object) -> tuple[Panel, LoadReport]:
    return load_panel(folder / f"{file}.csv", DataSettings(**asked))


def coming(panel: Panel, count: int) -> list[str]:
    """The next times of the first series, as they are written, without those that never are."""
    steps = np.arange(reach(panel, panel.lengths, count))
    at = panel.first[0] + panel.lengths[0] + steps
    at = at[is_open(panel, np.zeros(len(at), np.int64), at)][:count]
    written = format_stamps(panel.frequency.stamps(at), panel.time_format, panel.tz)
    return [str(t) for t in written.to_pylist()]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_file_is_read_as_a_person_reads_it(case: Case, folder: Path) -> None:
    asked = dict(case.asked)
    if case.refused:
        with pytest.raises(InputError) as caught:
            read(folder, case.file, **asked)
        assert caught.value.code == case.refused
        for words in case.says:
            assert words in f"{caught.value} {caught.value.remedy}"
        if not case.advice:
            return
        asked |= case.advice
    panel, report = read(folder, case.file, **asked)
    columns = report.columns
    if any(case.roles):
        found = ("+".join(columns["time"]), "+".join(columns["target"]), "+".join(columns["id"]))
        assert found == case.roles
    assert (panel.size, panel.frequency.alias) == (case.series, case.step)
    assert panel.values[: len(case.values)].tolist() == list(case.values)
    assert report.gaps == 0
    assert coming(panel, len(case.coming)) == list(case.coming)


def test_a_day_of_a_clock_change_is_a_day_of_the_clock(folder: Path) -> None:
    """Case 3: hours of Berlin; the hour that comes twice is one step, in history and forecast."""
    panel, report = read(folder, "g1_1", tz="Europe/Berlin")
    assert (len(panel.values) % 24, report.gaps) == (0, 0)
    by_hour = panel.values.reshape(-1, 24)
    assert np.ptp(by_hour.argmax(1)[-7:]) <= 1  # the peak stays at its hour over the change


LOAD = (55, 52, 50, 49, 50, 54, 65, 80, 90, 94, 95, 96, 95, 94, 92, 90, 91, 95, 100, 98, 90, 80, 70, 60)  # fmt: skip  # noqa: E501


def load_of_hours(end: datetime, tz: str, noise: int = 0) -> Panel:
    """Eight weeks of hours by the clock of `tz` up to `end`, less on Saturdays and Sundays."""
    zone, rng = ZoneInfo(tz), random.Random(noise)
    last = end.replace(tzinfo=zone).astimezone(UTC)
    hours = [(last - timedelta(hours=n)).astimezone(zone) for n in range(24 * 56, 0, -1)]
    load = [LOAD[t.hour] * (1 if t.weekday() < 5 else 0.8) + rng.gauss(0, 1) for t in hours]
    data = {"ds": [f"{t:%Y-%m-%d %H:%M}" for t in hours], "load": load}
    return panel_from_frame(pd.DataFrame(data), DataSettings(tz=tz))[0]


@pytest.mark.parametrize("tz", ["Europe/Berlin", "America/Chicago"])
@pytest.mark.parametrize("change", ["spring", "autumn"])
def test_days_after_a_clock_change_are_forecast_as_others(tz: str, change: str) -> None:
    """Case 3: the hour that the clock skips is no hole in its day: left out, the day's mean was
    that of the other hours, and the whole next day came out too high (error 1.33 for 1.0)."""
    days = {"Europe/Berlin": ((3, 31), (10, 27)), "America/Chicago": ((3, 10), (11, 3))}
    month, day = days[tz][change == "autumn"]
    sunday = datetime(2024, month, day)
    pretrained = load_backbone(segment_layout(24))

    def error(end: datetime, noise: int) -> float:
        panel = load_of_hours(end, tz, noise)
        made = forecast_panel(pretrained, panel, 24).point[0]
        usual = 0.8 if end.weekday() > 4 else 1.0
        return float(np.abs(made - np.array(LOAD) * usual)[4:].mean())

    def mean_error(*after: int) -> float:
        return float(np.mean([error(sunday + timedelta(n), s) for n in after for s in range(2)]))

    assert mean_error(1) < 1.3 * mean_error(-6)


def test_a_skipped_hour_goes_on_as_the_hour_before_it() -> None:
    """Whole, half and quarter hours alike; the panel itself holds nothing there."""
    panel = load_of_hours(datetime(2024, 4, 2), "Europe/Berlin")
    (hole,) = np.flatnonzero(np.isnan(panel.values))
    assert as_read(panel)[hole] == panel.values[hole - 1]
    stamps = np.arange(np.datetime64("2024-03-31T00:00"), np.datetime64("2024-03-31T06:00"), 15)
    stamps = stamps[(stamps < stamps[8]) | (stamps >= stamps[12])]
    data = {"ds": stamps.astype(str), "y": np.arange(len(stamps)) + 1.0}
    quarters = panel_from_frame(pd.DataFrame(data), DataSettings(tz="Europe/Berlin"))[0]
    assert np.isnan(quarters.values[8:12]).all()
    assert as_read(quarters)[7:13].tolist() == [8.0, 8.0, 8.0, 8.0, 8.0, 9.0]


def panel_with_words(ahead: list[str]) -> Panel:
    """Eight weeks of daily sales and what was advertised, `ahead` known of the days to come."""
    words = [("tv", "none", "none")[n % 3] for n in range(56)]
    days = np.datetime64("2023-01-02") + np.arange(56 + len(ahead))
    sales = [100.0 + 30 * (w == "tv") for w in words] + [np.nan] * len(ahead)
    data = {"ds": days.astype(str), "y": sales, "ad": [*words, *ahead]}
    return panel_from_frame(pd.DataFrame(data), DataSettings(future_cov=("ad",)))[0]


def test_of_days_that_are_closed_nothing_need_be_known() -> None:
    """A bakery with promotions and no Sundays, its file as the till has it: without rows for them.
    A Sunday to come was told as a hole in the promotions."""
    days = np.datetime64("2024-01-01") + np.arange(200)
    days = days[(days.astype(int) + 3) % 7 != 6]  # Monday is 0
    sales = np.where(np.arange(len(days)) < len(days) - 12, 20.0 + np.arange(len(days)) % 5, np.nan)
    data = {"ds": days.astype(str), "y": sales, "promo": np.arange(len(days)) % 4 == 0}
    table = pd.DataFrame(data).astype({"promo": float})
    asked = {"calendar": False, "holidays": (), "calendar_tz": None}
    panel = panel_from_frame(table, DataSettings(future_cov=("promo",)))[0]
    assert panel.shut is not None
    learnt = fit_design(panel, panel.lengths, **asked)
    assert unknown_ahead(learnt, panel, 14) == []  # twelve days on which it sells
    holed = table.assign(promo=table["promo"].where(np.arange(len(table)) != len(table) - 3))
    panel = panel_from_frame(holed, DataSettings(future_cov=("promo",)))[0]
    ((code, text),) = unknown_ahead(learnt, panel, 14)
    assert code == "covariates/hole" and "no value on 1 of the steps to come" in text


def test_what_is_not_known_of_the_days_to_come_is_said() -> None:
    """Case 16: a word that training never saw, and a hole within the horizon."""
    asked = {"calendar": False, "holidays": (), "calendar_tz": None}
    learnt = fit_design(panel_with_words([]), np.array([56]), **asked)
    assert unknown_ahead(learnt, panel_with_words(["none", "tv", "none", "none"]), 4) == []
    told = dict(unknown_ahead(learnt, panel_with_words(["none", "radio", "", "none"]), 4))
    assert "'radio' on 1 of the steps to come" in told["covariates/unseen"]
    assert "no value on 1 of the steps to come" in told["covariates/hole"]
    assert (
        "no value on 2 of"
        in dict(unknown_ahead(learnt, panel_with_words(["tv"] * 2), 4))["covariates/hole"]
    )


def lines(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.replace('"', "").split(",") for line in capsys.readouterr().out.splitlines()[1:]]


@pytest.mark.parametrize(
    ("command", "times"),
    [
        ("f1.csv --horizon 8", ["2023-07-01", *(f"2023-07-{d:02d}" for d in range(3, 9)),
                                "2023-07-10"]),
        ("f2.csv --horizon 1", ["2023-07-02"]),
        ("g1_0.csv --tz Europe/Berlin --horizon 4",
         [f"2024-10-27 0{h}:00" for h in (0, 1, 2, 2, 3)]),
        ("k15.csv --horizon 24", [f"01/15/2023 {h}" for h in range(1, 25)]),
        ("d1.csv --horizon 10", [*(f"2019{w}" for w in range(45, 53)), "202001", "202002"]),
    ],
)  # fmt: skip
def test_forecasts_are_for_times_that_there_are(
    command: str, times: list[str], folder: Path, monkeypatch, capsys
) -> None:
    """Cases 3, 8, 12, 21: no Sunday of a shop, both times of an hour that comes twice."""
    monkeypatch.chdir(folder)
    assert guarded(lambda: run(["forecast", *command.split(), "--quiet", "-o", "-"])) == 0
    assert [row[1] for row in lines(capsys)] == times


def test_train_predict_and_forecast_count_the_same_days(
    folder: Path, tmp_path: Path, monkeypatch
) -> None:
    """Eight days of a shop that is shut on Sundays: the Sunday among them is none of the eight."""
    monkeypatch.setattr("forecast.training.learn.train_members", taught_here)
    shut = ["2023-07-01", *(f"2023-07-{d:02d}" for d in range(3, 9)), "2023-07-10"]
    asked = dict(horizon=8, hidden=8, members=1, max_steps=2, windows=1, samples=2, refit=False)
    run = train(folder / "f1.csv", out=str(tmp_path / "run"), baselines="seasonal-naive",
                try_scratch=False, **asked)  # fmt: skip
    made = pd.read_csv(run.folder / "predictions.csv")
    assert made["ds"].tolist() == shut
    assert np.isfinite(made["SeasonalNaive"]).all()
    samples = pd.read_csv(run.folder / "samples.csv")
    assert samples["ds"].tolist() == [*shut, *shut]
    assert run.predict()["ds"].dt.strftime("%Y-%m-%d").tolist() == shut


def test_closed_days_are_named_among_the_repairs(folder: Path) -> None:
    """A shop without rows on Sundays, and one that writes 0 on them."""
    days = pd.date_range("2024-01-01", periods=84)
    table = pd.DataFrame({"ds": days, "y": 10.0 + np.arange(84) % 9})
    sunday = days.weekday == 6
    table[~sunday].to_csv(folder / "shut.csv", index=False)
    table.assign(y=table["y"].where(~sunday, 0.0)).to_csv(folder / "zeros.csv", index=False)
    for name, code, text in [
        ("shut", "repair/calendar", "no value ever falls on Sundays: such steps are no gaps"),
        ("zeros", "repair/zero-days", "Sundays are always 0: they are forecast as 0"),
    ]:
        _, report = read(folder, name)
        (note,) = [each for each in report.repairs if each.code == code]
        assert note.text.startswith(text) and not report.warnings


def test_an_outlook_is_each_series_own(folder: Path) -> None:
    """Case 1: the id column of an outlook is found as that of the data is."""
    own, _ = read(folder, "b_hist", future_covariates=str(folder / "b_fut.csv"))
    rows, _ = read(folder, "b_all", future_cov=("promo",))
    named, _ = read(folder, "b_hist", future_covariates=str(folder / "b_fut.csv"), id_col="store")
    for panel in (own, named):
        assert panel.ids.tolist() == ["A", "B"]
        column, expected = panel.covariates.columns[0], rows.covariates.columns[0]
        np.testing.assert_array_equal(column.values, expected.values)


def test_an_outlook_without_a_name_for_its_series_is_refused(folder: Path, tmp_path: Path) -> None:
    """Case 1: rows of several series are not averaged."""
    text = (folder / "b_fut.csv").read_text()
    bare = "\n".join(line.replace(",A,", ",").replace(",B,", ",").replace(",store,", ",")
                     for line in text.splitlines())  # fmt: skip
    (tmp_path / "bare.csv").write_text(bare + "\n")
    with pytest.raises(InputError, match="whose they are"):
        read(folder, "b_hist", future_covariates=str(tmp_path / "bare.csv"))


def test_covariates_of_a_wide_table_are_used_or_refused_with_a_way(folder: Path) -> None:
    """Case 17: their past may stand in the table of the outlook, and must stand somewhere."""
    with pytest.raises(InputError) as caught:
        read(folder, "b_wide", wide=True, future_covariates=str(folder / "b_widefut.csv"))
    assert caught.value.code == "input/covariates-without-past"
    whole, _ = read(folder, "b_wide", wide=True, future_covariates=str(folder / "b_sepfut.csv"))
    assert [c.name for c in whole.covariates.columns] == ["temp"]
    assert np.isfinite(whole.covariates.columns[0].values).all()
    alone, _ = read(folder, "b_sep", future_covariates=str(folder / "b_sepfut.csv"))
    assert alone.covariates.columns[0].values[:3].tolist() == [0, 1, 2]


def test_a_file_of_one_store_names_it(folder: Path) -> None:
    """Case 18: the id is the store's, as in a file of several."""
    panel, _ = read(folder, "b_one", future_covariates=str(folder / "b_onefut.csv"))
    assert panel.ids.tolist() == ["A"]


def test_check_says_what_train_would(folder: Path, monkeypatch, capsys) -> None:
    """The horizon, covariates, and every refusal that would come."""
    monkeypatch.chdir(folder)
    given = ["check", "b_hist.csv", "--future-covariates", "b_fut.csv", "--holidays", "DE"]
    assert guarded(lambda: run([*given, "--horizon", "7"])) == 0
    said = capsys.readouterr().out
    assert "horizon 7 (as the settings say)" in said
    assert "promo (future)" in said and "holidays of DE" in said
    assert guarded(lambda: run([*given, "--horizon", "9"])) == 4
    assert "input/covariates-short" in capsys.readouterr().err
    assert guarded(lambda: run([*given[:-1], "XX", "--horizon", "7"])) == 2
    assert "usage/holidays" in capsys.readouterr().err


@pytest.mark.parametrize("plants", [["Nord", "Süd"], ["Nord"]])
def test_two_columns_of_unusual_names_are_an_id(tmp_path: Path, plants: list[str]) -> None:
    """Case 35."""
    rows = [
        f"2023-01-{d:02d},{p},{x},{d}" for p in plants for x in ("x", "y") for d in range(1, 29)
    ]
    (tmp_path / "two.csv").write_text("\n".join(["date,works,track,tons", *rows]) + "\n")
    panel, report = read(tmp_path, "two")
    assert panel.size == 2 * len(plants)
    assert report.columns["id"] == (["works", "track"] if len(plants) > 1 else ["track"])


def test_the_row_that_differs_is_blamed_not_the_others(tmp_path: Path) -> None:
    """Case 36: the first of 85 rows is in another form."""
    rows = ["01.01.2023,1", *(f"2023-{m:02d}-{d:02d},{d}" for m in (1, 2, 3) for d in range(2, 29))]
    (tmp_path / "first.csv").write_text("\n".join(["ds,y", *rows]) + "\n")
    with pytest.raises(InputError, match=r"line 2.*more than one form"):
        read(tmp_path, "first")


def test_years_that_are_not_turned_over_are_named(tmp_path: Path) -> None:
    """Case 34: the times jump back."""
    rows = [f"{d}/1/2012,{d}" for d in range(1, 32)] + [f"{d}/2/2011,{d}" for d in range(1, 28)]
    (tmp_path / "back.csv").write_text("\n".join(["ds,y", *rows]) + "\n")
    with pytest.raises(InputError, match="jump back"):
        read(tmp_path, "back")


def test_exports_of_tills_grids_and_pages_are_read_or_refused_with_a_way(tmp_path: Path) -> None:
    days = [f"2024-{month:02d}-{day:02d}" for month in (1, 2) for day in range(1, 29)]
    receipts = tmp_path / "receipts.csv"
    lines = [f"{100_000 + i},{day},{7 + i % 5}.5" for i, day in enumerate(days[:28])]
    receipts.write_text("\n".join(["receipt_no,day,amount", *lines]))
    assert read(tmp_path, "receipts")[1].columns["target"] == ["amount"]

    grid = tmp_path / "grid.csv"
    lines = [f"{day},{i * 7 % 23 + 900},{i % 9 + 900}" for i, day in enumerate(days[:28])]
    grid.write_text("\n".join(["day,Load forecast [MW],Actual load [MW]", *lines]))
    with pytest.raises(InputError) as caught:
        read(tmp_path, "grid")
    assert "--target-col 'Actual load [MW]'" in str(caught.value.remedy)

    page = tmp_path / "page.csv"
    lines = [f'{day},"{(1_250 + 371 * i) * 1_000:,}"' for i, day in enumerate(days[:28])]
    page.write_text("\n".join(["day,users", *lines, ',"28,378"']))
    with pytest.raises(InputError, match="a time is blank") as caught:
        read(tmp_path, "page")
    assert "--rejects" in str(caught.value.remedy)
    panel, _ = read(tmp_path, "page", rejects=str(tmp_path / "aside.csv"))
    assert panel.values[-1] == 11_267_000

    names = [f"{month}-1-{year}" for year in (1995, 1996) for month in ("Jan", "Feb", "Mar", "Apr",
             "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")]  # fmt: skip
    bank = tmp_path / "bank.csv"
    bank.write_text(
        "\n".join(["DATE,turnover", *(f"{name},{60 + i}" for i, name in enumerate(names))])
    )
    panel, _ = read(tmp_path, "bank")
    assert panel.frequency.alias == "MS"
    assert coming(panel, 2) == ["Jan-1-1997", "Feb-1-1997"]


def test_codes_and_numbers_in_one_column_name_the_series(tmp_path: Path) -> None:
    days = [f"2024-01-{day:02d}" for day in range(1, 31)]
    stores = ("S1", "002", "17")
    rows = [
        f"{day},{s},{50 + k + n % 7}" for k, s in enumerate(stores) for n, day in enumerate(days)
    ]
    path = tmp_path / "sales.csv"
    path.write_text("\n".join(["date,store,sales", *rows]) + "\n")
    panel, report = load_panel(str(path), DataSettings())
    assert panel.ids.tolist() == ["002", "17", "S1"]
    assert report.columns["id"] == ["store"] and report.columns["target"] == ["sales"]
    typo = [row.replace(",50", ",l50") if n == 7 else row for n, row in enumerate(rows)]
    path.write_text("\n".join(["date,store,sales", *typo]) + "\n")
    with pytest.raises(InputError, match="l50"):  # one cell is no code
        load_panel(str(path), DataSettings())


@pytest.mark.parametrize(
    ("name", "right", "made"),
    [
        ("export.txt", False, "export.csv"),
        ("export.txt", True, "export.csv"),
        ("export.csv", True, "export-2.csv"),
    ],
)
def test_columns_aligned_by_blanks_are_refused_with_a_line_that_helps(
    tmp_path: Path, monkeypatch, name: str, right: bool, made: str
) -> None:
    monkeypatch.chdir(tmp_path)
    days = np.datetime_as_string(np.datetime64("2024-01-01") + np.arange(40))
    rows = [(day, 10 + n % 7, "New York") for n, day in enumerate(days)]
    cells = [("Datum", "Umsatz", "Ort"), *rows]
    form = "{:<12}{:>10}  {:<12}" if right else "{:<12}{:<10}{:<12}"
    text = "".join(form.format(*row).rstrip() + "\n" for row in cells)
    Path(name).write_text(text)
    with pytest.raises(InputError) as caught:
        load_panel(name, DataSettings())
    assert caught.value.code == "input/fixed-width"
    line = caught.value.remedy.split(": ", 1)[1]
    subprocess.run(["bash", "-c", line.replace("python3", sys.executable)], check=True)
    assert Path(name).read_text() == text
    panel, report = load_panel(made, DataSettings())
    assert (panel.ids.tolist(), report.observed) == (["New York"], 40)
