"""`cunet crossval`: train and score every fold of a data set."""

import click

from cunet.cli import common
from cunet.cli.crossval_output import Board, announce, next_step, show
from cunet.cli.train_options import settings_options

OWN_WORDS = {
    "fold": None,
    "hold_out": None,
    "train_share": None,
    "drop": None,
    "out": "Folder of the cross-validation (default: runs/<data>-crossval-<n>).",
    "minutes": "Train each fold for about so long: fits the steps to the measured speed.",
    "seed": "The first seed; all random numbers follow from it.",
    "device": "auto, cpu, cuda (every GPU) or cuda:1 (that one).",
    "threads": "CPU threads (all), shared by the jobs.",
}


@click.command()
@click.option("--folds", type=click.IntRange(2), help="How many folds (5); as cunet train --fold.")
@click.option("--seeds", type=click.IntRange(1), help="Train fold 0 with so many seeds (1).")
@click.option("--average", help="none, flips or rotations (default): views of a tile averaged.")
@click.option("--jobs", type=click.IntRange(1), help="Runs at a time (1; a run per GPU).")
@settings_options(OWN_WORDS)
@click.option("--resume", type=str, help="Continue this cross-validation.")
@click.option("--worker", hidden=True, help="Complete one run, for the process that asks for it.")
@click.option("-n", "--dry-run", is_flag=True, help="Check everything, train nothing.")
@common.quiet_option
@common.json_option
def command(config_file, resume, worker, dry_run, quiet, as_json, **given):
    """Train on all folds but one, score the one that was held out, and so for every fold.

    Fold k of n holds out slices k, k+n, k+2n ... as `cunet train --fold k/n` does. Every slice is
    held out once; prediction.tif is the stack of these predictions. Scores are those of the last
    step. Interrupted at any point, --resume goes on where it was. Runs of `cunet train --fold k/n
    --seed s` that were moved to DIR/fold<k>-seed<s> are taken over by --resume DIR.

    \b
    Examples:
      cunet crossval --data isbi2012/ --folds 5 --dry-run
      cunet crossval --data isbi2012/ --folds 5 --seeds 3
      cunet crossval --data isbi2012/ --device cuda --preset paper
      cunet crossval --resume runs/isbi2012-crossval-1
    """
    from cunet.crossvalidation import plan as plans

    if worker is not None:
        return work(resume, worker, given["device"], given["threads"])
    plan = plans.make(config=config_file, resume=resume, **given)
    announce(plan, quiet)
    if not dry_run:
        return run(plan, quiet, as_json)
    if as_json:
        common.print_json(plan.summary())
    common.next_in_earnest(quiet)
    return 0


def work(resume: str | None, name: str, device: str | None, threads: int | None) -> int:
    """The process of one run; the exit code."""
    from cunet.crossvalidation import plan, workers

    if resume is None:
        raise click.UsageError("--worker goes with --resume")
    cv, dataset = plan.resumed(resume, device=device, threads=threads)
    return workers.work(cv, name, dataset)


def run(plan, quiet: bool, as_json: bool) -> int:
    """Complete every run, score all slices at once, print; the exit code."""
    from cunet.crossvalidation.scores import prediction_files
    from cunet.errors import CunetError

    cv, board = plan.cv, Board(plan.cv, quiet)
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
    except CunetError as error:
        for note in getattr(error, "__notes__", ()):
            common.say(note, quiet)
        raise
    board.close()
    if as_json:
        common.print_json(document)
    elif not quiet:
        show(document)
    predictions = prediction_files(cv, plan.dataset)
    name = predictions[0] if len(predictions) == 1 else predictions[0].parent
    common.say(f"every slice as the net that had not seen it predicts it: {name}", quiet)
    common.next_command(next_step(cv, plan.dataset, document), quiet)
    return 0
