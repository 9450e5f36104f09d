"""Secrets come from the environment or a file, and are shown nowhere."""

from __future__ import annotations

import pytest

from forecast.common.errors import UsageError
from forecast.common.secrets import redacted, reveal, variable_of


def test_a_secret_comes_from_the_environment_a_file_or_stands_there(tmp_path):
    (tmp_path / "address").write_text("https://hc/abc\nsecond line\n")
    assert reveal("env:PING", "ping", tmp_path, {"PING": " https://hc/x "}) == "https://hc/x"
    assert reveal("file:address", "ping", tmp_path, {}) == "https://hc/abc"
    assert reveal(f"file:{tmp_path}/address", "ping", tmp_path / "x", {}) == "https://hc/abc"
    assert reveal("https://hc/y", "ping", tmp_path, {}) == "https://hc/y"


@pytest.mark.parametrize(
    ("setting", "code", "words"),
    [
        ("env:PING", "config/secret-missing", "ping is to come from an environment variable"),
        ("file:none", "config/secret-unreadable", "No such file"),
        ("file:empty", "config/secret-missing", "a file that is empty"),
        ("file:binary", "config/secret-unreadable", "it is not UTF-8 text"),
    ],
)
def test_a_secret_that_is_not_there_is_named_with_its_place(tmp_path, setting, code, words):
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError) as error:
        reveal(setting, "ping", tmp_path, {"PING": ""})
    assert error.value.code == code
    assert words in error.value.message


def test_the_variable_of_a_setting_is_known():
    assert variable_of("env:DB") == "DB"
    assert variable_of("file:x") is None
    assert variable_of(None) is None


def test_secrets_and_passwords_of_addresses_disappear_from_texts():
    text = "no route to https://hc-ping.com/uuid-1 nor postgresql://me:p%40ss@host/base, uuid-1"
    assert redacted(text, ["uuid-1", "uuid", ""]) == (
        "no route to https://hc-ping.com/*** nor postgresql://***@host/base, ***"
    )


def test_a_secret_of_a_sign_or_two_does_not_black_out_the_log():
    assert redacted("a banana", ["a"]) == "a banana"
