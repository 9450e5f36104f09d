"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from forecast.errors import OutputError


def save_whole(path: Path, content: bytes, what: str) -> None:
    """Put `content` at `path` in one step, so that no reader ever sees half a file.

    what: names the content in the message, e.g. "chart". Raises OutputError when the file cannot
    be written; what was at `path` before is then intact.
    """
    try:
        with _scratch(path.parent, what) as scratch:
            with scratch.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            scratch.chmod(0o644)
            scratch.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot write the {what}: {error.strerror or error}",
            code=f"output/{what}",
            where=str(path),
            remedy="Check that the folder exists, is writable and has room, or change --output",
        ) from error


@contextlib.contextmanager
def _scratch(folder: Path, what: str) -> Iterator[Path]:
    """A new file in `folder` for the caller to write and move away; removed if it is left."""
    handle, name = tempfile.mkstemp(prefix=f".{what}-", dir=folder)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
