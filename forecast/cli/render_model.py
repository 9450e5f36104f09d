"""The page of `lstmcast inspect`: what a model folder holds, for a person to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from forecast.cli.console import clean
from forecast.cli.render import show_choices, show_facts, show_scores
from forecast.config.options import show

if TYPE_CHECKING:
    from rich.console import Console

Manifest = Mapping[str, Any]

_LONG = 12  # entries of a list that are printed


def show_model(console: Console, manifest: Manifest, verbose: bool = False) -> None:
    """The manifest in a few lines with its choices and scores. verbose: every entry instead."""
    if verbose:
        show_facts(console, flat(manifest))
        return
    show_facts(console, [(name, text) for name, text in facts(manifest) if text])
    show_choices(console, [(c["name"], c["value"], c["why"]) for c in manifest.get("chosen", ())])
    if manifest.get("scores"):
        show_scores(console, manifest["scores"], "on data held out of training")


def facts(manifest: Manifest) -> Iterable[tuple[str, str]]:
    """(name, sentence) of what one wants to know of a model first; "" where nothing is known."""
    network, data = manifest.get("network", {}), manifest.get("data", {})
    versions, span = manifest.get("versions", {}), data.get("span", {})
    yield (
        "network",
        _joined(
            _title(network.get("name", "lstm")),
            _sizes(network),
            _counted(network.get("members"), "member"),
            _counted(network.get("parameters"), "weight"),
        ),
    )
    yield "context", _joined(_counted(network.get("context"), "step"))
    yield "horizon", _joined(_counted(network.get("horizon"), "step"))
    yield (
        "data",
        _joined(data.get("source"), f"{data.get('series', 0):,} series", data.get("frequency")),
    )
    yield "span", f"{span['first']} to {span['last']}" if span else ""
    yield "sha256", str(data.get("digest") or "")
    yield (
        "trained",
        _joined(manifest.get("created"), *(f"{k} {v}" for k, v in versions.items())),
    )
    yield "settings", _joined(*(f"{k} {v}" for k, v in flat(manifest.get("settings", {}))))


def flat(document: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """A nested document as (section.key, value); long lists are cut, empty entries left out."""
    for key, value in document.items():
        name = prefix + str(key)
        if isinstance(value, Mapping):
            yield from flat(value, f"{name}.")
        elif isinstance(value, list) and any(isinstance(entry, Mapping | list) for entry in value):
            yield from flat({str(i): entry for i, entry in enumerate(value)}, f"{name}.")
        elif isinstance(value, list) and len(value) > _LONG:
            yield name, f"{show(value[:_LONG])},… ({len(value)} values)"
        elif value not in (None, [], ""):
            yield name, clean(show(value))


def _sizes(network: Manifest) -> str:
    """Layers and units of the members, each size once."""
    one = [network.get("hidden_size"), network.get("layers")]
    sizes = dict.fromkeys(tuple(size) for size in network.get("shapes", [one]))
    return " and ".join(f"{show(layers)} x {show(hidden)} units" for hidden, layers in sizes)


def _title(network: str) -> str:
    from forecast.models.networks.registry import IDEAS

    return IDEAS[network].title if network in IDEAS else clean(network)


def _counted(count: int | None, noun: str) -> str:
    return "" if count is None else f"{count:,} {noun}{'' if count == 1 else 's'}"


def _joined(*parts: object) -> str:
    return ", ".join(str(part) for part in parts if part)
