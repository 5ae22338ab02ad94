"""Which runs a cross-validation has, in which order, and the words that say how it was made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cunet.terminal import plural

# What the further seeds are for; folders of an older cunet are of the second kind
SEEDS_OF = {"all": "every fold with every seed", "first": "fold 0 alone with further seeds"}
VIEWS = {"none": "one view", "flips": "4 flips averaged", "rotations": "8 views averaged"}


@dataclass(frozen=True)
class Run:
    """One training: the fold it holds out, and its seed."""

    fold: int
    seed: int

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"fold{self.fold}-seed{self.seed}"


def runs_of(folds: int, first: int, seeds: int, seeds_of: str) -> list[Run]:
    """All folds of the first seed, then those of the next: an interrupted cross-validation has
    every slice held out as soon as it can. seeds_of: a key of SEEDS_OF."""
    further = range(folds if seeds_of == "all" else 1)
    runs = [Run(k, first) for k in range(folds)]
    return runs + [Run(k, first + i) for i in range(1, seeds) for k in further]


def kind_of(runs: list[tuple[int, int]]) -> str:
    """The key of SEEDS_OF of these (fold, seed): "first" where fold 0 alone has several seeds."""
    several = {k for k, seed in runs if seed != min(seed for _, seed in runs)}
    return "first" if several == {0} else "all"


def caption(document: Mapping[str, Any], average: str) -> str:
    """How the scores came about, as the caption of a table. document: the contents of metrics.json,
    completed by spread.completed() where an older cunet wrote it."""
    folds, seeds = document["folds"]["n"], document["seeds"]
    whole = seeds is not None and document["seeds_of"] == "all"
    words = f"{folds} folds" + (f" x {seeds['n']} seeds" if whole else "")
    words += ", every slice held out once" + (" a seed" if whole else "")
    if seeds and not whole:
        words += f" (fold 0 with {seeds['n']} seeds)"
    words += f", last network, {VIEWS[average].removesuffix(' averaged')}, "
    which = "pixel error at its" if document["limits"] else "each score at its own"
    return f"{words}{which} best threshold, Dice at 0.5"


def scored(counts: Mapping[str, Any]) -> str:
    """How much was scored, in words; counts: {"slices", "pixels", "objects"}, None where an older
    cunet did not count."""
    names = {"slices": "slice", "pixels": "pixel", "objects": "object"}
    return ", ".join(plural(counts[k], one) for k, one in names.items() if counts[k] is not None)
