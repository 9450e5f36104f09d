"""What the input is cut into: the files of a folder, or the parts of a database query.

No series may be in two partitions; `merge` holds the outcome to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from forecast.common.errors import UsageError
from forecast.config.schema import DataSettings, EngineSettings, without_password
from forecast.data.io.database import HIDDEN, is_database
from forecast.data.multiple_files import files_of

PLACEHOLDERS = ("{partition}", "{partitions}")


@dataclass(frozen=True)
class Partition:
    """One part of the input: `place` is a path or a database address, `query` its SQL there.

    name: as it is reported; size: bytes of the file, 0 for a query.
    """

    name: str
    place: str
    query: str | None = None
    size: int = 0

    def stamp(self) -> int | None:
        """When the file last changed (ns); None for a query, which may change at any time."""
        return None if self.query is not None else Path(self.place).stat().st_mtime_ns


def partitions_of(source: str, data: DataSettings, engine: EngineSettings) -> list[Partition]:
    """The partitions of `source`, in an order that depends on nothing but the input.

    Raises UsageError: standard input, a query that cannot be asked in parts; InputError: no file.
    """
    if is_database(source):
        return _of_query(source, data, engine)
    if engine.partitions is not None:
        raise UsageError(
            "--partitions is about a database query; files are partitions already",
            code="usage/partitions-of-files",
            value=engine.partitions,
            remedy="Leave --partitions out, or name a database with --db and --query",
        )
    if source == "-":
        raise UsageError(
            "standard input cannot be forecast in parts",
            code="usage/engine-needs-files",
            where="--engine",
            remedy="Name a folder or a pattern of files with whole series in each",
        )
    files = [Path(file).resolve() for file in files_of(source)]
    return [
        Partition(file.name, str(file), size=file.stat().st_size if file.exists() else 0)
        for file in files
    ]


def _of_query(source: str, data: DataSettings, engine: EngineSettings) -> list[Partition]:
    query, count = data.query or "", engine.partitions
    if without_password(source) != source or f":{HIDDEN}@" in source:
        raise UsageError(
            "the password of the database would have to be written down for the other processes",
            code="usage/engine-password",
            where="--db",
            value=without_password(source),
            remedy="Take it out of the address and say --db-password env:NAME or file:PATH",
        )
    if count is None or not all(word in query for word in PLACEHOLDERS):
        raise UsageError(
            "the query does not say how it is asked in parts",
            code="usage/engine-needs-parts",
            where="--query",
            value=query,
            remedy="Say --partitions N, and which series are in a part: "
            "... where mod(store, {partitions}) = {partition}",
        )
    return [
        Partition(
            f"part {n} of the query",
            source,
            query.replace("{partitions}", str(count)).replace("{partition}", str(n)),
        )
        for n in range(count)
    ]


def share(count: int, shard: str | None) -> range:
    """The numbers of those of `count` partitions that the shard "I/N" forecasts; all for None."""
    if shard is None:
        return range(count)
    found = re.fullmatch(r"(\d+)/(\d+)", shard)
    assert found is not None  # the settings let nothing else pass
    return range(int(found[1]) - 1, count, int(found[2]))


def spread(count: int, most: int) -> list[int]:
    """At most `most` of `count` numbers, evenly spread, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(n * (count - 1) / (most - 1)) for n in range(most)]
