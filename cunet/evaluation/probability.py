"""A probability map and its truth, page by page: the inputs of all scores of two classes."""

from dataclasses import dataclass

import numpy as np

from cunet.data.isbi2013 import cells_of
from cunet.data.labels import IGNORE, refuse_negative
from cunet.data.meaning import meaning_of
from cunet.data.probability import FAINT, divided_by, object_numbers, probabilities
from cunet.data.suspicion import stray
from cunet.data.weight_map import open_gaps
from cunet.errors import CunetError, DataError
from cunet.evaluation.sources import (
    NEURONS,
    WARNING,
    Source,
    coded_alike,
    label_pages,
    meaning_asked,
    name_of,
    open_pair,
)
from cunet.files.image_file import ImageFile
from cunet.files.pages import chosen_pages, page_text
from cunet.terminal import plural


@dataclass(frozen=True)
class Pair:
    """The chosen pages of a probability map and of its truth; `read_pair` makes it.

    probability  (n, H, W) of white, from 0 to 1; float32 or float64
    white        (n, H, W) bool, of the truth
    counted      (n, H, W) bool, which pixels count; None where all do
    pages        the n page numbers of the truth
    truth        the name of the truth
    notes        how the files were understood; those not to be missed begin with "warning: "
    """

    probability: np.ndarray
    white: np.ndarray
    counted: np.ndarray | None
    pages: list[int]
    truth: str
    notes: list[str]


def read_pair(
    prob: Source,
    truth: Source,
    pages: str | list[int] | None = None,
    labels: str | None = None,
) -> Pair:
    """Read the chosen pages of a probability map and of its truth, files or arrays.

    labels: what the numbers of the truth mean, see read_truth.

    pages: pages of `truth`, counted from 0, as in 0,5,10-12 (default: all); `prob` has just these
    pages, or as many as `truth`. Integers are divided by the largest of their type, in float64.
    White is every class but 0.

    Raises CunetError for a missing file or page, DataError where the contents are not valid or
    the two do not fit together.
    """
    pages = page_text(pages)
    with open_pair(prob, truth) as (image, true):
        if image.channels != 1:
            raise DataError(
                f"'{image.path}' has {image.channels} channels (axes {image.axes}); expected one, "
                "the probability of white. Of a network of several classes give the channel of one "
                "class as a file of its own; pages of a stack need axes ZYX."
            )
        chosen = chosen_pages(pages, true)
        taken = matching_pages(image, true, chosen, pages)
        check_sizes(image, true)
        refuse_numbers(image, taken)
        probability, scale = read_probability(image, taken), divided_by(image)
        notes = [
            f"{image.path}: {plural(image.pages, 'page')} of {image.height} x {image.width}, axes "
            f"{image.axes}, {image.dtype}{scale}"
        ]
    if scale and probability.max() < FAINT:
        notes.append(
            f"{WARNING}{image.path}: its highest value is {probability.max():.2g} of the largest "
            "of its type, so that hardly anything is found. A mask is saved as 0 and 255; class "
            "ids are scored by cunet evaluate pixels --classes"
        )
    white, counted, found = read_truth(truth, chosen, labels)
    name = name_of(truth, "truth")
    notes += [note if note.startswith(WARNING) else f"{name}: {note}" for note in found]
    notes += coded_alike(prob, truth)
    return Pair(probability, white, counted, chosen, name, notes)


def refuse_numbers(image: ImageFile, pages: list[int]) -> None:
    """DataError where integers number objects instead of being probabilities."""
    if image.dtype.kind == "f":
        return
    numbers = object_numbers([image.read(page)[..., 0] for page in pages])
    if numbers:
        raise DataError(
            f"'{image.path}' numbers objects: it holds {numbers} values, and each is one piece; "
            "expected the probability of white. Give the product prob or mask of cunet segment; "
            "cunet evaluate dsb scores objects."
        )


def check_sizes(image: ImageFile, labels: ImageFile) -> None:
    """DataError where a probability map and its truth are not of one size."""
    if (image.height, image.width) != (labels.height, labels.width):
        raise DataError(
            f"'{image.path}' is {image.height} x {image.width} but '{labels.path}' is "
            f"{labels.height} x {labels.width} (height x width); expected equal sizes. Are they of "
            "one image?"
        )


