"""Values that nobody should read in a configuration, a log or a manifest.

A setting that may be secret is written `env:NAME` (an environment variable) or `file:PATH` (the
first line of a file, as Docker, systemd and Kubernetes hand secrets over), or plainly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from forecast.common.errors import UsageError

HIDDEN = "***"
_LARGEST = 64 * 1024  # bytes of a secret's file
_SHORTEST = 4  # signs; hiding every "a" of a log would hide the log


def reveal(setting: str, environ: Mapping[str, str], folder: Path, name: str) -> str:
    """The value that `setting` stands for; relative paths are below `folder`.

    name: what the setting is called in messages, which never hold the value.
    Raises UsageError for a variable that is not set and a file that cannot be read.
    """
    kind, colon, rest = setting.partition(":")
    if colon and kind == "env":
        return _from_environment(rest, environ, name)
    if colon and kind == "file":
        return _from_file(folder / Path(rest).expanduser(), name)
    return setting


def variable_of(setting: str | None) -> str | None:
    """The environment variable that `setting` names, if it names one."""
    return setting[4:] if setting and setting.startswith("env:") else None


def redacted(text: str, secrets: Iterable[str]) -> str:
    """`text` without any of `secrets`, and without the password of any address in it."""
    for secret in sorted({s for s in secrets if len(s) >= _SHORTEST}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return re.sub(r"(?<=://)[^\s/@]+@", f"{HIDDEN}@", text)


def _from_environment(variable: str, environ: Mapping[str, str], name: str) -> str:
    value = environ.get(variable, "").strip()
    if not value:
        raise UsageError(
            f"{name} is to come from an environment variable that is not set",
            code="config/secret-missing",
            value=variable,
            remedy=f"Set {variable} where the job is started, or write file:PATH instead",
        )
    return value


def _from_file(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            lines = file.read(_LARGEST).decode("utf-8").strip().splitlines()
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8 text"
        raise UsageError(
            f"{name} is to come from a file that cannot be read: {reason}",
            code="config/secret-unreadable",
            where=str(path),
            remedy="Check the path and who may read it",
        ) from problem
    if not lines:
        raise UsageError(
            f"{name} is to come from a file that is empty",
            code="config/secret-missing",
            where=str(path),
            remedy="Write the value into its first line",
        )
    return lines[0].strip()
