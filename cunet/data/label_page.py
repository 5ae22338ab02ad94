"""The numbers in a page of a label file that stays on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import local
from typing import Any

import numpy as np

from cunet.data.labels import one_number, whole_numbers
from cunet.data.on_disk import OnDisk
from cunet.data.pages_on_disk import Page

GRID = 64  # pixels
KEPT = 16 << 20  # bytes
_thread = local()  # .last: what a thread has read last


class LabelPage(OnDisk):
    """The numbers (H, W) of a page of a label file.

    A sample needs one place several times, for labels, cells and weights: what a thread has read
    last is kept, up to lines of a grid.
    """

    def __init__(self, page: Page, path: Path) -> None:
        self.page, self.path, self.shape = page, path, page.shape[:2]
        self.dtype = np.dtype(np.int64) if page.dtype.kind == "f" else page.dtype
        self.plain = self.dtype == page.dtype and page.shape[2] == 1

    def rows_at_once(self, slices: int = 1) -> int:
        return self.page.rows_at_once(slices)

    @property
    def group(self) -> tuple[Any, ...]:
        return self.page.group

    def window(self, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        last: _Read | None = getattr(_thread, "last", None)
        if last is None or not last.holds(self, r0, r1, c0, c1):
            top, left = r0 - r0 % GRID, c0 - c0 % GRID
            bottom, right = min(len(self), r1 + -r1 % GRID), min(self.shape[1], c1 + -c1 % GRID)
            read = self.page.window(top, bottom, left, right)
            last = _Read(self, top, left, self._numbers(read, top, left))
            if last.numbers.nbytes <= KEPT:
                _thread.last = last
        return last.numbers[r0 - last.top : r1 - last.top, c0 - last.left : c1 - last.left]

    def stack(self, others: Sequence["LabelPage"], r0: int, r1: int) -> list[np.ndarray]:
        read = self.page.stack([other.page for other in others], r0, r1)
        return [other._numbers(part, r0, 0) for other, part in zip(others, read, strict=True)]

    def _numbers(self, values: np.ndarray, top: int, left: int) -> np.ndarray:
        numbers = one_number(values, self.path, top, left)
        if numbers.dtype.kind == "f":
            return whole_numbers(numbers, self.path, self.page.page)
        return numbers


@dataclass(frozen=True)
class _Read:
    """A part of a page, from pixel (top, left) on."""

    page: LabelPage
    top: int
    left: int
    numbers: np.ndarray

    def holds(self, page: LabelPage, r0: int, r1: int, c0: int, c1: int) -> bool:
        """Whether a window lies within it."""
        bottom, right = self.top + self.numbers.shape[0], self.left + self.numbers.shape[1]
        rows, columns = self.top <= r0 and r1 <= bottom, self.left <= c0 and c1 <= right
        return page is self.page and rows and columns
