"""What `cunet crossval` shows: the plan, one progress bar for all runs, the table of scores."""

from typing import TYPE_CHECKING

from cunet.cli import common
from cunet.cli.train_output import announce as announce_training
from cunet.cli.train_output import validation_line
from cunet.cli.words import duration
from cunet.terminal import plural
from cunet.training.progress_line import Smooth

if TYPE_CHECKING:
    from cunet.crossvalidation.plan import Plan
    from cunet.crossvalidation.runs import Run

TITLES = {
    "pixel_error": "pixel err",
    "rand_error": "Rand err",
    "warping_error": "warp err",
    "v_rand": "V Rand",
    "v_info": "V info",
    "dice": "Dice",
}
DIGITS = {"warping_error": 6}  # a small number; the others have four
VIEWS = {"none": "one view", "flips": "4 flips averaged", "rotations": "8 views averaged"}


def announce(plan: "Plan", quiet: bool) -> None:
    """Print what will be done and, where it was measured, how long it takes."""
    from cunet.crossvalidation.scores import limits

    cv, runs, todo = plan.cv, plan.cv.runs, plan.todo
    text = f"{cv.folds} folds"
    if cv.seeds > 1:
        text += f", and fold 0 with seeds {', '.join(str(r.seed) for r in runs if r.fold == 0)}"
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
        cv, self.clock = plan.cv, plan.clock()
        self.number = {run: f"{i} of {len(cv.runs)}" for i, run in enumerate(cv.runs, start=1)}
        self.steps = {run: cv.steps_done(run) for run in cv.runs}
        self.smooth = {run: Smooth() for run in cv.runs}
        self.average, self.quiet, self.collecting = cv.average, quiet, False
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
                f"Dice {scores['dice']:.4f}  ({VIEWS[self.average]}; trained for "
                f"{duration(event['seconds'])})"
            )

    def close(self) -> None:
        """Leave the bar's line."""
        self.bar.close()


def show(document: dict) -> None:
    """Print the table of scores on stdout, averaged predictions last."""
    runs, stack = document["runs"], document["stack"]
    folds = [run for run in runs if run["seed"] == runs[0]["seed"]]
    seeds = [run for run in runs if run["fold"] == 0] if document["seeds"] else []
    slices = sum(len(run["held_out"]) for run in folds)
    for average, together in stack.items():
        keys = [key for key in TITLES if key in together]
        rows = [(f"fold {run['fold']}, {plural(len(run['held_out']), 'slice')}", run)
                for run in folds]  # fmt: skip
        rows += [("mean of the folds", document["mean"])]
        rows += [("standard deviation", document["sd"])]
        rows += [(f"fold 0, seed {run['seed']}", run) for run in seeds]
        if seeds:
            rows += [("mean of the seeds", document["seeds"]["mean"])]
            rows += [("standard deviation", document["seeds"]["sd"])]
        rows += [(f"all {slices} slices", stack)]
        common.show(f"{VIEWS[average]:<20}" + "".join(f"{TITLES[key]:>10}" for key in keys))
        for name, scores in rows:
            figures = (f"{scores[average][key]:>10.{DIGITS.get(key, 4)}f}" for key in keys)
            common.show(f"{name:<20}" + "".join(figures))
        common.show()
