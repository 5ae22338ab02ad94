"""Dropout on a GPU."""

import numpy as np

from cunet.backend import Array, array_module
from cunet.engines.gpu.elements import launch_long

LARGEST = 2**32 - 1


def drop(x: Array, rate: float, key: Array | int | np.uint64) -> Array:
    """ops.dropout.forward, and backward where x is dy, with the same mask.

    key: a number, or an array of one uint64 on the device, which is read when the kernel runs.
    """
    xp = array_module(x)
    y = xp.empty(x.shape, x.dtype)
    if isinstance(key, int | np.integer):
        key = xp.asarray(np.array([key], np.uint64))
    least = np.uint32(min(int(rate * 2**32), LARGEST))
    launch_long(x, "drop", x.size, x, y, key, least, np.float32(1 / (1 - rate)))
    return y
