"""Charts show what they are given, in any script and size, and never obey a series' name."""

from __future__ import annotations

import re
import struct
import warnings
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.common.errors import OutputError, UsageError
from forecast.data.forecast import Forecast
from forecast.data.frequency import Frequency
from forecast.data.panel import Panel
from forecast.reporting.charts.fan import Band, FanChart, clean_label, fan_chart
from forecast.reporting.charts.image import forecast_image, forecast_png, short_number, value_limits
from forecast.reporting.charts.terminal import (
    prefers_plain,
    round_times,
    round_values,
    terminal_chart,
)

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
HOSTILE = "$x_1^2$ \x1b[2J\x07\u202e</script>\n日本 \\frac{a}{0} 🚀" + "long " * 60


def make_chart(title: str = "shop", t: int = 60, h: int = 12, scale: float = 100.0) -> FanChart:
    chance = np.random.default_rng(1)
    times = np.datetime64("2020-01") + np.arange(t + h)
    wave = scale * (3 + np.sin(np.arange(t + h) / 2) + 0.2 * chance.standard_normal(t + h))
    median, width = wave[t:] * 1.02, scale * np.sqrt(1 + np.arange(h))
    bands: dict[float, Band] = {
        level: (median - z * width / 6, median + z * width / 6)
        for level, z in ((80.0, 1.28), (95.0, 1.96))
    }
    return FanChart(
        title,
        times.astype("datetime64[ns]"),
        wave[:t],
        {"LSTM": median, "AutoARIMA": median * 0.9},
        {"LSTM": bands, "AutoARIMA": bands},
        wave[t:],
        "units",
    )


def png_size(image: bytes) -> tuple[int, int]:
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", image[16:24])  # type: ignore[return-value]


def test_a_png_has_the_documented_size_and_the_same_bytes_again():
    image = forecast_image(make_chart())
    assert png_size(image) == (1600, 768)
    assert image == forecast_image(make_chart())


def test_an_svg_draws_a_filled_area_for_each_band_of_the_first_model():
    svg = forecast_image(make_chart(), "svg").decode()
    assert svg.count('id="FillBetweenPolyCollection') == 2
    without = FanChart(
        *(getattr(make_chart(), name) for name in ("title", "times", "history")),
        medians=make_chart().medians,
    )
    assert 'id="FillBetweenPolyCollection' not in forecast_image(without, "svg").decode()


def test_a_hostile_title_is_drawn_as_text_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = forecast_image(make_chart("$x$"))
        assert png_size(forecast_image(make_chart(HOSTILE))) == (1600, 768)
    assert plain != forecast_image(make_chart("x"))  # a dollar is a dollar, not a formula
    assert png_size(forecast_image(make_chart("$\\nonsense{$")))


def test_no_global_state_of_matplotlib_is_touched():
    import matplotlib

    before = dict(matplotlib.rcParams)
    forecast_image(make_chart())
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", ["chart.png", "chart.svg"])
def test_a_chart_is_written_whole_and_leaves_nothing_else(tmp_path, name):
    path = forecast_png(tmp_path / name, make_chart())
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert path.read_bytes() == forecast_image(make_chart(), "svg" if name[-3:] == "svg" else "png")


def test_another_ending_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(UsageError, match=r"found '\.gif'.*--output") as caught:
        forecast_png(tmp_path / "chart.gif", make_chart())
    assert caught.value.code == "usage/chart-format"


def test_a_folder_that_is_a_file_is_an_output_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write") as caught:
        forecast_png(tmp_path / "file" / "chart.png", make_chart())
    assert caught.value.exit_code == 74


def test_a_write_that_fails_leaves_the_old_file_and_no_scratch(tmp_path):
    path = tmp_path / "chart.png"
    path.write_bytes(old := b"\x89PNG\r\n\x1a\n of lstmcast, old")
    full = mock.patch("os.fsync", side_effect=OSError(28, "No space left on device"))
    with full, pytest.raises(OutputError, match="No space left"):
        forecast_png(path, make_chart())
    assert path.read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 1


