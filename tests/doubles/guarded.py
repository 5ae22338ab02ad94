"""Arrays between pages that nobody may touch: a loop that leaves its array ends the process.

    python guarded.py          runs the compiled loops on many shapes, every array guarded

Machine code that is given addresses (cunet/engines/cpu) is tried in a process of its own.
"""

import ctypes
import math
import mmap
import sys
from contextlib import ExitStack
from unittest import mock

import numpy as np

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)
kept = []  # the memory of all arrays, so that none is given back and used again


def guarded(shape, dtype=np.float32, at_end=True):
    """An array of numbers that are not, directly before a forbidden page or directly after one."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    pages = -(-size // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    kept.append(memory)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (start, start + (pages + 1) * PAGE):
        if libc.mprotect(ctypes.c_void_p(page), PAGE, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    first = PAGE + (pages * PAGE - size if at_end else 0)
    array = np.frombuffer(memory, dtype, math.prod(shape), first).reshape(shape)
    array[...] = np.nan
    return array


def filled(rng, shape, at_end):
    array = guarded(shape, at_end=at_end)
    array[...] = rng.standard_normal(shape)
    return array


def try_one(rng, at_end):
    """Convolutions, an up-convolution and a pooling of random shapes against their definitions."""
    from cunet.engines import definition
    from cunet.engines.cpu import lines, max_pool, up_conv, winograd_fused

    def empty(shape, dtype):
        return guarded(shape, dtype, at_end)

    def scratch(name, shape, dtype):
        return guarded(shape, dtype, at_end)

    channels = [int(c) for c in 16 * rng.integers(1, 4, rng.integers(1, 3))]
    height, width = (int(side) for side in rng.integers(3, 40, 2))
    n, k, padding = int(rng.integers(1, 3)), int(16 * rng.integers(1, 4)), ["valid", "same"]
    padding = padding[rng.integers(2)]
    images = tuple(filled(rng, (n, height, width, c), at_end) for c in channels)
    w, b = filled(rng, (3, 3, sum(channels), k), at_end), filled(rng, (k,), at_end)
    close = dict(rtol=0, atol=2e-3)
    with ExitStack() as stack:
        for module in (winograd_fused, lines, max_pool, up_conv):
            for name, value in (("empty", empty), ("scratch", scratch)):
                if hasattr(module, name):
                    stack.enter_context(mock.patch.object(module, name, value))
        y = winograd_fused.conv_forward(images, w, b, padding, True)
        np.testing.assert_allclose(y, definition.conv_forward(images, w, b, padding, True), **close)
        dy = filled(rng, y.shape, at_end)
        found = winograd_fused.conv_backward(dy, images, w, y, padding)
        expected = definition.conv_backward(dy, images, w, y, padding)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=3e-2)
        few = filled(rng, (n, height, width, int(rng.integers(1, 4))), at_end)
        w = filled(rng, (3, 3, few.shape[3], k), at_end)
        y = lines.conv_forward(few, w, b, padding)
        np.testing.assert_allclose(y, definition.conv_forward(few, w, b, padding), **close)
        x, w = images[0], filled(rng, (2, 2, channels[0], k), at_end)
        y = up_conv.up_forward(x, w, b)
        np.testing.assert_allclose(y, definition.up_forward(x, w, b), **close)
        even = filled(rng, (n, 2 * (height // 2), 2 * (width // 2), k), at_end)
        y = max_pool.pool_forward(even)
        np.testing.assert_array_equal(y, definition.pool_forward(even))
        dy = filled(rng, y.shape, at_end)
        np.testing.assert_array_equal(
            max_pool.pool_backward(dy, even, y), definition.pool_backward(dy, even, y)
        )
    kept.clear()


if __name__ == "__main__":
    cases, seed = int(sys.argv[1]), int(sys.argv[2])
    for case in range(cases):
        try_one(np.random.default_rng((seed, case)), at_end=bool(case % 2))
        print(case, flush=True)
