"""2x2 max-pooling with stride 2:

    y[n, p, q, c] = max over a, b in {0, 1} of  x[n, 2p + a, 2q + b, c]

Shapes: x (N, 2P, 2Q, C), y (N, P, Q, C). y is one of four x: its derivative is 1 by that one and 0
by the others, so that one gets the gradient; of several equal maxima the first in reading order, as
in Caffe (pooling_layer.cpp). No index is stored: x and y show where it was.
"""

from cunet.backend import Array, array_module
from cunet.errors import CunetError

WINDOW = ((0, 0), (0, 1), (1, 0), (1, 1))  # (a, b) in reading order


def forward(x: Array) -> Array:
    """The maximum of every 2x2 window; a CunetError where a side of x is odd."""
    height, width = x.shape[1:3]
    if height % 2 or width % 2:
        raise CunetError(
            f"max-pool: an image of {height}x{width} pixels does not divide into 2x2 windows; "
            f"use {height + height % 2}x{width + width % 2} or crop to "
            f"{height - height % 2}x{width - width % 2}"
        )
    maximum = array_module(x).maximum
    y = maximum(x[:, 0::2, 0::2], x[:, 0::2, 1::2])
    maximum(y, x[:, 1::2, 0::2], out=y)
    return maximum(y, x[:, 1::2, 1::2], out=y)


def backward(dy: Array, x: Array, y: Array) -> Array:
    """dx: dy at the first maximum of each window, zero elsewhere."""
    xp = array_module(x)
    dx = xp.empty(x.shape, dy.dtype)
    free = xp.ones(y.shape, bool)  # windows whose maximum has not been met yet
    for a, b in WINDOW:
        hit = x[:, a::2, b::2] == y
        hit &= free
        free ^= hit
        xp.multiply(dy, hit, out=dx[:, a::2, b::2])
    return dx
