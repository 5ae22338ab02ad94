"""Reading TIFF: the metadata names the axes, the strips or tiles hold the rows.

A page of the image is one slice with all its channels. Samples within a pixel (axis S) and channels
of an ImageJ or OME hyperstack (axis C) are channels; Z, T, and the nameless axis of a plain
multi-page file (I, Q) are pages; an axis of length 1 says nothing. Anything else is refused.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile

from cunet.errors import DataError, DeviceError, machine_failed, of_system
from cunet.files.calibration import read_calibration
from cunet.files.image_file import ImageFile
from cunet.files.tiff_damage import check_pages, contiguous, damage_refused, packed_bytes
from cunet.files.tiff_directories import count_directories
from cunet.files.tiff_stack import only_stack
from cunet.terminal import plural

_PAGE_AXES = "IQZT"
_LITTLE = 1 << 24  # bytes, which no machine lacks
_GDAL_NODATA = 42113  # tag of geographic images: the value of pixels that hold none
_ALPHA = (1, 2)  # ExtraSamples: associated and unassociated alpha


class _Window(NamedTuple):
    """Rows r0 ... r1-1 and columns c0 ... c1-1 of a page."""

    r0: int
    r1: int
    c0: int
    c1: int


class TiffImage(ImageFile):
    """A TIFF file open for reading; `open_image` makes it.

    From an uncompressed page only the rows asked for are read, from others the strips or tiles that
    hold the window. Where one compressed strip or tile spans the page, `streamed` is False
    and the last page read is kept. Raises DataError for a damaged file and for other contents.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: tuple[int, np.ndarray] | None = None
        with damage_refused(path):
            directories = count_directories(path)
            self._tif = tifffile.TiffFile(path)
        try:
            with damage_refused(path):
                self._stack = only_stack(self._tif, path, directories)
                self._set_layout(check_pages(self._tif, self._stack, path))
        except BaseException:
            self.close()
            raise

    def _set_layout(self, notes: list[str]) -> None:
        """Finds the axes and everything that the whole file has in common."""
        stack, key = self._stack, self._stack.keyframe
        axes, shape = stack.axes, stack.shape
        outer = axes.removesuffix("S").removesuffix("YX").removesuffix("S")
        inner = axes[len(outer) :]
        known = all(a in _PAGE_AXES + "C" for a in outer) and len(set(outer)) == len(outer)
        if inner not in ("YX", "YXS", "SYX") or not known or ("C" in outer and "S" in inner):
            raise DataError(
                f"'{self.path}' has axes {axes} of {shape}; expected pages (Z, T), channels (C or "
                "S), rows Y and columns X. Save it as an ImageJ or OME TIFF with these axes."
            )
        dtype = stack.dtype
        if dtype is None or dtype.kind not in "buif" or key.imagedepth != 1:
            found = dtype or f"{key.bitspersample} bits, sample format {key.sampleformat}"
            raise DataError(
                f"'{self.path}' holds pixels of {found}; expected integers or real floating point "
                "in two dimensions per page."
            )
        self.axes = axes
        self.dtype = np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("=")
        self.white = 2 ** min(8, key.bitspersample) - 1
        self.height, self.width = shape[axes.index("Y")], shape[axes.index("X")]
        self._outer = {a: n for a, n in zip(outer, shape, strict=False)}
        self.pages = math.prod(n for a, n in self._outer.items() if a != "C")
        self._samples = shape[axes.index("S")] if "S" in inner else 1
        self._planar = inner == "SYX"
        self.channels = self._outer.get("C", self._samples)
        self.calibration, left_out = read_calibration(self._tif, key, stack.kind)
        notes += left_out
        doubts = [*stack.doubts]
        extra = tuple(int(e) for e in key.extrasamples)
        if extra and extra[-1] in _ALPHA and "S" in inner:
            self.channels -= 1
            notes.append(f"alpha channel dropped, {plural(self.channels, 'channel')} kept")
        if key.photometric == tifffile.PHOTOMETRIC.PALETTE:
            doubts.append("colour table ignored: the stored values are read")
        if key.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            doubts.append("marked white-is-zero: the stored values are read, not inverted")
        self.no_data = _number(key.tags.valueof(_GDAL_NODATA))
        self.streamed = stack.dataoffset is not None or all(
            k.is_final or (k.tilelength if k.is_tiled else k.rowsperstrip) < self.height
            for k in {id(page.keyframe): page.keyframe for page in stack.pages}.values()
        )
        if not self.streamed:
            notes.append("one compressed piece per page: a whole page is held in memory")
        self.doubts, self.notes = tuple(doubts), (*notes, *doubts)

    @property
    def page_axes(self) -> tuple[tuple[str, int], ...]:
        return tuple((axis, size) for axis, size in self._outer.items() if axis != "C")

    @property
    def _stored(self) -> np.dtype:
        return np.dtype(self._stack.dtype).newbyteorder(self._tif.byteorder)

    def _rows(self, page: int, r0: int, r1: int) -> np.ndarray:
        return self._window(page, r0, r1, 0, self.width)

    def _window(self, page: int, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        if self.streamed:
            return self._read(page, _Window(r0, r1, c0, c1))
        if self._kept is None or self._kept[0] != page:
            self._kept = None  # before the next page is read: never two in memory
            self._kept = (page, self._read(page, _Window(0, self.height, 0, self.width)))
        return self._kept[1][r0:r1, c0:c1].copy()

    def _read(self, page: int, window: _Window) -> np.ndarray:
        r0, r1, c0, c1 = window
        try:
            rows = np.empty((r1 - r0, c1 - c0, self.channels), self.dtype)
            if "C" in self._outer:
                for c in range(self.channels):
                    self._read_plane(self._plane(page, c), window, rows[..., c : c + 1])
            else:
                self._read_plane(page, window, rows)
        except MemoryError as error:
            needed = (r1 - r0) * (c1 - c0) * self.channels * self.dtype.itemsize
            needed += packed_bytes(self._stack.keyframe)[1]
            if needed < _LITTLE:
                raise DataError(
                    f"'{self.path}': page {page} cannot be decoded: it asks for far more memory "
                    f"than its pixels take ({needed:,} bytes). Save it again."
                ) from error
            raise DeviceError(
                f"no memory for '{self.path}': {r1 - r0} rows of page {page} need {needed:,} "
                "bytes at once. Save it in strips or tiles, or cut it."
            ) from error
        except Exception as error:  # each codec has its own errors
            if machine_failed(error):
                raise of_system(error, f"cannot read '{self.path}'") from error
            raise DataError(f"'{self.path}': page {page} cannot be decoded: {error}") from error
        if rows.dtype.kind == "f":  # NaN may be of a kind with which every operation warns
            np.copyto(rows, np.nan, where=np.isnan(rows))
        return rows

    def _plane(self, page: int, channel: int) -> int:
        """The place of a channel of a page among the TIFF's planes, whatever their order."""
        others = [n for a, n in self._outer.items() if a != "C"]
        index = [int(i) for i in np.unravel_index(page, others)] if others else []
        index.insert(list(self._outer).index("C"), channel)
        return int(np.ravel_multi_index(index, list(self._outer.values())))

    def _read_plane(self, plane: int, window: _Window, out: np.ndarray) -> None:
        """A window of one TIFF page into out (its rows, its columns, samples kept)."""
        stack = self._stack
        if stack.dataoffset is not None:
            pixels = self.height * self.width * self._samples
            self._read_raw(stack.dataoffset + plane * pixels * self._stored.itemsize, window, out)
            return
        page: Any = stack.pages[plane]  # check_pages has found every one
        if contiguous(page):
            self._read_raw(page.dataoffsets[0], window, out)
            return
        kept = out.shape[2]
        r0, r1, c0, c1 = window
        for data, (sample, _, y, x, _), (_, h, w, _) in self._segments(page, window):
            top, bottom, left, right = max(y, r0), min(y + h, r1), max(x, c0), min(x + w, c1)
            s = slice(sample, sample + 1) if self._planar else slice(0, kept)
            if sample < kept and top < bottom and left < right:  # tiles stick out at the edges
                here = out[top - r0 : bottom - r0, left - c0 : right - c0, s]
                if data is None:  # a piece never written
                    here[...] = page.keyframe.nodata
                else:
                    piece = data[0, top - y : bottom - y, left - x : right - x]
                    here[...] = piece[..., : here.shape[2]]

    def _read_raw(self, offset: int, window: _Window, out: np.ndarray) -> None:
        """Uncompressed rows straight from the file, cut to the window; out as in _read_plane."""
        r0, r1, c0, c1 = window
        file, item = self._tif.filehandle, self._stored.itemsize
        planes, samples = (self._samples, 1) if self._planar else (1, self._samples)
        line = self.width * samples
        for s in range(min(planes, out.shape[2])):
            start = offset + (s * self.height + r0) * line * item
            block = file.read_array(self._stored, (r1 - r0) * line, offset=start)
            block = block.reshape(r1 - r0, self.width, samples)[:, c0:c1]
            if self._planar:
                out[..., s] = block[..., 0]
            else:
                out[...] = block[..., : out.shape[2]]

    def _segments(self, page: Any, window: _Window) -> Iterator[tuple]:
        """The decoded strips or tiles that hold a window, as tifffile's `segments` yields them."""
        key = page.keyframe
        rows, columns = min(key.rowsperstrip, self.height), self.width
        if key.is_tiled:
            rows, columns = key.tilelength, key.tilewidth
        down, across = -(-self.height // rows), -(-self.width // columns)
        r0, r1, c0, c1 = window
        places = [
            (s * down + y) * across + x
            for s in range(min(self._samples, self.channels) if self._planar else 1)
            for y in range(r0 // rows, -(-r1 // rows))
            for x in range(c0 // columns, -(-c1 // columns))
        ]
        options: dict = {"_fullsize": False}
        if key.compression in (6, 7, 34892, 33007):  # the kinds of JPEG share tables in the header
            options |= {"jpegtables": page.jpegtables, "jpegheader": key.jpegheader}
        pieces = self._tif.filehandle.read_segments(
            [page.dataoffsets[i] for i in places],
            [page.databytecounts[i] for i in places],
            places,
        )
        for data, index in pieces:
            yield key.decode(data, index, **options)

    @property
    def white_is_zero(self) -> bool:
        key = self._stack.keyframe
        return bool(key.photometric == tifffile.PHOTOMETRIC.MINISWHITE)

    def colour_table(self) -> np.ndarray | None:
        key = self._stack.keyframe
        colours = np.asarray(key.colormap) if key.colormap is not None else np.zeros(0)
        if key.photometric != tifffile.PHOTOMETRIC.PALETTE or colours.shape[:1] != (3,):
            return None
        return (colours.reshape(3, -1).T.astype(np.uint16) >> 8).astype(np.uint8)

    def close(self) -> None:
        self._kept = None
        self._tif.close()


def _number(text: object) -> float | None:
    """The number in a text; None where it is none."""
    try:
        return float(str(text))
    except ValueError:
        return None
