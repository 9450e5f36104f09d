"""Forecasts in parts are those of one process; a part that fails or is missing is named."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from forecast.cli.app import run
from forecast.common.errors import InputError, UsageError
from forecast.common.progress import Silent
from forecast.config.schema import DataSettings, EngineSettings, Settings
from forecast.data.frequency import Frequency
from forecast.data.load import load_panel
from forecast.data.panel import Panel
from forecast.models.baselines.forecast import forecast_baselines, forecast_baselines_windows
from forecast.models.pretrained import load_backbone
from forecast.models.store import save_model
from forecast.training.zero_shot import ZeroShot, zero_shot
from forecast.transforms.windows import step_layout
from forecast.workflows.partitions.job import _from_anywhere, partitions_of, share, spread
from forecast.workflows.partitions.merge import AT_ONCE, MANIFEST, merge_run
from forecast.workflows.partitions.on_spark import forecasts_of, schema
from forecast.workflows.partitions.run import engine_run, tried
from forecast.workflows.partitions.worker import (
    Record,
    attempt,
    hashes,
    on_this_machine,
    read_record,
)
from tests.builders import make_panel

POINTS, HORIZON = 40, 5


def rows(first: int, count: int, points: int = POINTS) -> pa.Table:
    """`count` daily series from number `first` on: a week's season and noise of their own."""
    ids, times, values = [], [], []
    for number in range(first, first + count):
        noise = np.random.default_rng(number).normal(0, 1, points)
        wave = 50 + number + 8 * np.sin(np.arange(points) * 2 * np.pi / 7)
        ids += [f"s{number:04d}"] * points
        times += np.datetime_as_string(np.datetime64("2024-01-01") + np.arange(points)).tolist()
        values += np.round(wave + noise, 3).tolist()
    return pa.table({"unique_id": ids, "ds": times, "y": values})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of three series each."""
    place = tmp_path / "in"
    place.mkdir()
    for n in range(3):
        csv.write_csv(rows(3 * n, 3), place / f"region{n}.csv")
    return place


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(autouse=True)
def in_this_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are done here, one after the other, but in tests that ask for `processes`."""
    monkeypatch.setitem(attempt.__globals__, "one_thread", lambda: None)
    if "processes" not in request.fixturenames:
        monkeypatch.setattr(
            "forecast.workflows.partitions.run.on_this_machine",
            lambda out, left, jobs: ((n, attempt(out, n)) for n in left),
        )


@pytest.fixture
def processes() -> None:
    """The local engine as it is."""


def settings(**engine: object) -> Settings:
    return Settings.model_validate(
        {"engine": engine, "forecast": {"horizon": HORIZON}, "training": {"jobs": 1}}
    )


def parts(place: Path, output: Path, **engine: object):
    return engine_run(
        str(place), settings(**engine), Silent(), output=str(output), pretrained_network=True
    )


def whole(place: Path, output: Path) -> pa.Table:
    assert run(["forecast", str(place), "--horizon", str(HORIZON), "-q", "-o", str(output)]) == 0
    return csv.read_csv(output)


def assert_same(table: pa.Table, want: pa.Table) -> None:
    assert table.column_names == want.column_names
    assert table.column("unique_id").to_pylist() == want.column("unique_id").to_pylist()
    assert table.column("ds").to_pylist() == want.column("ds").to_pylist()
    for name in want.column_names[2:]:
        np.testing.assert_allclose(table.column(name), want.column(name), rtol=1e-6)


def test_processes_and_shards_forecast_every_series_as_one_process_does(
    folder, tmp_path, processes
):
    want = whole(folder, tmp_path / "whole.csv")
    made = parts(folder, tmp_path / "local")
    assert (made.parts, made.series, made.rows, made.complete) == (3, 9, 9 * HORIZON, True)
    for shard in ("2/2", "1/2"):
        parts(folder, tmp_path / "shards", shard=shard)
    assert not (tmp_path / "shards" / MANIFEST).exists()
    for name in ("local", "shards"):
        merge_run(tmp_path / name, output=tmp_path / f"{name}.csv")
        assert_same(csv.read_csv(tmp_path / f"{name}.csv"), want)
    assert (tmp_path / "local.csv").read_bytes() == (tmp_path / "shards.csv").read_bytes()


