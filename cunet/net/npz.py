""".npz files of strangers: looked at before anything is unpacked, and read no further than asked.

An .npz is a ZIP of .npy members, each a short header (dtype, order, shape) and the numbers. Every
size that a file claims is compared with what it can hold and with what is expected of it first: a
few kilobytes can claim, or unpack to, many gigabytes.
"""

import errno
import os
import stat
import struct
import zipfile
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.lib import format as npy

from cunet.errors import DataError

MAX_INDEX = 1 << 20  # bytes of the ZIP's table of members: about 10,000 of them
MAX_UNPACKED = 100  # bytes that may come out of one byte of the file; weights shrink by a tenth
PIECE = 1 << 20  # bytes read at a time
MAX_TEXT = 4 << 20  # bytes of a member that holds text: normalization of 4096 channels takes 1.3 MB
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # all that NumPy writes


class Damaged(ValueError):
    """What is wrong with the file, in a few words; its reader names the file."""


@dataclass(frozen=True)
class Head:
    """What the .npy header of a member says, and where its numbers begin."""

    dtype: np.dtype
    shape: tuple[int, ...]
    order: str  # "C" or "F"
    start: int

    @property
    def bytes(self) -> int:
        """How many bytes its numbers take."""
        return self.dtype.itemsize * prod(self.shape)


class NpzFile:
    """An open .npz file. Every method raises Damaged for what is not as it should be.

    names  of the arrays in it
    """

    def __init__(self, path: Path):
        self.size = _size(path)
        self._raw = open(path, "rb")
        try:
            check_index(self._raw, self.size)
            self._zip = zipfile.ZipFile(self._raw)
            members = self._zip.infolist()
        except Exception as error:  # zipfile raises many types for damaged bytes
            self._raw.close()
            raise _damaged(error) from error
        self._members = {m.filename.removesuffix(".npy"): m for m in members}
        if len(self._members) < len(members):
            self._raw.close()
            raise Damaged("two members of one name")
        self.names = set(self._members)

    def head(self, name: str) -> Head:
        """The header of a member; one that says another size than the member's is damaged."""
        member = self._members[name]
        if member.compress_type not in PACKINGS or member.flag_bits & 1:
            raise Damaged(f"'{name}' is packed in a way that NumPy does not use")
        try:
            with self._zip.open(member) as file:
                if npy.read_magic(file) != (1, 0):  # later ones have headers of up to 4 GB
                    raise Damaged(f"'{name}' is in a format of .npy that is not used")
                shape, by_columns, dtype = npy.read_array_header_1_0(file)
                start = file.tell()
        except Exception as error:  # the header is text that Python parses
            raise _damaged(error) from error
        if not all(type(side) is int and side >= 0 for side in shape) or dtype.hasobject:
            raise Damaged(f"'{name}' has shape {shape} and dtype {dtype}")
        head = Head(dtype, shape, "F" if by_columns else "C", start)
        if member.file_size != start + head.bytes:
            raise Damaged(f"'{name}' has {member.file_size:,} bytes, not {start + head.bytes:,}")
        return head

    def check_total(self, heads: list[Head]) -> None:
        """Damaged where the arrays are more than such a file can hold."""
        total = sum(head.bytes for head in heads)
        if total > MAX_UNPACKED * self.size:
            raise Damaged(f"{self.size:,} bytes that unpack to {total:,}")

    def read(self, name: str, head: Head) -> np.ndarray:
        """The array of a member that has this head."""
        array = np.empty(prod(head.shape), head.dtype)
        view, done = array.view(np.uint8), 0
        try:
            with self._zip.open(self._members[name]) as file:
                file.read(head.start)
                while done < head.bytes and (part := file.read(min(PIECE, head.bytes - done))):
                    view[done : done + len(part)] = np.frombuffer(part, np.uint8)
                    done += len(part)
                if done < head.bytes or file.read(1):  # reading to the end compares the checksum
                    raise Damaged(f"'{name}' is cut off")
        except MemoryError:
            raise
        except Exception as error:
            raise _damaged(error) from error
        return array.reshape(head.shape, order=head.order)  # type: ignore[call-overload]

    def text(self, name: str) -> str:
        """The text of a member that is one, of at most MAX_TEXT bytes."""
        if name not in self.names:
            raise Damaged(f"no '{name}'")
        head = self.head(name)
        if head.dtype.kind != "U" or head.shape or not 0 < head.bytes <= MAX_TEXT:
            raise Damaged(f"'{name}' is no text, or too long")
        try:
            return str(self.read(name, head)[()])
        except (ValueError, SystemError) as error:  # numbers that are no characters
            raise _damaged(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._raw.close()


def damaged_model(path: Path, why: object) -> DataError:
    """The error for a model file that is not as it should be."""
    return DataError(
        f"model '{path}' is damaged or not a cunet model ({why}); use another copy or train again"
    )


def _size(path: Path) -> int:
    """The bytes of a regular file: a pipe would be waited for, a device has no end."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise Damaged("not a regular file")
    return found.st_size


def check_index(file, size: int) -> None:
    """Damaged where the table of members, which zipfile reads as a whole, is no table or too long.

    The ZIP's last 22 bytes say how long it is or, in files of more than 4 GB, the 76 before them.
    """
    file.seek(max(0, size - 98))
    tail = file.read(98)
    if len(tail) < 22 or tail[-22:-18] != b"PK\x05\x06":
        raise Damaged("not a ZIP, or cut off")
    length = struct.unpack("<L", tail[-10:-6])[0]
    if tail[-42:-38] == b"PK\x06\x07" and tail[-98:-94] == b"PK\x06\x06":
        length = struct.unpack("<Q", tail[-58:-50])[0]
    if length > MAX_INDEX:
        raise Damaged("too many members")
    file.seek(0)


def _damaged(error: Exception) -> Exception:
    """What to raise for an error of reading: those of the system as they are."""
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        return error
    return error if isinstance(error, Damaged) else Damaged(type(error).__name__)
