"""`lstm-transformer`: each layer an LSTM, then causal self-attention, then a feed-forward part.

The order of R-Transformer (Wang et al. 2019), with an LSTM over all steps as the recurrent part, as
the Temporal Fusion Transformer has it below its attention (Lim et al. 2021). The equations are
those of lstm.py and transformer.py; the LSTM knows the order of the steps, the attention reaches
back at once. 4h(i + h + 1) + 4h(h + 1) + h(8h + 5) parameters a layer with one bias vector in the
LSTM; torch keeps two.
"""

from __future__ import annotations

from forecast.models.networks import lstm
from forecast.models.networks.base import LINEAR, NetworkSpec
from forecast.models.networks.transformer import ATTEND, FEED, HEADS

SPEC = NetworkSpec(
    "lstm-transformer",
    "LSTM-Transformer",
    (lstm.PART, ATTEND, FEED),
    LINEAR,
    multiple=lambda features: 2 * HEADS,
)
