"""`cunet crossval`: train and score every fold of a data set."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from cunet.cli import common
from cunet.cli.train_options import parse_steps, settings_options

WITH_RESUME = {"seeds", "average", "threads", "device"}
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
def command(
    data, folds, jobs, preset, config_file, step_values, resume, worker, dry_run, quiet, as_json,
    **given,
):  # fmt: skip
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
    from cunet.cli import crossval_runs
    from cunet.cli.crossval_output import announce
    from cunet.crossvalidation.scores import scores_of

    options = {name: value for name, value in given.items() if value is not None}
    if step_values is not None:
        options["step_values"] = parse_steps(step_values)
    if {"steps", "minutes"} <= set(options):
        raise click.UsageError("--steps and --minutes: give one of them")
    if worker is not None and resume is None:
        raise click.UsageError("--worker goes with --resume")
    if worker is not None:
        cv, dataset = resumed(resume, options)
        return crossval_runs.work(cv, worker, dataset, cv.config.device, cv.config.threads)
    if resume is None:
        start = fresh(data, folds or 5, jobs, preset, config_file, options, quiet)
    else:
        named = {"data": data, "folds": folds, "preset": preset, "config": config_file} | options
        refuse_with_resume(named)
        start = (*resumed(resume, options), {})
    cv, dataset, summary = start
    todo = [run for run in cv.runs if scores_of(cv, run) is None]
    places = crossval_runs.places(cv.config, jobs, len(todo))
    summary |= announce(cv, dataset, todo, len(places), summary, quiet)
    if not dry_run:
        return run_all(cv, dataset, todo, places, jobs, quiet, as_json)
    if as_json:
        common.print_json(summary)
    again = [part for part in sys.argv[1:] if part not in ("-n", "--dry-run", "--json")]
    common.next_command(shlex.join(["cunet", *again]), quiet)
    return 0


def fresh(data, folds, jobs, preset, config_file, options: dict[str, Any], quiet: bool) -> tuple:
    """A new one: its settings with device and steps resolved, the checked data, and what
    `cunet train` would say of fold 0."""
    from cunet.cli import crossval_runs, train
    from cunet.crossvalidation.runs import CrossValidation, refuse_existing
    from cunet.data import load as datasets
    from cunet.threads import available_threads, set_threads
    from cunet.training.config import Config
    from cunet.training.run_folder import next_name

    own = {name: options.pop(name) for name in ("seeds", "average") if name in options}
    CrossValidation(Path(), Config(), folds, **own)  # complains before anything is read
    out = options.pop("out", None)
    if out is not None:
        refuse_existing(out)
    options["fold"] = f"0/{folds}"
    title, config, prepared, _ = train.fresh(data, preset, config_file, options)
    stem = Path(config.data).resolve().name + "-crossval"
    out = Path(out or config.out or next_name("runs", stem))
    config = replace(config, device=base_device(config.device), out=str(out))
    cv = CrossValidation(out, config, folds, **own)
    cv.check(prepared.dataset)
    place = crossval_runs.places(config, jobs, len(cv.runs))[
        0
    ]  # the speed is that of one of the jobs
    there = replace(config, device=place.device, threads=place.threads)
    fitted, _, summary = train.announce(title, there, prepared, 0, quiet)
    set_threads(config.threads or available_threads())
    config = replace(
        config, steps=fitted.steps, precision=fitted.precision, minutes=None, fold=None
    )
    dataset = datasets.load(config.data, config.dataset) if config.resize else prepared.dataset
    return replace(cv, config=config), dataset, summary


def refuse_with_resume(named: dict[str, Any]) -> None:
    """CunetError where a setting is given that a cross-validation begun keeps."""
    from cunet.errors import CunetError

    fixed = [name for name, value in named.items() if value is not None and name not in WITH_RESUME]
    if fixed:
        raise CunetError(
            "--resume continues a cross-validation with its own settings; beside it only --jobs, "
            "--threads, --device, --seeds and --average may be given, found "
            f"--{fixed[0].replace('_', '-')}"
        )


def resumed(path: str, options: dict[str, Any]) -> tuple:
    """One that goes on: its settings, and the data, checked against what its runs have seen."""
    from cunet.crossvalidation.runs import load
    from cunet.data import load as datasets

    own = {name: options.pop(name) for name in ("seeds", "average") if name in options}
    cv = load(path)
    config = replace(cv.config, **options)
    config = replace(config, device=base_device(config.device))
    if config.threads is not None:
        from cunet.threads import set_threads

        set_threads(config.threads)
    cv = replace(cv, config=config, **own)
    dataset = datasets.load(config.data, config.dataset)
    cv.check(dataset)
    return cv, dataset


def base_device(name: str) -> str:
    """cpu, cuda (all GPUs) or cuda:i; an error where it cannot be used."""
    from cunet.backend import resolve_device

    device = resolve_device(name)
    return device if device == "cpu" or name.startswith("cuda:") else "cuda"


def run_all(cv, dataset, todo: list, places: list, jobs, quiet: bool, as_json: bool) -> int:
    """Complete every run, score all slices at once, print; the exit code."""
    from cunet.cli import crossval_runs
    from cunet.cli.crossval_output import Board, next_step, show
    from cunet.crossvalidation.runs import at_work, remove_parts
    from cunet.crossvalidation.scores import collect, prediction_files
    from cunet.errors import CunetError

    again = ["cunet", "crossval", "--resume", str(cv.path), *(["--jobs", str(jobs)] * bool(jobs))]
    document = None
    cv.path.mkdir(parents=True, exist_ok=True)
    with at_work(cv.path) as lock:
        remove_parts(cv.path)
        cv.save()
        board = Board(cv, quiet)
        try:
            if len(places) > 1:
                done = crossval_runs.side_by_side(cv, todo, places, lock, board)
            else:
                done = crossval_runs.one_by_one(cv, todo, dataset, places[0], board)
            board.bar.close()
            if done:
                total = len(dataset.images) * len(cv.averages)
                bar = common.Progress(total, 0, quiet)
                document = collect(cv, dataset, lambda doing, n, of: bar.update(n, doing))
                bar.close()
        except KeyboardInterrupt:
            board.bar.close()
        except CunetError:
            common.say(f"what is done is kept; to go on: {shlex.join(again)}", quiet)
            raise
    if document is None:
        common.say("stopped; everything is saved", quiet)
        if as_json:
            steps = {run.name: cv.steps_done(run) for run in cv.runs}
            common.print_json({"crossval": str(cv.path), "finished": False, "steps": steps})
        common.next_command(shlex.join(again), quiet)
        return crossval_runs.STOPPED
    if as_json:
        common.print_json(document)
    elif not quiet:
        show(document)
    predictions = prediction_files(cv, dataset)
    name = predictions[0] if len(predictions) == 1 else predictions[0].parent
    common.say(f"every slice as the net that had not seen it predicts it: {name}", quiet)
    common.next_command(next_step(cv, dataset, document), quiet)
    return 0
