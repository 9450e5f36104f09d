"""Entry point of the `lstmcast` command and of `python -m forecast`."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line and exits with its code."""
    from forecast.cli import run
    from forecast.failures import guarded

    words = sys.argv[1:]
    sys.exit(guarded(lambda: run(words), as_json="--json" in words, debug="--debug" in words))


if __name__ == "__main__":
    main()
