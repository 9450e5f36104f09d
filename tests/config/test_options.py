"""Flags, variables and help, read off the settings."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from forecast.config.baselines import Baseline
from forecast.config.files import read_settings_file
from forecast.config.options import (
    BACKTEST_ONLY,
    TRAIN_ONLY,
    all_options,
    in_a_settings_file,
    options_of,
    show,
)
from forecast.config.sources import resolve
from tests import ROOT


def by_path(path: str):
    return next(option for option in all_options() if option.path == path)


def test_every_option_has_its_own_flag_variable_and_help():
    options = all_options()
    for name in ("variable", "path"):
        values = [getattr(option, name) for option in options]
        assert len(set(values)) == len(values)
    for others in (BACKTEST_ONLY, TRAIN_ONLY):  # train and backtest each have their --refit
        flags = [option.flag for option in options if option.path not in others]
        assert len(set(flags)) == len(flags)
    for option in options:
        assert re.fullmatch(r"--[a-z]+(-[a-z]+)*", option.flag)
        assert option.help.endswith("."), option.path
        assert option.help[0].isupper(), option.path
        assert option.switch or option.metavar, option.path


def test_no_flag_hides_a_flag_that_all_commands_have():
    taken = {"--json", "--quiet", "--verbose", "--debug", "--config", "--show-config", "--help"}
    taken |= {"--model", "--output", "--series", "--data", "--version"}
    flags = {option.flag for option in all_options()}
    flags |= {o.flag.replace("--", "--no-") for o in all_options() if o.switch}
    assert not flags & taken


def test_a_flag_is_the_fields_name_unless_the_field_says_otherwise():
    assert by_path("data.id_col").flag == "--id-col"
    assert by_path("data.id_col").variable == "LSTMCAST_ID_COL"
    assert by_path("network.hidden_size").flag == "--hidden"
    assert by_path("network.hidden_size").variable == "LSTMCAST_HIDDEN"
    assert by_path("baselines.names").flag == "--baselines"


def test_choices_are_in_the_help_and_kept_for_completion():
    assert by_path("data.missing").choices == ("mask", "zero", "ffill")
    assert by_path("data.missing").help.endswith("One of: mask, zero, ffill.")
    assert by_path("baselines.names").help.endswith(f"Any of: {', '.join(get_args(Baseline))}.")
    assert by_path("data.decimal").help.endswith('One of: ".", ",".')


def test_switches_are_told_from_options_with_a_value():
    assert by_path("data.wide").switch
    assert by_path("data.dayfirst").switch
    assert not by_path("forecast.horizon").switch
    assert by_path("forecast.horizon").metavar == "STEPS"


def test_options_are_picked_by_section_or_by_name():
    assert [option.flag for option in options_of("evaluation", "training.device")] == [
        "--windows",
        "--step-size",
        "--gap",
        "--refit",
        "--cost",
        "--variants",
        "--device",
    ]
    with pytest.raises(KeyError, match=r"training\.gpu"):
        options_of("training.gpu")


def test_the_settings_without_a_flag_are_those_that_the_page_of_commands_lists():
    page = (ROOT / "docs" / "commands.md").read_text("utf-8")
    assert re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", page, re.M) == [
        option.path for option in all_options() if not option.has_flag
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((80.0, 99.5), "80,99.5"),
        ((), "none"),
        (True, "yes"),
        (False, "no"),
        (None, ""),
        (0.002, "0.002"),
        (1e6, "1000000"),
        ("x", "x"),
    ],
)
def test_a_value_is_shown_as_it_would_be_written(value, text):
    assert show(value) == text


VALUES = {"data.drop_value": "-9", "data.season": "7", "forecast.point": "mean"}


@pytest.mark.parametrize("option", [o for o in all_options() if o.section in ("data", "forecast")],
                         ids=lambda option: option.flag)  # fmt: skip
def test_advice_by_flags_becomes_the_line_of_a_settings_file(option, tmp_path):
    words = next((c for c in option.choices if c != option.default), "") or VALUES.get(option.path)
    if option.switch:
        given = option.flag if not option.default else option.off
    elif option.choices or words:
        given = f"{option.typed}{' ' if option.has_flag else '='}{words}"
    else:
        assert in_a_settings_file(f"Name it with {option.typed}, please").endswith(
            f"with {option.path}, please"
        )
        return
    line = in_a_settings_file(f"Say so: {given}").removeprefix("Say so: ")
    (tmp_path / "own.yaml").write_text(line + "\n")
    found = read_settings_file(tmp_path / "own.yaml")
    assert list(found) == [option.path]
    settings = resolve(config=str(tmp_path / "own.yaml"), environ={}).settings
    section = getattr(settings, option.section)
    assert getattr(section, option.field) != option.default


@pytest.mark.parametrize(
    ("flags", "keys"),
    [
        ("Say which: --dayfirst or --no-dayfirst",
         "Say which: data.dayfirst: true or data.dayfirst: false"),
        ("If the comma is the decimal mark: --decimal ,",
         "If the comma is the decimal mark: data.decimal: ','"),
        ("Name the zone with --tz, e.g. --tz Europe/Berlin",
         "Name the zone with data.tz, e.g. data.tz: Europe/Berlin"),
        ("Choose with --duplicates first, last, mean or sum",
         "Choose with data.duplicates: first, last, mean or sum"),
        ("Raise --set data.max_expansion=TIMES if you trust it",
         "Raise data.max_expansion: TIMES if you trust it"),
        ("a zone (--tz for it); --rejects puts it aside",
         "a zone (data.tz for it); data.rejects puts it aside"),
        ("Look at it: lstmcast check FILE --rejects", None),
        ("Give a later --as-of, or --job sales", None),
    ],
)  # fmt: skip
def test_sentences_with_flags_stay_sentences(flags, keys):
    assert in_a_settings_file(flags) == (keys or flags)
