"""The study of memory: what it shows a cell, what a start does, and that a learner learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests import ROOT

FOLDER = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The script imports its neighbours by name."""
    monkeypatch.syspath_prepend(str(FOLDER))


def test_the_value_is_shown_at_the_first_step_alone_and_marked() -> None:
    from bench_memory import sequences

    x, value = sequences(5, 30, torch.Generator().manual_seed(0))
    assert x.shape == (31, 5, 2)
    assert torch.equal(x[0, :, 0], value)
    assert torch.equal(x[:, :, 1].sum(1), torch.tensor([5.0] + [0.0] * 30))
    assert x[1:, :, 0].std() > 0.4  # what follows is as large as the value


@pytest.mark.parametrize("cell", ["gru", "lstm", "peephole"])
def test_gates_that_are_set_to_remember_hand_gradients_far_back(cell: str) -> None:
    from _chrono import remember
    from bench_memory import Recall, reaching

    torch.manual_seed(0)
    network, draws = Recall(cell), torch.Generator().manual_seed(0)
    before = reaching(network, 100, draws)
    remember(network, 100)
    after = reaching(network, 100, draws)
    assert len(before) == len(after) == 101
    assert before[-1] < 1e-12 * before[0]
    assert after[-1] > 1e-3 * after[0]


def test_a_cell_learns_to_recall_and_the_page_says_so() -> None:
    from bench_memory import CELLS, LEARNT, page, starts, study

    outcomes = [
        study(cell, start, 2, 5 if cell != "gru" else 400, 1)
        for cell in CELLS
        for start in starts(cell)
    ]
    gru = next(o for o in outcomes if (o.cell, o.start) == ("gru", "chrono"))
    assert gru.left < LEARNT and gru.updates < 400
    assert max(o.left for o in outcomes) > 0.5  # five updates teach nothing
    text = page(outcomes, {"updates": 400, "machine": "here"})
    assert f"| GRU | chrono | **{gru.left:.3f}** ({gru.updates})" in text
    assert "- RNN recalls, as drawn, nothing" in text
    assert np.isfinite(list(gru.gradients.values())).all()
