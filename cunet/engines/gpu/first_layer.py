"""The first convolution on a GPU, 3x3 from an image of 1 to 4 channels: the wrappers of
first_layer.cu, with the functions of ops.conv.

Its filters and their gradients are float32 and so are all products; images and their gradients are
activations (see cuda.py). K is a multiple of 8. Nothing here waits for the GPU.
"""

import numpy as np

from cunet.backend import Array, array_module
from cunet.engines.gpu.cuda import blocks, launch
from cunet.engines.gpu.elements import THREADS, to_floats
from cunet.engines.gpu.sums import spread, sum_partials
from cunet.errors import CunetError
from cunet.ops import conv

SIZE = (3, 3)
MOST_CHANNELS = 4  # of the image
CHANNELS, ROUNDS, SEGMENT = 64, 2, 24  # as in first_layer.cu


def forward(x: Array, w: Array, b: Array, padding: str = "valid", relu: bool = False) -> Array:
    """y (N, P, Q, K), as ops.conv.forward, in the dtype of x (N, H, W, C)."""
    (n, height, width, _), (c, k) = x.shape, w.shape[2:]
    conv.split_channels(w, (x,))  # which says what is wrong with other channels
    (rows, columns), pad = output_size(x, w.shape[:2], k, padding)
    y = array_module(x).empty((n, rows, columns, k), x.dtype)
    quads = n * rows * blocks(columns, 4)
    grid = blocks(quads, ROUNDS * (THREADS // (min(k, CHANNELS) // 8))), blocks(k, CHANNELS)
    problem = x, w, b, y, n, height, width, k, pad, relu
    launch(x, f"first_layer_forward_{c}", grid, THREADS, *problem)
    return y


def backward_data(dy: Array, w: Array, padding: str = "valid") -> Array:
    """dx (N, H, W, C) in float32, by ops.conv.backward_data: who trains does not need it."""
    return conv.backward_data(to_floats(dy), w, padding)


def backward_weights(
    x: Array, dy: Array, size: tuple[int, int], padding: str = "valid"
) -> tuple[Array, Array]:
    """dw (3, 3, C, K) and db (K) in float32, as ops.conv.backward_weights."""
    (n, height, width, c), k = x.shape, dy.shape[3]
    (rows, columns), pad = output_size(x, size, k, padding)
    takers = THREADS // (min(k, CHANNELS) // (4 if c <= 2 else 2))
    parts = spread(blocks(n * rows * blocks(columns, SEGMENT), takers))
    partial = array_module(x).empty((parts, 9 * c + 1, k), np.float32)
    problem = x, dy, partial, n, height, width, k, pad
    launch(x, f"first_layer_weights_{c}", (parts, blocks(k, CHANNELS)), THREADS, *problem)
    sums = sum_partials(partial)
    return sums[: 9 * c].reshape(3, 3, c, k), sums[9 * c]


def backward(
    x: Array,
    dy: Array,
    w: Array,
    padding: str = "valid",
    input_gradient: bool = True,
    y: Array | None = None,
) -> tuple[Array | None, Array, Array]:
    """All gradients at once, as ops.conv.backward; dx is None where it is not wanted.

    dy has been through this layer's own ReLU where it was made, so y is not looked at.
    """
    dw, db = backward_weights(x, dy, w.shape[:2], padding)
    return backward_data(dy, w, padding) if input_gradient else None, dw, db


def output_size(
    x: Array, size: tuple[int, int], k: int, padding: str
) -> tuple[tuple[int, int], int]:
    """(P, Q) and the zeros around x; CunetError where these kernels cannot take the problem."""
    conv.check_padding(padding)
    pad = 1 if padding == "same" else 0
    rows, columns = x.shape[1] + 2 * pad - 2, x.shape[2] + 2 * pad - 2
    if tuple(size) != SIZE or x.shape[3] > MOST_CHANNELS or k % 8 or rows < 1 or columns < 1:
        raise CunetError(
            f"first layer: expected filters of 3x3 that fit into the image, up to {MOST_CHANNELS} "
            f"channels of it and outputs in multiples of 8, found an image {x.shape}, filters of "
            f"{size[0]}x{size[1]} and {k} outputs"
        )
    return (rows, columns), pad
