"""Members taught in the test's own process."""

from __future__ import annotations

import torch

from forecast.training.ensemble import Member, fit_member


def taught_here(task, seeds, folder, jobs, report, until=None):
    """In place of worker processes: the same teaching, on one thread as theirs, without starting
    torch anew."""
    made, threads = [], torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for number, seed in enumerate(seeds):
            scored, final, device = fit_member(
                task, seed, lambda: False, lambda event, n=number: report(n, event)
            )
            best = (scored.best_step, scored.best_loss, scored.ended)
            made.append(Member(scored.weights, final, *best, device))
    finally:
        torch.set_num_threads(threads)
    return made, False
