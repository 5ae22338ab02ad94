"""Slices that stay on disk: arrays of which a part is read when it is asked for.

Whoever reads them takes them for arrays: they have shape and dtype, array[r0:r1, c0:c1] reads that
part and numpy.asarray all. Threads may read at the same time. H W C: a slice's height, width and
channels.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from typing import Any

import numpy as np

from cunet.errors import CunetError
from cunet.threads import one_ahead

BLOCK = 1 << 20  # numbers of a block that is looked at, about


class OnDisk:
    """An array (H, W, C) or (H, W) whose parts are read, or computed, when they are asked for.

    total   (C,) the sum of its numbers as NumPy adds them, where it was formed
    counts  (256,) how many of its numbers are 0, 1 ... 255, where they are class ids
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    total: np.ndarray | None = None
    counts: np.ndarray | None = None

    def window(self, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        """Rows r0 ... r1-1 and columns c0 ... c1-1."""
        raise NotImplementedError

    def rows_at_once(self, slices: int = 1) -> int:
        """How many rows of so many slices should be read together."""
        raise NotImplementedError

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice | tuple[slice, slice]) -> np.ndarray:
        parts = part if isinstance(part, tuple) else (part,)
        if len(parts) > 2 or not all(isinstance(p, slice) and p.step in (None, 1) for p in parts):
            raise TypeError(f"of a slice on disk rows and columns can be read, not {part}")
        ends = [p.indices(side)[:2] for p, side in zip(parts, self.shape, strict=False)]
        (r0, r1), (c0, c1) = [*ends, (0, self.shape[1])][:2]
        return self.window(r0, max(r0, r1), c0, max(c0, c1))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        found = self.window(0, self.shape[0], 0, self.shape[1])
        return found if dtype is None else found.astype(dtype, copy=False)

    def reader(self) -> Callable[[int, int], np.ndarray]:
        """A function of r0 and r1 that reads rows; it is quick where they follow one another."""
        kept = (0, np.empty((0, *self.shape[1:]), self.dtype))

        def read(r0: int, r1: int) -> np.ndarray:
            nonlocal kept
            if not kept[0] <= r0 <= r1 <= kept[0] + len(kept[1]):
                kept = (r0, self[r0 : max(r1, r0 + self.rows_at_once())])
            return kept[1][r0 - kept[0] : r1 - kept[0]]

        return read

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """All of it, from the top, in blocks of about BLOCK numbers, with their first rows."""
        return ((first, block) for _, first, block in together([self]))

    @property
    def group(self) -> tuple[Any, ...]:
        """Equal in slices whose chunks are the same, so that they should be read together."""
        return (self,)

    def stack(self, others: Sequence[Any], r0: int, r1: int) -> list[np.ndarray]:
        """These rows of several arrays like this one, of one group."""
        return [other[r0:r1] for other in others]


def together(arrays: Sequence[OnDisk]) -> Iterator[tuple[int, int, np.ndarray]]:
    """All of all arrays: (number of the array, first row, block of about BLOCK numbers).

    The blocks of each come from its top to its bottom. Those of slices that share chunks come side
    by side, so that no chunk is read twice; while some are worked on, the next are read.
    """
    work = []
    for _, same in groupby(range(len(arrays)), key=lambda i: arrays[i].group):
        numbers = [*same]
        rows = arrays[numbers[0]].rows_at_once(len(numbers))
        height = max(len(arrays[i]) for i in numbers)
        work += [(numbers, r, min(height, r + rows)) for r in range(0, height, rows)]

    def read(part: tuple[list[int], int, int]) -> tuple[list[int], int, list[np.ndarray]]:
        numbers, r0, r1 = part
        return numbers, r0, arrays[numbers[0]].stack([arrays[i] for i in numbers], r0, r1)

    with closing(one_ahead(read, work)) as ahead:
        for numbers, first, bands in ahead:
            for i, band in zip(numbers, bands, strict=True):
                step = max(1, BLOCK // max(1, band[:1].size))
                for r in range(0, len(band), step):
                    yield i, first + r, band[r : r + step]
            del bands, band  # before the next ones come


class Computed(OnDisk):
    """What a function makes of parts of other arrays of one height and width, pixel by pixel.

    make      from parts (h, w, ...) of sources to one of the same height and width
    channels  of what is made; None for (H, W)
    margin    pixels around a part that make must see to be right within it
    """

    def __init__(
        self,
        sources: Sequence[OnDisk],
        make: Callable[..., np.ndarray],
        dtype: Any,
        channels: int | None = None,
        margin: int = 0,
    ) -> None:
        self.sources, self.make, self.margin, self.dtype = sources, make, margin, np.dtype(dtype)
        self.shape = sources[0].shape[:2] + (() if channels is None else (channels,))

    def rows_at_once(self, slices: int = 1) -> int:
        return min(source.rows_at_once(slices) for source in self.sources)

    @property
    def group(self) -> tuple[Any, ...]:
        return self.sources[0].group

    def stack(self, others: Sequence["Computed"], r0: int, r1: int) -> list[np.ndarray]:
        top, bottom = max(0, r0 - self.margin), min(len(self), r1 + self.margin)
        read = [
            source.stack([other.sources[k] for other in others], top, bottom)
            for k, source in enumerate(self.sources)
        ]
        return [
            other.make(*parts)[r0 - top : r1 - top]
            for other, *parts in zip(others, *read, strict=True)
        ]

    def window(self, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        top, left = max(0, r0 - self.margin), max(0, c0 - self.margin)
        area = slice(top, r1 + self.margin), slice(left, c1 + self.margin)
        made = self.make(*(source[area] for source in self.sources))
        return made[r0 - top : r1 - top, c0 - left : c1 - left]


class Wholes(Sequence):
    """Slices on disk as a sequence of arrays, each of which is read whole when it is asked for."""

    def __init__(self, slices: Sequence[OnDisk]) -> None:
        self.slices = slices

    def __len__(self) -> int:
        return len(self.slices)

    def __getitem__(self, i: Any) -> Any:
        return np.asarray(self.slices[i])


def refuse_on_disk(slices: Sequence[Any], what: str, instead: str) -> None:
    """CunetError where slices are on disk, for what needs whole ones."""
    if any(isinstance(one, OnDisk) for one in slices):
        raise CunetError(
            f"{what} holds whole slices, and these are more than fit: their data set is read when "
            f"samples are drawn. {instead}"
        )


Pixels = np.ndarray | OnDisk  # a slice, held in memory or on disk
