"""An MCP server: the commands as typed tools, for agents and other programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.cli.commands.version import version
from forecast.cli.doors.arguments import schema_of, words_of
from forecast.cli.doors.confined import Folders, leads_out
from forecast.cli.doors.process import GRACE, CommandProcess, Event, Outcome, Spare, Watch
from forecast.cli.error_handler import as_forecast_error, error_document
from forecast.common.errors import UsageError
from forecast.common.scratch import ScratchFolder
from forecast.config.options import BACKTEST_ONLY, TRAIN_ONLY, Option, options_of, show
from forecast.scheduling.config_file import chosen_jobs, load_config

if TYPE_CHECKING:
    from mcp.server.lowlevel.server import Server

TOKEN_VARIABLE = "LSTMCAST_MCP_TOKEN"
POLL = 0.1  # seconds between two looks at a command
LATE = 60.0  # seconds that a command which learns may end after its time
AT_ONCE = 2  # commands at work; others wait for their turn
MOST_SECONDS = 6 * 3600.0
SHOWN = 200  # rows of a list in an answer, unless asked otherwise

INSTRUCTIONS = """\
lstmcast forecasts tables of time series: CSV in any dialect, Parquet, Feather, Excel. A table
is long (a time column, a value column and, with several series, an id column) or wide
(wide=true: one time column, every other column a series).

Work in this order. 1. `check` says what a file holds and what is ambiguous; nothing is
computed. 2. `forecast` answers at once (seconds) from a pretrained network. 3. `train` learns
from the file (a minute or more), scores the network against AutoARIMA on held-out data, says
who won, and leaves a run folder with model, forecast and report.html; `predict` forecasts with
that model when the file has new rows. `backtest` scores over many origins, `detect` finds
anomalies, `explain` says what moved a forecast of a trained model. `status` and `score` are
about scheduled jobs of a config file.

Covariates known ahead (weather forecast, price, promotion) are future_cov of `train`; their
future values stand in rows after the last value or in the file future_covariates. Counts of
slow-moving goods: likelihood=negative-binomial, and missing=zero where no row means none sold.
Totals with intervals of their own: hierarchy (levels that add up, state/region) or by (one sum
for each value of a column); point=mean where single forecasts are to be summed.

