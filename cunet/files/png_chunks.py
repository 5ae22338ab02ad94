"""The chunks of a PNG, of which only those that hold the picture are decoded."""

import os
import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

PNG = b"\x89PNG\r\n\x1a\n"
_PICTURE = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_MOST_TEXT = 2**20  # bytes of any other chunk that are read


def chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """(kind, data) of the chunks of a PNG; of one that is too long, or is IDAT, b""."""
    with open(path, "rb") as file:
        for kind, at, size in _places(file):
            file.seek(at)
            yield kind, file.read(size) if size <= _MOST_TEXT and kind != b"IDAT" else b""


def data_bytes(path: Path) -> int:
    """The bytes of compressed pixels that a PNG holds."""
    with open(path, "rb") as file:
        return sum(size for kind, _, size in _places(file) if kind == b"IDAT")


def picture_alone(path: Path) -> BytesIO:
    """The PNG without the chunks that hold no pixels: texts and profiles may be of any size."""
    kept = BytesIO(PNG)
    kept.seek(len(PNG))
    with open(path, "rb") as file:
        for kind, at, size in _places(file):
            if kind in _PICTURE:
                file.seek(at - 8)
                kept.write(file.read(size + 12))
    kept.seek(0)
    return kept


def _places(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """(kind, offset of the data, bytes of it) of every chunk; a cut one has what is left of it."""
    end, at, kind = os.fstat(file.fileno()).st_size, len(PNG), b""
    while at + 8 <= end and kind != b"IEND":
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        yield kind, at + 8, min(size, end - at - 8)
        at += size + 12
