"""The index of a shard: offset and length of each of its chunks, and a checksum.

They are little-endian numbers of 64 bits (*grid, 2), followed by their CRC-32C.
"""

import math
import struct

import numpy as np

ABSENT = 2**64 - 1  # offset and length of a chunk that is not there
_CHECKSUM = 4  # bytes


def index_size(grid: tuple[int, ...]) -> int:
    """Bytes of the index of a grid of chunks."""
    return 16 * math.prod(grid) + _CHECKSUM


def empty_index(grid: tuple[int, ...]) -> np.ndarray:
    """An index (*grid, 2) of chunks that are not there."""
    return np.full((*grid, 2), ABSENT, "<u8")


def packed(index: np.ndarray) -> bytes:
    """An index as a shard has it."""
    numbers = index.tobytes()
    return numbers + _crc32c(numbers)


def unpacked(data: bytes, grid: tuple[int, ...]) -> np.ndarray | None:
    """The index (*grid, 2) in a shard's bytes; None where they are none."""
    numbers = data[:-_CHECKSUM]
    if len(data) != index_size(grid) or _crc32c(numbers) != data[-_CHECKSUM:]:
        return None
    return np.frombuffer(numbers, "<u8").reshape(*grid, 2)


def _crc32c(data: bytes) -> bytes:
    try:  # one of the two comes with zarr
        import google_crc32c

        number = google_crc32c.value(data)
    except ImportError:
        import crc32c

        number = crc32c.crc32c(data)
    return struct.pack("<I", number)
