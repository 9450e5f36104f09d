"""The metrics file is one that Prometheus can read, whole at every moment."""

from __future__ import annotations

import re

import pytest

from forecast.common.errors import UsageError
from forecast.scheduling.monitoring import JobMetrics, exposition, write_metrics

LINE = re.compile(
    r'[a-z_]+\{[a-z_]+="(?:[^"\\\n]|\\["\\n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\["\\n])*")*\} '
    r"(?:-?\d+(?:\.\d+)?(?:e[-+]?\d+)?|NaN|[-+]Inf)"
)


def metrics(**more) -> JobMetrics:
    return JobMetrics("sales", last_run=1.7e9, exit_code=0, seconds=12.5, **more)


def test_every_sample_is_announced_once_and_has_the_job_as_a_label():
    text = exposition(metrics(live_mase=0.8, coverage={80.0: 0.79, 95.0: 0.95}, series=3))
    announced = re.findall(r"^# TYPE (\S+) gauge$", text, re.M)
    helped = re.findall(r"^# HELP (\S+) \S", text, re.M)
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert announced == helped == list(dict.fromkeys(announced))
    assert {line.split("{")[0] for line in samples} == set(announced)
    assert all(LINE.fullmatch(line) and 'forecast_job="sales"' in line for line in samples)
    assert 'lstmcast_live_coverage{forecast_job="sales",level="95"} 0.95' in samples
    assert 'lstmcast_last_run_timestamp_seconds{forecast_job="sales"} 1700000000.0' in samples


def test_what_is_not_known_is_left_out_rather_than_zero():
    text = exposition(metrics())
    assert "live_mase" not in text
    assert "coverage" not in text
    assert "last_success" not in text


def test_names_and_numbers_of_any_kind_keep_the_format():
    odd = JobMetrics('a"b\\c\nd', 1.0, 0, 0.0, live_mase=float("nan"), promised_mase=float("inf"))
    samples = [line for line in exposition(odd).splitlines() if not line.startswith("#")]
    assert all(LINE.fullmatch(line) for line in samples), samples
    assert samples[0].startswith(r'lstmcast_last_run_timestamp_seconds{forecast_job="a\"b\\c\nd"}')
    assert [line.split()[-1] for line in samples[-2:]] == ["NaN", "+Inf"]


def test_the_file_is_replaced_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "textfile" / "sales.prom"
    write_metrics(path, metrics())
    write_metrics(path, metrics(series=5))
    assert path.read_text() == exposition(metrics(series=5))
    assert [file.name for file in path.parent.iterdir()] == ["sales.prom"]
    assert path.stat().st_mode & 0o044  # the collector is another user


def test_a_file_of_other_content_stays_and_the_advice_is_one_that_a_job_can_follow(tmp_path):
    (tmp_path / "sales.prom").write_text("notes")
    with pytest.raises(UsageError, match="Name another file as metrics_file") as caught:
        write_metrics(tmp_path / "sales.prom", metrics())
    assert "--force" not in str(caught.value)
    assert (tmp_path / "sales.prom").read_text() == "notes"
