"""Every command that writes, at random paths of random trees: nothing of the user's changes.

    python proof/foreign_files.py [--cases 5000] [--first 0]

The trees hold files, folders, links (to the input, dangling, in a circle), pipes, devices where
they may be made, a git checkout, runs and jobs of this edition and of the first, and a model of
somebody else's. Content, mode and owner of all that lstmcast did not make are compared before and
after; work that takes long is replaced by a short one behind the commands' own checks.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests import foreign_commands, foreign_tree

ON_A_TREE = 8  # commands, one after the other


def main() -> int:
    """Runs the cases; the exit code, 1 where something was changed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    asked = parser.parse_args()
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="foreign-") as place:
        template = foreign_commands.template(Path(place) / "template")
        cases = 0
        for seed in range(asked.first, asked.first + -(-asked.cases // ON_A_TREE)):
            for words, code, changes in on_one_tree(Path(place) / str(seed), template, seed):
                cases += 1
                outcomes[f"{words[0]} {code}"] += 1
                if changes or code == 70:
                    outcomes["failed"] += 1
                    print(f"seed {seed}: {' '.join(words)}: code {code}", *changes, sep="\n  ")
                if cases % 500 == 0:
                    print(f"{cases} cases, {outcomes['failed']} failed", flush=True)
    for name, count in sorted(outcomes.items()):
        print(f"{count:6,} {name}")
    failed = outcomes["failed"]
    print(f"{cases:,} cases, {failed} with a change or a bug")
    return 1 if failed else 0


def on_one_tree(
    root: Path, template: Path, seed: int
) -> Iterator[tuple[list[str], int, list[str]]]:
    """Commands one after the other on a new tree, and what came of each."""
    rng = random.Random(seed)
    tree = foreign_tree.build(root, template, rng)
    try:
        for _ in range(ON_A_TREE):
            words = foreign_commands.chosen(tree, rng)
            yield (words, *foreign_commands.try_command(tree, words))
    finally:
        tree.close()
        shutil.rmtree(root, ignore_errors=True)
        (root.parent / f"{root.name}-stdout").unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
