"""Settings that nobody should read in a configuration, a log or a manifest.

One is written `env:NAME` (an environment variable) or `file:PATH` (the first line of a file, as
Docker, systemd and Kubernetes hand secrets over), or plainly.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from forecast.common.errors import UsageError, without_password
from forecast.common.files import at_home, reading

SECRET = r"env:\w+|file:(?!//).+"  # a value that stands elsewhere
HIDDEN = "***"  # what is shown in its place
_LARGEST = 64 * 1024  # bytes of a secret's file
_SHORTEST = 4  # signs; hiding every "a" of a log would hide the log


def stands_elsewhere(setting: str) -> bool:
    """Whether `setting` says where a value stands, and is not the value."""
    return re.fullmatch(SECRET, setting) is not None


def check_elsewhere(text: str) -> str:
    """`text` itself. Raises ValueError where it is the value, not the place where it stands."""
    if not stands_elsewhere(text):
        raise ValueError("must be env:NAME or file:PATH: others can read a command line")
    return text


def reveal(
    setting: str,
    name: str,
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> str:
    """The value that `setting` stands for; a setting that stands for no other as it is.

    name: what the setting is called in messages, which never hold the value. folder: what relative
    paths are below (the working folder). environ: the process's, where none is given.
    Raises UsageError for a variable that is not set and a file that cannot be read.
    """
    kind, colon, rest = setting.partition(":")
    if colon and kind == "env":
        return _from_environment(rest, os.environ if environ is None else environ, name)
    if colon and kind == "file":
        return _from_file((folder or Path()) / at_home(rest), name)
    return setting


def variable_of(setting: str | None) -> str | None:
    """The environment variable that `setting` names, if it names one."""
    return setting[4:] if setting and setting.startswith("env:") else None


def path_of(setting: str | None) -> str | None:
    """The path of `file:PATH`; None where `setting` stands in no file."""
    return setting[5:] if setting and setting.startswith("file:") else None


def path_below(folder: Path, setting: str) -> str:
    """A path below `folder`, or `file:` with such a path; `env:NAME` as it is."""
    if variable_of(setting):
        return setting
    path = setting.removeprefix("file:")
    return f"{setting[: -len(path)]}{os.path.normpath(folder / at_home(path))}"


def redacted(text: str, secrets: Iterable[str]) -> str:
    """`text` without any of `secrets`, and without the password of any address in it."""
    for secret in sorted({s for s in secrets if len(s) >= _SHORTEST}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN).replace(without_password(secret), HIDDEN)
    return re.sub(r"(?<=://)[^\s/@]+@", f"{HIDDEN}@", text)


def _from_environment(variable: str, environ: Mapping[str, str], name: str) -> str:
    value = environ.get(variable, "").strip()
    if not value:
        raise UsageError(
            f"{name} is to come from an environment variable that is not set",
            code="config/secret-missing",
            value=variable,
            remedy=f"Set {variable} where the command is started, or write file:PATH instead",
        )
    return value


def _from_file(path: Path, name: str) -> str:
    reading(path)
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
