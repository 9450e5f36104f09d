"""The published forecasts of scheduled jobs over HTTP, read only; and small forecasts on demand."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from inspect import iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.cli.doors import web
from forecast.cli.doors.arguments import words_of
from forecast.cli.doors.openapi import FORECAST_SETTINGS, LIMITS, docs_page, openapi_document
from forecast.cli.doors.process import Outcome, Spare, run_command
from forecast.cli.error_handler import SCHEMA_VERSION
from forecast.cli.render import plain
from forecast.common.errors import ForecastError, InputError, UsageError
from forecast.common.scratch import ScratchFolder
from forecast.data.io.files import is_text
from forecast.inference.formats.registry import file_bytes
from forecast.inference.tables import records
from forecast.scheduling import clock
from forecast.scheduling.config import BatchConfig, Job
from forecast.scheduling.monitoring import exposition, together
from forecast.scheduling.published_forecasts import PublishedForecasts, PublishedTable
from forecast.scheduling.status import JobFacts, describe, job_facts, job_metrics

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

KEY_VARIABLE = "LSTMCAST_API_KEY"
OPEN = ("/", "/healthz", "/readyz", "/docs", "/openapi.json")  # told without a key: no data in them
KINDS = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
MOST_JSON_ROWS = 200_000
AT_ONCE_SERIES = 20  # so many are put into an answer without a thread of its own
SWITCH = 0.0005  # seconds that a thread keeps the interpreter: what is in memory waits no longer
THREADS = 8  # more would only wait for one another
BODIES = 32 << 20  # bytes of answers that are kept ready
FACTS_AGE = 5.0  # seconds that a job's state may be old
MOST_LISTED = 10_000
DEEPEST = 8  # lists and objects of a body within each other; its rows stand in two


@dataclass(frozen=True)
class Ask:
    """What a reader wants of a publication: which series, levels, as-of, and in which form."""

    series: tuple[str, ...]
    levels: tuple[float, ...]
    as_of: str | None
    kind: str

    @classmethod
    def of(cls, request: Request) -> Ask:
        """Reads the query. Raises UsageError."""
        given = web.first_values(request, ("series", "level", "as_of", "format"))
        kind = given.get("format", [_accepted(request.headers.get("accept", ""))])[-1]
        if kind not in KINDS:
            raise UsageError(
                "the forecast is not written in this form",
                code="http/unknown-format",
                value=kind,
                remedy=f"format is one of: {', '.join(KINDS)}",
            )
        words = [word for text in given.get("level", ()) for word in text.split(",")]
        levels = tuple(map(_level, words))
        return cls(tuple(given.get("series", ())), levels, given.get("as_of", [None])[-1], kind)


class Bodies:
    """Answers that were made before, up to `limit` bytes, by job, publication and question.

    Those of a job's earlier publication go when the first of a new one comes.
    """

    def __init__(self, limit: int = BODIES) -> None:
        self._limit, self._size = limit, 0
        self._kept: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()
        self._newest: dict[str, str] = {}
        self._lock = threading.Lock()

    def get(self, key: tuple[Any, ...], make: Callable[[], bytes]) -> bytes:
        """The answer of `key`; made where there is none."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        body = make()
        with self._lock:
            if self._newest.get(key[0]) != key[1]:
                self._newest[key[0]] = key[1]
                for old in [each for each in self._kept if each[0] == key[0]]:
                    self._size -= len(self._kept.pop(old))
            if len(body) <= self._limit // 4 and key not in self._kept:
                self._kept[key] = body
                self._size += len(body)
            while self._size > self._limit:
                self._size -= len(self._kept.popitem(last=False)[1])
        return body


