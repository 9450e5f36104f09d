"""Libraries that only some commands need and that pip installs with an extra of the package."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from forecast.common.errors import UsageError


def needed(module: str, extra: str, purpose: str) -> ModuleType:
    """The module of an extra. Raises UsageError, which names the extra, where it is not installed.

    purpose: what needs it, such as "tune".
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{purpose} needs a library that is not installed",
            code="usage/extra-missing",
            value=error.name or module,
            remedy=f"pip install 'lstmcast[{extra}]'",
        ) from None
