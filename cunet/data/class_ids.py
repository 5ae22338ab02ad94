"""Numbers in label files made into class ids: 0 ... K-1, and 255 for pixels to ignore.

Three codings are understood: a mask of 0 and 255 (255 is class 1), class ids 0 ... K-1, where 255
beside other ids means ignore, and class ids 1 ... K. The whole data set has one coding. Everything
else is refused; object numbers are in meaning.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cunet.data.labels import (
    AS_INSTANCES,
    IGNORE,
    listed,
    refuse_negative,
    refuse_two_codings,
)
from cunet.data.suspicion import ALIKE, objects_on_ground, whole
from cunet.errors import DataError

MAX_CLASSES = 64  # more distinct values are grey values or instance numbers, not classes


@dataclass(frozen=True)
class Coding:
    """How class ids are stored: in a mask 255 is class 1; else class 0 is the number `first`."""

    mask: bool = False
    first: int = 0

    def ids(self, page: np.ndarray) -> np.ndarray:
        """The class ids (H, W) uint8 of a page, or of a part of it."""
        if self.mask:
            return (page == 255).astype(np.uint8)
        if self.first:
            page = np.where(page == IGNORE, IGNORE, page - self.first)
        return page.astype(np.uint8)


def class_ids(
    pages: Sequence[np.ndarray], names: Sequence[str]
) -> tuple[list[np.ndarray], int, str]:
    """Class ids of all label pages: (list of (H, W) uint8, number K of classes, a note on it).

    `names` are what errors call the pages. Raises DataError, with the page and the values found,
    for lossy masks, ids with gaps, mixed codings and data of a single class.
    """
    refuse_negative(pages, names)
    found = [np.unique(page, return_counts=True) for page in pages]
    coding, classes, note = coding_of(found, names, pages)
    return [coding.ids(page) for page in pages], classes, note


def coding_of(
    found: Sequence[tuple[np.ndarray, np.ndarray]],
    names: Sequence[str],
    pages: Sequence[np.ndarray] | None,
) -> tuple[Coding, int, str]:
    """(the coding of all pages, number K of classes, a note on it), from the numbers in each page
    and their counts; errors as class_ids. pages: None where they are too large to be looked at for
    a hint."""
    for i, (values, counts) in enumerate(found):
        _refuse_grey(pages[i] if pages and len(values) > 2 else None, values, counts, names[i])
    sets = [set(values.tolist()) for values, _ in found]
    union = set().union(*sets)
    if len(union) < 2:
        raise DataError(
            f"the labels hold one class only: every pixel of {names[0]}"
            f"{' and of all other pages' if len(names) > 1 else ''} is {listed(union)}; expected "
            "at least two values, such as 0 and 255. Are these the labels?"
        )
    if union == {0, 255}:
        return Coding(mask=True), 2, "labels 0 and 255: 255 is class 1"
    if 255 in union:
        refuse_two_codings(sets, names)
    ids, first = union - {IGNORE}, 0
    if len(ids) > 1 and ids == set(range(1, len(ids) + 1)):
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
        share = sum(int(c[v == 255].sum()) for v, c in found) / sum(int(c.sum()) for _, c in found)
        note += f"; 255 is ignore ({100 * share:.1f} % of the pixels)"
    return Coding(first=first), len(ids), note


def _hint(pages: Sequence[np.ndarray] | None, sets: Sequence[set[int]]) -> str:
    """What to do about ids with gaps."""
    if pages and len(set().union(*sets) - {0, IGNORE}) > 2 and whole(pages) >= ALIKE:
        return f"Each is one piece, as cell (instance) numbers are. {AS_INSTANCES}"
    return f"Renumber the classes; resize masks without interpolation. {AS_INSTANCES}"


def _refuse_grey(
    page: np.ndarray | None, values: np.ndarray, counts: np.ndarray, name: str
) -> None:
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
        drawn = page is not None and objects_on_ground([page])
        if share > 0.5 and high - low > 100 and not drawn:
            hint = f"a lossy (JPEG) or interpolated mask: {100 * share:.1f} % are {low} or {high}"
        raise DataError(
            f"labels of {name} hold {len(values)} values ({listed(values)}), as from {hint}. "
            "Expected 0 and 255, or class ids; save masks as PNG or TIFF, resize without "
            f"smoothing. {AS_INSTANCES}"
        )
