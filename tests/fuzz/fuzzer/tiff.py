"""Hostile TIFFs: the fields of a directory changed one by one, so that everything else still holds.

An own reader of directories, so that nothing here depends on the library that cunet reads with.
"""

import struct
from dataclasses import dataclass

import numpy as np

from fuzzer.bytes_of import damaged, integer

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
         16: 8, 17: 8, 18: 8}  # fmt: skip
CODES = {1: "B", 3: "H", 4: "I", 16: "Q"}
NAMES = {
    254: "NewSubfileType", 256: "ImageWidth", 257: "ImageLength", 258: "BitsPerSample",
    259: "Compression", 262: "PhotometricInterpretation", 266: "FillOrder", 270: "ImageDescription",
    273: "StripOffsets", 274: "Orientation", 277: "SamplesPerPixel", 278: "RowsPerStrip",
    279: "StripByteCounts", 282: "XResolution", 283: "YResolution", 284: "PlanarConfiguration",
    296: "ResolutionUnit", 305: "Software", 306: "DateTime", 317: "Predictor", 320: "ColorMap",
    322: "TileWidth", 323: "TileLength", 324: "TileOffsets", 325: "TileByteCounts", 330: "SubIFDs",
    338: "ExtraSamples", 339: "SampleFormat", 347: "JPEGTables", 32997: "ImageDepth",
    50838: "IJMetadataByteCounts", 50839: "IJMetadata", 34412: "CZ_LSMINFO", 33628: "UIC1tag",
    34118: "CZ_SEM", 65000: "a private tag",
}  # fmt: skip
# Values that mean something to a reader, by tag
MEANT = {
    254: (0, 1, 2, 4), 258: (1, 2, 4, 7, 8, 12, 16, 24, 32, 64, 128), 266: (1, 2),
    259: (1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34712, 34887, 34925, 50000, 50001, 50002, 34892,
          32909, 65535),
    262: (0, 1, 2, 3, 4, 5, 6, 8, 32803, 34892), 274: (1, 2, 3, 4, 5, 6, 7, 8), 284: (1, 2, 3),
    317: (1, 2, 3, 34892, 34894), 338: (0, 1, 2), 339: (1, 2, 3, 4, 5, 6), 277: (1, 2, 3, 4, 5),
}  # fmt: skip
DECORATION = {282, 283, 296, 305, 306, 65000}  # tags that decide no pixel


@dataclass(frozen=True)
class Entry:
    """A field of a directory. place: of its 12 (or 20) bytes; data: of its value."""

    place: int
    tag: int
    kind: int
    count: int
    data: int


class Layout:
    """Where the parts of a TIFF stand."""

    def __init__(self, data: bytes):
        self.order = "<" if data[:2] == b"II" else ">"
        self.big = struct.unpack(self.order + "H", data[2:4])[0] == 43
        self.word = "Q" if self.big else "I"  # of counts and offsets
        self.width, self.entry = (8, 20) if self.big else (4, 12)
        self.directories: list[int] = []
        self.ends: list[int] = []  # where the offset of the next directory stands
        self.entries: list[Entry] = []
        (at,) = struct.unpack_from(self.order + self.word, data, 8 if self.big else 4)
        while at:
            self.directories.append(at)
            (number,) = struct.unpack_from(self.order + ("Q" if self.big else "H"), data, at)
            at += 8 if self.big else 2
            for place in range(at, at + number * self.entry, self.entry):
                tag, kind, count = struct.unpack_from(self.order + "HH" + self.word, data, place)
                inside = SIZES.get(kind, 1) * count <= self.width
                value = place + self.entry - self.width
                if not inside:
                    (value,) = struct.unpack_from(self.order + self.word, data, value)
                self.entries.append(Entry(place, tag, kind, count, value))
            at += number * self.entry
            self.ends.append(at)
            (at,) = struct.unpack_from(self.order + self.word, data, at)

    def set(self, body: bytearray, place: int, code: str, value: int) -> None:
        size = struct.calcsize("<" + code)
        struct.pack_into(self.order + code, body, place, value % (1 << 8 * size))


def mutated(rng: np.random.Generator, data: bytes) -> tuple[bytes, str]:
    """(the TIFF with something in it changed, what): fields mostly, sometimes plain damage."""
    if rng.random() < 0.2:
        return damaged(rng, data)
    layout, body, done = Layout(data), bytearray(data), []
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        done.append(_change(rng, layout, body))
    return bytes(body), "; ".join(done)


def _change(rng: np.random.Generator, layout: Layout, body: bytearray) -> str:
    entry = layout.entries[rng.integers(len(layout.entries))]
    name = NAMES.get(entry.tag, str(entry.tag))
    match rng.choice(9, p=[0.45, 0.1, 0.1, 0.08, 0.07, 0.05, 0.05, 0.05, 0.05]):
        case 0:
            return _change_value(rng, layout, body, entry, name)
        case 1:
            count = integer(rng, 32, entry.count)
            layout.set(body, entry.place + 4, layout.word, count)
            return f"count of {name} {entry.count} -> {count}"
        case 2:
            kind = int(rng.choice([*SIZES, 0, 14, 19, 255, 65535]))
            layout.set(body, entry.place + 2, "H", kind)
            return f"type of {name} {entry.kind} -> {kind}"
        case 3:
            tag = int(rng.choice([*NAMES]))
            layout.set(body, entry.place, "H", tag)
            return f"{name} became {NAMES[tag]}"
        case 4:
            place = entry.place + layout.entry - layout.width
            value = int(rng.choice([0, 8, len(body) - 1, len(body), 2**31, 2**32 - 1]))
            layout.set(body, place, layout.word, value)
            return f"value field of {name} -> {value}"
        case 5:
            end = layout.ends[rng.integers(len(layout.ends))]
            to = [0, 1, len(body) - 2, len(body) + 100, 2**32 - 1, *layout.directories]
            value = int(rng.choice(to))
            layout.set(body, end, layout.word, value)
            return f"next directory at {end} -> {value}"
        case 6:
            start = layout.directories[rng.integers(len(layout.directories))]
            count = integer(rng, 16, len(layout.entries))
            layout.set(body, start, "Q" if layout.big else "H", count)
            return f"number of fields at {start} -> {count}"
        case 7:
            other = layout.entries[rng.integers(len(layout.entries))]
            size = layout.entry
            body[entry.place : entry.place + size] = body[other.place : other.place + size]
            return f"{name} overwritten by {NAMES.get(other.tag, other.tag)}"
        case _:
            place = int(rng.integers(2, 16))
            body[place] = int(rng.integers(256))
            return f"byte {place} of the header -> {body[place]}"


def _change_value(
    rng: np.random.Generator, layout: Layout, body: bytearray, entry: Entry, name: str
) -> str:
    if entry.kind not in CODES:
        size = min(SIZES.get(entry.kind, 1) * entry.count, len(body) - entry.data)
        part, what = damaged(rng, bytes(body[entry.data : entry.data + size]))
        body[entry.data : entry.data + size] = part[:size].ljust(size, b"\0")
        return f"{name}: {what}"
    code = CODES[entry.kind]
    size = struct.calcsize("<" + code)
    number = int(rng.integers(max(1, min(entry.count, 64))))
    place = entry.data + number * size
    (old,) = struct.unpack_from(layout.order + code, body, place)
    value = integer(rng, 8 * size, old)
    if entry.tag in MEANT and rng.random() < 0.7:
        value = int(rng.choice(MEANT[entry.tag]))
    layout.set(body, place, code, value)
    return f"{name}[{number}] {old} -> {value % (1 << 8 * size)}"
