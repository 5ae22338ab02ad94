"""A named array in a file of another program: what it is, and how it is read when it is needed."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Tensor(NamedTuple):
    """shape; kind: float32, float64, float16, bfloat16, int64 ...; read() returns the array."""

    shape: tuple[int, ...]
    kind: str
    read: Callable[[], np.ndarray]


def widened(kind: str, raw: np.ndarray) -> np.ndarray:
    """Bytes (n) as numbers of a kind. A bfloat16 is the upper half of a float32."""
    if kind == "bfloat16":
        return (raw.view("<u2").astype("<u4") << 16).view("<f4")
    return raw.view(np.dtype(kind).newbyteorder("<"))
