"""ReLU, max-pooling and up-convolution on strips of rows, several strips at a time.

Each function has the signature of the operation that it stands for and calls it on parts of the
image, which stay in the cache and are taken by the threads in turn. The partition depends on the
shapes alone, and partial sums are added in order. On another device the operation itself runs.
"""

import numpy as np

from cunet.backend import Array
from cunet.ops import max_pool, relu, up_conv
from cunet.threads import fixed_sums, parallel, strips


def relu_forward(y: Array) -> Array:
    """ops.relu.forward in place."""
    if not isinstance(y, np.ndarray):
        return relu.forward(y, out=y)
    parallel(lambda part: relu.forward(y[part], out=y[part]), parts(y))
    return y


def relu_backward(dy: Array, y: Array) -> Array:
    """ops.relu.backward."""
    if not isinstance(y, np.ndarray):
        return relu.backward(dy, y)
    dx = np.empty(y.shape, y.dtype)
    parallel(lambda part: np.multiply(dy[part], y[part] > 0, out=dx[part]), parts(y))
    return dx


def pool_forward(x: Array) -> Array:
    """ops.max_pool.forward."""
    if not isinstance(x, np.ndarray) or x.shape[1] % 2 or x.shape[2] % 2:
        return max_pool.forward(x)  # which says what is wrong with odd sizes
    n, height, width, c = x.shape
    y = np.empty((n, height // 2, width // 2, c), x.dtype)

    def one(part: tuple[slice, slice]) -> None:
        y[part] = max_pool.forward(x[doubled(part)])

    parallel(one, parts(y))
    return y


def pool_backward(dy: Array, x: Array, y: Array) -> Array:
    """ops.max_pool.backward."""
    if not isinstance(x, np.ndarray):
        return max_pool.backward(dy, x, y)
    dx = np.empty(x.shape, dy.dtype)

    def one(part: tuple[slice, slice]) -> None:
        dx[doubled(part)] = max_pool.backward(dy[part], x[doubled(part)], y[part])

    parallel(one, parts(y))
    return dx


@fixed_sums
def up_forward(x: Array, w: Array, bias: Array) -> Array:
    """ops.up_conv.forward."""
    if not isinstance(x, np.ndarray) or x.shape[3] != w.shape[2]:
        return up_conv.forward(x, w, bias)  # which says what is wrong with other channels
    n, height, width, _ = x.shape
    y = np.empty((n, 2 * height, 2 * width, w.shape[3]), w.dtype)

    def one(part: tuple[slice, slice]) -> None:
        y[doubled(part)] = up_conv.forward(x[part], w, bias)

    parallel(one, parts(x))
    return y


@fixed_sums
def up_backward(dy: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """ops.up_conv.backward."""
    if not isinstance(x, np.ndarray):
        return up_conv.backward(dy, x, w)
    dx, pieces = np.empty(x.shape, dy.dtype), parts(x)
    sums: list = [None] * len(pieces)

    def one(number: int) -> None:
        part = pieces[number]
        dx[part], *sums[number] = up_conv.backward(dy[doubled(part)], x[part], w)

    parallel(one, range(len(pieces)))
    dw, dbias = sums[0]
    for more_dw, more_dbias in sums[1:]:
        dw += more_dw
        dbias += more_dbias
    return dx, dw, dbias


def parts(x: np.ndarray) -> list[tuple[slice, slice]]:
    """Strips of an image (N, H, W, C): (one image, some rows)."""
    n, rows, width, c = x.shape
    cut = strips(rows, width * c * x.itemsize)
    return [(slice(i, i + 1), rows) for i in range(n) for rows in cut]


def doubled(part: tuple[slice, slice]) -> tuple[slice, slice]:
    """The same strip at twice the resolution."""
    return part[0], slice(2 * part[1].start, 2 * part[1].stop)
