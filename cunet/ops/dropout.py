"""Dropout:  y = x * m / (1 - rate),  m = 0 with probability rate, else 1  (dropout_layer.cpp).

x, y and m have one shape, any. The mask is counter-based: element i of x, channels fastest, is
dropped where the i-th 32-bit number of Philox4x32-10 (Salmon et al. 2011) under a 64-bit key lies
below rate * 2^32. So the key alone decides the mask, every element can be drawn alone, in parallel,
and all devices draw the same.
"""

import numpy as np

from cunet.backend import Array, array_module
from cunet.philox import LARGEST, philox


def forward(x: Array, rate: float, key: int) -> Array:
    """x with a fraction `rate` (0 <= rate < 1) of its elements zeroed, the rest scaled up."""
    return x * mask(x, rate, key)


def backward(dy: Array, rate: float, key: int) -> Array:
    """dx = dy * m / (1 - rate) with the same mask, drawn again from the key."""
    return dy * mask(dy, rate, key)


def mask(x: Array, rate: float, key: int) -> Array:
    """0 or 1 / (1 - rate) for each element of x, in the shape and dtype of x."""
    kept = philox(array_module(x), 0, -(-x.size // 4), key) >= threshold(rate)
    scaled = kept.astype(x.dtype) * x.dtype.type(1 / (1 - rate))
    return scaled.reshape(-1)[: x.size].reshape(x.shape)


def threshold(rate: float) -> np.uint32:
    """The least random number whose element is kept."""
    return np.uint32(min(int(rate * 2**32), LARGEST))