class Service:
    """The jobs of one config, as they are read.

    max_age: seconds that a job's last success may be old before the service is not ready; spare:
    what forecasts on demand are computed by (None: there are none).
    """

    def __init__(
        self,
        config: BatchConfig,
        *,
        max_age: float | None = None,
        spare: Spare | None = None,
    ) -> None:
        self.config = config
        self.max_age = max_age
        self.spare = spare
        self.readers = {job.name: PublishedForecasts(job) for job in config.jobs.values()}
        self.bodies = Bodies()
        self.answers: Counter[tuple[str, int]] = Counter()
        self._facts: dict[str, tuple[float, JobFacts]] = {}
        self._working = threading.Semaphore(LIMITS.at_once)
        self._waiting = threading.Semaphore(LIMITS.at_once + LIMITS.waiting)

    def reader(self, name: str) -> PublishedForecasts:
        """The job called `name`. Raises UsageError."""
        if name not in self.readers:
            raise UsageError(
                "there is no such job",
                code="config/no-such-job",
                where="job",
                value=name,
                remedy=f"There are: {', '.join(self.readers)}",
            )
        return self.readers[name]

    def facts(self, job: Job) -> JobFacts:
        """What is known of a job, some seconds old at most."""
        known = self._facts.get(job.name)
        if known is None or time.monotonic() - known[0] > FACTS_AGE:
            known = self._facts[job.name] = (time.monotonic(), job_facts(job))
        return known[1]

    def document(self, job: Job) -> dict[str, Any]:
        """A job as `status --json` has it, without paths of this machine."""
        found = describe(self.facts(job), clock.now(), self.max_age)
        found.pop("folder")
        for part in ("last_attempt", "published"):
            for name in ("log", "folder"):
                (found[part] or {}).pop(name, None)
        return found

    def forecast(self, content: bytes, suffix: str, words: Sequence[str]) -> Outcome:
        """Runs `lstmcast forecast` on a small table. Raises InputError for too much of it, and
        ForecastError where too many wait."""
        refuse_large(content)
        assert self.spare is not None
        if not self._waiting.acquire(blocking=False):
            raise _busy()
        try:
            with self._working, ScratchFolder() as folder:
                path = Path(folder) / f"data{suffix}"
                path.write_bytes(content)
                return run_command(
                    self.spare, ["forecast", path.name, *words], LIMITS.seconds,
                    working=Path(folder),
                )  # fmt: skip
        finally:
            self._waiting.release()


def build_app(service: Service, *, hosts: Sequence[str] | None, key: str | None) -> Starlette:
    """The application. hosts and key: as `web.Guard` has them."""
    from anyio.to_thread import current_default_thread_limiter
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Route

    @asynccontextmanager
    async def lifespan(_: Starlette) -> Any:
        current_default_thread_limiter().total_tokens = THREADS
        sys.setswitchinterval(SWITCH)
        if service.spare is not None:
            service.spare.prepare()
        yield
        if service.spare is not None:
            service.spare.close()

    def observe(endpoint: str, status: int) -> None:
        service.answers[endpoint, status] += 1

    routes = [
        Route(path, endpoint, methods=[method]) for path, method, endpoint in endpoints(service)
    ]
    guard = Middleware(web.Guard, hosts=hosts, key=key, open_paths=OPEN, observe=observe)
    app = Starlette(routes=routes, middleware=[guard], lifespan=lifespan)
    app.add_exception_handler(Exception, _answer_error)
    app.add_exception_handler(ForecastError, _answer_error)
    app.add_exception_handler(404, _no_such_page)
    app.add_exception_handler(405, _no_such_page)
    return app


def endpoints(service: Service) -> Iterable[tuple[str, str, Any]]:
    """(path, method, function) of everything that is answered."""
    yield "/", "GET", front
    yield "/docs", "GET", front
    yield "/openapi.json", "GET", _of(service, lambda s, r: _json(openapi_document()))
    yield "/healthz", "GET", _of(service, lambda s, r: _json({"status": "ok"}))
    yield "/readyz", "GET", _of(service, readiness)
    yield "/metrics", "GET", _of(service, metrics)
    yield "/jobs", "GET", _of(service, list_jobs)
    yield "/jobs/{job}", "GET", _of(service, show_job)
    yield "/jobs/{job}/runs", "GET", _of(service, list_runs)
    yield "/jobs/{job}/series", "GET", _of(service, list_series)
    yield "/jobs/{job}/scores", "GET", _of(service, show_scores)
    yield "/jobs/{job}/forecast", "GET", _of(service, show_forecast)
    if service.spare is not None:
        yield "/forecast", "POST", posted(service)


