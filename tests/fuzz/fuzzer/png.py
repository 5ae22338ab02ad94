"""Hostile PNGs: chunks changed, moved, invented, with the check sums made right again."""

import struct
import zlib

import numpy as np

from fuzzer.bytes_of import damaged, integer

MAGIC = b"\x89PNG\r\n\x1a\n"
CRITICAL = (b"IHDR", b"PLTE", b"IDAT")  # and IEND, after which nothing is missing
NAMES = (
    b"tEXt",
    b"zTXt",
    b"iTXt",
    b"iCCP",
    b"tRNS",
    b"PLTE",
    b"gAMA",
    b"pHYs",
    b"sBIT",
    b"bKGD",
    b"acTL",
    b"fcTL",
    b"fdAT",
    b"eXIf",
    b"IDAT",
    b"IEND",
    b"IHDR",
    b"abcd",
    b"ABCD",
)


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """(name, content) of every chunk of a sound PNG."""
    found, at = [], len(MAGIC)
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def chunk(name: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def png_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return MAGIC + b"".join(chunk(*one) for one in chunks)


def unsound(data: bytes) -> str:
    """Why nobody should take the file for a whole PNG; "" where its critical chunks are sound."""
    at, names, packed = len(MAGIC), [], b""
    while at + 12 <= len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        content, check = data[at + 8 : at + 8 + size], data[at + 8 + size : at + 12 + size]
        if name == b"IEND":
            break
        if len(check) < 4 and name not in CRITICAL:
            break  # whether the pixels before it are whole is seen below
        if len(check) < 4:
            return f"cut in {name!r}"
        if name in CRITICAL and struct.unpack(">I", check)[0] != zlib.crc32(name + content):
            return f"wrong check sum of {name!r}"
        names.append(name)
        packed += content if name == b"IDAT" else b""
        at += 12 + size
    if b"IDAT" not in names:
        return "no IDAT"
    stream = zlib.decompressobj()
    try:
        stream.decompress(packed, 1 << 24)
    except zlib.error as error:
        return f"zlib: {error}"
    return "" if stream.eof or stream.unconsumed_tail else "the compressed pixels are cut"


def mutated(rng: np.random.Generator, data: bytes) -> tuple[bytes, str]:
    """(the PNG with something in it changed, what)."""
    if rng.random() < 0.25:
        return damaged(rng, data)
    chunks = chunks_of(data)
    i = int(rng.integers(len(chunks)))
    name, content = chunks[i]
    match rng.integers(9):
        case 0 | 1 | 2:
            return _header(rng, chunks)
        case 3:
            part, what = damaged(rng, content or b"\0")
            chunks[i] = name, part
            what = f"{name.decode()}: {what}"
        case 4:
            del chunks[i]
            what = f"{name.decode()} dropped"
        case 5:
            j = int(rng.integers(len(chunks)))
            chunks.insert(j, chunks[i])
            what = f"{name.decode()} again at {j}"
        case 6:
            other = NAMES[rng.integers(len(NAMES))]
            chunks.insert(int(rng.integers(len(chunks) + 1)), (other, _content(rng)))
            what = f"an invented {other.decode()}"
        case 7:
            place = next(k for k, one in enumerate(chunks) if one[0] == b"IDAT")
            pixels = zlib.decompress(b"".join(c for n, c in chunks if n == b"IDAT"))
            pixels, what = _stream(rng, pixels)
            chunks = [one for one in chunks if one[0] != b"IDAT"]
            chunks.insert(place, (b"IDAT", pixels))
        case _:
            parts = [chunk(*one) for one in chunks]
            size = integer(rng, 32, len(content))
            parts[i] = struct.pack(">I", size) + parts[i][4:]
            return MAGIC + b"".join(parts), f"length of {name.decode()} {len(content)} -> {size}"
    return png_of(chunks), what


def _header(rng: np.random.Generator, chunks: list[tuple[bytes, bytes]]) -> tuple[bytes, str]:
    fields = list(struct.unpack(">IIBBBBB", chunks[0][1]))
    names = ("width", "height", "bits", "colour type", "compression", "filter", "interlace")
    k = int(rng.integers(7))
    old = fields[k]
    fields[k] = integer(rng, 32, old) if k < 2 else int(rng.choice([0, 1, 2, 3, 4, 6, 8, 16, 255]))
    chunks[0] = b"IHDR", struct.pack(">IIBBBBB", *fields)
    return png_of(chunks), f"{names[k]} {old} -> {fields[k]}"


def _content(rng: np.random.Generator) -> bytes:
    bomb = zlib.compress(bytes(1 << 24))
    kinds = (b"", rng.bytes(7), b"Comment\0\0" + bomb, b"icc\0\0" + bomb, b"key\0\1\0\0\0" + bomb,
             b"\x1b[31mred\0text", bytes(3 * 300), struct.pack(">II", 10**6, 0))  # fmt: skip
    return kinds[rng.integers(len(kinds))]


def _stream(rng: np.random.Generator, pixels: bytes) -> tuple[bytes, str]:
    match rng.integers(4):
        case 0:
            return zlib.compress(pixels[: len(pixels) // 2]), "half of the pixels"
        case 1:
            return zlib.compress(pixels + bytes(1 << 24)), "16 MB more than the pixels"
        case 2:
            body = bytearray(pixels)
            body[int(rng.integers(len(body)))] = 77
            return zlib.compress(bytes(body)), "another pixel or filter"
        case _:
            return zlib.compress(pixels)[:-4] + rng.bytes(4), "a wrong check sum of the pixels"
