"""Whether this machine runs the compiled loops (vectors.py), and how they are told where arrays
lie."""

from functools import cache

import numpy as np

BLOCK = 16  # channels that they compute together


def takes(channels: tuple[int, ...], arrays: tuple[np.ndarray, ...]) -> bool:
    """Whether compiled loops take arrays of so many channels: all float32, multiples of 16."""
    return (
        all(array.dtype == np.float32 for array in arrays)
        and not any(c % BLOCK for c in channels)
        and usable()
    )


@cache
def usable() -> bool:
    """Whether Numba can be loaded and the processor has an instruction for a product with a sum.
    Where that is not so NumPy computes the same."""
    try:
        from cunet.engines.cpu import vectors
    except Exception:  # whatever a damaged installation raises
        return False
    return vectors.usable()


def addressable(x: np.ndarray) -> np.ndarray:
    """x (N, H, W, C), or a copy where the channels of a pixel are not side by side."""
    return x if x.strides[3] == x.itemsize else np.ascontiguousarray(x)


def mapped(image: np.ndarray) -> tuple[int, int, int]:
    """Where an image (H, W, C) lies, in bytes: address, from row to row, from pixel to pixel."""
    return image.ctypes.data, image.strides[0], image.strides[1]
