"""The mean of a distribution from its quantiles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from forecast.data.forecast import LEVELS
from forecast.inference.point import mean_of_quantiles

LEVELS = np.array(LEVELS)


@pytest.mark.parametrize("levels", [LEVELS, np.array([0.1, 0.5, 0.9]), np.array([0.4, 0.6])])
def test_a_normal_distributions_mean_is_exact_at_any_levels(levels):
    quantiles = stats.norm(3.0, 2.5).ppf(levels)
    assert mean_of_quantiles(quantiles, levels) == pytest.approx(3.0, abs=1e-9)


def test_the_mean_moves_with_shift_and_scale_and_keeps_the_leading_axes():
    quantiles = np.sort(np.random.default_rng(0).gamma(2.0, size=(4, 5, len(LEVELS))), -1)
    mean = mean_of_quantiles(quantiles, LEVELS)
    assert mean.shape == (4, 5)
    assert np.allclose(mean_of_quantiles(3 * quantiles + 7, LEVELS), 3 * mean + 7)
    assert np.allclose(mean_of_quantiles(-quantiles[..., ::-1], 1 - LEVELS[::-1]), -mean)


@pytest.mark.parametrize(
    ("law", "off"),
    [(stats.lognorm(0.5), 0.01), (stats.lognorm(1.0), 0.03), (stats.gamma(0.5), 0.04)],
)
def test_the_mean_of_a_skewed_distribution_is_near_and_far_above_the_median(law, off):
    mean = mean_of_quantiles(law.ppf(LEVELS), LEVELS, least=0.0)
    assert mean == pytest.approx(law.mean(), rel=off)
    assert mean > law.median() * 1.1


def test_what_cannot_be_negative_has_no_negative_tail():
    """A truncated normal distribution's own formula: E max(0, X)."""
    quantiles = np.maximum(stats.norm(0.5, 1).ppf(np.array([0.35, 0.5, 0.9])), 0)
    levels = np.array([0.35, 0.5, 0.9])
    expected = 0.5 * stats.norm.cdf(0.5) + stats.norm.pdf(0.5)
    assert mean_of_quantiles(quantiles, levels, least=0.0) == pytest.approx(expected, abs=1e-9)
    assert mean_of_quantiles(quantiles, levels) == pytest.approx(0.5, abs=1e-9)
    # Where a quantile is negative itself, the bound is not meant.
    low = np.array([-1.0, 0.0, 1.0])
    assert mean_of_quantiles(low, levels, least=0.0) == mean_of_quantiles(low, levels)


def test_a_constant_and_mostly_zeros():
    assert mean_of_quantiles(np.full(len(LEVELS), 4.0), LEVELS, least=0.0) == pytest.approx(4.0)
    lumps = stats.nbinom(0.4, 0.3)
    made = mean_of_quantiles(lumps.ppf(LEVELS), LEVELS, least=0.0)
    assert lumps.median() == 0 and made == pytest.approx(lumps.mean(), rel=0.15)


@pytest.mark.parametrize("levels", [[0.5], [0.5, 0.4], [0.0, 0.5], [0.5, 1.0]])
def test_levels_that_describe_nothing_are_refused(levels):
    with pytest.raises(ValueError, match="levels"):
        mean_of_quantiles(np.zeros(len(levels)), np.array(levels))
