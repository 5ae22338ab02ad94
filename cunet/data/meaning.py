"""Whether label files number objects or classes, and both made into what a network learns.

A number that is one piece, while other images hold other numbers, numbers a cell; classes lie in
many places and are the same in all images. What was decided is said; where neither is plain, an
error asks. Instances become two classes, background and object, and keep their numbers for the
border between touching objects. H W: height and width of a page.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from cunet.data.class_ids import MAX_CLASSES, class_ids
from cunet.data.labels import IGNORE, refuse_negative, refuse_two_codings
from cunet.data.suspicion import (
    ALIKE,
    FEW,
    HALF,
    MOST_NAMED,
    counted_up,
    doubts_of_classes,
    ignoring,
    many_pieces,
    masks_among,
    numbers_in,
    objects_on_ground,
    renumbered,
    touching,
    whole,
)
from cunet.errors import DataError
from cunet.terminal import plural

MEANINGS = ("classes", "instances")
MOST_LAYERS = 10  # classes of one piece each that are in every page: layers, or organs
INSTANCE_CLASSES = ("background", "object")


@dataclass(frozen=True)
class Meaning:
    """What the label pages of a data set mean.

    labels     (H, W) uint8 class ids; IGNORE marks pixels that do not count
    classes    how many there are
    instances  (H, W) int32 object numbers, 0 for none, where the pages number objects
    notes      what was decided, a sentence each; those not to be missed begin with "warning: "
    """

    labels: list[np.ndarray]
    classes: int
    instances: list[np.ndarray] | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        if self.instances is not None:
            return INSTANCE_CLASSES
        return tuple(f"class {k}" for k in range(self.classes))


def meaning_of(
    pages: Sequence[np.ndarray], names: Sequence[str], asked: str | None = None
) -> Meaning:
    """What pages (H, W) of whole numbers mean; names are what errors call them.

    asked: "classes" or "instances", where a person has said which. Raises DataError where the shape
    of the numbers does not tell, and for what labels.class_ids refuses.
    """
    refuse_negative(pages, names)
    kind, why = told(pages, names, asked)
    if kind == "instances":
        return _instances(pages, names, why)
    labels, classes, coding = class_ids(pages, names)
    doubts = [f"warning: {why}"] if why else []
    if asked is None and not doubts:
        doubts = doubts_of_classes(pages, names, classes)
    return Meaning(labels, classes, None, [coding, *doubts])


def told(
    pages: Sequence[np.ndarray],
    names: Sequence[str],
    asked: str | None = None,
    known: Sequence[set[int]] | None = None,
) -> tuple[str, str]:
    """ "instances" or "classes", as asked or by the shapes of the numbers in pages (H, W); and why.

    Of classes this is a doubt, or "". known: the numbers in each page, where they were counted.
    DataError, naming the page, where neither is plain.
    """
    if asked is not None:
        return asked, "as asked for" if asked == "instances" else ""
    known = known or [set(numbers_in(page).tolist()) for page in pages]
    kind, why = _by_shape(pages, known)
    if kind != "unclear":
        return kind, why + ("; --labels classes reads classes" if kind == "instances" else "")
    counts = [len(numbers - {0, IGNORE}) for numbers in known]
    most = int(np.argmax(counts))
    raise DataError(
        f"labels may be cell numbers (instances) or classes: {names[most]} holds "
        f"{plural(counts[most], 'number')} beside 0, {why}. Give --labels instances if each "
        "number is an object, --labels classes if these are classes."
    )


def _by_shape(pages: Sequence[np.ndarray], known: Sequence[set[int]]) -> tuple[str, str]:
    """("classes", a doubt or ""), ("instances", why) or ("unclear", why)."""
    own = [numbers - {0, IGNORE} for numbers in known]
    ground, numbers = any(0 in found for found in known), set().union(*own)
    most, same = max(map(len, own)), len(own) > 1 and len({*map(frozenset, own)}) == 1
    if len(numbers) < 2:
        return "classes", ""
    share = whole(pages)
    if share < (HALF if len(numbers) > 2 else ALIKE):
        return "classes", ""
    pieces_said = "each is one piece" if share == 1 else "most are one piece"
    filled = any(len(found) > 1 for found in own) and all(map(touching, pages))
    several = most > (MOST_LAYERS if filled else FEW)
    cells = (share >= ALIKE and not same and several) or (counted_up(own) and several)
    again = cells and _same_again(own)
    if cells and not again:
        if ground and not _like_class_ids(numbers) and not objects_on_ground(pages):
            return "classes", ""  # grey values, which class_ids refuses
        others = ", and other images hold other numbers" if len(own) > 1 else ""
        return "instances", f"{pieces_said}{others}"
    if not _like_class_ids(numbers):
        return "classes", ""  # numbers with gaps, which class_ids refuses
    if not ground and most <= FEW:
        return "classes", ""  # they share all of the image, as cells hardly do
    if again:
        return "unclear", f"{pieces_said}, but a few numbers come back, with gaps, as organs do"
    against = "all images hold the same numbers" if same else ""
    if not several and filled:
        against = against or "each touches another one"
    layers = filled and most <= MOST_LAYERS and (same or len(own) == 1)
    if against and (layers or most <= FEW):  # else few cells, in some images as many in each
        return "classes", (
            f"labels look like cell numbers, as {pieces_said}, but {against}: they are taken for "
            "classes. --labels instances reads cell numbers"
        )
    return "unclear", f"{pieces_said}, as cells are, but {against or 'so few may be classes too'}"


def _same_again(own: Sequence[set[int]]) -> bool:
    """Whether images hold some of the same few numbers, not counted up from 1, as organs do."""
    numbers = set().union(*own)
    gaps = any(found != set(range(1, len(found) + 1)) for found in own)
    return len(own) > 1 and gaps and _like_class_ids(numbers) and len(numbers) <= MOST_NAMED


def _like_class_ids(numbers: set[int]) -> bool:
    """Whether the numbers above 0 run from 1 on without gaps, and are few."""
    return numbers == set(range(1, len(numbers) + 1)) and len(numbers) < MAX_CLASSES


def _instances(pages: Sequence[np.ndarray], names: Sequence[str], why: str) -> Meaning:
    """The pages as object numbers. A mask of two values holds its 4-connected components."""
    union = set().union(*(numbers_in(page).tolist() for page in pages))
    refuse_no_object(union, names)
    if union <= {0, 1} or union <= {0, IGNORE}:
        found = [ndimage.label(page > 0)[0].astype(np.int32, copy=False) for page in pages]
        notes = ["labels are masks: their 4-connected components are the objects"]
        return Meaning(_object_labels(found, pages, False), 2, found, notes)
    ignored, notes = ignored_in(pages, names, union)
    found = []
    for page in pages:
        numbers, place = renumbered(np.where(page == IGNORE, 0, page) if ignored else page)
        place += numbers[0] != 0  # a page without background numbers from 1 too
        found.append(place)
    counts = [int(np.count_nonzero(np.bincount(cells.ravel())[1:])) for cells in found]
    notes.insert(0, objects_said(counts, why))
    masks = masks_among(found, names)
    notes += masks
    if not masks and many_pieces(found):
        notes.append(
            "warning: each number is several pieces on average: are these classes or masks, not "
            "cell numbers? Touching cells are then one"
        )
    return Meaning(_object_labels(found, pages, ignored), 2, found, notes)


def refuse_no_object(numbers: set[int], names: Sequence[str]) -> None:
    """DataError where pages that number objects hold nothing but 0."""
    if len(numbers - {0}) == 0:
        raise DataError(
            f"the labels hold no object: every pixel of {names[0]}"
            f"{' and of all other pages' if len(names) > 1 else ''} is 0. Are these the labels?"
        )


def objects_said(counts: Sequence[int], why: str) -> str:
    """A note on how many objects the pages have, and why they are taken for objects."""
    least, most = min(counts), max(counts)
    each = f"{most} in an image" if least == most else f"{least} to {most} in an image"
    return f"labels are cell numbers (instances): {sum(counts)} objects, {each}; {why}"


def _object_labels(
    instances: Sequence[np.ndarray], pages: Sequence[np.ndarray], ignored: bool
) -> list[np.ndarray]:
    """The classes (H, W) uint8 of numbered objects: 0 background, 1 object."""
    labels = [(cells > 0).astype(np.uint8) for cells in instances]
    for label, page in zip(labels, pages, strict=True):
        if ignored:
            label[page == IGNORE] = IGNORE
    return labels


def ignored_in(
    pages: Sequence[np.ndarray], names: Sequence[str], union: set[int]
) -> tuple[bool, list[str]]:
    """Whether 255 among object numbers means "ignore", and notes."""
    if IGNORE not in union or max(union) > IGNORE or IGNORE - 1 in union:
        return False, []
    if torn := ignoring(pages):
        refuse_two_codings([set(numbers_in(page).tolist()) for page in pages], names)
        share = sum(int((page == IGNORE).sum()) for page in pages) / sum(p.size for p in pages)
        return True, [
            f"warning: 255 is several pieces in {names[torn[0]]}: it is taken for ignore, not for "
            f"an object ({100 * share:.1f} % of the pixels)"
        ]
    others = union - {0, IGNORE}
    if others == set(range(1, len(others) + 1)):
        holder = next(i for i, page in enumerate(pages) if (page == IGNORE).any())
        return False, [
            f"warning: 255 in {names[holder]} counts as an object, though the others are "
            f"numbered to {len(others)}. If it means ignore, take it out"
        ]
    return False, []
