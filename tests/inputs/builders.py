"""Small tables as text and bytes, for tests of everything that reads one."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np


def days(count: int, first: str = "2020-01-01") -> list[str]:
    """ISO dates, one a day."""
    start = date.fromisoformat(first)
    return [(start + timedelta(days=n)).isoformat() for n in range(count)]


def hours(count: int, first: str = "2020-01-01 00:00") -> list[str]:
    """Times, one an hour: `2020-01-01 00:00`."""
    start = datetime.fromisoformat(first)
    return [(start + timedelta(hours=n)).strftime("%Y-%m-%d %H:%M") for n in range(count)]


def months(count: int, year: int = 2018) -> list[str]:
    """First days of months."""
    return [f"{year + n // 12}-{n % 12 + 1:02d}-01" for n in range(count)]


def wave(count: int, seed: int = 7) -> list[str]:
    """Numbers around 100 with a weekly season and noise, two decimals."""
    rng = np.random.default_rng(seed)
    values = 100 + 10 * np.sin(np.arange(count) * 2 * np.pi / 7) + rng.normal(0, 1, count)
    return [f"{v:.2f}" for v in values]


def table(
    header: Sequence[str], *columns: Iterable[object], sep: str = ",", end: str = "\n"
) -> str:
    """A text table of columns of equal length."""
    rows = [header, *zip(*columns, strict=True)]
    return "".join(sep.join(str(c) for c in row) + end for row in rows)


def daily(count: int = 30, **options: str) -> str:
    """`ds,y` with a value a day."""
    return table(["ds", "y"], days(count), wave(count), **options)


def write(folder: Path, content: str | bytes, name: str = "data.csv") -> Path:
    """A file with this content."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet_bytes(**columns: Sequence[object]) -> bytes:
    """A Parquet file in memory."""
    import pyarrow as pa
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(pa.table(dict(columns)), buffer)
    return buffer.getvalue()


def replaced(text: str, line: int, content: str) -> str:
    """`text` with line number `line` (the header is 1) replaced."""
    lines = text.splitlines(keepends=True)
    lines[line - 1] = content + "\n"
    return "".join(lines)
