"""`cunet evaluate isbi`: the five scores of the ISBI 2012 challenge."""

from pathlib import Path

import click

from cunet.cli import common
from cunet.cli.evaluate_options import check_plot, labels_option, pages_option, plot_option
from cunet.terminal import shell_line


@click.command(short_help="the ISBI 2012 challenge: pixel, Rand, warping error, V_Rand, V_Info")
@click.argument("prob", type=click.Path(path_type=Path))
@click.argument("truth", type=click.Path(path_type=Path))
@pages_option
@labels_option
@click.option("--radius", type=click.IntRange(1), help="Look for splits in a window of 2 radius + "
              "1 pixels (default: the whole image, as in the challenge).")  # fmt: skip
@plot_option
@common.threads_option
@common.overwrite_option
@common.json_option
@common.quiet_option
def isbi(prob, truth, pages, labels, radius, plot, overwrite, as_json, quiet):
    """The scores of the ISBI 2012 challenge: of the stack, and with --json of every slice.

    PROB holds the probability of cell interior (white), TRUTH 0 for membrane and 255 for interior,
    or numbered cells.
    The scores equal those of the organisers' own program, each at its best threshold of 0, 0.1 ...
    1. The warping error counts merges and splits only, so it is 0 where no cell is found at all.

    \b
    Examples:
      cunet evaluate isbi train-volume_prob.tif isbi2012/train-labels.tif --pages 0,5,10,15,20,25
      cunet evaluate isbi prob.tif truth.tif --json --plot scores.png
    """
    from cunet.evaluation.isbi import scores
    from cunet.evaluation.probability import read_pair
    from cunet.metrics.isbi2012 import SCORES

    check_plot(plot, overwrite, prob, truth)
    with common.busy(f"reading {prob} and {truth}", quiet):
        pair = read_pair(prob, truth, pages, labels)
    common.notes(pair.notes, quiet)
    with common.Progress(len(pair.pages), quiet=quiet, text="slices scored") as progress:
        found = scores(pair, radius, lambda done, _: progress.update(done, "slices scored"))
    if plot is not None:
        from cunet.pictures.plots import threshold_curves

        threshold_curves(found["curves"], plot)
        common.say(f"{plot}: each score over its thresholds", quiet)
    if as_json:
        common.print_json(found)
    elif not quiet:
        common.show(f"{f'{len(pair.pages)} slice(s)':<13}{'score':>10}{'threshold':>11}")
        for key, (name, _, meaning) in SCORES.items():
            threshold = found["thresholds"][key]
            common.show(f"{name:<13}{found[key]:>10.6f}{threshold:>11.1f}     {meaning}")
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in found["warping_pixels"].items() if n)
        common.show(f"pixels of wrong topology: {kinds.replace('_', ' ') or 'none'}")
    again = ["cunet", "evaluate", "pixels", str(prob), str(truth)]
    common.next_command(shell_line([*again, *(["--pages", pages] if pages else [])]), quiet)
