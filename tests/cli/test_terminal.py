"""What stands on a terminal of 80 and 120 columns: tables that fit, names that can be copied."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from forecast.cli import render
from forecast.cli.commands import runs as runs_command
from forecast.cli.console import make_console, time_left
from forecast.common.progress import BEST, LIMIT
from forecast.data.forecast import Forecast
from forecast.evaluation.scores import score_forecasts
from forecast.reporting.tracking import TrackedRun
from tests.builders import make_panel


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(width: int):
    stream = Terminal()
    return stream, make_console(stream, {"TERM": "xterm-256color", "COLUMNS": str(width)})


def plain(stream: io.StringIO) -> list[str]:
    return re.sub("\x1b\\[[0-9;]*m", "", stream.getvalue()).splitlines()


NAMES = ("airline_passengers-20261127-040551", "a-very-long-name-of-a-run-that-has-many-letters-1")


def tracked(name: str) -> TrackedRun:
    return TrackedRun(
        name, Path("runs") / name, "train", "2026", "sample_data/airline_passengers.csv", "d", 12,
        "lstm", "2 x 128, 2 members", 1, 91.0, "LSTM", {"mase": 0.4, "smape": 2.7, "wql": 0.01},
        0.6, {}, {}, {},
    )  # fmt: skip


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_name_of_a_run_is_never_broken(width):
    stream, console = terminal(width)
    runs_command.show(console, [tracked(name) for name in NAMES], Path("runs"))
    for name in NAMES:
        assert sum(name in line for line in plain(stream)) == 1
    if width >= 80:
        assert "MASE" in plain(stream)[0]
        assert all(len(line) <= width for line in plain(stream))


def test_a_table_in_a_pipe_is_one_line_a_row_without_blanks_at_its_end():
    stream = io.StringIO()
    runs_command.show(make_console(stream, {}), [tracked(name) for name in NAMES], Path("runs"))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2 + len(NAMES)
    assert all(line == line.rstrip() for line in lines)


def predictions(rows: int, series: int = 1) -> pa.Table:
    value = 451.179386 + np.arange(rows)
    return pa.table(
        {
            "unique_id": [f"s{n % series}" for n in range(rows)],
            "ds": [f"1961-{n % 12 + 1:02d}" for n in range(rows)],
            **{name: value for name in ("LSTM", "LSTM-lo-80", "LSTM-hi-80", "LSTM-lo-95")},
        }
    )


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_forecast_on_a_terminal_is_a_table_with_four_digits(width):
    stream, console = terminal(width)
    render.show_rows(console, predictions(12))
    lines = plain(stream)
    assert all(len(line) <= width for line in lines)
    assert any("451.2" in line for line in lines)
    assert not any("451.17" in line or '"' in line for line in lines)
    assert ("not shown: columns" in "\n".join(lines)) == (width == 40)


def test_a_long_forecast_says_how_much_is_not_shown():
    stream, console = terminal(120)
    render.show_rows(console, predictions(500, series=50))
    assert "440 more rows" in stream.getvalue()
    assert "unique_id" in stream.getvalue()


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1234.5678, 2.0], ["1,235", "2"]),
        ([0.0012345, None], ["0.001234", ""]),
        ([451.179, float("nan")], ["451.2", "nan"]),
        ([0.0], ["0"]),
        ([1e20], ["1e+20"]),
    ],
)
def test_numbers_have_four_digits_of_the_largest(values, texts):
    assert render._cells(values) == texts


def test_a_forecaster_that_made_some_of_the_forecasts_is_neither_best_nor_bold():
    """D14: scored on one of three origins, it had the lowest figure of a few."""
    panel = make_panel((60, 60))
    origins = [np.array([k, k]) for k in (40, 46, 52)]

    def forecasts(name: str, error: float, made: int) -> list[Forecast]:
        return [
            Forecast(
                name, at, panel.window(at, 6) + error, np.empty(0), np.empty((2, 6, 0)),
                np.full(2, name, object), np.full(2, n < made),
            )
            for n, at in enumerate(origins)
        ]  # fmt: skip

    table = score_forecasts(
        panel, {"whole": forecasts("whole", 9.0, 3), "part": forecasts("part", 1.0, 1),
                "worse": forecasts("worse", 20.0, 3)}, 12
    )  # fmt: skip
    assert table.score("part").values["mase"] < table.score("whole").values["mase"]
    assert {score.model: score.best for score in table.scores} == {
        "whole": 2.0, "part": 0.0, "worse": 0.0,
    }  # fmt: skip
    stream, console = terminal(120)
    render.show_scores(console, table.to_rows(), table.caption())
    bold = [line for line in stream.getvalue().splitlines() if "\x1b[1;32m" in line]
    assert len(bold) == 1
    assert "whole" in bold[0]
    assert "forecasts" in stream.getvalue()


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({}, "1m 30s left"),
        ({BEST: 0.5}, "at most 1m 30s left"),
        ({LIMIT: 30.0}, "at most 30s left"),
        ({LIMIT: 300.0}, "1m 30s left"),
    ],
)
def test_an_estimate_says_at_most_where_a_stage_may_end_before(figures, words):
    assert time_left(90.0, figures) == words


def test_a_forecast_is_a_table_on_a_terminal_and_csv_in_a_pipe(lstmcast, sales, monkeypatch):
    words = ("forecast", "sales.csv", "--horizon", "3")
    code, out, _ = lstmcast(*words)
    assert code == 0
    assert (
        out.splitlines()[0]
        == '"unique_id","ds","LSTM","LSTM-lo-80","LSTM-hi-80","LSTM-lo-95","LSTM-hi-95"'
    )
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    code, shown, _ = lstmcast(*words)
    assert code == 0
    assert '"' not in shown
    assert "2006-01" in shown
    assert "written to" not in shown
    assert lstmcast(*words, "--quiet")[1] == out
    assert lstmcast(*words, "--output", "-")[1].startswith(out)


def test_no_id_can_move_the_cursor_of_a_terminal_and_a_pipe_gets_it_as_it_is(
    lstmcast, tmp_path, monkeypatch
):
    rows = "".join(f"\x1b[2Jshop,2020-01-{day:02d},{day}\n" for day in range(1, 29))
    (tmp_path / "ids.csv").write_text("unique_id,ds,y\n" + rows)
    words = ("forecast", str(tmp_path / "ids.csv"), "--horizon", "2", "--quiet")
    assert '"\x1b[2Jshop"' in lstmcast(*words)[1]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    shown = lstmcast(*words)[1]
    assert "\x1b" not in shown and '"\\x1b[2Jshop"' in shown


def test_a_page_is_opened_when_asked(lstmcast, sales, monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    page = tmp_path / "report.html"
    monkeypatch.setattr("forecast.reporting.finished_run.newest_run", lambda root: tmp_path)
    monkeypatch.setattr(
        "forecast.reporting.finished_run_report.rebuilt_report",
        lambda *given, **more: type(
            "Page", (), {"verdict": "well", "series": [], "by_level": None}
        )(),
    )
    monkeypatch.setattr("forecast.reporting.html.page.write_report", lambda *given: page)
    assert lstmcast("report")[0] == 0
    assert opened == []
    assert lstmcast("report", "--open")[0] == 0
    assert opened == [page.as_uri()]


@pytest.mark.parametrize(("width", "lines"), [(80, 3), (200, 1)])
def test_a_command_that_is_shown_stands_in_one_line(width, lines):
    stream, console = terminal(width)
    report = "See it: lstmcast report runs/airline_passengers-20261127-155439 --open"
    again = "Forecast again: lstmcast predict"
    render.show_hint(console, "Done in 42s", report, again)
    said = plain(stream)[1:]
    assert len(said) == lines
    assert (report in said) == (lines == 3)
    assert ". ".join(said) == f"Done in 42s. {report}. {again}"
