"""Hostile .npz files: members and arrays changed, with the check sums of the ZIP right again."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fuzzer.bytes_of import damaged

DTYPES = ("f2", "f4", "f8", ">f4", "i1", "i4", "u8", "c8", "c16", "?", "U4", "S4", "O", "V4",
          "M8[s]", "m8[s]", "f4,i4", "f4,f4")  # fmt: skip
VALUES = (np.nan, np.inf, -np.inf, 1e39, -1e39, 3e38, 1e30, 1e-45, 0.0)

Members = dict[str, bytes]


def members_of(data: bytes, names: Iterable[str] | None = None) -> Members:
    """The members of a ZIP, or those of some names; of a name that stands twice the last."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in names or file.namelist()}


@dataclass(frozen=True)
class Packed:
    """A member as it stands in a ZIP: the stream, how it is packed (0 or 8), sum and size."""

    stream: bytes
    method: int
    crc: int
    size: int


def packed(content: bytes, deflate: bool = False) -> Packed:
    stream = content
    if deflate:
        machine = zlib.compressobj(6, zlib.DEFLATED, -15)
        stream = machine.compress(content) + machine.flush()
    return Packed(stream, 8 if deflate else 0, zlib.crc32(content), len(content))


def bomb(size: int = 3 << 29) -> Packed:
    """An .npy of this many bytes of zeros, deflated."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({size // 4},), }}"
    start, zeros = header_line(text, b""), bytes(1 << 24)
    machine = zlib.compressobj(1, zlib.DEFLATED, -15)
    head = machine.compress(start) + machine.flush(zlib.Z_FULL_FLUSH)
    part = machine.compress(zeros) + machine.flush(zlib.Z_FULL_FLUSH)  # stands for itself
    crc = zlib.crc32(start)
    for _ in range(size >> 24):
        crc = zlib.crc32(zeros, crc)
    return Packed(head + part * (size >> 24) + machine.flush(), 8, crc, len(start) + size)


def zip_of(members: Iterable[tuple[str, bytes | Packed]], deflate: bool = False) -> bytes:
    """A ZIP of the members, written here so that a name may stand in it twice."""
    body, directory, count = bytearray(), bytearray(), 0
    for name, content in members:
        one = content if isinstance(content, Packed) else packed(content, deflate)
        text = name.encode()
        shared = struct.pack(
            "<HHHHHIIIHH", 20, 0x800, one.method, 0, 0x46B2, one.crc, len(one.stream), one.size,
            len(text), 0,
        )  # fmt: skip
        directory += b"PK\1\2" + struct.pack("<H", 20) + shared
        directory += struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + text
        body += b"PK\3\4" + shared + text + one.stream
        count += 1
    end = struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(body), 0)
    return bytes(body + directory + b"PK\5\6" + end)


def array_of(content: bytes) -> np.ndarray:
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def bytes_of(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array)
    return file.getvalue()


def header_line(text: str, payload: bytes) -> bytes:
    """An .npy with that header, whether it is true or not."""
    line = text.encode("latin1", "replace")
    line += b" " * (-(len(line) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(line) & 0xFFFF) + line + payload


def changed_array(rng: np.random.Generator, array: np.ndarray) -> tuple[bytes, str]:
    """(a member in the place of an array's, what is odd about it)."""
    array = np.array(array)
    match rng.integers(7):
        case 0 | 1:
            value, flat = VALUES[rng.integers(len(VALUES))], array.reshape(-1)
            count = int(rng.choice([1, max(1, flat.size)]))
            if flat.size and array.dtype.kind == "f":
                with np.errstate(over="ignore"):
                    flat[rng.integers(flat.size, size=count)] = np.float64(value)
            return bytes_of(array), f"{count} values {value}"
        case 2:
            name = DTYPES[rng.integers(len(DTYPES))]
            return _of_dtype(rng, array, name), f"dtype {name}"
        case 3:
            shape = [(), (0,), (array.size,), (1, *array.shape), (*array.shape, 1), (10**5, 10**5)]
            new = shape[rng.integers(len(shape))]
            if np.prod(new, dtype=np.int64) == array.size:
                return bytes_of(array.reshape(new)), f"shape {new}"
            text = f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': {new}, }}"
            return header_line(text, array.tobytes()), f"claimed shape {new}"
        case 4:
            return bytes_of(np.asfortranarray(array.T)), "transposed"
        case 5:
            text = [
                "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
                "{'descr': '<f4', 'fortran_order': 7, 'shape': (4,), }",
                "{'descr': [('a', '<f4', (1000000000,))], 'fortran_order': False, 'shape': (), }",
                "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
                "{'descr': '<f4'}",
                "(" * 3000,
                "__import__('os').system('true')",
            ][rng.integers(7)]
            return header_line(text, array.tobytes()), f"header {text[:60]}"
        case _:
            content, what = damaged(rng, bytes_of(array))
            return content, what


def _of_dtype(rng: np.random.Generator, array: np.ndarray, name: str) -> bytes:
    if rng.random() < 0.5 and name != "O":
        dtype = np.dtype(name)
        raw = rng.bytes(dtype.itemsize * max(1, array.size))
        descr = np.lib.format.dtype_to_descr(dtype)
        text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {array.shape}, }}"
        return header_line(text, raw)
    try:
        with np.errstate(all="ignore"):
            return bytes_of(array.astype(name))
    except (TypeError, ValueError):
        return bytes_of(np.zeros(array.shape, "f8"))
