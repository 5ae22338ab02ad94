"""Means, deviations and counts of a cross-validation, against numbers worked out by hand."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cunet.crossvalidation import protocol, spread, table
from cunet.crossvalidation.summary import amounts

ROOT = Path(__file__).parents[2]
# Three folds with two seeds each: by seed, then by fold
VALUES = {7: (1.0, 4.0, 7.0), 8: (3.0, 4.0, 11.0)}


def runs_with(values):
    return [
        {"fold": fold, "seed": seed, "held_out": [fold, fold + 3], "none": {"dice": value}}
        for seed, of_folds in values.items()
        for fold, value in enumerate(of_folds)
    ]


def statistics(runs, seeds_of="all"):
    found = spread.statistics(runs, ["none"], ["dice"], seeds_of)

    def of(given):
        return given and [given["n"], given["mean"]["none"]["dice"], given["sd"]["none"]["dice"]]

    return of(found), of(found["folds"]), of(found["seeds"])


def test_runs_folds_and_seeds_by_hand():
    """Mean 30 / 6 = 5. Squares about it 16 1 4 4 1 36, sum 62. Folds have the means 2, 4, 9, with
    squares 9 1 16, sum 26; seeds 4 and 6."""
    runs, folds, seeds = statistics(runs_with(VALUES))
    assert runs == pytest.approx([6, 5, (62 / 5) ** 0.5])
    assert folds == pytest.approx([3, 5, 13**0.5])
    assert seeds == pytest.approx([2, 5, 2**0.5])


def test_further_seeds_of_fold_0_alone_by_hand():
    """Folds 1, 4, 7; fold 0 with the seeds' 1, 3, 8."""
    runs = runs_with({7: (1.0, 4.0, 7.0), 8: (3.0,), 9: (8.0,)})
    over, folds, seeds = statistics(runs, "first")
    assert over == folds == pytest.approx([3, 4, 3])
    assert seeds == pytest.approx([3, 4, 13**0.5])


def test_one_seed_has_no_deviation():
    over, folds, seeds = statistics(runs_with({7: (1.0, 4.0, 7.0)}))
    assert over == folds == [3, 4, 3] and seeds is None
    assert np.isnan(spread.deviation([0.3])) and spread.deviation([0.3, 0.3]) == 0


@pytest.mark.parametrize("seeds_of", ["all", "first"])
def test_all_folds_of_a_seed_come_before_the_next_seed(seeds_of):
    runs = [(run.fold, run.seed) for run in protocol.runs_of(3, 7, 3, seeds_of)]
    further = [(0, 8), (0, 9)]
    if seeds_of == "all":
        further = [(0, 8), (1, 8), (2, 8), (0, 9), (1, 9), (2, 9)]
    assert runs == [(0, 7), (1, 7), (2, 7), *further]
    assert protocol.kind_of(runs) == seeds_of and protocol.kind_of(runs[:3]) == "all"


def published():
    """The figures of examples/paper/README.md: five folds with two seeds each."""
    path = ROOT / "examples" / "benchmarks" / "isbi2012-crossval.json"
    return json.loads(path.read_text())


def test_what_is_published_follows_from_its_runs():
    found = published()
    runs = [(run["fold"], run["seed"]) for run in found["runs"]]
    assert runs == [(fold, seed) for seed in (0, 1) for fold in range(5)]
    again = spread.statistics(found["runs"], ["none", "rotations"], found["mean"]["none"], "all")
    for name in ("mean", "sd"):
        for average in ("none", "rotations"):
            for of, theirs in ((again, found), *((again[k], found[k]) for k in ("folds", "seeds"))):
                assert of[name][average] == pytest.approx(theirs[name][average], rel=1e-12)
    assert found["protocol"] == protocol.caption(found, "rotations")
    counts = [run["scored"]["objects"] for run in found["runs"][:5]]
    assert found["scored"]["objects"] == sum(counts) and found["n"] == 10


