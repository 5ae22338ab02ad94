"""Max-pooling on a GPU."""

from cunet.backend import Array, array_module
from cunet.engines.gpu.cuda import blocks, launch
from cunet.engines.gpu.elements import THREADS, chunk
from cunet.ops import crop_concat, max_pool


def pool_forward(x: Array) -> Array:
    """ops.max_pool.forward."""
    n, height, width, c = x.shape
    if height % 2 or width % 2:
        return max_pool.forward(x)  # raises the error for odd sizes
    y = array_module(x).empty((n, height // 2, width // 2, c), x.dtype)
    launch(x, "pool_forward", pool_grid(y), THREADS, x, y, y.shape[2], c)
    return y


def pool_backward(dy: Array, x: Array, y: Array, beside: Array | None = None) -> Array:
    """ops.max_pool.backward, plus `beside` (N, P, Q, C): the gradient of x's centre that came along
    the skip.

    The kernel finds the maxima in x again, so y is not used.
    """
    if beside is not None:
        crop_concat.centre(x, *beside.shape[1:3])  # raises the error for other sizes
    dx = array_module(x).empty(x.shape, x.dtype)
    rows, columns, c = dy.shape[1:]
    inner = beside.shape[1:3] if beside is not None else (0, 0)
    problem = dy, x, beside, dx, rows, columns, c, *inner
    launch(x, "pool_backward", pool_grid(dy), THREADS, *problem)
    return dx


def pool_grid(y: Array) -> tuple[int, int]:
    """Blocks for the small image y (N, P, Q, C): its rows, and the parts of a row."""
    n, rows, columns, c = y.shape
    return n * rows, blocks(columns * c // chunk(y), THREADS)