An error has a code and a remedy; the remedy names flags of the command line, which are
parameters here: `--drop-value -9999` is drop_value=[-9999], `--no-dayfirst` is dayfirst=false;
one that a tool does not list goes into its options object. Long lists are cut to max_rows,
which the answer says under "shortened"; name an output file to have all. Paths are relative to
the first folder of the server and must lie inside its folders."""

_READ = (
    "data.id_col", "data.time_col", "data.target_col", "data.freq", "data.season", "data.wide",
    "data.tz", "data.missing", "data.duplicates", "data.resample", "data.agg", "data.drop_value",
    "data.encoding", "data.delimiter", "data.decimal", "data.thousands", "data.dayfirst",
    "data.sheet",
)  # fmt: skip
_COVARIATES = (
    "data.future_cov", "data.past_cov", "data.static_cov", "data.categorical",
    "data.future_covariates", "data.static", "data.calendar", "data.holidays",
)  # fmt: skip
_AHEAD = ("forecast.horizon", "forecast.level", "forecast.point")
_SUMS = ("data.hierarchy", "data.by")
_LEARN = (
    "network.name", "network.likelihood", "training.max_steps", "training.members", "training.seed",
    "training.deadline", "baselines.names",
)  # fmt: skip
_TRAINED = (
    "forecast", "data", "baselines", "network", "training", "detection", "sampling", "output",
    "evaluation.windows", "evaluation.step_size",
)  # fmt: skip


def _text(about: str) -> dict[str, Any]:
    return {"type": "string", "description": about}


DATA = _text("The table: a CSV, Parquet, Feather or Excel file, a folder or pattern of such files.")
OUTPUT = _text("File to write to, .csv, .parquet or .xlsx (none: the rows are in the answer).")
MODEL = _text("Run folder of `train`, such as runs/sales-20240131-120000.")
CONFIG = _text("Config file of scheduled jobs, such as jobs/batch.yaml.")
JOB = _text("One job of the file (all).")


@dataclass(frozen=True)
class ToolSpec:
    """A command as a tool.

    own: parameters that are no settings, as JSON schemas; flags: how each is said on the command
    line ("" where it stands without a flag); main: settings that are listed; parts: all settings
    that may be given, the others in `options`; seconds: how long it may take, unless told.
    """

    name: str
    title: str
    description: str
    own: Mapping[str, Mapping[str, Any]]
    flags: Mapping[str, str]
    required: tuple[str, ...]
    main: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    seconds: float = 120.0
    read_only: bool = True
    config: bool = field(default=False)

    @property
    def learns(self) -> bool:
        """Whether the command knows deadlines of its own."""
        return any(option.path == "training.deadline" for option in self.settings())

    def settings(self) -> tuple[Option, ...]:
        """The settings that may be given."""
        own = dict.fromkeys(options_of(*self.main, *self.parts))
        return tuple(o for o in own if not leads_out(o) and o.path not in self.foreign)

    def listed(self) -> tuple[Option, ...]:
        """Those of them that have a parameter of their own."""
        return options_of(*self.main)

    def schema(self) -> dict[str, Any]:
        """The JSON schema of its arguments."""
        rest = [o.parameter for o in self.settings() if o not in self.listed()]
        properties: dict[str, Any] = {
            **self.own,
            **{option.parameter: schema_of(option) for option in self.listed()},
        }
        if rest:
            properties["options"] = {
                "type": "object",
                "description": f"Any other setting by its name: {', '.join(sorted(rest))}.",
            }
        properties["max_rows"] = {
            "type": "integer",
            "minimum": 0,
            "default": SHOWN,
            "description": "Rows of each list in the answer.",
        }
        properties["timeout"] = {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": MOST_SECONDS,
            "default": self.seconds,
            "description": "Seconds after which it is ended with the best it has.",
        }
        return {
            "type": "object",
            "properties": properties,
            "required": list(self.required),
            "additionalProperties": False,
        }


TOOLS = (
    ToolSpec(
        "check", "Understand a table",
        "Say what a table holds: columns, series, frequency, seasons, gaps, repairs, warnings, and "
        "what train would do. Use it first; nothing is computed. Where the file is ambiguous the "
        "error names the choices.",
        own={"data": DATA}, flags={"data": ""}, required=("data",), main=(*_READ, *_COVARIATES),
        parts=("data",),
    ),
    ToolSpec(
        "forecast", "Forecast at once",
        "Forecast every series of a table from its end with the pretrained network: seconds, "
        "nothing is trained or kept. The rows (unique_id, ds, LSTM, LSTM-lo-80, LSTM-hi-80 ...) "
        "are in the answer under forecast. LSTM is the median, or the mean where demand is "
        "intermittent. Uses no covariates: train does.",
        own={"data": DATA, "output": OUTPUT}, flags={"data": "", "output": "--output"},
        required=("data",),
        main=(*_AHEAD, *_SUMS, *_READ), parts=("forecast", "data"), read_only=False,
    ),
    ToolSpec(
        "train", "Train on a table",
        "Train the LSTM on a table, score it against AutoARIMA and seasonal naive on held-out "
        "data, and forecast. Takes a minute or more. Writes a run folder (folder in the answer): "
        "model, predictions.csv and report.html; the verdict says who won, the rows are under "
        "forecast. With covariates it says whether they helped. A timeout keeps the best so far.",
        own={"data": DATA}, flags={"data": ""}, required=("data",),
        main=(*_AHEAD, *_SUMS, *_READ, *_COVARIATES, *_LEARN),
        parts=_TRAINED,
        foreign=(*BACKTEST_ONLY, "training.distributed"), seconds=1800.0, read_only=False,
    ),
    ToolSpec(
        "predict", "Forecast with a trained model",
        "Forecast from the end of a table with the model of a run folder that train wrote, for "
        "example when the table has new rows. It reads the table as at training.",
        own={"data": DATA, "model": MODEL, "output": OUTPUT},
        flags={"data": "", "model": "--model", "output": "--output"}, required=("data", "model"),
        main=(*_AHEAD, "data.future_covariates", "data.static"), parts=("forecast", "data"),
        read_only=False,
    ),
    ToolSpec(
        "backtest", "Score from rolling origins",
        "Score the LSTM, AutoARIMA, ETS, Theta and seasonal naive on a table from rolling origins, "
        "with every metric; the verdict says who won and whether that is more than chance. Takes "
        "minutes. Writes a folder with backtest.csv and report.html.",
        own={"data": DATA}, flags={"data": ""}, required=("data",),
        main=("forecast.horizon", "evaluation.windows", "evaluation.gap", "evaluation.refit",
         "evaluation.cost", "baselines.names", *_SUMS, *_READ, *_COVARIATES),
        parts=("forecast", "data", "baselines", "evaluation", "network", "training", "output"),
        foreign=TRAIN_ONLY, seconds=1800.0, read_only=False,
    ),
    ToolSpec(
        "detect", "Find anomalies",
        "Find values that the forecast did not expect, level shifts, standstills and gaps, with a "
        "score and the expected range of each, under anomalies. Trains nothing.",
        own={"data": DATA,
             "model": {**MODEL, "description": MODEL["description"] + " (none needed)"},
             "output": OUTPUT},
        flags={"data": "", "model": "--model", "output": "--output"}, required=("data",),
        main=("detection.threshold", *_READ), parts=("detection", "data"), read_only=False,
    ),
    ToolSpec(
        "explain", "Explain a forecast",
        "Say what moved the forecast of one series of a trained model: past steps, covariates.",
        own={"data": DATA, "model": MODEL,
         "series": _text("Id of the series (the first)."),
         "step": {"type": "integer", "minimum": 1, "description": "Step of the forecast (all)."}},
        flags={"model": "", "data": "", "series": "--series", "step": "--step"},
        required=("data", "model"),
        main=("forecast.horizon",), parts=("forecast.horizon", "data", "training.seed"),
        seconds=300.0,
    ),
    ToolSpec(
        "status", "State of scheduled jobs",
        "Say what the scheduled jobs of a config did last, what is published, how old it is, and "
        "how good the published forecasts were.",
        own={"config": CONFIG, "job": JOB, "max_age": _text("too_old is true beyond it: 26h, 2d.")},
        flags={"config": "", "job": "--job", "max_age": "--max-age"}, required=("config",),
        config=True,
    ),
    ToolSpec(
        "score", "Score published forecasts",
        "Score the published forecasts of scheduled jobs against what has come true since: reads "
        "their data and brings their ledger up to date.",
        own={"config": CONFIG, "job": JOB}, flags={"config": "", "job": "--job"},
        required=("config",),
        read_only=False, config=True,
    ),
)  # fmt: skip
_FILES = ("data", "output", "model", "config")  # own parameters that are paths


def command_words(spec: ToolSpec, given: Mapping[str, Any], folders: Folders) -> list[str]:
    """The command line of a call. Raises UsageError for an argument that is not understood or a
    path that leads out of the folders."""
    refuse_misfits(spec, given)
    listed = {option.parameter for option in spec.listed()}
    settings = {name: value for name, value in given.items() if name in listed}
    extra = given.get("options") or {}
    if twice := set(settings) & set(extra):
        raise UsageError(
            "an argument stands in options as well",
            code="usage/two-values",
            value=", ".join(sorted(twice)),
            remedy="Give it once",
        )
    settings |= extra
    for option in spec.settings():
        value = settings.get(option.parameter)
        if option.is_path and value is not None:
            settings[option.parameter] = folders.path(show(value), option.parameter)
    own = {
        name: folders.path(given[name], name) if name in _FILES else given[name]
        for name in spec.flags
        if given.get(name) is not None
    }
    if "model" in own:
        folders.model(own["model"])
    if spec.config:
        config = load_config(own["config"], allowed=lambda path: folders.path(path, "preset"))
        for job in chosen_jobs(config, own.get("job")):
            folders.job(job)
    flags = words_of(settings, [option.path for option in spec.settings()])
    if "output" in spec.flags:
        own.setdefault("output", "")  # no file: then the rows are in the answer
    plain = [value for name, value in own.items() if not spec.flags[name]]
    named = [f"{spec.flags[name]}={own[name]}" for name in own if spec.flags[name]]
    return [spec.name, *plain, *named, *flags]


def refuse_misfits(spec: ToolSpec, given: Mapping[str, Any]) -> None:
    """Raises UsageError for arguments that do not fit the tool's schema."""
    import jsonschema

    schema = spec.schema()
    validator = jsonschema.Draft202012Validator(schema)
    error = jsonschema.exceptions.best_match(validator.iter_errors(dict(given)))
    if error is None:
        return
    name = str(error.absolute_path[0]) if error.absolute_path else None
    about = schema["properties"].get(name, {}).get("description") if name else None
    raise UsageError(
        f"the arguments do not fit: {error.message}",
        code="usage/bad-argument",
        where=name,
        remedy=about or f"{spec.name} takes: {', '.join(schema['properties'])}",
    )


