"""`cunet evaluate pixels`: precision, recall, F1, IoU and curves, also for several classes."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from cunet.cli import common
from cunet.cli.evaluate_options import check_plot, labels_option, pages_option, plot_option
from cunet.cli.words import number
from cunet.terminal import shell_line

if TYPE_CHECKING:
    from cunet.metrics.curves import Sweep

# the key in the document, its name in the table, its definition
SCORES = (
    ("precision", "precision", "TP / (TP + FP)"),
    ("recall", "recall", "TP / (TP + FN)"),
    ("f1", "F1", "2 TP / (2 TP + FP + FN)"),
    ("iou", "IoU", "TP / (TP + FP + FN)"),
    ("accuracy", "accuracy", "(TP + TN) / all pixels"),
    ("auc_roc", "AUC-ROC", "area under TP / (TP + FN) over FP / (FP + TN), all thresholds"),
    ("average_precision", "average precision", "sum of (R_n - R_n-1) P_n, all thresholds"),
)
OVERALL_SCORES = (  # of several classes
    ("accuracy", "accuracy", "share of the pixels whose class was found"),
    ("mean_iou", "mean IoU", "mean over the classes that are in the truth or found"),
)


@click.command(short_help="pixel by pixel: precision, recall, F1, IoU, ROC and PR curves")
@click.argument("prob", type=click.Path(path_type=Path))
@click.argument("truth", type=click.Path(path_type=Path))
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.5, show_default=True,
              help="Pixels with a higher probability are white.")  # fmt: skip
@click.option("--classes", type=click.IntRange(2, 64), help="Number of classes in TRUTH; 2: "
              "white against the rest (default: found from the files).")  # fmt: skip
@pages_option
@labels_option
@plot_option
@common.overwrite_option
@common.json_option
@common.quiet_option
@click.pass_context
def pixels(
    context, prob, truth, threshold, classes, pages, labels, plot, overwrite, as_json, quiet
):
    """Pixel by pixel: precision, recall, F1, IoU, accuracy, and areas under the ROC and PR curves.

    PROB holds the probability of white: floating point from 0 to 1, or integers, which are divided
    by the largest of their type. TRUTH holds 0 and 255, class ids, where white is every class but 0
    and 255 is ignored, or numbered objects, which are white. PROB has the chosen pages of TRUTH, or
    all of its pages. An undefined score, such as the recall where nothing is white, is null.

    With more than two classes each is scored against the rest, without threshold and curves. PROB
    is then the mask of `cunet segment` (class ids) or its prob (floating point, a channel per
    class, of which the highest counts), and TRUTH holds class ids. The number of classes is found
    from the files: PROB has several channels, or TRUTH has ids above 1 and PROB integers that are
    no higher. If a class does not occur, give --classes.

    \b
    Examples:
      cunet evaluate pixels train-volume_prob.tif train-labels.tif --pages 0,5,10-12
      cunet evaluate pixels cells_prob.tif cells_truth.png --plot curves.png --json
      cunet evaluate pixels tissue_mask.tif tissue_labels.png --classes 3
    """
    from cunet.evaluation.classes import compare, number_of_classes
    from cunet.evaluation.pixels import check_threshold, scores
    from cunet.evaluation.probability import read_pair
    from cunet.metrics.curves import sweep

    check_threshold(threshold)
    reading = f"reading {prob} and {truth}"
    with common.busy(reading, quiet):
        several = number_of_classes(prob, truth, classes, labels)
    chosen = ["--pages", pages] if pages else []
    again = ["evaluate", "pixels", str(prob), str(truth)]
    if several > 2:
        for name in ("threshold", "plot"):
            if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
                raise click.UsageError(
                    f"--{name}: {several} classes are scored without threshold and curves; leave "
                    "it out, or give --classes 2 for white against the rest"
                )
        with common.busy(reading, quiet):
            compared = compare(prob, truth, several, pages)
        common.notes(compared.notes, quiet)
        document = compared.document()
        table = table_of_classes(document, compared.pages, compared.pixels)
        again += ["--classes", str(several), *chosen, *([] if as_json else ["--json"])]
    else:
        check_plot(plot, overwrite, prob, truth)
        with common.busy(reading, quiet):
            pair = read_pair(prob, truth, pages, labels)
        common.notes(pair.notes, quiet)
        with common.busy("counting pixels at every threshold", quiet):
            found = sweep(pair.probability, pair.white, pair.counted)
        document = scores(found, threshold)
        table = table_of_white(document, found, len(pair.pages), pair.white.size)
        if plot is not None:
            from cunet.pictures.plots import score_curves

            score_curves(found, threshold, plot)
            common.say(f"{plot}: precision-recall and ROC curve", quiet)
        if pair.counted is None:
            again = ["evaluate", "isbi", *again[2:], *chosen]
        else:  # those scores need a label for every pixel
            again += ["--plot", "curves.png", *chosen]
    if as_json:
        common.print_json(document)
    elif not quiet:
        common.show(table)
    common.next_command(shell_line(["cunet", *again]), quiet)


def table_of_white(document: dict, found: "Sweep", pages: int, pixels: int) -> str:
    """The scores of white."""
    counted = found.positives + found.negatives
    head = (
        f"{pages} page(s), {counted:,} pixels, {100 * found.positives / counted:.1f} % white"
        + (f"; {pixels - counted:,} ignored" if pixels > counted else "")
        + f". Found: probability > {document['threshold']:g}\n"
    )
    rows = [f"{name:<18}{number(document[key]):>10}   {what}" for key, name, what in SCORES]
    return "\n".join([head, *rows])


def table_of_classes(document: dict, pages: int, pixels: int) -> str:
    """The scores of several classes: each against the rest, then all together."""
    counted = sum(one["pixels"] for one in document["classes"])
    head = (
        f"{pages} page(s), {counted:,} pixels, {len(document['classes'])} classes"
        + (f"; {pixels - counted:,} ignored" if pixels > counted else "")
        + ". Each class against the rest\n"
    )
    columns = {"precision": "precision", "recall": "recall", "f1": "F1", "iou": "IoU"}
    rows = [f"{'class':<9}" + "".join(f"{n:>11}" for n in columns.values()) + f"{'pixels':>14}"]
    for one in document["classes"]:
        values = "".join(f"{number(one[key]):>11}" for key in columns)
        rows.append(f"{one['class']:<9}{values}{one['pixels']:>14,}")
    together = [
        f"{name:<9}{number(document[key]):>11}   {what}" for key, name, what in OVERALL_SCORES
    ]
    return "\n".join([head, *rows, "", *together])
