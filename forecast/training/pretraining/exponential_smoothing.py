"""Family: exponential-smoothing state space."""

from __future__ import annotations

import numpy as np

from forecast.training.pretraining.frame import Frame
from forecast.training.pretraining.link import link, noise_level
from forecast.training.pretraining.random_draws import chance, leaning, shocks, sometimes
from forecast.training.pretraining.registry import register
from forecast.training.pretraining.seasonal import lay_out, profiles, season_strength
from forecast.training.pretraining.trends import yearly_growth

SOURCE = "Hyndman, Koehler, Ord and Snyder (2008), innovations form, chapter 2"


@register("smoothing", "step", source=SOURCE)
def smoothing(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """x_t = l + phi b + s + e; l += phi b + alpha e; b = phi b + beta e; s += gamma e.

    s is the season's state of m steps ago.

    In log units before the link, so that the exponential link gives the multiplicative forms.
    """
    size = frame.size
    sigma = noise_level(rng, frame, 0.006, 0.3)
    alpha = rng.beta(1.1, np.where(frame.year < 12, 0.9, 1.4))
    beta = sometimes(rng, 0.45, alpha * rng.beta(1.0, 6.0, size))
    gamma = sometimes(rng, 0.6, (1 - alpha) * rng.beta(1.0, 5.0, size))
    phi = np.where(chance(rng, 0.5, size), rng.uniform(0.8, 0.995, size), 1.0)
    noise = sigma * shocks(rng, frame.length, size)
    slope = (
        yearly_growth(rng, size) / frame.year
        + sometimes(rng, 0.4, 0.3 * leaning(rng, size)) * sigma
    )
    strength = season_strength(rng, sigma, 0.75, 0.2, 8.0)
    season = lay_out(
        profiles(rng, frame.season), frame.season, np.zeros(size), int(frame.season.max())
    )
    paths = _recursion(noise, (alpha, beta, gamma, phi), slope, season * strength, frame)
    return link(rng, frame, paths)


def _recursion(
    noise: np.ndarray,
    weights: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    slope: np.ndarray,
    season: np.ndarray,
    frame: Frame,
) -> np.ndarray:
    """The recursion above from level 0, `slope` (S,) and the seasonal states `season` (M, S).

    The slope acts inside the series only: a short series does not begin far from its level.
    """
    alpha, beta, gamma, phi = weights
    lead, columns = len(season), np.arange(frame.size)
    gamma = np.where(frame.season > 1, gamma, 0.0)
    states = np.concatenate([season, np.zeros_like(noise)])
    level, paths = np.zeros(frame.size), np.empty_like(noise)
    started = frame.length - frame.lengths
    for t in range(len(noise)):
        running = np.where(t >= started, phi * slope, 0.0)
        last = states[t + lead - frame.season, columns]
        paths[t] = level + running + last + noise[t]
        level = level + running + alpha * noise[t]
        slope = np.where(t >= started, running + beta * noise[t], slope)
        states[t + lead] = last + gamma * noise[t]
    return paths
