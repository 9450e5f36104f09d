"""The first configuration is complete, true to the defaults, and overwrites nothing."""

from __future__ import annotations

import json
import re

import pytest

from forecast.cli.app import run
from forecast.cli.error_handler import guarded
from forecast.common.errors import UsageError
from forecast.config.schema import Section
from forecast.config.sources import resolve
from forecast.data.load import load_panel
from forecast.scheduling.config import JobSection
from forecast.scheduling.config_file import load_config
from forecast.scheduling.init import BATCH, batch_text, starter_files, write_starter


def names_of(section: type[Section], prefix: str = "") -> set[str]:
    found = set()
    for name, field in section.model_fields.items():
        inner = type(field.default) if isinstance(field.default, Section) else None
        found |= {prefix + name} | (names_of(inner, f"{name}.") if inner else set())
    return found


def test_the_batch_configuration_runs_on_its_own_data(tmp_path):
    write_starter(tmp_path, starter_files(batch=True))
    jobs = load_config(tmp_path / BATCH, {}).jobs
    assert list(jobs) == ["stores", "passengers"]
    for job in jobs.values():
        panel, _ = load_panel(job.source, job.settings.data)
        assert panel.size == (8 if job.name == "stores" else 1)
        assert job.folder == tmp_path / job.name


def test_a_setting_freed_of_its_sign_has_the_default_it_had_before(tmp_path):
    text = batch_text()
    freed = re.sub(r"^    # ( *)(?=[a-z_]+:)", r"    \1", text, flags=re.M)
    assert freed != text
    plain, opened = tmp_path / "plain.yaml", tmp_path / "opened.yaml"
    plain.write_text(text)
    opened.write_text(freed)
    one, two = (load_config(path, {}).jobs["stores"].section for path in (plain, opened))
    assert one == two
    assert "keep_daily: 31" in freed


def test_every_setting_of_a_job_is_in_the_configuration_and_explained():
    text = batch_text()
    shown = set(re.findall(r"^ *(?:# *)?([a-z_]+):", text, re.M))
    for name in names_of(JobSection):
        assert name.split(".")[-1] in shown, name
    for line in text.splitlines():
        assert len(line) <= 100, line


def test_nothing_is_overwritten_and_nothing_is_written_beside_what_is_there(tmp_path):
    (tmp_path / BATCH).write_text("mine: true\n")
    with pytest.raises(UsageError) as error:
        write_starter(tmp_path, starter_files(batch=True))
    assert error.value.code == "init/exists"
    assert [file.name for file in tmp_path.iterdir()] == [BATCH]
    assert (tmp_path / BATCH).read_text() == "mine: true\n"


def test_a_link_to_nowhere_is_not_followed(tmp_path):
    (tmp_path / BATCH).symlink_to(tmp_path / "elsewhere.yaml")
    with pytest.raises(UsageError):
        write_starter(tmp_path, starter_files(batch=True))
    assert not (tmp_path / "elsewhere.yaml").exists()


def test_writing_it_again_changes_nothing(tmp_path):
    first = write_starter(tmp_path, starter_files(batch=True))
    times = {path: path.stat().st_mtime_ns for path, _ in first}
    assert write_starter(tmp_path, starter_files(batch=True)) == first
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_the_settings_for_train_are_all_settings_with_their_defaults(tmp_path):
    write_starter(tmp_path, starter_files(batch=False))
    written = resolve({}, {}, str(tmp_path / "settings.yaml"))
    assert written.settings == resolve({}, {}, None).settings


def test_init_says_what_it_wrote_and_what_comes_next(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert guarded(lambda: run(["init", "--batch", "my jobs", "--json"])) == 0
    document = json.loads(capsys.readouterr().out)
    assert [file["path"] for file in document["files"]] == [
        "my jobs/data/airline_passengers.csv",
        "my jobs/data/hourly_stores.csv",
        "my jobs/watching/alerts.yaml",
        "my jobs/watching/dashboard.json",
        "my jobs/batch.yaml",
    ]
    assert document["next"][0] == "lstmcast run 'my jobs/batch.yaml'"
    assert guarded(lambda: run(["init", "--quiet"])) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "my jobs", "settings.yaml"]
