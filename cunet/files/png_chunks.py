"""The chunks of a PNG, of which only those that hold the picture are decoded."""

import os
import struct
import zlib
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
    """The PNG without the chunks that hold no pixels: texts and profiles may be of any size.

    Raises ValueError where a check sum is wrong, which Pillow does not look at.
    """
    kept, inflate = BytesIO(PNG), zlib.decompressobj()
    kept.seek(len(PNG))
    with open(path, "rb") as file:
        for kind, at, size in _places(file):
            if kind not in _PICTURE:
                continue
            file.seek(at - 8)
            chunk = file.read(size + 12)
            if zlib.crc32(chunk[4:-4]).to_bytes(4) != chunk[-4:]:
                raise ValueError(f"the check sum of its {kind.decode()} chunk is wrong")
            kept.write(chunk)
            if kind == b"IDAT":
                _check(inflate, chunk[8:-4])
    if not inflate.eof:
        raise ValueError("its pixels end too early")
    kept.seek(0)
    return kept


def _check(inflate: "zlib._Decompress", data: bytes) -> None:
    """Decompress a piece of the pixels for their check sum alone, and keep none of them."""
    for start in range(0, len(data), 2**16):
        piece = data[start : start + 2**16]
        while piece and not inflate.eof:
            inflate.decompress(piece, 2**20)
            piece = inflate.unconsumed_tail


def _places(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """(kind, offset of the data, bytes of it) of every chunk; a cut one has what is left of it."""
    end, at, kind = os.fstat(file.fileno()).st_size, len(PNG), b""
    while at + 8 <= end and kind != b"IEND":
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        yield kind, at + 8, min(size, end - at - 8)
        at += size + 12
