"""`lstmcast serve`: what readers get over HTTP, and who gets nothing."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import socket
import threading
from pathlib import Path

import jsonschema
import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from starlette.testclient import TestClient

from forecast.cli.app import run
from forecast.cli.doors import web
from forecast.cli.doors.openapi import LIMITS, openapi_document
from forecast.cli.doors.process import Outcome, Spare
from forecast.cli.doors.serve import Bodies, Service, build_app, endpoints, refuse_large
from forecast.cli.error_handler import guarded
from forecast.common.errors import InputError, OutputError, UsageError
from forecast.inference.tables import csv_bytes
from forecast.scheduling.config_file import load_config
from forecast.scheduling.monitoring import together
from forecast.scheduling.publication import point_at, write_published
from forecast.scheduling.published_forecasts import PublishedForecasts
from forecast.scheduling.recovery import write_rollbacks
from tests.builders import run_manifest

KEY = "a-key-that-nobody-guesses"


def table(value: float, series: int = 3, horizon: int = 4) -> pa.Table:
    """A published table in which every number is `value`."""
    ids = [f"s{n}" for n in range(series) for _ in range(horizon)]
    stamps = [f"2024-0{h + 1}" for _ in range(series) for h in range(horizon)]
    column = [value] * len(ids)
    names = ("LSTM", "LSTM-lo-80", "LSTM-hi-80", "LSTM-lo-95", "LSTM-hi-95")
    words = {"source": ["LSTM"] * len(ids), "reason": [""] * len(ids)}
    return pa.table({"unique_id": ids, "ds": stamps, **dict.fromkeys(names, column), **words})


def publish(folder: Path, number: int, *, kind: str = "csv", point: bool = True, **more) -> str:
    """Publishes a table of `number`s as a run does; returns its name."""
    made = table(float(number), **more)
    files = {"predictions.csv": csv_bytes(made)}
    if kind == "parquet":
        sink = io.BytesIO()
        parquet.write_table(made, sink)
        files = {"predictions.parquet": sink.getvalue()}
    month = f"{2023 + (number - 1) // 12}-{(number - 1) % 12 + 1:02d}"
    run_name = f"{month}-{number:010d}"
    manifest = run_manifest(
        job="sales", sequence=number, leads=True, as_of=month, as_of_position=number,
        as_of_moment=f"{month}-01T00:00:00+00:00", horizon=4, point="mean",
        created=f"2024-01-{number:02d}T00:00:00+00:00",
    )  # fmt: skip
    write_published(folder, run_name, files, manifest)
    if point:
        point_at(folder, run_name)
    return run_name


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "batch.yaml"
    path.write_text("jobs:\n  sales: {data: sales.csv}\n  stock: {data: stock.csv}\n")
    return load_config(path, {})


@pytest.fixture
def client(config):
    for number in (1, 2, 3):
        publish(config.jobs["sales"].folder, number)
    return TestClient(build_app(Service(config), hosts=("testserver",), key=None))


def test_the_current_forecast_as_json_has_every_row_and_says_which_run_it_is(client):
    answer = client.get("/jobs/sales/forecast")
    document = answer.json()
    assert answer.status_code == 200
    assert (document["job"], document["as_of"], document["series"]) == ("sales", "2023-03", 3)
    assert len(document["forecast"]) == 12 and document["point"] == "mean"
    assert document["forecast"][0] == {
        "unique_id": "s0", "ds": "2024-01", "LSTM": 3.0, "LSTM-lo-80": 3.0, "LSTM-hi-80": 3.0,
        "LSTM-lo-95": 3.0, "LSTM-hi-95": 3.0, "source": "LSTM", "reason": "",
    }  # fmt: skip
    assert answer.headers["x-lstmcast-run"] == document["run"]


@pytest.mark.parametrize("published", ["csv", "parquet"])
def test_csv_and_parquet_hold_what_the_run_published(config, published):
    publish(config.jobs["sales"].folder, 5, kind=published)
    client = TestClient(build_app(Service(config), hosts=None, key=None))
    text = client.get("/jobs/sales/forecast?format=csv")
    assert text.headers["content-type"] == "text/csv; charset=utf-8"
    assert text.content == csv_bytes(table(5.0))
    binary = client.get(
        "/jobs/sales/forecast", headers={"accept": "application/vnd.apache.parquet"}
    )
    assert parquet.read_table(io.BytesIO(binary.content)).equals(table(5.0))


def test_series_and_levels_are_chosen_and_unknown_ones_refused_with_what_there_is(client):
    rows = client.get("/jobs/sales/forecast?series=s2&series=s0&level=80").json()["forecast"]
    assert [row["unique_id"] for row in rows] == ["s2"] * 4 + ["s0"] * 4
    assert "LSTM-lo-95" not in rows[0]
    assert {"LSTM-lo-80", "LSTM", "source"} < set(rows[0])
    gone = client.get("/jobs/sales/forecast?series=s22")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "published/unknown-series")
    assert "s2" in gone.json()["error"]["remedy"]
    level = client.get("/jobs/sales/forecast?level=90").json()["error"]
    assert "80, 95" in level["remedy"]
    for query in ("level=much", "level=nan", "level=80,1e400", "format=xml", "serie=s1"):
        answer = client.get(f"/jobs/sales/forecast?{query}")
        assert (answer.status_code, answer.json()["error"]["exit_code"]) == (400, 2)


def test_an_as_of_is_given_as_written_or_as_an_instant_and_a_withdrawn_one_is_not_served(
    client, config
):
    for text in ("2023-02", "2023-02-01", "2023-02-01T01:00:00%2B01:00"):
        document = client.get(f"/jobs/sales/forecast?as_of={text}").json()
        assert document["as_of"] == "2023-02"
    unknown = client.get("/jobs/sales/forecast?as_of=2022-01")
    assert unknown.status_code == 404
    assert "2023-03, 2023-02, 2023-01" in unknown.json()["error"]["remedy"]
    entry = {
        "at": "2024-02-01T00:00:00+00:00", "to": "2023-02-0000000002",
        "withdrawn": ["2023-03-0000000003"], "refused": [],
    }  # fmt: skip
    write_rollbacks(config.jobs["sales"].folder, [entry])
    assert client.get("/jobs/sales/forecast?as_of=2023-03").status_code == 404
    runs = client.get("/jobs/sales/runs").json()["runs"]
    assert [(each["as_of"], each["withdrawn"]) for each in runs] == [
        ("2023-03", True), ("2023-02", False), ("2023-01", False),
    ]  # fmt: skip


def test_an_etag_says_nothing_new_until_the_next_publication(client, config):
    first = client.get("/jobs/sales/forecast?series=s0")
    tag = {"if-none-match": first.headers["etag"]}
    again = client.get("/jobs/sales/forecast?series=s0", headers=tag)
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/jobs/sales/forecast?format=csv", headers=tag).status_code == 200
    publish(config.jobs["sales"].folder, 4)
    new = client.get("/jobs/sales/forecast?series=s0", headers=tag)
    assert (new.status_code, new.json()["forecast"][0]["LSTM"]) == (200, 4.0)
    point_at(config.jobs["sales"].folder, "2023-03-0000000003")  # as a rollback does
    assert client.get("/jobs/sales/forecast?series=s0", headers=tag).status_code == 304


def test_series_are_listed_some_at_a_time(client):
    found = client.get("/jobs/sales/series?limit=2&offset=1").json()
    assert (found["total"], found["series"]) == (3, ["s1", "s2"])
    assert client.get("/jobs/sales/series?search=S2").json()["series"] == ["s2"]
    assert client.get("/jobs/sales/series?limit=-1").status_code == 400


def test_a_job_that_never_published_and_one_that_is_not_there(client):
    assert client.get("/jobs/stock/forecast").json()["error"]["code"] == "published/nothing"
    assert client.get("/jobs/stock/forecast").status_code == 404
    missing = client.get("/jobs/sale")
    assert (missing.status_code, "sales" in missing.json()["error"]["remedy"]) == (404, True)
    assert client.get("/nothing").json()["error"]["code"] == "http/not-found"
    assert client.post("/jobs").status_code == 405


def test_readiness_names_the_job_that_is_not_ready(client, config):
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["jobs"] == {"sales": "ready", "stock": "published/nothing"}
    publish(config.jobs["stock"].folder, 1)
    assert client.get("/readyz").status_code == 200
    old = TestClient(build_app(Service(config, max_age=60), hosts=None, key=None))
    assert old.get("/readyz").json()["jobs"]["sales"] == "too old"
    assert client.get("/healthz").json()["status"] == "ok"


def test_a_file_that_is_not_the_published_one_is_never_served(client, config):
    path = config.jobs["sales"].folder / "runs/2023-03-0000000003/predictions.csv"
    path.write_text(path.read_text().replace("3.0", "7.0").replace("3,", "7,"))
    answer = client.get("/jobs/sales/forecast")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "run/damaged")
    assert client.get("/jobs/sales/forecast?as_of=2023-02").status_code == 200


def values_in(answer) -> list[float]:
    if answer.headers["content-type"] == "application/json":
        return [row["LSTM"] for row in answer.json().get("forecast", [])]
    return csv.read_csv(io.BytesIO(answer.content)).column("LSTM").to_pylist()


def read_until(done: threading.Event, app, seen: set[float], torn: list) -> None:
    """Reads all the time; what is not 160 times one number goes to `torn`."""
    client = TestClient(app)
    while not done.is_set():
        kind = ("json", "csv")[len(seen) % 2]
        answer = client.get(f"/jobs/sales/forecast?format={kind}")
        values = values_in(answer)
        seen.update(values)
        if len(values) != 160 or len(set(values)) != 1:
            torn.append(answer.text[:300])


def test_nothing_is_torn_while_runs_publish_and_old_ones_are_deleted(config):
    folder, done = config.jobs["sales"].folder, threading.Event()
    publish(folder, 1, series=40)
    app = build_app(Service(config), hosts=None, key=None)
    torn, seen = [], set()
    threads = [threading.Thread(target=read_until, args=(done, app, seen, torn)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(2, 32):
        name = publish(folder, number, series=40)
        for old in (folder / "runs").iterdir():
            if old.name != name:
                shutil.rmtree(old)
    done.set()
    for thread in threads:
        thread.join()
    assert torn == []
    assert len(seen) > 1


def test_without_the_key_only_health_and_the_description_are_told(config):
    publish(config.jobs["sales"].folder, 1)
    client = TestClient(build_app(Service(config), hosts=None, key=KEY))
    for path, method, _ in endpoints(Service(config)):
        answer = client.request(method, path.format(job="sales"))
        open_to_all = path in ("/", "/docs", "/openapi.json", "/healthz", "/readyz")
        assert (answer.status_code != 401) == open_to_all, path
    assert client.get("/jobs").headers["www-authenticate"] == "Bearer"
    for headers in ({"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}):
        assert client.get("/jobs/sales/forecast", headers=headers).status_code == 200
    for headers in ({"authorization": f"Basic {KEY}"}, {"x-api-key": KEY[:-1]}, {"x-api-key": ""}):
        assert client.get("/jobs/sales/forecast", headers=headers).status_code == 401


def test_another_host_name_is_refused_so_that_no_page_elsewhere_can_rename_itself_here(config):
    app = build_app(Service(config), hosts=web.LOOPBACK, key=None)
    for host, status in (("127.0.0.1:80", 200), ("[::1]:80", 200), ("evil.example", 421)):
        assert TestClient(app).get("/healthz", headers={"host": host}).status_code == status


def test_a_server_that_others_reach_needs_a_key_that_cannot_be_guessed():
    web.refuse_open_door("127.0.0.1", None, "K")
    web.refuse_open_door("0.0.0.0", KEY, "K")
    with pytest.raises(UsageError, match="it has no key"):
        web.refuse_open_door("0.0.0.0", None, "K")
    with pytest.raises(UsageError, match="at least 16"):
        web.secret_from("K", {"K": "short"})
    assert web.secret_from("K", {"K": KEY}) == KEY
    assert web.secret_from("K", {}) is None


def test_answers_carry_what_keeps_browsers_out_and_no_path_of_the_machine(client, config):
    answer = client.get("/jobs/sales")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "access-control-allow-origin" not in answer.headers
    assert str(config.path.parent) not in answer.text


def test_no_error_names_a_folder_of_the_machine_or_an_option_of_the_terminal(client, config):
    run = config.jobs["sales"].folder / "runs/2023-03-0000000003"
    (run / "predictions.csv").write_text("else")
    for path in ("/jobs/none", "/jobs/none/forecast", "/jobs/stock/runs", "/jobs/sales/forecast"):
        answer = client.get(path)
        assert str(config.path.parent) not in answer.text, path
        assert "--" not in answer.text, path
    assert answer.status_code == 503 and answer.json()["error"]["where"] == "predictions.csv"


def test_what_the_openapi_document_allows_is_not_refused_for_its_size(client):
    """Limits that a client's generated code is to know."""
    document = openapi_document()
    series = document["paths"]["/jobs/{job}/series"]["get"]["parameters"]
    assert {p["name"]: p["schema"].get("minimum") for p in series[2:]} == {"limit": 0, "offset": 0}
    assert client.get("/jobs/sales/series?limit=0&offset=0").status_code == 200
    forecast = document["paths"]["/jobs/{job}/forecast"]["get"]["parameters"]
    level = next(p["schema"]["items"] for p in forecast if p["name"] == "level")
    assert (level["exclusiveMinimum"], level["exclusiveMaximum"]) == (0, 100)


