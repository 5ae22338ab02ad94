"""`cunet crossval`: train and score every fold of a data set."""

from typing import TYPE_CHECKING

import click

from cunet.cli import common
from cunet.cli.crossval_output import Board, announce
from cunet.cli.train_options import Command, settings_options

if TYPE_CHECKING:
    from cunet.crossvalidation.plan import Plan

OWN_HELP = {
    "fold": None,
    "hold_out": None,
    "train_share": None,
    "drop": None,
    "devices": None,
    "out": "Folder of the cross-validation (default: runs/<data>-crossval-<n>).",
    "minutes": "Train each fold for about this long: fits the steps to the measured speed.",
    "seed": "The first seed; all random numbers follow from it.",
    "device": "auto, cpu, cuda (every GPU) or cuda:1 (that one).",
    "threads": "CPU threads (default: all), shared by the jobs.",
}


@click.command(cls=Command)
@click.option("--folds", type=click.IntRange(2), help="Number of folds (5).")
@click.option("--seeds", type=click.IntRange(1), help="Number of seeds for every fold (1).")
@click.option(
    "--seeds-of",
    type=common.Choice(("all", "first")),
    help="first: further seeds for fold 0 alone.",
)
@click.option(
    "--average", type=common.Choice(common.AVERAGES), help="Views of each tile (rotations)."
)
@click.option("--jobs", type=click.IntRange(1), help="Runs at a time (1, or one per GPU).")
@settings_options(OWN_HELP)
@click.option("--resume", type=common.PATH, help="Continue this cross-validation.")
@click.option("--worker", hidden=True, help="Complete one run, for the process that asks for it.")
@click.option("-n", "--dry-run", is_flag=True, help="Check everything, train nothing.")
@common.quiet_option
@common.json_option
def command(config_file, resume, worker, dry_run, quiet, as_json, **given):
    """Hold out each fold in turn: train on the others and score the one held out.

    Fold k of n holds out slices k, k+n, k+2n ... like `cunet train --fold k/n`. Every slice is held
    out once a seed; prediction.tif is the stack of these predictions, of the first seed. Scores are
    those of the last step. All folds of a seed come before the next seed: --resume DIR --seeds N
    sums up what is done.
    After an interruption --resume continues. It also takes over runs of `cunet train --fold k/n
    --seed s` that were moved to DIR/fold<k>-seed<s>.

    \b
    Examples:
      cunet crossval --data isbi2012/ --folds 5 --dry-run
      cunet crossval --data isbi2012/ --folds 5 --seeds 2
      cunet crossval --data isbi2012/ --device cuda --preset paper
      cunet crossval --resume runs/isbi2012-crossval-1
    """
    from cunet.crossvalidation import plan as plans

    if worker is not None:
        return work(resume, worker, given["device"], given["threads"])
    with common.busy("checking the data, and the speed of a training step", quiet):
        plan = plans.make(config=config_file, resume=resume, **given)
    if not dry_run:
        plan = plan.claimed()
    announce(plan, quiet)
    if not dry_run:
        return run(plan, quiet, as_json)
    if as_json:
        common.print_json(plan.summary())
    common.next_in_earnest(quiet)
    return 0


def work(resume: str | None, name: str, device: str | None, threads: int | None) -> int:
    """The process of one run; returns the exit code."""
    from cunet.crossvalidation import plan, workers

    if resume is None:
        raise click.UsageError("--worker goes with --resume")
    cv, dataset = plan.resumed(resume, device=device, threads=threads)
    return workers.work(cv, name, dataset)


def run(plan: "Plan", quiet: bool, as_json: bool) -> int:
    """Complete every run, score all slices at once, print the result; returns the exit code."""
    from cunet.crossvalidation.summary import prediction_files
    from cunet.crossvalidation.table import lines

    cv, board = plan.cv, Board(plan, quiet)
    try:
        document = plan.run(board)
    except KeyboardInterrupt:
        board.close()
        common.say("stopped; everything is saved", quiet)
        if as_json:
            steps = {run.name: cv.steps_done(run) for run in cv.runs}
            common.print_json({"crossval": str(cv.path), "finished": False, "steps": steps})
        common.next_command(plan.again, quiet)
        return 130
    finally:
        board.close()
    if as_json:
        common.print_json(document)
    elif not quiet:
        for line in lines(document):
            common.show(line)
    predictions = prediction_files(cv, plan.dataset)
    name = predictions[0] if len(predictions) == 1 else predictions[0].parent
    common.say(f"predictions of every slice by the net that had not seen it: {name}", quiet)
    common.next_command(plan.next_command(document), quiet)
    return 0
