"""Dropout:  y = x * m / (1 - p)  with m = 0 with probability p, else 1 (Caffe's dropout_layer.cpp).

The mask is counter-based: element i of x, in reading order, is dropped where the i-th 32-bit
number of Philox4x32-10 (Salmon et al. 2011) under a 64-bit key lies below p * 2^32. Nothing is
stored but the key, every element can be drawn alone and in parallel, and all devices draw the
same mask.
"""

import numpy as np

from cunet.backend import Array, array_module
from cunet.threads import parallel, strips

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85  # what the two key words grow by in each round
WORD = 0xFFFFFFFF


def forward(x: Array, rate: float, key: int) -> Array:
    """x with a fraction `rate` (0 <= rate < 1) of its elements zeroed, the rest scaled up."""
    return x * mask(x, rate, key)


def backward(dy: Array, rate: float, key: int) -> Array:
    """dx = dy * m / (1 - p) with the same mask, drawn again from the key."""
    return dy * mask(dy, rate, key)


def mask(x: Array, rate: float, key: int) -> Array:
    """0 or 1 / (1 - rate) for each element of x, in the shape and dtype of x."""
    xp, count = array_module(x), -(-x.size // 4)
    kept = xp.empty((count, 4), x.dtype)
    least = xp.uint32(min(int(rate * 2**32), WORD))

    def fill(block: slice) -> None:
        kept[block] = philox(xp, block.start, block.stop, key) >= least

    # on the CPU in blocks that stay in the cache, on a GPU in one
    parallel(fill, strips(count, 64) if xp is np else [slice(0, count)])
    kept *= x.dtype.type(1 / (1 - rate))
    return kept.reshape(-1)[: x.size].reshape(x.shape)


def philox(xp, first: int, last: int, key: int) -> Array:
    """(last - first, 4) random uint32: Philox4x32-10 of the counters (i, 0, 0, 0) under the key."""
    counter = xp.arange(first, last, dtype=np.uint64)
    c0, c1 = counter & xp.uint64(WORD), counter >> xp.uint64(32)
    c2 = c3 = xp.zeros_like(counter)
    k0, k1 = key & WORD, key >> 32 & WORD
    for _ in range(10):
        product, second = c0 * xp.uint64(MULTIPLIERS[0]), c2 * xp.uint64(MULTIPLIERS[1])
        c0 = (second >> xp.uint64(32)) ^ c1 ^ xp.uint64(k0)
        c2 = (product >> xp.uint64(32)) ^ c3 ^ xp.uint64(k1)
        c1, c3 = second & xp.uint64(WORD), product & xp.uint64(WORD)
        k0, k1 = k0 + WEYL[0] & WORD, k1 + WEYL[1] & WORD
    return xp.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)
