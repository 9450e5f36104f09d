"""Fuzz the loader: random tables and damaged ones, each read twice, by us and by plain Python.

    python proof/fuzz_loader.py                                        # three minutes
    python proof/fuzz_loader.py --full --state fuzz.json               # a million: an hour

Every case is a file. The loader must either refuse it with an InputError that has a code and a
place, or read it; what it reads must be what Python's csv module and Decimal read, value for
value. Anything else is a failure: another exception, a crash, more than LIMIT seconds. Cases run
in a child process that takes many of them, so that a crash or a hang is seen; it is then replaced,
and the failing case is named by its number and kept. With --state a stopped run goes on where it
was.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import lzma
import math
import os
import random
import re
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

from _progress import Progress, commit, going_on
from _record import record

BATCH = 500  # cases between two notes of how far it got
WORKER = 10_000  # cases that one child process takes
LIMIT = 10.0  # seconds (processor) that a case may take
SILENCE = 900.0  # seconds after which a child that says nothing is killed: the machine may be busy
MOST_FAILURES = 20
MILLION = 1_000_000
MISSING = {"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "#N/A", "<NA>"}
SCALES = {"K": "1e3", "M": "1e6", "B": "1e9"}
FORMS = (
    "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ", "%d.%m.%Y", "%Y/%m/%d", "%Y%m%d",
    "%d %b %Y", "%Y-%m-%dT%H:%M:%S+02:00",
)  # fmt: skip
TOKENS = (
    b"\x00", b'"', b"'", b",", b";", b"\n", b"\r", b"\r\n", b"\t", b"|", b"1e400",
    b"4e492493924924",
    b"inf", b"NaN", b"-", b"\xff", b"\xef\xbb\xbf", b"\xfe\xff", b"  ", b"1_000", b"0x10",
    b"9" * 40,
    b"2020-02-30", b"0001-01-01", b"9999-12-31", b"23:59:60", b"\xc3\xa9", b"true", b"#", b"\\",
    b"\x1b[31m", b"PAR1", b"1,234.5", "−5".encode(), "٣".encode(), b"e", b".", b"E+", b"%s", b"{}",
)  # fmt: skip


def grammar(rng: random.Random) -> bytes:
    """A valid or nearly valid table of random dialect, size and content."""
    form = rng.choice(FORMS)
    step = timedelta(days=rng.choice((1, 7))) if "%H" not in form else timedelta(hours=1)
    start = datetime(rng.randint(1700, 2240), rng.randint(1, 12), rng.randint(1, 28))
    separator = rng.choice(",,,;\t|")
    ids = rng.sample(
        ["a", "b", "007", "NA", "é", "x/y", "  sp", "Z", "null", "🍎"], rng.randint(1, 4)
    )
    rows = []
    for name in ids:
        at = start + step * rng.randint(0, 5)
        for _ in range(rng.randint(1, 25)):
            if rng.random() > 0.05:
                rows.append([name, at.strftime(form), number(rng)])
            at += step
    if rng.random() < 0.3:
        rng.shuffle(rows)
    if rng.random() < 0.1:
        rows += [rng.choice(rows)] if rows else []
    if rng.random() < 0.3:
        rows = [[*r, rng.choice(("x", "", "TRUE", "3"))] for r in rows]
    header = ["unique_id", "ds", "y", "extra"][: len(rows[0]) if rows else 3]
    out = io.StringIO()
    end = rng.choice(("\n", "\n", "\r\n", "\r"))
    quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    writer = csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows([header, *rows])
    return out.getvalue().encode()


def number(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.05:
        return rng.choice(("", "NA", "nan", " ", "null"))
    if kind < 0.4:
        return str(rng.randint(-1000, 1000))
    if kind < 0.8:
        return f"{rng.uniform(-1e4, 1e4):.{rng.randint(0, 12)}f}"
    if kind < 0.95:
        return repr(rng.uniform(-1, 1) * 10 ** rng.randint(-300, 300))
    return rng.choice(("+5", "5.", ".5", " 7 ", "1E5", "-0", "1e-400", "00012"))


def mutated(rng: random.Random, content: bytes) -> bytes:
    """`content` with a few bytes, tokens or lines changed."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(7)
        if kind == 0 and data:
            data[at % len(data)] = rng.randrange(256)
        elif kind == 1:
            del data[at : at + rng.randint(1, 12)]
        elif kind in (2, 3):
            data[at:at] = rng.choice(TOKENS)
        elif kind == 4:
            del data[at:]
        else:
            lines = bytes(data).split(b"\n")
            n = rng.randrange(len(lines))
            if kind == 5:
                lines.insert(rng.randrange(len(lines) + 1), lines[n])
            else:
                del lines[n]
            data = bytearray(b"\n".join(lines))
    return bytes(data)


