"""Several processes train one network: the same weights everywhere, one decision for all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from forecast.common.errors import UsageError
from forecast.training.distributed import ALONE, NEEDED, STRIDE, DistributedContext, join
from tests import ROOT
from tests.builders import train_config

# A rank: fits, saves its standing all the time; rank 1 alone is asked to stop at step `stop`.
RANK = """
import hashlib, json, sys
from pathlib import Path
import numpy as np
from tests.builders import make_panel, train_config
from forecast.training.distributed import join
from forecast.training.loop import fit
from forecast.transforms.windows import step_layout

folder, stop = Path(sys.argv[1]), int(sys.argv[2])
context = join(True)
panel = make_panel((60, 48, 52, 44), seed=3)
config = train_config(steps=12, batch_size=8, dropout=0.1, seed=5)
steps = []
validation = (panel.lengths - 6)[None]
asked = lambda: context.any(context.rank == context.size - 1 and bool(stop) and len(steps) >= stop)
saved = context.checkpoint(folder / "fit.checkpoint", 0.0, config.seed)
with context.together():
    made = fit(
        panel.values, panel.offsets, step_layout(12), config, validation=validation, ranks=context,
        report=lambda p: steps.append(p.step) if p.evaluated else None, interrupted=asked,
        checkpoint=saved,
    )
weights = hashlib.sha256(b"".join(made.weights[k].tobytes() for k in sorted(made.weights)))
told = {"weights": weights.hexdigest(), "ended": made.ended, "steps": steps}
(folder / f"rank-{context.size}-{context.rank}.json").write_text(json.dumps(told))
"""


def ranks(folder: Path, size: int, stop: int = 0) -> list[dict[str, object]]:
    """What each of `size` ranks says of one fit in `folder`."""
    script = folder / "rank.py"
    script.write_text(RANK)
    given = {name: value for name, value in os.environ.items() if name not in NEEDED}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    done = subprocess.run(
        [*command, str(size), str(script), str(folder), str(stop)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**given, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    paths = [folder / f"rank-{size}-{rank}.json" for rank in range(size)]
    return [json.loads(path.read_text()) for path in paths]


def test_two_ranks_have_the_same_weights_stop_together_and_one_goes_on(tmp_path):
    first, second = ranks(tmp_path, 2, stop=4)
    assert first == second
    assert first["ended"] == "interrupted"
    assert 4 <= first["steps"][-1] < 12
    assert (tmp_path / "fit.checkpoint").exists()
    (alone,) = ranks(tmp_path, 1)
    assert alone["ended"] == "steps"
    assert alone["steps"][0] > first["steps"][-1]
    assert alone["steps"][-1] == 12
    assert alone["weights"] != first["weights"]


def test_without_torchrun_there_is_no_team_unless_it_was_asked_for():
    assert join(False, {}) is None
    slurm = dict.fromkeys(NEEDED, "1")  # somebody else's environment
    assert join(False, slurm) is None
    with pytest.raises(UsageError) as caught:
        join(True, {"RANK": "0"})
    assert caught.value.code == "usage/no-torchrun"
    assert "torchrun --nproc-per-node 2 -m forecast train" in str(caught.value)
    assert "WORLD_SIZE" in str(caught.value)


def test_ranks_share_batch_and_series_and_draw_from_streams_of_their_own(monkeypatch):
    monkeypatch.setattr(DistributedContext, "same", lambda self, value: value)
    monkeypatch.setattr(DistributedContext, "any", lambda self, flag: flag)
    config = train_config(batch_size=9, seed=7)
    contexts = [DistributedContext(rank, 2) for rank in (0, 1)]
    parts = [ranks.config(config) for ranks in contexts]
    assert [(part.batch_size, part.seed) for part in parts] == [(5, 7), (5, 7 + STRIDE)]
    ends = np.array([10, 20, 30, 40, 1])
    shares = [ranks.share(ends) for ranks in contexts]
    assert [share.tolist() for share in shares] == [[10, 0, 30, 0, 1], [0, 20, 0, 40, 0]]
    few = np.array([50, 60])
    assert all((ranks.share(few) == few).all() for ranks in contexts)
    assert ALONE.config(config) is config
    assert ALONE.share(ends) is ends
