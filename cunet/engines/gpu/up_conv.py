"""Up-convolution on tensor cores."""

from cunet.backend import Array, array_module
from cunet.engines.gpu import elements, sums
from cunet.engines.gpu.convolution import BIAS, RELU, UP, _by_weights, _convolve
from cunet.errors import CunetError


def up_forward(x: Array, w: Array, bias: Array, relu: bool = False) -> Array:
    """y (N, 2H, 2W, K), as ops.up_conv.forward: one product for all four corners."""
    (n, height, width, c), k = x.shape, w.shape[3]
    if c != w.shape[2]:
        raise CunetError(f"up-convolution: the filters expect {w.shape[2]} channels, x has {c}")
    y = array_module(x).empty((n, 2 * height, 2 * width, k), x.dtype)
    corners = elements.pack(w, x.dtype, transposed=True)  # (a, b), k, c
    _convolve(
        "up", (x,), corners, (c, 0), [y], (height, width), bias=bias,
        flags=BIAS | UP | RELU * relu, channels=4 * k,
    )  # fmt: skip
    return y


def up_backward(dy: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """dx (zero where x is), dw and dbias, as ops.up_conv.backward."""
    c, k = w.shape[2:]
    dx = array_module(x).empty(x.shape, dy.dtype)
    corners = elements.pack(w, dy.dtype, transposed=False)  # (a, b), c, k
    _convolve("up_by_data", (dy,), corners, (k, c * k), [dx], x.shape[1:3], mask=x)
    return dx, _by_weights("up", (x,), dy, w.shape), sums.column_sums(dy)
