"""How long a cross-validation still takes: the steps of its runs, reports and scores."""

import time
from collections.abc import Callable
from typing import Any

from cunet.crossvalidation.protocol import Run
from cunet.crossvalidation.runs import CrossValidation
from cunet.data.dataset import Dataset
from cunet.segmentation.views import AVERAGES
from cunet.training.config import Config

FORWARD = 1 / 3  # of a step is its forward pass, about
COUNTING = 3e-6  # seconds that the scores of a pixel take, about, on one processor


class Clock:
    """Follows the events of the runs, as workers.py describes them.

    jobs: runs at a time. step, scoring: seconds of a step and of the scoring of a run, as expected;
    what is measured takes their place.
    """

    def __init__(
        self,
        cv: CrossValidation,
        todo: list[Run],
        jobs: int,
        step: float = 0,
        scoring: float = 0,
        now: Callable[[], float] = time.perf_counter,
    ):
        self.now, self.jobs = now, jobs
        self.steps = {run: cv.config.steps - cv.steps_done(run) for run in todo}  # left
        self.step, self.scoring = step, scoring
        self.seen: dict[Run, float] = {}  # when the last event of a run came that counted
        self.stepped, self.spent = 0, 0.0  # steps made between two events, their seconds
        self.scored: list[float] = []  # seconds of each run's scoring

    def __call__(self, run: Run, event: dict[str, Any]) -> None:
        """Take note of an event of a run."""
        now = self.now()
        if "step" in event:
            if run in self.seen:  # before, it was prepared
                self.stepped, self.spent = self.stepped + 1, self.spent + now - self.seen[run]
                self.step = self.spent / self.stepped
            self.steps[run] -= 1
            self.seen[run] = now
        elif "scores" in event:
            self.scored.append(now - self.seen.get(run, now))
            self.scoring = sum(self.scored) / len(self.scored)
            del self.steps[run]
        else:
            self.seen.setdefault(run, now)

    def left(self) -> float | None:
        """Seconds until all runs are scored; None where nothing is known yet."""
        if self.steps and not (self.step or self.scoring):
            return None
        seconds, now = 0.0, self.now()
        for run, steps in self.steps.items():
            begun = now - self.seen.get(run, now) if steps <= 0 else 0
            seconds += max(0, steps) * self.step + max(0, self.scoring - begun)
        return seconds / min(self.jobs, max(1, len(self.steps)))


def expected_scoring(cv: CrossValidation, dataset: Dataset, config: Config, step: float) -> float:
    """About how many seconds report and scoring of a run take, from those of a step of training."""
    slices = len(dataset.images) / cv.folds
    height, width = dataset.images[0].shape[:2]
    views = sum(len(AVERAGES[average]) for average in cv.averages)
    area = height * width / (config.tile**2 * config.batch * config.iter_size)
    return slices * (views * FORWARD * step * area + len(cv.averages) * COUNTING * height * width)