def test_lengths_that_do_not_fit_are_refused():
    chart = make_chart()
    with pytest.raises(ValueError, match="must have 12 values"):
        FanChart("x", chart.times, chart.history, {"LSTM": np.zeros(11)})
    with pytest.raises(ValueError, match="at least one step"):
        FanChart("x", chart.times[:60], chart.history, {})


def test_a_band_without_bounds_cannot_blow_the_axis_up():
    chart = make_chart()
    wide = {95.0: (np.full(12, -1e12), np.full(12, 1e12))}
    low, high = value_limits(
        FanChart("x", chart.times, chart.history, chart.medians, {"LSTM": wide}, chart.actual)
    )
    span = chart.history.max() - chart.history.min()
    assert low == 0  # no value is negative, so the axis does not go below zero
    assert chart.history.max() < high < chart.history.max() + 1.5 * span


@given(st.text(max_size=300))
def test_a_clean_label_hides_nothing(text):
    label = clean_label(text, 20)
    assert len(label) <= 20
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]", label)
    assert label == clean_label(label, 20)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1200, "1,200"), (0.25, "0.25"), (3.1e6, "3.1M"), (-2e9, "-2B"), (2e-7, "2e-07")],
)
def test_numbers_on_an_axis_are_short(value, text):
    assert short_number(value) == text


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("plain", [True, False])
def test_a_terminal_chart_fits_its_width_and_sixteen_lines(width, plain):
    from rich.cells import cell_len

    lines = terminal_chart(make_chart(HOSTILE), width, plain=plain).split("\n")
    assert len(lines) == 16
    assert max(cell_len(ESCAPE.sub("", line)) for line in lines) <= width


def test_plain_is_ascii_without_any_escape():
    text = terminal_chart(make_chart(HOSTILE), 80, plain=True)
    assert text.isascii()
    assert "\x1b" not in text
    assert all(char.isprintable() or char == "\n" for char in text)
    assert {".", "*", "+", "o", ":"} <= set(text.split("\n", 2)[2])  # every curve is there


def test_the_only_escapes_of_a_coloured_chart_are_colours():
    assert "\x1b" not in ESCAPE.sub("", terminal_chart(make_chart(HOSTILE), 80, plain=False))


def test_only_the_curves_are_coloured_and_no_background_is_painted():
    text = terminal_chart(make_chart(), 80, plain=False)
    assert set(re.findall(r"\x1b\[([0-9;]+)m", text)) == {
        "0",
        *(f"38;5;{n}" for n in (245, 67, 39, 208)),
    }
    axis = text.split("\n")[-2:]
    assert all(line == ESCAPE.sub("", line) + "\x1b[0m" or "38;5;" not in line for line in axis)


@pytest.mark.parametrize(
    ("environment", "plain"),
    [({}, False), ({"NO_COLOR": "1"}, True), ({"NO_COLOR": ""}, False), ({"TERM": "dumb"}, True)],
)
def test_the_environment_decides_on_colour(environment, plain):
    assert prefers_plain(environment) is plain


def test_no_color_is_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal_chart(make_chart(), 80).isascii()


def test_a_rise_goes_from_the_bottom_left_to_the_top_right():
    chart = FanChart("up", np.arange(40), np.arange(30.0), {"LSTM": np.arange(30.0, 40)})
    rows = terminal_chart(chart, 80, plain=True).split("\n")[2:-2]
    top, bottom = (next(r for r in order if "*" in r or "." in r) for order in (rows, rows[::-1]))
    assert top.rindex("*") > 70
    assert bottom.index(".") < 10


@pytest.mark.parametrize(
    ("step", "count", "label"),
    [("M", 200, "2020"), ("D", 300, "2020-01"), ("h", 400, "01-03"), ("m", 200, "01:00")],
)
def test_ticks_stand_on_round_times_and_are_as_exact_as_the_span(step, count, label):
    times = (np.datetime64("2020-01-01", step) + np.arange(count)).astype("datetime64[ns]")
    places, labels = round_times(times, 9)
    assert 2 <= len(places) <= 9
    assert label in labels
    days = times[places].astype("datetime64[D]")
    if step == "M":
        assert (days == days.astype("datetime64[Y]")).all()
    if step == "h":
        assert (days == times[places]).all()


