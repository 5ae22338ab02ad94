"""How long a cross-validation still takes, told from its events."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cunet.crossvalidation.clock import Clock, expected_scoring
from cunet.crossvalidation.runs import CrossValidation, Run
from cunet.training.config import Config

CV = CrossValidation(Path("none"), Config(steps=10), folds=2)
RUNS = CV.runs


class Told:
    """A clock, and the time that it is told."""

    def __init__(self, jobs=1, **expected):
        self.time = 100.0
        self.clock = Clock(CV, RUNS, jobs, now=lambda: self.time, **expected)

    def after(self, seconds, run, event):
        self.time += seconds
        self.clock(run, event)
        return self.clock.left()


def test_what_is_expected_until_it_is_measured():
    assert Told().clock.left() is None
    assert Told(step=2, scoring=30).clock.left() == 2 * (10 * 2 + 30)
    assert Told(2, step=2, scoring=30).clock.left() == 10 * 2 + 30


def test_a_whole_cross_validation():
    """Each step takes 1 second instead of the 2 expected, each scoring 8 instead of 30."""
    told = Told(step=2, scoring=30)
    assert told.after(5, RUNS[0], {"step": 1}) == 9 * 2 + 30 + 10 * 2 + 30
    for step in range(2, 11):
        left = told.after(1, RUNS[0], {"step": step})
        assert left == pytest.approx((10 - step + 10) * 1 + 60)
    assert told.after(4, RUNS[0], {"doing": "scoring", "done": 1, "of": 2}) == 26 + 10 + 30
    assert told.after(4, RUNS[0], {"scores": {}}) == 10 + 8
    for step in range(1, 11):
        told.after(1, RUNS[1], {"step": step})
    assert told.clock.left() == 8
    assert told.after(20, RUNS[1], {"doing": "scoring", "done": 1, "of": 2}) == 0
    assert told.after(1, RUNS[1], {"scores": {}}) == 0


def test_runs_that_only_need_their_scores(tmp_path):
    told = Told()
    told.clock.steps = dict.fromkeys(RUNS, 0)
    assert told.after(1, RUNS[0], {"doing": "segmenting", "done": 1, "of": 9}) is None
    assert told.after(7, RUNS[0], {"scores": {}}) == 7


def test_expected_scoring_grows_with_slices_views_and_pixels():
    config = Config(steps=10, tile=188, batch=1, iter_size=1)

    def expected(count, side, average):
        cv = CrossValidation(Path("none"), config, 2, average=average)
        dataset = SimpleNamespace(images=[np.empty((side, side, 1))] * count)
        return expected_scoring(cv, dataset, config, 6.0)

    count = 3e-6 * 188**2
    # 3 slices a fold, each of the area of a tile: a forward pass is a third of the step of 6 s
    assert expected(6, 188, "none") == pytest.approx(3 * 2 + 3 * count)
    assert expected(6, 188, "rotations") == pytest.approx(3 * 9 * 2 + 3 * 2 * count)
    assert expected(6, 376, "none") == pytest.approx(4 * expected(6, 188, "none"))
    assert Run(0, 0) in RUNS
