"""What `cunet crossval` shows while it works: the plan, one progress bar for all runs."""

from typing import TYPE_CHECKING

from cunet.cli import common
from cunet.cli.train_output import announce as announce_training
from cunet.cli.train_output import validation_line
from cunet.cli.words import duration
from cunet.terminal import plural
from cunet.training.progress_line import Smooth

if TYPE_CHECKING:
    from cunet.crossvalidation.plan import Plan
    from cunet.crossvalidation.protocol import Run


def announce(plan: "Plan", quiet: bool) -> None:
    """Print what will be done and, where it was measured, how long it takes."""
    from cunet.crossvalidation.scores import limits

    cv, runs, todo = plan.cv, plan.cv.runs, plan.todo
    text = f"{cv.folds} folds"
    if cv.seeds > 1:
        which = "each" if cv.seeds_of == "all" else "and fold 0"
        text += f", {which} with seeds {', '.join(str(r.seed) for r in runs if r.fold == 0)}"
    text += f": {len(runs)} runs, {len(plan.places)} at a time"
    if plan.fold is not None and plan.expected_seconds is not None:
        announce_training(plan.fold, quiet)
        text += f", about {duration(plan.expected_seconds)} and the scoring  ->  {cv.path}"
    else:
        ready = plural(len(runs) - len(todo), "run is", "runs are")
        common.say(f"continuing {cv.path}: {ready} done", quiet)
    common.say(text, quiet)
    steps = plural(cv.config.steps, "step")
    for run in todo:
        if done := cv.steps_done(run):
            scored = ", to be scored" if done == cv.config.steps else ""
            common.say(f"  {run.name} has done {done} of {steps}{scored}", quiet)
    if why := limits(plan.dataset):
        common.say(f"  scores are pixel error and Dice only: {why}", quiet)


class Board:
    """One progress bar for all runs, then one for the scores of all slices at once. It is called
    with a run, or None for all slices, and an event."""

    def __init__(self, plan: "Plan", quiet: bool):
        from cunet.crossvalidation.protocol import VIEWS

        cv, self.clock = plan.cv, plan.clock()
        self.number = {run: f"{i} of {len(cv.runs)}" for i, run in enumerate(cv.runs, start=1)}
        self.steps = {run: cv.steps_done(run) for run in cv.runs}
        self.smooth = {run: Smooth() for run in cv.runs}
        self.average, self.views = cv.average, VIEWS[cv.average]
        self.quiet, self.collecting = quiet, False
        total = len(cv.runs) * cv.config.steps
        self.bar = common.Progress(total, sum(self.steps.values()), quiet, text="steps")

    def __call__(self, run: "Run | None", event: dict) -> None:
        """Show an event; its kinds are described in cunet/crossvalidation/workers.py."""
        if run is None:
            if not self.collecting:
                self.close()
                self.bar, self.collecting = common.Progress(event["of"], 0, self.quiet), True
            self.bar.update(event["done"], event["doing"])
            return
        self.clock(run, event)
        name = f"run {self.number[run]}, {run.name}:"
        if "step" in event:
            self.steps[run] = step = event["step"]
            if "val_pixel_error" in event:
                self.bar.line(f"{run.name}  {validation_line(event)}")
            loss = self.smooth[run](event["loss"])
            text = f"{name} step {step}, loss {loss:.4f}"
            self.bar.update(sum(self.steps.values()), text, self.clock.left())
        elif "doing" in event:
            text = f"{name} {event['doing']} {event['done']} of {event['of']}"
            # the bar fills up only when the last run is scored
            done = min(sum(self.steps.values()), self.bar.total - 1)
            self.bar.update(done, text, self.clock.left())
        else:
            scores = event["scores"][self.average]
            self.bar.line(
                f"{run.name}  scored: pixel error {scores['pixel_error']:.4f}  "
                f"Dice {scores['dice']:.4f}  ({self.views}; trained for "
                f"{duration(event['seconds'])})"
            )

    def close(self) -> None:
        """Leave the bar's line."""
        self.bar.close()