def stored(rng: random.Random, content: bytes) -> bytes:
    """A table as it may be stored: compressed, in UTF-16, or as Parquet or Feather."""
    kind = rng.randrange(5)
    if kind == 0:
        return gzip.compress(content)
    if kind == 1:
        return lzma.compress(content)
    if kind == 2:
        return content.decode().encode("utf-16")
    import pyarrow as pa
    from pyarrow import csv as pacsv
    from pyarrow import feather, parquet

    try:
        table = pacsv.read_csv(io.BytesIO(content))
    except pa.ArrowInvalid:
        return content
    out = io.BytesIO()
    if kind == 3:
        parquet.write_table(table, out)
    else:
        feather.write_feather(table, out)
    return out.getvalue()


def options(rng: random.Random) -> dict[str, object]:
    """Settings as a person might combine them; mostly none."""
    if rng.random() < 0.7:
        return {}
    choices: dict[str, list] = {
        "duplicates": ["first", "last", "mean", "sum"],
        "missing": ["zero", "ffill"],
        "resample": ["D", "MS", "h", "W", "ME", "3D", "QE"],
        "freq": ["D", "h", "W", "MS", "5", "30min", "B"],
        "tz": ["Europe/Berlin", "UTC", "+02:00", "America/New_York", "Nowhere/Atall"],
        "wide": [True],
        "dayfirst": [True, False],
        "decimal": [",", "."],
        "thousands": [",", ".", " "],
        "encoding": ["cp1252", "utf-8", "utf-16", "nonsense"],
        "delimiter": [";", ",", "|"],
        "id_col": ["unique_id", "extra", "unique_id,extra", "nobody"],
        "time_col": ["ds", "y", "ds,y"],
        "target_col": ["y", "extra", "ds"],
        "time_unit": ["step", "s", "ms", "excel"],
        "drop_value": [(0.0,), (-999.0, 5.0)],
        "agg": ["sum", "last", "max"],
    }
    names = rng.sample(sorted(choices), rng.choice((1, 1, 2, 3)))
    return {name: rng.choice(choices[name]) for name in names}


def case(seed: int, number_: int) -> tuple[bytes, dict[str, object]]:
    """The file and the settings of case `number_`."""
    rng = random.Random(f"{seed}-{number_}")
    content = grammar(rng)
    if rng.random() < 0.15:
        content = stored(rng, content)
    if rng.random() < 0.6:
        content = mutated(rng, content)
    return content, options(rng)


def reference(content: bytes, report: dict) -> Counter:
    """(id, time, value) of all filled cells, as csv and Decimal read them; repeated rows once."""
    text = content.decode(report["dialect"]["encoding"]).lstrip("\ufeff")
    names = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
    separator = names[report["dialect"]["separator"]]
    rows = [r for r in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if r]
    columns = report["columns"]
    noted = {note["code"] for note in report["repairs"]}
    used = {*columns["id"], *columns["time"], *columns["target"]}
    if "repair/preamble" in noted:  # lines above the header
        rows = rows[next(n for n, row in enumerate(rows) if used <= set(names_of(row))) :]
    header = names_of(rows[0])
    if "repair/below" in noted:  # lines of words below the last row
        rows = [r for r in rows if len(r) == len(header)]
    id_at = [header.index(n) for n in columns["id"]]
    time_at, target_at = header.index(columns["time"][0]), header.index(columns["target"][0])
    seen = set()
    for row in rows[1:]:
        value = row[target_at].strip()
        if value in MISSING:
            continue
        if "repair/notation" in noted and not any(c.isdigit() for c in value):
            continue  # a sign for missing
        if "repair/no-row" in noted and not any(c.isdigit() for c in row[time_at]):
            continue  # totals, units, words
        if report["dialect"]["decimal"] == ",":
            value = value.replace(",", ".")
        name = "/".join(row[i] for i in id_at) if id_at else columns["target"][0]
        seen.add((name, same_time(row[time_at]), nearest(value)))
    return Counter((name, value) for name, _, value in seen)


def same_time(text: str) -> str:
    """The text of a time, alike where two are the same to us: a month is known by how its name
    begins (Sepé), and a time may be written 1752.05/28, 29 Jul- 1872, 1809-06-8, T03:00."""
    text = re.sub(r"([A-Za-z]{3})[^\W\d_]+", r"\1", text.strip())
    text = re.sub(r"(?<=\d)T +(?=\d)", "T", text)
    text = re.sub(r"(?<!\d)\d(?!\d)", r"0\g<0>", text)
    text = re.sub(r"(?<=T\d\d:\d\d)(?=[Z+-]|$)", ":00", text)
    return re.sub(r"[ ./-]+", "-", text)


