"""The pages chosen of an image: the axes that they keep, and what of its calibration is true."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cunet.files.calibration import Calibration
from cunet.files.image_file import ImageFile


@dataclass(frozen=True)
class Frames:
    """Pages as a file of them has them.

    axes  the axes of the pages and their lengths, such as (("T", 2), ("Z", 3))
    note  what a user must hear, or ""
    """

    axes: tuple[tuple[str, int], ...]
    calibration: Calibration
    note: str = ""

    @property
    def pages(self) -> int:
        """How many there are."""
        return math.prod(size for _, size in self.axes)


def frames(image: ImageFile, pages: Sequence[int]) -> Frames:
    """The axes and calibration of these pages of an image.

    Pages that are a part of every axis, such as two time points of all slices, keep the axes;
    others are slices, one after the other. Between every second slice there are two steps, and
    between slices at odd places no common one: that is left out. CunetError for a page that the
    image does not have.
    """
    for page in pages:
        image.check_page(page)
    axes = _named(image.page_axes)
    found = image.calibration
    places = np.unravel_index(np.asarray(pages), [size for _, size in axes])
    chosen = [list(dict.fromkeys(place.tolist())) for place in places]
    grid = np.meshgrid(*chosen, indexing="ij")
    whole = all(np.array_equal(g.ravel(), p) for g, p in zip(grid, places, strict=True))
    if not whole and len(axes) > 1:
        names = "".join(axis for axis, _ in axes)
        return Frames(
            (("Z", len(pages)),),
            replace(found, spacing=None, interval=None),
            f"the chosen pages are no part of every axis ({names}): written as slices, without "
            "the distance between them",
        )
    if not whole:  # a page twice
        return Frames(((axes[0][0], len(pages)),), replace(found, spacing=None, interval=None), "")
    note = ""
    for (axis, _), numbers in zip(axes, chosen, strict=True):
        name = "interval" if axis == "T" else "spacing"
        value, steps = getattr(found, name), {int(s) for s in np.diff(numbers)}
        if value is not None and steps and steps != {1}:
            step = steps.pop() if len(steps) == 1 else 0
            changed: dict[str, Any] = {name: value * step if step > 0 else None}
            found = replace(found, **changed)
            if step < 1:
                note = f"the chosen pages are not evenly spaced: {name} left out"
    lengths = tuple((axis, len(numbers)) for (axis, _), numbers in zip(axes, chosen, strict=True))
    return Frames(lengths, found, note)


def _named(axes: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    """The axes, with those that have no name as slices where there are no others."""
    nameless = [axis for axis, _ in axes if axis in "IQ"]
    if not axes or (len(nameless) == 1 and "Z" not in [axis for axis, _ in axes]):
        return tuple(("Z" if axis in "IQ" else axis, size) for axis, size in axes or (("Z", 1),))
    return axes
