"""What the network says of each step: quantiles, or the parameters of a distribution.

"quantiles" learns the quantiles themselves and assumes nothing. "student-t" (location, scale,
degrees of freedom) and "negative-binomial" (mean and dispersion, for counts) are whole
distributions, from which any quantile follows. The head (networks/head.py) makes the parameters,
forecast/training/losses.py scores them.

Axes: O origins, B batch, D blocks ahead, C steps of a block, Q quantiles, P parameters.
"""

from __future__ import annotations

import numpy as np

from forecast.common.errors import InputError
from forecast.data.panel import Panel
from forecast.transforms.windows import POINTS, SKIPS, DecoderInputs

QUANTILES, STUDENT_T, COUNTS = "quantiles", "student-t", "negative-binomial"
LIKELIHOODS = (QUANTILES, STUDENT_T, COUNTS)


def head_width(quantiles: int, likelihood: str = QUANTILES) -> int:
    """Raw numbers that the head puts out for one block: weights and gates of the skips, then
    quantiles of each point, or location and spread of each point (and, of a Student t, one number
    of degrees of freedom). Raises ValueError when there is no such likelihood."""
    spread = {
        QUANTILES: POINTS * quantiles,
        STUDENT_T: 1 + 2 * POINTS,
        COUNTS: 2 * POINTS,
    }
    if likelihood not in spread:
        raise ValueError(f"no likelihood is called {likelihood!r}")
    return 2 * SKIPS + spread[likelihood]


def quantiles_at(
    said: np.ndarray, levels: np.ndarray, decoder: DecoderInputs, likelihood: str = QUANTILES
) -> np.ndarray:
    """Quantiles relative to `decoder.base`, (O, B, D, C, Q), in the network's units.

    said: what the head made (networks/head.py), (O, B, D, C, Q or P); levels (Q,); decoder: at the
    same origins. Counts are whole before they are brought into the network's units.
    """
    if likelihood == QUANTILES:
        return said
    if likelihood == STUDENT_T:
        return _of_student_t(said, levels)
    counts = _of_counts(said, levels)
    assert decoder.shift is not None and decoder.unit is not None
    shift, unit = (x[None, :, None, None, None] for x in (decoder.shift, decoder.unit))
    made: np.ndarray = (counts - shift) / unit - decoder.base[..., None]
    return made


def _of_student_t(said: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """location + scale * t_df^-1(level); a block has one number of degrees of freedom."""
    from scipy.special import stdtrit

    location, scale, freedom = (said[..., k] for k in range(3))
    standard = stdtrit(freedom[..., :1, None].astype(np.float64), levels)  # (O, B, D, 1, Q)
    made: np.ndarray = location[..., None] + scale[..., None] * standard
    return made


def _of_counts(said: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The smallest count k with P(count <= k) >= level, of mean and dispersion (..., 2)."""
    from scipy.special import betainc, nbdtrik

    mean, dispersion = said[..., :1].astype(np.float64), said[..., 1:].astype(np.float64)
    size = 1 / dispersion
    chance = size / (size + mean)
    found = np.ceil(np.nan_to_num(nbdtrik(levels, size, chance)))
    below = np.maximum(found - 1, 0)  # rounding may have lifted it by one
    return np.where(betainc(size, below + 1, chance) >= levels, below, found)


def check_counts(panel: Panel) -> None:
    """Raises InputError, naming the first series and value, unless all values are whole numbers
    that are not negative."""
    with np.errstate(invalid="ignore"):
        wrong = np.isfinite(panel.values) & (
            (panel.values < 0) | (panel.values != np.round(panel.values))
        )
    if not wrong.any():
        return
    first = int(np.argmax(wrong))
    series = int(np.searchsorted(panel.offsets, first, "right")) - 1
    raise InputError(
        "a negative binomial forecast is of counts: whole numbers that are not negative",
        code="input/not-counts",
        where=f"series {panel.ids[series]}",
        value=float(panel.values[first]),
        remedy="Train with --likelihood student-t, or leave --likelihood out",
    )
