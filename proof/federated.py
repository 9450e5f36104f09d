"""Three sites and a server as processes of their own, over loopback with TLS and authentication.

    python proof/federated.py [--rounds 6]

Flower's own programs: a SuperLink with a certificate, three SuperNodes with registered keys, the
app that `lstmcast federate app` writes, started by `flwr run`. One SuperNode is killed (SIGKILL) in
the middle of a round and started again; the SuperLink and the server's program are killed, started
and run again, and go on after the last whole round. A SuperNode without a registered key, and one
that does not know the certificate's authority, take no part. At the end every site has an ordinary
run folder, of which `predict` forecasts.

Exits with 1 where something failed. Needs flwr, openssl and ssh-keygen; without them nothing runs.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from _rehearsal import ROOT

SITES = 3
PORT, FIRST_PORT = 18510, 18511
SETTINGS = """\
forecast: {horizon: 6}
network: {hidden_size: 8, layers: 1}
training: {from_scratch: true, max_steps: 60, jobs: 1, seed: 3}
"""
FEDERATION = "federation: {rounds: ROUNDS, local_steps: 10}\n"
CURVE = "ec_paramgen_curve:prime256v1"
WAITED = 600.0  # seconds for anything on a busy machine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=6)
    given = parser.parse_args()
    programs = ("openssl", "ssh-keygen")
    missing = [name for name in programs if shutil.which(name) is None]
    if missing or importlib.util.find_spec("flwr") is None:
        print(f"not run: {', '.join(missing) or 'flwr'} is not installed")
        return 0
    with tempfile.TemporaryDirectory(prefix="federated-") as folder:
        rehearsal = Rehearsal(Path(folder), given.rounds)
        try:
            rehearsal.play()
        finally:
            rehearsal.close()
    print(f"all held; {time.monotonic() - rehearsal.began:.0f} s")
    return 0


class Rehearsal:
    """The programs of a federation, their files below one folder."""

    def __init__(self, home: Path, rounds: int) -> None:
        self.home, self.rounds, self.began = home, rounds, time.monotonic()
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.bin = Path(sys.executable).parent
        self.address = f"127.0.0.1:{PORT}"

    # --- The play ---

    def play(self) -> None:
        self.prepare()
        self.start_link()
        for number in range(1, SITES + 1):
            words = ["supernode", "register", f"site-{number}.pub", "ours"]
            self.until(f"site {number} is registered", lambda w=words: self.flwr(*w) == 0)
            self.start_site(number)
        self.intrude()
        self.run_app("first")
        self.until("round 1 is done", lambda: "round 1 of" in self.log("first"))
        self.lose_a_site()
        self.lose_the_server()
        self.until("the second run starts", lambda: self.starts("second"))
        self.until("the second run ends", lambda: "Done: 3 sites have" in self.log("second"))
        assert "going on after round" in self.log("second"), self.log("second")
        self.look()

    def lose_a_site(self) -> None:
        """Site 2 is killed while it learns, and comes back."""
        self.until("site 2 works", lambda: self.works("site-2"))
        self.kill("site-2")
        self.until(
            "the round goes on without it",
            lambda: "a round does not count" in self.log("first"),
        )
        counted = self.log("first").count("a round does not count")
        self.start_site(2)
        at = self.round_of("first")
        self.until("two rounds more", lambda: self.round_of("first") >= min(at + 2, self.rounds))
        print(
            f"site 2 was killed in mid-round: {counted} answer(s) not counted, the rounds went on"
        )

    def lose_the_server(self) -> None:
        """The SuperLink and the server's program are killed; the SuperNodes find the next one."""
        for line in self.processes("flwr-serverapp"):
            with suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)
        self.kill("first")
        self.kill("link")
        self.start_link()
        print(f"the server was killed after round {self.round_of('first')}")

    def intrude(self) -> None:
        """SuperNodes with a key of their own, or that trust another authority, stay outside."""
        self.key("stranger")
        self.node("stranger", FIRST_PORT + 8, "ca.crt", "stranger")
        self.certify("other", "other authority")
        self.node("deceived", FIRST_PORT + 9, "other.crt", "site-1")
        time.sleep(20)
        for name, words in (("stranger", "SuperNode ID"), ("deceived", "SuperNode ID")):
            assert words not in self.log(name), f"{name}: {self.log(name)}"
            self.kill(name)
        print("a stranger's key and another authority's certificate: not let in")

    def look(self) -> None:
        """Every site has its network, and nothing else of the others; the rounds are told."""
        said = json.loads((self.home / "state" / "federation.json").read_text())
        assert said["sites"] == SITES, said
        assert not (self.home / "state" / "rounds.safetensors").exists()
        rounds = pd.read_csv(self.home / "state" / "rounds.csv")
        assert (rounds.counted >= 2).all() and (rounds.counted == SITES).any(), rounds
        told = set()
        for number in range(1, SITES + 1):
            out = self.home / f"model-{number}"
            about = json.loads((out / "model" / "manifest.json").read_text())["federated"]
            told.add((about["rounds"], about["best-round"], about["sites"]))
            words = ["predict", str(self.data(number)), "--model", str(out), "--output", "-"]
            done = self.lstmcast(*words)
            assert done.returncode == 0, done.stderr
            assert done.stdout.count("\n") == 1 + 4 * 6, done.stdout
        assert told == {(said["rounds"], said["best_round"], SITES)}, told
        print(f"rounds: {len(rounds)}, counted {rounds.counted.tolist()}; {SITES} sites predict")

    # --- Files ---

    def prepare(self) -> None:
        self.certify("ca", "an authority")
        self.sh("openssl", "req", "-newkey", "ec", "-pkeyopt", CURVE, "-nodes", "-keyout",
                "server.key", "-out", "server.csr", "-subj", "/CN=localhost")  # fmt: skip
        (self.home / "san").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        self.sh("openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey",
                "ca.key", "-CAcreateserial", "-days", "30", "-extfile", "san", "-out",
                "server.crt")  # fmt: skip
        (self.home / "site.yaml").write_text(SETTINGS)
        server = SETTINGS + FEDERATION.replace("ROUNDS", str(self.rounds))
        (self.home / "server.yaml").write_text(server)
        for number in range(1, SITES + 1):
            self.key(f"site-{number}")
            table(number).to_csv(self.data(number), index=False)
        done = self.lstmcast("federate", "app", str(self.home / "app"))
        assert done.returncode == 0, done.stderr
        config = self.home / "flwr" / "config.toml"
        config.parent.mkdir()
        config.write_text(
            f'[superlink]\ndefault = "ours"\n[superlink.ours]\naddress = "{self.address}"\n'
            f'root-certificates = "{self.home / "ca.crt"}"\n'
        )

    def certify(self, name: str, subject: str) -> None:
        self.sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", CURVE, "-nodes", "-days",
                "30", "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj",
                f"/CN={subject}")  # fmt: skip

    def key(self, name: str) -> None:
        self.sh("ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", "", "-f", name)

    def data(self, number: int) -> Path:
        return self.home / f"sales-{number}.csv"

    # --- Processes ---

    def start_link(self) -> None:
        self.start("link", "flower-superlink", "--host", "127.0.0.1", "--port", str(PORT),
                   "--ssl-certfile", "server.crt", "--ssl-keyfile", "server.key",
                   "--ssl-ca-certfile", "ca.crt", "--enable-supernode-auth", "--database",
                   "link.db", "--disable-runtime-dependency-installation")  # fmt: skip

    def start_site(self, number: int) -> None:
        words = {"data": self.data(number), "config": self.home / "site.yaml",
                 "out": self.home / f"model-{number}"}  # fmt: skip
        config = " ".join(f"{name}='{value}'" for name, value in words.items())
        self.node(f"site-{number}", FIRST_PORT + number, "ca.crt", f"site-{number}", config)
        self.until(f"site {number} is connected",
                   lambda: "SuperNode ID" in self.log(f"site-{number}"))  # fmt: skip

    def node(self, name: str, port: int, authority: str, key: str, config: str = "") -> None:
        self.start(name, "flower-supernode", "--root-certificates", authority, "--superlink",
                   self.address, "--port", str(port), "--auth-supernode-private-key", key,
                   *(("--node-config", config) if config else ()))  # fmt: skip

    def run_app(self, name: str) -> None:
        words = f"config='{self.home / 'server.yaml'}' state='{self.home / 'state'}' "
        words += f"sites={SITES} wait=60.0 timeout=120.0"
        self.start(name, "flwr", "run", "app", "ours", "--stream", "--run-config", words)

    def starts(self, name: str) -> bool:
        """Whether a run of the app is accepted: a SuperLink needs a moment to listen."""
        self.run_app(name)
        time.sleep(8)
        if "Successfully started run" in self.log(name):
            return True
        self.kill(name)
        return False

    def start(self, name: str, program: str, *words: str) -> None:
        with (self.home / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                [self.bin / program, *words], cwd=self.home, env=self.environment(name),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    def environment(self, name: str) -> dict[str, str]:
        own = "flwr" if name in ("link", "first", "second", "flwr") else f"flwr-{name}"
        return {
            **os.environ,
            "FLWR_HOME": str(self.home / own),
            "FLWR_TELEMETRY_ENABLED": "0",
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
            "OMP_NUM_THREADS": "1",
        }

    def flwr(self, *words: str) -> int:
        done = subprocess.run(
            [self.bin / "flwr", *words], cwd=self.home, env=self.environment("flwr"),
            capture_output=True, text=True,
        )  # fmt: skip
        return 0 if "already" in done.stdout + done.stderr else done.returncode

    def lstmcast(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "forecast", *words]
        env = self.environment("flwr")
        return subprocess.run(command, cwd=self.home, env=env, capture_output=True, text=True)

    def sh(self, *words: str) -> None:
        subprocess.run(words, cwd=self.home, check=True, capture_output=True)

    # --- What is seen ---

    def log(self, name: str) -> str:
        text = (self.home / f"{name}.log").read_text(errors="replace")
        return re.sub(r"\x1b\[[0-9;]*m", "", text)

    def round_of(self, name: str) -> int:
        return max(map(int, re.findall(r"round (\d+) of", self.log(name))), default=0)

    def processes(self, words: str) -> list[str]:
        done = subprocess.run(["ps", "-eo", "pid,sid,args"], capture_output=True, text=True)
        return [line for line in done.stdout.splitlines() if words in line]

    def works(self, name: str) -> bool:
        """Whether a site's program is at work, not just its SuperNode."""
        session = str(self.running[name].pid)
        return any(line.split()[1] == session for line in self.processes("flwr-clientapp"))

    def until(self, what: str, done: Callable[[], bool]) -> None:
        end = time.monotonic() + WAITED
        while not done():
            if time.monotonic() > end:
                logs = "\n".join(f"--- {n}\n{self.log(n)[-3000:]}" for n in self.running)
                raise AssertionError(f"{what}: not within {WAITED:.0f} s\n{logs}")
            time.sleep(0.5)

    def kill(self, name: str) -> None:
        """A program and all that it started."""
        process = self.running.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        for name in list(self.running):
            self.kill(name)


def table(number: int) -> pd.DataFrame:
    """A site's rows: four monthly series of ten years, with a season that all sites share."""
    rng = np.random.default_rng(number)
    times = pd.date_range("2014-01-01", periods=120, freq="MS")
    season = np.tile(np.sin(np.arange(12) * np.pi / 6), 10)
    parts = [
        pd.DataFrame({
            "unique_id": f"item-{n}", "ds": times,
            "y": rng.uniform(50, 500) * (1 + 0.3 * season + rng.normal(0, 0.05, 120)),
        })
        for n in range(4)
    ]  # fmt: skip
    return pd.concat(parts).round(2)


if __name__ == "__main__":
    sys.exit(main())