def shortened(document: Mapping[str, Any], most: int) -> dict[str, Any]:
    """The document with no list of rows longer than `most`; what was cut is said."""
    made, cut = dict(document), {}
    for name, value in document.items():
        if isinstance(value, list) and len(value) > most and name != "files":
            made[name] = value[:most]
            cut[name] = {"shown": most, "of": len(value)}
    return {**made, "shortened": cut} if cut else made


class Tools:
    """The tools at work: calls become processes, watched, told of and ended."""

    def __init__(self, folders: Folders, spare: Spare) -> None:
        import anyio

        self._folders = folders
        self._spare = spare
        self._limit = anyio.Semaphore(AT_ONCE)

    async def call(
        self, name: str, given: Mapping[str, Any], tell: Callable[[float, str], Any]
    ) -> tuple[dict[str, Any], bool]:
        """Runs a tool; returns its document and whether it is an error. tell: progress so far and
        what is being done."""
        try:
            spec = _spec(name)
            words = command_words(spec, given, self._folders)
        except Exception as problem:
            return error_document(as_forecast_error(problem)), True
        seconds = float(given.get("timeout", spec.seconds))
        asked = any(word.startswith("--deadline") for word in words)
        # Without a timeout the words are a terminal's: a deadline would change what is tried.
        if spec.learns and not asked and "timeout" in given:
            words.append(f"--deadline={max(1.0, seconds):g}s")  # it keeps the best by then
            seconds += LATE
        async with self._limit:
            outcome = await self._run(words, seconds, LATE if spec.learns else GRACE, tell)
        error = outcome.error
        if error is not None:
            return dict(outcome.document), True
        return shortened(outcome.document, int(given.get("max_rows", SHOWN))), False

    async def _run(
        self, words: list[str], seconds: float, grace: float, tell: Callable[[float, str], Any]
    ) -> Outcome:
        import anyio

        with ScratchFolder() as folder:
            command: CommandProcess = self._spare.run(words, Path(folder), self._folders.roots[0])
            watch = Watch(command, seconds, grace)
            told, stage = 0, ""
            try:
                while watch.outcome is None:
                    for event in watch.poll():
                        stage = event["text"] if event["event"] == "stage" else stage
                        told += 1
                        await tell(told, _words(event, stage))
                    await anyio.sleep(POLL)
            finally:
                with anyio.CancelScope(shield=True):  # a call that is cancelled ends its command
                    watch.stop(GRACE)
                    while watch.outcome is None:
                        watch.poll()
                        await anyio.sleep(POLL)
            return watch.outcome