def test_a_merged_parquet_file_and_the_manifest_hold_all_parts(folder, tmp_path):
    parts(folder, tmp_path / "out")
    merge_run(tmp_path / "out", output=tmp_path / "all.parquet")
    assert parquet.read_table(tmp_path / "all.parquet").num_rows == 9 * HORIZON
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert manifest["complete"] and manifest["series"] == 9
    assert [part["partition"] for part in manifest["parts"]] == [f"region{n}.csv" for n in range(3)]


MEANS = {"chosen": [{"name": "point", "value": "mean", "why": "as asked (--point)"}]}


@pytest.mark.parametrize("about", [{}, MEANS], ids=["median", "mean"])
def test_a_trained_model_forecasts_in_parts_as_at_once(folder, tmp_path, monkeypatch, about):
    monkeypatch.chdir(tmp_path)
    network = replace(load_backbone(step_layout(7)), context=21, horizon=HORIZON)
    save_model(tmp_path / "model", network, Frequency("D"), about)
    assert run(["predict", str(folder), "--model", "model", "-q", "-o", "whole.csv"]) == 0
    engine = ["--engine", "local", "--jobs", "1", "-q", "-o", "out"]
    assert run(["predict", str(folder), "--model", "model", *engine]) == 0
    assert run(["merge", "out", "-q", "-o", "merged.csv"]) == 0
    assert_same(csv.read_csv("merged.csv"), csv.read_csv("whole.csv"))


def test_rare_demand_has_its_mean_in_parts_as_at_once(tmp_path):
    place = tmp_path / "rare"
    place.mkdir()
    for n in range(2):
        table = rows(3 * n, 3, 120).to_pandas()
        table["y"] = np.random.default_rng(n).binomial(1, 0.15, len(table))
        table.to_csv(place / f"part{n}.csv", index=False)
    want = whole(place, tmp_path / "whole.csv")
    parts(place, tmp_path / "out")
    merge_run(tmp_path / "out", output=tmp_path / "merged.csv")
    made = csv.read_csv(tmp_path / "merged.csv")
    assert_same(made, want)
    assert json.loads((tmp_path / "out" / "job.json").read_text())["point"] == "mean"


def test_days_with_a_year_to_look_back_on_draw_on_their_weeks_in_parts_as_at_once(tmp_path):
    place = tmp_path / "years"
    place.mkdir()
    for n in range(2):
        table = rows(3 * n, 3, 1200).to_pandas()
        day = table.groupby("unique_id").cumcount()
        noise = np.random.default_rng(n).normal(1, 0.3, len(table))
        table["y"] *= (1 + 0.5 * np.sin(2 * np.pi * day / 365.25)) * noise
        table.to_csv(place / f"part{n}.csv", index=False)
    want = whole(place, tmp_path / "whole.csv")
    parts(place, tmp_path / "out")
    merge_run(tmp_path / "out", output=tmp_path / "merged.csv")
    assert_same(csv.read_csv(tmp_path / "merged.csv"), want)
    network = json.loads((tmp_path / "out" / "job.json").read_text())["network"]
    assert [each["steps"] for each in network["longer"]] == [7, 14]


def test_a_worker_in_another_folder_reads_the_same_tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = {"events": "own.csv", "static": "stores.csv", "db_password": "file:p", "freq": "D"}
    assert _from_anywhere(told) == {
        "events": f"{tmp_path}/own.csv", "static": f"{tmp_path}/stores.csv",
        "db_password": f"file:{tmp_path}/p", "freq": "D",
    }  # fmt: skip


def test_a_part_too_small_to_show_its_frequency_takes_that_of_the_others(folder, tmp_path):
    short = rows(20, 2, points=1)
    csv.write_csv(short, folder / "region3.csv")
    made = parts(folder, tmp_path / "out")
    assert (made.series, made.fallbacks, made.exit_code) == (11, 2, 3)
    table = parquet.read_table(tmp_path / "out" / "part-00003.parquet")
    assert table.column("source").unique().to_pylist() == ["SeasonalNaive"]
    assert table.column("LSTM").unique().to_pylist() == short.column("y").to_pylist()
    assert table.column("ds")[0].as_py() == "2024-01-02"


