"""What label files hold, made into class ids: 0 ... K-1, and 255 for pixels to ignore.

Three codings are understood: a mask of 0 and 255 (255 is class 1), class ids 0 ... K-1, where 255
beside other ids means ignore, and class ids 1 ... K. The whole data set has one coding. Everything
else is refused; object numbers are in meaning.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cunet.data.coding import Colours, colours_of, numbers_of_colours
from cunet.data.suspicion import ALIKE, objects_on_ground, whole
from cunet.errors import DataError
from cunet.files import open_image
from cunet.files.image_file import ImageFile
from cunet.terminal import plural

IGNORE = 255
MAX_CLASSES = 64  # more distinct values are grey values or instance numbers, not classes
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
        if image.lossy:
            raise DataError(
                f"'{path}' is a JPEG file, which changes the values of labels; expected TIFF, PNG "
                "or BMP. Save the labels from their source: a copy of this file keeps the damage."
            )
        pages, in_colour = [], False
        for number in range(image.pages):
            one, coloured = _one_channel(image, number, objects)
            pages.append(one)
            in_colour |= coloured
        said = [n for n in image.notes if "memory" not in n]
        colours = colours_of(image, pages)
        grey = image.channels
    coded = [n for n in said if "colour table" in n or "white-is-zero" in n]
    notes = [n for n in said if n not in coded]
    if in_colour:
        notes.append("colours: each patch of one colour is an object, black is background")
    elif grey > 1:
        notes.append(f"grey saved as colour: the {grey} equal channels are read as one")
    if pages[0].dtype.kind == "f":
        for number, page in enumerate(pages):
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
        pages = [page.astype(np.int64) for page in pages]
        notes.append("whole numbers stored as floating point")
    return LabelFile(path, pages, tuple(notes), tuple(coded), colours)


def _one_channel(image: ImageFile, page: int, objects: bool) -> tuple[np.ndarray, bool]:
    """A page (H, W), and whether its colours number objects; of a grey picture that was saved in
    colours one of its equal channels."""
    values = image.read(page)
    first = values[..., 0]
    differ = (values != first[..., None]).any(axis=2) if image.channels > 1 else np.zeros(1, bool)
    if differ.any() and objects and image.channels == 3:
        return numbers_of_colours(values, f"'{image.path}' page {page}"), True
    if differ.any():
        row, column = np.argwhere(differ)[0]
        raise DataError(
            f"'{image.path}' is a label file with {plural(image.channels, 'channel')} (colours), "
            "at row "
            f"{row}, column {column} {', '.join(map(str, values[row, column].tolist()))}; expected "
            "one number per pixel: 0 and 255, or class ids 0, 1, 2 ... Save it as 8-bit grey. If "
            "each patch of one colour is an object, give --labels instances."
        )
    return first if image.channels == 1 else first.copy(), False


def class_ids(
    pages: Sequence[np.ndarray], names: Sequence[str]
) -> tuple[list[np.ndarray], int, str]:
    """Class ids of all label pages: (list of (H, W) uint8, number K of classes, a note on it).

    `names` are what errors call the pages. Raises DataError, with the page and the values found,
    for lossy masks, ids with gaps, mixed codings and data of a single class.
    """
    refuse_negative(pages, names)
    found = [np.unique(page, return_counts=True) for page in pages]
    for pixels, (values, counts), name in zip(pages, found, names, strict=True):
        _refuse_grey(pixels, values, counts, name)
    sets = [set(values.tolist()) for values, _ in found]
    union = set().union(*sets)
    if len(union) < 2:
        raise DataError(
            f"the labels hold one class only: every pixel of {names[0]}"
            f"{' and of all other pages' if len(names) > 1 else ''} is {listed(union)}; expected "
            "at least two values, such as 0 and 255. Are these the labels?"
        )
    if union == {0, 255}:
        masks = [(page == 255).astype(np.uint8) for page in pages]
        return masks, 2, "labels 0 and 255: 255 is class 1"
    if 255 in union:
        refuse_two_codings(sets, names)
    ids, first = union - {IGNORE}, 0
    if len(ids) > 1 and ids == set(range(1, len(ids) + 1)):
        pages = [np.where(page == IGNORE, IGNORE, page - 1) for page in pages]
        ids, first = set(range(len(ids))), 1
    if ids != set(range(len(ids))):
        gap = min(set(range(len(ids))) - ids)
        page = next(i for i, s in enumerate(sets) if any(v > gap or v < 0 for v in s - {IGNORE}))
        raise DataError(
            f"labels of {names[page]}: expected 0 and 255, or class ids 0, 1, 2 ... without gaps "
            f"(255 is ignore); found {listed(sets[page])}, in the whole data set {listed(union)} "
            f"but no {gap}. {_hint(pages, sets)}"
        )
    if len(ids) == 1:
        raise DataError(
            f"the labels hold one class only, {listed(ids)}, beside 255 (ignore), in {names[0]} "
            "and all other pages; expected at least two classes. For a mask use 0 and 255."
        )
    if len(ids) > MAX_CLASSES:
        raise DataError(
            f"labels of {names[0]} and the other pages hold {len(ids)} ids; expected at most "
            f"{MAX_CLASSES} classes. {AS_INSTANCES}"
        )
    note = f"labels are class ids 0 to {len(ids) - 1}"
    if first:
        note = (
            f"labels are 1 to {len(ids)}, without 0, as ilastik numbers classes: 1 is class 0, "
            "the background; if another number is, exchange them"
        )
    if 255 in union:
        share = sum(int(c[v == 255].sum()) for v, c in found) / sum(page.size for page in pages)
        note += f"; 255 is ignore ({100 * share:.1f} % of the pixels)"
    return [page.astype(np.uint8) for page in pages], len(ids), note


def _hint(pages: Sequence[np.ndarray], sets: Sequence[set[int]]) -> str:
    """What to do about ids with gaps."""
    if len(set().union(*sets) - {0, IGNORE}) > 2 and whole(pages) >= ALIKE:
        return f"Each is one piece, as cell (instance) numbers are. {AS_INSTANCES}"
    return f"Renumber the classes; resize masks without interpolation. {AS_INSTANCES}"


def _refuse_grey(page: np.ndarray, values: np.ndarray, counts: np.ndarray, name: str) -> None:
    """Refuses masks after JPEG or interpolation: greys between the two values of most pixels."""
    if len(values) <= 2:
        return
    two = np.sort(np.argsort(counts)[-2:])
    share = counts[two].sum() / counts.sum()
    low, high = values[two]
    ids = values[values != IGNORE]
    gaps = not np.array_equal(ids, np.arange(len(ids)))
    if len(ids) > MAX_CLASSES or (gaps and len(values) > 4 and high - low > 100):
        hint = "instance numbers, or a grey image instead of a mask"
        if share > 0.5 and high - low > 100 and not objects_on_ground([page]):
            hint = f"a lossy (JPEG) or interpolated mask: {100 * share:.1f} % are {low} or {high}"
        raise DataError(
            f"labels of {name} hold {len(values)} values ({listed(values)}), as from {hint}. "
            "Expected 0 and 255, or class ids; save masks as PNG or TIFF, resize without "
            f"smoothing. {AS_INSTANCES}"
        )


def refuse_negative(pages: Iterable[np.ndarray], names: Sequence[str]) -> None:
    """DataError where a page holds numbers below 0."""
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
