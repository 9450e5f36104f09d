"""A shell evaluates what completion tells it: nothing to evaluate is ever told."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests import ROOT

HOSTILE = ("$(touch owned)", "\\$(touch owned)", "`touch owned`", "x';touch owned;'", "a b", 'q"w')


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_names_that_a_shell_would_read_as_more_than_a_name_are_not_offered(tmp_path, shell):
    run = tmp_path / "runs" / "good"
    (run / "model").mkdir(parents=True)
    (tmp_path / "runs" / "$(touch owned)" / "model").mkdir(parents=True)
    ids = "".join(f'"{each}",2020,1\n' for each in ("store-1", *HOSTILE[:-1], 'q""w'))
    (run / "predictions.csv").write_text("unique_id,ds,LSTM\n" + ids)
    told = "".join(
        subprocess.run(
            [sys.executable, "-P", "-m", "forecast"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=shell == "bash",
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "_LSTMCAST_COMPLETE": f"complete_{shell}",
                "_TYPER_COMPLETE_FISH_ACTION": "get-args",
                "_TYPER_COMPLETE_ARGS": f"lstmcast {line}",
                "COMP_WORDS": f"lstmcast {line}",
                "COMP_CWORD": str(len(line.split(" "))),
            },
        ).stdout
        for line in ("plot ", "plot runs/good --series ")
    )
    assert "runs/good" in told
    assert "store-1" in told
    assert not any(part in told for part in ("touch", "a b", "q", "\\$"))
