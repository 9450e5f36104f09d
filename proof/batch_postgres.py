"""Forecasts in a real PostgreSQL: one transaction for each as-of, never a row twice.

    python proof/batch_postgres.py

Starts a PostgreSQL of its own (see postgres_loader.py). A job publishes into a table; its rows are
held to predictions.csv, value for value: after a run, after the same run again, after new and
restated data, after a rollback, after the database was away, after SIGKILL at random instants. A
reader that looks all the while never sees part of an as-of. The password is in no file and no
word that was printed.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import secrets
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from _rehearsal import Rehearsal, ended, import_everything, published
from postgres_loader import USER, server

MORE = """\
    recalibrate: false
    outputs: {database: env:FORECAST_DB, table: forecasts, files: [csv]}
"""
VARIABLE = "FORECAST_DB"
ROWS = 3 * 7  # series by horizon


class Table:
    """The table as a reader sees it."""

    def __init__(self, address: str) -> None:
        from sqlalchemy import create_engine

        self.engine = create_engine(address)

    def as_ofs(self) -> dict[str, int]:
        """Rows of each as-of; none where there is no table yet."""
        from sqlalchemy import inspect, text

        with self.engine.connect() as connection:
            if not inspect(connection).has_table("forecasts"):
                return {}
            found = connection.execute(text("select as_of, count(*) from forecasts group by 1"))
            return {as_of: int(count) for as_of, count in found}

    def equals(self, job: Path) -> None:
        """Holds the rows of the published as-of to predictions.csv, bit for bit."""
        from sqlalchemy import text

        as_of = published(job).as_of
        with (job / "current/predictions.csv").open(newline="", encoding="utf-8") as file:
            wanted = {(row["unique_id"], row["ds"]): row for row in csv.DictReader(file)}
        with self.engine.connect() as connection:
            query = text("select * from forecasts where job = 'sales' and as_of = :as_of")
            rows = [dict(r) for r in connection.execute(query, {"as_of": as_of}).mappings()]
        assert len(rows) == len(wanted) == ROWS, f"{len(rows)} rows, {len(wanted)} in the file"
        for row in rows:
            line = wanted[row["unique_id"], row["ds"][:10]]
            for name, value in line.items():
                if name.startswith("LSTM"):
                    assert row[name] == float(value), (name, row[name], value)
            assert row["source"] == line["source"]


class Watcher(threading.Thread):
    """Looks at the table all the while: no as-of may ever be there in part."""

    def __init__(self, table: Table) -> None:
        super().__init__(daemon=True)
        self.table, self.looks, self.torn = table, 0, 0
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.is_set():
            with suppress(Exception):
                self.torn += any(count != ROWS for count in self.table.as_ofs().values())
                self.looks += 1


def life(trial: Rehearsal, table: Table, kills: int, rng: random.Random) -> None:
    """Everything that can happen to the table while the database is there."""
    job, first = trial.job, 70
    trial.write_data(first)
    assert trial.run() == 0, trial.words()
    table.equals(job)
    assert trial.run() == 0 and table.as_ofs() == {published(job).as_of: ROWS}
    trial.write_data(first + 1)
    assert trial.run() == 0, trial.words()
    table.equals(job)
    assert sorted(table.as_ofs().values()) == [ROWS, ROWS]
    data = trial.home / "sales.csv"
    data.write_text(data.read_text().replace("a,2024-03-10,", "a,2024-03-10,1"))
    assert trial.run() == 0, trial.words()
    table.equals(job)
    assert sorted(table.as_ofs().values()) == [ROWS, ROWS], "a restated as-of was appended"
    trial.write_data(first + 2)
    started = time.monotonic()
    assert trial.run() == 0
    lasts = time.monotonic() - started
    for n in range(kills):
        trial.write_data(first + 3 + n)
        pid = trial.start()
        time.sleep(rng.uniform(0, 1.05 * lasts))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        ended(pid)
        assert set(table.as_ofs().values()) == {ROWS}, "a kill left part of an as-of"
        assert trial.run() == 0, trial.words()
        table.equals(job)
    owed = len(table.as_ofs())
    assert trial.command("rollback") == 0, trial.words()
    table.equals(job)
    assert len(table.as_ofs()) == owed - 1, "what was withdrawn is still in the table"


def away(trial: Rehearsal, days: int) -> None:
    """A run while the database is away: the files are published, exit code 74."""
    trial.write_data(days)
    before = published(trial.job).as_of
    code = trial.run()
    assert code == 74, f"exit code {code}: {trial.words()}"
    assert "output/database" in trial.words(), trial.words()
    assert published(trial.job).as_of > before, "the files were not published"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    import_everything()
    password = secrets.token_hex(12)
    with tempfile.TemporaryDirectory(prefix="lstmcast-postgres-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the server is another user
        (folder / "server").mkdir()
        trial = Rehearsal(folder / "trial")
        trial.begin(MORE)
        with server(folder / "server", password) as port:
            address = f"postgresql+psycopg://{USER}:{password}@127.0.0.1:{port}/postgres"
            os.environ[VARIABLE] = address
            table = Table(address)
            watcher = Watcher(Table(address))
            watcher.start()
            life(trial, table, given.kills, random.Random(given.seed))
            watcher.stop.set()
            watcher.join()
            table.engine.dispose()
            watcher.table.engine.dispose()
        assert watcher.looks > 20 and not watcher.torn, f"{watcher.torn} looks saw part of an as-of"
        away(trial, 200)
        (folder / "again").mkdir()
        with server(folder / "again", password) as port:
            os.environ[VARIABLE] = (
                f"postgresql+psycopg://{USER}:{password}@127.0.0.1:{port}/postgres"
            )
            assert trial.run() == 0, trial.words()
            table = Table(os.environ[VARIABLE])
            table.equals(trial.job)
            table.engine.dispose()
        said = [p for p in (folder / "trial").rglob("*")
                if p.is_file() and password.encode() in p.read_bytes()]  # fmt: skip
        assert not said, f"the password is in {said}"
    print(f"every as-of whole in {watcher.looks:,} looks, {given.kills} kills; equal to the files; "
          "made up for after the database was away; no password anywhere")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
