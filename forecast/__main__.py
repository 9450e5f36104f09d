"""Entry point of the `lstmcast` command and of `python -m forecast`."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from itertools import pairwise
from typing import IO

QUIET = {"--quiet", "-q", "--json", "--help", "-h", "--help-all", "--show-config", "json"}


def main() -> None:
    """Runs the command line and exits with its code."""
    _leave_out_the_current_folder()
    sys.stdout, sys.stderr = _forgiving(sys.stdout), _forgiving(sys.stderr)
    words = sys.argv[1:]
    if words and not words[0].startswith("-") and not QUIET.intersection(words):
        from forecast.cli.console import begin_waiting

        begin_waiting(sys.stderr, os.environ)
    from forecast.cli.app import run
    from forecast.cli.error_handler import guarded
    from forecast.common.resources import begin_now, keep_memory

    begin_now()
    keep_memory()
    if not sys.warnoptions and "--debug" not in words:
        warnings.simplefilter("ignore")  # libraries' words to programmers
    log_json = "--log-format=json" in words or ("--log-format", "json") in pairwise(words)
    code = guarded(
        lambda: run(words),
        as_json="--json" in words,
        debug="--debug" in words,
        log_json=log_json,
    )
    gc.freeze()  # else leaving takes a second: every object of every library is looked through
    sys.exit(code)


def _leave_out_the_current_folder() -> None:
    """Files beside the user's data are not modules, here and in every Python started from here.

    `python -m forecast` puts the current folder first on the path of imports.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not sys.flags.safe_path and sys.path[0] != own and sys.path[0] in ("", _current_folder()):
        del sys.path[0]


def _current_folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return ""


def _forgiving(stream: IO[str] | None) -> IO[str]:
    """`stream`, writing out what its encoding lacks; a sink when it was closed (>&-)."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    return stream


if __name__ == "__main__":
    main()
