"""A prediction of several classes against its truth: which class was mistaken for which.

K: number of classes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cunet.data.class_ids import MAX_CLASSES
from cunet.data.labels import IGNORE
from cunet.data.meaning import told
from cunet.data.probability import largest_integer
from cunet.errors import CunetError, DataError
from cunet.evaluation.probability import check_sizes, matching_pages, nothing_counts
from cunet.evaluation.sources import (
    NEURONS,
    Source,
    coded_alike,
    label_pages,
    meaning_asked,
    name_of,
    open_pair,
)
from cunet.files.image_file import ImageFile
from cunet.files.pages import chosen_pages, page_text
from cunet.metrics.classes import accuracy, class_scores, confusion, mean_iou
from cunet.terminal import plural


@dataclass(frozen=True)
class Compared:
    """The counts of the chosen pages; `compare` makes it.

    matrix  the confusion matrix (K, K) int64 of the pixels that count
    pages   how many pages were compared
    pixels  how many pixels these have, including ignored ones
    notes   how the files were understood
    """

    matrix: np.ndarray
    pages: int
    pixels: int
    notes: list[str]

    def document(self) -> dict[str, Any]:
        """The scores, as `cunet evaluate pixels --json` prints them."""
        return {
            "classes": class_scores(self.matrix),
            "accuracy": accuracy(self.matrix),
            "mean_iou": mean_iou(self.matrix),
            "confusion": self.matrix.tolist(),
        }


def number_of_classes(
    prob: Source, truth: Source, given: int | None = None, labels: str | None = None
) -> int:
    """In how many classes a prediction and its truth are compared; 2 means white against the rest.

    `given`, if it is; else the number of channels of prob, if there are several; else the number of
    classes in truth, if prob holds integers that can be their ids. Objects in truth are one class
    beside the background; labels says what its numbers are, see probability.read_truth. Raises
    DataError where both can only be class ids but do not tell how many classes there are.
    """
    if given is not None:
        if not 2 <= given <= MAX_CLASSES:
            raise CunetError(f"--classes: expected 2 to {MAX_CLASSES}, found {given}")
        return given
    with open_pair(prob, truth, indices=True) as (image, _):
        if image.channels > 1:
            check_classes(image, image.channels)
            return image.channels
        if image.dtype.kind == "f" or largest_integer(image) == 1:
            return 2
        labels = meaning_asked(truth, labels)
        if labels == NEURONS:
            return 2
        pages, _ = label_pages(truth, "truth", labels == "instances")
        names = [f"'{name_of(truth, 'truth')}' page {number}" for number in range(len(pages))]
        if told(pages, names, labels)[0] == "instances":
            return 2
        ids = set().union(*(set(_values(page)) for page in pages)) - {IGNORE}
        if not ids or not 2 <= max(ids) < MAX_CLASSES:
            return 2  # a mask, or labels that read_truth will refuse
        highest = max(int(image.read(page).max()) for page in range(image.pages))
    if highest >= MAX_CLASSES:
        return 2  # the probability of white, as integers
    if highest > max(ids) or ids != set(range(len(ids))):
        raise DataError(
            f"'{name_of(truth, 'truth')}' holds the class ids {', '.join(map(str, sorted(ids)))}, "
            f"'{image.path}' ids up to {highest}, from which the number of classes does not "
            f"follow. Give it, as in --classes {max(highest, *ids) + 1}; give the mask or prob of "
            "cunet segment, not its labels, which number objects."
        )
    return len(ids)


def compare(
    prob: Source, truth: Source, classes: int, pages: str | list[int] | None = None
) -> Compared:
    """Count the chosen pages of a prediction and of its truth, files or arrays.

    prob holds class ids, or a channel for each class, of which the highest counts. Raises
    CunetError for a missing file or page, DataError where the contents are not valid or the two do
    not fit together.
    """
    pages, name = page_text(pages), name_of(truth, "truth")
    labels_of = read_classes(truth, classes)
    matrix = np.zeros((classes, classes), np.int64)
    with open_pair(prob, truth, indices=True) as (image, labels):
        check_classes(image, classes)
        chosen = chosen_pages(pages, labels)
        taken = matching_pages(image, labels, chosen, pages)
        check_sizes(image, labels)
        held = "class ids" if image.channels == 1 else "a probability for each class"
        notes = [
            f"{image.path}: {plural(image.pages, 'page')} of {image.height} x {image.width}, axes "
            f"{image.axes}, {image.dtype}; {held}"
        ]
        for there, page in zip(taken, chosen, strict=True):
            ids = labels_of[page]
            matrix += confusion(found_classes(image, there, classes), ids, classes, ids != IGNORE)
    if not matrix.any():
        raise nothing_counts(name)
    pixels = len(chosen) * labels.height * labels.width
    ignored = pixels - int(matrix.sum())
    note = f"{name}: labels are class ids of {classes} classes"
    notes.append(note + (f"; 255 is ignore ({ignored:,} pixels)" if ignored else ""))
    return Compared(matrix, len(chosen), pixels, notes + coded_alike(prob, truth))


def check_classes(image: ImageFile, classes: int) -> None:
    """DataError where an image can hold neither ids nor probabilities of these classes."""
    floating = image.dtype.kind == "f"
    expected = (
        f"integer class ids from 0 to {classes - 1} in one channel, or floating point "
        f"probabilities in {classes} channels, one for each class"
    )
    if image.channels not in (1, classes) or floating != (image.channels > 1):
        colours = not floating and image.channels > 1
        raise DataError(
            f"'{image.path}' has {plural(image.channels, 'channel')} of {image.dtype} (axes "
            f"{image.axes}); "
            f"of {classes} classes expected {expected}."
            + (" Is it a picture in colour?" if colours else "")
        )


def found_classes(image: ImageFile, page: int, classes: int) -> np.ndarray:
    """The class ids (H, W) of a page, or its most probable classes; DataError for other values."""
    values = image.read(page)
    wrong = ~((values >= 0) & (values <= (classes - 1 if image.channels == 1 else 1)))
    if wrong.any():
        row, column, channel = np.argwhere(wrong)[0]
        kind = f"class ids from 0 to {classes - 1}"
        if image.channels > 1:
            kind = "probabilities from 0 to 1. Are these logits?"
        raise DataError(
            f"'{image.path}' page {page} holds {values[row, column, channel].item()!r} at row "
            f"{row}, column {column}; expected {kind}"
        )
    if image.channels == 1:
        return values[..., 0]
    total = values.sum(axis=2, dtype=np.float64)
    if np.abs(total - 1).max() > 0.01:
        row, column = np.unravel_index(np.abs(total - 1).argmax(), total.shape)
        raise DataError(
            f"'{image.path}' page {page}: the {classes} probabilities at row {row}, column "
            f"{column} sum to {total[row, column]:.4g}; expected 1. Are these pages of a stack, "
            f"not classes (axes {image.axes})?"
        )
    return values.argmax(axis=2)


def read_classes(truth: Source, classes: int) -> list[np.ndarray]:
    """All pages (H, W) of a truth as class ids, 255 for ignored pixels; DataError for others."""
    pages, _ = label_pages(truth, "truth")
    path = name_of(truth, "truth")
    for number, page in enumerate(pages):
        odd = [value for value in _values(page) if not 0 <= value < classes and value != IGNORE]
        if odd:
            raise DataError(
                f"'{path}' page {number} holds {odd[0]}; of {classes} classes expected class ids "
                f"from 0 to {classes - 1}, and 255 for what does not count."
            )
    values = set().union(*(set(_values(page)) for page in pages))
    if IGNORE in values and not values - {0, IGNORE}:
        raise DataError(
            f"'{path}' holds nothing but 0 and 255, a mask of two classes; of {classes} classes "
            f"expected class ids from 0 to {classes - 1}, where 255 is what does not count."
        )
    return pages


def _values(page: np.ndarray) -> list[int]:
    return np.unique(page).tolist()
