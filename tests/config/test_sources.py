"""Flags, environment, file, defaults: which one wins, and what is said when one is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast.common.errors import UsageError
from forecast.config.baselines import Baseline
from forecast.config.files import commented_defaults, read_settings_file
from forecast.config.schema import Settings, list_type
from forecast.config.sources import resolve


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write_file(text: str | bytes) -> str:
        data = text.encode() if isinstance(text, str) else text
        Path("my.yaml").write_bytes(data)
        return "my.yaml"

    return write_file


def refused(**arguments) -> UsageError:
    with pytest.raises(UsageError) as caught:
        resolve(**arguments)
    assert caught.value.exit_code == 2
    return caught.value


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(write):
    file = write("forecast:\n  horizon: 3\ntraining:\n  seed: 3\n  members: 3\n")
    resolved = resolve(
        flags={"forecast.horizon": "1", "training.seed": None},
        environ={"LSTMCAST_HORIZON": "2", "LSTMCAST_SEED": "2", "HOME": "/"},
        config=file,
    )
    assert resolved.settings.forecast.horizon == 1
    assert resolved.settings.training.seed == 2
    assert resolved.settings.training.members == 3
    assert resolved.settings.network == Settings().network
    assert resolved.sources["forecast.horizon"] == "--horizon"
    assert resolved.sources["training.seed"] == "LSTMCAST_SEED"
    assert resolved.sources["training.members"] == "my.yaml, line 5"
    assert resolved.sources["network.layers"] == "default"


def test_only_what_was_given_counts_as_given():
    settings = resolve(flags={"data.wide": True}, environ={"LSTMCAST_LEVEL": "90"}).settings
    assert settings.data.model_fields_set == {"wide"}
    assert settings.forecast.model_fields_set == {"level"}
    assert settings.model_fields_set == {"data", "forecast"}


def test_the_environment_can_name_the_file_and_a_flag_can_name_another(write):
    file = write("training:\n  seed: 7\n")
    environ = {"LSTMCAST_CONFIG": file}
    assert resolve(environ=environ).settings.training.seed == 7
    assert resolve(environ=environ, config="fast").settings.training.seed == 1
    assert resolve(config="fast").sources["training.members"].startswith("preset fast, line ")


def test_an_empty_variable_is_not_given():
    assert resolve(environ={"LSTMCAST_HORIZON": " "}).sources["forecast.horizon"] == "default"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("HORIZN", "HORIZON"), ("ID_COLUMN", "ID_COL"), ("CONFG", "CONFIG"), ("horizon", None)],
)
def test_a_mistyped_variable_is_refused_with_the_one_meant(typed, meant):
    if meant is None:  # names of variables are in capitals: this one is another
        assert resolve(environ={"LSTMCAST_" + typed: "3"}).settings == Settings()
        return
    error = refused(environ={"LSTMCAST_" + typed: "3"})
    assert error.code == "config/unknown-variable"
    assert error.value == "LSTMCAST_" + typed
    assert error.remedy == f"Did you mean LSTMCAST_{meant}?"


def test_a_variable_that_resembles_no_setting_may_be_somebody_elses():
    assert resolve(environ={"LSTMCAST_BENCHMARK_DATA": "/x"}).settings == Settings()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"flags": {"forecast.horizon": "many"}},
            "--horizon must be a whole number (found 'many'). "
            "Give one that fits, or leave it out: steps ahead (by the frequency and the length of "
            "the data).",
        ),
        (
            {"flags": {"data.duplicates": "men"}},
            "--duplicates must be one of: error, first, last, mean, sum (found 'men'). "
            "Did you mean mean?",
        ),
        (
            {"environ": {"LSTMCAST_DROPOUT": "1"}},
            "LSTMCAST_DROPOUT must be below 1 (found '1'). "
            "Give one that fits, or leave it out: share of units dropped after each "
            "layer in training; more where validation worsens early.",
        ),
        (
            {"flags": {"baselines.names": "arma"}},
            f"--baselines must be one of: {', '.join(get_args(Baseline))} (found 'arma'). "
            "Did you mean arima?",
        ),
        (
            {"flags": {"training.device": "gpu"}},
            "--device is not one that can be used (found 'gpu'). "
            "Give one that fits, or leave it out: where to compute: auto "
            "(a GPU when there is one), cpu, cuda, cuda:N or mps.",
        ),
    ],
)
def test_a_bad_value_is_named_with_its_source_and_the_remedy(arguments, text):
    error = refused(**arguments)
    assert str(error) == text
    assert error.code == "config/bad-value"


def test_a_bad_value_in_a_file_is_named_with_its_line(write):
    error = refused(config=write("data:\n  id_col: x\n\nforecast:\n  horizon: 0\n"))
    assert str(error).startswith(
        "my.yaml, line 5: forecast.horizon must be at least 1 (found 0). Give one that fits, "
        "or leave it out: steps ahead"
    )


def test_a_number_where_text_belongs_wants_quotes(write):
    error = refused(config=write("data:\n  id_col: 2020\n"))
    assert error.message == "data.id_col must be text"
    assert error.remedy == "Put the value in quotes"


def test_further_bad_values_are_counted():
    flags = {"forecast.horizon": "a", "training.seed": "b", "network.layers": "c"}
    assert "(2 more settings are wrong)" in str(refused(flags=flags))


@pytest.mark.parametrize(
    ("text", "where", "value", "remedy"),
    [
        ("horizon: 3", "my.yaml, line 1", "horizon", "Did you mean forecast.horizon?"),
        ("forcast:\n  x: 1", "my.yaml, line 1", "forcast", "Did you mean forecast?"),
        (
            "forecast:\n  horizn: 3",
            "my.yaml, line 2",
            "forecast.horizn",
            "Did you mean forecast.horizon?",
        ),
        (
            "training:\n  hidden: 8",
            "my.yaml, line 2",
            "training.hidden",
            "Did you mean network.hidden_size?",
        ),
        (
            "evaluation:\n  zzz: 8",
            "my.yaml, line 2",
            "evaluation.zzz",
            "Keys here are: windows, step_size, gap, refit, cost, variants",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_the_one_probably_meant(write, text, where, value, remedy):
    error = refused(config=write(text))
    assert error.code == "config/unknown-key"
    assert (error.where, error.value, error.remedy) == (where, value, remedy)


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        ("a: [1\nb: 2", "config/not-yaml", "my.yaml, line 2, column 2"),
        ("- a\n- b", "config/not-a-mapping", "my.yaml, line 1"),
        ("forecast: 24", "config/not-a-mapping", "my.yaml, line 1"),
        ("forecast:\n  horizon: 1\n  horizon: 2", "config/repeated-key", "my.yaml, line 3"),
        ("forecast.horizon: 3\nforecast:\n  horizon: 1", "config/repeated-key", "my.yaml, line 3"),
        ("forecast:\n  horizon: !!python/name:os.system", "config/not-yaml", None),
        ("forecast:\n  horizon: 1\n---\nforecast: {}", "config/not-yaml", None),
        (b"forecast: \xff", "config/unreadable", "my.yaml"),
        ("x" * (1 << 20) + "x", "config/unreadable", "my.yaml"),
        ("a: " + "[" * 5000, "config/not-yaml", None),
    ],
)
def test_a_broken_file_is_refused_with_its_place(write, text, code, where):
    error = refused(config=write(text))
    assert error.code == code
    assert error.where is not None
    assert error.where.startswith("my.yaml")
    assert where is None or error.where == where


def test_a_key_may_be_written_with_its_section(write):
    found = resolve(config=write("forecast.horizon: 3\ndata:\n  missing: zero\n")).settings
    assert (found.forecast.horizon, found.data.missing) == (3, "zero")


def test_an_empty_file_or_section_changes_nothing(write):
    assert resolve(config=write("")).settings == Settings()
    assert resolve(config=write("# only words\nforecast:\n")).settings == Settings()


def test_a_missing_file_names_the_presets(write):
    error = refused(config="accurat")
    assert error.code == "config/not-found"
    assert error.remedy is not None
    assert error.remedy.startswith("Did you mean the preset accurate? --config takes a YAML file")


def test_a_folder_is_no_settings_file(tmp_path):
    assert refused(config=str(tmp_path)).code == "config/unreadable"


def test_the_commented_defaults_read_back_as_the_defaults(tmp_path):
    path = tmp_path / "all.yaml"
    path.write_text(commented_defaults(), encoding="utf-8")
    assert resolve(config=str(path)).settings == Settings()
    assert len(read_settings_file(path)) == sum(
        len(section.model_fields) for section in map(type, dict(Settings()).values())
    )


@given(st.text())
def test_any_text_for_a_horizon_is_a_number_or_a_usage_error(text):
    try:
        horizon = resolve(flags={"forecast.horizon": text}).settings.forecast.horizon
    except UsageError as error:
        assert error.code == "config/bad-value"
    else:
        assert horizon is not None
        assert 1 <= horizon <= 10_000


def test_each_list_may_be_written_with_commas_whatever_checks_it():
    assert resolve({"evaluation.cost": "9,1"}).settings.evaluation.cost == (9.0, 1.0)
    assert resolve({}, {"LSTMCAST_COST": "4, 1"}).settings.evaluation.cost == (4.0, 1.0)
    with pytest.raises(UsageError, match="two costs above zero"):
        resolve({"evaluation.cost": "9"})
    for section in Settings.model_fields.values():
        for name, field in section.annotation.model_fields.items():
            if "tuple[" in str(field.annotation):
                assert get_origin(list_type(field.annotation)) is tuple, name
