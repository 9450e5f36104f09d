"""A tree of files, folders, links, pipes and devices, most of them a user's, for commands to be
let loose on: what they may not change is compared byte for byte and mode for mode."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PIPE_SIZE = 1 << 20  # bytes, so that nobody waits for a reader
SET_PIPE_SIZE = 1031  # fcntl.F_SETPIPE_SZ, which Python 3.11 knows on Linux alone

# What a user may have put anywhere, also under names that lstmcast uses.
NAMES = (
    "notes.txt", "predictions.csv", "report.html", "samples.csv", "model.onnx", "explanation.json",
    "metrics.json", "backtest.csv", "manifest.json", "study.db", "tuned.yaml", "compare.csv",
    "job.json", "part-00000.parquet", "part-00000.json", ".git", "data", "runs", "model", "models",
    "training", "batch.yaml", "settings.yaml", "lstmcast-sales.service", "série.csv", "a b.csv",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """What stands at a path: its mode, owner, device number, and content or target of a link."""

    mode: int
    owner: tuple[int, int]
    device: int
    content: bytes | str | None


def snapshot(root: Path) -> dict[str, Entry]:
    """Everything below `root`, by its path relative to that; folders too."""
    found = {}
    for place, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(place, name)
            found[os.path.relpath(path, root)] = entry(path)
    return found


def entry(path: str | Path) -> Entry:
    """What stands at a path."""
    about = os.lstat(path)
    kind = stat.S_IFMT(about.st_mode)
    content: bytes | str | None = None
    if kind == stat.S_IFREG:
        content = Path(path).read_bytes()
    elif kind == stat.S_IFLNK:
        content = os.readlink(path)
    device = about.st_rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0
    return Entry(about.st_mode, (about.st_uid, about.st_gid), device, content)


def copied(template: Path, target: Path) -> None:
    """A copy of a tree of plain files, folders and links, modes and links with it."""
    shutil.copytree(template, target, symlinks=True, dirs_exist_ok=True)


@dataclass
class Tree:
    """root: the current folder of the commands; ours: paths that commands may change or remove;
    targets: paths, as a user may write them, for outputs; streams: open files to be kept open;
    seen: what stood there when it was last looked at."""

    root: Path
    ours: set[str]
    targets: list[str]
    streams: list[int]
    seen: dict[str, Entry]

    def close(self) -> None:
        """Lets go of the pipes."""
        for handle in self.streams:
            os.close(handle)


def build(root: Path, template: Path, rng: random.Random) -> Tree:
    """A tree below the new folder `root`. template: what lstmcast made: runs, a job, parts ..."""
    copied(template, root)
    ours = {str(path.relative_to(root)) for path in root.rglob("*")}
    ours -= {"in.csv", "two.csv", "bad.csv"}
    streams: list[int] = []
    for path, content in {
        "other.csv": "unique_id,ds,y\na,2020-01-01,1\n",
        "notes.txt": "notes",
        "secret.csv": "secret",
        "chart.png": "not a picture",
        "page.html": "<!doctype html><title>mine</title>",
        "proj/.git/HEAD": "ref: refs/heads/main",
        "proj/.git/objects/ab/cdef": "blob",
        "proj/src/main.py": "code",
        "proj/data.csv": "unique_id,ds,y\na,2020-01-01,1\n",
        "runs/precious/weights.bin": "mine",
        "runs/NOTES.txt": "mine",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    (root / "secret.csv").chmod(0o600)
    (root / "proj/src/main.py").chmod(0o755)
    for name in ("empty", "home", "dev", "links"):
        (root / name).mkdir()
    os.link(root / "in.csv", root / "twin.csv")
    for name, target in {
        "input": "../in.csv", "notes": "../notes.txt", "folder": "../proj", "gone": "../gone.csv",
        "loop": "loop", "old": "../old.csv", "run": "../runs/run", "empty": "../empty",
        "null": "../dev/null", "home": "../home",
    }.items():  # fmt: skip
        (root / "links" / name).symlink_to(target)
    for name, number in (("null", 3), ("full", 7)):
        with suppress(OSError):
            os.mknod(root / "dev" / name, 0o666 | stat.S_IFCHR, os.makedev(1, number))
    streams.append(make_pipe(root / "dev" / "pipe"))
    handle = os.open(root.parent / f"{root.name}-stdout", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    streams.append(handle)
    (root / "dev" / "stdout").symlink_to(f"/proc/self/fd/{handle}")
    streams += sprinkle(root, rng)
    return Tree(root, ours, targets_in(root, rng), streams, snapshot(root))


def make_pipe(path: Path) -> int:
    """Makes a named pipe; a handle that holds both of its ends, so that a writer never waits."""
    os.mkfifo(path)
    handle = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    fcntl.fcntl(handle, SET_PIPE_SIZE, PIPE_SIZE)
    return handle


def sprinkle(root: Path, rng: random.Random) -> list[int]:
    """Puts a few more things of the user's into folders, his own and ours; handles of the pipes."""
    pipes: list[int] = []
    places = [root, *(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())]
    places = [path for path in places if ".git" not in path.parts]
    for _ in range(rng.randrange(6)):
        path = rng.choice(places) / rng.choice(NAMES)
        if os.path.lexists(path):
            continue
        kind = rng.choice(("file", "file", "folder", "link", "dangling", "pipe"))
        if kind == "file":
            path.write_text(f"mine {rng.random()}")
            path.chmod(rng.choice((0o644, 0o600, 0o444, 0o755)))
        elif kind == "folder":
            path.mkdir()
            (path / "inner.txt").write_text("mine")
        elif kind == "link":
            path.symlink_to(root / "notes.txt")
        elif kind == "dangling":
            path.symlink_to(root / "nowhere" / "at-all")
        else:
            pipes.append(make_pipe(path))
    return pipes


