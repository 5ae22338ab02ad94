"""2x2 max-pooling on strips of rows, several at a time, in machine code where it takes them."""

import numpy as np

from cunet.engines.cpu.buffers import empty
from cunet.engines.cpu.machine import BLOCK, addressable, mapped, takes
from cunet.engines.cpu.parts import add, doubled, parts
from cunet.ops import crop_concat, max_pool
from cunet.threads import parallel


def pool_forward(x: np.ndarray) -> np.ndarray:
    """ops.max_pool.forward."""
    n, height, width, c = x.shape
    if height % 2 or width % 2:
        return max_pool.forward(x)  # raises the error for odd sizes
    y = empty((n, height // 2, width // 2, c), x.dtype)
    compiled = takes((c,), (x,))
    source = addressable(x) if compiled else x

    def one(part: tuple[slice, slice]) -> None:
        if compiled:
            from cunet.engines.cpu import pool_kernels

            pool_kernels.forward(plan(y[part], source[doubled(part)], y[part]))
        else:
            y[part] = max_pool.forward(x[doubled(part)])

    parallel(one, parts(y))
    return y


def pool_backward(
    dy: np.ndarray, x: np.ndarray, y: np.ndarray, beside: np.ndarray | None = None
) -> np.ndarray:
    """ops.max_pool.backward, plus `beside`: the gradient of x's centre that came along the
    skip."""
    dx = empty(x.shape, dy.dtype)
    n, height, width, c = x.shape
    fitting = dy.shape == y.shape == (n, height / 2, width / 2, c)
    compiled = fitting and takes((c,), (dy, x, y))
    if compiled:
        dy, x, y = addressable(dy), addressable(x), addressable(y)

    def one(part: tuple[slice, slice]) -> None:
        if compiled:
            from cunet.engines.cpu import pool_kernels

            large = doubled(part)
            pool_kernels.backward(plan(y[part], x[large], y[part], dy[part], dx[large]))
        else:
            dx[doubled(part)] = max_pool.backward(dy[part], x[doubled(part)], y[part])

    parallel(one, parts(y))
    if beside is not None:
        add(beside, crop_concat.centre(dx, *beside.shape[1:3]))
    return dx


def plan(windows: np.ndarray, *images: np.ndarray) -> np.ndarray:
    """What a compiled loop must know: how many windows, and where the images lie."""
    _, lines, pixels, c = windows.shape
    places = (place for image in images for place in mapped(image[0]))
    return np.array([lines, pixels, c // BLOCK, *places])
