"""Max-pooling on strips of rows."""

import numpy as np

from cunet.backend import Array
from cunet.engines.cpu.buffers import empty
from cunet.engines.cpu.parts import add, parts
from cunet.ops import crop_concat, max_pool
from cunet.threads import parallel


def pool_forward(x: Array) -> Array:
    """ops.max_pool.forward."""
    if not isinstance(x, np.ndarray) or x.shape[1] % 2 or x.shape[2] % 2:
        return max_pool.forward(x)  # which says what is wrong with odd sizes
    n, height, width, c = x.shape
    y = empty((n, height // 2, width // 2, c), x.dtype)

    def one(part: tuple[slice, slice]) -> None:
        y[part] = max_pool.forward(x[doubled(part)])

    parallel(one, parts(y))
    return y


def pool_backward(dy: Array, x: Array, y: Array, beside: Array | None = None) -> Array:
    """ops.max_pool.backward, plus the gradient `beside` of x's centre, which went another way."""
    if isinstance(x, np.ndarray):
        dx = empty(x.shape, dy.dtype)

        def one(part: tuple[slice, slice]) -> None:
            dx[doubled(part)] = max_pool.backward(dy[part], x[doubled(part)], y[part])

        parallel(one, parts(y))
    else:
        dx = max_pool.backward(dy, x, y)
    if beside is not None:
        add(beside, crop_concat.centre(dx, *beside.shape[1:3]))
    return dx


def doubled(part: tuple[slice, slice]) -> tuple[slice, slice]:
    """The same strip at twice the resolution."""
    return part[0], slice(2 * part[1].start, 2 * part[1].stop)
