"""The inputs of an evaluation: image files, or arrays in memory that are read like files.

n: pages, C: channels (of a probability one for each class).
"""

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cunet.data import isbi2013
from cunet.data.coding import colours_of, exchanged
from cunet.data.isbi2012 import LABELS
from cunet.data.labels import read_labels
from cunet.data.meaning import MEANINGS
from cunet.errors import CunetError, DataError, not_among
from cunet.files import open_image
from cunet.files.image_file import ArrayImage, ImageFile
from cunet.files.listing import tiff_named

if TYPE_CHECKING:
    from typing_extensions import TypeIs  # typing's own from Python 3.13 on

Source = str | os.PathLike[str] | np.ndarray
NEURONS = "neurons"
WARNING = "warning: "  # a note that must not be missed begins so


def is_path(source: object) -> "TypeIs[str | os.PathLike[str]]":
    """Whether an input names a file or folder; otherwise it is an array."""
    return isinstance(source, str | os.PathLike)


def name_of(source: Source, name: str) -> str:
    """The name of an input in errors: the path of a file, the given name of an array."""
    return str(Path(source)) if is_path(source) else name


@contextmanager
def open_pair(
    prob: Source, truth: Source, indices: bool = False
) -> Iterator[tuple[ImageFile, ImageFile]]:
    """Open a prediction and its truth, files or arrays.

    An array of predictions is (H, W) or (n, H, W), with a last axis for the classes where there are
    several; of two classes class 1 is taken. `indices`: see files.open_image.
    """
    with ExitStack() as stack:
        if is_path(prob):
            image = _grey(stack.enter_context(open_image(Path(prob), indices)))
        if is_path(truth):
            labels = stack.enter_context(open_image(Path(truth), indices=True))
        else:
            pages, _ = label_pages(truth, "truth")
            labels = ArrayImage(np.stack(pages)[..., None], "truth")
        if not is_path(prob):
            image = ArrayImage(_with_channels(np.asarray(prob), labels), "prob")
        yield image, labels


def _with_channels(array: np.ndarray, labels: ImageFile) -> np.ndarray:
    """The prediction as (n, H, W, C)."""
    one_page = labels.pages == 1 and array.shape[:2] == (labels.height, labels.width)
    if array.ndim == 2 or (array.ndim == 3 and one_page):
        array = array[None]  # as cunet.segment returns it
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or not array.size or array.dtype.kind not in "buif":
        raise DataError(
            f"'prob': expected numbers of shape (H, W) or (pages, H, W), or with a last axis for "
            f"the classes, found {array.dtype} {array.shape}"
        )
    return array[..., 1:] if array.shape[3] == 2 else array


def _grey(image: ImageFile) -> ImageFile:
    """The image with one channel, where it is grey that was saved as three equal colours."""
    if image.channels != 3 or image.dtype.kind == "f":
        return image
    pages = [image.read(page) for page in range(image.pages)]
    if any((page != page[..., :1]).any() for page in pages):
        return image
    return ArrayImage(np.stack([page[..., :1] for page in pages]), str(image.path))


def coded_alike(pred: Source, truth: Source) -> list[str]:
    """A warning where two files are coded the other way round, such as white-is-zero."""
    if not (is_path(pred) and is_path(truth)):
        return []
    colours = []
    for path in (Path(pred), Path(truth)):
        with open_image(path, indices=True) as image:
            table = image.colour_table() is not None
            pages = (image.read(page) for page in range(image.pages if table else 0))
            colours.append(colours_of(image, pages))
    how = exchanged(*colours)
    if not how:
        return []
    return [
        f"{WARNING}'{pred}' and '{truth}' are coded the other way round: {how} (white-is-zero, or "
        "a colour table). The stored numbers are compared, which may be the opposite of what "
        "viewers show"
    ]


def meaning_asked(truth: Source, labels: str | None) -> str | None:
    """What the numbers of a truth mean where a person or the layout of its folder says so: one of
    MEANINGS or NEURONS, those of ISBI 2013; else None. CunetError for another word."""
    if labels not in (None, *MEANINGS, NEURONS):
        raise not_among("labels", labels, (*MEANINGS, NEURONS))
    if labels is None and is_path(truth):
        folder = Path(truth).parent
        if isbi2013.matches(folder) and Path(truth) == tiff_named(folder, LABELS):
            return NEURONS
    return labels


def label_pages(
    source: Source, name: str, objects: bool = False
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """The pages (H, W) of labels, integers, and what was noticed about the file.

    source is a file, or an array (H, W) or (n, H, W) of integers or bool, called `name` in errors.
    objects: the labels number objects, perhaps by colours, see labels.read_label_file.
    """
    if is_path(source):
        return read_labels(Path(source), objects)
    array = np.asarray(source)
    if array.ndim not in (2, 3) or not array.size or array.dtype.kind not in "bui":
        raise DataError(
            f"'{name}': expected whole numbers of shape (H, W) or (pages, H, W), found "
            f"{array.dtype} {array.shape}"
        )
    array = array.astype(np.uint8) if array.dtype.kind == "b" else array
    return list(array if array.ndim == 3 else array[None]), ()


def both_paths(one: object, other: object, names: str) -> tuple[Path, Path]:
    """Two inputs as paths; CunetError where one of them is an array."""
    if not (is_path(one) and is_path(other)):
        raise CunetError(f"{names}: expected two paths or two arrays, found one of each")
    return Path(one), Path(other)


def warn(notes: Iterable[str]) -> None:
    """Pass on those notes as Python warnings that must not be missed."""
    for note in notes:
        if note.startswith(WARNING):
            warnings.warn(note.removeprefix(WARNING), stacklevel=4)
