"""Which exit code and which words a failure gets, and where a bug leaves its traceback."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import threading
from pathlib import Path

import pytest

from forecast.cli.error_handler import (
    _log,
    as_forecast_error,
    error_document,
    guarded,
    print_json,
    terminated_by_signal,
)
from forecast.common import errors
from forecast.common.progress import Terminated


def test_every_kind_of_error_has_the_exit_code_of_the_interface():
    codes = {
        kind.__name__: kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.ForecastError)
    }
    assert codes == {
        "ForecastError": 70,
        "UsageError": 2,
        "InputError": 4,
        "StaleInputError": 5,
        "ModelNotFoundError": 10,
        "LockedError": 11,
        "ModelDamagedError": 12,
        "OutputError": 74,
        "TrainingError": 70,
    }


def test_changing_one_error_leaves_its_class_alone():
    assert as_forecast_error(KeyboardInterrupt()).exit_code == 130
    assert as_forecast_error(Terminated()).exit_code == 143
    assert errors.ForecastError("x", code="x/y").exit_code == 70


def test_a_result_passes_through():
    assert guarded(lambda: 0) == 0
    assert guarded(lambda: 3) == 3
    assert guarded(lambda: 130) == 130


def test_an_interruption_that_was_handled_counts_as_the_signal_that_came():
    def work() -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        except KeyboardInterrupt:
            pass  # as training does: the best so far is kept
        return 130

    assert guarded(work) == 143


def test_work_in_another_thread_needs_no_signal_handler():
    codes = []
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=lambda: codes.append(guarded(lambda: 4)))
    thread.start()
    thread.join()
    assert codes == [4]
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_handler_is_restored_even_when_the_work_fails():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError), terminated_by_signal():
        assert signal.getsignal(signal.SIGTERM) is not before
        raise RuntimeError
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("problem", "where", "code"),
    [
        (OSError(errno.EIO, "Input/output error", "a\udcff.csv"), "a\udcff.csv", "system/eio"),
        (OSError(errno.EROFS, "Read-only", b"a.csv"), "a.csv", "system/erofs"),
        (OSError(errno.EMFILE, "Too many", 7), "7", "system/emfile"),
        (TimeoutError("slow"), None, "system/unknown"),
    ],
)
def test_a_failure_of_the_system_names_its_file(problem, where, code):
    error = as_forecast_error(problem)
    assert (error.where, error.code, error.exit_code) == (where, code, 74)


def test_without_a_place_for_logs_the_temporary_folder_takes_the_traceback(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    error = as_forecast_error(ValueError("odd"))
    assert error.where is not None
    log = Path(error.where.removeprefix("full story in "))
    assert log.parent == tmp_path
    assert "ValueError: odd" in log.read_text()


def test_when_no_log_can_be_written_the_bug_is_still_reported(monkeypatch, tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    monkeypatch.setattr("tempfile.tempdir", str(blocked))

    def work() -> int:
        raise ValueError("odd")

    assert guarded(work) == 70
    err = capsys.readouterr().err
    assert "ValueError: odd" in err
    assert "--debug" in err


def test_an_error_document_is_plain_json_whatever_the_value():
    error = errors.InputError("bad", code="a/b", value={"x": object}, where="\x1b\udcff")
    stream = io.StringIO()
    print_json(error_document(error), stream)
    assert stream.getvalue().isascii()
    assert json.loads(stream.getvalue())["error"]["value"].startswith("{'x'")


def test_json_never_holds_nan():
    with pytest.raises(ValueError, match="JSON"):
        print_json({"x": float("nan")}, io.StringIO())


def test_a_log_in_a_shared_folder_is_a_new_file_for_its_owner_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", os.devnull)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first, second = (Path(_log(ValueError("odd"))) for _ in range(2))
    assert first != second
    assert first.stat().st_mode & 0o777 == 0o600
