"""What the labels of slices on disk mean: decided as in meaning.py, from the numbers in each page
that one pass has counted, and where these do not tell, from pages read one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cunet.data.class_ids import coding_of
from cunet.data.facts import LabelFacts
from cunet.data.labels import IGNORE, refuse_negative
from cunet.data.meaning import (
    INSTANCE_CLASSES,
    ignored_in,
    objects_said,
    refuse_no_object,
    told,
)
from cunet.data.on_disk import Computed, OnDisk, Wholes
from cunet.data.suspicion import doubts_of_classes, stray_of, told_of_stray
from cunet.errors import DataError
from cunet.terminal import plural

LOOKED_AT = 1 << 25  # pixels of a page that may be read whole, for the shapes of its numbers


@dataclass(frozen=True)
class MeaningOnDisk:
    """As meaning.Meaning, of arrays on disk. labels have their counts."""

    labels: list[OnDisk]
    class_names: tuple[str, ...]
    instances: list[OnDisk] | None = None
    notes: list[str] = field(default_factory=list)


def meaning_on_disk(
    pages: Sequence[OnDisk],
    facts: Sequence[LabelFacts],
    names: Sequence[str],
    asked: str | None = None,
) -> MeaningOnDisk:
    """What pages (H, W) of whole numbers mean, see meaning.meaning_of.

    Raises DataError as that does; too where pages are so large that the shapes of their numbers
    cannot be looked at, and nobody has said what they mean.
    """
    refuse_negative([one.numbers for one in facts], names)
    known = [set(one.numbers.tolist()) for one in facts]
    numbers = set().union(*known)
    wholes = Wholes(pages) if max(page.size for page in pages) <= LOOKED_AT else None
    if wholes is None and asked is None and len(numbers - {0, IGNORE}) > 1:
        raise DataError(
            f"labels hold {plural(len(numbers), 'number')}, in pages too large to look at their "
            "shapes: give --labels instances if each number is an object, --labels classes if "
            "these are classes."
        )
    kind, why = told(wholes or (), names, asked, known)
    if kind == "instances":
        return _instances(pages, facts, names, wholes, why)
    found = [(one.numbers, one.counts) for one in facts]
    coding, classes, note = coding_of(found, names, wholes)
    doubts = [f"warning: {why}"] if why else []
    if asked is None and not doubts and wholes is not None:
        doubts = doubts_of_classes(wholes, names, classes)
    labels: list[OnDisk] = []
    for page, one in zip(pages, facts, strict=True):
        made = Computed([page], coding.ids, np.uint8)
        made.counts = _counted(coding.ids(one.numbers), one.counts)
        labels.append(made)
    notes = [note, *doubts]
    return MeaningOnDisk(labels, tuple(f"class {k}" for k in range(classes)), None, notes)


def stray_notes(labels: Sequence[OnDisk], names: Sequence[str]) -> list[str]:
    """As suspicion.refuse_stray, from the counts of class ids."""
    return told_of_stray(*stray_of([y.counts for y in labels if y.counts is not None], names))


def _counted(ids: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """How many pixels have each class id, (256,)."""
    total = np.zeros(256, np.int64)
    np.add.at(total, ids, counts)
    return total


def _instances(
    pages: Sequence[OnDisk],
    facts: Sequence[LabelFacts],
    names: Sequence[str],
    wholes: Wholes | None,
    why: str,
) -> MeaningOnDisk:
    """Pages as object numbers, which stay as they are stored."""
    union = set().union(*(set(one.numbers.tolist()) for one in facts))
    refuse_no_object(union, names)
    if union <= {0, 1} or union <= {0, IGNORE}:
        raise DataError(
            f"{names[0]} is a mask, and which of its pixels are one object is known of whole "
            "slices only, but these are read part by part: number the objects (cunet segment "
            "--products labels does), or give --labels classes"
        )
    ignored, notes = _ignored(wholes, names, union)
    counts = [len(set(one.numbers.tolist()) - {0, *([IGNORE] if ignored else [])}) for one in facts]

    def objects(page: np.ndarray) -> np.ndarray:
        return np.where(page == IGNORE, 0, page) if ignored else page

    def classes(page: np.ndarray) -> np.ndarray:
        found = (page > 0).astype(np.uint8)
        if ignored:
            found[page == IGNORE] = IGNORE
        return found

    labels: list[OnDisk] = []
    for page, one in zip(pages, facts, strict=True):
        made = Computed([page], classes, np.uint8)
        made.counts = _counted(classes(one.numbers), one.counts)
        labels.append(made)
    instances: list[OnDisk] = [Computed([page], objects, page.dtype) for page in pages]
    notes = [objects_said(counts, why), *notes]
    return MeaningOnDisk(labels, INSTANCE_CLASSES, instances, notes)


def _ignored(
    wholes: Wholes | None, names: Sequence[str], union: set[int]
) -> tuple[bool, list[str]]:
    """Whether 255 among object numbers means "ignore", see meaning.ignored_in."""
    if wholes is None and IGNORE in union and max(union) == IGNORE and IGNORE - 1 not in union:
        raise DataError(
            "labels: 255 among object numbers may be an object or ignore, and the pages are too "
            "large to look at its shape: number the objects from 1 without gaps beyond 255, or "
            "store them as 16-bit numbers without 255"
        )
    return ignored_in(wholes or (), names, union)
