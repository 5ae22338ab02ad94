"""Dropout on a GPU: backward draws the mask from the key again, which is faster than reading it."""

from typing import Any

import numpy as np

from cunet.backend import Array, array_module
from cunet.engines.gpu.elements import launch_long
from cunet.engines.gpu.graphs import Inbox, Place
from cunet.ops.dropout import threshold


def drop_forward(x: Array, rate: float, key: Any) -> tuple[Array, Any]:
    """y, as definition.drop_forward, and what the mask can be drawn from again.

    key: a number, or an array of one uint64 on the device, which is read when the kernel runs.
    """
    return drop(x, rate, key), (rate, key)


def drop_backward(dy: Array, kept: Any) -> Array:
    """dx, as definition.drop_backward."""
    return drop(dy, *kept)


def drop(x: Array, rate: float, key: Any) -> Array:
    """x times the mask of this key."""
    xp = array_module(x)
    y = xp.empty(x.shape, x.dtype)
    if isinstance(key, int | np.integer):
        key = xp.asarray(np.array([key], np.uint64))
    launch_long(x, "drop", x.size, x, y, key, threshold(rate), np.float32(1 / (1 - rate)))
    return y


class Keys:
    """Stands in for dropout's random generator: its next 64-bit keys, already on the GPU."""

    def __init__(self, number: int):
        self.inbox, self._next = Inbox((number,), "uint64"), 0

    def put(self, rng: np.random.Generator, place: Place) -> None:
        """Draw what the layers would have drawn from rng."""
        keys = [rng.integers(2**64, dtype=np.uint64) for _ in range(len(self.inbox.array))]
        self.inbox.put(np.array(keys, np.uint64), place)

    def restart(self) -> None:
        """Begin with the first key again."""
        self._next = 0

    def integers(self, high: int, dtype: Any) -> Any:
        """The next key, an array of one."""
        self._next += 1
        return self.inbox.array[self._next - 1 : self._next]
