"""Means and standard deviations over the runs of a cross-validation, over folds, and over seeds.

    n, mean, sd  over all runs: every fold with every seed
    folds        over the folds, of each the mean over its seeds: {"n", "mean", "sd"}
    seeds        over the seeds, of each the mean over its folds; None where there is one

Which is larger, the spread of folds or of seeds, tells what a figure depends on. Where fold 0 alone
has further seeds (seeds_of "first") they are left out of the first two, and "seeds" is fold 0's. A
mean or deviation is {average: {score: number}}; deviations are those of a sample (n - 1), NaN where
there is one number only.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cunet.crossvalidation.protocol import kind_of

Entry = Mapping[str, Any]  # of a run: "fold", "seed", and by average its scores


def statistics(
    runs: Sequence[Entry], averages: Iterable[str], keys: Iterable[str], seeds_of: str
) -> dict[str, Any]:
    """What the head of this file says, of runs in the order of protocol.runs_of."""
    first = [run for run in runs if run["seed"] == runs[0]["seed"]]
    every = runs if seeds_of == "all" else first
    of_seeds = every if seeds_of == "all" else [run for run in runs if run["fold"] == 0]

    def over(groups: list[list[Entry]]) -> dict[str, Any]:
        values = {
            average: {
                key: [float(np.mean([run[average][key] for run in group])) for group in groups]
                for key in keys
                if key in groups[0][0][average]
            }
            for average in averages
        }
        mean = {a: {k: float(np.mean(v)) for k, v in of.items()} for a, of in values.items()}
        sd = {a: {k: deviation(v) for k, v in of.items()} for a, of in values.items()}
        return {"n": len(groups), "mean": mean, "sd": sd}

    seeds = _grouped(of_seeds, "seed")
    return over([[run] for run in every]) | {
        "folds": over(_grouped(every, "fold")),
        "seeds": over(seeds) if len(seeds) > 1 else None,
    }


def deviation(values: Sequence[float]) -> float:
    """The standard deviation estimated from a sample; NaN of fewer than two numbers."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def _grouped(runs: Sequence[Entry], name: str) -> list[list[Entry]]:
    groups: dict[int, list[Entry]] = {}
    for run in runs:
        groups.setdefault(run[name], []).append(run)
    return list(groups.values())


def completed(document: Mapping[str, Any]) -> dict[str, Any]:
    """metrics.json with what an older cunet did not write: it had a mean over the folds and one
    over the seeds of fold 0. KeyError where more is missing."""
    found, runs = dict(document), document["runs"]
    found["seeds_of"] = kind_of([(run["fold"], run["seed"]) for run in runs])
    first = [run for run in runs if run["seed"] == runs[0]["seed"]]
    found["n"] = len(runs if found["seeds_of"] == "all" else first)
    if found["n"] == len(first):  # a run for each fold: mean and sd are over the folds
        found.setdefault("folds", {"mean": found["mean"], "sd": found["sd"]})
    found["folds"] = {**found["folds"], "n": len(first)}
    if found["seeds"]:
        found["seeds"] = {**found["seeds"], "n": len({run["seed"] for run in runs})}
    slices = sum(len(run["held_out"]) for run in first)
    found.setdefault("scored", {"slices": slices, "pixels": None, "objects": None})
    return found


def rows(document: Mapping[str, Any]) -> list[tuple[str, Mapping | None, Mapping]]:
    """(name, mean, sd) of a completed() document, for tables that show both in one row; the
    mean is None where it is that of the first row."""
    n, folds, seeds = document["n"], document["folds"], document["seeds"]
    if document["seeds_of"] == "first" or not seeds:
        found = [(f"mean of {n} folds ± sd", document["mean"], document["sd"])]
        if seeds:
            found += [(f"fold 0, mean of {seeds['n']} seeds ± sd", seeds["mean"], seeds["sd"])]
        return found
    return [
        (f"mean of {n} runs ± sd", document["mean"], document["sd"]),
        (f"sd of the {folds['n']} folds' means", None, folds["sd"]),
        (f"sd of the {seeds['n']} seeds' means", None, seeds["sd"]),
    ]