def test_what_an_older_cunet_wrote_is_read():
    """Five folds, and fold 0 with a second seed: mean and sd over folds, and over seeds of fold 0,
    and no count of what was scored."""
    later = published()
    runs = [{k: v for k, v in run.items() if k != "scored"} for run in later["runs"][:6]]
    averages, keys = ("none", "rotations"), later["mean"]["none"]

    def over(runs):
        values = {a: {k: [run[a][k] for run in runs] for k in keys} for a in averages}
        return {
            "mean": {a: {k: np.mean(v) for k, v in of.items()} for a, of in values.items()},
            "sd": {a: {k: np.std(v, ddof=1) for k, v in of.items()} for a, of in values.items()},
        }

    older = {k: later[k] for k in ("average", "limits", "stack")} | {"runs": runs} | over(runs[:5])
    found = spread.completed(older | {"seeds": over([runs[0], runs[5]])})
    assert found["seeds_of"] == "first"
    assert (found["n"], found["folds"]["n"], found["seeds"]["n"]) == (5, 5, 2)
    assert found["scored"] == {"slices": 30, "pixels": None, "objects": None}
    names = [name for name, _, _ in spread.rows(found)]
    assert names == ["mean of 5 folds ± sd", "fold 0, mean of 2 seeds ± sd"]
    assert protocol.caption(found, "rotations") == (
        "5 folds, every slice held out once (fold 0 with 2 seeds), last network, 8 views, each "
        "score at its own best threshold, Dice at 0.5"
    )
    again = spread.statistics(found["runs"], averages, keys, "first")
    for name in ("mean", "sd"):
        for average in averages:
            assert again[name][average] == pytest.approx(found[name][average], rel=1e-12)
            theirs = found["seeds"][name][average]
            assert again["seeds"][name][average] == pytest.approx(theirs, rel=1e-12)


def test_a_deviation_of_nothing_is_left_out_and_a_score_of_nothing_named():
    """A document of two folds and one seed, where one run has no Dice."""
    runs = runs_with({7: (0.5, float("nan"))})
    counted = {"slices": 2, "pixels": 50, "objects": 1, "objects_are": "numbered true cells"}
    document = {
        "limits": "cells touch",
        "seeds_of": "all",
        "runs": [run | {"scored": counted} for run in runs],
        "stack": {"none": {"dice": 0.25}},
        "scored": counted | {"slices": 4, "pixels": 100, "objects": 2},
    }
    document |= spread.statistics(runs, ["none"], ["dice"], "all")
    lines = table.lines(document)
    rows = {line[:20].strip(): line[20:].split() for line in lines}
    assert rows["fold 0, 2 slices"] == ["0.5000"] and rows["fold 1, 2 slices"] == ["undefined"]
    assert rows["sd of 2 folds"] == [] and rows["all 4 slices"] == ["0.2500"]
    text = " ".join(lines)
    assert "4 slices, 100 pixels, 2 objects (numbered true cells); of them in a fold" in text
    assert "in a fold 2 slices, 1 object." in text
    assert "pixel error at its best threshold, Dice at 0.5" in text


WHITE = """
    11011
    11011
    00100
    11111
"""  # three cells: corners do not join, and the pixel of the third row hangs on the fourth


def test_objects_and_pixels_are_counted_as_a_person_would():
    page = np.array([[int(c) for c in line] for line in WHITE.split()], np.uint8)
    dataset = SimpleNamespace(labels=[page, page * 0, page], instances=None)
    found = amounts(dataset, [0, 1])
    assert (found["slices"], found["pixels"], found["objects"]) == (2, 40, 3)
    assert found["objects_are"] == "4-connected components of the true cells"
    ignored = page.copy()
    ignored[:2, 3:] = 255  # the cell on the right
    found = amounts(SimpleNamespace(labels=[page, ignored], instances=None), [1])
    assert (found["pixels"], found["objects"]) == (16, 2)


def test_numbered_cells_are_counted_by_their_numbers():
    numbers = np.array([[3, 3, 9], [0, 7, 9], [3, 7, 9]], np.uint16)  # 3 lies in two pieces
    labels = (numbers > 0).astype(np.uint8)
    found = amounts(SimpleNamespace(labels=[labels], instances=[numbers]), [0])
    assert (found["pixels"], found["objects"]) == (9, 3)
    assert found["objects_are"] == "numbered true cells"
    labels[:, 2] = 255
    found = amounts(SimpleNamespace(labels=[labels], instances=[numbers]), [0])
    assert (found["pixels"], found["objects"]) == (6, 2)
