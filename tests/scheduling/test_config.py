from __future__ import annotations

import json

import pytest

from forecast.common.errors import UsageError
from forecast.config.options import options_of
from forecast.scheduling.config_file import chosen_jobs, load_config, paths_of


def write(folder, text):
    path = folder / "batch.yaml"
    path.write_text(text)
    return path


def refusal(folder, text):
    with pytest.raises(UsageError) as caught:
        load_config(write(folder, text), environ={})
    return caught.value


def test_paths_are_relative_to_the_config_not_to_where_cron_starts(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    path = write(tmp_path, "jobs:\n  sales:\n    data: in/*.csv\n    folder: ../out\n")
    job = load_config(path, environ={}).jobs["sales"]
    assert job.source == str(tmp_path / "in" / "*.csv")
    assert job.folder == tmp_path.parent / "out"
    without = write(tmp_path, "jobs:\n  sales:\n    data: a.csv\n")
    assert load_config(without, environ={}).jobs["sales"].folder == tmp_path / "sales"


@pytest.mark.parametrize("stands", ["settings", "preset"])
def test_every_setting_that_is_a_path_is_relative_to_the_config(tmp_path, monkeypatch, stands):
    monkeypatch.chdir("/")
    paths = [o for o in options_of("data") if o.holds_path]
    assert {"events", "static", "future_covariates", "db_password"} <= {o.field for o in paths}
    places = {o.path: "x.csv" if o.is_path else "file:x.csv" for o in paths}
    (tmp_path / "own.yaml").write_text(json.dumps(places))
    said = {"settings": places} if stands == "settings" else {"preset": "own.yaml"}
    path = write(tmp_path, json.dumps({"jobs": {"a": {"data": "a.csv", **said}}}))
    job = load_config(path, environ={}).jobs["a"]
    for option in paths:
        kept = getattr(job.settings.data, option.field)
        assert kept == f"{'' if option.is_path else 'file:'}{tmp_path / 'x.csv'}", option.path
    assert paths_of(job).count(str(tmp_path / "x.csv")) == len(paths)


def test_another_point_is_another_forecast_but_no_other_model(tmp_path):
    one = "jobs:\n  a:\n    data: a.csv\n    settings:\n      forecast: {horizon: 7%s}\n"
    plain, asked, same = (
        load_config(write(tmp_path, one % more), environ={}).jobs["a"]
        for more in ("", ", point: 0.95", ", point: '0.95'")
    )
    assert (plain.settings.forecast.point, asked.settings.forecast.point) == (None, "0.95")
    assert asked.digest == same.digest != plain.digest
    assert asked.what_is_learnt() == plain.what_is_learnt()


def test_a_database_address_is_no_path(tmp_path):
    path = write(tmp_path, "jobs:\n  a:\n    data: env:SALES\n")
    assert load_config(path, environ={}).jobs["a"].source == "env:SALES"


def test_settings_come_from_the_environment_then_the_job_then_the_preset(tmp_path):
    path = write(
        tmp_path,
        "jobs:\n  a:\n    data: a.csv\n    preset: fast\n    settings:\n"
        "      forecast: {horizon: 7}\n      training: {max_steps: 9}\n",
    )
    plain = load_config(path, environ={}).jobs["a"].settings
    assert (plain.forecast.horizon, plain.training.max_steps, plain.training.members) == (7, 9, 1)
    here = load_config(path, environ={"LSTMCAST_HORIZON": "5"}).jobs["a"].settings
    assert here.forecast.horizon == 5


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("jobs:\n  a:\n    dat: x\n", 3, "Did you mean data?"),
        ("jobs:\n  a:\n    data: x\n    retrain:\n      evry: 7d\n", 5, "Did you mean every?"),
        ("jobs:\n  a:\n    data: x\n    schedule:\n      tz: UTC\n", 5, "Did you mean time_zone?"),
        ("jobs:\n  a:\n    data: x\n    deadline: soon\n", 4, "must be a time such as"),
        ("jobs:\n  a:\n    data: x\n    max_failed: 7\n", 4, "less than or equal to 1"),
        ("jobs:\n  a:\n    data: x\n    data: y\n", 4, "is given twice"),
        (
            "jobs:\n  a:\n    data: x\n    settings:\n      forecast:\n        horizn: 3\n",
            6,
            "Did you mean forecast.horizon?",
        ),
        (
            "jobs:\n  a:\n    data: x\n    settings:\n      training: {deadline: 5m}\n",
            5,
            "is not a job's to set",
        ),
        ("jobs:\n  a b:\n    data: x\n", 2, "letters, digits"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, text, line, words):
    error = refusal(tmp_path, text)
    assert error.exit_code == 2
    assert str(error.where).endswith(f"batch.yaml, line {line}")
    assert words in str(error)


@pytest.mark.parametrize(
    "setting", ["compare.networks: [gru]", "tuning.trials: 3", "federation.rounds: 3"]
)
def test_what_belongs_to_another_command_is_no_setting_of_a_job(tmp_path, setting):
    error = refusal(tmp_path, f"jobs:\n  a:\n    data: x\n    settings:\n      {setting}\n")
    assert error.code == "config/not-for-jobs" and "belongs to" in error.remedy


def test_what_other_settings_leave_without_effect_is_told(tmp_path):
    text = (
        "jobs:\n  a:\n    data: x\n    model: pretrained\n    retrain: {every: 3d}\n"
        "    settings: {network.name: gru, training.seed: 3, training.jobs: 1, data.tz: UTC}\n"
        "    schedule: {weekday: fri}\n  b:\n    data: x\n    retrain: {every: 3d}\n"
        "    settings: {network.name: gru}\n    schedule: {every: month, day: 3}\n"
    )
    (tmp_path / "batch.yaml").write_text(text)
    jobs = load_config(tmp_path / "batch.yaml", environ={}).jobs
    assert jobs["a"].without_effect() == [
        "network.name, training.seed, retrain: without effect beside model: pretrained",
        "schedule.weekday: without effect beside every: day",
    ]
    assert jobs["b"].without_effect() == []


def test_a_file_without_jobs_or_that_is_no_yaml_is_refused(tmp_path):
    assert refusal(tmp_path, "jobs: {}\n").code == "config/no-jobs"
    assert refusal(tmp_path, "jobs: [\n").code == "config/not-yaml"
    assert refusal(tmp_path, "jobs: &a\n  x: *a\n").code == "config/not-yaml"
    with pytest.raises(UsageError, match="No such file"):
        load_config(tmp_path / "none.yaml", environ={})


def test_two_jobs_may_not_share_a_folder(tmp_path):
    text = "jobs:\n  a: {data: x, folder: f}\n  b: {data: y, folder: ./f}\n"
    assert refusal(tmp_path, text).code == "config/shared-folder"


def test_one_job_is_chosen_by_name(tmp_path):
    config = load_config(write(tmp_path, "jobs:\n  a: {data: x}\n  bee: {data: y}\n"), environ={})
    assert [job.name for job in chosen_jobs(config, None)] == ["a", "bee"]
    assert [job.name for job in chosen_jobs(config, "bee")] == ["bee"]
    with pytest.raises(UsageError, match="Did you mean bee"):
        chosen_jobs(config, "be")


def test_the_digest_follows_what_changes_the_numbers_and_nothing_else(tmp_path):
    def digest(more):
        text = "jobs:\n  a:\n    data: x\n" + more
        return load_config(write(tmp_path, text), environ={}).jobs["a"].digest

    plain = digest("")
    assert digest("    retention: {keep_last: 3}\n    lock_wait: 5s\n") == plain
    assert digest("    outputs: {database: 'sqlite:////x'}\n") == plain
    assert digest("    outputs: {files: [parquet]}\n") != plain
    assert digest("    settings: {forecast: {horizon: 3}}\n") != plain
    assert digest("    recalibrate: false\n") != plain


def test_secrets_are_known_to_be_kept_out_of_logs(tmp_path, monkeypatch):
    monkeypatch.setenv("BASE", "postgresql://me:hidden9@host/db")
    text = "jobs:\n  a: {data: x, outputs: {database: 'env:BASE'}}\n"
    job = load_config(write(tmp_path, text), environ={}).jobs["a"]
    assert job.database() == "postgresql://me:hidden9@host/db"
    assert "hidden9" in job.secrets()


def test_what_a_job_says_of_its_periods_holds_where_they_are_made_by_resampling(tmp_path):
    text = "jobs:\n  a:\n    data: a.csv\n"
    plain = load_config(write(tmp_path, text), environ={}).jobs["a"]
    assert (plain.settings.data.stamps, plain.settings.data.drop_partial) == ("auto", True)
    text += "    stamps: end\n    drop_partial: false\n"
    told = load_config(write(tmp_path, text), environ={}).jobs["a"]
    assert (told.settings.data.stamps, told.settings.data.drop_partial) == ("end", False)
    assert told.digest != plain.digest
    text += "    settings: {data.stamps: start}\n"
    own = load_config(write(tmp_path, text), environ={}).jobs["a"]
    assert own.settings.data.stamps == "start"