def _of(service: Service, function: Callable[[Service, Request], Any]) -> Any:
    """An endpoint; a plain function is done in a thread, a coroutine at once."""
    if iscoroutinefunction(function):

        async def answered(request: Request) -> Response:
            return await function(service, request)

        answered.__name__ = function.__name__
        return answered

    def endpoint(request: Request) -> Response:
        return function(service, request)

    endpoint.__name__ = getattr(function, "__name__", "endpoint")
    return endpoint


def front(_: Request) -> Response:
    """The page that describes it all."""
    from starlette.responses import HTMLResponse

    text, policy = docs_page()
    return HTMLResponse(text, headers={"content-security-policy": policy})


def readiness(service: Service, _: Request) -> Response:
    """Whether every job has published, and not too long ago."""
    found = {}
    for reader in service.readers.values():
        try:
            reader.current()
            too_old = service.document(reader.job)["too_old"]
            found[reader.job.name] = "too old" if too_old else "ready"
        except ForecastError as error:
            found[reader.job.name] = error.code
    ready = all(state == "ready" for state in found.values())
    return _json({"ready": ready, "jobs": found}, status=200 if ready else 503)


def metrics(service: Service, _: Request) -> Response:
    """All jobs for Prometheus, and how many answers were given."""
    from starlette.responses import Response

    jobs = [exposition(job_metrics(service.facts(job))) for job in service.config.jobs.values()]
    lines = [
        "# HELP lstmcast_http_responses_total Answers given, by what was asked and their status.",
        "# TYPE lstmcast_http_responses_total counter",
    ]
    for (endpoint, status), count in sorted(service.answers.items()):
        labels = f'endpoint="{endpoint}",status="{status}"'
        lines.append(f"lstmcast_http_responses_total{{{labels}}} {count}")
    own = "".join(f"{line}\n" for line in lines)
    return Response(together([*jobs, own]), media_type="text/plain; version=0.0.4")


def list_jobs(service: Service, _: Request) -> Response:
    """Every job with its state."""
    return _json({"jobs": [service.document(job) for job in service.config.jobs.values()]})


def show_job(service: Service, request: Request) -> Response:
    """One job with its state."""
    return _json(service.document(service.reader(request.path_params["job"]).job))


def show_scores(service: Service, request: Request) -> Response:
    """What came true of a job's forecasts, as scored so far."""
    job = service.reader(request.path_params["job"]).job
    return _json({"job": job.name, **service.facts(job).scores_document()})


def list_runs(service: Service, request: Request) -> Response:
    """The publications of a job that are kept."""
    reader = service.reader(request.path_params["job"])
    return _json({"job": reader.job.name, "runs": reader.runs()})


def list_series(service: Service, request: Request) -> Response:
    """The ids of the published series, some at a time."""
    given = web.first_values(request, ("search", "limit", "offset"))
    limit, offset = (_count(given, name, usual) for name, usual in (("limit", 1000), ("offset", 0)))
    reader = service.reader(request.path_params["job"])
    found = reader.current()
    wanted = given.get("search", [""])[-1].lower()
    ids = [each for each in found.ids if wanted in each.lower()]
    shown = ids[offset : offset + min(limit, MOST_LISTED)]
    about = {"job": reader.job.name, "run": found.published.run}
    return _json({**about, "total": len(ids), "offset": offset, "series": shown})


async def show_forecast(service: Service, request: Request) -> Response:
    """The published forecast: of all series or some, of now or of an as-of before.

    What is in memory is answered at once; only reading and large answers go to a thread.
    """
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import Response

    ask = Ask.of(request)
    reader = service.reader(request.path_params["job"])
    found = reader.at_hand() if ask.as_of is None else None
    if found is None:
        read = reader.current if ask.as_of is None else partial(reader.of, ask.as_of)
        found = await run_in_threadpool(read)
    tag = f'"{found.tag}-{ask.kind}"'
    headers = {
        "etag": tag,
        "cache-control": "no-cache",
        "vary": "accept, authorization, x-api-key",
        "x-lstmcast-run": found.published.run,
    }
    if web.matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    key = (reader.job.name, found.tag, ask.kind, ask.series, ask.levels)
    make = partial(service.bodies.get, key, partial(rendered, found, ask))
    small = 0 < len(ask.series) <= AT_ONCE_SERIES
    body = make() if small else await run_in_threadpool(make)
    return Response(body, media_type=KINDS[ask.kind], headers=headers)