def test_files_without_ids_are_series_called_like_the_files(tmp_path):
    place = tmp_path / "in"
    place.mkdir()
    for name in ("north", "south"):
        csv.write_csv(rows(0, 1).drop_columns(["unique_id"]), place / f"{name}.csv")
    want = whole(place, tmp_path / "whole.csv")
    parts(place, tmp_path / "out")
    merge_run(tmp_path / "out", output=tmp_path / "merged.csv")
    assert_same(csv.read_csv(tmp_path / "merged.csv"), want)


def test_files_that_go_on_with_one_series_are_no_parts_unless_each_is_said_to_be_one(tmp_path):
    place = tmp_path / "in"
    place.mkdir()
    table = rows(0, 1, 2 * POINTS).drop_columns(["unique_id"])
    for year in range(2):
        csv.write_csv(table.slice(year * POINTS, POINTS), place / f"202{year}.csv")
    with pytest.raises(UsageError, match="one series that goes on") as caught:
        parts(place, tmp_path / "out")
    assert "--id-col file" in (caught.value.remedy or "")
    asked = settings().model_copy(update={"data": DataSettings(id_col="file")})
    engine_run(str(place), asked, Silent(), output=str(tmp_path / "b"), pretrained_network=True)
    made = merge_run(tmp_path / "b", output=tmp_path / "merged.csv")
    assert made.series == 2
    assert set(csv.read_csv(tmp_path / "merged.csv")["unique_id"].to_pylist()) == {2020, 2021}


def test_many_files_of_one_series_are_told_so_though_the_first_look_reads_a_few_of_them(tmp_path):
    place = tmp_path / "in"
    place.mkdir()
    table = rows(0, 1, 24 * 30).drop_columns(["unique_id"])
    for month in range(24):
        csv.write_csv(table.slice(month * 30, 30), place / f"2020-{month:02d}.csv")
    with pytest.raises(UsageError, match="one series that goes on") as caught:
        parts(place, tmp_path / "out")
    assert caught.value.code == "usage/parts-of-a-series"


def test_a_part_that_cannot_be_read_is_named_and_the_others_are_written(folder, tmp_path):
    (folder / "region1.csv").write_text("unique_id,ds,y\na,2024-01-01,x\na,2024-01-02,1\n")
    made = parts(folder, tmp_path / "out")
    assert (made.exit_code, made.series, made.complete) == (3, 6, False)
    assert [record.name for record in made.failed] == ["region1.csv"]
    assert made.failed[0].error["code"] == "input/not-a-number"
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert not manifest["complete"]
    assert manifest["failed"][0]["partition"] == "region1.csv"
    with pytest.raises(InputError) as caught:
        merge_run(tmp_path / "out")
    assert caught.value.code == "engine/incomplete"
    assert caught.value.value == "region1.csv (2)"


def test_a_file_with_the_header_of_the_others_alone_is_no_failure(folder, tmp_path, capsys):
    (folder / "region1.csv").write_text('"unique_id","ds","y"\n')
    told = Told()
    made = engine_run(
        str(folder), settings(), told, output=str(tmp_path / "out"), pretrained_network=True
    )
    assert (made.exit_code, made.series, made.complete, made.failed) == (0, 6, True, [])
    assert "1 part without rows: region1.csv" in told.notes
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert manifest["complete"] and manifest["no_rows"] == ["region1.csv"]
    assert [part["partition"] for part in manifest["parts"]] == ["region0.csv", "region2.csv"]
    merged = merge_run(tmp_path / "out", output=tmp_path / "one.csv")
    assert merged.exit_code == 0 and merged.series == 6
    assert csv.read_csv(tmp_path / "one.csv").num_rows == 6 * HORIZON
    assert parts(folder, tmp_path / "out").kept == 3  # it is done, until its file changes
    csv.write_csv(rows(3, 3), folder / "region1.csv")
    assert parts(folder, tmp_path / "new").series == 9


