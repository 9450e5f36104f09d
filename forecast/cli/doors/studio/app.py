"""The local page: its addresses, and what each shows."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from forecast.cli.doors import web
from forecast.cli.doors.process import Outcome, Spare, run_command
from forecast.cli.doors.studio.entrance import Door, Entrance
from forecast.cli.doors.studio.tables import Tables, can_be_asked_for, fields, given_by
from forecast.cli.doors.studio.work import HOME, Job, Work
from forecast.cli.error_handler import as_forecast_error
from forecast.common.documents import as_bytes
from forecast.common.errors import ForecastError, ModelNotFoundError, UsageError
from forecast.config.schema import DataSettings
from forecast.data.io.notes import listed
from forecast.inference.formats.registry import file_bytes
from forecast.inference.tables import read_written, records
from forecast.reporting.charts.fan import clean_label
from forecast.reporting.finished_run import read_run
from forecast.reporting.run_views import levels_of, scenarios_of
from forecast.reporting.tracking import in_order, runs_below
from forecast.scheduling import clock
from forecast.scheduling.config_file import load_config
from forecast.scheduling.status import ago, describe, job_facts, sentence
from forecast.workflows.preview import Preview, first_rows

if TYPE_CHECKING:
    import pyarrow as pa
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

PAGES = Path(__file__).parent / "pages"
STATIC = {"studio.css": "text/css", "studio.js": "text/javascript"}
# A page of charts runs its own script, in an origin of its own from which it reaches nothing.
FRAMED = "sandbox allow-scripts allow-downloads; frame-ancestors 'self'"
CHECK_SECONDS = 600.0
POLL = 0.25  # seconds between two looks at a job's events
SHOWN = 60  # rows of a forecast that stand in the page
RUNS = "runs"
MOST_FIELDS = 500  # of an address
KINDS = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "yaml": "text/yaml; charset=utf-8",
    "command": "text/plain; charset=utf-8",
}


class Studio:
    """One folder's page: its files, its jobs, and who may come in."""

    def __init__(self, root: Path, port: int, spare: Spare) -> None:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        self.root = root.resolve()
        self.tables = Tables(self.root)
        self.work = Work(self.root, spare)
        self.entrance = Entrance(port)
        self.spare = spare
        self._checks: dict[tuple[Any, ...], Outcome] = {}
        self._lock = threading.Lock()
        self._pages = Environment(
            loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._pages.filters["label"] = clean_label

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page, or a part of one."""
        from starlette.responses import HTMLResponse

        text = self._pages.get_template(template).render(root=str(self.root), **values)
        return HTMLResponse(as_bytes(text), status)

    def check(self, name: str, given: Mapping[str, Any]) -> Outcome:
        """What `check` says of a file; asked once for each state of it."""
        path = self.tables.path(name)
        found = path.stat()
        words = self.tables.words("check", name, given)
        key = (*words, found.st_mtime_ns, found.st_size)
        with self._lock:
            if key in self._checks:
                return self._checks[key]
        made = run_command(self.spare, words, CHECK_SECONDS, working=self.root)
        with self._lock:
            if len(self._checks) > 50:
                self._checks.clear()
            self._checks[key] = made
        return made

    def preview(self, name: str, given: Mapping[str, Any]) -> Preview:
        """The first rows of a file; nothing where they cannot be read."""
        known = {
            k: v for k, v in given.items() if k in ("encoding", "delimiter", "decimal", "sheet")
        }
        try:
            return first_rows(str(self.tables.path(name)), DataSettings(**known))
        except (ForecastError, ValueError, OSError):
            return Preview((), ())


def build_app(studio: Studio) -> Starlette:
    """The application."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Route

    @asynccontextmanager
    async def lifespan(_: Starlette) -> Any:
        studio.spare.prepare()
        yield
        studio.spare.close()

    routes = [
        Route(path, _bound(studio, function), methods=[method]) for path, method, function in ROUTES
    ]
    door = Middleware(Door, entrance=studio.entrance)
    app = Starlette(routes=routes, middleware=[door], lifespan=lifespan)
    app.add_exception_handler(ForecastError, lambda r, e: show_error(studio, r, e))
    app.add_exception_handler(Exception, lambda r, e: show_error(studio, r, e))
    app.add_exception_handler(404, lambda r, _: show_error(studio, r, _no_page(r)))
    return app


def _bound(studio: Studio, function: Any) -> Any:
    if asyncio.iscoroutinefunction(function):

        async def waiting(request: Request) -> Response:
            return await function(studio, request)

        return waiting

    def endpoint(request: Request) -> Response:
        return function(studio, request)

    return endpoint


def show_error(studio: Studio, request: Request, problem: Exception) -> Response:
    """An error as the terminal says it: as a page, or as a document for the page's script."""
    error = as_forecast_error(problem)
    if "text/html" in request.headers.get("accept", ""):
        values = {"error": _parts(error), "title": "Not done"}
        return studio.page("error.html", web.status_of(error), **values)
    return web.error_answer(problem)


def home(studio: Studio, _: Request) -> Response:
    """Files to choose, jobs at work, runs so far, scheduled jobs."""
    found, _damaged = runs_below(studio.root / RUNS)
    runs = [run for run in found if can_be_asked_for(run.name)]
    jobs = [job for job in studio.work.all() if job.about["command"] == "train"]
    return studio.page(
        "home.html", title="lstmcast studio", files=studio.tables.files(), jobs=jobs[:20],
        runs=in_order(runs, "created")[:50], schedules=studio.tables.schedules(), home=HOME,
    )  # fmt: skip


def static(_: Studio, request: Request) -> Response:
    """The style and the script."""
    from starlette.responses import Response

    name = request.path_params["name"]
    if name not in STATIC:
        raise _no_page(request)
    return Response((PAGES / name).read_bytes(), media_type=STATIC[name])


async def send_file(studio: Studio, request: Request) -> Response:
    """Takes a file that was dropped."""
    name = await studio.tables.take(request.query_params.get("name", ""), request.stream())
    return _json({"file": name})


def table(studio: Studio, request: Request) -> Response:
    """One file: what was understood, what to correct, the forecast at once, training."""
    name, given, query = _asked(request)
    studio.tables.path(name)
    preview = studio.preview(name, given)
    files = [each for each in studio.tables.files() if each != name]
    controls = fields(given, preview.names, files)
    return studio.page(
        "table.html", title=name, file=name, preview=preview, fields=controls, given=given,
        query=query, forecast_line=studio.tables.command_line("forecast", name, given),
        train_line=studio.tables.command_line("train", name, given),
    )  # fmt: skip


def understood(studio: Studio, request: Request) -> Response:
    """The part that says what was understood; for the script."""
    name, given, _ = _asked(request)
    outcome = studio.check(name, given)
    if outcome.error is not None:
        return studio.page("problem.html", error=outcome.error)
    document = outcome.document
    return studio.page("understood.html", report=document["report"], would=document["train_would"])


def begin_forecast(studio: Studio, request: Request) -> Response:
    """Starts the forecast at once; for the script."""
    name, given, query = _asked(request)
    words = studio.tables.words("forecast", name, given)
    out = ["--output={job}/forecast.csv", "--report={job}/page.html"]
    job = studio.work.start([*words, *out], _about("forecast", name, query))
    return _json({"job": job.id})


def begin_training(studio: Studio, request: Request) -> Response:
    """Starts a training, and shows it."""
    from starlette.responses import RedirectResponse

    name, given, query = _asked(request)
    words = studio.tables.words("train", name, given)
    job = studio.work.start([*words, f"--root={RUNS}"], _about("train", name, query))
    return RedirectResponse(f"/job/{job.id}", 303)


def show_job(studio: Studio, request: Request) -> Response:
    """A job: live while it runs, then its report."""
    job = _job(studio, request)
    folder = _run_of(studio, job)
    return studio.page(
        "job.html", title=f"{job.about['command']} {job.about['file']}", job=job,
        error=job.outcome.error if job.outcome else None, run=folder.name if folder else None,
        verdict=job.outcome.document.get("verdict", "") if job.outcome else "",
    )  # fmt: skip


def forecast_rows(studio: Studio, request: Request) -> Response:
    """The part that shows the numbers of a forecast; for the script."""
    job = _job(studio, request)
    if job.outcome is not None and job.outcome.error is not None:
        return studio.page("problem.html", error=job.outcome.error)
    found = _table_of(job)
    return studio.page(
        "numbers.html", columns=found.column_names, rows=records(found.slice(0, SHOWN)),
        total=found.num_rows, job=job,
    )  # fmt: skip


async def events(studio: Studio, request: Request) -> Response:
    """What a job does, as it does it; from the last event that the page has."""
    from starlette.responses import StreamingResponse

    job = _job(studio, request)
    last = request.headers.get("last-event-id", "")
    start = int(last) if last.isascii() and last.isdigit() and len(last) < 12 else 0
    return StreamingResponse(_stream(studio, job.id, start), media_type="text/event-stream")


async def _stream(studio: Studio, name: str, start: int) -> AsyncIterator[str]:
    """The events after byte `start`; then the end with the job's state."""
    while True:
        job = studio.work.get(name)  # before the events are read: none is missed at the end
        found, start = job.events(start)
        for event in found:
            yield f"id: {start}\ndata: {json.dumps(event)}\n\n"
        if not job.running:
            yield f"event: end\ndata: {json.dumps({'state': job.state})}\n\n"
            return
        await asyncio.sleep(POLL)


def stop_job(studio: Studio, request: Request) -> Response:
    """Asks a job to end with the best it has."""
    from starlette.responses import RedirectResponse

    job = _job(studio, request)
    studio.work.stop(job.id)
    return RedirectResponse(f"/job/{job.id}", 303)


def job_page(studio: Studio, request: Request) -> Response:
    """The charts of a forecast, to stand in a frame."""
    return _framed(_job(studio, request).folder / "page.html")


def run_page(studio: Studio, request: Request) -> Response:
    """The report of a run, to stand in a frame."""
    return _framed(_run(studio, request) / "report.html")


def show_run(studio: Studio, request: Request) -> Response:
    """A run: its report and what can be had of it."""
    folder = _run(studio, request)
    try:
        levels = levels_of(read_run(folder))
    except ModelNotFoundError:  # a report that was put there alone
        levels = []
    return studio.page(
        "run.html", title=folder.name, run=folder.name, levels=levels,
        scenarios=scenarios_of(folder), figure=_figure,
    )  # fmt: skip


def job_download(studio: Studio, request: Request) -> Response:
    """The forecast of a job in the form that is asked for."""
    job = _job(studio, request)
    name, given, _ = _parsed(job.about["query"])
    return _handed_out(studio, request, lambda: _table_of(job), name, given, "forecast")


def run_download(studio: Studio, request: Request) -> Response:
    """The forecast of a run in the form that is asked for."""
    folder = _run(studio, request)
    made = next(
        (j for j in studio.work.all() if j.outcome and j.outcome.document.get("folder")
         and Path(j.outcome.document["folder"]).name == folder.name), None
    )  # fmt: skip

    def predictions() -> pa.Table:
        found = read_run(folder).predictions
        if found is None:
            raise _no_page(request)
        return found

    if made is not None:
        name, given, _ = _parsed(made.about["query"])
    else:
        name, given = _from_manifest(studio, folder)
    return _handed_out(studio, request, predictions, name, given, "train")


def compare(studio: Studio, request: Request) -> Response:
    """Two runs side by side."""
    names = web.first_values(request, ("run",)).get("run", [])
    if len(names) != 2:
        raise UsageError(
            "two runs are compared",
            code="studio/two-runs",
            value=", ".join(names) or None,
            remedy="Mark two on the first page",
        )
    runs = {run.name: run for run in runs_below(studio.root / RUNS)[0]}
    for name in names:
        if name not in runs:
            raise ModelNotFoundError(
                "there is no such run",
                code="studio/no-such-run",
                value=name,
                remedy=f"There are: {listed(runs, 20)}" if runs else "There are none yet",
            )
    chosen = [runs[name] for name in names]
    metrics = [m for m in ("mase", "smape", "rmse", "wql", "coverage-80", "coverage-95")
               if any(m in run.scores for run in chosen)]  # fmt: skip
    judged = [_judged_on(studio.root / RUNS / run.name) for run in chosen]
    facts = [
        ("data", *(Path(run.data).name for run in chosen)),
        ("made", *(run.created[:16].replace("T", " ") for run in chosen)),
        ("horizon", *(run.horizon or "" for run in chosen)),
        ("series that were scored", *(each.get("series", "") for each in judged)),
        ("held-out windows", *(each.get("windows", "") for each in judged)),
        ("network", *(f"{run.network} {run.shape}" for run in chosen)),
        *((_called(m), *(_figure(run.scores.get(m)) for run in chosen)) for m in metrics),
        ("MASE of AutoARIMA", *(_figure(run.arima) for run in chosen)),
        ("seconds", *(_figure(run.seconds) for run in chosen)),
    ]
    apart = [] if chosen[0].digest == chosen[1].digest else ["data"]
    apart += [words for name, words in JUDGED if judged[0].get(name) != judged[1].get(name)]
    return studio.page("compare.html", title="Two runs", runs=chosen, facts=facts, apart=apart)


JUDGED = (("series", "series"), ("horizon", "steps ahead"), ("windows", "held-out windows"))


def _judged_on(run: Path) -> dict[str, Any]:
    """What the scores of a run are of; empty where it has none."""
    try:
        return read_run(run).metrics or {}
    except ForecastError:
        return {}


def _called(metric: str) -> str:
    name, _, level = metric.partition("-")
    return f"{name} {level}%" if level else "sMAPE" if name == "smape" else name.upper()


def scheduled(studio: Studio, request: Request) -> Response:
    """The scheduled jobs of a config; nothing is changed."""
    name = web.first_values(request, ("config",)).get("config", [""])[-1]
    path = studio.tables.path(name)
    now = clock.now()
    documents = [describe(job_facts(job), now, None) for job in load_config(path).jobs.values()]
    shown = str(path.relative_to(studio.root)) if path.is_relative_to(studio.root) else name
    return studio.page(
        "scheduled.html", title=shown, documents=documents, sentence=sentence, ago=ago,
        figure=_figure,
    )  # fmt: skip


def another_address(studio: Studio, _: Request) -> Response:
    """An address for a second browser."""
    return studio.page("address.html", title="Another browser", address=studio.entrance.address())


ROUTES = (
    ("/", "GET", home),
    ("/static/{name}", "GET", static),
    ("/files", "PUT", send_file),
    ("/table", "GET", table),
    ("/understood", "GET", understood),
    ("/forecast", "POST", begin_forecast),
    ("/train", "POST", begin_training),
    ("/job/{job}", "GET", show_job),
    ("/job/{job}/events", "GET", events),
    ("/job/{job}/numbers", "GET", forecast_rows),
    ("/job/{job}/stop", "POST", stop_job),
    ("/job/{job}/page", "GET", job_page),
    ("/job/{job}/download", "GET", job_download),
    ("/run/{run}", "GET", show_run),
    ("/run/{run}/page", "GET", run_page),
    ("/run/{run}/download", "GET", run_download),
    ("/compare", "GET", compare),
    ("/scheduled", "GET", scheduled),
    ("/address", "POST", another_address),
)


def _asked(request: Request) -> tuple[str, dict[str, Any], str]:
    """File, settings and query of a request."""
    return _parsed(request.url.query)


def _parsed(query: str) -> tuple[str, dict[str, Any], str]:
    from urllib.parse import parse_qs

    try:
        found = parse_qs(query, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise UsageError(
            f"the address names more than {MOST_FIELDS} settings", code="http/too-many-parameters",
            remedy="Go to the first page",
        ) from error  # fmt: skip
    name = found.get("file", [""])[-1]
    kept = [(key, value) for key, values in found.items() for value in values if value]
    return name, given_by(found), urlencode(kept)


def _about(command: str, name: str, query: str) -> dict[str, Any]:
    return {"command": command, "file": name, "query": query}


def _job(studio: Studio, request: Request) -> Job:
    return studio.work.get(request.path_params["job"])


def _run(studio: Studio, request: Request) -> Path:
    """The folder of a run below the page's own. Raises ModelNotFoundError."""
    name = request.path_params["run"]
    folder = studio.root / RUNS / name
    if name.startswith(".") or folder.is_symlink() or not (folder / "report.html").is_file():
        raise ModelNotFoundError(
            "there is no such run",
            code="studio/no-such-run",
            value=name,
            remedy="The first page lists the runs there are",
        )
    return folder


def _run_of(studio: Studio, job: Job) -> Path | None:
    """The run that a training left; None while there is none."""
    folder = job.outcome.document.get("folder") if job.outcome else None
    found = studio.root / RUNS / Path(folder).name if folder else None
    return found if found is not None and (found / "report.html").is_file() else None


def _table_of(job: Job) -> pa.Table:
    """The forecast that a job wrote. Raises ModelNotFoundError."""
    path = job.folder / "forecast.csv"
    if not path.is_file():
        raise ModelNotFoundError(
            "the job has made no forecast",
            code="studio/no-forecast",
            value=job.id,
            remedy="Wait for its end, or see what it said",
        )
    return read_written(path)


def _from_manifest(studio: Studio, folder: Path) -> tuple[str, dict[str, Any]]:
    """File and settings of a run that was made elsewhere, as its manifest has them."""
    manifest = read_run(folder).manifest
    source = Path(str(manifest.get("data", {}).get("path") or ""))
    settings = manifest.get("settings", {})
    given = {
        option.parameter: settings[option.section][option.field]
        for option in map(lambda f: f.option, fields({}, (), ()))
        if option.field in settings.get(option.section, {})
    }
    inside = studio.root in source.parents
    return (str(source.relative_to(studio.root)) if inside else str(source)), given


def _handed_out(
    studio: Studio, request: Request, read: Any, name: str, given: Mapping[str, Any], command: str
) -> Response:
    """A download: the forecast as CSV or workbook, the command line, the job for a schedule."""
    from starlette.responses import Response

    kind = web.first_values(request, ("kind",)).get("kind", ["csv"])[-1]
    if kind not in KINDS:
        raise UsageError(
            "the forecast is not handed out in this form", code="http/unknown-format", value=kind,
            remedy=f"One of: {', '.join(KINDS)}",
        )  # fmt: skip
    content: bytes
    if kind == "csv":
        content = file_bytes(read(), ".csv")
    elif kind == "xlsx":
        content = file_bytes(read(), ".xlsx")
    elif kind == "yaml":
        content = studio.tables.job_yaml(name, given).encode()
    else:
        content = f"{studio.tables.command_line(command, name, given)}\n".encode()
    file = {"command": "command.txt", "yaml": "job.yaml"}.get(kind, f"forecast.{kind}")
    return Response(
        content, media_type=KINDS[kind],
        headers={"content-disposition": f'attachment; filename="{file}"'},
    )  # fmt: skip


def _framed(path: Path) -> Response:
    from starlette.responses import FileResponse

    if not path.is_file():
        raise ModelNotFoundError(
            "there is no page of charts",
            code="studio/no-page",
            value=path.name,
            remedy="Wait for the end of the job, or see what it said",
        )
    headers = {"content-security-policy": FRAMED, "x-frame-options": "SAMEORIGIN"}
    return FileResponse(path, media_type="text/html", headers=headers)


def _json(document: Mapping[str, Any]) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(document)


def _parts(error: ForecastError) -> dict[str, Any]:
    from forecast.cli.error_handler import error_document

    return dict(error_document(error)["error"])  # type: ignore[call-overload]


def _no_page(request: Request) -> ForecastError:
    return ForecastError(
        "there is nothing here", code="http/not-found", value=request.url.path,
        remedy="Go to the first page",
    )  # fmt: skip


def _figure(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:,.4g}"
