"""Labels that are not what they seem: cell numbers taken for classes, 255 taken for "ignore".

What a file means cannot be told from its values alone. Here the shapes and the counts of the values
speak: a number that is one piece in every page numbers a cell, and 255 that covers much where the
classes cover next to nothing is a mask.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage

from cunet.errors import DataError
from cunet.terminal import plural

IGNORE = 255
MOST_NUMBERS = 200  # looked at in a page, since each takes time
TABLE = 1 << 24  # numbers up to here are looked up, which is quick
ENOUGH = 20  # numbers of several pieces
SMALL = 4  # pixels; fewer are no object
ALIKE = 0.8  # of the numbers of all pages are one piece where they are cells, of classes far fewer
HALF = 0.5  # ... which is seen in some classes too
FEW = 4  # classes that may be counted up by chance
RARE = 0.001  # of the pixels that have a class: classes above 0 that are as rare are stray values
FAR_MORE = 10  # times as many pixels of 255 beside them
SHOWN = 3  # names in a warning
MOST_NAMED = 16  # classes that a study tells apart, such as organs; more are perhaps objects


def numbers_in(page: np.ndarray) -> np.ndarray:
    """The numbers in a page (H, W), sorted; as np.unique has them, which is slow for pages of
    millions of pixels."""
    if page.dtype == bool or page.min() < 0 or page.max() >= TABLE:  # bool would be a mask below
        return np.unique(page)
    there = np.zeros(int(page.max()) + 1, bool)
    there[page] = True
    return np.flatnonzero(there)


def renumbered(page: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers in a page (H, W), sorted, and for each pixel the place of its own among them,
    (H, W) int32."""
    numbers = numbers_in(page)
    if numbers[0] >= 0 and numbers[-1] < TABLE:
        table = np.zeros(int(numbers[-1]) + 1, np.int32)
        table[numbers] = np.arange(len(numbers))
        return numbers, table[page]
    return numbers, np.searchsorted(numbers, page).astype(np.int32)


