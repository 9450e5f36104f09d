"""Some series of very many."""

from __future__ import annotations

import numpy as np
import pytest

from forecast.common.segments import evenly


@pytest.mark.parametrize(("count", "most"), [(1000, 7), (101, 100), (12_345, 512), (3, 2)])
def test_of_very_many_some_are_taken_each_once_from_the_first_to_the_last(count, most):
    chosen = evenly(count, most)
    steps = np.diff(chosen)
    assert (len(chosen), chosen[0], chosen[-1]) == (most, 0, count - 1)
    assert steps.min() >= 1 and np.ptp(steps) <= 1


@pytest.mark.parametrize("count", [0, 1, 5, 500])
def test_of_no_more_than_asked_all_are_taken(count):
    assert evenly(count, 500).tolist() == list(range(count))
