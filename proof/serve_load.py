"""The HTTP service under load, in a process of its own on loopback, while runs publish.

    python proof/serve_load.py [SECONDS] [REQUESTS A SECOND]

A job of 1,000 series is asked for one series, for a hundred, for all of it, in all three forms, and
with the ETag of before, at 200 requests a second that do not wait for one another (a late answer
counts from when its request was due). Meanwhile a new forecast is published every second, and the
runs before the last three are deleted. Checked: every answer is one publication, whole; no error;
the 99th percentile is under 100 ms; memory does not grow. Exits with 1 where a check fails. The
figures need a machine that does nothing else; its load is printed beside them.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pyarrow as pa
from pyarrow import csv, parquet

from forecast.inference.tables import csv_bytes
from forecast.scheduling.publication import point_at, write_published
from tests.builders import run_manifest

SERIES, HORIZON, CONNECTIONS = 1000, 24, 32
KEY = "a-key-for-this-proof-alone"
PORT = 8399
MOST_KEPT = 12_000  # requests in all from which on not every large answer is looked into


def publish(folder: Path, number: int) -> None:
    """Publishes a forecast in which every value is `number`, as CSV and Parquet."""
    ids = np.repeat([f"series-{n:04d}" for n in range(SERIES)], HORIZON)
    stamps = np.tile([f"2024-01-01 {h:02d}:00" for h in range(HORIZON)], SERIES)
    names = ("LSTM", "LSTM-lo-80", "LSTM-hi-80", "LSTM-lo-95", "LSTM-hi-95")
    values = np.full(len(ids), float(number))
    words = {"source": ["LSTM"] * len(ids), "reason": [""] * len(ids)}
    table = pa.table({"unique_id": ids, "ds": stamps, **dict.fromkeys(names, values), **words})
    sink = BytesIO()
    parquet.write_table(table, sink)
    files = {"predictions.csv": csv_bytes(table), "predictions.parquet": sink.getvalue()}
    manifest = run_manifest(
        job="load", sequence=number, leads=True, as_of=f"{number}", as_of_moment=None,
        as_of_position=number, horizon=HORIZON,
    )  # fmt: skip
    run = f"{number:06d}-{number:010d}"
    write_published(folder, run, files, manifest)
    point_at(folder, run)
    for old in sorted((folder / "runs").iterdir())[:-3]:
        shutil.rmtree(old)


def questions() -> list[tuple[str, int]]:
    """(path and query, rows of the answer) in the mix that is asked."""
    one = [(f"/jobs/load/forecast?series=series-{n:04d}", HORIZON) for n in range(0, SERIES, 11)]
    some = "&".join(f"series=series-{n:04d}" for n in range(100))
    csvs = [(f"/jobs/load/forecast?{some}&format=csv", 100 * HORIZON)] * 5
    whole = [
        (f"/jobs/load/forecast?format={kind}", SERIES * HORIZON) for kind in ("csv", "parquet")
    ]
    return [*one, *csvs, *whole]


class Asker:
    """One connection that is kept open."""

    async def open(self) -> Asker:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", PORT)
        return self

    async def ask(self, path: str, tag: str | None) -> tuple[int, dict[str, str], bytes]:
        head = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n"
        self.writer.write((head + (f"if-none-match: {tag}\r\n" if tag else "") + "\r\n").encode())
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(lines[0].split()[1]), headers, body


def values_of(headers: dict[str, str], body: bytes) -> np.ndarray:
    """The forecasts in an answer."""
    kind = headers["content-type"]
    if kind == "application/json":
        return np.array([row["LSTM"] for row in json.loads(body)["forecast"]])
    table = (
        csv.read_csv(BytesIO(body))
        if kind.startswith("text/csv")
        else parquet.read_table(BytesIO(body))
    )
    return table.column("LSTM").to_numpy()


class Load:
    """Asks at a steady rate and keeps what came back."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.keep = 1  # in one second out of so many, every large answer is kept
        self.seconds: list[float] = []
        self.wrong: list[str] = []
        self.statuses: dict[int, int] = {}
        self.bodies: list[tuple[str, int, dict[str, str], bytes]] = []

    async def run(self, seconds: float) -> None:
        idle: asyncio.Queue[Asker] = asyncio.Queue()
        for _ in range(CONNECTIONS):
            idle.put_nowait(await Asker().open())
        mix, tags = questions(), {}
        self.keep = max(1, int(seconds * self.rate) // MOST_KEPT)
        start, tasks = time.perf_counter(), []
        for number in range(int(seconds * self.rate)):
            due = start + number / self.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(
                asyncio.create_task(self._one(idle, mix[number * 37 % len(mix)], due, tags))
            )
        await asyncio.gather(*tasks)

    async def _one(self, idle: Any, question: tuple[str, int], due: float, tags: dict) -> None:
        path, rows = question
        asker = await idle.get()
        try:
            status, headers, body = await asker.ask(path, tags.get(path))
        except (OSError, asyncio.IncompleteReadError) as error:
            self.wrong.append(f"{path}: {error!r}")
            return
        finally:
            idle.put_nowait(asker)
        self.seconds.append(time.perf_counter() - due)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status == 200:
            tags[path] = headers["etag"] if len(self.seconds) % 3 else None
            if len(self.seconds) % 10 == 0 or (rows > HORIZON and due % self.keep < 1):
                self.bodies.append((path, rows, headers, body))
        elif status != 304:
            self.wrong.append(f"{path}: {status} {body[:200]!r}")

    def check(self) -> None:
        """Every kept answer is one publication, whole."""
        for path, rows, headers, body in self.bodies:
            values = values_of(headers, body)
            if len(values) != rows or len(np.unique(values)) != 1:
                self.wrong.append(f"{path}: torn, {len(values)} rows of {len(np.unique(values))}")
        self.bodies = []


def memory(process: subprocess.Popen) -> float:
    """Resident memory of the server in MB."""
    text = Path(f"/proc/{process.pid}/statm").read_text()
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def processor(process: subprocess.Popen) -> float:
    """Seconds of a core that the server has used."""
    words = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def main(seconds: float, rate: float) -> int:
    """Serves, asks, publishes, and says what was measured."""
    with tempfile.TemporaryDirectory() as home:
        config = Path(home) / "batch.yaml"
        config.write_text("jobs:\n  load: {data: none.csv}\n")
        folder = Path(home) / "load"
        publish(folder, 1)
        words = [sys.executable, "-P", "-m", "forecast", "serve", str(config), "--port", str(PORT)]
        server = subprocess.Popen(
            [*words, "--published-only", "--quiet"],
            env={**os.environ, "LSTMCAST_API_KEY": KEY, "PYTHONPATH": sys.path[0]},
        )
        done = threading.Event()
        published = [1]

        def keep_publishing() -> None:
            while not done.wait(1.0):
                published[0] += 1
                publish(folder, published[0])

        publisher = threading.Thread(target=keep_publishing)
        try:
            asyncio.run(_until_ready())
            warm = Load(rate)
            asyncio.run(warm.run(5))
            before, busy = memory(server), processor(server)
            publisher.start()
            load = Load(rate)
            asyncio.run(load.run(seconds))
            after, busy = memory(server), processor(server) - busy
        finally:
            done.set()
            server.terminate()
            ended = server.wait(20)
        publisher.join()
        load.check()
    return told(load, (before, after), busy, published[0], ended)


async def _until_ready() -> None:
    for _ in range(300):
        try:
            await (await Asker().open()).ask("/healthz", None)
            return
        except OSError:
            await asyncio.sleep(0.1)
    raise SystemExit("the server did not start")


def told(load: Load, held: tuple[float, float], busy: float, published: int, ended: int) -> int:
    """Prints the figures; 1 where one is not as it should be."""
    before, after = held
    p50, p99, most = (1000 * np.quantile(load.seconds, q) for q in (0.5, 0.99, 1.0))
    print(f"requests {len(load.seconds):,} at {load.rate:g}/s, {published} publications meanwhile")
    print(f"milliseconds: median {p50:.1f}, 99th percentile {p99:.1f}, most {most:.1f}")
    print(f"answers by status {load.statuses}; memory {before:.0f} MB before, {after:.0f} MB after")
    print(f"the server used {1000 * busy / len(load.seconds):.2f} ms of a core for each request")
    print(f"load of the machine (1, 5, 15 min): {os.getloadavg()}, {os.cpu_count()} cores")
    failed = list(load.wrong[:10])
    failed += [] if p99 < 100 else [f"the 99th percentile is {p99:.1f} ms"]
    failed += [] if after < before * 1.25 + 20 else ["memory grew"]
    failed += [] if ended == 0 else [f"the server ended with {ended}"]
    print("\n".join(f"FAILED {each}" for each in failed) or "all held")
    return 1 if failed else 0


if __name__ == "__main__":
    given = [float(word) for word in sys.argv[1:3]]
    sys.exit(main(*(given + [60.0, 200.0][len(given) :])))
