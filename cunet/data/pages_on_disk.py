"""Pages of image files that stay on disk. H W C: height, width and channels of a page."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from cunet.data.on_disk import OnDisk
from cunet.files import open_image
from cunet.files.image_file import ImageFile
from cunet.files.ome_zarr import OmeZarrImage

MAX_OPEN = 32  # files that are open at a time
BAND = 32 << 20  # bytes that are read at once where whole slices are gone through
TILE = (1, 256, 256)  # slices, rows and columns of what a file has compressed as one, or less


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
        self.chunk = image.chunk if isinstance(image, OmeZarrImage) else TILE

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

    def block(self, p0: int, p1: int, r0: int, r1: int) -> np.ndarray:
        """Rows of several pages of OME-Zarr, (p1 - p0, r1 - r0, W, C)."""
        return self._image.read_block(p0, p1, r0, r1, 0, self.shape[1])  # type: ignore[union-attr]

    def _keep(self) -> None:
        """Leave the file open, but one whose pages are decoded whole, which it would hold."""
        if not self.streamed:
            self.close()
            return
        with Source._list:
            Source._open[self] = None
            Source._open.move_to_end(self)
            for longest in [*Source._open][:-1] if len(Source._open) > MAX_OPEN else ():
                if len(Source._open) <= MAX_OPEN:
                    break
                if longest._lock.acquire(blocking=False):  # else it is being read: the next one
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

    def rows_at_once(self, slices: int = 1) -> int:
        if not self.streamed:
            return len(self)
        row = self.shape[1] * self.shape[2] * self.dtype.itemsize * slices
        high, rows = self.sources[0].chunk[1], BAND // row
        if rows >= high:
            return rows - rows % high
        return max(16, min(high, 4 * rows))  # a chunk that is cut is read again

    @property
    def group(self) -> tuple[Any, ...]:
        depth = self.sources[0].chunk[0]
        if depth == 1 or len(self.sources) > 1:
            return (self,)
        return self.sources[0], self.page // depth

    def stack(self, others: Sequence["Page"], r0: int, r1: int) -> list[np.ndarray]:
        if len(others) == 1:
            return [self[r0:r1]]
        pages = [other.page for other in others]  # some between them may be held out
        block = self.sources[0].block(min(pages), max(pages) + 1, r0, r1)
        return [block[page - min(pages)] for page in pages]

    def window(self, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        parts = [source.window(self.page, r0, r1, c0, c1) for source in self.sources]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
