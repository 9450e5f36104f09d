"""Quantiles that are linear in the normal score: exact for a normal distribution."""

from __future__ import annotations

import numpy as np
import pytest

from forecast.common.quantiles import (
    at_other_levels,
    normal_quantiles,
    normal_scores,
    values_at_scores,
    weights_between,
)

LEVELS = np.array([0.1, 0.5, 0.9])
MEAN, SPREAD = np.array([[3.0, -1.0]]), np.array([[2.0, 0.5]])  # (1, 2)


def normal(levels: np.ndarray) -> np.ndarray:
    """Quantiles (1, 2, Q) of two normal distributions."""
    return MEAN[..., None] + SPREAD[..., None] * normal_quantiles(levels)


@pytest.mark.parametrize("wanted", [0.001, 0.1, 0.3, 0.5, 0.975])
def test_other_levels_of_a_normal_distribution_are_exact(wanted):
    asked = np.array([wanted])
    made = at_other_levels(normal(LEVELS), LEVELS, asked)
    np.testing.assert_allclose(made, normal(asked), rtol=1e-12)
    np.testing.assert_allclose(normal(LEVELS) @ weights_between(LEVELS, asked), made, rtol=1e-12)


def test_a_value_has_its_score_and_the_score_its_value():
    actual = np.array([[6.1, -2.0]])
    scores = normal_scores(normal(LEVELS), LEVELS, actual)
    np.testing.assert_allclose(scores, (actual - MEAN) / SPREAD, rtol=1e-12)
    np.testing.assert_allclose(values_at_scores(normal(LEVELS), LEVELS, scores), actual)
    drawn = np.zeros((1, 5, 2))  # five samples of both: the leading axes are broadcast
    made = values_at_scores(normal(LEVELS)[:, None], LEVELS, drawn)
    np.testing.assert_allclose(made, np.broadcast_to(MEAN[:, None], (1, 5, 2)))
