"""Protocol buffers' wire format, as much of it as .onnx and .caffemodel need.

A message is a row of fields. A field is a key, (its number << 3) | its kind, and then, by its kind:

    0   a varint: seven bits a byte, the lowest first, the top bit set in all bytes but the last
    1   eight bytes
    2   a varint that counts bytes, and those: text, numbers in a row, or a message
    5   four bytes

Source: protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator

import numpy as np

VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5
LAST_FIELD = (1 << 29) - 1  # the largest number that a field may have


class Malformed(ValueError):
    """Bytes that are no message; the text says where and why."""


def varint(value: int) -> bytes:
    """A whole number of up to 64 bits; a negative one as its two's complement, in ten bytes."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """A field of kind VARINT."""
    return varint(field << 3 | VARINT) + varint(value)


def single(field: int, value: float) -> bytes:
    """A float32 field."""
    return varint(field << 3 | FOUR_BYTES) + np.float32(value).tobytes()


def blob(field: int, data: bytes) -> bytes:
    """A field of kind BYTES: a message, text in UTF-8, or packed numbers."""
    return varint(field << 3 | BYTES) + varint(len(data)) + data


def text(field: int, value: str) -> bytes:
    """A text field."""
    return blob(field, value.encode())


def fields(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """(number, kind, value) of every field of a message, in the order of the file.

    The value of a varint is a number, that of another kind a view of its bytes: nothing is copied,
    so that no length in a damaged file asks for memory. Raises Malformed.
    """
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        field, kind = key >> 3, key & 7
        if not 1 <= field <= LAST_FIELD:
            raise Malformed(f"byte {at}: a field cannot have the number {field}")
        if kind == VARINT:
            value, at = read_varint(data, at)
            yield field, kind, value
            continue
        if kind == BYTES:
            size, at = read_varint(data, at)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            size = 8 if kind == EIGHT_BYTES else 4
        else:
            raise Malformed(f"byte {at}: field {field} is of the unknown kind {kind}")
        if size > len(data) - at:
            raise Malformed(f"byte {at}: field {field} ends {size - len(data) + at} bytes too late")
        yield field, kind, data[at : at + size]
        at += size


def read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """(a varint, where it ends); Malformed where it does not end."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (1 << 64) - 1, at
    raise Malformed(f"byte {at}: a number does not end")