def test_metrics_of_several_jobs_are_one_exposition(client, config):
    publish(config.jobs["stock"].folder, 1)
    client.get("/jobs")
    lines = client.get("/metrics").text.splitlines()
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    rows = [line for line in lines if line.startswith("lstmcast_series{")]
    assert [('job="sales"' in rows[0]), ('job="stock"' in rows[1])] == [True, True]
    assert 'lstmcast_http_responses_total{endpoint="list_jobs",status="200"} 1' in lines
    assert together(["# TYPE a gauge\na 1\n", "# TYPE a gauge\na 2\nb 3\n"]) == (
        "# TYPE a gauge\na 1\na 2\nb 3\n"
    )


def test_every_answer_is_as_the_openapi_document_says(client, config):
    document = openapi_document()
    served = {
        (path, method.lower()) for path, method, _ in endpoints(Service(config, spare=Spare()))
    }
    described = {(path, method) for path, each in document["paths"].items() for method in each}
    assert served - described == {("/", "get"), ("/docs", "get"), ("/openapi.json", "get")}
    assert described <= served
    publish(config.jobs["stock"].folder, 1)
    for path, methods in document["paths"].items():
        if "get" not in methods or path == "/metrics":
            continue
        answer = client.get(path.format(job="sales"))
        assert answer.status_code == 200, path
        schema = methods["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json(), {**schema, "components": document["components"]})
    page = client.get("/docs")
    assert "/jobs/{job}/forecast" in page.text
    assert "http://" not in page.text.replace("http://HOST:PORT", "")
    assert "<script" not in page.text


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A server that forecasts on demand."""
    path = tmp_path_factory.mktemp("asked") / "batch.yaml"
    path.write_text("jobs:\n  sales: {data: sales.csv}\n")
    with TestClient(
        build_app(Service(load_config(path, {}), spare=Spare({})), hosts=None, key=None)
    ) as client:
        yield client


ROWS = [
    {"unique_id": name, "ds": f"{2000 + n // 12}-{n % 12 + 1:02d}", "y": 100 + n + 30 * (n % 12)}
    for name in ("007", "b,c")
    for n in range(48)
]


def test_a_small_series_is_forecast_at_once_from_json_and_from_csv_alike(asked):
    made = asked.post("/forecast", json={"data": ROWS, "horizon": 3, "level": [80]})
    assert made.status_code == 200, made.text
    rows = made.json()["forecast"]
    assert [row["unique_id"] for row in rows] == ["007"] * 3 + ["b,c"] * 3
    assert [row["ds"] for row in rows[:3]] == ["2004-01", "2004-02", "2004-03"]
    assert set(rows[0]) >= {"LSTM", "LSTM-lo-80", "LSTM-hi-80"}
    assert "LSTM-lo-95" not in rows[0]
    assert "/" not in str({k: v for k, v in made.json().items() if k != "forecast"})
    text = "unique_id,ds,y\n" + "".join(f'"{r["unique_id"]}",{r["ds"]},{r["y"]}\n' for r in ROWS)
    same = asked.post(
        "/forecast?horizon=3&level=80", content=text, headers={"content-type": "text/csv"}
    )
    assert same.json()["forecast"] == rows


def test_bad_data_and_bad_options_are_refused_as_the_terminal_refuses_them(asked):
    twice = [*ROWS[:24], {**ROWS[5], "y": -1}]
    answer = asked.post("/forecast", json={"data": twice})
    assert (answer.status_code, answer.json()["error"]["exit_code"]) == (422, 4)
    assert "--duplicates" in answer.json()["error"]["remedy"]
    assert answer.json()["error"]["where"].startswith("data.csv")  # no place of this machine
    wrong = asked.post("/forecast", json={"data": ROWS, "horizon": 0})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "config/bad-value")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"data": ROWS, "rejects": "/tmp/x"}, "usage/unknown-option"),
        ({"data": ROWS, "db": "sqlite:///x"}, "usage/unknown-option"),
        ({"data": [{"ds": 1}]}, "http/bad-row"),
        ({"data": {"ds": [1], "y": [1, 2]}}, "http/bad-columns"),
        ({"rows": ROWS}, "http/no-data"),
        ([1], "http/no-data"),
        ({"data": ROWS, "allow_negative": "yes"}, "config/bad-value"),
        ({"data": ROWS, "horizon": {"a": 1}}, "config/bad-value"),
    ],
)
def test_what_a_program_may_not_say_is_refused_before_anything_runs(asked, monkeypatch, body, code):
    monkeypatch.setattr(Service, "forecast", lambda *words: pytest.fail("a command was run"))
    answer = asked.post("/forecast", json=body)
    assert (answer.json()["error"]["code"], answer.status_code // 100) == (code, 4)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"data": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"data": [{"ds": 1, "y": ' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"}]}",
        b'{"data": [], "horizon": ' + b"[" * 950 + b"]" * 950 + b"}",
        b'{"data": [{"\\ud800": 1}]}',
        b'{"data": [], "\\ud800": 1}',
        b'{"data": [{"ds": "2024", "y": ' + b"9" * 5000 + b"}]}",
        b"\xff\xfe",
    ],
)
def test_a_body_that_no_program_should_send_is_a_bad_request_and_no_bug(asked, monkeypatch, body):
    monkeypatch.setattr(Service, "forecast", lambda *words: pytest.fail("a command was run"))
    answer = asked.post("/forecast", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["exit_code"] in (2, 4)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_rows_are_counted_however_their_lines_end(end):
    refuse_large(b"ds,y" + end + (b"1,1" + end) * (LIMITS.rows - 1))
    with pytest.raises(InputError, match="50,001 rows"):
        refuse_large(b"ds,y" + end + (b"1,1" + end) * LIMITS.rows)


def test_a_body_that_is_no_plain_text_is_refused_as_it_may_hold_any_number_of_rows(asked):
    sink = io.BytesIO()
    parquet.write_table(table(1.0), sink)
    text = csv_bytes(table(1.0))
    for body in (gzip.compress(text), bz2.compress(text), lzma.compress(text), sink.getvalue()):
        answer = asked.post("/forecast", content=body, headers={"content-type": "text/csv"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (415, "http/other-content")


def test_too_much_too_many_and_too_slow(asked, monkeypatch, config):
    large = b"ds,y\n" + b"2024-01,1\n" * (LIMITS.bytes // 10 + 1)
    headers = {"content-type": "text/csv"}
    assert asked.post("/forecast", content=large, headers=headers).status_code == 413
    many = b"1\n" * (LIMITS.rows + 1)
    assert asked.post("/forecast", content=many, headers=headers).status_code == 422
    assert asked.post("/forecast", content=b"x").status_code == 415
    busy = Service(config, spare=Spare({}))
    for _ in range(LIMITS.at_once + LIMITS.waiting):
        busy._waiting.acquire()
    client = TestClient(build_app(busy, hosts=None, key=None))
    answer = client.post("/forecast", content=b"ds,y\n", headers=headers)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    killed = Outcome(-9, {"error": {"code": "process/stopped", "exit_code": 70}})
    monkeypatch.setattr(Service, "forecast", lambda *words: killed)
    assert asked.post("/forecast", content=b"ds,y\n", headers=headers).status_code == 504


def test_answers_that_were_made_are_kept_within_bounds():
    kept, made = Bodies(limit=1000), []
    for number in (*range(10), 0, 9):
        kept.get(("job", "run 1", number), lambda n=number: made.append(n) or b"x" * 200)
    assert made == [*range(10), 0]
    assert kept.get(("job", "run 1", "large"), lambda: b"y" * 900) == b"y" * 900
    assert kept._size == 1000
    kept.get(("job", "run 2", 1), lambda: b"z")
    assert (kept._size, list(kept._kept)) == (1, [("job", "run 2", 1)])


def test_rows_that_do_not_stand_together_are_brought_together(config):
    folder = config.jobs["sales"].folder
    text = b"unique_id,ds,LSTM\nb,1,1\na,1,2\nb,2,3\na,2,4\n"
    manifest = run_manifest(sequence=1, as_of="0", as_of_position=0)
    write_published(folder, "r", {"predictions.csv": text}, manifest)
    point_at(folder, "r")
    found = PublishedForecasts(config.jobs["sales"]).current()
    assert found.select(["a"]).column("LSTM").to_pylist() == [2, 4]
    assert found.ids == ["b", "a"]


def test_the_columns_of_overrides_are_texts_and_the_model_stands_beside(config):
    folder = config.jobs["sales"].folder
    text = (
        b"unique_id,ds,LSTM,model,override_by,override_reason,override_at\n"
        b"1,2024-01,5,4.5,7,2024-01-01,2024-01-01T00:00:00\n1,2024-02,6,,,,\n"
    )
    write_published(folder, "r", {"predictions.csv": text}, run_manifest(as_of="0"))
    point_at(folder, "r")
    client = TestClient(build_app(Service(config), hosts=None, key=None))
    first, second = client.get("/jobs/sales/forecast").json()["forecast"]
    assert first == {
        "unique_id": "1", "ds": "2024-01", "LSTM": 5.0, "model": 4.5, "override_by": "7",
        "override_reason": "2024-01-01", "override_at": "2024-01-01T00:00:00",
    }  # fmt: skip
    assert (second["model"], second["override_by"]) == (None, "")


def test_a_job_without_a_table_that_can_be_served_is_told_so(config):
    folder = config.jobs["sales"].folder
    manifest = run_manifest(sequence=1, as_of="0", as_of_position=0)
    write_published(folder, "r", {"forecast.parquet": b""}, manifest)
    point_at(folder, "r")
    with pytest.raises(OutputError, match="neither a CSV nor a Parquet"):
        PublishedForecasts(config.jobs["sales"]).current()


def test_the_command_refuses_a_wrong_config_an_open_door_and_a_missing_extra(
    lstmcast, tmp_path, monkeypatch
):
    path = tmp_path / "batch.yaml"
    path.write_text("jobs:\n  sales: {data: sales.csv}\n")
    assert lstmcast("serve", str(tmp_path / "no.yaml"))[0] == 2
    code, _, err = lstmcast("serve", str(path), "--host", "0.0.0.0")
    assert (code, "LSTMCAST_API_KEY" in err) == (2, True)
    code, _, err = lstmcast("serve", str(path), "--port", "99999999")
    assert (code, "http/cannot-listen" in err) == (2, True)
    import sys

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    code, _, err = lstmcast("serve", str(tmp_path / "no.yaml"))
    assert (code, "pip install 'lstmcast[serve]'" in err) == (2, True)


def test_what_a_scheduled_run_published_is_what_is_served(tmp_path):
    rows = [f"{2000 + n // 12}-{n % 12 + 1:02d},{100 + n % 12}" for n in range(48)]
    (tmp_path / "sales.csv").write_text("month,sales\n" + "\n".join(rows) + "\n")
    path = tmp_path / "batch.yaml"
    path.write_text("jobs:\n  sales: {data: sales.csv, model: pretrained}\n")
    assert guarded(lambda: run(["run", str(path), "--quiet"])) == 0
    client = TestClient(build_app(Service(load_config(path, {})), hosts=None, key=None))
    published = (tmp_path / "sales/current/predictions.csv").read_bytes()
    assert client.get("/jobs/sales/forecast?format=csv").content == published
    job = client.get("/jobs/sales").json()
    assert (job["state"], job["published"]["as_of"]) == ("in order", "2003-12")
    assert client.get("/jobs/sales/scores").json()["by_age"] == {}


def test_a_command_line_that_asks_too_much_of_a_small_body_is_input_error():
    from forecast.cli.doors.serve import refuse_large

    with pytest.raises(InputError):
        refuse_large(b"\n" * (LIMITS.rows + 1))


def test_no_answer_on_a_connection_that_is_kept_waits_for_an_acknowledgement():
    with (
        web.listening("127.0.0.1", 0) as opened,
        socket.create_connection(opened.getsockname()),
        opened.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
