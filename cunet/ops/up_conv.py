"""2x2 up-convolution with stride 2 (transposed convolution): every pixel becomes a 2x2 block.

    y[n, 2i + a, 2j + b, k] = bias[k] + sum over c of  x[n, i, j, c] * w[a, b, c, k]

for a, b in {0, 1}. Shapes: x (N, H, W, C), w (2, 2, C, K), bias (K), y (N, 2H, 2W, K). The blocks
do not overlap, so each output sees exactly one input pixel.
"""

from cunet.backend import Array, array_module
from cunet.errors import CunetError
from cunet.ops.max_pool import WINDOW


def forward(x: Array, w: Array, bias: Array) -> Array:
    """The up-sampled image y (N, 2H, 2W, K)."""
    n, height, width, channels = x.shape
    if channels != w.shape[2]:
        raise CunetError(
            f"up-convolution: the filters expect {w.shape[2]} channels, x has {channels}"
        )
    y = array_module(x).empty((n, 2 * height, 2 * width, w.shape[3]), w.dtype)
    for a, b in WINDOW:
        y[:, a::2, b::2] = x @ w[a, b] + bias
    return y


def backward(dy: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """The gradients dx (N, H, W, C), dw (2, 2, C, K) and dbias (K)."""
    xp = array_module(x)
    dx, dw = xp.zeros(x.shape, dy.dtype), xp.empty(w.shape, dy.dtype)
    for a, b in WINDOW:
        corner = dy[:, a::2, b::2]  # the outputs that used w[a, b]
        dx += corner @ w[a, b].T
        dw[a, b] = (x.swapaxes(2, 3) @ corner).sum((0, 1))
    return dx, dw, dy.sum((0, 1, 2))
