"""The directories of a TIFF, counted before anything believes them.

tifffile follows a chain of directories that runs in a circle until memory ends, and reads the same
bytes once for every directory that points to them. What is counted here can be read in a time and
memory that grow with the size of the file alone.
"""

import os
import struct
from pathlib import Path

import numpy as np

from cunet.errors import DataError
from cunet.terminal import plural

_MOST_TAGS = 4096  # of one directory
_MOST_SUBDIRECTORIES = 256  # the levels of a pyramid are a dozen
_SUBDIRECTORIES = 330  # the tag that lists them
# What tells pixels from bytes. tifffile takes the usual value where one of them is broken.
_NEEDED = [256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 338, 339]
_MAY_BE_EMPTY = [338, 339]  # samples beyond the colours, and their format: as if they were absent
# Bytes of one value by TIFF's number of its type; unknown types have no values.
_SIZES = np.array([0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8, *[0] * 237])

_FRACTIONS = [5, 10, 11, 12]  # rationals and floats


def count_directories(path: Path) -> int:
    """The number of directories in the chain, >= 1.

    Raises DataError for a chain that leaves the file or comes back to itself, and for directories
    that together hold more than the file.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        layout = _Layout(file.read(16), path)
        at, found, values, own = layout.first, set[int](), 0.0, 0
        while at:
            file.seek(min(at, size))
            head = file.read(layout.head.size)
            (tags,) = layout.head.unpack(head) if len(head) == layout.head.size else (0,)
            block = file.read(tags * layout.tag.itemsize) if tags <= _MOST_TAGS else b""
            end = file.read(layout.next.size)
            if len(block) < tags * layout.tag.itemsize or len(end) < layout.next.size or not tags:
                raise DataError(
                    f"'{path}' is a truncated TIFF: after {plural(len(found), 'page')} it "
                    "points beyond "
                    "its end or to what is no page. Copy or save it again."
                )
            found.add(at)
            entries = np.frombuffer(block, layout.tag)
            bytes_of = _SIZES[np.minimum(entries["type"], 255)] * entries["count"].astype(float)
            values += bytes_of[bytes_of <= size].sum()
            broken = layout.broken(entries, bytes_of, size)
            if len(broken):
                _refuse(path, f"on page {len(found) - 1} the value of tag {broken[0]} is not sound")
            own += len(head) + len(block) + len(end)
            levels = entries["count"][entries["code"] == _SUBDIRECTORIES].sum()
            (at,) = layout.next.unpack(end)
            if at in found:
                _refuse(path, f"the chain of its pages comes back to itself after {len(found)}")
            if own > size or values > 4 * size + 2**24:
                _refuse(path, f"its first {len(found)} pages lie over each other")
            if levels > _MOST_SUBDIRECTORIES:
                _refuse(path, f"page {len(found) - 1} claims {levels:,} pages below it")
        if not found:
            _refuse(path, "it has no page")
        return len(found)


class _Layout:
    """How a TIFF stores directories: byte order, and offsets of 4 or 8 bytes."""

    def __init__(self, start: bytes, path: Path):
        order = "<" if start[:2] == b"II" else ">"
        big = start[2:4] in (b"+\0", b"\0+")
        if len(start) < (16 if big else 8):
            raise DataError(f"'{path}' is a truncated TIFF of {len(start)} bytes. Copy it again.")
        count = "u8" if big else "u4"
        fields = [("code", "u2"), ("type", "u2"), ("count", count), ("value", count)]
        self.tag = np.dtype([(name, order + kind) for name, kind in fields])
        self.head = struct.Struct(order + ("Q" if big else "H"))
        # Hamamatsu's format, which tifffile knows by the name, has longer offsets between pages
        long = big or (path.suffix.lower() == ".ndpi" and order == "<")
        self.next = struct.Struct(order + ("Q" if long else "I"))
        self._inside = 8 if big else 4 if not long else None
        at = 8 if big else 4
        start = start.ljust(16, b"\0")
        (self.first,) = self.next.unpack(start[at : at + self.next.size])

    def broken(self, entries: np.ndarray, bytes_of: np.ndarray, size: int) -> np.ndarray:
        """The tags needed for pixels whose values are no whole numbers, or lie beyond the file."""
        empty = (entries["count"] == 0) & np.isin(entries["code"], _MAY_BE_EMPTY)
        wrong = ((bytes_of == 0) & ~empty) | np.isin(entries["type"], _FRACTIONS)
        if self._inside is not None:
            outside = bytes_of > self._inside
            wrong |= outside & (entries["value"].astype(float) + bytes_of > size)
        return entries["code"][wrong & np.isin(entries["code"], _NEEDED)]


def _refuse(path: Path, why: str) -> None:
    raise DataError(f"'{path}' is a damaged TIFF: {why}. Save it again.")
