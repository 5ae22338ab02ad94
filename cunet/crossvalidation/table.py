"""The scores of a cross-validation as lines of text, 80 characters wide."""

import textwrap
from collections.abc import Mapping
from typing import Any

from cunet.crossvalidation.protocol import VIEWS, caption, scored
from cunet.terminal import plural

WIDTH = 80
TITLES = {
    "pixel_error": "pixel err",
    "rand_error": "Rand err",
    "warping_error": "warp err",
    "v_rand": "V Rand",
    "v_info": "V info",
    "dice": "Dice",
}
DIGITS = {"warping_error": 6}  # a small number; the others have four
Row = tuple[str, Mapping[str, Any]]  # name, scores by average


def lines(document: Mapping[str, Any]) -> list[str]:
    """A table for every average of a metrics.json, averaged predictions last, under captions that
    say what was done and how much was scored."""
    found = _wrapped(f"Scored: {_scored(document)}.") + _wrapped(_deviations(document)) + [""]
    rows = _rows(document)
    for average, stack in document["stack"].items():
        keys = [key for key in TITLES if key in stack]
        found += _wrapped(f"{caption(document, average)}:")
        found.append(f"{VIEWS[average]:<20}" + "".join(f"{TITLES[key]:>10}" for key in keys))
        for name, scores in rows:
            figures = (_figure(name, key, scores[average][key]) for key in keys)
            found.append((f"{name:<20}" + "".join(figures)).rstrip())
        found.append("")
    return found


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH)


def _figure(name: str, key: str, value: float) -> str:
    if value != value:  # a deviation of one number is not shown
        return f"{'' if name.startswith('sd') else 'undefined':>10}"
    return f"{value:>10.{DIGITS.get(key, 4)}f}"


def _scored(document: Mapping[str, Any]) -> str:
    counts, runs = document["scored"], document["runs"]
    first = [run["scored"] for run in runs if run["seed"] == runs[0]["seed"]]
    each = []
    for key in ("slices", "objects"):
        low, high = min(one[key] for one in first), max(one[key] for one in first)
        each.append((f"{low:,} to " if low < high else "") + plural(high, key.removesuffix("s")))
    return f"{scored(counts)} ({counts['objects_are']}); of them in a fold {', '.join(each)}"


def _deviations(document: Mapping[str, Any]) -> str:
    """What the rows with deviations are of."""
    words = "sd: standard deviation of a sample (n - 1)"
    if document["seeds"] and document["seeds_of"] == "all":
        words += (
            "; of folds: of their means over the seeds; of seeds: of their means over the folds"
        )
    if document["seeds"]:
        words += f". All slices as one stack: of seed {document['runs'][0]['seed']}"
    return f"{words}."


def _rows(document: Mapping[str, Any]) -> list[Row]:
    """Every run, the means and deviations, all slices at once."""
    runs, seeds = document["runs"], document["seeds"]
    folds = [run for run in runs if run["seed"] == runs[0]["seed"]]
    slices = sum(len(run["held_out"]) for run in folds)
    last = [(f"all {plural(slices, 'slice')}", document["stack"])]
    if seeds and document["seeds_of"] == "all":
        found = [(f"fold {run['fold']}, seed {run['seed']}", run) for run in runs]
        found += _mean_and_sd(document, "run")
        found += [(f"sd of {document['folds']['n']} folds", document["folds"]["sd"])]
        return [*found, (f"sd of {seeds['n']} seeds", seeds["sd"]), *last]
    found = [(f"fold {run['fold']}, {plural(len(run['held_out']), 'slice')}", run) for run in folds]
    found += _mean_and_sd(document, "fold")
    if seeds:
        again = [run for run in runs if run["fold"] == 0]
        found += [(f"fold 0, seed {run['seed']}", run) for run in again]
        found += _mean_and_sd(seeds, "seed")
    return [*found, *last]


def _mean_and_sd(of: Mapping[str, Any], what: str) -> list[Row]:
    return [(f"{name} of {plural(of['n'], what)}", of[name]) for name in ("mean", "sd")]
