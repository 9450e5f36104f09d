"""Entry point of the `lstmcast` command and of `python -m forecast`."""

from __future__ import annotations

import os
import sys
import warnings
from typing import IO


def main() -> None:
    """Runs the command line and exits with its code."""
    from forecast.cli.app import run
    from forecast.cli.error_handler import guarded
    from forecast.common.resources import keep_memory

    keep_memory()
    sys.stdout, sys.stderr = _forgiving(sys.stdout), _forgiving(sys.stderr)
    words = sys.argv[1:]
    if not sys.warnoptions and "--debug" not in words:
        warnings.simplefilter("ignore")  # libraries' words to programmers
    sys.exit(guarded(lambda: run(words), as_json="--json" in words, debug="--debug" in words))


def _forgiving(stream: IO[str] | None) -> IO[str]:
    """`stream`, writing out what its encoding lacks; a sink when it was closed (>&-)."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    return stream


if __name__ == "__main__":
    main()
