"""`cunet evaluate pixels` of more than two classes: how the files are read, and what is printed."""

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cunet.cli import common
from cunet.cli.evaluate_files import check_sizes, largest_integer, matching_pages
from cunet.cli.segment_files import chosen_pages

if TYPE_CHECKING:
    import numpy as np

    from cunet.files.image_file import ImageFile

# the key in the answer, its name in the table, what it is
TOGETHER = (
    ("accuracy", "accuracy", "share of the pixels whose class was found"),
    ("mean_iou", "mean IoU", "mean over the classes that are in the truth or found"),
)


def number_of_classes(prob: str | Path, truth: str | Path, told: int | None) -> int:
    """In how many classes two files are compared; 2 means white against the rest.

    It is what --classes told; else the channels of PROB, if there are several; else the classes of
    TRUTH, if PROB holds integers that can be ids of these. Raises DataError where PROB and TRUTH
    can only be class ids but do not say how many classes there are.
    """
    from cunet.data.labels import IGNORE, MAX_CLASSES, read_labels
    from cunet.errors import DataError
    from cunet.files import open_image

    if told is not None:
        return told
    with open_image(prob, indices=True) as image:
        if image.channels > 1:
            return image.channels
        if image.dtype.kind == "f" or largest_integer(image) == 1:
            return 2
        pages, _ = read_labels(Path(truth))
        ids = set().union(*(set(_values(page)) for page in pages)) - {IGNORE}
        if not ids or not 2 <= max(ids) < MAX_CLASSES:
            return 2  # a mask, or what the reading of two classes refuses
        highest = max(int(image.read(page).max()) for page in range(image.pages))
    if highest >= MAX_CLASSES:
        return 2  # the probability of white, as integers
    if highest > max(ids) or ids != set(range(len(ids))):
        raise DataError(
            f"'{truth}' holds the class ids {', '.join(map(str, sorted(ids)))}, '{prob}' ids up to "
            f"{highest}, from which the number of classes does not follow. Say it, as in --classes "
            f"{max(highest, *ids) + 1}; give the mask or prob of cunet segment, not its labels, "
            "which number objects."
        )
    return len(ids)


def answer(
    prob: Path, truth: Path, classes: int, pages: str | None, as_json: bool, quiet: bool
) -> None:
    """Scores the chosen pages and prints what `cunet evaluate pixels` answers."""
    from cunet.metrics.classes import accuracy, class_scores, mean_iou

    matrix, chosen, pixels = compare(prob, truth, classes, pages, quiet)
    document = {
        "classes": class_scores(matrix),
        "accuracy": accuracy(matrix),
        "mean_iou": mean_iou(matrix),
        "confusion": matrix.tolist(),
    }
    if as_json:
        common.print_json(document)
    elif not quiet:
        show(document, chosen, pixels)
    again = ["cunet", "evaluate", "pixels", str(prob), str(truth), "--classes", str(classes)]
    again += ["--pages", pages] if pages else []
    common.next_command(shlex.join([*again, *([] if as_json else ["--json"])]), quiet)


def compare(
    prob: str | Path, truth: str | Path, classes: int, pages: str | None, quiet: bool
) -> "tuple[np.ndarray, int, int]":
    """The confusion matrix (K, K) of the chosen pages, their number, and their pixels in all.

    PROB holds class ids, or a channel for each class, of which the highest is taken. Raises
    CunetError for a missing file or page, DataError where the contents are not valid or the files
    do not fit together.
    """
    import numpy as np

    from cunet.data.labels import IGNORE
    from cunet.errors import DataError
    from cunet.files import open_image
    from cunet.metrics.classes import confusion

    labels_of = read_classes(truth, classes)
    matrix = np.zeros((classes, classes), np.int64)
    with open_image(prob, indices=True) as image, open_image(truth, indices=True) as labels:
        check_classes(image, classes)
        chosen = chosen_pages(pages, labels)
        taken = matching_pages(image, labels, chosen, pages)
        check_sizes(image, labels)
        held = "class ids" if image.channels == 1 else "a probability for each class"
        common.say(
            f"{prob}: {image.pages} page(s) of {image.height} x {image.width}, axes {image.axes}, "
            f"{image.dtype}; {held}",
            quiet,
        )
        for there, page in zip(taken, chosen, strict=True):
            ids = labels_of[page]
            matrix += confusion(found_classes(image, there, classes), ids, classes, ids != IGNORE)
    if not matrix.any():
        raise DataError(
            f"'{truth}': every pixel of the chosen pages is 255 (ignore), which leaves nothing to "
            "score. Choose other --pages."
        )
    pixels = len(chosen) * labels.height * labels.width
    ignored = pixels - int(matrix.sum())
    said = f"{truth}: labels are class ids of {classes} classes"
    common.say(said + (f"; 255 is ignore ({ignored:,} pixels)" if ignored else ""), quiet)
    return matrix, len(chosen), pixels


def check_classes(image: "ImageFile", classes: int) -> None:
    """DataError where an image can hold neither the ids nor the probabilities of these classes."""
    from cunet.errors import DataError

    floating = image.dtype.kind == "f"
    expected = (
        f"integer class ids from 0 to {classes - 1} in one channel, or floating point "
        f"probabilities in {classes} channels, one for each class"
    )
    if image.channels not in (1, classes) or floating != (image.channels > 1):
        colours = not floating and image.channels > 1
        raise DataError(
            f"'{image.path}' has {image.channels} channel(s) of {image.dtype} (axes {image.axes}); "
            f"of {classes} classes expected {expected}."
            + (" Is it a picture in colour?" if colours else "")
        )


def found_classes(image: "ImageFile", page: int, classes: int) -> "np.ndarray":
    """The class ids (H, W) that a page holds, or the most probable class; DataError for others."""
    import numpy as np

    from cunet.errors import DataError

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


def read_classes(path: str | Path, classes: int) -> "list[np.ndarray]":
    """All pages of a truth (H, W) as class ids, 255 where nothing counts; DataError for others."""
    from cunet.data.labels import IGNORE, read_labels
    from cunet.errors import DataError

    pages, _ = read_labels(Path(path))
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


def show(document: dict, pages: int, pixels: int) -> None:
    """The scores as tables, on stdout."""
    counted = sum(one["pixels"] for one in document["classes"])
    ignored = pixels - counted
    click.echo(
        f"{pages} page(s), {counted:,} pixels, {len(document['classes'])} classes"
        + (f"; {ignored:,} ignored" if ignored else "")
        + ". Each class against the rest\n"
    )
    columns = {"precision": "precision", "recall": "recall", "f1": "F1", "iou": "IoU"}
    click.echo(f"{'class':<9}" + "".join(f"{n:>11}" for n in columns.values()) + f"{'pixels':>14}")
    for one in document["classes"]:
        values = "".join(f"{_shown(one[key]):>11}" for key in columns)
        click.echo(f"{one['class']:<9}{values}{one['pixels']:>14,}")
    click.echo()
    for key, name, meaning in TOGETHER:
        click.echo(f"{name:<9}{_shown(document[key]):>11}   {meaning}")


def _shown(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.4f}"


def _values(page: "np.ndarray") -> list[int]:
    import numpy as np

    return np.unique(page).tolist()
