"""TIFF written in pieces: rows of pages in any order, memory that does not depend on the image.

The file is uncompressed and contiguous, pages x [channels x] height x width.
"""

import math
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
import tifffile
from numpy.typing import ArrayLike, DTypeLike

from cunet.files import display as displays
from cunet.files.atomic import Part
from cunet.files.calibration import Calibration, write_options
from cunet.files.descriptions import stored_text, writable
from cunet.files.disk import free_bytes, no_room, write_error

# Offsets of a classic TIFF have 32 bits; 32 MiB are left for its directories.
CLASSIC_BYTES = 2**32 - 2**25
_IMAGEJ_TYPES = (np.uint8, np.uint16, np.float32)


class TiffOutput:
    """A TIFF file that appears at `path` when all is written, and not at all if something fails.

    `pages` slices of `height` x `width`; with `channels` > 1 every slice has a plane per channel
    (axes ZCYX). `axes` are those of the pages and their lengths, (("Z", pages),) unless given. Up
    to 4 GB it is an ImageJ hyperstack if ImageJ knows the dtype and the order of the axes (TZC),
    beyond that a BigTIFF. `calibration` and `description` go into its metadata, and into those of
    ImageJ how it shows the values, `display`. Raises DeviceError, with the bytes needed and free,
    if the disk has no room, and CunetError if it cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        pages: int,
        height: int,
        width: int,
        dtype: DTypeLike,
        channels: int = 1,
        calibration: Calibration | None = None,
        description: str = "",
        axes: Sequence[tuple[str, int]] | None = None,
        display: displays.Display | None = None,
    ) -> None:
        self.path = Path(path)
        self.dtype = np.dtype(dtype)
        self.pages, self.height, self.width, self.channels = pages, height, width, channels
        self.display = display
        if min(pages, height, width, channels) < 1:
            raise ValueError(f"'{self.path}': {pages=}, {height=}, {width=}, {channels=}; all >= 1")
        axes = [*(axes or [("Z", pages)])]
        if math.prod(size for _, size in axes) != pages:
            raise ValueError(f"'{self.path}': {pages=} are not {axes=}")
        self._bytes = math.prod((pages, channels, height, width)) * self.dtype.itemsize
        self.big = self._bytes > CLASSIC_BYTES  # then it is a BigTIFF
        self._part: Part | None = Part(self.path, self._bytes)
        try:
            if self._bytes > free_bytes(self.path):
                raise no_room(self.path, self._bytes)
            try:
                self._offset = self._create(self._part.file, axes, calibration, description)
            except (ValueError, TypeError, ArithmeticError, struct.error):
                # a size or unit that no tag can hold: it is decoration, the pixels are not
                self._part.file.seek(0)
                self._part.file.truncate()
                self._offset = self._create(self._part.file, axes, None, description)
            if hasattr(os, "posix_fallocate"):  # a full disk shows now, not after hours
                os.posix_fallocate(self._part.file.fileno(), self._offset, self._bytes)
        except OSError as error:
            self.abort()
            raise write_error(error, self.path, self._bytes) from error
        except BaseException:
            self.abort()
            raise

    def _create(
        self,
        file: IO[bytes],
        axes: list[tuple[str, int]],
        calibration: Calibration | None,
        description: str,
    ) -> int:
        """Writes the directories around a hole for the pixels; returns the hole's offset."""
        named = "".join(axis for axis, _ in axes)
        imagej = not self.big and self.dtype in _IMAGEJ_TYPES and named in ("T", "Z", "TZ")
        shape = [*(size for _, size in axes), self.height, self.width]
        if self.channels > 1:
            named, shape = named + "C", [*shape[:-2], self.channels, *shape[-2:]]
        keywords, metadata = write_options(calibration, imagej)
        metadata["axes"] = named + "YX"
        if imagej:
            planes = self.pages * self.channels
            more, shown = displays.write_options(self.display, planes, self.channels)
            keywords, metadata = keywords | more, metadata | shown
        if description and imagej:
            metadata["Info"] = writable(description)
        elif description:  # a plain TIFF's description is ASCII
            keywords["description"] = stored_text(description)
        with tifffile.TiffWriter(file, bigtiff=self.big, imagej=imagej) as writer:
            offset, _ = writer.write(  # type: ignore[misc]  # a pair, with returnoffset
                None,
                shape=tuple(shape),
                dtype=self.dtype,
                photometric="minisblack",
                metadata=metadata,
                returnoffset=True,
                **keywords,
            )
        return offset

    def write_rows(self, page: int, r0: int, block: ArrayLike) -> None:
        """Writes rows r0, r0 + 1, ... of a page; `block` is (rows, W), or (rows, W, K channels).

        The block has the dtype of the file: nothing is converted unasked.
        """
        if self._part is None:
            raise ValueError(f"'{self.path}' is closed")
        file = self._part.file
        block = np.asarray(block)
        planes = block[None] if block.ndim == 2 else np.moveaxis(block, -1, 0)
        rows = planes.shape[1] if planes.ndim == 3 else 0
        if planes.shape != (self.channels, rows, self.width) or block.dtype != self.dtype:
            raise ValueError(
                f"'{self.path}' takes blocks (rows, {self.width}, {self.channels}) of "
                f"{self.dtype}, got {block.shape} of {block.dtype}"
            )
        if not (0 <= page < self.pages and 0 <= r0 and r0 + rows <= self.height):
            raise ValueError(
                f"'{self.path}' has {self.pages} pages of {self.height} rows: no page {page}, "
                f"rows {r0} to {r0 + rows}"
            )
        try:
            for k, plane in enumerate(planes):
                row = (page * self.channels + k) * self.height + r0
                file.seek(self._offset + row * self.width * self.dtype.itemsize)
                file.write(np.ascontiguousarray(plane).data)
        except OSError as error:
            self.abort()
            raise write_error(error, self.path, self._bytes) from error

    def close(self) -> None:
        """Syncs the file to the disk and gives it its name; a second close does nothing."""
        if self._part is not None:
            part, self._part = self._part, None
            part.publish()

    def abort(self) -> None:
        """Removes what was written; `path` stays as it was."""
        if self._part is not None:
            self._part.discard()
            self._part = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()
