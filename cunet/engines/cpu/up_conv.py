"""Up-convolution on strips of rows."""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cunet.backend import Array
from cunet.engines.cpu.buffers import empty, scratch
from cunet.engines.cpu.max_pool import doubled
from cunet.engines.cpu.parts import parts
from cunet.engines.cpu.relu import relu_forward
from cunet.ops import up_conv
from cunet.threads import fixed_sums, parallel


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