@given(
    st.floats(-1e12, 1e12),
    st.floats(1e-6, 1e12),
    st.integers(2, 8),
)
def test_round_values_are_few_even_and_inside(low, width, most):
    high = low + width
    if not high > low + 1e-9 * abs(low):
        return
    found = round_values(low, high, most)
    assert 1 <= len(found) <= most
    room = 1e-9 * max(abs(low), abs(high))
    assert (found >= low - room).all()
    assert (found <= high + room).all()
    steps = np.diff(found)
    assert np.allclose(steps, steps[:1], rtol=1e-6)


def test_the_beginning_of_the_forecast_is_marked():
    plain = terminal_chart(make_chart(), 80, plain=True).split("\n")
    assert "| the forecast begins" in plain[1]
    column = plain[4].rindex("|")
    assert all(line[column] in "|*:" for line in plain[2:14])


values = st.floats(allow_nan=True, allow_infinity=True, width=64)


@settings(max_examples=40, deadline=None)
@given(st.lists(values, max_size=30), st.lists(values, min_size=1, max_size=9), st.booleans())
def test_any_numbers_at_all_make_a_terminal_chart(history, ahead, plain):
    median = np.array(ahead)
    chart = FanChart(
        "x",
        np.arange(len(history) + len(ahead)),
        np.array(history),
        {"LSTM": median},
        {"LSTM": {80.0: (median - 1, median + 1)}},
        median,
    )
    assert len(terminal_chart(chart, 60, plain=plain).split("\n")) == 16


@pytest.mark.parametrize(
    "history", [[], [np.nan] * 5, [1e308, -1e308], [7.0] * 5, [1e-300, 0.0], [np.nan, 3, np.nan]]
)
def test_degenerate_histories_make_an_image(history):
    median = np.array([1.0, 2.0])
    chart = FanChart("x", np.arange(len(history) + 2), np.array(history), {"LSTM": median})
    assert png_size(forecast_image(chart)) == (1600, 768)


class Monthly(Frequency):
    """Months since 1970; only what the chart needs."""

    def stamps(self, positions: np.ndarray) -> np.ndarray:
        return positions.astype("datetime64[M]").astype("datetime64[ns]")


def make_panel() -> tuple[Panel, list[Forecast]]:
    panel = Panel(
        ids=np.array(["a", "b"], dtype=object),
        offsets=np.array([0, 100, 180]),
        values=np.arange(180.0),
        first=np.array([600, 620]),
        frequency=Monthly("MS"),
    )
    quantiles = np.tile(np.array([0.025, 0.1, 0.5, 0.9, 0.975]), (2, 6, 1))
    levels = np.array([0.025, 0.1, 0.5, 0.9, 0.975])

    def forecast(name: str, available: list[bool]) -> Forecast:
        return Forecast(
            name,
            np.array([96, 77]),
            quantiles[:, :, 2],
            levels,
            quantiles,
            np.array([name] * 2, dtype=object),
            np.array(available),
        )

    return panel, [forecast("LSTM", [True, True]), forecast("AutoARIMA", [True, False])]


def test_a_chart_is_cut_out_of_panel_and_forecasts():
    panel, forecasts = make_panel()
    chart = fan_chart(panel, 1, forecasts, tail=10)
    assert chart.title == "b"
    np.testing.assert_array_equal(chart.history, np.arange(167.0, 177.0))
    np.testing.assert_array_equal(chart.actual, [177, 178, 179, np.nan, np.nan, np.nan])
    assert chart.times[10] == np.datetime64("2028-02-01")  # month 620 + 77 since 1970
    assert list(chart.medians) == ["LSTM"]  # no AutoARIMA for this series
    assert chart.bands["LSTM"][80.0][1].tolist() == [0.9] * 6
    assert fan_chart(panel, 0, forecasts, levels=(50, 95)).bands["AutoARIMA"].keys() == {95}


def test_forecasts_of_different_origins_do_not_share_a_chart():
    panel, (first, second) = make_panel()
    moved = Forecast(**{**second.__dict__, "origins": np.array([90, 77])})
    with pytest.raises(ValueError, match="one origin"):
        fan_chart(panel, 0, [first, moved])
