"""`lstmcast mcp`: what an agent is offered, gets and is refused; with the SDK's own client."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import anyio
import pyarrow as pa
import pytest
from mcp import StdioServerParameters
from mcp.client.client import Client
from mcp.client.stdio import stdio_client

from forecast.cli.commands import backtest, check, detect, explain, predict, train
from forecast.cli.doors.confined import Folders, leads_out
from forecast.cli.doors.mcp import (
    SHOWN,
    TOOLS,
    Tools,
    build_server,
    command_words,
    refuse_without_token,
    shortened,
)
from forecast.cli.doors.process import Outcome, Spare
from forecast.common.errors import ForecastError, UsageError
from forecast.config.options import PATHS, all_options, options_of
from forecast.inference.formats.registry import file_bytes
from forecast.reporting import finished_run
from tests import ROOT

BY_NAME = {spec.name: spec for spec in TOOLS}


def write_sales(folder: Path, months: int = 72) -> Path:
    rows = [f"{2000 + n // 12}-{n % 12 + 1:02d},{100 + n + 30 * (n % 12)}" for n in range(months)]
    path = folder / "sales.csv"
    path.write_text("month,sales\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def folder(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    write_sales(inside)
    (tmp_path / "secret.csv").write_text("ds,y\n2000-01,1\n")
    return inside


def words(name: str, folder: Path, **given) -> list[str]:
    return command_words(BY_NAME[name], given, Folders([folder]))


def test_arguments_become_the_words_of_the_command(folder):
    made = words(
        "forecast", folder, data="sales.csv", horizon=3, level=[80, 95.5], wide=False,
        options={"allow_negative": True},
    )  # fmt: skip
    assert made == [
        "forecast", str(folder / "sales.csv"), "--output=",
        "--horizon=3", "--level=80,95.5", "--no-wide",
        "--set=forecast.allow_negative=true",
    ]  # fmt: skip
    assert words("explain", folder, data="sales.csv", model=".", series="--x", step=2) == [
        "explain", str(folder), str(folder / "sales.csv"), "--series=--x", "--step=2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "path",
    ["../secret.csv", "/etc/passwd", "~/x.csv", "link.csv", "linked", "sub/../../secret.csv", "-",
     "*.csv", "sqlite:///x.db", "https://example.org/x.csv", "env:HOME", "s\0.csv"],
)  # fmt: skip
def test_no_path_leads_out_of_the_folders(folder, path):
    (folder / "link.csv").symlink_to(folder.parent / "secret.csv")
    (folder / "linked").mkdir()
    (folder / "linked" / "x.csv").symlink_to(folder.parent / "secret.csv")
    for name, given in (
        ("check", {"data": path}),
        ("forecast", {"data": "sales.csv", "output": path}),
        ("train", {"data": "sales.csv", "options": {"out": path}}),
        ("train", {"data": "sales.csv", "future_covariates": path}),
        ("predict", {"data": "sales.csv", "model": path}),
        ("status", {"config": path}),
    ):
        with pytest.raises(UsageError, match="inside") as caught:
            words(name, folder, **given)
        assert caught.value.code == "usage/path-refused"


@pytest.mark.parametrize(
    "pattern", ["../*.csv", "sub/*/../../../*.csv", "/etc/*", "~/*", "*.csv", "**/*.csv", "link*/*"]
)
def test_no_pattern_of_files_leads_out_of_the_folders(folder, pattern):
    (folder / "sub" / "more").mkdir(parents=True)
    (folder / "sub" / "x.csv").symlink_to(folder.parent / "secret.csv")
    (folder / "out.csv").symlink_to(folder.parent / "secret.csv")
    (folder / "linked").symlink_to(folder.parent)
    (folder / "batch.yaml").write_text(f"jobs:\n  sales: {{data: '{pattern}'}}\n")
    for given in ({"data": pattern}, {"data": "sales.csv", "future_covariates": pattern}):
        with pytest.raises(UsageError, match="inside") as caught:
            words("train", folder, **given)
        assert caught.value.code == "usage/path-refused"
    with pytest.raises(UsageError, match="inside"):
        words("status", folder, config="batch.yaml")


def test_a_pattern_of_files_inside_is_read_as_in_a_terminal(folder):
    (folder / "linked").symlink_to(folder.parent)  # none of the pattern's files
    (folder / "batch.yaml").write_text("jobs:\n  sales: {data: 'sal*.csv'}\n")
    assert words("check", folder, data="sal*.csv")[1] == str(folder / "sal*.csv")
    assert words("check", folder, data="none/*.csv")[1] == str(folder / "none" / "*.csv")
    assert words("status", folder, config="batch.yaml")[0] == "status"
    with pytest.raises(UsageError, match="inside"):
        words("forecast", folder, data="sales.csv", output="sal*.csv")


def test_a_file_whose_name_has_signs_of_patterns_is_a_file(folder):
    (folder / "a[1].csv").write_text("ds,y\n")
    assert words("check", folder, data="a[1].csv")[1] == str(folder / "a[1].csv")


def test_every_setting_that_names_a_place_is_confined_or_not_offered():
    """A new setting whose help speaks of a file, folder or address must have such a metavar."""
    for option in all_options():
        speaks = any(
            f" {word}" in f" {option.help.lower()}"
            for word in ("csv file", "folder", "path:", "database", "table of", "cluster to use")
        )
        known = option.is_path or leads_out(option) or option.path in (
            "data.max_expansion", "engine.name", "engine.partitions", "training.init",
        )  # fmt: skip
        assert known or not speaks, option.path
    offered = {o.parameter for spec in TOOLS for o in spec.settings()}
    assert not offered & {"db", "query", "db_password", "ray_address", "distributed"}
    assert {"out", "root", "init", "rejects"} <= offered
    assert "FILE" in PATHS


def test_a_job_that_reads_or_writes_elsewhere_is_refused(folder):
    config = folder / "batch.yaml"
    for job in ("{data: ../secret.csv}", "{data: sales.csv, folder: ../out}", "{data: 'env:DB'}"):
        config.write_text(f"jobs:\n  sales: {job}\n")
        with pytest.raises(UsageError):
            words("score", folder, config="batch.yaml")
    config.write_text("jobs:\n  sales: {data: sales.csv}\n")
    assert words("status", folder, config="batch.yaml", job="sales", max_age="2d") == [
        "status", str(config), "--job=sales", "--max-age=2d",
    ]  # fmt: skip


def test_no_path_of_a_job_leads_out_whatever_its_setting_is_called(folder):
    config, secret = folder / "batch.yaml", folder.parent / "secret.csv"
    (folder / "weather-2024-01-31.csv").symlink_to(secret)
    (folder.parent / "secret.yaml").write_text("data: {password: kept}\n")
    data = [o.field for o in options_of("data") if o.is_path]
    assert {"events", "static", "future_covariates", "rejects"} <= set(data)
    told = [f"settings: {{data: {{{field}: {secret}}}}}" for field in data]
    told += [f"settings: {{data.{field}: ../secret.csv}}" for field in data]
    told += [
        f"settings: {{data.db_password: 'file:{secret}'}}",
        "settings: {data.future_covariates: 'weather-{date}.csv'}",
        f"metrics_file: {folder.parent}/sales.prom", "metrics_file: ../sales.prom",
        f"preset: {folder.parent}/secret.yaml", "preset: ../secret.yaml",
        "outputs: {database: 'file:../secret.csv'}", "ping: {url_file: ../secret.csv}",
        "ping: {url: 'file:../secret.csv'}",
    ]  # fmt: skip
    for line in told:
        config.write_text(f"jobs:\n  sales:\n    data: sales.csv\n    {line}\n")
        for name in ("score", "status"):
            with pytest.raises(UsageError, match="inside") as caught:
                words(name, folder, config="batch.yaml")
            assert caught.value.code == "usage/path-refused", line
            assert "kept" not in str(caught.value)


def test_a_model_that_was_trained_with_a_table_outside_reads_nothing_there(folder, monkeypatch):
    for where, refused in (("runs/a", True), ("copied", False)):
        (folder / where).mkdir(parents=True)
        (folder / where / "manifest.json").write_text("{}")
        manifest = {"settings": {"data": {"events": str(folder.parent / "secret.csv")}}}
        monkeypatch.setattr(finished_run, "describe", lambda path, found=manifest: found)
        for name in ("predict", "detect", "explain"):
            if refused:
                with pytest.raises(UsageError, match="the model's events"):
                    words(name, folder, data="sales.csv", model=where)
            else:  # of a folder that is not below the root of runs no place is taken
                assert words(name, folder, data="sales.csv", model=where)[0] == name


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "'data' is a required property"),
        ({"data": "sales.csv", "horizont": 3}, "horizont"),
        ({"data": "sales.csv", "horizon": "three"}, "three"),
        ({"data": "sales.csv", "horizon": 0}, "0"),
        ({"data": "sales.csv", "options": {"nothing": 1}}, "no such option"),
        ({"data": "sales.csv", "options": {"db": "sqlite:///x"}}, "no such option"),
        ({"data": "sales.csv", "horizon": 3, "options": {"horizon": 4}}, "options as well"),
        ({"data": "sales.csv", "timeout": 0}, "0"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_what_would(folder, given, said):
    with pytest.raises(ForecastError, match=said):
        words("forecast", folder, **given)


def test_none_is_said_as_on_the_command_line_and_alone(folder):
    for given in (["none"], []):
        assert "--baselines=none" in words("train", folder, data="sales.csv", baselines=given)
    with pytest.raises(UsageError, match="none and something else"):
        words("train", folder, data="sales.csv", baselines=["none", "arima"])
    with pytest.raises(UsageError, match="nothing"):
        words("train", folder, data="sales.csv", baselines=["nothing"])


def test_every_tool_takes_settings_that_its_command_takes():
    taken = {
        "check": check.check, "train": train.train, "predict": predict.predict,
        "backtest": backtest.backtest, "detect": detect.detect, "explain": explain.explain,
    }  # fmt: skip
    for name, command in taken.items():
        parameters = set(command.__signature__.parameters)
        offered = {o.parameter if o.has_flag else "set" for o in BY_NAME[name].settings()}
        assert offered <= parameters, name
        assert set(BY_NAME[name].flags) <= parameters | {"data", "model"}, name


def test_long_lists_are_cut_and_said():
    document = {"forecast": list(range(9)), "files": list(range(9)), "rows": 9}
    made = shortened(document, 4)
    assert made["forecast"] == [0, 1, 2, 3]
    assert made["files"] == document["files"]
    assert made["shortened"] == {"forecast": {"shown": 4, "of": 9}}
    assert shortened(document, 9) == document


def server(folder: Path) -> StdioServerParameters:
    return StdioServerParameters(
        command=sys.executable,
        args=["-P", "-m", "forecast", "mcp", str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_an_agent_checks_forecasts_and_is_told_what_to_do_about_errors(folder):
    (folder / "two.csv").write_text(
        "ds,a,b\n" + "".join(f"2000-{m:02d},{m},{m}\n" for m in range(1, 13))
    )

    async def story() -> None:
        async with Client(stdio_client(server(folder))) as client:
            assert str(folder) in client.instructions
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == set(BY_NAME)
            assert tools["forecast"].input_schema["properties"]["horizon"]["type"] == "integer"
            found = await client.call_tool("check", {"data": "sales.csv"})
            document = found.structured_content
            assert (found.is_error, document["command"]) == (False, "check")
            assert document["report"]["frequency"] == "MS"
            assert json.loads(found.content[0].text) == document

            heard = []

            async def hear(done, total, message):
                heard.append(message)

            made = await client.call_tool(
                "forecast",
                {"data": "sales.csv", "horizon": 3, "max_rows": 2},
                progress_callback=hear,
            )
            document = made.structured_content
            assert [row["ds"] for row in document["forecast"]] == ["2006-01", "2006-02"]
            assert document["shortened"] == {"forecast": {"shown": 2, "of": 3}}
            assert "Forecasting" in heard

            wrong = await client.call_tool("check", {"data": "two.csv"})
            error = wrong.structured_content["error"]
            assert wrong.is_error
            assert "--target-col" in error["remedy"]
            mended = await client.call_tool("check", {"data": "two.csv", "target_col": "a"})
            assert not mended.is_error
            out = await client.call_tool("check", {"data": "../secret.csv"})
            assert out.structured_content["error"]["code"] == "usage/path-refused"
            none = await client.call_tool("chek", {})
            assert none.structured_content["error"]["code"] == "usage/unknown-tool"

    anyio.run(story)


def running(folder: Path) -> list[str]:
    """Command lines of processes whose working folder is `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "cwd") == str(folder):
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return [each for each in found if "doors.process" in each]


def test_training_is_told_the_deadline_that_was_asked_for_and_no_other(folder, monkeypatch):
    seen = []

    async def run(self, words, seconds, grace, tell):
        seen.append((words[-1], seconds))
        return Outcome(0, {"forecast": []})

    monkeypatch.setattr(Tools, "_run", run)

    async def story() -> None:
        tools = Tools(Folders([folder]), Spare(ready=False))
        for given in ({"timeout": 90}, {"timeout": 90, "deadline": "20s"}, {}):
            await tools.call("train", {"data": "sales.csv", **given}, None)
        await tools.call("check", {"data": "sales.csv", "timeout": 90}, None)

    anyio.run(story)
    assert [seconds for _, seconds in seen] == [150, 90, 1800, 90]
    assert [word for word, _ in seen[:2]] == ["--deadline=90s", "--deadline=20s"]
    assert seen[2][0] == str(folder / "sales.csv")  # nothing that a terminal would not say


LONG = {"data": "sales.csv", "max_steps": 100_000, "members": 1,
        "options": {"patience": 100_000, "device": "cpu"}}  # fmt: skip


def test_a_call_that_is_cancelled_ends_its_process(folder):
    tools = build_server(Folders([folder]), spare := Spare(ready=False))

    async def story() -> None:
        async with Client(tools) as client:
            training = anyio.Event()

            async def hear(done, total, message):
                if message.startswith("Training the LSTM"):
                    training.set()

            async with anyio.create_task_group() as group:
                group.start_soon(lambda: client.call_tool("train", LONG, progress_callback=hear))
                await training.wait()
                assert running(folder)
                group.cancel_scope.cancel()
            until = time.monotonic() + 60
            while running(folder) and time.monotonic() < until:
                await anyio.sleep(0.1)
            assert not running(folder)

    anyio.run(story)
    spare.close()
    assert not list(folder.glob("runs/.writing*"))


def test_at_its_deadline_a_command_is_interrupted_and_says_so(folder):
    async def story() -> None:
        async with Client(build_server(Folders([folder]), Spare(ready=False))) as client:
            made = await client.call_tool("check", {"data": "sales.csv", "timeout": 0.01})
            assert made.is_error
            assert made.structured_content["error"]["code"] in (
                "run/interrupted",
                "process/stopped",
            )

    anyio.run(story)


def test_over_http_nobody_is_let_in_without_the_token(folder, lstmcast, monkeypatch):
    with pytest.raises(UsageError, match="token"):
        refuse_without_token(None)
    code, _, err = lstmcast("mcp", str(folder), "--http")
    assert (code, "LSTMCAST_MCP_TOKEN" in err) == (2, True)
    code, _, err = lstmcast("mcp", str(folder / "none"))
    assert (code, "no such folder" in err) == (2, True)
    monkeypatch.setitem(sys.modules, "mcp", None)
    code, _, err = lstmcast("mcp", str(folder / "none"))
    assert (code, "pip install 'lstmcast[mcp]'" in err) == (2, True)


def test_over_http_a_client_with_the_token_is_served_and_others_are_not(folder):
    from starlette.testclient import TestClient

    from forecast.cli.doors import web

    app = build_server(Folders([folder]), Spare(ready=False)).streamable_http_app(
        json_response=True, stateless_http=True
    )
    guarded = web.Guard(app, hosts=web.LOOPBACK, key="t" * 24)
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    headers = {"accept": "application/json, text/event-stream", "host": "127.0.0.1:1"}
    with TestClient(guarded) as client:
        assert client.post("/mcp", json=message, headers=headers).status_code == 401
        headers["authorization"] = "Bearer " + "t" * 24
        answer = client.post("/mcp", json=message, headers=headers)
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["result"]["tools"]) == len(TOOLS)
        evil = {**headers, "host": "evil.example"}
        assert client.post("/mcp", json=message, headers=evil).status_code == 421
        foreign = {**headers, "origin": "https://evil.example"}
        assert client.post("/mcp", json=message, headers=foreign).status_code == 403


def test_the_answer_of_a_tool_is_bounded_unless_more_is_asked_for():
    for spec in TOOLS:
        assert spec.schema()["properties"]["max_rows"]["default"] == SHOWN


# The five jobs of people who forecast for a living, as an agent does them that has read nothing
# but the tools' list: job -> the calls, and the words of the list that lead to each argument.
JOBS: dict[str, list[tuple[str, dict[str, object], tuple[str, ...]]]] = {
    "a quarter of the shops of a workbook, and its total with intervals": [
        ("check", {"data": "shops.xlsx"}, ("Use it first", "Excel")),
        ("forecast", {"data": "shops.xlsx", "horizon": 3, "by": "region", "level": [80]},
         ("Steps ahead", "sums over these columns", "per cent")),
        ("forecast", {"data": "shops.xlsx", "horizon": 3, "output": "quarter.xlsx"}, (".xlsx",)),
    ],
    "half-hourly load with temperature and holidays": [
        ("check", {"data": "load.csv", "tz": "Europe/Berlin"}, ("zone of times that name none",)),
        ("train", {"data": "load.csv", "tz": "Europe/Berlin", "horizon": 48,
                   "future_covariates": "weather.csv", "holidays": ["DE"]},
         ("weather forecast", "covariates of the steps to come", "Public holidays")),
        ("predict", {"data": "load.csv", "model": "runs/load",
                     "future_covariates": "weather.csv"}, ("the table has new rows",)),
    ],
    "slow movers with promotions": [
        ("train", {"data": "sku.csv", "missing": "zero", "likelihood": "negative-binomial",
                   "future_cov": ["promo"], "point": "mean"},
         ("slow-moving goods", "no row means none sold", "promotion", "means add up")),
        ("backtest", {"data": "sku.csv", "missing": "zero", "windows": 4, "cost": [9, 1],
                      "baselines": ["croston", "tsb"]},
         ("piece too few", "where demand is intermittent", "rolling origins")),
    ],
    "who forecasts best, what stands out, and why": [
        ("backtest", {"data": "load.csv", "baselines": ["arima", "ets", "theta"], "windows": 3},
         ("more than chance",)),
        ("detect", {"data": "load.csv", "threshold": 4}, ("did not expect",)),
        ("explain", {"data": "load.csv", "model": "runs/load", "step": 1}, ("what moved",)),
    ],
    "a job in operation": [
        ("status", {"config": "batch.yaml", "max_age": "26h"}, ("how old it is",)),
        ("score", {"config": "batch.yaml", "job": "sales"}, ("what has come true since",)),
    ],
}  # fmt: skip


@pytest.fixture
def of_five_jobs(folder):
    months = [f"{2018 + n // 12}-{n % 12 + 1:02d}" for n in range(48)]
    shops = (("A", "north"), ("B", "north"), ("C", "south"), ("D", "south"))
    rows = [(s, r, m, 100 + n) for s, r in shops for n, m in enumerate(months)]
    table = pa.table(dict(zip(("shop", "region", "month", "sales"), zip(*rows, strict=True),
                              strict=True)))  # fmt: skip
    (folder / "shops.xlsx").write_bytes(file_bytes(table, ".xlsx"))
    for name in ("load.csv", "weather.csv", "sku.csv"):
        write_sales(folder).rename(folder / name)
    write_sales(folder)
    (folder / "batch.yaml").write_text("jobs:\n  sales: {data: sales.csv}\n")
    (folder / "runs" / "load").mkdir(parents=True)
    return folder


@pytest.mark.parametrize("job", JOBS)
def test_the_list_of_tools_leads_to_the_calls_of_each_job(job, of_five_jobs, monkeypatch):
    """Each argument is one that the list has, described in words; the calls become commands."""
    import jsonschema

    commands = []

    async def run(self, words, seconds, grace, tell):
        commands.append(words)
        return Outcome(0, {})

    monkeypatch.setattr(Tools, "_run", run)

    async def story() -> None:
        async with Client(build_server(Folders([of_five_jobs]), Spare(ready=False))) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            for name, given, needed in JOBS[job]:
                tool = tools[name]
                jsonschema.validate(given, tool.input_schema)
                about = {k: v["description"] for k, v in tool.input_schema["properties"].items()
                         if k in given}  # fmt: skip
                told = " ".join([client.instructions, tool.description, *about.values()])
                assert set(about) == set(given)
                assert [part for part in needed if part not in " ".join(told.split())] == []
                assert not (await client.call_tool(name, given)).is_error

    anyio.run(story)
    assert [words[0] for words in commands] == [name for name, _, _ in JOBS[job]]


def test_a_job_is_done_by_its_calls(of_five_jobs):
    """The first job for real: its workbook is read, and the sums of its regions are forecast."""

    async def story() -> None:
        async with Client(build_server(Folders([of_five_jobs]), Spare(ready=False))) as client:
            _, given, _ = JOBS[next(iter(JOBS))][1]
            made = (await client.call_tool("forecast", given)).structured_content
            assert [(r["unique_id"], r["ds"]) for r in made["forecast"]] == [
                (r, f"2022-0{m}") for r in ("north", "south") for m in (1, 2, 3)
            ]

    anyio.run(story)
