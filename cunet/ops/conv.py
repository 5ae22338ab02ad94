"""Convolution by its definition: one matrix product for every filter tap (r, s).

    y[n, p, q, k] = b[k] + sum over r, s, c of  x[n, p + r, q + s, c] * w[r, s, c, k]

(a cross-correlation, as in Caffe and everywhere in deep learning). Shapes: x (N, H, W, C),
w (R, S, C, K), b (K), y (N, P, Q, K). Only pixels that exist are used: P = H - R + 1 and
Q = W - S + 1; zeros around x are put there by padding.py.
"""

from cunet.backend import Array, array_module
from cunet.errors import CunetError


def forward(x: Array, w: Array, b: Array) -> Array:
    """y: every tap (r, s) sees the image shifted by (r, s)."""
    (n, height, width, channels), (taps_down, taps_across, expected, outputs) = x.shape, w.shape
    rows, columns = height - taps_down + 1, width - taps_across + 1
    if channels != expected:
        raise CunetError(f"convolution: the filters expect {expected} channels, x has {channels}")
    if rows < 1 or columns < 1:
        raise CunetError(
            f"convolution: a filter of {taps_down}x{taps_across} does not fit into an image of "
            f"{height}x{width} pixels"
        )
    y = array_module(w).empty((n, rows, columns, outputs), w.dtype)
    y[...] = b
    for r in range(taps_down):
        for s in range(taps_across):
            y += x[:, r : r + rows, s : s + columns] @ w[r, s]
    return y


def backward(dy: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """dx, dw and db: every product of the definition passes dy on to both of its factors.

    y[p, q] took x[p + r, q + s] times w[r, s]; so dx[p + r, q + s] gets dy[p, q] w[r, s]^T, and
    dw[r, s] gets x[p + r, q + s]^T dy[p, q]. b reached every y once.
    """
    xp, (rows, columns) = array_module(dy), dy.shape[1:3]
    dx, dw = xp.zeros(x.shape, dy.dtype), xp.empty(w.shape, dy.dtype)
    for r in range(w.shape[0]):
        for s in range(w.shape[1]):
            place = slice(None), slice(r, r + rows), slice(s, s + columns)
            dx[place] += dy @ w[r, s].T
            # (N, P, C, Q) @ (N, P, Q, K): the product sums over columns, sum() over images and rows
            dw[r, s] = (x[place].swapaxes(2, 3) @ dy).sum((0, 1))
    return dx, dw, dy.sum((0, 1, 2))