def names_of(row: list[str]) -> list[str]:
    """The names of columns in a row that heads a table."""
    return [name.strip() or f"column {i + 1}" for i, name in enumerate(row)]


def nearest(text: str) -> float:
    """The float nearest to a decimal number, by Decimal as far as its exponents reach."""
    try:
        return float(Decimal(text))
    except InvalidOperation:
        if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)[eE]-\d{18,}", text):
            return 0.0  # smaller than Decimal can say
        return float(Decimal(plainly(text)))


def plainly(text: str) -> str:
    """A number as people write it, as Python does: '-  11', '81,234.53', "7'102", '12K', '804-'."""
    text = re.sub(r"^([+-]) +(?=\d)", r"\1", text)
    text = re.sub(r"^([\d.'].*)-$", r"-\1", text)  # as SAP writes what is below zero
    if re.fullmatch(r"[+-]?\d{1,3}([,']\d{3})+(\.\d+)?([eE][+-]?\d+)?", text):
        text = text.replace(",", "").replace("'", "")
    tail = re.search(r"(?<=[\d.])[KkMB]$", text)
    return str(Decimal(text[:-1]) * Decimal(SCALES[tail[0].upper()])) if tail else text


def verdict(path: Path, settings: dict[str, object]) -> str:
    """ "refused", "read", or what is wrong."""
    from forecast.common.errors import InputError
    from forecast.config.schema import DataSettings
    from forecast.data.load import load_panel
    from forecast.data.panel import panel_to_arrow

    try:
        panel, report = load_panel(path, DataSettings(max_gap_share=1.0, **settings))
    except InputError as error:
        complete = error.code.startswith("input/") and error.exit_code == 4 and str(error)
        return "refused" if complete else f"incomplete error {error.code}"
    document = report.to_dict()
    content = path.read_bytes()
    plain = "encoding" in document["dialect"] and not content.startswith((b"\x1f\x8b", b"\xfd7zXZ"))
    if settings or not plain:
        return "read"
    try:
        want = reference(content, document)
    except (InvalidOperation, ValueError, IndexError, csv.Error) as error:
        return f"read what Python cannot: {error!r}"
    table = panel_to_arrow(panel)
    pairs = zip(table.column("unique_id").to_pylist(), table.column("y").to_pylist(), strict=True)
    found = Counter((i, y) for i, y in pairs if y is not None)
    return "read" if found == want else f"differs: {list((found - want) + (want - found))[:3]}"


def child(seed: int) -> None:
    """Runs the cases that standard input names ("first count"), saying `number start` before and
    `number verdict` after each."""
    shared = Path("/dev/shm")
    where = shared if os.access(shared, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where) as folder:
        path = Path(folder) / "case.csv"
        for line in sys.stdin:
            first, count = map(int, line.split())
            for n in range(first, first + count):
                say(f"{n} start")
                say(f"{n} {judged(path, *case(seed, n))}")
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            say(f"done {peak}")


def say(text: str) -> None:
    """One line to the parent, at once."""
    os.write(1, text.replace("\n", " ").encode("ascii", "backslashreplace") + b"\n")


def judged(path: Path, content: bytes, settings: dict[str, object]) -> str:
    """The verdict on one case, exceptions and slowness included."""
    path.unlink(missing_ok=True)  # a new file: its predecessor's inode must not look changed
    path.write_bytes(content)
    began = time.process_time()
    try:
        result = verdict(path, settings)
    except Exception as error:  # every exception but InputError is a finding
        return f"raised {type(error).__name__}: {error}"
    took = time.process_time() - began
    return result if took <= LIMIT else f"took {took:.0f} s"


