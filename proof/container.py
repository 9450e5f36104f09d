"""The image of the Dockerfile: built where a container engine is, else its steps taken here.

    python proof/container.py [--target predict] [--keep FOLDER]

With an engine: `docker build`, then the checks below in a container without network, with a
read-only root. Without one: every RUN, COPY, ENV and USER of the stages that the target needs, in
their order, below a folder that stands for the image's root (a clean virtual environment; users are
not made, their number is taken where this is root). What that cannot show is the base image: its
system libraries.

Checked each time: the command runs as the user of the image and may not write into its own
packages; `forecast` reads a mounted file and writes beside it; torch is there, or, in `predict`,
is not; a job is run, and the health check is well before and after, and ill once the job's last
success is too old. Exits with 1 where something failed.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OWNED = re.compile(
    r"(?<![\w.$}/-])/(?=(?:opt|src|data|home|tmp)\b)"
)  # paths of the image in a step
JOB = "jobs: {passengers: {data: airline_passengers.csv, model: pretrained}}\n"


@dataclass
class Stage:
    """One FROM and what follows it."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)


def stages_of(text: str) -> dict[str, Stage]:
    """The stages of a Dockerfile by name; the last one is also called ""."""
    lines = re.sub(r"\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.M)).splitlines()
    found: dict[str, Stage] = {}
    for word, _, rest in (line.strip().partition(" ") for line in lines if line.strip()):
        if word == "FROM":
            base, *named = rest.split()
            stage = found[named[-1] if named else ""] = Stage(base)
        else:
            stage.steps.append((word, rest.strip()))
    return {**found, "": stage}


class Image:
    """The steps of one stage, taken below `root`."""

    def __init__(self, stages: dict[str, Stage], name: str, root: Path) -> None:
        self.stages, self.root, self.uid = stages, root, os.getuid()
        self.environment = {"PATH": f"{python_alone(root)}:/usr/bin:/bin", "HOME": "/root"}
        self.environment |= {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_"))}
        self.here, self.told = root, {"HEALTHCHECK": "", "ENTRYPOINT": "", "CMD": ""}
        self.take(stages[name], name)

    def take(self, stage: Stage, name: str) -> None:
        if stage.base in self.stages:
            self.take(self.stages[stage.base], stage.base)
        for word, rest in stage.steps:
            print(f"  [{name or 'last'}] {word} {rest[:88]}", flush=True)
            if word in self.told:
                self.told[word] = rest
            else:
                getattr(self, word.lower())(rest)

    def placed(self, text: str) -> str:
        return OWNED.sub(f"{self.root}/", text)

    def expanded(self, text: str) -> str:
        return re.sub(r"\$\{?(\w+)\}?", lambda m: self.environment.get(m[1], ""), text)

    def arg(self, rest: str) -> None:
        name, _, value = rest.partition("=")
        self.environment[name] = value

    def env(self, rest: str) -> None:
        for pair in shlex.split(rest):
            name, _, value = pair.partition("=")
            self.environment[name] = self.placed(self.expanded(value))

    def copy(self, rest: str) -> None:
        *options, source, target = rest.split()
        where = Path(self.placed(target))
        where.parent.mkdir(parents=True, exist_ok=True)
        if options:
            stage = options[0].removeprefix("--from=")
            other = Image(self.stages, stage, self.root.parent / f"stage-{stage}")
            where.symlink_to(Path(other.placed(source)))
            return
        kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"]
        for name in kept:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, where / name, symlinks=True, ignore=ignored)
            else:
                where.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, where / name)

    def run(self, rest: str) -> None:
        if rest.startswith("useradd"):
            self.uid = int(re.search(r"--uid (\d+)", rest)[1]) if os.getuid() == 0 else os.getuid()
            for name in ("data", "home/lstmcast"):
                (self.root / name).mkdir(parents=True)
                os.chown(self.root / name, self.uid, -1)
            return
        command = self.placed(rest)
        if not reachable(self.environment.get("TORCH_INDEX")):
            command = command.replace("--index-url ${TORCH_INDEX} ", "")
        subprocess.run(["sh", "-ec", command], check=True, env=self.environment)

    def user(self, rest: str) -> None:
        assert os.getuid() != 0 or int(rest) == self.uid, "USER is not the user that was made"

    def workdir(self, rest: str) -> None:
        self.here = Path(self.placed(rest))

    def start(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What `docker run IMAGE words` would do."""
        return self.sh(shlex.join([*eval_list(self.told["ENTRYPOINT"]), *words]))

    def health(self, **environment: str) -> int:
        command = self.told["HEALTHCHECK"].partition("CMD ")[2]
        return self.sh(command, **environment).returncode

    def sh(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        user = {"user": self.uid, "group": self.uid} if os.getuid() == 0 else {}
        return subprocess.run(
            ["sh", "-c", command], cwd=self.here, env=self.environment | environment,
            capture_output=True, text=True, **user,
        )  # fmt: skip


class Container:
    """The same questions, put to an image that a container engine built."""

    def __init__(self, target: str, data: Path) -> None:
        named = ["--target", target] if target else []
        subprocess.run(["docker", "build", *named, "-t", "lstmcast-proof", str(ROOT)], check=True)
        self.here = data
        data.chmod(0o777)

    def sh(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = [f"--env={name}={value}" for name, value in environment.items()]
        return subprocess.run(
            ["docker", "run", "--rm", "--network=none", "--read-only", "--tmpfs=/tmp", *given,
             f"--volume={self.here}:/data", "--entrypoint=sh", "lstmcast-proof", "-c", command],
            capture_output=True, text=True,
        )  # fmt: skip

    def start(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.sh(shlex.join(["lstmcast", *words]))

    def health(self, **environment: str) -> int:
        command = stages_of((ROOT / "Dockerfile").read_text())["user"].steps
        return self.sh(dict(command)["HEALTHCHECK"].partition("CMD ")[2], **environment).returncode


def eval_list(text: str) -> list[str]:
    import json

    return list(json.loads(text))


def python_alone(root: Path) -> Path:
    """A folder whose `python` is an interpreter outside of any environment that all may run."""
    folder = root / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    own = getattr(sys, "_base_executable", sys.executable)
    asked = [own, *(shutil.which(n, path="/usr/local/bin:/usr/bin") for n in ("python3", "python"))]
    real = next(filter(runs_for_all, filter(None, asked)), None)
    if real is None:
        raise SystemExit("no Python from 3.11 that other users may start: install python3-venv")
    (folder / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(real)} "$@"\n')
    (folder / "python").chmod(0o755)
    return folder


def runs_for_all(interpreter: str) -> bool:
    """Whether users without rights can start it, and it can make an environment."""
    user = {"user": 10001, "group": 10001} if os.getuid() == 0 else {}
    code = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
    try:
        return (
            subprocess.run([interpreter, "-c", code], capture_output=True, **user).returncode == 0
        )
    except PermissionError:
        return False


def reachable(address: str | None) -> bool:
    """Whether `address` has packages; else the index that pip is set up with is used."""
    if not address:
        return True
    try:
        with urllib.request.urlopen(f"{address}/torch/", timeout=10):
            return True
    except OSError:
        print(f"  {address} cannot be reached: torch comes from where pip is set up to look")
        return False


def checks(image: Image | Container, predicts: bool) -> list[str]:
    """What is wrong with the image."""
    wrong: list[str] = []

    def check(right: bool, what: str, said: str = "") -> None:
        print(f"  {'ok  ' if right else 'FAIL'} {what}", flush=True)
        if not right:
            wrong.append(f"{what}: {said[-600:]}")

    for name in ("airline_passengers.csv", "hourly_stores.csv"):
        shutil.copy(ROOT / "sample_data" / name, image.here)
    done = image.start("--version")
    check(done.stdout.startswith("lstmcast "), "says its version", done.stderr)
    write = image.sh("d=$(dirname $(command -v lstmcast))/..; touch $d/x 2>/dev/null; id -u")
    check(write.stdout.strip() != "0", "does not run as root", write.stdout)
    own = image.sh("test ! -w $(dirname $(command -v lstmcast))")
    check(own.returncode == 0, "cannot write into its own packages")
    done = image.start("forecast", "airline_passengers.csv", "--output", "next.csv")
    written = image.here / "next.csv"
    check(written.is_file(), "forecasts a mounted file", done.stderr)
    torch = image.sh("python -c 'import torch'").returncode == 0
    check(torch is not predicts, "has no torch" if predicts else "has torch")
    check(image.health() == 0, "is well without a job")
    (image.here / "batch.yaml").write_text(JOB)
    done = image.start("run", "batch.yaml")
    check(image.health() == 0, "is well after a run", done.stderr + done.stdout)
    check(image.health(JOB_MAX_AGE="1s") == 1, "is ill when the last success is too old")
    return wrong


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--target", default="", choices=["", "predict"])
    options.add_argument("--keep", type=Path, help="take the steps below this folder, and leave it")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = given.keep or Path(folder)
        place.chmod(0o755) if place.exists() else place.mkdir(parents=True)
        if subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
            image: Image | Container = Container(given.target, place)
        else:
            print("no container engine: the Dockerfile's steps are taken here")
            text = (ROOT / "Dockerfile").read_text()
            image = Image(stages_of(text), given.target, place / "image")
        wrong = checks(image, given.target == "predict")
    print("\n".join(wrong) or "the image does what the Dockerfile promises")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
