"""What reaches a terminal: clean text, errors in four parts, progress that fits the stream."""

from __future__ import annotations

import io
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast.cli.console import (
    LineListener,
    LiveListener,
    Screen,
    WarningsOnly,
    clean,
    make_console,
    print_error,
    watching,
)
from forecast.common.errors import InputError


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


ERROR = InputError(
    "two values for one time",
    code="input/duplicate-time",
    where="sales.csv, line 12",
    value="2020-01-01",
    remedy="Pass --duplicates mean",
)


def on_terminal(**environ: str):
    stream = Terminal()
    console = make_console(stream, {"TERM": "xterm-256color", "COLUMNS": "60", **environ})
    return stream, console


def on_file():
    stream = io.StringIO()
    return stream, make_console(stream, {})


@given(st.text())
def test_clean_text_cannot_move_the_cursor_nor_break_the_line(text):
    cleaned = clean(text)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", cleaned)
    cleaned.encode("utf-8")  # no lone surrogate is left


def test_clean_text_shows_what_was_there_and_leaves_the_rest_alone():
    assert clean("\x1b[2Jred\nx") == "\\x1b[2Jred\\nx"
    assert clean("a\nb\tc\r", lines=True) == "a\nb\tc\\r"
    assert clean("Übergröße 東京 🚲") == "Übergröße 東京 🚲"
    assert clean("\u202eevil") == "\\u202eevil"
    assert clean("\udcff") == "\\udcff"


def test_an_error_in_a_log_is_five_plain_lines():
    stream, console = on_file()
    print_error(console, ERROR)
    assert stream.getvalue() == (
        "error: two values for one time\n"
        "  where  sales.csv, line 12\n"
        "  found  2020-01-01\n"
        "  to do  Pass --duplicates mean\n"
        "  code   input/duplicate-time\n"
    )


def test_an_error_on_a_terminal_is_coloured_and_folded_behind_its_label():
    stream, console = on_terminal()
    print_error(console, InputError("bad", code="x/y", remedy="word " * 30))
    text = stream.getvalue()
    assert "\x1b[1;31merror: " in text
    lines = re.sub("\x1b\\[[0-9;]*m", "", text).splitlines()
    assert all(len(line) <= 60 for line in lines)
    assert [line[:9] for line in lines[2:4]] == [" " * 9, " " * 9]


def test_no_color_means_no_colour():
    stream, console = on_terminal(NO_COLOR="1")
    print_error(console, ERROR)
    assert "\x1b[1;31m" not in stream.getvalue()
    assert not re.search("\x1b\\[[0-9;]*3[0-9]m", stream.getvalue())


def test_an_error_cannot_smuggle_escape_codes_or_markup():
    stream, console = on_file()
    print_error(console, InputError("bad \x1b[2J[red]", code="x/y", value="\x1b]0;title\x07"))
    assert "\x1b" not in stream.getvalue()
    assert "[red]" in stream.getvalue()


def test_a_long_value_is_cut():
    stream, console = on_file()
    print_error(console, InputError("bad", code="x/y", value="z" * 10_000))
    assert len(stream.getvalue()) < 300


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_plain_progress_is_a_line_every_few_seconds_and_one_at_the_end():
    stream, console = on_file()
    clock = Clock()
    listener = LineListener(console, clock=clock)
    listener.stage("Training the LSTM")
    for step in range(1, 101):
        clock.now += 0.2
        listener.progress(step, 100, {"loss": 1 / step, "lr": 0.002})
    assert stream.getvalue().splitlines() == [
        "   0.0s  Training the LSTM",
        "   5.0s    25/100  loss 0.04  lr 0.002  15s left",
        "  10.0s    50/100  loss 0.02  lr 0.002  10s left",
        "  15.0s    75/100  loss 0.01333  lr 0.002  5s left",
        "  20.0s    100/100  loss 0.01  lr 0.002",
    ]


def test_a_long_silence_is_broken_by_a_line():
    stream, console = on_file()
    clock = Clock()
    listener = LineListener(console, clock=clock)
    listener.stage("Fitting the baselines")
    for second in range(20):
        if second == 11:
            listener.progress(1, 2, {})
        listener.beat()
        clock.now += 1
    assert stream.getvalue().splitlines() == [
        "   0.0s  Fitting the baselines",
        "   8.0s    still at work",
        "  16.0s    still at work",
    ]


