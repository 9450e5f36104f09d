"""What `predict` and `forecast` do with --engine, --jobs, --shard: a forecast file by file."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any

from forecast.cli import shared_options as own
from forecast.cli.console import duration
from forecast.cli.parameters import Run

if TYPE_CHECKING:
    from forecast.workflows.partitions.merge import Merged
    from forecast.workflows.partitions.run import EngineResult


def in_parts(run: Run) -> bool:
    """Whether the options ask for it. Raises UsageError for a contradiction.

    --jobs and --attempts do where they are on the command line: a settings file or an environment
    may name them for training.
    """
    own.refuse_idle_address(run)
    engine, sources = run.settings.engine, run.resolved.sources
    typed = [sources[path].startswith("--") for path in ("engine.attempts", "training.jobs")]
    return any(typed) or {engine.name, engine.shard, engine.partitions} != {None}


def forecast_in_parts(
    run: Run, command: str, source: str, output: str | None, model: str | None = None
) -> int:
    """Runs the engine and says what it made: the exit code."""
    from forecast.cli import render
    from forecast.workflows.partitions.run import engine_run

    with run.watching() as listener:
        result = engine_run(
            source,
            run.settings,
            listener,
            output=output,
            model=model,
            pretrained_network=command == "forecast",
        )
    if run.look.json:
        document = {**vars(result), "failed": failures(result.failed)}
        render.show_document(command, {**document, "exit_code": result.exit_code})
    elif not run.look.quiet:
        render.show_facts(run.out(), _facts(result))
        if run.settings.engine.shard is not None:
            folder = quote(str(result.folder))
            render.show_hint(run.out(), f"once every shard is done: lstmcast merge {folder}")
    return result.exit_code


def amounts(result: EngineResult | Merged) -> list[tuple[str, Any]]:
    """What was forecast, for a person."""
    facts: list[tuple[str, Any]] = [
        (
            "forecast",
            f"{result.series:,} series, {result.horizon} steps, {result.rows:,} rows",
        )
    ]
    if result.fallbacks:
        facts.append(("fallbacks", f"{result.fallbacks:,} series"))
    if result.skipped:
        facts.append(("skipped", f"{result.skipped:,} series without any value"))
    if result.failed:
        facts.append(("failed", "\n".join(record.name for record in result.failed)))
    return facts


def failures(failed: Any) -> list[dict[str, Any]]:
    """Partitions that were given up, for a program."""
    return [{"partition": record.name, **record.error} for record in failed]


def _facts(result: EngineResult) -> list[tuple[str, Any]]:
    parts = f"{result.parts - len(result.failed):,} of {result.of:,}"
    if result.kept:
        parts += f", {result.kept:,} of them from before"
    pace = result.series / result.seconds if result.seconds else 0
    took = f"{duration(result.seconds)}, {pace:,.0f} series a second"
    where = str(result.folder)
    return [
        *amounts(result),
        ("parts", parts),
        ("time", took if not result.kept else duration(result.seconds)),
        ("written to", where),
    ]
