"""Caffe's file of a network, .caffemodel: a NetParameter in protocol buffers' wire format.

    NetParameter    1 name   100 layer, repeated   2 layers, repeated, as until 2014 ("V1")
    a layer         1 name   2 type   3 bottom   4 top   7 blobs   104 ... its settings
    V1 layer        4 name   5 type, a number   2 bottom   3 top   6 blobs   9 ... its settings
    BlobProto       7 shape {1 its sides} or 1 to 4 num, channels, height, width
                    5 data, float32, packed or one by one   8 double_data, float64

Bottoms are a layer's inputs, tops its outputs. Source: caffe.proto of Caffe 1.0.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from cunet.exchange import protobuf
from cunet.exchange.mapped import damaged, mapped
from cunet.exchange.protobuf import BYTES, EIGHT_BYTES, FOUR_BYTES, VARINT, Malformed, fields

Settings = dict[str, dict[str, list[float]]]  # message -> name -> values, as a prototxt has them

LAYER, V1_LAYER = 100, 2
# Of either kind of layer the fields of name, type, bottom, top and blobs
FIELDS = {LAYER: (1, 2, 3, 4, 7), V1_LAYER: (4, 5, 2, 3, 6)}
V1_TYPES = {3: "Concat", 4: "Convolution", 6: "Dropout", 17: "Pooling", 18: "ReLU", 20: "Softmax",
            22: "Split", 39: "Deconvolution"}  # fmt: skip
# Settings of layers that decide what they compute: the message and its fields
CONVOLUTION = {1: "num_output", 3: "pad", 4: "kernel_size", 5: "group", 6: "stride", 9: "pad",
               10: "pad", 13: "stride", 14: "stride", 18: "dilation"}  # fmt: skip
POOLING = {1: "pool", 2: "kernel_size", 3: "stride", 4: "pad"}
RELU, CROP = {1: "negative_slope"}, {1: "axis", 2: "offset"}
SETTINGS = {
    "convolution_param": (106, 10, CONVOLUTION),
    "pooling_param": (121, 19, POOLING),
    "relu_param": (123, 30, RELU),
    "crop_param": (144, 0, CROP),
}
ABSENT: Settings = {
    "convolution_param": {"stride": [1]},
    "pooling_param": {"stride": [1]},
}  # Caffe's defaults
# Numbers of a blob by field: the kind of a single one, its bytes, its type
NUMBERS = {5: (FOUR_BYTES, 4, "<f4"), 8: (EIGHT_BYTES, 8, "<f8")}
MAX_LAYERS, MAX_NAMES, MAX_BLOBS, MAX_SIDES = 10_000, 1000, 100, 32


@dataclass
class Layer:
    """A layer. blobs: its weights."""

    name: str = ""
    kind: str = ""
    bottoms: list[str] = field(default_factory=list)
    tops: list[str] = field(default_factory=list)
    settings: Settings = field(default_factory=dict)
    blobs: list[np.ndarray] = field(default_factory=list)


def read(path: str | Path) -> list[Layer]:
    """All layers in the order of the file. Errors as in mapped(), and
    DataError where it is no NetParameter."""
    layers: list[Layer] = []
    try:
        for number, kind, value in fields(mapped(path)):
            if number in FIELDS and kind == BYTES and isinstance(value, memoryview):
                if len(layers) == MAX_LAYERS:
                    raise Malformed(f"more than {MAX_LAYERS:,} layers")
                layers.append(_layer(value, number))
    except (Malformed, UnicodeDecodeError) as error:
        raise damaged(path, ".caffemodel", error) from error
    if not layers:
        raise damaged(path, ".caffemodel", "it holds no layers")
    return layers


def _layer(data: memoryview, version: int) -> Layer:
    layer, (name, kind, bottom, top, blob) = Layer(), FIELDS[version]
    messages = {numbers[version == V1_LAYER]: m for m, numbers in SETTINGS.items()}
    for number, wire, value in fields(data):
        if isinstance(value, int):
            if number == kind and version == V1_LAYER:
                layer.kind = V1_TYPES.get(value, f"number {value}")
        elif wire != BYTES:
            continue
        elif number == name:
            layer.name = bytes(value).decode()
        elif number == kind:
            layer.kind = bytes(value).decode()
        elif number in (bottom, top):
            names = layer.bottoms if number == bottom else layer.tops
            names.append(bytes(value).decode())
            if len(names) > MAX_NAMES:
                raise Malformed(f"a layer with more than {MAX_NAMES:,} inputs or outputs")
        elif number == blob:
            if len(layer.blobs) == MAX_BLOBS:
                raise Malformed(f"layer '{layer.name:.60}' has more than {MAX_BLOBS} blobs")
            layer.blobs.append(_blob(value))
        elif number in messages:
            layer.settings[messages[number]] = _settings(value, messages[number])
    return layer


def _settings(data: memoryview, message: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for number, wire, value in fields(data):
        if name := SETTINGS[message][2].get(number):
            values = found.setdefault(name, [])
            if wire == FOUR_BYTES:
                values.append(float(np.frombuffer(value, "<f4")[0]))  # type: ignore[arg-type]
            else:
                values += _integers(value)
            if len(values) > MAX_SIDES:
                raise Malformed(f"{message} has more than {MAX_SIDES} values of {name}")
    return ABSENT.get(message, {}) | found


def _integers(value: int | memoryview) -> list:
    """Whole numbers, packed or a single one; no more than are looked at."""
    if isinstance(value, int):
        return [value]
    found: list[int] = []
    at = 0
    while at < len(value) and len(found) <= MAX_SIDES:
        number, at = protobuf.read_varint(value, at)
        found.append(number)
    return found


def _blob(data: memoryview) -> np.ndarray:
    """A BlobProto as an array of float32 or float64; its numbers may come in pieces."""
    shape, old, raw = None, {}, {number: bytearray() for number in NUMBERS}
    for number, wire, value in fields(data):
        if number in NUMBERS and isinstance(value, memoryview):
            single, size, _ = NUMBERS[number]
            if wire not in (BYTES, single) or len(value) % size:
                raise Malformed("the numbers of a blob are cut off")
            raw[number] += value
        elif number == 7 and isinstance(value, memoryview):
            shape = [side for f, _, v in fields(value) if f == 1 for side in _integers(v)]
        elif number <= 4 and wire == VARINT:
            old[number] = int(value)  # type: ignore[arg-type]
    number = 5 if raw[5] else 8
    values = np.frombuffer(raw[number], NUMBERS[number][2])
    if shape is None:
        shape = [old.get(n, 0) for n in (1, 2, 3, 4)] if old else [values.size]
    if len(shape) > MAX_SIDES or prod(shape) != values.size:
        raise Malformed(f"a blob of {shape[:8]} holds {values.size:,} numbers")
    return values.reshape(shape)


def write(file: IO[bytes], name: str, layers: list[Layer]) -> None:
    """A NetParameter of these layers into an open file."""
    file.write(protobuf.text(1, name))
    for layer in layers:
        parts = list(_message(layer))
        size = sum(len(part) for part in parts)
        file.write(protobuf.varint(LAYER << 3 | BYTES) + protobuf.varint(size))
        for part in parts:
            file.write(part)


def _message(layer: Layer) -> Iterator[bytes]:
    name, kind, bottom, top, blob = FIELDS[LAYER]
    yield protobuf.text(name, layer.name) + protobuf.text(kind, layer.kind)
    yield b"".join(protobuf.text(bottom, one) for one in layer.bottoms)
    yield b"".join(protobuf.text(top, one) for one in layer.tops)
    for values in layer.blobs:
        data = np.ascontiguousarray(values, "<f4").tobytes()
        sides = protobuf.blob(1, b"".join(protobuf.varint(n) for n in values.shape))
        head = protobuf.blob(7, sides) + protobuf.varint(5 << 3 | BYTES)
        head += protobuf.varint(len(data))
        size = protobuf.varint(len(head) + len(data))
        yield protobuf.varint(blob << 3 | BYTES) + size + head
        yield data
    for message, settings in layer.settings.items():
        number, _, names = SETTINGS[message]
        numbers = {n: f for f, n in reversed(names.items())}
        body = (protobuf.number(numbers[n], int(v)) for n, vs in settings.items() for v in vs)
        yield protobuf.blob(number, b"".join(body))


def prototxt(layers: list[Layer]) -> str:
    """The same layers without weights, as Caffe's text: a line each."""
    lines = []
    for layer in layers:
        ends = [f'bottom: "{one}"' for one in layer.bottoms]
        ends += [f'top: "{one}"' for one in layer.tops]
        for message, settings in layer.settings.items():
            body = " ".join(f"{name}: {v:g}" for name, vs in settings.items() for v in vs)
            ends.append(f"{message} {{ {body} }}")
        lines.append(f'layer {{ name: "{layer.name}" type: "{layer.kind}" {" ".join(ends)} }}\n')
    return "".join(lines)
