"""A table read from a real PostgreSQL is the table of the CSV file with the same rows.

    python proof/postgres_loader.py

Starts a PostgreSQL of its own from an installed package (Debian: apt-get install postgresql), on
loopback, in a temporary folder, as a user who is not root; fills a table; reads it by the command
with --query and --db, the password from the environment, from a file and inside the address; holds
every value to the CSV file's; trains and forecasts from it; looks for the password in everything
that was printed or written; stops the server.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from forecast.config.schema import DataSettings
from forecast.data.load import load_panel
from forecast.data.panel import Panel

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
USER = "forecaster"
QUERY = "select shop as unique_id, at as ds, sold as y from sales order by random()"
COLUMNS = "shop text, at timestamptz, day date, sold double precision, price numeric(12, 4), n int"


def binaries() -> Path:
    """The folder of initdb and pg_ctl. Raises SystemExit saying what to install."""
    on_path = shutil.which("initdb")
    found = [p for place in PLACES for p in sorted(Path("/").glob(place[1:]))]
    found = [p for p in found if (p / "initdb").exists()]
    if on_path:
        return Path(on_path).resolve().parent
    if not found:
        raise SystemExit("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    return found[-1]


def unprivileged() -> dict[str, int]:
    """subprocess options under which the server runs: it refuses to be root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid}
    raise SystemExit("run this as a user who is not root")


@contextmanager
def server(folder: Path, password: str) -> Iterator[int]:
    """A running PostgreSQL that asks for the password; its port on 127.0.0.1."""
    tools, owner = binaries(), unprivileged()
    home = folder / "server"
    home.mkdir(mode=0o700)
    secret = folder / "first-password"
    secret.write_text(password + "\n")
    if owner:
        for path in (home, secret):
            os.chown(path, owner["user"], owner["group"])
        folder.chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = str(home / "data")
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": str(home), **owner}
    subprocess.run(
        [tools / "initdb", "-D", data, "-U", USER, f"--pwfile={secret}", "-A", "scram-sha-256",
         "-E", "UTF8", "--no-sync"], **quiet,
    )  # fmt: skip
    secret.unlink()
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home}"
    control = [tools / "pg_ctl", "-D", data, "-w", "-l", str(home / "log"), "-o", options]
    subprocess.run([*control, "start"], **quiet)
    try:
        yield port
    finally:
        subprocess.run([*control, "-m", "fast", "stop"], **quiet)


def rows(count: int) -> list[tuple[str, datetime, float | None]]:
    """Three shops by the hour: awkward ids, values of every size, blanks."""
    start = datetime.fromisoformat("2021-03-01T00:00:00+00:00")
    made = []
    for s, shop in enumerate(("007", "NA", "Zürich/1")):
        for n in range(count):
            value = 100 + 30 * math.sin(n * math.tau / 24) + s + (n * 7919 % 97) / 13
            scaled = value * 10.0 ** ((n % 7) - 3) if s == 2 else value
            made.append((shop, start + timedelta(hours=n), None if n % 50 == 7 else scaled))
    return made


def fill(address: str, table: list[tuple[str, datetime, float | None]]) -> None:
    """Put the rows into the table `sales`."""
    from sqlalchemy import create_engine, text

    engine = create_engine(address)
    with engine.begin() as connection:
        connection.execute(text(f"create table sales ({COLUMNS})"))
        connection.execute(
            text("insert into sales values (:shop, :at, :day, :sold, :price, :n)"),
            [{"shop": shop, "at": at, "day": at.date(), "sold": y,
              "price": None if y is None else round(y, 4), "n": None if y is None else round(y)}
             for shop, at, y in table],
        )  # fmt: skip
    engine.dispose()