def rendered(found: PublishedTable, ask: Ask) -> bytes:
    """A publication, or the part that is asked for, in the form that is asked for."""
    table = found.select(ask.series, ask.levels)
    if ask.kind != "json":
        return file_bytes(table, f".{ask.kind}")
    if table.num_rows > MOST_JSON_ROWS:
        raise UsageError(
            f"{table.num_rows:,} rows are too many for one JSON document",
            code="http/too-many-rows",
            remedy="Name some series, or ask for format=parquet or format=csv",
        )
    return _text({**found.about(), "forecast": records(table)})


def posted(service: Service) -> Any:
    """POST /forecast: zero-shot, of a small table in the body."""
    from anyio import CapacityLimiter, to_thread

    threads = CapacityLimiter(LIMITS.at_once + LIMITS.waiting + 1)  # those who wait block nobody

    async def forecast(request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in ("application/json", "text/csv"):
            return web.refusal(
                415, "http/other-content", "the body is neither JSON nor CSV",
                "Send content-type: application/json, or text/csv",
            )  # fmt: skip
        body = await web.body_within(request, LIMITS.bytes)
        if kind == "text/csv" and not is_text(body):  # a small one may hold any number of rows
            return web.refusal(
                415, "http/other-content", "the body is compressed, or no text",
                "Send the CSV as plain text",
            )  # fmt: skip
        if kind == "text/csv":
            content, given = body, _from_query(request)
        else:
            content, given = table_from_json(body)
            given |= {"id_col": "unique_id", "time_col": "ds", "target_col": "y"}
        words = words_of(given, FORECAST_SETTINGS)
        made = partial(service.forecast, content, ".csv", words)
        outcome = await to_thread.run_sync(made, limiter=threads)
        return _json(*_told(outcome))

    return forecast


def table_from_json(body: bytes) -> tuple[bytes, dict[str, Any]]:
    """The CSV of the rows in a JSON body, and the options beside them. Raises InputError."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(
            "the body is no JSON document", code="http/not-json", remedy="See /docs"
        ) from error
    if _deeper(document, DEEPEST):
        raise InputError("the body is nested too deeply", code="http/not-json", remedy="See /docs")
    if not isinstance(document, dict) or not isinstance(document.get("data"), list | dict):
        raise InputError(
            "the body must be an object with data in it",
            code="http/no-data",
            remedy='For example: {"data": [{"ds": "2024-01", "y": 3}, ...], "horizon": 12}',
        )
    data = document.pop("data")
    rows = data if isinstance(data, list) else _rows_of(data)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("unique_id", "ds", "y"))
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not {"ds", "y"} <= set(row) <= {"unique_id", "ds", "y"}:
            raise InputError(
                "a row has ds, y and, with several series, unique_id",
                code="http/bad-row",
                where=f"data, row {number}",
                value=row,
                remedy='For example: {"unique_id": "a", "ds": "2024-01", "y": 3}',
            )
        y = "" if row["y"] is None else row["y"]
        writer.writerow((row.get("unique_id", "series"), row["ds"], y))
    return text.getvalue().encode("utf-8", "surrogatepass"), document


def _deeper(value: Any, most: int) -> bool:
    """Whether more than `most` lists and objects stand within each other."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return most == 0 or any(_deeper(each, most - 1) for each in inner)


def _rows_of(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of columns that are lists of one length."""
    lengths = {len(each) if isinstance(each, list) else -1 for each in columns.values()}
    if len(lengths) != 1 or -1 in lengths:
        raise InputError(
            "the columns of data must be lists of one length",
            code="http/bad-columns",
            where="data",
            remedy='For example: {"ds": ["2024-01", "2024-02"], "y": [3, 4]}',
        )
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def refuse_large(content: bytes) -> None:
    """Raises InputError for a table with more rows than are forecast on demand."""
    rows = content.count(b"\n") + content.count(b"\r") - content.count(b"\r\n")
    if rows > LIMITS.rows:
        raise InputError(
            f"{rows:,} rows are more than are forecast on demand, {LIMITS.rows:,}",
            code="http/too-many-rows",
            remedy="Send fewer rows at once; large tables are for lstmcast forecast, or a job",
        )


def _from_query(request: Request) -> dict[str, Any]:
    """Options in the query, as text; a switch as true or false."""
    words = {"true": True, "false": False}
    return {name: words.get(value, value) for name, value in request.query_params.multi_items()}


def _told(outcome: Outcome) -> tuple[Mapping[str, Any], int]:
    """The document of a command and the status of its answer."""
    error = outcome.error
    if error is None:
        kept = {k: v for k, v in outcome.document.items() if k not in ("path", "model", "samples")}
        return kept, 200
    if error["code"] in ("process/stopped", "run/interrupted"):
        return _as_document(
            ForecastError(
                f"the forecast took longer than {LIMITS.seconds:g} seconds",
                code="http/too-slow",
                remedy="Send fewer or shorter series",
            )
        ), 504
    statuses = {2: 400, 4: 422}
    return outcome.document, statuses.get(int(error.get("exit_code", 70)), 500)


def _as_document(error: ForecastError) -> dict[str, Any]:
    from forecast.cli.error_handler import error_document

    return error_document(error)


def _busy() -> ForecastError:
    return ForecastError(
        "too many forecasts are asked for at once",
        code="http/busy",
        remedy="Ask again in some seconds",
    )


def _answer_error(_: Request, problem: Exception) -> Response:
    if isinstance(problem, ForecastError) and problem.where and os.path.isabs(problem.where):
        problem.where = Path(problem.where).name  # where it lies concerns this machine alone
    if isinstance(problem, ForecastError) and problem.code == "http/busy":
        answer = web.error_answer(problem, 503)
        answer.headers["retry-after"] = "5"
        return answer
    if isinstance(problem, ForecastError) and problem.code == "http/too-large":
        return web.error_answer(problem, 413)
    return web.error_answer(problem)


def _no_such_page(_: Request, problem: Exception) -> Response:
    status = getattr(problem, "status_code", 404)
    words = "there is nothing here" if status == 404 else "this cannot be done here"
    answer = web.refusal(status, "http/not-found", words, "/docs lists what is answered")
    for name, value in (getattr(problem, "headers", None) or {}).items():
        answer.headers[name] = value
    return answer


def _json(document: Mapping[str, Any], status: int = 200) -> Response:
    from starlette.responses import Response

    return Response(
        _text(plain(document)),
        status,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )


def _text(document: Mapping[str, Any]) -> bytes:
    """The bytes of a document of plain values."""
    made = {"schema_version": SCHEMA_VERSION, **document}
    return json.dumps(made, allow_nan=False, separators=(",", ":")).encode()


def _accepted(header: str) -> str:
    """The form that an Accept header asks for first; JSON where it says nothing of ours."""
    for part in header.split(","):
        wanted = part.partition(";")[0].strip().lower()
        for kind, media in KINDS.items():
            if wanted == media.partition(";")[0]:
                return kind
    return "json"


def _level(word: str) -> float:
    try:
        level = float(word)
    except ValueError:
        level = math.nan
    if not math.isfinite(level):
        raise UsageError(
            "a level is a number of per cent",
            code="http/bad-level",
            value=word,
            remedy="For example: level=80",
        )
    return level


def _count(given: Mapping[str, list[str]], name: str, usual: int) -> int:
    text = given.get(name, [str(usual)])[-1]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UsageError(
            f"{name} is a whole number from 0",
            code="http/bad-number",
            where=name,
            value=text,
            remedy=f"For example: {name}=100",
        )
    return int(text)
