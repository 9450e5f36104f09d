"""Every network of the family by the name of `--network`; docs/networks.md says how to add one."""

from __future__ import annotations

from forecast.models.networks import (
    attention,
    bilstm,
    cnn_lstm,
    convlstm,
    gru,
    lstm,
    lstm_transformer,
    mlp,
    peephole,
    rnn,
    transformer,
)
from forecast.models.networks.base import Idea

IDEAS: dict[str, Idea] = {
    each.IDEA.name: each.IDEA
    for each in (
        lstm,
        rnn,
        gru,
        peephole,
        bilstm,
        attention,
        cnn_lstm,
        convlstm,
        lstm_transformer,
        transformer,
        mlp,
    )
}


def idea_of(name: str) -> Idea:
    """The network called `name`. Raises ValueError, which names all there are."""
    if name not in IDEAS:
        raise ValueError(f"no network is called {name!r}; there are {', '.join(IDEAS)}")
    return IDEAS[name]
