"""How far the rounds are, and the file from which a server that was killed goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from forecast.common.documents import BadDocument, Count, Document, Name, Text, check_schema
from forecast.common.errors import ModelDamagedError, UsageError
from forecast.training.checkpoint import about_in, read_summed, write_summed
from forecast.training.federated import fault_of

FILE = "rounds.safetensors"
Loss = Annotated[float, Field(ge=-1e30, le=1e30)]


class Row(Document):
    """What one round brought. validation: mean over the sites of their losses, as shares of those
    of the start; epsilon: spent so far."""

    round: Count
    phase: Name
    counted: Count
    validation: float | None
    epsilon: float | None


class About(Document):
    """What the file says beside its tensors; digest: of what must be the same to go on."""

    number: Count
    best_round: Count
    best_loss: Loss | None
    idle: Count
    first: Annotated[dict[Name, Loss], Field(max_length=100_000)]
    history: Annotated[list[Row], Field(max_length=100_000)]
    epsilon: float | None
    ledger: Text | None
    digest: Text


@dataclass
class Standing:
    """How far the rounds are, all that going on needs.

    number: rounds done; weights: of all sites now; best: those that validated best, after
    `best_round` rounds; idle: rounds since; first: each node's loss before the first round, which
    its later ones are measured by; history: a row for each round; moments: of a server's optimiser;
    ledger: of the accountant of privacy, as JSON.
    """

    weights: dict[str, np.ndarray]
    best: dict[str, np.ndarray]
    number: int = 0
    best_round: int = 0
    best_loss: float = float("inf")
    idle: int = 0
    first: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    epsilon: float | None = None
    moments: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    ledger: str | None = None

    def fitted(self, phase: str) -> int:
        """Rounds of this phase that are done."""
        return sum(row["phase"] == phase for row in self.history)

    def save(self, place: Path, digest: str) -> None:
        """Writes the file, whole or not at all. Raises OutputError."""
        from safetensors.numpy import save

        parts = {"now": self.weights, "best": self.best, **self.moments}
        tensors = {f"{kind}.{k}": v for kind, part in parts.items() for k, v in part.items()}
        about = {
            "number": self.number,
            "best_round": self.best_round,
            "best_loss": self.best_loss if np.isfinite(self.best_loss) else None,
            "idle": self.idle,
            "first": self.first,
            "history": self.history,
            "epsilon": self.epsilon,
            "ledger": self.ledger,
            "digest": digest,
        }
        whole = {k: np.ascontiguousarray(v) for k, v in tensors.items()}
        write_summed(place / FILE, save(whole, {"about": json.dumps(about, allow_nan=False)}))

    @classmethod
    def restored(
        cls, place: Path, digest: str, wanted: Mapping[str, np.ndarray]
    ) -> Standing | None:
        """Where an unfinished training of the same agreement, settings and sites stands; None
        without one. wanted: what weights look like. Raises UsageError where it is another training,
        ModelDamagedError where the file is not as it was written."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        path = place / FILE
        if not path.exists():
            return None
        try:
            blob = read_summed(path)
            about = check_schema(About, about_in(blob))
            parts: dict[str, dict[str, Any]] = {"now": {}, "best": {}}
            for name, array in load(blob).items():
                kind, _, rest = name.partition(".")
                parts.setdefault(kind, {})[rest] = array
            ordered = {kind: {k: part[k] for k in wanted} for kind, part in parts.items()}
            for kind in ("now", "best"):
                fault = fault_of(ordered[kind], wanted)
                if fault and about.digest == digest:
                    raise BadDocument(f"holds {fault}")
        except (BadDocument, SafetensorError, OSError, KeyError) as error:
            raise ModelDamagedError(
                f"where the rounds stand cannot be read: the file {error}",
                code="federate/damaged",
                where=str(path),
                remedy="Remove the file; the rounds then start anew",
            ) from error
        if about.digest != digest:
            raise UsageError(
                "an unfinished training of other sites or settings stands here",
                code="federate/other-training",
                where=str(path),
                remedy="Name another folder with state=..., or remove this file",
            )
        plain = about.model_dump(exclude={"digest"})
        plain["best_loss"] = float("inf") if about.best_loss is None else about.best_loss
        now, best = ordered.pop("now"), ordered.pop("best")
        return cls(now, best, **plain, moments=ordered)
