"""2x2 up-convolution on strips of rows, several at a time: one product for all four corners."""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cunet.engines.cpu import lines
from cunet.engines.cpu.buffers import empty, scratch
from cunet.engines.cpu.machine import addressable, takes
from cunet.engines.cpu.parts import doubled, parts
from cunet.engines.cpu.relu import relu_backward, relu_forward
from cunet.ops import up_conv
from cunet.threads import fixed_sums, parallel


@fixed_sums
def up_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray, relu: bool = False) -> np.ndarray:
    """ops.up_conv.forward, followed by a ReLU if `relu`."""
    if x.shape[3] != w.shape[2]:
        return up_conv.forward(x, w, b)  # raises the error for other channels
    (n, height, width, _), k = x.shape, w.shape[3]
    y = empty((n, 2 * height, 2 * width, k), w.dtype)
    if width >= lines.SHORTEST and b.shape == (k,) and takes((k,), (x, w)):
        corner_by_corner(addressable(x), w, b, y, relu)
        return y
    corners = by_corner(w)

    def one(part: tuple[slice, slice]) -> None:
        source = x[part]
        blocks = scratch("blocks", (*source.shape[:3], 2, 2, k), w.dtype)
        np.matmul(source, corners, out=blocks.reshape(*source.shape[:3], -1))
        np.add(blocks.transpose(0, 1, 3, 2, 4, 5), b, out=as_blocks(y[doubled(part)]))

    parallel(one, parts(x))
    return relu_forward(y) if relu else y


@fixed_sums
def up_backward(
    dy: np.ndarray, x: np.ndarray, w: np.ndarray, y: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ops.up_conv.backward; y is what forward returned if a ReLU followed."""
    dy = dy if y is None else relu_backward(dy, y)
    c, k = w.shape[2:]
    dx, pieces, corners = empty(x.shape, dy.dtype), parts(x), empty((2, 2, k, c), w.dtype)
    corners[...] = w.swapaxes(2, 3)
    corners = corners.reshape(-1, c)  # by_corner(w).T
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


def corner_by_corner(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, y: np.ndarray, relu: bool
) -> None:
    """The same in machine code: every second line and pixel of y is a product of x with w[r, s]."""
    corners = {(r, s): lines.in_blocks(w[r : r + 1, s : s + 1]) for r in range(2) for s in range(2)}

    def one(part: tuple[slice, slice]) -> None:
        for (r, s), u in corners.items():
            lines.multiply(x[part][0], u, b, y[doubled(part)][0, r::2, s::2], relu)

    parallel(one, parts(x))


def by_corner(w: np.ndarray) -> np.ndarray:
    """Filters (2, 2, C, K) as a matrix (C, 4 K)."""
    corners = empty((w.shape[2], 2, 2, w.shape[3]), w.dtype)
    corners[...] = w.transpose(2, 0, 1, 3)
    return corners.reshape(w.shape[2], -1)


def as_blocks(y: np.ndarray) -> np.ndarray:
    """An image (N, 2 H, 2 W, K) as a view (N, H, 2, W, 2, K) of its 2x2 blocks."""
    (n, height, width, k), s = y.shape, y.strides
    return as_strided(
        y,
        (n, height // 2, 2, width // 2, 2, k),
        (s[0], 2 * s[1], s[1], 2 * s[2], s[2], s[3]),
    )
