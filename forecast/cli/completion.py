"""What a shell offers to complete a word: values of options, presets, runs, series, jobs.

A completion never fails and never writes: what cannot be read offers nothing, and the shell then
goes on with the names of files. Names come from folders and tables that somebody else may have
written, and the scripts of some shells evaluate what they are told: those of anything but plain
characters are not offered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from forecast.common.errors import UsageError
from forecast.common.yaml_file import read_yaml
from forecast.config.files import presets

PLAIN = re.compile(r"[\w.,+@%/~-]+")  # no blank, quote, dollar, colon or backslash
MOST = 1000  # names that are offered at once
ROOT = "runs"


def beginning(words: Iterable[str], incomplete: str) -> list[str]:
    """Those of `words` that begin so and can be typed as they stand."""
    return [word for word in words if word.startswith(incomplete) and PLAIN.fullmatch(word)][:MOST]


def of_choices(choices: Iterable[str]) -> Callable[[str], list[str]]:
    """Completes a value, or the last of several that commas join."""

    def complete(incomplete: str) -> list[str]:
        done, comma, last = incomplete.rpartition(",")
        return [done + comma + word for word in beginning(choices, last)]

    return complete


def complete_config(incomplete: str) -> list[str]:
    """Presets, and the YAML files of the folder that the word leads to."""
    place = Path(incomplete).parent if "/" in incomplete else Path()
    files = [str(path) for end in ("*.yaml", "*.yml") for path in sorted(place.glob(end))]
    return beginning([*presets(), *files], incomplete)


def complete_run(context: typer.Context, incomplete: str) -> list[str]:
    """Folders of finished runs, the newest first."""
    root = Path(_given(context, "root") or ROOT)
    with suppress(OSError):
        dated = [
            (each.stat().st_mtime, each)
            for each in root.iterdir()
            if not each.name.startswith(".") and _is_run(each)
        ]
        return beginning([str(each) for _, each in sorted(dated, reverse=True)], incomplete)
    return []


def _is_run(folder: Path) -> bool:
    return (folder / "model").is_dir() or (folder / "manifest.json").is_file()


def complete_series(context: typer.Context, incomplete: str) -> list[str]:
    """Ids of the run that the command line names, or of the newest one."""
    # Arguments before an option that still lacks its value are not yet told apart.
    named = [v for v in (*context.params.values(), *context.args) if isinstance(v, str)]
    for run in (*named, *complete_run(context, "")):
        ids = _ids(Path(run).parent if Path(run).name == "model" else Path(run))
        if ids:
            return beginning(ids, incomplete)
    return []


def _ids(run: Path) -> list[str]:
    from pyarrow import ArrowException, csv, string

    options = csv.ConvertOptions(
        include_columns=["unique_id"], column_types={"unique_id": string()}
    )
    with suppress(OSError, ArrowException):
        table = csv.read_csv(run / "predictions.csv", convert_options=options)
        return list(dict.fromkeys(table["unique_id"].to_pylist()))
    return []


def complete_job(context: typer.Context, incomplete: str) -> list[str]:
    """Names of the jobs in the file that the command line names."""
    with suppress(UsageError, TypeError, LookupError):
        file = _given(context, "config") or context.args[0]
        return beginning(list(read_yaml(Path(file), "", "").content["jobs"]), incomplete)
    return []


def _given(context: typer.Context, name: str) -> str | None:
    value: Any = context.params.get(name)
    return value if isinstance(value, str) else None
