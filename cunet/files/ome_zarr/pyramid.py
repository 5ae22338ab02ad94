"""Lower resolutions: rows and columns halved, slices kept."""

from typing import Any

import numpy as np


def halve(block: np.ndarray, labels: bool) -> np.ndarray:
    """A block (..., H, W) at half the resolution (..., ceil(H / 2), ceil(W / 2)), in its dtype.

    A pixel is the mean of 2 x 2, of integers rounded, a half to even; a row or column over is taken
    twice. Of labels, whose mean means nothing, it is the first of the four. Blocks that begin at
    even places of an image can be halved one by one.
    """
    if labels:
        return np.ascontiguousarray(block[..., ::2, ::2])
    odd = [(0, 0)] * (block.ndim - 2) + [(0, size % 2) for size in block.shape[-2:]]
    if any(over for _, over in odd):
        block = np.pad(block, odd, "edge")
    kind = np.float32 if block.dtype.itemsize < 4 else np.float64
    sums: Any = block[..., ::2, ::2].astype(kind)
    for row, column in ((0, 1), (1, 0), (1, 1)):
        sums += block[..., row::2, column::2]
    mean = sums / 4
    return (mean if block.dtype.kind == "f" else np.rint(mean)).astype(block.dtype)


def halved_shape(shape: tuple[int, ...], times: int = 1) -> tuple[int, ...]:
    """The shape of a block (..., H, W) after it was halved several times."""
    *outer, height, width = shape
    return (*outer, *(-(-size // 2**times) for size in (height, width)))
