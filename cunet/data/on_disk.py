"""Slices that stay on disk: arrays of which a part is read when it is asked for.

Whoever reads them takes them for arrays: they have shape and dtype, array[r0:r1, c0:c1] reads that
part and numpy.asarray all. Threads may read at the same time. H W C: a slice's height, width and
channels.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from cunet.files import open_image
from cunet.files.image_file import ImageFile
from cunet.files.ome_zarr import OmeZarrImage

MAX_OPEN = 32  # files that are open at a time
BLOCK = 1 << 20  # numbers of a block that is looked at, about
BAND = 32 << 20  # bytes that are read at once where a whole slice is gone through


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

    @property
    def rows_at_once(self) -> int:
        """How many rows should be read together."""
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

    def bands(self) -> Iterator[tuple[int, np.ndarray]]:
        """All of it, in rows that are read together: (first row, (rows, W, ...))."""
        for first in range(0, len(self), self.rows_at_once):
            yield first, self[first : first + self.rows_at_once]

    def reader(self) -> Callable[[int, int], np.ndarray]:
        """A function of r0 and r1 that reads rows; it is quick where they follow one another."""
        kept = (0, np.empty((0, *self.shape[1:]), self.dtype))

        def read(r0: int, r1: int) -> np.ndarray:
            nonlocal kept
            if not kept[0] <= r0 <= r1 <= kept[0] + len(kept[1]):
                kept = (r0, self[r0 : max(r1, r0 + self.rows_at_once)])
            return kept[1][r0 - kept[0] : r1 - kept[0]]

        return read

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """The same in blocks of about BLOCK numbers."""
        rows = max(1, BLOCK * len(self) // self.size)
        for first, band in self.bands():
            for r in range(0, len(band), rows):
                yield first + r, band[r : r + rows]


class Source:
    """An image file that is opened when it is read; of very many only some are open at a time.

    Threads take turns in a file, which has one place where it is read, but not in OME-Zarr.
    """

    _open: "OrderedDict[Source, None]" = OrderedDict()  # the one read last at the end
    _list = Lock()

    def __init__(self, path: Path, image: ImageFile, indices: bool = False) -> None:
        """image: the file open, from which this takes what must be known beforehand."""
        self.path, self.indices, self.streamed = path, indices, image.streamed
        self.shape = image.height, image.width, image.channels
        self.dtype = image.dtype
        self._lock = Lock()
        self._chunked = isinstance(image, OmeZarrImage)
        self._image = image if self._chunked else None

    def window(self, page: int, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        """A part of a page, (r1 - r0, c1 - c0, C)."""
        if self._chunked and self._image is not None:
            return self._image.read_window(page, r0, r1, c0, c1)
        with self._lock:
            if self._image is None:
                self._image = open_image(self.path, self.indices)
            try:
                return self._image.read_window(page, r0, r1, c0, c1)
            finally:
                self._keep()

    def _keep(self) -> None:
        """Leave the file open, but one whose pages are decoded whole, which it would hold."""
        if not self.streamed:
            self.close()
            return
        with Source._list:
            Source._open[self] = None
            Source._open.move_to_end(self)
            longest = next(iter(Source._open))
            if len(Source._open) > MAX_OPEN and longest._lock.acquire(blocking=False):
                del Source._open[longest]
                longest.close()
                longest._lock.release()

    def close(self) -> None:
        """Close the file until it is read again."""
        if self._image is not None and not self._chunked:
            self._image.close()
            self._image = None


class Page(OnDisk):
    """A page of an image file, (H, W, C) in its dtype; of several files, each holds channels."""

    def __init__(self, sources: Sequence[Source], page: int) -> None:
        self.sources, self.page = sources, page
        channels = sum(source.shape[2] for source in sources)
        self.shape, self.dtype = (*sources[0].shape[:2], channels), sources[0].dtype
        self.streamed = all(source.streamed for source in sources)

    @property
    def rows_at_once(self) -> int:
        if not self.streamed:
            return len(self)
        return whole_chunks(BAND // (self.shape[1] * self.shape[2] * self.dtype.itemsize))

    def window(self, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        parts = [source.window(self.page, r0, r1, c0, c1) for source in self.sources]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def whole_chunks(rows: int) -> int:
    """So many rows or fewer that tiles and chunks, whose sides are powers of 2, are read once."""
    return next((rows - rows % step for step in (1024, 512, 256, 64, 16) if rows >= step), 16)


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

    @property
    def rows_at_once(self) -> int:
        return min(source.rows_at_once for source in self.sources)

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


Pixels = np.ndarray | OnDisk  # a slice, held in memory or on disk
