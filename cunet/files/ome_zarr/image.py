"""Reading OME-Zarr: an image in chunks, of which only those are read that a window touches.

A page is one slice with all its channels, as in a TIFF: axes t and z are pages, c is channels.
"""

import math
from pathlib import Path

import numpy as np

from cunet.errors import CunetError, DataError
from cunet.files.image_file import ImageFile
from cunet.files.ome_zarr.array import Array
from cunet.files.ome_zarr.multiscales import Multiscales, entries, read_multiscales
from cunet.files.ome_zarr.nodes import Node, read_node
from cunet.files.ome_zarr.others import no_image
from cunet.files.ome_zarr.sizes import calibration_of
from cunet.terminal import plural

_LARGE_CHUNK = 256 << 20  # bytes


def open_ome_zarr(
    path: str | Path,
    level: int = 0,
    channel: int | None = None,
    time: int | None = None,
    sections: tuple[int, int] | None = None,
) -> "OmeZarrImage":
    """Opens an OME-Zarr image, of version 0.4 or 0.5, or a label image in one.

    level     its resolution, 0 is the finest
    channel   one of its channels, all by default
    time      one of its time points, all by default
    sections  (first, last + 1) of its slices, all by default

    Raises CunetError for a choice that the image does not have, and where the package zarr is
    missing; DataError where it is no such image or a damaged one.
    """
    return OmeZarrImage(Path(path), level, channel, time, sections)


