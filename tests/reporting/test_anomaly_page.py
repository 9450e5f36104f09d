"""What `detect` shows: the page and the picture in the terminal hold what was found, and no data
becomes markup."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest

from forecast.analysis.anomalies import Anomalies
from forecast.cli.app import run
from forecast.common.errors import UsageError
from forecast.data.frequency import Frequency
from forecast.data.panel import Panel
from forecast.reporting.charts.anomalies import SHOWN, anomaly_chart, by_number_found
from forecast.reporting.charts.terminal import terminal_anomalies
from forecast.reporting.html.anomaly_page import (
    MOST_SERIES,
    MOST_VALUES,
    anomaly_page,
    render_anomaly_page,
    write_anomaly_page,
)

HOSTILE = "</script><script>alert(1)</script>"


def made(length: int = 300, series: int = 3) -> tuple[Panel, Anomalies]:
    """Series of a wave, each with one point at 250 and the first with a gap at 100 as well."""
    wave = np.tile(10 + np.sin(np.arange(length) / 4), (series, 1))
    wave[:, 250] = 30.0
    wave[0, 100] = np.nan
    ids = np.array([HOSTILE, *(f"s{k}" for k in range(1, series))], dtype=object)
    offsets = np.arange(series + 1) * length
    panel = Panel(ids, offsets, wave.ravel(), np.full(series, 400), Frequency("D"))
    series_of = np.array([0, *range(series)])
    count = len(series_of)
    low = np.where(np.arange(length) < 24, np.nan, 8.5)
    found = Anomalies(
        series_of,
        np.array([100] + [250] * series),
        np.array([np.nan] + [30.0] * series),
        np.array([np.nan] + [9.0] * series),
        np.full(count, 8.5),
        np.full(count, 11.5),
        np.array(["gap"] + ["point"] * series, dtype=object),
        np.array(["1 value is missing"] + ["above"] * series, dtype=object),
        series * (length - 24),
        np.tile(low, series),
        np.tile(low + 3, series),
    )
    return panel, found


def payload_of(source: str) -> dict:
    return json.loads(re.search(r'id="payload">(.*?)</script>', source, re.S)[1])


def test_the_page_has_every_series_its_values_and_what_was_odd():
    panel, found = made()
    page = anomaly_page(panel, found, "sensor.csv", 4.0, "the pretrained network", "y")
    assert page.sentence == "4 anomalies in 3 series."
    assert {"point: 3", "gap: 1", "828 of 899 values judged"} <= set(page.facts)
    payload = payload_of(render_anomaly_page(page))
    assert [each["found"][-1][0] for each in payload["series"]] == [250, 250, 250]
    assert payload["series"][0]["found"][0] == [100, None, "gap", "1 value is missing"]
    least, most, text = payload["series"][1]["values"]
    whole = np.frombuffer(base64.b64decode(text), dtype="<u2").astype(float)
    np.testing.assert_allclose(least + whole / 65534 * (most - least), panel.series(1), atol=1e-3)
    assert (payload["exact"], payload["dates"]) == ("day", True)


def test_no_name_becomes_markup_and_nothing_else_may_run():
    panel, found = made()
    source = render_anomaly_page(anomaly_page(panel, found, HOSTILE, 4.0, HOSTILE))
    assert HOSTILE not in source
    assert len(re.findall(r"<script", source)) == 2
    assert "default-src &#39;none&#39;" in source
    addresses = set(re.findall(r"https?://[^\"' )]+", source))
    assert addresses == {"http://www.w3.org/2000/svg"}  # the name of a kind of element


def test_a_long_series_is_thinned_but_for_what_is_odd():
    panel, found = made(length=20_000, series=1)
    page = anomaly_page(panel, found, "t", 4.0, "m")
    chart = page.charts[0]
    assert page.thinning == (7,)
    assert len(chart.values) < MOST_VALUES + 20
    assert chart.values[chart.at[-1]] == 30.0 and len(chart.at) == 2


def test_a_page_of_very_many_series_shows_those_with_the_most_and_says_so():
    panel, found = made(length=260, series=130)
    page = anomaly_page(panel, found, "t", 4.0, "m")
    assert (len(page.charts), page.left_out) == (MOST_SERIES, 30)
    assert page.charts[0].title == HOSTILE  # two anomalies, the others have one
    assert "100 of 130 with anomalies" in render_anomaly_page(page)


def test_nothing_found_is_a_page_too():
    panel, found = made(series=1)
    none = Anomalies(*(getattr(found, n)[:0] for n in list(found.__dict__)[:8]), 5, found.lows,
                     found.highs)  # fmt: skip
    page = anomaly_page(panel, none, "t", 4.0, "m")
    assert page.sentence.startswith("Nothing was found") and not page.charts
    assert payload_of(render_anomaly_page(page))["series"] == []


def test_a_page_replaces_a_page_and_nothing_else(tmp_path):
    panel, found = made()
    page = anomaly_page(panel, found, "t", 4.0, "m")
    path = tmp_path / "found.html"
    write_anomaly_page(path, page)
    write_anomaly_page(path, page)
    other = tmp_path / "diary.html"
    other.write_text("<!doctype html><title>my diary</title>")
    with pytest.raises(UsageError):
        write_anomaly_page(other, page)
    assert "diary" in other.read_text()


def test_the_terminal_draws_values_expectation_and_anomalies():
    panel, found = made()
    assert by_number_found(panel, found).tolist() == [0, 1, 2]
    chart = anomaly_chart(panel, found, 1)
    assert len(chart.values) == SHOWN and chart.values[chart.at].tolist() == [30.0]
    text = terminal_anomalies(chart, width=80, plain=True)
    assert text.isascii() and all(len(line) <= 80 for line in text.splitlines())
    rows = [line for line in text.splitlines()[2:] if "o" in line]
    assert len(rows) == 1 and ":" in text


def test_the_picture_goes_back_to_the_last_anomaly():
    panel, found = made(length=900)
    chart = anomaly_chart(panel, found, 1)
    assert chart.values[chart.at].tolist() == [30.0]


def test_the_command_writes_the_page_beside_the_table(tmp_path, capsys):
    data = tmp_path / "sensor.csv"
    days = np.datetime64("2024-01-01") + np.arange(200)
    values = 10 + np.sin(np.arange(200) / 3)
    values[150] = 40
    rows = (f"{day},{value:.3f}" for day, value in zip(days, values, strict=True))
    data.write_text("ds,y\n" + "\n".join(rows))
    page, table = tmp_path / "p.html", tmp_path / "t.csv"
    assert run(["detect", str(data), "--report", str(page), "-o", str(table)]) == 0
    assert "2024-05-30" in table.read_text()
    found = payload_of(page.read_text())["series"][0]["found"]
    assert [150, "point"] in [[at, kind] for at, _, kind, _ in found]
    assert str(page) in " ".join(capsys.readouterr().out.split())
    with pytest.raises(UsageError, match="makes no page"):
        run(["detect", str(data), "--follow", "--report", str(page)])
