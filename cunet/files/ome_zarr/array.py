"""An array of a zarr store: boxes of it are read and written like those of a NumPy array."""

from pathlib import Path
from typing import Any

import numpy as np

from cunet.errors import CunetError, DataError, machine_failed, no_memory, of_system
from cunet.files.disk import write_error
from cunet.files.ome_zarr.boxes import Box
from cunet.files.ome_zarr.chunks import damaged
from cunet.files.ome_zarr.layouts import chunks_of
from cunet.files.ome_zarr.library import quiet_zarr
from cunet.files.ome_zarr.nodes import Node, read_node

Place = slice | tuple[slice, ...]


class Array:
    """An array on disk, open for reading and, with `writable`, for writing.

    path   its folder
    shape, dtype   of the array, in the machine's byte order
    chunk  shape of what is compressed as one
    file   shape of what one file holds, a shard or a chunk: no two writers may share one
    names  of its dimensions, or None

        part = array[0:1, 512:1024, 0:512]
        array[0:1, 0:1024, 0:1024] = block  # whole files are replaced without being read

    Several threads may read and write it at once, if no two write into one file.
    """

    def __init__(self, path: Path, writable: bool = False) -> None:
        self.path, self.writable = path, writable
        node = read_node(path)
        if node.kind != "array":
            raise DataError(
                f"'{path}' is a zarr group; expected an array. The image's metadata name another "
                "place: save the image again."
            )
        self._zarr = _opened(node, writable)
        self.shape = tuple(int(n) for n in self._zarr.shape)
        self.dtype = np.dtype(self._zarr.dtype).newbyteorder("=")
        self.chunk = tuple(int(n) for n in self._zarr.chunks)
        self.file = tuple(int(n) for n in getattr(self._zarr, "shards", None) or self.chunk)
        names = getattr(self._zarr.metadata, "dimension_names", None)
        self.names = None if names is None else tuple(names)
        self.chunks = chunks_of(node, self.shape, self._zarr.fill_value)
        every = [self.chunk, self.file]
        if self.chunks is not None:  # as the metadata have them, zarr is lenient
            every += [self.chunks.chunk, self.chunks.file]
        for sizes in every:
            if len(sizes) != len(self.shape) or not all(type(n) is int and n > 0 for n in sizes):
                raise DataError(
                    f"'{path}' has chunks of {sizes}; expected {len(self.shape)} whole numbers "
                    "from 1. Save the image again."
                )

    def __getitem__(self, place: Place) -> np.ndarray:
        """The values in a box, in a new array."""
        box = self._box(place)
        if self.chunks is not None:
            return self.chunks.read(box)
        try:
            found = self._zarr[tuple(slice(a, b) for a, b in box)]
        except MemoryError as error:
            raise no_memory(self.path) from error
        except Exception as error:  # each codec has its own errors
            if machine_failed(error):
                raise of_system(error, f"cannot read '{self.path}'") from error
            raise damaged(self.path, f"in {_said(box)}: {error}") from error
        return np.asarray(found).astype(self.dtype, copy=False)

    def __setitem__(self, place: Place, values: Any) -> None:
        """Replace the values in a box: each file whole or not at all."""
        box = self._box(place)
        if not self.writable:
            raise CunetError(f"'{self.path}' is open for reading only")
        block = np.broadcast_to(np.asarray(values), tuple(b - a for a, b in box))
        if block.dtype != self.dtype:
            raise ValueError(f"'{self.path}' holds {self.dtype}, not {block.dtype}")
        if self.chunks is not None and self.chunks.fits(box):
            self.chunks.write(box, block)
            return
        try:
            self._zarr[tuple(slice(a, b) for a, b in box)] = block
        except OSError as error:
            raise write_error(error, self.path, block.nbytes) from error

    def sync(self, place: Place = ()) -> None:
        """Wait until the files of a box are on the disk: a power cut does not lose them."""
        if self.chunks is not None:
            self.chunks.sync(self._box(place))

    def _box(self, place: Place) -> Box:
        place = place if isinstance(place, tuple) else (place,)
        missing = len(self.shape) - len(place)
        if missing < 0 or not all(isinstance(s, slice) and s.step in (None, 1) for s in place):
            raise ValueError(
                f"'{self.path}' is read and written in boxes, at most {len(self.shape)} slices "
                f"without steps; found {place}"
            )
        box = []
        for s, size in zip((*place, *[slice(None)] * missing), self.shape, strict=True):
            first, end = 0 if s.start is None else s.start, size if s.stop is None else s.stop
            if not 0 <= first <= end <= size:
                raise ValueError(
                    f"'{self.path}' of {' x '.join(map(str, self.shape))} has no part "
                    f"{first} to {end} of {size}"
                )
            box.append((first, end))
        return tuple(box)


def _opened(node: Node, writable: bool) -> Any:
    """zarr's array. Raises DataError where zarr does not accept the metadata."""
    with quiet_zarr() as zarr:
        try:
            return zarr.open_array(
                str(node.folder), mode="r+" if writable else "r", zarr_format=node.format
            )
        except MemoryError:
            raise
        except Exception as error:
            if machine_failed(error):
                raise of_system(error, f"cannot read '{node.folder}'") from error
            raise DataError(
                f"'{node.folder}': its metadata describe no array that zarr {zarr.__version__} "
                f"reads ({type(error).__name__}: {error}). Save the image again."
            ) from error


def _said(box: Box) -> str:
    return ", ".join(f"{a}:{b}" for a, b in box)
