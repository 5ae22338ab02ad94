"""Philox4x32-10 (Salmon et al. 2011): a function from a counter and a key to four random words, so
that any number can be drawn alone and in parallel."""

from types import ModuleType

import numpy as np

from cunet.backend import Array

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85  # what the two key words grow by in each round
LARGEST = 0xFFFFFFFF  # 32 bits


def philox(xp: ModuleType, first: int, last: int, key: int) -> Array:
    """(last - first, 4) random uint32: of the counters (i, 0, 0, 0) under the key."""
    counter = xp.arange(first, last, dtype=np.uint64)
    c0, c1 = counter & xp.uint64(LARGEST), counter >> xp.uint64(32)
    c2 = c3 = xp.zeros_like(counter)
    k0, k1 = key & LARGEST, (key >> 32) & LARGEST
    for _ in range(10):
        product, second = c0 * xp.uint64(MULTIPLIERS[0]), c2 * xp.uint64(MULTIPLIERS[1])
        c0 = (second >> xp.uint64(32)) ^ c1 ^ xp.uint64(k0)
        c2 = (product >> xp.uint64(32)) ^ c3 ^ xp.uint64(k1)
        c1, c3 = second & xp.uint64(LARGEST), product & xp.uint64(LARGEST)
        k0, k1 = (k0 + WEYL[0]) & LARGEST, (k1 + WEYL[1]) & LARGEST
    return xp.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)
