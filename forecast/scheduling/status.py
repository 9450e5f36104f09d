"""What ran, what is published, how old it is and how good: the facts of a job as a document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from forecast.scheduling.decisions import ROLLED_BACK
from forecast.scheduling.job_facts import JobFacts

# States of a job, the gravest first.
NEVER, UNKNOWN, RUNNING, KILLED, FAILED, OLD, FINE = (
    "never run", "unknown", "running", "cut off", "failed", "too old", "in order",
)  # fmt: skip


def describe(facts: JobFacts, now: datetime, most: float | None) -> dict[str, Any]:
    """The facts, JSON-able, with ages in seconds at `now` and the job's state in a word.

    most: seconds that the last success may be old; None: any age will do.
    """
    success = _success(facts, now)
    too_old = most is not None and (success is None or success["age_seconds"] > most)
    return {
        "job": facts.job,
        "state": _state(facts, too_old),
        "folder": str(facts.folder),
        "too_old": too_old,
        "running": dict(facts.running) if facts.running else None,
        "last_attempt": _attempt(facts, now),
        "last_success": success,
        "published": _published(facts, now),
        "scores": facts.scores_document(),
        "kept": {"runs": facts.runs, "withdrawn": facts.withdrawn, "bytes": facts.bytes_kept},
        "trouble": facts.trouble,
    }


def exit_code(documents: Iterable[Mapping[str, Any]]) -> int:
    """5 when the last success of any job is too old, else 0."""
    return 5 if any(document["too_old"] for document in documents) else 0


def sentence(document: Mapping[str, Any]) -> str:
    """What a person should know first."""
    attempt = document["last_attempt"]
    if attempt is None:
        known = document["published"] is not None
        return "what the last run did is not recorded" if known else "it has never run"
    error = attempt["error"]
    held = "a rollback holds: nothing has changed since"
    done = f"the last run ended well: {attempt['outcome']}"
    fine = held if attempt["outcome"] == ROLLED_BACK else done
    words = {
        RUNNING: f"a run is at work since {(document['running'] or {}).get('since')}",
        KILLED: f"the run that began {attempt['started']} was cut off; the next one cleans up",
        FAILED: f"{_times(attempt['failures_in_a_row'])}: {error['message'] if error else ''}",
        OLD: "no run has ended well for too long",
        FINE: fine,
    }
    return words[document["state"]]


def age(seconds: float | None) -> str:
    """Seconds for a person: "5m", "3h 20m", "12d 4h"; "" for None."""
    if seconds is None:
        return ""
    minutes = max(0, int(seconds // 60))
    if minutes < 60:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h {minutes:02d}m"
    return f"{hours // 24}d {hours % 24}h"


def _state(facts: JobFacts, too_old: bool) -> str:
    last = facts.last or {}
    if facts.running:
        return RUNNING
    if facts.killed:
        return KILLED
    if last.get("outcome") in ("failed", "stale", "interrupted"):
        return FAILED
    if not facts.last:
        return NEVER if facts.current is None else UNKNOWN
    return OLD if too_old else FINE


def _success(facts: JobFacts, now: datetime) -> dict[str, Any] | None:
    at = facts.last_success
    if at is None or facts.last is None:
        return None
    return {**facts.last["last_success"], "age_seconds": (now - at).total_seconds()}


def _attempt(facts: JobFacts, now: datetime) -> dict[str, Any] | None:
    if facts.last is None:
        return None
    names = ("outcome", "exit_code", "started", "finished", "seconds", "run", "as_of", "error",
             "warnings", "failures_in_a_row", "decisions", "log")  # fmt: skip
    found = {name: facts.last.get(name) for name in names}
    return {**found, "age_seconds": _age_of(found["started"], now)}


def _published(facts: JobFacts, now: datetime) -> dict[str, Any] | None:
    if facts.current is None:
        return None
    manifest = facts.current.manifest
    return {
        "run": facts.current.run,
        "folder": str(facts.folder / "current"),
        "as_of": manifest["as_of"],
        "created": manifest["created"],
        "age_seconds": _age_of(manifest["created"], now),
        "horizon": manifest["horizon"],
        "series": dict(manifest["series"]),
        "model": {name: manifest["model"].get(name) for name in ("id", "kind", "trained_until")},
        "files": sorted(n for n in manifest["outputs"] if n.startswith("predictions")),
        "intervals": dict(manifest["intervals"]),
        "exit_code": manifest["exit_code"],
    }


def _age_of(moment: str | None, now: datetime) -> float | None:
    return (now - datetime.fromisoformat(moment)).total_seconds() if moment else None


def _times(failures: int | None) -> str:
    return "the last run failed" if (failures or 1) == 1 else f"the last {failures} runs failed"