def build_server(folders: Folders, spare: Spare) -> Server:
    """The MCP server, for any transport."""
    import mcp_types as types
    from mcp.server.lowlevel.server import Server

    tools = Tools(folders, spare)

    async def list_tools(*_: Any) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=spec.name,
                    title=spec.title,
                    description=spec.description,
                    input_schema=spec.schema(),
                    annotations=types.ToolAnnotations(
                        read_only_hint=spec.read_only,
                        destructive_hint=False,
                        open_world_hint=False,
                    ),
                )
                for spec in TOOLS
            ]
        )

    async def call_tool(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        async def tell(done: float, text: str) -> None:
            await context.session.report_progress(done, None, text)

        document, failed = await tools.call(params.name, params.arguments or {}, tell)
        # A file's name may hold what is no Unicode, which no client would take.
        text = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace").decode()
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text)],
            structured_content=json.loads(text),
            is_error=failed,
        )

    inside = ", ".join(str(root) for root in folders.roots)
    return Server(
        "lstmcast",
        version=version(),
        title="lstmcast: forecasts of time series",
        instructions=f"{INSTRUCTIONS}\n\nThe folders are: {inside}",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def serve_stdio(server: Server) -> None:
    """Serves one client on standard input and output until it goes."""
    from mcp.server.stdio import stdio_server

    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


def _spec(name: str) -> ToolSpec:
    found = next((spec for spec in TOOLS if spec.name == name), None)
    if found is None:
        raise UsageError(
            "there is no such tool",
            code="usage/unknown-tool",
            value=name,
            remedy=f"There are: {', '.join(spec.name for spec in TOOLS)}",
        )
    return found


def _words(event: Event, stage: str) -> str:
    """What is being done, in a line."""
    if event["event"] == "progress":
        figures = "  ".join(f"{k} {v:.4g}" for k, v in event["figures"].items() if v is not None)
        return f"{stage}: {event['done']}/{event['total']}  {figures}".rstrip()
    return str(event.get("text", ""))


def refuse_without_token(token: str | None) -> None:
    """Raises UsageError for a server over HTTP that anybody could use."""
    if token is None:
        raise UsageError(
            "over HTTP a token is needed",
            code="http/no-key",
            where="--http",
            remedy=f"Set {TOKEN_VARIABLE}: openssl rand -hex 24 prints a good one",
        )
