"""`cunet evaluate`: score a segmentation against the truth."""

import math
import shlex
from pathlib import Path

import click
from click.core import ParameterSource

from cunet.cli import common
from cunet.cli.evaluate_ctc import ctc
from cunet.cli.evaluate_dsb import dsb
from cunet.cli.evaluate_files import check_plot, pages_option, plot_option, read_pair
from cunet.cli.evaluate_isbi import isbi

# the key in the answer, its name in the table, what it is
SCORES = (
    ("precision", "precision", "TP / (TP + FP)"),
    ("recall", "recall", "TP / (TP + FN)"),
    ("f1", "F1", "2 TP / (2 TP + FP + FN)"),
    ("iou", "IoU", "TP / (TP + FP + FN)"),
    ("accuracy", "accuracy", "(TP + TN) / all pixels"),
    ("auc_roc", "AUC-ROC", "area under TP / (TP + FN) over FP / (FP + TN), all thresholds"),
    ("average_precision", "average precision", "sum of (R_n - R_n-1) P_n, all thresholds"),
)


@click.group()
def command():
    """Score a segmentation against the truth.

    \b
    Example:
      cunet segment isbi2012/train-volume.tif --model runs/isbi2012-1 --pages 0,5
      cunet evaluate pixels train-volume_prob.tif isbi2012/train-labels.tif --pages 0,5
      cunet evaluate ctc DIC-C2DH-HeLa/02_RES DIC-C2DH-HeLa/02_GT
      cunet evaluate dsb found/ stage1_train/
    """


for scores in (isbi, ctc, dsb):
    command.add_command(scores)


@command.command(short_help="pixel by pixel: precision, recall, F1, IoU, ROC and PR curves")
@click.argument("prob", type=click.Path(path_type=Path))
@click.argument("truth", type=click.Path(path_type=Path))
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.5, show_default=True,
              help="White where the probability is above.")  # fmt: skip
@click.option("--classes", type=click.IntRange(2, 64), help="Classes of TRUTH; 2: white against "
              "the rest (default: as the files say).")  # fmt: skip
@pages_option
@plot_option
@common.overwrite_option
@common.json_option
@common.quiet_option
@click.pass_context
def pixels(context, prob, truth, threshold, classes, pages, plot, overwrite, as_json, quiet):
    """Pixel by pixel: precision, recall, F1, IoU, accuracy, and areas under the ROC and PR curves.

    PROB holds the probability of white: floating point from 0 to 1, or integers, which are divided
    by the largest of their type. TRUTH holds 0 and 255, or class ids, where white is every class
    but 0 and 255 is ignored. PROB has the chosen pages of TRUTH, or all of its pages. What is
    undefined, such as the recall where nothing is white, is null.

    Of more than two classes each is scored against the rest, without threshold and curves. PROB is
    then the mask of `cunet segment` (class ids) or its prob (floating point, a channel per class,
    of which the highest is taken), TRUTH holds class ids. It is found from the files: PROB has
    several channels, or TRUTH ids above 1 and PROB integers none of which is above them. Where one
    of the classes does not occur, say --classes.

    \b
    Examples:
      cunet evaluate pixels train-volume_prob.tif train-labels.tif --pages 0,5,10-12
      cunet evaluate pixels cells_prob.tif cells_truth.png --plot curves.png --json
      cunet evaluate pixels tissue_mask.tif tissue_labels.png --classes 3
    """
    from cunet.cli.evaluate_classes import answer, number_of_classes
    from cunet.metrics.curves import sweep

    if not math.isfinite(threshold):
        raise click.UsageError(f"--threshold: expected a number from 0 to 1, found {threshold}")
    several = number_of_classes(prob, truth, classes)
    if several > 2:
        for name in ("threshold", "plot"):
            if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
                raise click.UsageError(
                    f"--{name}: of {several} classes each pixel has one, without threshold and "
                    "curves; leave it out, or give --classes 2 for white against the rest"
                )
        return answer(prob, truth, several, pages, as_json, quiet)
    if plot is not None:
        check_plot(plot, overwrite, prob, truth)
    probability, white, counted, chosen = read_pair(prob, truth, pages, quiet)
    result = sweep(probability, white, counted)
    counts = result.at(threshold)
    document = {
        "precision": counts.precision(),
        "recall": counts.recall(),
        "f1": counts.f1(),
        "iou": counts.iou(),
        "accuracy": counts.accuracy(),
        "auc_roc": result.auc_roc(),
        "average_precision": result.average_precision(),
        "threshold": threshold,
        "pr_curve": result.pr_curve(),
        "roc_curve": result.roc_curve(),
    }
    if plot is not None:
        from cunet.pictures.plots import score_curves

        score_curves(result, threshold, plot)
        common.say(f"{plot}: precision-recall and ROC curve", quiet)
    if as_json:
        common.print_json(document)
    elif not quiet:
        show(document, result.positives, result.negatives, len(chosen), white.size)
    if counted is None:
        again = ["cunet", "evaluate", "isbi", str(prob), str(truth)]
    else:  # those scores need a label for every pixel
        again = ["cunet", "evaluate", "pixels", str(prob), str(truth), "--plot", "curves.png"]
    common.next_command(shlex.join([*again, *(["--pages", pages] if pages else [])]), quiet)


def show(document: dict, white: int, black: int, pages: int, pixels: int) -> None:
    """The scores as a table, on stdout."""
    ignored = pixels - white - black
    click.echo(
        f"{pages} page(s), {white + black:,} pixels, {100 * white / (white + black):.1f} % white"
        + (f"; {ignored:,} ignored" if ignored else "")
        + f". Found: probability > {document['threshold']:g}\n"
    )
    for key, name, meaning in SCORES:
        value = document[key]
        text = "undefined" if math.isnan(value) else f"{value:.4f}"
        click.echo(f"{name:<18}{text:>10}   {meaning}")
