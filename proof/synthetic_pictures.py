"""Draw a page of examples of every synthetic family.

    python proof/synthetic_pictures.py [FOLDER]

writes FOLDER/synthetic-step.png and FOLDER/synthetic-day.png (default: runs/pictures): one row a
family, its name and the season of each series above the curves; gaps are missing values.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from forecast.training.pretraining.families import families
from forecast.training.pretraining.generate import SyntheticBatch, generate

COLUMNS = 8
LENGTHS = {"step": 200, "day": 21 * 24}


def examples(kind: str, name: str, seed: int = 7) -> SyntheticBatch:
    """COLUMNS series of family `name`."""
    return generate(COLUMNS, LENGTHS[kind], kind, seed, weights={name: 1.0})


def draw_page(kind: str, path: Path) -> None:
    """Writes the page of `kind` to `path` (PNG)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(families(kind))
    figure, axes = plt.subplots(len(names), COLUMNS, figsize=(3 * COLUMNS, 1.7 * len(names)))
    for row, name in zip(axes, names, strict=True):
        batch = examples(kind, name)
        for axis, values, mask, season, length in zip(
            row, batch.values, batch.mask, batch.season, batch.lengths, strict=True
        ):
            axis.plot(np.where(mask, values, np.nan)[-length:], linewidth=0.8)
            axis.set_title(f"{name}, season {season}", fontsize=8)
            axis.tick_params(labelsize=6)
    figure.tight_layout()
    figure.savefig(path, dpi=60)
    plt.close(figure)


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/pictures")
    folder.mkdir(parents=True, exist_ok=True)
    for kind in LENGTHS:
        draw_page(kind, folder / f"synthetic-{kind}.png")


if __name__ == "__main__":
    main()
