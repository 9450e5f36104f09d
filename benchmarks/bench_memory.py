"""How long do the cells remember? A value shown once must be recalled many steps later.

At the first step a value from -1 to 1 is shown with a mark; noise of the same size follows, and
after the last step the cell's state must tell the value. Every cell has the same size, optimiser,
batches and number of updates, and starts at random or with gates that remember (chrono
initialisation). Writes MEMORY.md, memory.json and memory.png: the gradient that reaches each step
back through an untrained cell, and the error after training.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import torch
from _chrono import remember
from _measure import stamp
from torch import nn

from forecast.models.networks.base import Size
from forecast.models.networks.registry import spec_of

HERE = Path(__file__).resolve().parent
CELLS = ("rnn", "gru", "lstm", "peephole")
HIDDEN, BATCH, CLIP = 16, 32, 1.0
RATES = (1e-2, 5e-3)  # the second where the first did not do and it is not hopeless
LEARNT = 0.1  # of the variance that a guess of zero leaves: below it the value is recalled
SURE = 0.02  # mean over LOOK_BACK updates at which training stops early
LOOK_BACK = 20
NOTHING = 1e-12  # a gradient so much smaller than the last step's teaches nothing:
PATIENCE, HOPELESS = 200, 0.9  # then training ends after so many updates with so much left
TESTED = 512  # sequences


@dataclass(frozen=True)
class Outcome:
    """One cell at one delay: share of the variance left, updates made, CPU seconds.

    gradients  steps back -> norm of the untrained cell's gradient of the answer by its input there;
               about fifty of them, evenly spread on the logarithm
    faded      steps back after which that norm is below a millionth of the last step's, or None
    hopeless   whether at the shown step it is below NOTHING of that
    """

    cell: str
    start: str
    delay: int
    left: float
    updates: int
    seconds: float
    gradients: dict[int, float]
    faded: int | None
    hopeless: bool
    rate: float


class Recall(nn.Module):
    """Inputs (T, B, 2) -> the recalled value (B,): an embedding, one cell, one line."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        self.embed = nn.Linear(2, HIDDEN)
        self.cell = spec_of(cell).layer[0].module(Size(2, HIDDEN, 1))
        self.answer = nn.Linear(HIDDEN, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.answer(self.cell(self.embed(x))[-1])[:, 0]


def sequences(count: int, delay: int, draws: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs (delay + 1, count, 2), values and mark, and the value of the first step (count,)."""
    values = torch.rand(delay + 1, count, generator=draws) * 2 - 1
    mark = torch.zeros_like(values)
    mark[0] = 1
    return torch.stack([values, mark], -1), values[0]


def study(cell: str, start: str, delay: int, updates: int, seed: int) -> Outcome:
    """The best that one cell does, with as few rates as that takes; seconds are those of all."""
    tried: list[Outcome] = []
    for rate in RATES:
        tried.append(attempt(cell, start, delay, updates, seed, rate))
        best = min(tried, key=lambda each: each.left)
        if best.left < LEARNT or best.hopeless:
            break
    return replace(best, seconds=sum(each.seconds for each in tried))


def attempt(cell: str, start: str, delay: int, updates: int, seed: int, rate: float) -> Outcome:
    """Trains one cell from its `start` and tests it on sequences that it has not seen."""
    torch.manual_seed(seed)
    draws = torch.Generator().manual_seed(seed)
    network = Recall(cell)
    if start == "chrono":
        remember(network, max(3, delay))
    norms = reaching(network, delay, draws)
    steps = sorted({round(len(norms) ** (k / 49)) - 1 for k in range(50)})
    gradients = {k: float(f"{norms[k]:.3g}") for k in steps}
    hopeless = norms[-1] < norms[0] * NOTHING
    faded = next((k for k, norm in enumerate(norms) if norm < norms[0] * 1e-6), None)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    began, recent = time.process_time(), []
    for update in range(1, updates + 1):
        x, value = sequences(BATCH, delay, draws)
        loss = nn.functional.mse_loss(network(x), value)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        recent = [*recent[1 - LOOK_BACK :], loss.item()]
        share = float(np.mean(recent)) * 3  # the variance of a value is a third
        if len(recent) == LOOK_BACK and share < SURE:
            break
        if hopeless and update == PATIENCE and share > HOPELESS:
            break
    with torch.no_grad():
        x, value = sequences(TESTED, delay, draws)
        left = float(((network(x) - value) ** 2).mean() / (value**2).mean())
    spent = time.process_time() - began
    return Outcome(cell, start, delay, left, update, spent, gradients, faded, hopeless, rate)


def reaching(network: Recall, delay: int, draws: torch.Generator) -> list[float]:
    """Mean norm of the answer's gradient at the cell's input of each step back, the last first."""
    x, _ = sequences(BATCH, delay, draws)
    inside = network.embed(x).detach().requires_grad_()
    network.answer(network.cell(inside)[-1]).sum().backward()
    assert inside.grad is not None
    return inside.grad.norm(dim=-1).mean(1).flip(0).double().tolist()


def starts(cell: str) -> tuple[str, ...]:
    """A plain RNN has no gates to set."""
    return ("random",) if cell == "rnn" else ("random", "chrono")


def picture(outcomes: Iterable[Outcome], path: Path) -> None:
    """Gradients of the longest delay beside the errors at every delay."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    outcomes = list(outcomes)
    longest = max(each.delay for each in outcomes)
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    colours = dict(zip(CELLS, ("#888888", "#1b7837", "#2166ac", "#b2182b"), strict=True))
    marks = dict(zip(CELLS, "xosD", strict=True))
    for cell in CELLS:
        for start in starts(cell):
            mine = [o for o in outcomes if (o.cell, o.start) == (cell, start)]
            style = {"color": colours[cell], "ls": "--" if start == "chrono" else "-"}
            title = spec_of(cell).title + (", chrono" if start == "chrono" else "")
            far = next(o for o in mine if o.delay == longest)
            norm = np.maximum(list(far.gradients.values()), 1e-45)
            left.plot([1 + k for k in far.gradients], norm, label=title, lw=1.5, **style)
            mine.sort(key=lambda o: o.delay)
            right.plot(
                [o.delay for o in mine],
                [o.left for o in mine],
                marker=marks[cell],
                ms=6,
                mfc="none",
                **style,
            )
    left.set(xscale="log", xlabel="steps back", yscale="log", ylim=(1e-18, 3),
             ylabel="gradient norm", title="Gradient through the untrained cell")  # fmt: skip
    left.legend(fontsize=8)
    right.set(xscale="log", xlabel="steps between showing and recalling",
              ylabel="share of the variance left", title="After training")  # fmt: skip
    right.axhline(LEARNT, color="black", lw=0.8, ls=":")
    right.text(120, LEARNT + 0.015, "recalled below", fontsize=8)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def page(outcomes: list[Outcome], about: dict[str, Any]) -> str:
    """MEMORY.md."""
    delays = sorted({each.delay for each in outcomes})
    by = {(o.cell, o.start, o.delay): o for o in outcomes}
    lines = [
        "# How long do the cells remember?",
        "",
        "Written by `python benchmarks/bench_memory.py`; do not edit. A value from -1 to 1 is",
        "shown once, with a mark; noise of the same size follows; after so many steps the value",
        f"must be told. One cell of {HIDDEN} units, Adam at a rate of {RATES[0]:g} or, where that",
        f"does not do, {RATES[1]:g}, one seed, at most {about['updates']} updates of {BATCH}",
        "sequences: fewer once it is learnt or, where the gradient at the shown step is less than",
        f"{NOTHING:g} of the last step's, after {PATIENCE} in vain. The figure is the",
        f"share of the variance that is left on {TESTED} new sequences: 1 is a guess, below",
        f"{LEARNT} (bold) the value is recalled; in brackets the updates made. *random*: as torch",
        "draws the weights; *chrono*: biases set so that gates remember spans of up to the delay",
        "from the start (Tallec & Ollivier 2018).",
        "",
        f"| cell | start | {' | '.join(f'{d:,} steps' for d in delays)} | CPU seconds |",
        f"| --- | --- | {' | '.join('---' for _ in delays)} | --- |",
    ]
    for cell in CELLS:
        for start in starts(cell):
            row = [by[cell, start, delay] for delay in delays]
            figures = " | ".join(_figure(each) for each in row)
            spent = sum(each.seconds for each in row)
            lines.append(f"| {spec_of(cell).title} | {start} | {figures} | {spent:.0f} |")
    lines += ["", *findings(by, delays), "", "![gradients and errors](memory.png)", ""]
    lines += [f"{about['machine']}", ""]
    return "\n".join(lines)


def _figure(each: Outcome) -> str:
    left = f"{each.left:.3f}" if each.left < 9.995 else f"{each.left:.1f}"
    return f"{'**' + left + '**' if each.left < LEARNT else left} ({each.updates})"


def findings(by: dict[tuple[str, str, int], Outcome], delays: list[int]) -> list[str]:
    """What the figures say, from the figures alone."""
    lines = []
    for cell in CELLS:
        said = []
        for start in starts(cell):
            done = [d for d in delays if by[cell, start, d].left < LEARNT]
            word = ", ".join(f"{d:,}" for d in done) + " steps back" if done else "nothing"
            said.append(f"with chrono biases {word}" if start == "chrono" else f"as drawn, {word}")
        faded = [by[cell, start, delays[-1]].faded for start in starts(cell)]
        fade = ["on no step" if k is None else f"after {k:,} steps" for k in faded]
        lines.append(
            f"- {spec_of(cell).title} recalls, {'; '.join(said)}. Untrained, its gradient falls "
            f"to a millionth {', with chrono biases '.join(fade)}."
        )
    return lines


def main() -> None:
    """Runs what an earlier run has not done yet, and writes the three files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delays", default="10,100,500,1000")
    parser.add_argument("--updates", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--seconds", type=float, default=900, help="of CPU; the next run goes on")
    parser.add_argument("--anew", action="store_true", help="forget what an earlier run found")
    given = parser.parse_args()
    torch.set_num_threads(1)
    path = given.out / "memory.json"
    about = {"updates": given.updates, "seed": given.seed, **stamp()}
    outcomes = [] if given.anew else _found(path, about)
    done = {(each.delay, each.cell, each.start) for each in outcomes}
    wanted = [
        (int(delay), cell, start)
        for delay in given.delays.split(",")
        for cell in CELLS
        for start in starts(cell)
    ]
    for delay, cell, start in wanted:
        if (delay, cell, start) in done or time.process_time() > given.seconds:
            continue
        made = study(cell, start, delay, given.updates, given.seed)
        print(f"{delay:5} {cell:9} {start:7} left {made.left:.4f} after {made.updates} updates, "
              f"{made.seconds:.0f} s", flush=True)  # fmt: skip
        outcomes.append(made)
        stored = {"about": about, "outcomes": [asdict(each) for each in outcomes]}
        path.write_text(json.dumps(stored, indent=1))
    if len({(o.delay, o.cell, o.start) for o in outcomes} & set(wanted)) < len(wanted):
        sys.exit("not all is done: run it again to go on")
    (given.out / "MEMORY.md").write_text(page(outcomes, about))
    picture(outcomes, given.out / "memory.png")


def _found(path: Path, about: dict[str, Any]) -> list[Outcome]:
    """What an earlier run with the same numbers found."""
    if not path.is_file():
        return []
    stored = json.loads(path.read_text())
    if any(stored["about"][name] != about[name] for name in ("updates", "seed")):
        return []
    return [
        Outcome(**{**each, "gradients": {int(k): g for k, g in each["gradients"].items()}})
        for each in stored["outcomes"]
    ]


if __name__ == "__main__":
    main()
