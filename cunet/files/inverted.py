"""Images with bright and dark exchanged, as Fiji's Edit > Invert does it.

8-bit values become 255 - v (of int8, -1 - v), 4-bit ones 15 - v, truth its opposite; all others
min + max - v, with the lowest and the highest value of the page.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from cunet.files.image_file import ImageFile, ImageReadAs

ROWS = 256  # of a page that are read at once


def inverted(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values of a page from `low` to `high` inverted, dtype kept; 8-bit ones need no range."""
    if values.dtype.itemsize == 1:
        return ~values  # 255 - v, -1 - v where they are signed, and of truth its opposite
    kind = values.dtype.type
    with np.errstate(over="ignore", invalid="ignore"):  # whole numbers wrap, and come back
        return kind(low) + (kind(high) - values)


def ends(read_rows: Callable[[int, int], np.ndarray], height: int) -> tuple[float, float]:
    """The lowest and the highest finite value of a page, which is read in parts; an error about
    others is to name their rows alone."""
    low, high = [], []
    for first in range(0, height, ROWS):
        rows = read_rows(first, min(height, first + ROWS))
        finite = rows if rows.dtype.kind != "f" else rows[np.isfinite(rows)]
        if finite.size:
            low.append(finite.min())
            high.append(finite.max())
    return (min(low), max(high)) if low else (0, 0)


class InvertedImage(ImageReadAs):
    """An open image, of which each page is read inverted."""

    def __init__(self, image: ImageFile) -> None:
        super().__init__(image)
        self._ends = lru_cache(maxsize=4)(self._ends_of)

    def _rows(self, page: int, r0: int, r1: int) -> np.ndarray:
        return self._inverted(self.image.read_rows(page, r0, r1), page)

    def _window(self, page: int, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        return self._inverted(self.image.read_window(page, r0, r1, c0, c1), page)

    def _inverted(self, values: np.ndarray, page: int) -> np.ndarray:
        if self.white < 255:  # pixels of 1, 2 or 4 bits, which are read as stored
            return self.dtype.type(self.white) - values
        return inverted(values, *self._ends(page))

    def _ends_of(self, page: int) -> tuple[float, float]:
        if self.dtype.itemsize == 1:
            return 0, 255  # not asked for
        return ends(lambda r0, r1: self.image.read_rows(page, r0, r1), self.height)
