"""The files in which an array's values lie: read and written one by one, without zarr's machinery.

A chunk is a block of the array, compressed, and a file by itself. A shard is a file of several
chunks, one after the other, with an index behind or before them. What is not there has the fill
value.

zarr would do the same with an event loop and a thread for every chunk, which costs as much again as
the compression, and would read a shard before it replaces it.
"""

import math
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from cunet.errors import DataError, machine_failed, no_memory, of_system
from cunet.files.atomic import sync_folder
from cunet.files.disk import write_error
from cunet.files.ome_zarr.boxes import Box, cut, places, start_of, within
from cunet.files.ome_zarr.shard_index import ABSENT, empty_index, index_size, packed, unpacked


@dataclass(frozen=True)
class Chunks:
    """The files of an array.

    folder  of the array
    shape   of the array
    chunk   shape of what is compressed as one
    file    shape of what one file holds: of a shard, or of the chunk itself
    sharded whether files are shards
    stored  the dtype, with its byte order
    fill    the value where nothing was written
    codecs  numcodecs' compressors, in the order of writing
    prefix, separator   of the names of files, such as c/0/1/2 or 0.1.2
    index_first  whether the index stands before the chunks of a shard
    """

    folder: Path
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    file: tuple[int, ...]
    sharded: bool
    stored: np.dtype
    fill: Any
    codecs: tuple[Any, ...]
    prefix: str
    separator: str
    index_first: bool = False

    def path(self, place: tuple[int, ...]) -> Path:
        """The file at a place in the grid of files."""
        return self.folder / (self.prefix + self.separator.join(map(str, place)))

    @property
    def _grid(self) -> tuple[int, ...]:
        """The grid of a shard's chunks."""
        return tuple(n // c for n, c in zip(self.file, self.chunk, strict=True))

    def fits(self, box: Box) -> bool:
        """Whether a box ends where files end, or the array does."""
        return all(
            a % n == 0 and (b % n == 0 or b == size)
            for (a, b), n, size in zip(box, self.file, self.shape, strict=True)
        )

    # Reading

    def read(self, box: Box) -> np.ndarray:
        """The values in a box. Raises DataError for a damaged file."""
        out = np.empty([b - a for a, b in box], self.stored.newbyteorder("="))
        if out.size:
            for place in places(box, self.file):
                start = start_of(place, self.file)
                try:
                    with open(self.path(place), "rb", buffering=0) as file:
                        self._read_file(file, self.path(place), start, box, out)
                except FileNotFoundError:
                    _paste(None, self.fill, start, self.file, box, out)
                except OSError as error:
                    raise of_system(error, f"cannot read '{self.path(place)}'") from error
        return out

    def _read_file(
        self, file: IO[bytes], path: Path, start: list[int], box: Box, out: np.ndarray
    ) -> None:
        if not self.sharded:
            _paste(self._decode(file.read(), path), self.fill, start, self.chunk, box, out)
            return
        end = file.seek(0, os.SEEK_END)
        index = self._read_index(file, path, end)
        for inner in places(cut(box, start, self.file), self.chunk):
            offset, length = (int(n) for n in index[inner])
            piece = None
            if not offset == length == ABSENT:
                if offset + length > end:
                    raise damaged(path, f"a chunk ends at byte {offset + length:,} of {end:,}")
                file.seek(offset)
                piece = self._decode(file.read(length), path)
            here = [s + i * n for s, i, n in zip(start, inner, self.chunk, strict=True)]
            _paste(piece, self.fill, here, self.chunk, box, out)

    def _read_index(self, file: IO[bytes], path: Path, end: int) -> np.ndarray:
        size = index_size(self._grid)
        file.seek(0 if self.index_first else max(end - size, 0))
        index = unpacked(file.read(size), self._grid)
        if index is None:
            raise damaged(path, "the index of its chunks is not valid")
        return index

    def _decode(self, data: Any, path: Path) -> np.ndarray:
        try:
            for codec in reversed(self.codecs):
                data = codec.decode(data)
            values = np.frombuffer(data, self.stored)
            if values.size != math.prod(self.chunk):
                raise ValueError(f"{values.size:,} values, expected {math.prod(self.chunk):,}")
            return values.reshape(self.chunk)
        except MemoryError as error:
            raise no_memory(path) from error
        except Exception as error:  # each codec has its own errors
            if machine_failed(error):
                raise
            raise damaged(path, str(error)) from error

    # Writing

    def write(self, box: Box, block: np.ndarray) -> None:
        """Replace the files that make up a box, each whole or not at all; see `fits`.

        Chunks of nothing but the fill value are left out, and files without a chunk removed.
        """
        for place in places(box, self.file):
            data = self._encode_file(start_of(place, self.file), box, block)
            path = self.path(place)
            try:
                if data:
                    _replace(path, data)
                else:
                    path.unlink(missing_ok=True)
            except OSError as error:
                raise write_error(error, path, sum(map(len, data))) from error

    def sync(self, box: Box) -> None:
        """Wait until the files of a box are on the disk: a power cut does not lose them."""
        paths = [self.path(place) for place in places(box, self.file)]
        try:
            for path in paths:
                with suppress(FileNotFoundError):  # nothing but the fill value
                    with open(path, "r+b") as file:  # Windows syncs what is open for writing
                        os.fsync(file.fileno())
            for folder in {path.parent for path in paths if path.parent.is_dir()}:
                sync_folder(folder)
        except OSError as error:
            raise write_error(error, self.folder) from error

    def _encode_file(self, start: list[int], box: Box, block: np.ndarray) -> list[Any]:
        """The bytes of a file in pieces; none where it has the fill value alone."""
        if not self.sharded:
            data = self._encode(start, box, block)
            return [] if data is None else [data]
        index, pieces = empty_index(self._grid), []
        offset = index_size(self._grid) if self.index_first else 0
        for inner in np.ndindex(*self._grid):
            here = [s + i * n for s, i, n in zip(start, inner, self.chunk, strict=True)]
            data = self._encode(here, box, block)
            if data is not None:
                index[inner] = offset, len(data)
                pieces.append(data)
                offset += len(data)
        if not pieces:
            return []
        return [packed(index), *pieces] if self.index_first else [*pieces, packed(index)]

    def _encode(self, start: list[int], box: Box, block: np.ndarray) -> Any:
        """The bytes of the chunk that begins there; None where it has the fill value alone."""
        inside = cut(box, start, self.chunk)
        if any(a >= b for a, b in inside):  # beyond the end of the array
            return None
        piece = block[within(box, start, inside)]
        if not (piece != self.fill).any():
            return None
        if piece.shape != self.chunk:
            chunk = np.full(self.chunk, self.fill, self.stored)
            chunk[tuple(slice(a, b) for a, b in inside)] = piece
            piece = chunk
        data: Any = np.ascontiguousarray(piece, self.stored)
        for codec in self.codecs:
            data = codec.encode(data)
        return data.tobytes() if isinstance(data, np.ndarray) else data


def damaged(path: Path, why: str) -> DataError:
    """The error for a file of chunks that cannot be decoded."""
    return DataError(
        f"'{path}' is damaged or truncated: {why}. Copy this file again, or make the image again."
    )


def _paste(
    piece: np.ndarray | None,
    fill: Any,
    start: list[int],
    size: tuple[int, ...],
    box: Box,
    out: np.ndarray,
) -> None:
    """Put what of a block lies in the box into out, the values of the box."""
    inside = cut(box, start, size)
    out[within(box, start, inside)] = (
        fill if piece is None else piece[tuple(slice(a, b) for a, b in inside)]
    )


def _replace(path: Path, pieces: list[Any]) -> None:
    """Write a file under a hidden name of its own and rename it."""
    hidden = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.part")
    try:
        try:
            file = open(hidden, "xb", buffering=0)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(hidden, "xb", buffering=0)
        with file:
            for data in pieces:
                view = memoryview(data)
                while view.nbytes:  # a raw file may take a part
                    view = view[file.write(view) :]
        os.replace(hidden, path)
    except BaseException:
        with suppress(OSError):
            hidden.unlink(missing_ok=True)
        raise