class Worker:
    """A child process and the lines that it says."""

    def __init__(self, seed: int) -> None:
        command = [sys.executable, __file__, "--child", "--seed", str(seed)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.taken = 0
        self._rest = b""

    def run(self, first: int, count: int) -> tuple[dict[int, str], int]:
        """The verdicts of its cases and its peak memory, MB (0: it died or fell silent).

        A case that was begun and never judged has the reason as its verdict.
        """
        assert self.process.stdin is not None
        self.process.stdin.write(f"{first} {count}\n".encode())
        self.process.stdin.flush()
        self.taken += count
        last: dict[int, str] = {}
        while (line := self._line()) is not None:
            name, text = line.split(" ", 1)
            if name == "done":
                return last, int(text)
            last[int(name)] = text
        self.process.kill()
        code = self.process.wait()
        ended = "said nothing any more" if code == -9 else f"the process ended with {code}"
        return {n: ended if v == "start" else v for n, v in last.items()}, 0

    def _line(self) -> str | None:
        """The next line; None at the end or after too long a silence."""
        pipe = self.process.stdout
        assert pipe is not None
        while b"\n" not in self._rest:
            if not select.select([pipe], [], [], SILENCE)[0]:
                return None
            part = os.read(pipe.fileno(), 1 << 16)
            if not part:
                return None
            self._rest += part
        line, self._rest = self._rest.split(b"\n", 1)
        return line.decode()

    def close(self) -> None:
        """Lets the process end."""
        self.process.kill()
        self.process.wait()


@dataclass
class Standing:
    """How far a run got: the number of the next case, verdicts counted, failures, peak memory.

    cpu, wall, commits: as of _record.Progress.
    """

    seed: int
    first: int
    next: int
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    peak: int = 0
    cpu: float = 0.0
    wall: float = 0.0
    commits: list[str] = field(default_factory=list)

    def progress(self, of: int) -> Progress:
        """It, as a row of docs/proofs.md tells of it."""
        kept = self.cpu, self.wall, [*self.commits]
        return Progress(of, self.next - self.first, Counter(self.counts), *kept)

    def save(self, path: Path | None) -> None:
        """Keeps it in `path`, whole or not at all."""
        if path is not None:
            new = path.with_name(path.name + ".new")
            new.write_text(json.dumps({**vars(self), **self.progress(0).spent()}, indent=1))
            new.replace(path)

    def take(self, verdicts: dict[int, str], peak: int, keep: Path) -> None:
        """Counts verdicts; the files of those that failed are kept."""
        self.peak = max(self.peak, peak)
        for n, text in verdicts.items():
            kind = text if text in ("refused", "read") else "failed"
            self.counts[kind] = self.counts.get(kind, 0) + 1
            if kind == "failed":
                content, settings = case(self.seed, n)
                (keep / f"{self.seed}-{n}.csv").write_bytes(content)
                self.failures.append(f"{self.seed}-{n}: {text} {settings or ''}")
        if verdicts:
            self.next = max(verdicts) + 1  # after a crash: behind the case that did it


def run(at: Standing, last: int | None, end: float, keep: Path, state: Path | None) -> None:
    """Runs cases from `at.next` up to `last`, or until the clock (monotonic) says `end`."""
    worker = Worker(at.seed)
    told = at.next
    while len(at.failures) < MOST_FAILURES:
        count = BATCH if last is None else min(BATCH, last - at.next)
        if count <= 0 or time.monotonic() >= end:
            break
        verdicts, peak = worker.run(at.next, count)
        if not verdicts:
            raise SystemExit("the child process does not start")
        at.take(verdicts, peak, keep)
        at.save(state)
        if not peak or worker.taken >= WORKER:
            worker.close()
            worker = Worker(at.seed)
        if at.next - told >= 20_000:
            told = at.next
            print(f"{at.next - at.first:,} cases, {len(at.failures)} failures", flush=True)
    worker.close()
    at.save(state)  # the processor time of the child process as well


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=None, help="as many, else three minutes")
    parser.add_argument("--full", action="store_true", help="a million, and write the outcome")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=None, help="folder for failing files")
    going_on(parser)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.seed)
        return 0
    keep = given.keep or Path(tempfile.mkdtemp(prefix="fuzz-loader-"))
    keep.mkdir(parents=True, exist_ok=True)
    at = Standing(given.seed, given.first, given.first)
    if given.state is not None and given.state.exists():
        at = Standing(**json.loads(given.state.read_text()))
    if commit() not in at.commits:
        at.commits.append(commit())
    wanted = MILLION if given.full else given.cases
    last = None if wanted is None else at.first + wanted
    most = given.seconds or (180.0 if wanted is None else math.inf)
    run(at, last, time.monotonic() + most, keep, given.state)
    print(", ".join(f"{kind}: {n:,}" for kind, n in sorted(at.counts.items())))
    print(f"peak memory of a child process: {at.peak} MB")
    for failure in at.failures:
        print(failure)
    print(f"failing files: {keep}" if at.failures else "no failure")
    if given.full and not at.failures:
        progress = at.progress(MILLION)
        kinds = ", ".join(f"{kind} {n:,}" for kind, n in sorted(at.counts.items()))
        record(f"{progress.told() or f'{MILLION:,} '}tables, of a grammar and changed by chance, "
               f"seed {at.seed} from case {at.first:,}",
               f"{kinds}; every value read is what Python reads; a child process used {at.peak:,} "
               "MB at most", progress)  # fmt: skip
    return 1 if at.failures else 0


if __name__ == "__main__":
    sys.exit(main())
