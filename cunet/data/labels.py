"""What label files hold: whole numbers, one a pixel, and 255 for pixels to ignore.

What the numbers mean is in class_ids.py and meaning.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cunet.data.coding import Colours, colours_of, numbers_of_colours
from cunet.errors import DataError
from cunet.files import open_image
from cunet.files.image_file import ImageFile
from cunet.terminal import plural

IGNORE = 255
AS_INSTANCES = "If each number is an object, give --labels instances."
LARGEST = 2**53  # up to here floating point holds every whole number


@dataclass(frozen=True)
class LabelFile:
    """What a label file holds: pages (H, W) of integers, notes, and how viewers show the numbers.

    `coded` are the notes on a coding that is not the usual one, such as white-is-zero.
    """

    path: Path
    pages: list[np.ndarray]
    notes: tuple[str, ...]
    coded: tuple[str, ...]
    colours: Colours


def read_labels(path: Path, objects: bool = False) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """The pages of a label file, (H, W) integers, and all notes on it; see read_label_file."""
    found = read_label_file(path, objects)
    return found.pages, found.notes + found.coded


def read_label_file(path: Path, objects: bool = False) -> LabelFile:
    """A whole label file. Raises DataError for colours and for values that are no whole numbers.

    objects: the file numbers objects, so that one in colours has an object in every patch of one
    colour, on black.
    """
    with open_image(path, indices=True) as image:
        refuse_lossy(image)
        pages, in_colour = [], False
        for number in range(image.pages):
            one, coloured = _one_channel(image, number, objects)
            pages.append(one)
            in_colour |= coloured
        colours = colours_of(image, pages)
        notes, coded = notes_of_labels(image, in_colour)
    if pages[0].dtype.kind == "f":
        pages = [whole_numbers(page, path, number) for number, page in enumerate(pages)]
    return LabelFile(path, pages, notes, coded, colours)


def notes_of_labels(
    image: ImageFile, in_colour: bool = False
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The notes on a label file, and those on an unusual coding. in_colour: its colours number
    objects."""
    said = [n for n in image.notes if "memory" not in n]
    coded = [n for n in said if "colour table" in n or "white-is-zero" in n]
    notes = [n for n in said if n not in coded]
    if in_colour:
        notes.append("colours: each patch of one colour is an object, black is background")
    elif image.channels > 1:
        notes.append(f"grey saved as colour: the {image.channels} equal channels are read as one")
    if image.dtype.kind == "f":
        notes.append("whole numbers stored as floating point")
    return tuple(notes), tuple(coded)


def refuse_lossy(image: ImageFile) -> None:
    """DataError where a label file is of a kind that changes its values."""
    if image.lossy:
        raise DataError(
            f"'{image.path}' is a JPEG file, which changes the values of labels; expected TIFF, "
            "PNG or BMP. Save the labels from their source: a copy of this file keeps the damage."
        )


def whole_numbers(page: np.ndarray, path: Path, number: int) -> np.ndarray:
    """A page, or a part of it, of floating point as int64. DataError where it has fractions."""
    whole = np.isfinite(page) & (page == np.floor(page))
    if not whole.all():
        raise DataError(
            f"'{path}', page {number}: labels are whole numbers, found "
            f"{page[~whole][0]:g}; a probability map or an interpolated mask? Save class "
            "ids or 0 and 255."
        )
    if float(np.abs(page).max()) > LARGEST:
        raise DataError(
            f"'{path}', page {number}: labels are whole numbers up to 2^53, found "
            f"{page.flat[np.abs(page).argmax()]:g}. Save class ids or 0 and 255."
        )
    return page.astype(np.int64)


def _one_channel(image: ImageFile, page: int, objects: bool) -> tuple[np.ndarray, bool]:
    """A page (H, W), and whether its colours number objects; of a grey picture that was saved in
    colours one of its equal channels."""
    values = image.read(page)
    if objects and image.channels == 3 and (values != values[..., :1]).any():
        return numbers_of_colours(values, f"'{image.path}' page {page}"), True
    return one_number(values, image.path), False


def one_number(values: np.ndarray, path: Path, top: int = 0, left: int = 0) -> np.ndarray:
    """One of the equal channels of (h, w, C), a part of a page from pixel (top, left) on; DataError
    where they differ."""
    first, channels = values[..., 0], values.shape[2]
    if channels == 1:
        return first
    differ = (values != first[..., None]).any(axis=2)
    if differ.any():
        row, column = np.argwhere(differ)[0]
        raise DataError(
            f"'{path}' is a label file with {plural(channels, 'channel')} (colours), at row "
            f"{row + top}, column {column + left} "
            f"{', '.join(map(str, values[row, column].tolist()))}; expected "
            "one number per pixel: 0 and 255, or class ids 0, 1, 2 ... Save it as 8-bit grey. If "
            "each patch of one colour is an object, give --labels instances."
        )
    return first.copy()


def refuse_negative(pages: Iterable[np.ndarray], names: Sequence[str]) -> None:
    """DataError where a page, or the numbers that are in it, are below 0."""
    for page, name in zip(pages, names, strict=True):
        if page.min() < 0:
            raise DataError(
                f"labels of {name} are negative ({listed(np.unique(page))}); expected 0, 1, 2 ..."
            )


def refuse_two_codings(sets: Sequence[set[int]], names: Sequence[str]) -> None:
    """Refuses 255 beside 0 alone in one page and other numbers in another: is it a class?"""
    if any(IGNORE in s and s - {0, IGNORE} for s in sets):
        return
    mask = next(i for i, s in enumerate(sets) if IGNORE in s)
    other = next(i for i, s in enumerate(sets) if s - {0, IGNORE})
    raise DataError(
        f"two codings of labels: {names[mask]} holds {listed(sets[mask])}, {names[other]} holds "
        f"{listed(sets[other])}; is 255 a class or ignore? Use one coding in the whole data set."
    )


def listed(values: Sequence[int] | set[int] | np.ndarray) -> str:
    """Up to eight values written out; of more, the first five and the last two."""
    numbers = sorted(int(v) for v in values)
    if len(numbers) > 8:
        return ", ".join(map(str, numbers[:5])) + ", ... " + ", ".join(map(str, numbers[-2:]))
    return ", ".join(map(str, numbers))


def cells(labels: np.ndarray) -> np.ndarray:
    """Which pixels belong to a cell: every class but the background, except ignored pixels."""
    return (labels > 0) & (labels != IGNORE)
