"""Dropout on the CPU: the mask is drawn in blocks that stay in the cache, and kept for backward,
which is faster than to draw it again."""

from typing import Any

import numpy as np

from cunet.ops import dropout
from cunet.philox import philox
from cunet.threads import parallel, strips

COUNTER_BYTES = 64  # that a counter takes while its four numbers are drawn


def drop_forward(x: np.ndarray, rate: float, key: Any) -> tuple[np.ndarray, Any]:
    """y and the mask, as definition.drop_forward."""
    kept = mask(x, rate, int(key))
    return x * kept, kept


def mask(x: np.ndarray, rate: float, key: int) -> np.ndarray:
    """ops.dropout.mask."""
    count, least = -(-x.size // 4), dropout.threshold(rate)
    kept = np.empty((count, 4), x.dtype)

    def fill(block: slice) -> None:
        kept[block] = philox(np, block.start, block.stop, key) >= least

    parallel(fill, strips(count, COUNTER_BYTES))
    kept *= x.dtype.type(1 / (1 - rate))
    return kept.reshape(-1)[: x.size].reshape(x.shape)
