"""2x2 max-pooling on strips of rows, several at a time."""

import numpy as np

from cunet.engines.cpu.buffers import empty
from cunet.engines.cpu.parts import add, doubled, parts
from cunet.ops import crop_concat, max_pool
from cunet.threads import parallel


def pool_forward(x: np.ndarray) -> np.ndarray:
    """ops.max_pool.forward."""
    n, height, width, c = x.shape
    if height % 2 or width % 2:
        return max_pool.forward(x)  # raises the error for odd sizes
    y = empty((n, height // 2, width // 2, c), x.dtype)

    def one(part: tuple[slice, slice]) -> None:
        y[part] = max_pool.forward(x[doubled(part)])

    parallel(one, parts(y))
    return y


def pool_backward(
    dy: np.ndarray, x: np.ndarray, y: np.ndarray, beside: np.ndarray | None = None
) -> np.ndarray:
    """ops.max_pool.backward, plus `beside`: the gradient of x's centre that came along the
    skip."""
    dx = empty(x.shape, dy.dtype)

    def one(part: tuple[slice, slice]) -> None:
        dx[doubled(part)] = max_pool.backward(dy[part], x[doubled(part)], y[part])

    parallel(one, parts(y))
    if beside is not None:
        add(beside, crop_concat.centre(dx, *beside.shape[1:3]))
    return dx
