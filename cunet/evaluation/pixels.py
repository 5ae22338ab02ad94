"""A prediction against its truth pixel by pixel, for two classes or several."""

from typing import Any

from cunet.checks import arguments, array_or_path, real, whole
from cunet.errors import CunetError
from cunet.evaluation import classes as several_classes
from cunet.evaluation.probability import read_pair
from cunet.evaluation.sources import Source, warn
from cunet.metrics.curves import Sweep, sweep


@arguments(prob=array_or_path, truth=array_or_path, threshold=real, classes=whole)
def evaluate_pixels(
    prob: Source,
    truth: Source,
    threshold: float = 0.5,
    classes: int | None = None,
    pages: str | list[int] | None = None,
    labels: str | None = None,
) -> dict[str, Any]:
    """Scores pixel by pixel, as `cunet evaluate pixels --json` prints them.

    prob is the probability of white: a TIFF or PNG file, an array (H, W) or (pages, H, W), or the
    result of cunet.segment (H, W, K). Floating point values are from 0 to 1; integers are divided
    by the largest of their type. truth is a file or an array of 0 and 255, or of class ids, where
    white is every class but 0, and 255 is ignored, or of numbered objects, all of which are white;
    labels, "instances", "classes" or "neurons" (ISBI 2013), says which where it is not plain. A
    pixel with a higher probability than threshold is found white. pages: the pages of truth to
    score, counted from 0, such as [0, 5] or "0,5,10-12" (default: all); prob has just these pages,
    or as many as truth.

    Returns "precision", "recall", "f1", "iou", "accuracy", "auc_roc" and "average_precision", from
    0 to 1; "threshold"; "pr_curve" and "roc_curve", lists of points. An undefined score, such as
    the recall where nothing is white, is NaN.

    With more than two classes prob holds class ids, or the probability of each class on its last
    axis; truth holds class ids. The result is then "classes", a list with precision, recall, f1,
    iou and pixels of each class against the rest; "accuracy"; "mean_iou"; and "confusion", a matrix
    whose row k counts the pixels of class k by the class found. The number of classes is found from
    prob and truth, or is `classes`; classes=2 scores white against the rest.

    Raises CunetError for a missing file or page, DataError where the contents are not valid or the
    two do not fit together.

        cunet.evaluate_pixels("cells_prob.tif", "cells_truth.png")["f1"]
    """
    check_threshold(threshold)
    number = several_classes.number_of_classes(prob, truth, classes, labels)
    if number > 2:
        compared = several_classes.compare(prob, truth, number, pages)
        warn(compared.notes)
        return compared.document()
    pair = read_pair(prob, truth, pages, labels)
    warn(pair.notes)
    return scores(sweep(pair.probability, pair.white, pair.counted), threshold)


def check_threshold(threshold: float) -> None:
    """CunetError unless the threshold is a number from 0 to 1."""
    if not 0 <= threshold <= 1:  # nor NaN
        raise CunetError(f"--threshold: expected a number from 0 to 1, found {threshold}")


def scores(found: Sweep, threshold: float) -> dict[str, Any]:
    """The document of evaluate_pixels for two classes."""
    counts = found.at(threshold)
    return {
        "precision": counts.precision(),
        "recall": counts.recall(),
        "f1": counts.f1(),
        "iou": counts.iou(),
        "accuracy": counts.accuracy(),
        "auc_roc": found.auc_roc(),
        "average_precision": found.average_precision(),
        "threshold": threshold,
        "pr_curve": found.pr_curve(),
        "roc_curve": found.roc_curve(),
    }
