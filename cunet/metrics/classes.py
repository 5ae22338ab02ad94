"""Several classes, pixel by pixel: which was mistaken for which, and each against the rest.

K: number of classes. The confusion matrix (K, K) counts pixels: row k are those of class k in the
truth, column k those found to be of class k. A ratio with nothing in its denominator is NaN: the
recall of a class that the truth does not hold, the precision of one that is never found.
"""

import numpy as np

from cunet.metrics.curves import Counts


def confusion(
    found: np.ndarray, truth: np.ndarray, classes: int, counted: np.ndarray | None = None
) -> np.ndarray:
    """The confusion matrix (K, K) int64 of class ids of one shape; matrices of slices add up.

    counted (bool, of the same shape) says which pixels count; all by default. Raises ValueError
    for other shapes and, among the pixels that count, for ids outside 0 to classes - 1.
    """
    if found.shape != truth.shape or (counted is not None and counted.shape != truth.shape):
        shapes = [a.shape for a in (found, truth, counted) if a is not None]
        raise ValueError(f"class ids of different shapes: {', '.join(map(str, shapes))}")
    if counted is not None:
        found, truth = found[counted], truth[counted]
    for name, ids in (("found", found), ("truth", truth)):
        if ids.size and not 0 <= ids.min() <= ids.max() < classes:
            raise ValueError(
                f"{name} holds ids from {ids.min()} to {ids.max()}; expected 0 to {classes - 1}"
            )
    pairs = truth.astype(np.int64).ravel() * classes + found.ravel()
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def counts_of(matrix: np.ndarray, k: int) -> Counts:
    """Class k against the rest: a pixel is found white where it is found to be of class k."""
    tp, found, true = int(matrix[k, k]), int(matrix[:, k].sum()), int(matrix[k].sum())
    return Counts(tp, found - tp, true - tp, int(matrix.sum()) - found - true + tp)


def class_scores(matrix: np.ndarray) -> list[dict]:
    """For each class precision, recall, f1 (also called Dice) and iou against the rest.

    `pixels` are those of the class in the truth.
    """
    scores = []
    for k in range(len(matrix)):
        counts = counts_of(matrix, k)
        one = {
            "class": k,
            "precision": counts.precision(),
            "recall": counts.recall(),
            "f1": counts.f1(),
            "iou": counts.iou(),
            "pixels": int(matrix[k].sum()),
        }
        scores.append(one)
    return scores


def accuracy(matrix: np.ndarray) -> float:
    """The share of pixels whose class was found."""
    total = int(matrix.sum())
    return int(np.trace(matrix)) / total if total else float("nan")


def mean_iou(matrix: np.ndarray) -> float:
    """The mean IoU of the classes; all count alike, however large they are.

    Classes that are neither in the truth nor found have no IoU and are left out.
    """
    values = [counts_of(matrix, k).iou() for k in range(len(matrix))]
    defined = [value for value in values if value == value]
    return float(np.mean(defined)) if defined else float("nan")
