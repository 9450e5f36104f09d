"""The torch network: a residual stack of parts and a head that corrects a mixture of naive skips.

s <- s + dropout(part(LayerNorm(s))), part after part (networks/base.py); which parts, the network's
spec says (networks/registry.py). Prediction runs the same in numpy (networks/numpy_forward.py).
Axes: T steps, B batch, F features, O origins, D chunks ahead, Q quantiles.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch  # noqa: TID253 - this file is the torch network, imported only for training
from torch import nn  # noqa: TID253 - likewise

from forecast.models.likelihoods import QUANTILES, head_width
from forecast.models.networks.base import Size
from forecast.models.networks.covariate_effect import EFFECT_UNITS, EFFECTS, OWN
from forecast.models.networks.head import META, REACH, assemble, head_inputs, mix_horizon
from forecast.models.networks.registry import spec_of
from forecast.models.networks.torch_layers import Linear
from forecast.transforms.windows import POINTS, SKIPS, DecoderInputs, Layout

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
        return x * self._kept(x).div_(1 - self.share).to(x.dtype)

    def _kept(self, x: Tensor) -> Tensor:
        """1.0 where a value stays. On a CPU each draw of 64 bits serves four values, so that a
        share is right to 1/65,536: drawing is the costly part."""
        if x.device.type != "cpu":
            return torch.rand_like(x, dtype=torch.float32).ge_(self.share)
        drawn = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        least = round(self.share * 2**16) - 2**15
        return drawn.view(torch.int16)[: x.numel()].view(x.shape).float().ge_(least)


class ResidualNetwork(nn.Module):
    """Forecasts at every origin of a window.

    features: F of the layout; hidden_size, layers: of the stack; quantiles: Q, odd; known_ahead,
    beside: features of covariates (networks/covariate_effect.py), 0 without them; network: name of
    the spec; context: steps that a forecast reads, where the spec's tensors depend on it;
    likelihood: what is said of each step (forecast/models/likelihoods.py); mixer: channels of the
    head's mixer over the horizon, 0 without one; effects: what is said of covariates known ahead, 1
    in networks that know of no spread and no own response.
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
        *,
        network: str = "lstm",
        context: int = 0,
        likelihood: str = QUANTILES,
        mixer: int = 0,
        effects: int = EFFECTS,
    ) -> None:
        super().__init__()
        spec, size = spec_of(network), Size(features, hidden_size, context)
        parts = spec.parts(layers)
        self.quantiles, self.likelihood = quantiles, likelihood
        self.each_origin = spec.each_origin
        self.embed = spec.embedding.module(size)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_size) for _ in parts)
        self.prefix = spec.prefix  # the name under which the parts' tensors are kept
        self.add_module(spec.prefix, nn.ModuleList(part.module(size) for part in parts))
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(hidden_size)
        self.from_state = Linear(hidden_size, hidden_size)
        self.from_skips = Linear(3 * SKIPS * POINTS + META, hidden_size)
        self.mix = Linear(hidden_size, hidden_size)
        self.out = Linear(hidden_size, head_width(quantiles, likelihood))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        numbers = quantiles if likelihood == QUANTILES else 2
        self.mixer = HorizonMixer(hidden_size, mixer, numbers) if mixer else None
        if known_ahead:
            self.effect_in = nn.Linear(known_ahead, EFFECT_UNITS)
            self.effect_out = nn.Linear(EFFECT_UNITS, effects, bias=False)
            nn.init.zeros_(self.effect_out.weight)
            self.effect_own = nn.Parameter(torch.tensor(OWN)) if effects > 1 else None
        if beside:
            self.embed_covariates = nn.Linear(beside, hidden_size, bias=False)
            nn.init.zeros_(self.embed_covariates.weight)

    def effect(self, features: Tensor) -> Tensor:
        """What the known features (B, L, K) do to each step, (B, L, R): the effect, in units of
        inputs, and the spread (covariate_effect.py: `without_effect`)."""
        z = nn.functional.gelu(self.effect_in(features), approximate="tanh")
        return self.effect_out(z)

    def states(
        self, context: Tensor, beside: Tensor | None = None, *, places: Tensor | None = None
    ) -> Tensor:
        """From (T, B, F): the stack's normed state after each step (T, B, hidden), or only after
        the steps `places` (O,): (O, B, hidden). Nothing later than a step has a part in its state.

        beside (T, B, E): features of covariates that stand beside the inputs.
        """
        state = self._embedded(context, beside)
        if not self.each_origin:
            return self._stack(state, places)
        last = range(len(context)) if places is None else places.tolist()
        return torch.cat([self._stack(state[: place + 1])[-1:] for place in last])

    def last_state(self, context: Tensor, beside: Tensor | None = None) -> Tensor:
        """`states` after the last step alone, (1, B, hidden)."""
        return self._stack(self._embedded(context, beside))[-1:]

    def _embedded(self, context: Tensor, beside: Tensor | None) -> Tensor:
        state = self.embed(context)
        return state if beside is None else state + self.embed_covariates(beside)

    def _stack(self, state: Tensor, places: Tensor | None = None) -> Tensor:
        """(T, B, hidden) -> (T, B, hidden), or (1, B, hidden) from a part that gives the last step
        alone, or (O, B, hidden): after the steps `places` (O,), which are all that the last part
        need be followed up for."""
        parts = list(self.get_submodule(self.prefix).children())
        for number, (norm, part) in enumerate(zip(self.norms, parts, strict=True), 1):
            change = part(norm(state))
            if number == len(parts) and places is not None:
                change, state = change[places], state[places]
            change = self.dropout(change)
            state = (state if len(change) == len(state) else state[-1:]) + change
        return self.norm(state)

    def forward(self, layout: Layout, state: Tensor, decoder: DecoderInputs) -> Tensor:
        """What is said of each step (`head.assemble`), (O, B, D, C, Q or P), from state
        (O, B, hidden)."""
        inputs = head_inputs(layout, decoder)
        z = self.from_state(state)[:, :, None, :] + self.from_skips(inputs)
        z = nn.functional.gelu(z, approximate="tanh")
        z = z + nn.functional.gelu(self.mix(self.dropout(z)), approximate="tanh")
        raw = self.out(z)
        if self.mixer is not None:
            raw = raw + self.mixer(inputs, z, raw.shape[-1])
        return assemble(layout, decoder, raw, self.quantiles, self.likelihood)


class HorizonMixer(nn.Module):
    """Corrections of each step from its neighbours (`head.mix_horizon`), zero to start with."""

    def __init__(self, hidden: int, channels: int, numbers: int) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.randn(channels, 3 * SKIPS) / math.sqrt(3 * SKIPS))
        self.state = Linear(hidden, channels)
        near = REACH * channels
        self.near = nn.Parameter(torch.randn(channels, near) / math.sqrt(near))
        self.out = nn.Parameter(torch.zeros(numbers, channels))

    def forward(self, inputs: Tensor, z: Tensor, width: int) -> Tensor:
        """What is added to the head's raw numbers, (O, B, D, width)."""
        weights = {"points": self.points, "near": self.near, "out": self.out}
        return mix_horizon(inputs, self.state(z), weights, width)
