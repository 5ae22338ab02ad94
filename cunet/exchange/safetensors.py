"""Files of named arrays, .safetensors: nothing but a table of contents and numbers.

    8 bytes    n, the length of the header, lowest byte first
    n bytes    JSON: {"name": {"dtype": "F32", "shape": [...], "data_offsets": [begin, end]}, ...,
               "__metadata__": {text: text}}, spaces may follow
    the rest   the numbers, lowest byte first, in rows; each array begins where another ends

Source: github.com/huggingface/safetensors, "Format".
"""

import json
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from cunet.exchange.mapped import damaged, mapped
from cunet.exchange.tensors import Tensor, widened
from cunet.files.atomic import Part

KINDS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64",
         "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"}  # fmt: skip
SIZES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4,
         "int16": 2, "int8": 1, "uint8": 1, "bool": 1}  # fmt: skip
MAX_HEADER = 10_000_000  # bytes: of about 80,000 arrays
MAX_SIDES = 8


class _Wrong(ValueError):
    """What is wrong with a header."""


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The arrays of a file by name, and its metadata. Errors as in mapped(), and DataError where
    the header is not as the format has it: every byte of the numbers belongs to one array."""
    data = np.frombuffer(mapped(path), np.uint8)
    try:
        if len(data) < 8:
            raise _Wrong("it is cut off")
        size = int.from_bytes(data[:8].tobytes(), "little")
        if size > min(len(data) - 8, MAX_HEADER):
            raise _Wrong(f"a header of {size:,} bytes in a file of {len(data):,}")
        try:
            header = json.loads(data[8 : 8 + size].tobytes(), object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            why = error if isinstance(error, _Wrong) else type(error).__name__
            raise _Wrong(f"its header is no JSON: {why}") from error
        if not isinstance(header, dict):
            raise _Wrong("its header is no table")
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict):
            raise _Wrong("its metadata are no table")
        return _tensors(header, data[8 + size :]), metadata
    except _Wrong as error:
        raise damaged(path, ".safetensors", error) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Wrong("two entries of one name")
    return found


def _tensors(header: dict[str, Any], data: np.ndarray) -> dict[str, Tensor]:
    found, places = {}, []
    for name, entry in header.items():
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise _Wrong(f"'{name:.60}' has no dtype, shape and data_offsets")
        kind, shape, offsets = (entry[key] for key in ("dtype", "shape", "data_offsets"))
        if not isinstance(kind, str) or kind not in KINDS:
            raise _Wrong(f"'{name:.60}' is of dtype {kind!r:.20}")
        if not _counts(shape) or len(shape) > MAX_SIDES:
            raise _Wrong(f"'{name:.60}' has shape {shape!r:.60}")
        if not _counts(offsets) or len(offsets) != 2:
            raise _Wrong(f"'{name:.60}' lies at {offsets!r:.60}")
        (first, last), kind = offsets, KINDS[kind]
        if last - first != prod(shape) * SIZES[kind]:
            raise _Wrong(f"'{name:.60}' of {shape} {kind} has {last - first:,} bytes")
        if last > len(data):
            raise _Wrong(f"'{name:.60}' ends {last - len(data):,} bytes behind the file")
        places.append((first, last, name))
        raw = data[first:last]
        found[name] = Tensor(tuple(shape), kind, partial(_numbers, kind, raw, shape))
    end = 0
    for first, last, name in sorted(places):
        if first != end:
            raise _Wrong(f"'{name:.60}' begins at byte {first:,}, the one before ends at {end:,}")
        end = last
    if end != len(data):
        raise _Wrong(f"{len(data) - end:,} bytes belong to no array")
    return found


def _numbers(kind: str, raw: np.ndarray, shape: list[int]) -> np.ndarray:
    return widened(kind, raw).reshape(shape)


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 62 for n in value)


def write(path: str | Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write arrays and text; the file appears whole or not at all. DeviceError where the disk has
    no room, CunetError where the file cannot be written."""
    names, at = {kind: name for name, kind in KINDS.items()}, 0
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    for name, value in tensors.items():
        offsets, at = [at, at + value.nbytes], at + value.nbytes
        header[name] = {
            "dtype": names[value.dtype.name], "shape": list(value.shape), "data_offsets": offsets
        }  # fmt: skip
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers are aligned
    with Part(path, at) as part:
        part.file.write(len(text).to_bytes(8, "little") + text)
        for value in tensors.values():
            little = value.astype(value.dtype.newbyteorder("<"), order="C", copy=False)
            part.file.write(little.tobytes())