def test_parts_of_which_none_has_a_row_are_an_error(tmp_path, folder, trained):
    for file in folder.iterdir():
        file.write_text("unique_id,ds,y\n")
    with pytest.raises(InputError) as caught:
        engine_run(
            str(folder), settings(), Silent(), output=str(tmp_path / "out"), model=str(trained)
        )
    assert caught.value.code == "input/no-rows"
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_where_no_part_can_be_read_the_error_is_that_of_the_first(tmp_path):
    (tmp_path / "bad.csv").write_text("unique_id,ds,y\na,2024-01-01,x\na,2024-01-02,1\n")
    with pytest.raises(InputError):
        parts(tmp_path / "bad.csv", tmp_path / "out")
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_merging_refuses_a_set_that_lacks_a_shard(folder, tmp_path):
    parts(folder, tmp_path / "out", shard="1/3")
    with pytest.raises(InputError) as caught:
        merge_run(tmp_path / "out")
    assert caught.value.code == "engine/incomplete"
    assert "2 of 3 parts are missing or damaged" in str(caught.value)


def test_a_series_in_two_files_is_refused_by_name(folder, tmp_path):
    csv.write_csv(rows(4, 1), folder / "region9.csv")
    with pytest.raises(InputError, match=r"'s0004' is in two parts, region1\.csv and region9\.csv"):
        parts(folder, tmp_path / "out")
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_twins_are_found_when_the_hashes_are_compared_in_many_rounds(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("forecast.workflows.partitions.merge.AT_ONCE", 2)
    assert AT_ONCE > 2
    parts(folder, tmp_path / "one")
    csv.write_csv(rows(0, 1), folder / "region9.csv")
    with pytest.raises(InputError, match="'s0000' is in two parts"):
        parts(folder, tmp_path / "two")


def test_what_is_done_is_kept_until_its_file_changes(folder, tmp_path):
    parts(folder, tmp_path / "out")
    before = (tmp_path / "out" / "part-00000.json").stat().st_mtime_ns
    os.utime(folder / "region2.csv", ns=(1, 1))
    made = parts(folder, tmp_path / "out")
    assert (made.kept, made.parts, made.series) == (2, 3, 9)
    assert (tmp_path / "out" / "part-00000.json").stat().st_mtime_ns == before


def test_a_folder_with_another_forecast_is_left_alone(folder, tmp_path):
    parts(folder, tmp_path / "out", shard="1/3")
    csv.write_csv(rows(30, 1), folder / "region4.csv")
    with pytest.raises(UsageError, match="its input has changed"):
        parts(folder, tmp_path / "out")


def test_what_a_killed_worker_left_unfinished_is_gone_in_the_end(folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".writing-abcd1234").write_text("half a part")
    parts(folder, tmp_path / "out")
    assert not list((tmp_path / "out").glob(".writing-*"))


@pytest.mark.parametrize("harm", ["flip", "ids gone", "ids short", "link"])
def test_a_part_that_is_not_as_it_was_written_is_no_part(folder, tmp_path, harm):
    parts(folder, tmp_path / "out")
    part, ids = (tmp_path / "out" / f"part-00001.{end}" for end in ("parquet", "ids"))
    good = part.read_bytes()
    if harm == "flip":
        middle = len(good) // 3
        part.write_bytes(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :])
    elif harm == "ids gone":
        ids.unlink()
    elif harm == "ids short":
        ids.write_bytes(ids.read_bytes()[:-1])
    else:
        part.unlink()
        part.symlink_to("nowhere")
    with pytest.raises(InputError, match="1 of 3 parts are missing or damaged"):
        merge_run(tmp_path / "out")
    if harm == "link":
        part.unlink()
    parts(folder, tmp_path / "out")  # it is forecast anew
    assert part.read_bytes() == good
    merge_run(tmp_path / "out")


def test_a_record_cut_short_is_no_record(folder, tmp_path):
    parts(folder, tmp_path / "out")
    path = tmp_path / "out" / "part-00001.json"
    path.write_text(path.read_text()[:40])
    assert read_record(tmp_path / "out", 1) is None
    assert parts(folder, tmp_path / "out").kept == 2


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost_or_twice(
    folder, tmp_path, processes
):
    for n in range(3, 8):
        csv.write_csv(rows(3 * n, 3), folder / f"region{n}.csv")
    out = tmp_path / "out"
    parts(folder, out, shard="1/8")
    made: dict[int, int] = {}
    killed: list[int] = []
    execute = partial(killing, str(out), killed=killed)
    for record in tried(execute, range(8), 3, lambda n, error: pytest.fail(error["text"])):
        made[record.partition] = record.series
    assert killed and made == dict.fromkeys(range(8), 3)
    hosts = {int(read_record(out, n).host.rpartition(":")[2]) for n in range(1, 8)}
    assert len(hosts) == 2 and killed[0] in hosts
    assert merge_run(out).series == 24