def matching_pages(
    image: ImageFile, labels: ImageFile, chosen: list[int], pages: str | None
) -> list[int]:
    """The pages of the probability map that belong to the chosen pages of the truth."""
    if len(set(chosen)) < len(chosen):
        raise CunetError(f"--pages {pages} names a page twice; name each of them once")
    if image.pages == labels.pages:
        # all pages are chosen, in another order: prob may be in this order or in the file's
        if len(chosen) == labels.pages and chosen != sorted(chosen):
            raise CunetError(
                f"--pages {pages} names all {labels.pages} pages of '{labels.path}' in another "
                f"order, and '{image.path}' has as many: which belong together is not clear. Leave "
                "--pages out if both files are in the same order."
            )
        return chosen
    if image.pages == len(chosen):
        return list(range(image.pages))
    expected = f"{labels.pages} in both"
    if len(chosen) < labels.pages:
        expected = f"{len(chosen)}, those of --pages {pages}, or all {labels.pages}"
    raise DataError(
        f"'{image.path}' has {plural(image.pages, 'page')}, '{labels.path}' has {labels.pages}; "
        "expected "
        f"{expected}. Name the pages of the truth that were segmented, as in --pages 0,5,10-12."
    )


def read_probability(image: ImageFile, pages: list[int]) -> np.ndarray:
    """The pages (n, H, W) as probabilities from 0 to 1."""
    first = probabilities(image, pages[0])[..., 0]
    found = np.empty((len(pages), *first.shape), first.dtype)
    found[0] = first
    for number, page in enumerate(pages[1:], 1):
        found[number] = probabilities(image, page)[..., 0]
    return found


def read_truth(
    truth: Source, chosen: list[int], labels: str | None = None
) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """The white pixels (n, H, W), the pixels that count (None: all), and how labels were read.

    labels: "instances" or "classes", see meaning.meaning_of. White are all objects, but for the gap
    that a training opens between touching ones. "neurons" are numbered as those of ISBI 2013, and
    white is what a training takes for their cells; in a folder of that layout no word is needed.

    The whole file decides how its labels are coded, so that a page means the same whichever pages
    are chosen.
    """
    path, labels = name_of(truth, "truth"), meaning_asked(truth, labels)
    pages, found = label_pages(truth, "truth", labels == "instances")
    notes = [*found]
    first = pages[0].flat[0]
    if first in (0, 1, 255) and all((page == first).all() for page in pages):
        # useless for training, but a picture without cells can be scored
        ids = [np.full(page.shape, first > 0, np.uint8) for page in pages]
        notes.append(f"every label is {first}: {'every' if first else 'no'} pixel is white")
    elif labels == NEURONS:
        refuse_negative(pages, [f"'{path}' page {number}" for number in range(len(pages))])
        ids = [cells_of(page) for page in pages]
        notes.append(
            "labels number neurons, as in ISBI 2013: white is all but 0 and a line of two pixels "
            "where neurons touch; --labels instances and classes read them otherwise"
        )
    else:
        names = [f"'{path}' page {number}" for number in range(len(pages))]
        read = meaning_of(pages, names, labels)
        ids, notes = read.labels, notes + read.notes
        if read.classes > 2:
            notes.append("white is every class but 0")
        if read.instances is None:
            reason, warnings = stray(ids, names)
            notes += warnings
            if reason:
                notes.append(f"{WARNING}{reason}. Is this a mask of 0 and 255 with stray pixels?")
        else:
            ids = [open_gaps(y, cells) for y, cells in zip(ids, read.instances, strict=True)]
            notes.append("white is every object, but for a one-pixel gap between touching ones")
    values = np.stack([ids[page] for page in chosen])
    counted = values != IGNORE
    if not counted.any():
        raise nothing_counts(path)
    white = (values > 0) & counted
    return white, None if counted.all() else counted, notes


def nothing_counts(path: str) -> DataError:
    """The error for a truth whose chosen pages are ignored entirely."""
    return DataError(
        f"'{path}': every pixel of the chosen pages is 255 (ignore), which leaves nothing to "
        "score. Choose other --pages."
    )