def write_csv(path: Path, table: list[tuple[str, datetime, float | None]], column: int) -> None:
    """The same rows as a CSV file; column: 0 as they are, 1 four decimals, 2 whole numbers."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("unique_id", "ds", "y"))
        for shop, at, y in table:
            text = "" if y is None else (repr(y), f"{round(y, 4):.4f}", str(round(y)))[column]
            writer.writerow((shop, at.isoformat(), text))


def same(a: Panel, b: Panel) -> bool:
    """Whether two panels have the same series, times and values, bit for bit."""
    spans = [p.frequency.stamps(p.first).tolist() for p in (a, b)]
    return (
        a.ids.tolist() == b.ids.tolist()
        and a.lengths.tolist() == b.lengths.tolist()
        and spans[0] == spans[1]
        and a.values.tobytes() == b.values.tobytes()
    )


def command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """One run of the command line."""
    given = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LSTMCAST_"))}
    return subprocess.run(
        [sys.executable, "-m", "forecast", *arguments], capture_output=True, text=True,
        env={**given, **environ},
    )  # fmt: skip


def check_values(address: str, table: list, folder: Path) -> int:
    """Every column type against its CSV file; the number of values held to each other."""
    compared = 0
    for column, name in enumerate(("sold", "price", "n")):
        path = folder / f"{name}.csv"
        write_csv(path, table, column)
        query = QUERY.replace("sold", name)
        panel, _ = load_panel(address, DataSettings(query=query))
        want, _ = load_panel(path, DataSettings())
        assert same(panel, want), f"column {name} differs from its CSV file"
        compared += len(want.values)
    return compared


def check_ways(port: int, password: str, folder: Path, said: list[str]) -> None:
    """Each way to hand the password over, and the errors without it."""
    bare = f"postgresql+psycopg://{USER}@127.0.0.1:{port}/postgres"
    whole = bare.replace("@", f":{password}@")
    secret = folder / "secret"
    secret.write_text(password + "\n")
    in_file = folder / "address"
    in_file.write_text(whole + "\n")
    ways: list[tuple[list[str], dict[str, str], int]] = [
        (["--db", bare, "--db-password", "env:SALES_KEY"], {"SALES_KEY": password}, 0),
        (["--db", bare, "--db-password", f"file:{secret}"], {}, 0),
        (["--db", "env:SALES_DB"], {"SALES_DB": whole}, 0),
        (["--db", f"file:{in_file}"], {}, 0),
        (["--db", whole], {}, 0),
        ([], {"LSTMCAST_DB": whole}, 0),
        (["--db", whole.removesuffix("postgres") + "nowhere"], {}, 4),
        (["--db", bare, "--db-password", "env:SALES_KEY"], {"SALES_KEY": "wrong"}, 4),
        (["--db", bare], {}, 4),
        (["--db", bare, "--db-password", password], {}, 2),
    ]
    for arguments, environ, code in ways:
        looks = ("--json", "--verbose", "--show-config", "--debug")
        for look in looks if arguments == ["--db", whole] else looks[:1]:
            done = command("check", *arguments, "--query", QUERY, look, **environ)
            if look != "--show-config":
                assert done.returncode == code, (arguments[:1], done.returncode, done.stderr)
            if arguments[-1:] != [password]:  # somebody typed it where it does not belong
                said.append(done.stdout + done.stderr)
    for query in ("select * from nowhere", "selec", f"select '{USER}'::int"):
        done = command("check", "--db", whole, "--query", query)
        assert done.returncode == 4 and "input/query" in done.stderr, done.stderr
        said.append(done.stdout + done.stderr)


def check_run(port: int, password: str, folder: Path, said: list[str]) -> None:
    """Train on a query, then forecast from the model alone: the query is run again."""
    address = f"postgresql+psycopg://{USER}@127.0.0.1:{port}/postgres"
    run, key = folder / "run", {"SALES_KEY": password}
    options = ["--max-steps", "3", "--members", "1", "--baselines", "none", "--out", str(run)]
    done = command(
        "train", "--db", address, "--db-password", "env:SALES_KEY", "--query", QUERY, *options,
        **key,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said.append(done.stdout + done.stderr)
    done = command("predict", "--model", str(run), "--output", "-", **key)
    assert done.returncode == 0, done.stderr
    assert "Zürich/1" in done.stdout
    said.append(done.stdout + done.stderr)
    manifest = json.loads((run / "model" / "manifest.json").read_text())
    assert manifest["data"]["path"] == address
    said += [p.read_text("utf-8", "replace") for p in run.rglob("*") if p.is_file()]
    whole = address.replace("@", f":{password}@")
    done = command("train", "--db", whole, "--query", QUERY, *options[:-1], str(folder / "two"))
    assert done.returncode == 0, done.stderr
    said += [p.read_text("utf-8", "replace") for p in (folder / "two").rglob("*") if p.is_file()]
    done = command("predict", "--model", str(folder / "two"), "--output", "-")
    assert done.returncode == 4 and "--db-password" in done.stderr, done.stderr
    said.append(done.stdout + done.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hours", type=int, default=1500, help="rows of each of three shops")
    given = parser.parse_args()
    started = time.monotonic()
    password = secrets.token_hex(12)
    said: list[str] = []
    table = rows(given.hours)
    with tempfile.TemporaryDirectory(prefix="postgres-loader-") as name:
        folder = Path(name)
        with server(folder, password) as port:
            address = f"postgresql+psycopg://{USER}:{password}@127.0.0.1:{port}/postgres"
            fill(address, table)
            compared = check_values(address, table, folder)
            check_ways(port, password, folder, said)
            check_run(port, password, folder, said)
    leaks = [text for text in said if password in text]
    assert not leaks, leaks[0][:2000]
    print(
        f"{compared:,} values of three column types equal those of the CSV files, bit for bit; "
        f"no password in {len(said)} outputs and files; {time.monotonic() - started:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
