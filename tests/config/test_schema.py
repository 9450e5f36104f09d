"""The settings themselves: what they accept, what they refuse, and that presets load."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from forecast.common.durations import seconds_in
from forecast.config.files import commented_defaults, preset_folder, presets, read_settings_file
from forecast.config.options import all_options
from forecast.config.schema import Settings
from forecast.config.sources import resolve


def refusal(**sections: dict[str, object]) -> str:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(sections)
    return caught.value.errors()[0]["msg"]


def test_the_default_preset_says_exactly_what_config_says():
    text = (preset_folder() / "default.yaml").read_text(encoding="utf-8")
    assert text == commented_defaults(), "run `make configs`"
    resolved = resolve(config="default")
    assert resolved.settings == Settings()
    assert set(read_settings_file(preset_folder() / "default.yaml")) == {
        option.path for option in all_options()
    }


def test_every_preset_loads_and_differs_from_the_defaults():
    assert set(presets()) == {"default", "fast", "accurate"}
    for name in set(presets()) - {"default"}:
        assert resolve(config=name).settings != Settings()


def test_the_fast_preset_is_cheaper_and_the_accurate_one_dearer():
    fast, default, accurate = (resolve(config=n).settings for n in ("fast", "default", "accurate"))
    members = [s.training.members for s in (fast, default, accurate)]
    steps = [s.training.max_steps for s in (fast, accurate)]
    assert members == sorted(members)
    assert len(set(members)) == 3
    assert steps == sorted(steps)
    assert set(fast.baselines.names) < set(accurate.baselines.names)
    # Another size of network than the pretrained one's would start from random weights.
    assert all(s.network == default.network for s in (fast, accurate))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90),
        ("90s", 90),
        ("20m", 1200),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1.5H", 5400),
        ("7d", 604800),
        ("26h", 93600),
        ("1d12h", 129600),
        ("2w", 1209600),
    ],
)
def test_a_duration_is_read_in_seconds(text, expected):
    assert seconds_in(text) == expected


@pytest.mark.parametrize(
    "text", ["", "soon", "0", "0m", "-5m", "d", "7x", "1h1d", "-3d", "5m1h", "m", "1e3", "nan"]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="such as 90s, 20m, 1h30m or 7d"):
        seconds_in(text)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_a_duration_is_the_sum_of_its_parts(hours, minutes, rest):
    total = hours * 3600 + minutes * 60 + rest
    text = f"{hours}h{minutes}m{rest}s"
    if total:
        assert seconds_in(text) == total
    else:
        with pytest.raises(ValueError, match="must be a time such as"):
            seconds_in(text)


@pytest.mark.parametrize("written", ["80,95", "80, 95", [80, 95], ["80", "95"], (80.0, 95.0)])
def test_a_list_may_be_written_as_text_or_as_a_list(written):
    assert Settings.model_validate({"forecast": {"level": written}}).forecast.level == (80, 95)


def test_a_single_value_is_a_list_of_one_and_none_is_an_empty_list():
    settings = Settings.model_validate({"forecast": {"level": 90}, "baselines": {"names": "none"}})
    assert settings.forecast.level == (90,)
    assert settings.baselines.names == ()


def test_yes_is_not_the_number_one():
    assert "true or false" in refusal(forecast={"horizon": True})
    assert "true or false" in refusal(forecast={"level": [True]})
    assert "true or false" in refusal(data={"id_col": False})


def test_no_text_holds_a_null_character():
    assert "null character" in refusal(data={"encoding": "utf\0"})
    assert "null character" in refusal(forecast={"level": ["8\0"]})


def test_numbers_must_be_finite_and_inside_their_bounds():
    assert "finite" in refusal(training={"learning_rate": float("inf")})
    assert "finite" in refusal(training={"clip": float("nan")})
    assert "less than 100" in refusal(forecast={"level": [100]})
    assert "greater than 0" in refusal(forecast={"quantiles": [0]})
    assert "greater than or equal to 1" in refusal(forecast={"horizon": 0})
    assert "repeat" in refusal(forecast={"level": [80, 80]})
    assert "repeat" in refusal(baselines={"names": "arima,arima"})


@pytest.mark.parametrize(
    ("written", "meant"), [(";", ";"), ("|", "|"), ("tab", "\t"), ("\\t", "\t"), (" ", " ")]
)
def test_a_separator_is_one_sign_or_the_word_tab(written, meant):
    assert Settings.model_validate({"data": {"delimiter": written}}).data.delimiter == meant


@pytest.mark.parametrize("written", ["", "ab", "a", "7", "é", "\n", '"', "tabs"])
def test_what_cannot_separate_fields_is_refused(written):
    assert "must be one sign" in refusal(data={"delimiter": written})


def test_unknown_keys_and_changes_are_refused():
    assert "not permitted" in refusal(forecast={"horizn": 3})
    with pytest.raises(ValidationError, match="frozen"):
        Settings().forecast.horizon = 3  # type: ignore[misc]