def targets_in(root: Path, rng: random.Random) -> list[str]:
    """Paths that an output may be pointed at: what there is, in several spellings, and new ones."""
    there = [str(path.relative_to(root)) for path in root.rglob("*")]
    there = [name for name in there if name.count(os.sep) < 3]
    spelt = [f"./{name}" for name in there] + [f"proj/../{name}" for name in there]
    absolute = [str(root / name) for name in there]
    new = ["new.csv", "new.parquet", "new", "deep/new.csv", "deep/er/new", "s3://bucket/x.csv",
           ".", "..", "./", "empty/../.", str(root), str(root.parent), "links/folder/new.csv",
           "links/empty/new.csv", "in.csv/x"]  # fmt: skip
    liked = ["in.csv", "twin.csv", "links/input", "other.csv", "notes.txt", "secret.csv", "old.csv",
             "proj", "empty", "dev/null", "dev/full", "dev/pipe", "dev/stdout", "links/gone",
             "links/notes", "links/loop", "links/old", "links/run", "runs", "runs/run", "home",
             "links/folder", "runs/precious"]  # fmt: skip
    pools = (there, spelt, absolute, new, liked, liked, liked)
    return [rng.choice(rng.choice(pools)) for _ in range(8)]


@contextmanager
def working_in(folder: Path, home: Path) -> Iterator[None]:
    """The current folder and the home folder are these."""
    before, old = Path.cwd(), os.environ.get("HOME")
    os.chdir(folder)
    os.environ["HOME"] = str(home)
    try:
        yield
    finally:
        os.chdir(before)
        if old is None:
            del os.environ["HOME"]
        else:
            os.environ["HOME"] = old


def changed(before: dict[str, Entry], after: dict[str, Entry], ours: set[str]) -> list[str]:
    """What of the user's is gone or another: "path: what it was, what it is"."""
    return [
        f"{path}: {entry} is now {after.get(path)}"
        for path, entry in before.items()
        if path not in ours and after.get(path) != entry
    ]
