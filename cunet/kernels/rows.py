"""ReLU, max-pooling, up-convolution and batch normalization on strips of rows, several at a time.

Each function has the signature of the operation that it stands for and calls it on parts of the
image, which stay in the cache and are taken by the threads in turn. The partition depends on the
shapes alone, and partial sums are added in order. On another device the operation itself runs.
"""

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cunet.backend import Array
from cunet.buffers import empty, scratch
from cunet.ops import batch_norm, crop_concat, max_pool, relu, up_conv
from cunet.threads import fixed_sums, parallel, strips

WORTH = 1 << 20  # bytes whose addition is worth a second thread


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
    dx = empty(y.shape, y.dtype)
    parallel(lambda part: np.multiply(dy[part], y[part] > 0, out=dx[part]), parts(y))
    return dx


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


def add(a: Array, b: Array) -> None:
    """b += a, both (N, H, W, C); b is changed in place."""
    if not isinstance(b, np.ndarray) or b.nbytes < WORTH:
        b += a
        return
    parallel(lambda part: np.add(b[part], a[part], out=b[part]), parts(b))


@fixed_sums
def up_forward(x: Array, w: Array, bias: Array, relu: bool = False) -> Array:
    """ops.up_conv.forward: one product for all four corners of a block, then one interleaving."""
    if not isinstance(x, np.ndarray) or x.shape[3] != w.shape[2]:
        return up_conv.forward(x, w, bias, relu)  # which says what is wrong with other channels
    (n, height, width, _), k = x.shape, w.shape[3]
    y, corners = empty((n, 2 * height, 2 * width, k), w.dtype), by_corner(w)

    def one(part: tuple[slice, slice]) -> None:
        source = x[part]
        blocks = scratch("blocks", (*source.shape[:3], 2, 2, k), w.dtype)
        np.matmul(source, corners, out=blocks.reshape(*source.shape[:3], -1))
        np.add(blocks.transpose(0, 1, 3, 2, 4, 5), bias, out=as_blocks(y[doubled(part)]))

    parallel(one, parts(x))
    return relu_forward(y) if relu else y


@fixed_sums
def up_backward(dy: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """ops.up_conv.backward."""
    if not isinstance(x, np.ndarray):
        return up_conv.backward(dy, x, w)
    c, k = w.shape[2:]
    dx, pieces, corners = empty(x.shape, dy.dtype), parts(x), by_corner(w).T.copy()
    dws = empty((len(pieces), c, 4 * k), dy.dtype)
    sums = np.empty((len(pieces), 4 * k), dy.dtype)

    def one(number: int) -> None:
        part = pieces[number]
        source = x[part].reshape(-1, c)
        blocks = scratch("blocks", (*x[part].shape[:3], 2, 2, k), dy.dtype)
        blocks[...] = as_blocks(dy[doubled(part)]).transpose(0, 1, 3, 2, 4, 5)
        rows = blocks.reshape(-1, 4 * k)
        np.matmul(rows, corners, out=dx[part].reshape(-1, c))
        np.matmul(source.T, rows, out=dws[number])
        np.matmul(np.ones(len(rows), dy.dtype), rows, out=sums[number])

    parallel(one, range(len(pieces)))
    dw = dws.sum(0).reshape(c, 2, 2, k).transpose(1, 2, 0, 3)
    return dx, dw, sums.sum(0).reshape(4, k).sum(0)


@fixed_sums
def norm_statistics(x: Array) -> tuple[Array, Array]:
    """ops.batch_norm.statistics."""
    if not isinstance(x, np.ndarray):
        return batch_norm.statistics(x)
    m = sums(lambda part: (x[part],), x)[0] / count(x)
    return m, sums(lambda part: (np.square(x[part] - m),), x)[0] / count(x)


def norm_forward(x: Array, gamma: Array, beta: Array, m: Array, v: Array) -> Array:
    """ops.batch_norm.forward, then a ReLU."""
    if not isinstance(x, np.ndarray):
        return relu.forward(batch_norm.forward(x, gamma, beta, m, v))
    y = empty(x.shape, x.dtype)

    def one(part: tuple[slice, slice]) -> None:
        y[part] = batch_norm.forward(x[part], gamma, beta, m, v)
        relu.forward(y[part], out=y[part])

    parallel(one, parts(x))
    return y


@fixed_sums
def norm_backward(
    dy: Array, x: Array, y: Array, gamma: Array, m: Array, v: Array
) -> tuple[Array, Array, Array]:
    """ops.relu.backward, y what norm_forward answered, then ops.batch_norm.backward."""
    if not isinstance(x, np.ndarray):
        return batch_norm.backward(relu.backward(dy, y), x, gamma, m, v)
    dx, sigma = empty(x.shape, dy.dtype), batch_norm.deviation(v)

    def products(part: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
        np.multiply(dy[part], y[part] > 0, out=dx[part])
        return dx[part], dx[part] * (x[part] - m)

    dbeta, along = sums(products, x)
    dgamma = along / sigma

    def one(part: tuple[slice, slice]) -> None:
        target = dx[part]
        target -= (x[part] - m) * (dgamma / (sigma * count(x)))
        target -= dbeta / count(x)
        target *= gamma / sigma

    parallel(one, parts(x))
    return dx, dgamma, dbeta


def sums(work: Callable[[tuple[slice, slice]], tuple], x: np.ndarray) -> np.ndarray:
    """The sums per channel of the arrays that work(strip) answers, over all strips of x."""
    pieces = parts(x)
    partial: list = [None] * len(pieces)

    def one(number: int) -> None:
        answers = (a.reshape(-1, x.shape[3]) for a in work(pieces[number]))
        partial[number] = [np.ones(len(rows), x.dtype) @ rows for rows in answers]

    parallel(one, range(len(pieces)))
    return np.sum(partial, axis=0)


def count(x: np.ndarray) -> int:
    """The values of a channel of x (N, H, W, C)."""
    return x.size // x.shape[3]


def by_corner(w: np.ndarray) -> np.ndarray:
    """Filters (2, 2, C, K) as a matrix (C, 4 K)."""
    return w.transpose(2, 0, 1, 3).reshape(w.shape[2], -1)


def as_blocks(y: np.ndarray) -> np.ndarray:
    """An image (N, 2 H, 2 W, K) as a view (N, H, 2, W, 2, K) of its 2x2 blocks."""
    (n, height, width, k), s = y.shape, y.strides
    return as_strided(
        y,
        (n, height // 2, 2, width // 2, 2, k),
        (s[0], 2 * s[1], s[1], 2 * s[2], s[2], s[3]),
    )


def parts(x: np.ndarray) -> list[tuple[slice, slice]]:
    """Strips of an image (N, H, W, C): (one image, some rows)."""
    n, rows, width, c = x.shape
    cut = strips(rows, width * c * x.itemsize)
    return [(slice(i, i + 1), rows) for i in range(n) for rows in cut]


def doubled(part: tuple[slice, slice]) -> tuple[slice, slice]:
    """The same strip at twice the resolution."""
    return part[0], slice(2 * part[1].start, 2 * part[1].stop)
