"""2x2 up-convolution on tensor cores, by the kernels of convolution.cu and weights.cu: one product
for all four corners of a block. Arrays are as in convolution.py."""

from cunet.backend import Array, array_module
from cunet.engines.gpu.elements import pack, plain
from cunet.engines.gpu.fresh import gradients_of
from cunet.engines.gpu.launches import launch_product
from cunet.engines.gpu.product import BIAS, RELU, UP, launch_by_weights
from cunet.engines.gpu.relu import relu_backward
from cunet.engines.gpu.sums import column_sums
from cunet.ops import up_conv


def up_forward(x: Array, w: Array, b: Array, relu: bool = False) -> Array:
    """y (N, 2H, 2W, K), as definition.up_forward."""
    (n, height, width, c), k = x.shape, w.shape[3]
    if c != w.shape[2]:
        return up_conv.forward(x, w, b)  # raises the error for other channels
    y = array_module(x).empty((n, 2 * height, 2 * width, k), x.dtype)
    corners = pack(w, x.dtype, transposed=True)  # (a, b), k, c
    launch_product(
        "up", (x,), corners, (c, 0), [y], (height, width), bias=plain(b),
        flags=BIAS | UP | RELU * relu, channels=4 * k,
    )  # fmt: skip
    return y


def up_backward(
    dy: Array, x: Array, w: Array, y: Array | None = None
) -> tuple[Array, Array, Array]:
    """dx (zero where x is), dw and db, as definition.up_backward."""
    dy = dy if y is None else relu_backward(dy, y)
    c, k = w.shape[2:]
    dx = array_module(x).empty(x.shape, dy.dtype)
    corners = pack(w, dy.dtype, transposed=False)  # (a, b), c, k
    launch_product("up_by_data", (dy,), corners, (k, c * k), [dx], x.shape[1:3], mask=x)
    own_dw, own_db = gradients_of(w)
    return dx, launch_by_weights("up", (x,), dy, w.shape, own_dw), column_sums(dy, own_db)
