"""The forecaster: a residual stack of LSTM layers and a head that corrects a seasonal skip.

Layer (Hochreiter & Schmidhuber 1997; Gers et al. 2000 for the forget gate), x_t input, h, c state:

    i, f, o = sigmoid(W x_t + U h_{t-1} + b)     input, forget, output gate
    g = tanh(W_g x_t + U_g h_{t-1} + b_g)        candidate
    c_t = f * c_{t-1} + i * g;   h_t = o * tanh(c_t)

4h(i + h + 1) parameters with one bias vector; torch keeps two. Around it: pre-norm residual
blocks, s <- s + dropout(LSTM(LayerNorm(s))), so that depth can only add.
Axes: T LSTM steps, B batch, F features, O origins, D chunks ahead, Q quantiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch  # noqa: TID253 - this file is the torch network, imported only for training
from torch import nn  # noqa: TID253 - likewise

from forecast.networks.covariates import EFFECT_UNITS
from forecast.networks.head import META, assemble, head_inputs, head_width
from forecast.windows import POINTS, SKIPS, Ahead, Layout

if TYPE_CHECKING:
    from torch import Tensor


class Dropout(nn.Module):
    """As nn.Dropout (Srivastava et al. 2014); its Bernoulli draws take twice as long on a CPU."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """x (any shape) with a share of its values zero and the others larger, in training."""
        if not self.training or self.share == 0:
            return x
        kept = torch.rand_like(x, dtype=torch.float32).ge_(self.share).div_(1 - self.share)
        return x * kept.to(x.dtype)


class ResidualLSTM(nn.Module):
    """Quantile forecasts at every origin of a window.

    features: F of the layout; hidden_size, layers: of the LSTM stack; quantiles: Q, odd;
    known_ahead, beside: features of covariates (networks/covariates.py), 0 without them.
    """

    def __init__(
        self,
        features: int,
        hidden_size: int,
        layers: int,
        quantiles: int,
        dropout: float = 0.0,
        known_ahead: int = 0,
        beside: int = 0,
    ) -> None:
        super().__init__()
        self.quantiles = quantiles
        self.embed = nn.Linear(features, hidden_size)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_size) for _ in range(layers))
        self.lstms = nn.ModuleList(nn.LSTM(hidden_size, hidden_size) for _ in range(layers))
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(hidden_size)
        self.from_state = nn.Linear(hidden_size, hidden_size)
        self.from_skips = nn.Linear(3 * SKIPS * POINTS + META, hidden_size)
        self.mix = nn.Linear(hidden_size, hidden_size)
        self.out = nn.Linear(hidden_size, head_width(quantiles))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        if known_ahead:
            self.effect_in = nn.Linear(known_ahead, EFFECT_UNITS)
            self.effect_out = nn.Linear(EFFECT_UNITS, 1, bias=False)
            nn.init.zeros_(self.effect_out.weight)
        if beside:
            self.embed_covariates = nn.Linear(beside, hidden_size, bias=False)
            nn.init.zeros_(self.embed_covariates.weight)

    def effect(self, features: Tensor) -> Tensor:
        """Effect (B, L) of the known features (B, L, K), in units of inputs."""
        z = nn.functional.gelu(self.effect_in(features), approximate="tanh")
        return self.effect_out(z)[..., 0]

    def states(self, context: Tensor, beside: Tensor | None = None) -> Tensor:
        """From (T, B, F): the stack's normed state after each step: (T, B, hidden).

        beside (T, B, E): features of covariates that stand beside the inputs.
        """
        state = self.embed(context)
        if beside is not None:
            state = state + self.embed_covariates(beside)
        for norm, lstm in zip(self.norms, self.lstms, strict=True):
            state = state + self.dropout(lstm(norm(state))[0])
        return self.norm(state)

    def forward(self, layout: Layout, state: Tensor, look: Ahead) -> Tensor:
        """Quantiles relative to the level, (O, B, D, C, Q), from state (O, B, hidden)."""
        z = self.from_state(state)[:, :, None, :] + self.from_skips(head_inputs(layout, look))
        z = nn.functional.gelu(z, approximate="tanh")
        z = z + nn.functional.gelu(self.mix(self.dropout(z)), approximate="tanh")
        return assemble(layout, look, self.out(z), self.quantiles)
