"""What the HTTP service answers, as an OpenAPI document and as a page; and its limits."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from forecast.cli.doors.arguments import properties_of

PAGES = Path(__file__).parent / "pages"
# What a forecast on demand may be told: nothing that names a file, a column or an address.
FORECAST_SETTINGS = (
    "forecast.horizon", "forecast.level", "forecast.quantiles", "forecast.allow_negative",
    "data.freq", "data.season", "data.tz", "data.duplicates", "data.missing", "data.resample",
    "data.agg", "data.drop_partial", "data.stamps", "data.dayfirst", "data.decimal", "data.id_col",
    "data.time_col", "data.target_col",
)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """Of forecasts on demand: bytes and rows of a body, seconds, how many at work and waiting."""

    bytes: int = 2 << 20
    rows: int = 50_000
    seconds: float = 30.0
    at_once: int = 2
    waiting: int = 6


LIMITS = Limits()


@cache
def openapi_document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    from forecast.cli.commands.version import version

    return {
        "openapi": "3.1.0",
        "info": {
            "title": "lstmcast",
            "version": version(),
            "description": "The published forecasts of scheduled jobs, read only, and forecasts of "
            "small series on demand. A publication is always whole: every answer comes from one "
            "run.",
        },
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
            "schemas": _schemas(),
        },
        "security": [{"bearer": []}, {"header": []}],
    }


def _paths() -> dict[str, Any]:
    job = _parameter("job", "path", {"type": "string"}, "Name of the job in the config.")
    return {
        "/jobs": _get("Every job: state, last run, what is published, live scores", [], "Jobs"),
        "/jobs/{job}": _get("One job: state, last run, what is published", [job], "Job"),
        "/jobs/{job}/runs": _get("The publications that are kept, the newest first", [job], "Runs"),
        "/jobs/{job}/series": _get("Ids of the published series", [job, *_PAGING], "Series"),
        "/jobs/{job}/scores": _get("What came true of earlier forecasts", [job], "Scores"),
        "/jobs/{job}/forecast": _forecast_path(job),
        "/forecast": {"post": _post()},
        "/healthz": _get("Whether the server answers", [], "Health", open_to_all=True),
        "/readyz": _get(
            "Whether every job has published, and not too long ago (503 where not)", [], "Ready",
            open_to_all=True,
        ),
        "/metrics": _get("All jobs for Prometheus", [], "text/plain"),
    }  # fmt: skip


def _forecast_path(job: dict[str, Any]) -> dict[str, Any]:
    texts = {"type": "array", "items": {"type": "string"}}
    level = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 100}
    numbers = {"type": "array", "items": level}
    form = {"type": "string", "enum": ["json", "csv", "parquet"], "default": "json"}
    path = _get(
        "The published forecast. Its ETag changes with every publication: send it back as "
        "If-None-Match, and 304 says that nothing is new",
        [
            job,
            _parameter("series", "query", texts, "Ids of series; repeatable (all)."),
            _parameter("level", "query", numbers, "Levels of intervals, per cent (all)."),
            _parameter(
                "as_of", "query", {"type": "string"},
                "The forecast that was made from this last observation (the current one).",
            ),
            _parameter("format", "query", form, "Form of the answer; Accept says it as well."),
        ],
        "Forecast",
    )  # fmt: skip
    content = path["get"]["responses"]["200"]["content"]
    content["text/csv"] = {"schema": {"type": "string"}}
    content["application/vnd.apache.parquet"] = {"schema": {"type": "string", "format": "binary"}}
    path["get"]["responses"]["304"] = {"description": "Nothing new since this ETag."}
    return path


def _post() -> dict[str, Any]:
    text = (
        f"A forecast at once from the pretrained network: nothing is trained or kept. At most "
        f"{LIMITS.rows:,} rows and {LIMITS.bytes >> 20} MB, {LIMITS.seconds:g} s"
    )
    options = [
        _parameter(name, "query", schema, schema.get("description", ""))
        for name, schema in properties_of(*FORECAST_SETTINGS).items()
    ]
    return {
        "summary": text,
        "description": "Options stand beside data in a JSON body, or in the query of a CSV one.",
        "parameters": options,
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/Question"}},
                "text/csv": {"schema": {"type": "string"}},
            },
        },
        "responses": {
            "200": _answer("Predicted"),
            **_errors(400, 401, 413, 415, 422, 503, 504),
        },
    }


def _get(
    summary: str, parameters: list[dict[str, Any]], answer: str, *, open_to_all: bool = False
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": summary,
        "parameters": parameters,
        "responses": {"200": _answer(answer), **_errors(400, 401, 404, 503)},
    }
    if open_to_all:
        described["security"] = []
    return {"get": described}


def _answer(kind: str) -> dict[str, Any]:
    if "/" in kind:
        return {"description": "Done.", "content": {kind: {"schema": {"type": "string"}}}}
    schema = {"$ref": f"#/components/schemas/{kind}"}
    return {"description": "Done.", "content": {"application/json": {"schema": schema}}}


def _errors(*statuses: int) -> dict[str, Any]:
    words = {
        400: "A parameter is not understood.",
        401: "The key is missing or wrong.",
        404: "No such job, series or as-of, or nothing published yet.",
        413: "The body is too large.",
        415: "The body is neither JSON nor CSV.",
        422: "The data cannot be used as they are.",
        503: "Not now: nothing readable, or too many ask at once.",
        504: "It took too long.",
    }
    schema = {"$ref": "#/components/schemas/Error"}
    content = {"application/json": {"schema": schema}}
    return {str(s): {"description": words[s], "content": content} for s in statuses}


def _parameter(name: str, place: str, schema: dict[str, Any], about: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": schema,
        "description": about,
    }


_COUNT = {"type": "integer", "minimum": 0}
_PAGING = [
    _parameter("search", "query", {"type": "string"}, "Part of an id."),
    _parameter("limit", "query", {**_COUNT, "default": 1000}, "At most so many."),
    _parameter("offset", "query", {**_COUNT, "default": 0}, "From this one on."),
]


def _schemas() -> dict[str, Any]:
    text, number = {"type": "string"}, {"type": "number"}
    maybe = {"type": ["number", "null"]}
    row = {
        "type": "object",
        "required": ["unique_id", "ds"],
        "properties": {"unique_id": text, "ds": {"type": ["string", "integer"]}, "LSTM": maybe},
        "additionalProperties": {"type": ["number", "string", "null"]},
    }
    rows = {"type": "array", "items": row}
    job = _object(("job", "state"), job=text, state=text)
    run = _object(("run", "as_of"), run=text, as_of=text)
    return {
        "Jobs": _object(("jobs",), jobs={"type": "array", "items": job}),
        "Job": job,
        "Runs": _object(("job", "runs"), job=text, runs={"type": "array", "items": run}),
        "Series": _object(
            ("job", "run", "total", "series"),
            job=text, run=text, total={"type": "integer"}, series={"type": "array", "items": text},
        ),
        "Scores": _object(("job", "recent", "by_age", "by_step"), job=text),
        "Forecast": _object(
            ("job", "run", "as_of", "created", "horizon", "forecast"),
            job=text, run=text, as_of=text, created=text, horizon={"type": "integer"},
            forecast=rows,
        ),
        "Predicted": _object(("rows", "series", "horizon", "forecast"), forecast=rows),
        "Question": {
            "type": "object",
            "required": ["data"],
            "properties": {
                "data": {
                    "description": "Rows with ds, y and, of several series, unique_id; or an "
                    "object of these columns.",
                    "oneOf": [
                        {"type": "array", "items": {"type": "object"}, "minItems": 1},
                        {"type": "object", "additionalProperties": {"type": "array"}},
                    ],
                },
                **properties_of(*FORECAST_SETTINGS),
            },
        },
        "Health": _object(("status",), status=text),
        "Ready": _object(("ready", "jobs"), ready={"type": "boolean"}),
        "Error": _object(
            ("error",),
            error=_object(("code", "message", "remedy"), code=text, message=text, exit_code=number),
        ),
    }  # fmt: skip


def _object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    known = {"schema_version": {"type": "integer"}, **properties}
    return {"type": "object", "required": list(required), "properties": known}


def docs_page() -> tuple[str, str]:
    """The page and its content security policy."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    style = (PAGES / "docs.css").read_text(encoding="utf-8")
    page = environment.get_template("docs.html").render(
        document=openapi_document(), style=style, limits=LIMITS
    )
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'"
    return page, policy