def pieces(page: np.ndarray, leave_out: Sequence[int] = (0, IGNORE)) -> Iterator[int]:
    """In how many 8-connected pieces each number of a page (H, W) lies.

    Of very many numbers some are taken, evenly.
    """
    numbers, place = renumbered(page)
    place += 1
    boxes = ndimage.find_objects(place)
    wanted = [k for k, box in enumerate(boxes) if box and numbers[k] not in leave_out]
    for k in wanted[:: 1 + len(wanted) // MOST_NUMBERS]:
        yield ndimage.label(place[boxes[k]] == k + 1, np.ones((3, 3)))[1]


def whole(pages: Sequence[np.ndarray]) -> float:
    """The share of the numbers of all pages that are one piece: nearly 1 where they number cells.

    0 and 255 are left out; 0 where there is nothing else.
    """
    seen = apart = 0
    for seen, count in enumerate((count for page in pages for count in pieces(page)), 1):
        apart += count > 1
        if apart > ENOUGH and apart > seen / 2:  # classes, which need not be counted to the end
            return 0.0
    return 1 - apart / seen if seen else 0.0


def counted_up(sets: Sequence[set[int]]) -> bool:
    """Whether pages hold the numbers 1 to n, with another n in some, as cells are counted."""
    highest = {max(numbers) for numbers in sets if numbers}
    full = all(numbers == set(range(1, len(numbers) + 1)) for numbers in sets)
    return full and len(highest) > 1 and max(highest) > FEW


def objects_on_ground(pages: Sequence[np.ndarray]) -> bool:
    """Whether integers (H, W) number objects that lie on a ground of 0, and are no probabilities.

    Both may have numbers of one piece each, but those of probabilities rise from 0 step by step:
    few of them have 0 beside them, and many are single pixels.
    """
    numbers = beside = small = 0
    for page in pages:
        known, place = renumbered(page)
        ground = ndimage.binary_dilation(page == 0, np.ones((3, 3)))
        above = known > 0
        numbers += int(np.count_nonzero(above))
        small += int(np.count_nonzero(np.bincount(place.ravel())[above] < SMALL))
        beside += int(np.count_nonzero(np.bincount(place[ground], minlength=len(known))[above]))
    return numbers > 0 and max(small, numbers - beside) < numbers / 2 and whole(pages) >= ALIKE


def many_pieces(pages: Sequence[np.ndarray]) -> bool:
    """Whether numbers that should be objects are two pieces or more on average, as classes are."""
    found = [count for page in pages for count in pieces(page, (0,))]
    return len(found) > 0 and sum(found) >= 2 * len(found)


def touching(page: np.ndarray) -> bool:
    """Whether every number of a page touches another one, as layers do and nuclei in their cells.

    A number that is alone in its page does not speak against it.
    """
    found = np.unique(page[(page > 0) & (page != IGNORE)])
    beside = set[int]()
    for one, other in ((page[1:], page[:-1]), (page[:, 1:], page[:, :-1])):
        differ = (one != other) & (one > 0) & (other > 0) & (one != IGNORE) & (other != IGNORE)
        beside |= {*one[differ].tolist(), *other[differ].tolist()}
    return len(found) == 1 or beside == set(found.tolist())


def ignoring(pages: Sequence[np.ndarray]) -> list[int]:
    """Which pages (H, W) of object numbers hold 255 for "ignore", and not for an object.

    It is ignore where it lies in several pieces and the objects were not counted up to it.
    """
    if max(page.max() for page in pages) != IGNORE:
        return []
    numbers = set().union(*(numbers_in(page).tolist() for page in pages))
    if IGNORE - 1 in numbers or numbers <= {0, IGNORE}:
        return []
    alone = ((page == IGNORE).astype(np.uint8) for page in pages)
    return [i for i, page in enumerate(alone) if next(pieces(page, (0,)), 0) > 1]


def masks_among(pages: Sequence[np.ndarray], names: Sequence[str]) -> list[str]:
    """A warning where pages hold one number in many pieces while others number each object.

    pages are object numbers (H, W), counted from 1.
    """
    if max(page.max() for page in pages) < 2:
        return []
    torn = [
        (name, next(pieces(page, (0,))))
        for page, name in zip(pages, names, strict=True)
        if page.max() == 1
    ]
    odd = [(name, count) for name, count in torn if count > FEW]
    if not odd:
        return []
    (name, count), more = odd[0], f" (and {len(odd) - 1} more like it)" if odd[1:] else ""
    return [
        f"warning: {name} holds one number in {count} pieces, all of them one object now, while "
        f"others number their objects{more}: is it a mask? Number the objects in all"
    ]


def doubts_of_classes(pages: Sequence[np.ndarray], names: Sequence[str], classes: int) -> list[str]:
    """A warning where one page numbers cells and most do not, or where classes are many."""
    counts = [len({*numbers_in(page).tolist()} - {0, IGNORE}) for page in pages]
    many = (i for i, count in enumerate(counts) if count > FEW)
    odd = next((i for i in many if whole([pages[i]]) >= ALIKE), None)
    if odd is None:
        return _many(classes)
    return [
        f"warning: {names[odd]} holds {counts[odd]} numbers beside 0, and each is one piece: are "
        "they cell numbers, not classes?"
    ]


def _many(classes: int) -> list[str]:
    """A warning where there are more classes than a study tells apart, such as torn neurons."""
    if classes <= MOST_NAMED:
        return []
    return [
        f"warning: {classes} classes, many for a network: if each number is an object, though in "
        "several pieces, give --labels instances; --labels classes says that they are classes"
    ]


def refuse_stray(pages: Sequence[np.ndarray], names: Sequence[str]) -> list[str]:
    """The warnings of `stray`; DataError where class ids (H, W) uint8 surely are masks with a few
    other pixels."""
    return told_of_stray(*stray(pages, names))


def told_of_stray(reason: str, warnings: list[str]) -> list[str]:
    """The warnings that `stray` returns; DataError for its reason."""
    if reason:
        raise DataError(
            f"labels of {reason}. Is this a mask of 0 and 255 with stray pixels? Save it with "
            "0 and 255 alone. If these are classes, give --labels classes."
        )
    return warnings


def stray(pages: Sequence[np.ndarray], names: Sequence[str]) -> tuple[str, list[str]]:
    """Whether 255 may be a class and not "ignore": (why it surely is or "", warnings).

    pages are class ids (H, W) uint8, where 255 is ignore.
    """
    return stray_of([np.bincount(page.ravel(), minlength=256) for page in pages], names)


def stray_of(pages: Sequence[np.ndarray], names: Sequence[str]) -> tuple[str, list[str]]:
    """The same from the number of pixels of each class in every page, (256,) each."""
    counts = np.array(pages)
    ignored = counts[:, IGNORE]
    classes, above = counts[:, :IGNORE].sum(axis=1), counts[:, 1:IGNORE].sum(axis=1)
    if not ignored.any():
        return "", []

    def said(i: int) -> str:
        share = 100 * ignored[i] / counts[i].sum()
        return (
            f"{names[i]}: 255 covers {share:.1f} % of the pixels and counts as ignore, since "
            f"{plural(above[i], 'pixel has', 'pixels have')} a class above 0"
        )

    few = (above > 0) & (above < RARE * classes) & (ignored >= FAR_MORE * above)
    total = above.sum()
    if total < RARE * classes.sum() and ignored.sum() >= FAR_MORE * total:
        first = said(int(np.argmax(above > 0)))
        return f"{first}; {total} in all, on {plural(len(pages), 'page')}", []
    warnings = [
        f"warning: {said(i)}; is this a mask of 0 and 255 with stray pixels?"
        for i in np.flatnonzero(few)[:SHOWN]
    ]
    alone = np.flatnonzero((ignored > 0) & (above == 0))
    if len(alone):
        more = f" and {len(alone) - SHOWN} more" if len(alone) > SHOWN else ""
        warnings.append(
            "warning: nothing but 0 and 255, which counts as ignore, in "
            f"{', '.join(names[i] for i in alone[:SHOWN])}{more}; others hold class ids beside it. "
            "If these are masks, use one coding in the whole data set"
        )
    return "", warnings
