"""Every error that a user can meet: what, where, the offending value, the remedy.

Each class carries the process exit code; each instance a stable error code
(`input/duplicate-time`), which scripts may match on and which never changes meaning.
"""

from __future__ import annotations

import re

# Up to the last @ that may be meant: a password can hold an @ or a / that should have been escaped
_IN_ADDRESS = re.compile(r"([A-Za-z][\w+.-]*:/{1,3}[^/@:\n]*):(?:[^/\n]*@|[^\s@]*@)(?:[^\s?@]*@)*")
_NAMED = re.compile(
    r"(?i)(\w*(?:pas+\w*d|pwd|secret|token|api_?key)\w*(?:=|%3D))(?:(?!%3B)[^&;\s])+"
)


def without_password(text: str) -> str:
    """A text, such as the address of a database, as it may be shown and kept: also where the
    address is written wrongly, so that it is none that could be taken apart."""
    return _NAMED.sub(r"\1***", _IN_ADDRESS.sub(r"\1:***@", text))


class ForecastError(Exception):
    """Base of all errors that are reported to the user without a traceback.

    `message` says what is wrong, `where` names the file, line, column or series, `value` is the
    offending value, `remedy` says what to do about it.
    """

    exit_code = 70

    def __init__(
        self,
        message: str,
        *,
        code: str,
        where: str | None = None,
        value: object | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = without_password(message)
        self.code = code
        self.where = where and without_password(where)
        self.value = without_password(value) if isinstance(value, str) else value
        self.remedy = remedy and without_password(remedy)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        if self.value is not None:
            text += f" (found {self.value!r})"
        return f"{text}. {self.remedy}" if self.remedy else text


class UsageError(ForecastError):
    """Wrong option, wrong configuration: nothing was started."""

    exit_code = 2


class InputError(ForecastError):
    """The data cannot be used as it is: nothing was written."""

    exit_code = 4


class StaleInputError(ForecastError):
    """The data is older than the job allows."""

    exit_code = 5


class ModelNotFoundError(ForecastError):
    """No trained model where one was looked for."""

    exit_code = 10


class LockedError(ForecastError):
    """Another run holds the lock."""

    exit_code = 11


class ModelDamagedError(ForecastError):
    """A model folder that is damaged, or of a version that this one cannot read."""

    exit_code = 12


class OutputError(ForecastError):
    """Disk full, no permission, any other failure to write: old outputs are intact."""

    exit_code = 74


class TrainingError(ForecastError):
    """Training failed in a way that only a bug or impossible numbers explain."""

    exit_code = 70
