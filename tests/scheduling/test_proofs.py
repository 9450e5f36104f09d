"""The proofs of scheduled runs in their shortest form; `make proof` runs them at length."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests import ROOT

PROOF = ROOT / "proof"

pytestmark = pytest.mark.skipif(
    not PROOF.is_dir() or not hasattr(os, "fork"), reason="no proofs here, or no fork"
)

SHORT = {
    "batch_kill_anywhere.py": ("--every", "75", "--instants", "3", "--training", "0"),
    "batch_two_starters.py": ("--times", "3"),
    "batch_resume_training.py": ("--points", "4", "--kills", "2"),
    "batch_soak.py": ("--years", "1", "--every", "90"),
    "batch_stateful.py": ("--examples", "5", "--steps", "10"),
    "batch_full_disk.py": ("--times", "1"),
    "batch_timing.py": ("--reuse", "--busy", "--series", "20", "--days", "20"),
}
SAYS = {
    "batch_kill_anywhere.py": "nothing torn, nothing lost, every next run clean",
    "batch_two_starters.py": "3 pairs: one run and one refusal each",
    "batch_resume_training.py": "the weights of every training are bit-equal",
    "batch_soak.py": "slots, each published once",
    "batch_stateful.py": "as the list says",
    "batch_full_disk.py": "a disk that fills and empties: ",
    "batch_timing.py": "a day's run: ",
}


@pytest.mark.parametrize("script", SHORT)
def test_the_proof_holds_in_its_shortest_form(script):
    done = subprocess.run(
        [sys.executable, str(PROOF / script), *SHORT[script]],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=600,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert SAYS[script] in done.stdout
