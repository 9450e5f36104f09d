"""`lstmcast studio`: who is let in, what the page offers, jobs that outlive it, downloads."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import sys
import time
from pathlib import Path
from zipfile import ZipFile

import pyarrow as pa
import pytest
import yaml
from starlette.testclient import TestClient

from forecast.cli.app import run
from forecast.cli.doors.process import DOCUMENT, EVENTS, LOCK, Outcome, Spare
from forecast.cli.doors.studio.app import ROUTES, Studio, build_app
from forecast.cli.doors.studio.tables import (
    Tables,
    fields,
    given_by,
    safe_name,
    settings_here,
)
from forecast.cli.doors.studio.work import ABOUT, HOME, Work
from forecast.common.errors import ModelNotFoundError, UsageError
from forecast.config.options import all_options
from forecast.config.schema import DataSettings
from forecast.inference.formats.registry import file_bytes
from forecast.reporting.finished_run import FinishedRun
from forecast.reporting.run_views import levels_of, scenarios_of
from forecast.scheduling import clock
from forecast.scheduling.config_file import load_config
from forecast.scheduling.run import run_job
from forecast.scheduling.status import describe, job_facts
from forecast.workflows.preview import first_rows

PORT = 8901
OWN = f"http://127.0.0.1:{PORT}"


@pytest.fixture
def folder(tmp_path):
    rows = [f"{2000 + n // 12}-{n % 12 + 1:02d},{100 + n + 30 * (n % 12)}" for n in range(72)]
    (tmp_path / "sales.csv").write_text("month,sales\n" + "\n".join(rows) + "\n")
    return tmp_path


@pytest.fixture
def studio(folder):
    made = Studio(folder, PORT, Spare(attached=False, ready=False))
    yield made
    made.spare.close()


def entered(studio: Studio) -> TestClient:
    """A browser that has been let in."""
    client = TestClient(build_app(studio), base_url=OWN)
    answer = client.get(studio.entrance.address().removeprefix(OWN))
    assert answer.status_code == 200
    client.headers["origin"] = OWN
    return client


@pytest.fixture
def client(studio):
    return entered(studio)


def finished(client: TestClient, job: str) -> None:
    until = time.monotonic() + 120
    while client.get(f"/job/{job}/numbers").status_code == 404:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_token_is_good_once_and_only_for_the_browser_that_used_it(studio):
    address = studio.entrance.address().removeprefix(OWN)
    first, second = (TestClient(build_app(studio), base_url=OWN) for _ in range(2))
    answer = first.get(address, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert first.get("/").status_code == 200
    assert second.get(address).status_code == 403
    assert second.get("/?token=guess").status_code == 403
    another = first.post("/address", headers={"origin": OWN})
    fresh = another.text.partition("<code>")[2].partition("</code>")[0]
    assert second.get(fresh.removeprefix(OWN)).status_code == 200


def test_a_token_that_came_under_another_host_name_is_not_used_up(studio):
    address = studio.entrance.address().removeprefix(OWN)
    elsewhere = TestClient(build_app(studio), base_url=f"http://evil.example:{PORT}")
    answer = elsewhere.get(address, follow_redirects=False)
    assert (answer.status_code, "set-cookie" in answer.headers) == (421, False)
    own = TestClient(build_app(studio), base_url=OWN).get(address, follow_redirects=False)
    assert own.status_code == 303


def test_an_old_token_is_no_good(studio, monkeypatch):
    address = studio.entrance.address().removeprefix(OWN)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 601)
    assert TestClient(build_app(studio), base_url=OWN).get(address).status_code == 403


@pytest.mark.parametrize(("path", "method", "_"), ROUTES)
def test_nothing_is_answered_without_the_cookie(studio, path, method, _):
    client = TestClient(build_app(studio), base_url=OWN)
    where = path.format(name="studio.css", job="x" * 16, run="x")
    assert client.request(method, where, headers={"origin": OWN}).status_code == 403


@pytest.mark.parametrize(
    ("headers", "method", "status"),
    [
        ({"origin": "https://evil.example"}, "POST", 403),
        ({"origin": "null"}, "POST", 403),
        ({"origin": f"http://127.0.0.1:{PORT + 1}"}, "POST", 403),
        ({"origin": "https://evil.example"}, "GET", 403),
        ({"sec-fetch-site": "cross-site"}, "GET", 403),
        ({"host": f"evil.example:{PORT}"}, "GET", 421),
        ({"host": "127.0.0.1:1"}, "GET", 421),
    ],
)
def test_only_the_page_itself_may_ask(client, studio, headers, method, status):
    del client.headers["origin"]
    answer = client.request(method, "/train?file=sales.csv", headers=headers)
    assert answer.status_code == status
    assert studio.work.all() == []
    assert client.post("/train?file=sales.csv").status_code == 403  # no origin at all


def test_a_cookie_that_is_not_ascii_opens_nothing(studio):
    entered(studio)
    client = TestClient(build_app(studio), base_url=OWN)
    cookie = f"lstmcast-studio-{PORT}=".encode() + b"\xe9"
    answer = client.get("/", headers={"cookie": cookie})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "http/no-session")


@pytest.mark.parametrize(
    "where",
    ["/table?file=sales.csv&wide=maybe", "/understood?file=sales.csv&wide=maybe",
     "/table?" + "&".join(f"a{n}=1" for n in range(600)),
     "/table?file=" + "x" * 5000, "/run/" + "x" * 300, "/run/" + "x" * 300 + "/page",
     "/run/x%00", "/job/" + "x" * 300, "/job/x%00", "/scheduled?config=" + "x" * 5000,
     "/static/" + "x" * 300, "/scheduled?config=sales.csv", "/compare?run=" + "x" * 300,
     "/run/" + "x" * 300 + "/download?kind=csv"],
)  # fmt: skip
def test_a_request_that_no_page_makes_is_a_bad_one_and_no_bug(client, where):
    answer = client.get(where)
    assert answer.status_code in (400, 404), answer.text
    assert answer.json()["error"]["code"] != "bug/unexpected"


@pytest.mark.parametrize("where", ["/table", "/understood"])
def test_a_setting_that_is_mistyped_in_the_address_is_no_other_forecast(client, where):
    answer = client.get(f"{where}?file=sales.csv&horizn=6")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "http/unknown-parameter"
    assert answer.json()["error"]["remedy"] == "Did you mean horizon?"


def test_every_answer_has_a_strict_policy_and_only_reports_may_be_framed(client, folder):
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert client.get("/").headers["x-frame-options"] == "DENY"
    run = folder / "runs" / "a"
    run.mkdir(parents=True)
    (run / "report.html").write_text("<!doctype html><p>report")
    answer = client.get("/run/a/page")
    assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts")
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert client.get("/run/..%2f..%2fa/page").status_code == 404
    pages = Path(sys.modules["forecast.cli.doors.studio.app"].__file__).parent / "pages"
    for page in pages.glob("*"):
        text = page.read_text()
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", ""), page
        assert "https://" not in text and "innerHTML" not in text, page
        assert "| safe" not in text and " style=" not in text and " onclick" not in text, page


def test_the_first_page_lists_tables_and_a_file_that_is_sent(client, folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "more.csv").write_text("ds,y\n")
    (folder / ".hidden.csv").write_text("")
    page = client.get("/").text
    assert "sales.csv" in page and "sub/more.csv" in page and ".hidden.csv" not in page
    sent = client.put("/files?name=..%2Fa%20b%3Cx%3E.csv", content=b"ds,y\n2000-01,1\n").json()
    path = folder / sent["file"]
    assert path.name == "a b_x_.csv"
    assert path.read_bytes() == b"ds,y\n2000-01,1\n"
    assert path.is_relative_to(folder / HOME / "files")
    assert sent["file"] in Tables(folder).files()


def test_a_file_whose_name_no_address_can_hold_is_not_listed(client, folder):
    try:
        (folder / os.fsdecode(b"\xff.csv")).write_text("ds,y\n")
        (folder / "runs" / os.fsdecode(b"\xff")).mkdir(parents=True)
    except OSError:
        pytest.skip("names are UTF-8 in this file system")
    page = client.get("/")
    assert page.status_code == 200 and "sales.csv" in page.text and "udcff" not in page.text


def test_a_file_that_is_only_half_sent_leaves_nothing(folder, monkeypatch):
    import anyio

    monkeypatch.setattr("forecast.cli.doors.studio.tables.LARGEST", 10)

    async def parts(error):
        yield b"12345"
        if error:
            raise ConnectionError
        yield b"1234567890"

    for broken, error in ((True, ConnectionError), (False, UsageError)):
        with pytest.raises(error):
            anyio.run(Tables(folder).take, "x.csv", parts(broken))
    assert list((folder / HOME / "files").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a\x00b", "..", "C:\\x\\y.csv", "a/b.csv", ""]
)
def test_a_name_leads_nowhere(name):
    made = safe_name(name)
    assert made and "/" not in made and "\\" not in made and not made.startswith(".")


def test_no_file_outside_of_the_folder_can_be_asked_for(client, folder):
    (folder / "link.csv").symlink_to("/etc/passwd")
    for name in ("/etc/passwd", "..%2Fx.csv", "link.csv", "none.csv", ""):
        answer = client.get(f"/table?file={name}", headers={"accept": "text/html"})
        assert answer.status_code in (400, 404), name
        assert "could not be done" in answer.text


def test_every_setting_has_a_control_whose_words_the_command_takes(folder):
    names = ("month", "sales")
    made = {f.option.parameter: f for f in fields({"wide": True, "freq": "MS"}, names, ("x.csv",))}
    assert set(made) == {option.parameter for option in settings_here()}
    assert not {"db", "query", "db_password", "rejects", "init"} & set(made)
    assert (made["target_col"].kind, made["target_col"].choices[1]) == (
        "column",
        ("sales", "sales"),
    )
    assert (made["wide"].value, made["freq"].value) == ("yes", "MS")
    assert made["future_covariates"].kind == "file"
    query = {
        "horizon": ["6"],
        "wide": ["no"],
        "level": ["80", "95"],
        "duplicates": [""],
        "file": ["sales.csv"],
    }
    given = given_by(query)
    assert given == {"horizon": "6", "wide": False, "level": "80,95"}
    assert Tables(folder).words("train", "sales.csv", given)[2:] == [
        "--no-wide", "--horizon=6", "--level=80,95",
    ] or set(Tables(folder).words("train", "sales.csv", given)[2:]) == {
        "--no-wide", "--horizon=6", "--level=80,95",
    }  # fmt: skip


def test_the_job_of_a_page_names_its_files_wherever_it_is_put(folder):
    tables = Tables(folder)
    paths = [option.parameter for option in settings_here() if option.is_path]
    assert {"events", "static", "future_covariates"} <= set(paths)
    job = yaml.safe_load(tables.job_yaml("sales.csv", dict.fromkeys(paths, "sales.csv")))
    told = [value for part in job["jobs"]["sales"]["settings"].values() for value in part.values()]
    assert told == [str(folder / "sales.csv")] * len(paths)


def test_the_page_shows_the_command_line_of_each_correction(client):
    page = client.get("/table?file=sales.csv&horizon=6&target_col=sales&max_steps=9").text
    assert "lstmcast forecast sales.csv --horizon=6 --target-col=sales" in page
    assert "--max-steps=9" in page.partition("Train on my data")[2]
    assert '<td dir="auto">2000-01</td>' in page


def test_beside_each_control_stands_how_the_command_line_gives_it(client):
    page = client.get("/table?file=sales.csv").text
    shown = set(re.findall(r"<b>(--[^<]+)</b>", page))
    assert {"--horizon", "--set data.max_gap_share"} <= shown
    typed = {option.flag for option in all_options() if option.has_flag}
    assert {words for words in shown if not words.startswith("--set ")} <= typed


def test_what_was_understood_is_said_and_a_problem_as_the_terminal_says_it(client, folder):
    assert "passengers" not in client.get("/understood?file=sales.csv").text
    text = client.get("/understood?file=sales.csv").text
    assert "MS" in text and "data-understood" in text and "72" in text
    (folder / "two.csv").write_text(
        "ds,a,b\n" + "".join(f"2000-{m:02d},{m},{m}\n" for m in range(1, 13))
    )
    problem = client.get("/understood?file=two.csv").text
    assert "--target-col" in problem and 'role="alert"' in problem
    assert "data-understood" in client.get("/understood?file=two.csv&target_col=a").text


def test_hostile_names_are_escaped(client, folder):
    name = "<img src=x onerror=alert(1)>.csv"
    (folder / name).write_text('"<script>alert(1)</script>",ds\n1,2000-01\n2,2000-02\n3,2000-03\n')
    page = client.get("/").text
    assert "<img" not in page and "&lt;img" in page
    page = client.get("/table", params={"file": name}).text
    assert "<script>alert" not in page and "<img" not in page


def test_what_would_be_trained_goes_by_the_horizon_that_was_chosen(client):
    text = client.get("/understood?file=sales.csv&horizon=7").text
    assert "<dt>horizon</dt><dd>7 " in text and "as the settings say" in text


def test_how_many_windows_are_held_out_can_be_chosen(client):
    page = client.get("/table?file=sales.csv&windows=2").text
    assert "lstmcast train sales.csv --windows=2" in page and "lstmcast forecast sales.csv<" in page


def test_a_forecast_at_once_and_all_of_its_downloads(client, folder):
    started = client.post("/forecast?file=sales.csv&horizon=3&future_cov=sales")
    job = started.json()["job"]
    with client.stream("GET", f"/job/{job}/events") as stream:
        heard = "".join(stream.iter_text())
    assert "Forecasting" in heard and "event: end" in heard and '"state": "done"' in heard
    page = client.get(f"/job/{job}/numbers").text
    assert "2006-01" in page and page.count("<tr>") == 4
    assert "<!doctype html>" in client.get(f"/job/{job}/page").text.lower()
    csv = client.get(f"/job/{job}/download?kind=csv")
    assert csv.text.count("\n") == 4
    assert csv.headers["content-disposition"] == 'attachment; filename="forecast.csv"'
    book = ZipFile(io.BytesIO(client.get(f"/job/{job}/download?kind=xlsx").content))
    sheet = book.read("xl/worksheets/sheet1.xml")
    assert b"<v>" in sheet and b"<f>" not in sheet
    line = client.get(f"/job/{job}/download?kind=command").text
    assert shlex.split(line) == ["lstmcast", "forecast", "sales.csv", "--horizon=3"]
    path = folder / "job.yaml"
    path.write_text(client.get(f"/job/{job}/download?kind=yaml").text)
    scheduled = load_config(path, {}).jobs["sales"]
    assert scheduled.settings.forecast.horizon == 3
    assert scheduled.source == str(folder / "sales.csv")
    assert client.get(f"/job/{job}/download?kind=exe").status_code == 400
    assert client.get("/scheduled?config=job.yaml").text.count("never run") >= 1
    assert not list(folder.rglob(".writing*"))


def test_a_scheduled_job_shows_what_its_backtest_promised_before_anything_came_true(client, folder):
    (folder / "jobs").mkdir()
    path = folder / "jobs" / "batch.yaml"
    path.write_text("jobs:\n  sales: {data: ../sales.csv, model: pretrained}\n")
    job = load_config(path).jobs["sales"]
    run_job(job)
    promised = describe(job_facts(job), clock.now(), None)["scores"]["promise"]["mase"]
    page = client.get("/scheduled", params={"config": str(path)}).text
    assert f"<dt>promised by its backtest</dt><dd>{promised:.3f}" in page
    assert '<h1 dir="auto">jobs/batch.yaml</h1>' in page


def recorded(folder: Path, name: str, document: dict | None, **about) -> Path:
    """A job as a server that is gone has left it."""
    place = folder / HOME / "jobs" / name
    place.mkdir(parents=True)
    told = {"command": "train", "file": "sales.csv", "query": "file=sales.csv", "words": [],
            "created": time.time() - 100, "pid": 2**22 + 1, **about}  # fmt: skip
    (place / ABOUT).write_text(json.dumps(told))
    (place / LOCK).touch()
    if document is not None:
        (place / DOCUMENT).write_text(json.dumps(document))
    (place / EVENTS).write_text('{"event": "stage", "text": "Reading"}\n{"event": "sta')
    return place


def test_jobs_of_a_server_that_is_gone_are_shown_as_they_ended(client, folder, studio):
    recorded(folder, "a" * 12, {"exit_code": 0, "folder": "runs/x", "interrupted": False})
    recorded(folder, "b" * 12, {"exit_code": 130, "folder": "runs/x", "interrupted": True})
    recorded(
        folder,
        "c" * 12,
        {
            "error": {
                "code": "input/empty",
                "message": "the file is empty",
                "where": None,
                "value": None,
                "remedy": "Fill it",
            }
        },
    )
    recorded(folder, "d" * 12, None)
    states = {job.id[0]: job.state for job in studio.work.all()}
    assert states == {"a": "done", "b": "stopped early", "c": "failed", "d": "stopped"}
    assert "Fill it" in client.get("/job/" + "c" * 12).text
    assert client.get("/job/" + "d" * 12).status_code == 200
    events, _ = studio.work.get("a" * 12).events()
    assert [event["text"] for event in events] == ["Reading"]


def test_a_job_of_another_server_that_works_is_seen_and_can_be_stopped(folder, studio, monkeypatch):
    import fcntl

    place = recorded(folder, "e" * 12, None, pid=os.getpid())
    handle = os.open(place / LOCK, os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert studio.work.get("e" * 12).running
    stopped = []
    monkeypatch.setattr(os, "kill", lambda pid, number: stopped.append((pid, number)))
    studio.work.stop("e" * 12)
    assert stopped == [(os.getpid(), 2)]
    os.close(handle)
    assert not studio.work.get("e" * 12).running


def test_too_many_jobs_wait_and_old_ones_are_forgotten(folder, monkeypatch):
    work = Work(folder, Spare(ready=False))
    for n in range(70):
        recorded(folder, f"{n:012d}", {"exit_code": 0})
    started = []
    monkeypatch.setattr(Spare, "run", lambda *a: started.append(a) or pytest.skip.Exception)
    monkeypatch.setattr(Work, "get", Work.get)
    work._sweep()
    assert len(work.all()) == 60
    monkeypatch.setattr("forecast.cli.doors.studio.work.AT_ONCE", 0)
    with pytest.raises(UsageError, match="enough is being computed"):
        work.start(["train"], {})
    assert started == []
    with pytest.raises(ModelNotFoundError):
        work.get("../../etc")


def test_the_first_rows_are_read_of_any_kind_of_file(tmp_path):
    from pyarrow import feather, parquet

    table = pa.table({"a": ["x"] * 20, "b": list(range(20))})
    parquet.write_table(table, tmp_path / "t.parquet")
    feather.write_feather(table, tmp_path / "t.feather")
    (tmp_path / "t.csv").write_text("a;b\n" + "x;1\n" * 20)
    (tmp_path / "t.xlsx").write_bytes(file_bytes(table, ".xlsx"))
    for name in ("t.parquet", "t.feather", "t.csv", "t.xlsx"):
        made = first_rows(str(tmp_path / name), DataSettings())
        assert made.names == ("a", "b")
        assert len(made.rows) == 8 and made.rows[1][0] == "x"


@pytest.mark.parametrize(
    ("where", "there"),
    [
        ("/compare?run=a&run=b&runs=c", "run"),
        ("/scheduled?config=a.yaml&job=x", "config"),
    ],
)
def test_a_name_in_an_address_that_it_does_not_take_is_said(client, where, there):
    answer = client.get(where)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "http/unknown-parameter")
    assert error["value"] in where and error["remedy"] == f"There are: {there}"
    page = client.get(where, headers={"accept": "text/html"})
    assert page.status_code == 400 and f"There are: {there}" in page.text


def test_a_run_to_compare_that_is_not_there_is_named_with_those_that_are(client, folder):
    for name in ("a", "b"):
        words = ["train", str(folder / "sales.csv"), "--config", "fast", "--max-steps", "2"]
        assert run([*words, "--baselines", "none", "--out", f"{folder}/runs/{name}", "-q"]) == 0
    answer = client.get("/compare?run=a&run=c")
    assert (answer.status_code, answer.json()["error"]["value"]) == (404, "c")
    assert answer.json()["error"]["remedy"] == "There are: a, b"
    assert client.get("/compare?run=a&run=b&run=c").status_code == 400
    download = client.get("/run/a/download?kind=csv&form=xlsx").json()["error"]
    assert (download["value"], download["remedy"]) == ("form", "There are: kind")


def test_compare_takes_two_runs(client):
    answer = client.get("/compare?run=a", headers={"accept": "text/html"})
    assert (answer.status_code, "Mark two" in answer.text) == (400, True)


def test_runs_that_were_judged_on_different_windows_are_not_called_comparable(client, folder):
    for name, windows in (("a", "1"), ("b", "2"), ("c", "2")):
        code = run(["train", str(folder / "sales.csv"), "--config", "fast", "--max-steps", "2",
                    "--windows", windows, "--out", str(folder / "runs" / name), "-q"])  # fmt: skip
        assert code == 0
    warned = "judged on different held-out windows: their scores cannot be compared"
    assert warned in client.get("/compare?run=a&run=b").text
    page = client.get("/compare?run=b&run=c").text
    assert "cannot be compared" not in page and "coverage 80%" in page and "MASE" in page


def test_a_check_is_made_once_for_a_file_as_it_is(studio, folder, monkeypatch):
    made = []

    def run(spare, words, seconds, working):
        made.append(words)
        return Outcome(0, {})

    monkeypatch.setattr("forecast.cli.doors.studio.app.run_command", run)
    for _ in range(2):
        studio.check("sales.csv", {})
    os.utime(folder / "sales.csv", ns=(1, 1))
    studio.check("sales.csv", {})
    studio.check("sales.csv", {"freq": "MS"})
    assert len(made) == 3


def test_the_command_refuses_a_folder_that_is_none_and_a_missing_extra(
    lstmcast, tmp_path, monkeypatch
):
    code, _, err = lstmcast("studio", str(tmp_path / "none"))
    assert (code, "no such folder" in err) == (2, True)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    code, _, err = lstmcast("studio", str(tmp_path / "none"))
    assert (code, "lstmcast[studio]" in err) == (2, True)


def of_two_levels(folder: Path) -> FinishedRun:
    """A run whose forecast has a total and two shops, scored before and after they add up."""
    table = pa.table({
        "unique_id": ["total", "total", "A", "A", "B", "B"], "level": ["total"] * 2 + ["shop"] * 4,
        "ds": ["2024-01", "2024-02"] * 3, "LSTM": [30.0, 33.0, 10.0, 11.0, 20.0, 22.0],
    })  # fmt: skip
    scores = (
        ("total", "LSTM", 0.7), ("total", "LSTM before reconciliation", 0.9), ("shop", "LSTM", 0.8),
    )  # fmt: skip
    rows = [{"level": level, "model": model, "mase": mase} for level, model, mase in scores]
    return FinishedRun(folder, {}, {"levels": rows}, None, table, [])


def test_a_run_shows_the_levels_of_its_hierarchy(client, folder, monkeypatch):
    run = folder / "runs" / "a"
    run.mkdir(parents=True)
    (run / "report.html").write_text("<!doctype html><p>report")
    assert "Levels that add up" not in client.get("/run/a").text
    made = of_two_levels(run)
    total, shop = levels_of(made)
    assert (total.nodes, total.sums, total.score, total.before) == (1, (("total", 63.0),), 0.7, 0.9)
    assert (shop.sums, shop.before) == ((("B", 42.0), ("A", 21.0)), None)
    monkeypatch.setattr("forecast.cli.doors.studio.app.read_run", lambda folder: made)
    text = client.get("/run/a").text
    assert "Levels that add up" in text and "<td>63</td>" in text and "<td>0.9</td>" in text


def test_a_run_shows_the_scenarios_that_were_forecast_with_it(client, folder):
    run = folder / "runs" / "a"
    run.mkdir(parents=True)
    (run / "report.html").write_text("<!doctype html><p>report")
    rows = ["unique_id,ds,scenario,LSTM,change", "x,2024-01,base,10,", "y,2024-01,base,1,",
            "x,2024-01,<b>promo,14,4", "y,2024-01,<b>promo,2,1"]  # fmt: skip
    (run / "predictions-20240101-120000.csv").write_text("\n".join(rows) + "\n")
    (run / "predictions-20240102-120000.csv").write_text("unique_id,ds,LSTM\nx,2024-01,1\n")
    (found,) = scenarios_of(run)
    assert (found.names, found.totals, found.changes) == (("base", "<b>promo"), (11, 16), (0, 5))
    text = client.get("/run/a").text
    assert "predictions-20240101-120000.csv" in text and "<td>16</td>" in text
    assert "&lt;b&gt;promo" in text and "<b>promo" not in text
    assert (
        "a sum of 0.95 quantiles (--point 0.95) is more than the 0.95 quantile of the sum" in text
    )