class OmeZarrImage(ImageFile):
    """An OME-Zarr image open for reading; `open_image` and `open_ome_zarr` make it.

    version, name   of the image, as its metadata have them
    level, levels   the chosen resolution, 0 is the finest, and how many there are
    scale, units    of the axes of the chosen level, in the order of `array`
    translation     where the middle of the first voxel lies along z, y and x, in these units
    label           whether it is a label image
    array           the level's array; the order of its axes is `array_axes`, such as "czyx"
    first           the first of its slices, counted in `array`
    chunk           slices, rows and columns of what is compressed as one

    Several threads may read at once.
    """

    streamed = True

    def __init__(
        self,
        path: Path,
        level: int = 0,
        channel: int | None = None,
        time: int | None = None,
        sections: tuple[int, int] | None = None,
    ) -> None:
        self.path = path
        node = read_node(path)
        if node.kind != "group" or "multiscales" not in entries(node):
            raise no_image(node)
        found = read_multiscales(node)
        self.version, self.name, self.label = found.version, found.name, found.label
        self.levels, self.level = len(found.levels), level
        if not 0 <= level < self.levels:
            raise CunetError(f"'{path}' has levels 0 to {self.levels - 1}, not {level}")
        self.array_axes, self.units = found.axes, found.units
        self.array = _array(node, found, level)
        self._sizes = dict(zip(found.axes, self.array.shape, strict=True))
        self._choose("c", "channel", channel)
        self._choose("t", "time point", time)
        self._channel, self._time = channel, time
        self.first, last = self._sections(sections)
        self._set_layout(found, last)

    def _choose(self, axis: str, what: str, number: int | None) -> None:
        count = self._sizes.get(axis, 1)
        if number is not None and not 0 <= number < count:
            raise CunetError(
                f"'{self.path}' has {plural(count, what)}, counted from 0; there is no {number}"
            )

    def _sections(self, sections: tuple[int, int] | None) -> tuple[int, int]:
        count = self._sizes.get("z", 1)
        first, last = (0, count) if sections is None else sections
        if not 0 <= first < last <= count:
            raise CunetError(
                f"'{self.path}' has {plural(count, 'slice')}, counted from 0; there are no slices "
                f"{first} to {last - 1}"
            )
        return first, last

    def _set_layout(self, found: Multiscales, last: int) -> None:
        """Everything that the pages have in common."""
        place = found.levels[self.level]
        dtype = self.array.dtype
        self.dtype = np.dtype(np.uint8) if dtype.kind == "b" else dtype
        self.height, self.width = self._sizes["y"], self._sizes["x"]
        self.channels = 1 if self._channel is not None else self._sizes.get("c", 1)
        self._outer = {}
        if "t" in self._sizes and self._time is None:
            self._outer["T"] = self._sizes["t"]
        if "z" in self._sizes:
            self._outer["Z"] = last - self.first
        self.pages = math.prod(self._outer.values())
        channels = "C" if "c" in self._sizes and self._channel is None else ""
        self.axes = "T" * ("T" in self._outer) + channels + "Z" * ("Z" in self._outer) + "YX"
        self.scale = place.scale
        moved = dict(zip(found.axes, place.translation, strict=True))
        sizes = dict(zip(found.axes, place.scale, strict=True))
        depth = moved.get("z", 0.0) + self.first * sizes.get("z", 0.0)
        self.translation = (depth, moved["y"], moved["x"])
        chunks = dict(zip(found.axes, self.array.chunk, strict=True))
        self.chunk = (chunks.get("z", 1), chunks["y"], chunks["x"])
        self.calibration, notes = calibration_of(found.axes, place.scale, found.units)
        taken = math.prod(self.array.chunk) * dtype.itemsize
        if taken > _LARGE_CHUNK:
            notes.append(f"its chunks take {taken:,} bytes each: whole ones are held in memory")
        self.doubts, self.notes = found.doubts, (*notes, *found.doubts)

    @property
    def page_axes(self) -> tuple[tuple[str, int], ...]:
        return tuple(self._outer.items())

    def sample(self, page: int) -> np.ndarray:
        """Up to 8 x 8 small windows spread over a page (rows, 64, C): whole rows would touch every
        chunk of it."""
        height, width = min(64, self.height), min(64, self.width)
        rows, columns = (
            np.unique(np.linspace(0, whole - side, 8).astype(int)).tolist()
            for whole, side in ((self.height, height), (self.width, width))
        )
        return np.concatenate(
            [self.read_window(page, r, r + height, c, c + width) for r in rows for c in columns]
        )

    def _rows(self, page: int, r0: int, r1: int) -> np.ndarray:
        return self._window(page, r0, r1, 0, self.width)

    def _window(self, page: int, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        return self._block(page, page + 1, r0, r1, c0, c1)[0]

    def _block(self, p0: int, p1: int, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        """Pages of several time points are read one time point after the other."""
        depth = self._outer.get("Z", 1)
        parts = [np.empty((0, r1 - r0, c1 - c0, self.channels), self.dtype)]
        while p0 < p1:
            time, z = divmod(p0, depth)
            count = min(depth - z, p1 - p0)
            parts.append(self._slices(time, z, z + count, (r0, r1), (c0, c1)))
            p0 += count
        return parts[1] if len(parts) == 2 else np.concatenate(parts)

    def _slices(
        self, time: int, z0: int, z1: int, rows: tuple[int, int], columns: tuple[int, int]
    ) -> np.ndarray:
        """Slices z0 ... z1-1 of a time point (z1 - z0, rows, columns, C)."""
        time = time if self._time is None else self._time
        every = (0, self._sizes.get("c", 1))
        channels = every if self._channel is None else (self._channel, self._channel + 1)
        first = self.first
        box = {
            "t": (time, time + 1),
            "c": channels,
            "z": (first + z0, first + z1),
            "y": rows,
            "x": columns,
        }
        values = self.array[tuple(slice(*box[axis]) for axis in self.array_axes)]
        values = values.astype(self.dtype, copy=False)
        lengths = dict(zip(self.array_axes, values.shape, strict=True))
        values = values.reshape([lengths.get(axis, 1) for axis in "tczyx"])[0]
        if values.dtype.kind == "f":  # NaN may be of a kind with which every operation warns
            np.copyto(values, np.nan, where=np.isnan(values))
        return np.ascontiguousarray(np.moveaxis(values, 0, -1))

    def close(self) -> None:
        """Nothing is held open."""


def _array(node: Node, found: Multiscales, level: int) -> Array:
    """The array of a level, which must fit the image's metadata."""
    folder = node.folder / found.levels[level].path
    if not folder.is_dir():
        raise DataError(
            f"'{node.folder}' lacks the array of level {level}: there is no '{folder}'. Copy the "
            "image again, with all its folders."
        )
    array = Array(folder)
    said = ", ".join(found.axes)
    if len(array.shape) != len(found.axes):
        raise DataError(
            f"'{folder}' has {plural(len(array.shape), 'dimension')}; the metadata of "
            f"'{node.folder}' name {plural(len(found.axes), 'axis', 'axes')} ({said}). Save the "
            "image again."
        )
    names = array.names
    if names is not None and any(
        n is not None and n != a for n, a in zip(names, found.axes, strict=True)
    ):
        raise DataError(
            f"'{folder}' names its dimensions {', '.join(map(str, names))}; the metadata of "
            f"'{node.folder}' name the axes {said}. Save the image again."
        )
    if array.dtype.kind not in "buif" or array.dtype.hasobject:
        raise DataError(
            f"'{folder}' holds values of {array.dtype}; expected integers or real floating point."
        )
    if not all(array.shape):
        raise DataError(
            f"'{folder}' has no pixels: {' x '.join(map(str, array.shape))}. Save it again."
        )
    return array