def killing(out: str, left, killed: list[int]):
    """The local engine with one worker, which is killed after the first part that it does."""
    for n, outcome in on_this_machine(out, left, 1):
        if not killed and outcome is not None and n:  # part 0 was done before
            killed.append(int(Record(**outcome[0]).host.rpartition(":")[2]))
            os.kill(killed[0], signal.SIGKILL)
        yield n, outcome


def test_a_part_that_always_kills_its_worker_is_given_up_with_the_reason():
    calls = []

    def execute(left):
        calls.append(list(left))
        for n in left:
            good = ({"partition": n, "name": f"{n}", "request": ""}, False)
            yield n, None if n == 1 else good

    def give_up(n, error):
        return Record(n, "bad", "", error=error)

    made = {record.partition: record.error for record in tried(execute, range(3), 2, give_up)}
    assert calls == [[0, 1, 2], [1]]
    assert made[0] is None and "its worker process died" in made[1]["text"]
    assert "2 attempts" in made[1]["text"]
    assert made[1]["code"] == "engine/worker-died"


def test_a_model_that_changes_on_the_way_is_not_used(folder, tmp_path, trained):
    out = tmp_path / "out"
    words = ["--model", str(trained), "--shard", "1/3", "-q", "-o", str(out)]
    assert run(["predict", str(folder), *words]) == 0
    shutil.rmtree(trained)
    network = replace(load_backbone(step_layout(7)), context=20, horizon=HORIZON)
    weights = {name: array + 1e-3 for name, array in network.members[0].items()}
    save_model(trained, replace(network, members=(weights,)), Frequency("D"), {})
    attempt.__globals__["_job"].cache_clear()
    record, again = attempt(str(out), 1)
    assert not again and record["error"]["code"] == "engine/model-changed"