def test_a_listener_that_watches_is_asked_in_the_background_and_no_longer_than_it_watches():
    _, console = on_file()
    before = threading.active_count()
    with watching(console, Screen()):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_verbose_progress_is_a_line_every_second():
    stream, console = on_file()
    clock = Clock()
    listener = LineListener(console, verbose=True, clock=clock)
    for step in range(1, 11):
        clock.now += 0.5
        listener.progress(step, 10, {})
    assert len(stream.getvalue().splitlines()) == 5


def test_the_bar_shows_loss_rate_best_and_time_left_and_leaves_one_line():
    stream, console = on_terminal(COLUMNS="110")
    listener = LiveListener(console)
    listener.stage("Training the LSTM")
    for step in range(1, 6):
        listener.progress(step, 10, {"loss": 0.5, "lr": 0.001, "best": 0.75})
    assert listener._bar is not None
    listener._bar.refresh()
    text = stream.getvalue()
    for part in ("5/10", "loss 0.5", "lr 0.001", "best 0.75", "left"):
        assert part in text
    stream.truncate(0)
    listener.close()
    last = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).strip().splitlines()[-1]
    assert re.fullmatch(
        r"\s*\d+\.\ds\s+5/10\s+stopped early\s+loss 0\.5\s+lr 0\.001\s+best 0\.75", last
    )


def test_names_in_progress_and_notes_are_cleaned():
    stream, console = on_file()
    listener = LineListener(console)
    listener.stage("a\x1b[2J")
    listener.note("b\x07")
    listener.warn("w/x", "c\nd")
    listener.progress(1, 1, {"e\r": 1.0})
    assert not re.search("[\x00-\x09\x0b-\x1f]", stream.getvalue())
    assert len(stream.getvalue().splitlines()) == 4


@pytest.mark.parametrize(
    ("screen", "terminal", "environ", "kind"),
    [
        (Screen(), True, {}, LiveListener),
        (Screen(), True, {"TERM": "dumb"}, LineListener),
        (Screen(), True, {"NO_COLOR": "1"}, LiveListener),
        (Screen(), False, {}, LineListener),
        (Screen(quiet=True), True, {}, WarningsOnly),
        (Screen(quiet=True), False, {}, WarningsOnly),
    ],
)
def test_the_listener_suits_the_terminal(screen, terminal, environ, kind):
    _, console = on_terminal(**environ) if terminal else on_file()
    with watching(console, screen) as listener:
        assert type(listener) is kind


def test_quiet_says_only_warnings():
    stream, console = on_file()
    with watching(console, Screen(quiet=True)) as listener:
        listener.stage("x")
        listener.progress(1, 2, {})
        listener.note("x")
        assert stream.getvalue() == ""
        listener.warn("data/short", "two series are short")
    assert stream.getvalue() == "warning: two series are short  [data/short]\n"


def test_a_failure_takes_the_bar_off_the_screen():
    stream, console = on_terminal()
    with pytest.raises(RuntimeError), watching(console, Screen()) as listener:
        listener.progress(1, 2, {})
        raise RuntimeError
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h") == 1


def test_what_the_message_quotes_is_not_told_again():
    stream, console = on_file()
    print_error(
        console, InputError("there is no column 'Passenger'", code="x/y", value="Passenger")
    )
    assert "found" not in stream.getvalue()


def test_a_long_note_goes_on_below_its_own_beginning():
    stream = Terminal()
    console = make_console(stream, {"COLUMNS": "60", "TERM": "xterm"})
    LineListener(console).note("point forecast median: it has the lowest absolute error " * 2)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()
    assert len(lines) > 2
    assert lines[0].startswith("         - point forecast")
    assert all(line.startswith(" " * 11) and line[11] != " " for line in lines[1:])
    assert max(map(len, lines)) <= 60


def test_a_notebook_has_lines_and_no_pages_beside_them(monkeypatch):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert not make_console(io.StringIO(), {}).is_jupyter
