"""The scores of a run of more than two classes, as the report shows them."""

from collections.abc import Sequence

import numpy as np

from cunet.metrics.classes import accuracy, class_scores, mean_iou
from cunet.reporting.page import escape, number, table
from cunet.reporting.slices import Segmented

KEYS = {"precision": "Precision", "recall": "Recall", "f1": "F1 (Dice)", "iou": "IoU"}
DEFINITIONS = [
    (
        "A class against the rest",
        "The class of a pixel is the most probable one. Precision is the share of the pixels found "
        "to be of a class that are, recall the share of the class that is found, IoU the pixels "
        "that are of the class in both label and prediction over those that are in either.",
    ),
    (
        "Accuracy, mean IoU",
        "Accuracy is the share of the pixels whose class is found. The mean of the classes' IoU "
        "leaves out those that are neither in the label nor found.",
    ),
]


def cards(slices: Sequence[Segmented], where: str) -> list[tuple[str, str, str]]:
    """The key figures: name, value and what they are of."""
    matrix = total(slices)
    return [
        ("Mean IoU", number(mean_iou(matrix)), where),
        ("Accuracy", number(accuracy(matrix)), where),
    ]


def section(slices: Sequence[Segmented], names: Sequence[str], of: str) -> str:
    """The table of each class against the rest, and which was mistaken for which."""
    matrix = total(slices)
    text = (
        f"Over {of}. Every pixel is given its most probable class: that of "
        f"{100 * accuracy(matrix):.2f} % of the pixels was found. The mean IoU of the classes is "
        f"{number(mean_iou(matrix))}."
    )
    rows = [
        (name, *(number(one[key]) for key in KEYS), f"{one['pixels']:,}")
        for name, one in zip(names, class_scores(matrix), strict=True)
    ]
    sums = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(100 * matrix, sums, out=np.full(matrix.shape, np.nan), where=sums > 0)
    taken = [
        (name, *(f"{share:.1f} %" if share == share else "-" for share in row))
        for name, row in zip(names, shares.tolist(), strict=True)
    ]
    head = ("Class", *KEYS.values(), "Pixels")
    left = "<h3>Each class against the rest</h3>\n" + table(
        rows, head, title="Each class against the rest"
    )
    right = (
        "<h3>What was found there</h3>\n<p>Of the pixels of a class in the label (row), the share "
        "found to be of each class.</p>"
        + table(taken, ("Label", *names), title="What was found there")
    )
    return (
        f'<p>{escape(text)}</p>\n<div class="tables plain"><div>{left}</div>\n'
        f"<div>{right}</div></div>"
    )


def total(slices: Sequence[Segmented]) -> np.ndarray:
    """The confusion matrix (K, K) of these slices together."""
    return np.sum([one.matrix for one in slices if one.matrix is not None], axis=0)