def test_a_failure_that_may_pass_is_tried_again(folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    parts(folder, out, shard="1/3")
    fail = {"left": 1}
    real = attempt.__globals__["write_bytes"]

    def flaky(path, content):
        if path.name == "part-00001.json" and fail["left"]:
            fail["left"] -= 1
            raise OSError(5, "Input/output error")
        real(path, content)

    monkeypatch.setitem(attempt.__globals__, "write_bytes", flaky)
    record, again = attempt(str(out), 1)
    assert again and "Input/output error" in record["error"]["text"]
    record, again = attempt(str(out), 1)
    assert not again and record["error"] is None


def test_a_query_asked_in_parts_is_the_query_at_once(tmp_path):
    table = rows(0, 6)
    base = tmp_path / "sales.db"
    with sqlite3.connect(base) as connection:
        connection.execute("create table sales (n integer, unique_id text, ds text, y real)")
        numbers = [int(name[1:]) for name in table.column("unique_id").to_pylist()]
        values = zip(numbers, *(column.to_pylist() for column in table.columns), strict=True)
        connection.executemany("insert into sales values (?, ?, ?, ?)", values)
    query = "select unique_id, ds, y from sales"
    db = ["--db", f"sqlite:///{base}", "--horizon", str(HORIZON), "-q"]
    assert run(["forecast", *db, "--query", query, "-o", str(tmp_path / "whole.csv")]) == 0
    part = f"{query} where n % {{partitions}} = {{partition}}"
    out = str(tmp_path / "out")
    assert run(["forecast", *db, "--query", part, "--partitions", "2", "-o", out]) == 0
    merge_run(tmp_path / "out", output=tmp_path / "merged.csv")
    merged = csv.read_csv(tmp_path / "merged.csv").sort_by([("unique_id", "ascending")])
    assert_same(merged, csv.read_csv(tmp_path / "whole.csv"))
    few = ["--partitions", "9", "-o", str(tmp_path / "few")]  # of six series
    assert run(["forecast", *db, "--query", part, *few]) == 0
    assert len(json.loads((tmp_path / "few" / MANIFEST).read_text())["no_rows"]) == 3


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--jobs", "2"], "usage/engine-needs-folder"),
        (["--jobs", "2", "-o", "x.csv"], "usage/engine-needs-folder"),
        (["--shard", "4/9", "-o", "out"], "usage/empty-shard"),
        (["--partitions", "4", "-o", "out"], "usage/partitions-of-files"),
        (["--engine", "local", "--ray-address", "auto", "-o", "out"],
         "usage/ray-address-without-ray"),
        (["--engine", "local", "--rejects", "r.csv", "-o", "out"], "usage/engine-rejects"),
        (["--engine", "local", "--by", "unique_id", "-o", "out"], "usage/hierarchy-here"),
        (["--shard", "0/3", "-o", "out"], "config/bad-value"),
    ],
)  # fmt: skip
def test_options_that_contradict_are_refused(words, code, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        run(["forecast", str(folder), *words])
    assert caught.value.code == code
    assert caught.value.remedy


def test_a_query_must_say_its_parts_and_hold_no_password():
    data = DataSettings(query="select 1")
    with pytest.raises(UsageError) as caught:
        partitions_of("sqlite:///a.db", data, EngineSettings(partitions=2), Silent())
    assert caught.value.code == "usage/engine-needs-parts"
    with pytest.raises(UsageError) as caught:
        partitions_of("postgresql://me:secret@host/b", data, EngineSettings(partitions=2), Silent())
    assert caught.value.code == "usage/engine-password"
    assert "secret" not in str(caught.value)


def test_the_first_look_holds_no_more_series_however_many_there_are(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def looked(panel: Panel, *others: object) -> ZeroShot:
        seen.append(panel.size)
        return zero_shot(panel, *others)

    monkeypatch.setattr("forecast.workflows.partitions.job.zero_shot", looked)
    for most in (9, 6, 4):
        monkeypatch.setattr("forecast.workflows.partitions.job.PILOT_SERIES", most)
        parts(folder, tmp_path / f"out{most}")
    assert seen == [9, 6, 3]  # of three parts with three series each


def test_shards_share_all_parts_and_the_pilot_is_spread_evenly():
    shards = [list(share(10, f"{n}/3")) for n in (1, 2, 3)]
    assert sorted(shards[0] + shards[1] + shards[2]) == list(range(10))
    assert share(4, None) == range(4)
    assert spread(5, 8) == [0, 1, 2, 3, 4]
    assert spread(100, 3) == [0, 50, 99]


def test_hashes_are_of_the_id_alone_and_differ():
    names = np.array([f"series {n}" for n in range(20_000)] + ["a", "aa", "a\0", "é"], object)
    found = hashes(names)
    assert len(set(found.tolist())) == len(names)
    shuffled = np.random.default_rng(0).permutation(len(names))
    assert (hashes(names[shuffled]) == found[shuffled]).all()
    assert len(hashes(names[:0])) == 0


def test_an_environment_that_names_jobs_for_training_does_not_change_a_forecast(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("LSTMCAST_JOBS", "2")
    assert len(whole(folder, tmp_path / "whole.csv")) == 9 * HORIZON


def test_ray_forecasts_the_same_bytes_as_this_machine(folder, tmp_path):
    pytest.importorskip("ray")
    parts(folder, tmp_path / "local")
    made = parts(folder, tmp_path / "ray", name="ray")
    assert (made.engine, made.complete, made.series) == ("ray", True, 9)
    for n in range(3):
        name = f"part-{n:05d}.parquet"
        same = (tmp_path / "ray" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
        assert same, name


def test_baselines_on_ray_are_those_of_this_machine():
    pytest.importorskip("ray")
    panel = make_panel([40, 50], seed=1)
    asked = (panel, panel.lengths, 3, ("theta", "ets"), np.array([0.1, 0.5, 0.9]), 1, 120.0, 1)
    here = forecast_baselines(*asked)
    there = forecast_baselines_windows(
        panel, panel.lengths[None], *asked[2:], ray=True, ray_address=None
    )
    assert set(here) == set(there)
    for name, forecast in here.items():
        assert forecast.available.all()
        np.testing.assert_array_equal(there[name][0].quantiles, forecast.quantiles)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A model folder for the daily series of `rows`."""
    network = replace(load_backbone(step_layout(7)), context=21, horizon=HORIZON)
    save_model(tmp_path / "model", network, Frequency("D"), MEANS)
    return tmp_path / "model"


def test_a_trained_model_refuses_parts_of_one_series_as_the_pretrained_one_does(tmp_path, trained):
    place = tmp_path / "in"
    place.mkdir()
    table = rows(0, 1, 24 * 30).drop_columns(["unique_id"])
    for month in range(24):
        csv.write_csv(table.slice(month * 30, 30), place / f"2020-{month:02d}.csv")
    with pytest.raises(UsageError, match="one series that goes on"):
        engine_run(str(place), settings(), Silent(), output=str(tmp_path / "a"), model=str(trained))
    assert not (tmp_path / "a").exists()
    asked = settings().model_copy(update={"data": DataSettings(id_col="file")})
    made = engine_run(str(place), asked, Silent(), output=str(tmp_path / "b"), model=str(trained))
    assert made.series == 24


@pytest.mark.parametrize(("files", "data"), [
    (["north/2024.csv", "south/2024.csv"], DataSettings()),
    (["north/2024.csv", "south/2024.csv"], DataSettings(id_col="file")),
    (["shop=a/1.csv", "shop=b.c/1.csv"], DataSettings()),
    (["shop=a/x.csv", "shop=b/y.csv"], DataSettings()),
    (["1.01.csv", "1.02.csv"], DataSettings()),
])  # fmt: skip
def test_files_without_ids_are_called_in_parts_as_in_one_table(tmp_path, files, data):
    for n, file in enumerate(files):
        place = tmp_path / "in" / file
        place.parent.mkdir(parents=True, exist_ok=True)
        csv.write_csv(rows(n, 1, 60).drop_columns(["unique_id"]), place)
    source = f"{tmp_path}/in/**/*.csv"
    asked = settings().model_copy(update={"data": data})
    engine_run(source, asked, Silent(), output=str(tmp_path / "out"), pretrained_network=True)
    made = parquet.read_table(tmp_path / "out" / "part-00000.parquet")["unique_id"][0].as_py()
    assert made == load_panel(source, data)[0].ids[0]


def test_the_function_for_spark_forecasts_a_group_as_predict_does(folder, tmp_path, trained):
    words = ["--model", str(trained), "-q", "-o", str(tmp_path / "whole.csv")]
    assert run(["predict", str(folder / "region0.csv"), *words]) == 0
    group = rows(0, 3).to_pandas().assign(part=17)
    made = forecasts_of(str(trained))(group)
    columns = [word.split()[0].strip("`") for word in schema(str(trained)).split(", ")]
    assert list(made.columns) == columns
    assert set(made.pop("source")) == {"LSTM"}
    assert_same(pa.Table.from_pandas(made, preserve_index=False), csv_table(tmp_path / "whole.csv"))


def csv_table(path: Path) -> pa.Table:
    """A forecast with its times as text."""
    text = {"ds": pa.string()}
    return csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=text))


def test_the_function_for_spark_puts_a_group_of_single_values_on_the_model_s_grid(trained):
    made = forecasts_of(str(trained), horizon=2)(rows(0, 2, points=1).to_pandas())
    assert made["ds"].tolist() == ["2024-01-02", "2024-01-03"] * 2
    assert set(made["source"]) == {"SeasonalNaive"}


def test_spark_itself_runs_the_function(trained, monkeypatch):
    pyspark = pytest.importorskip("pyspark.sql")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    spark = (
        pyspark.SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    try:
        frame = rows(0, 4).to_pandas()
        frame["part"] = frame["unique_id"].str[-1].astype(int) % 2
        grouped = spark.createDataFrame(frame).groupBy("part")
        made = grouped.applyInPandas(forecasts_of(str(trained)), schema(str(trained))).toPandas()
    finally:
        spark.stop()
    want = forecasts_of(str(trained))(frame)
    made = made.sort_values(["unique_id", "ds"], ignore_index=True)
    assert made["unique_id"].tolist() == want["unique_id"].tolist()
    np.testing.assert_allclose(made["LSTM"], want["LSTM"], rtol=1e-6)
