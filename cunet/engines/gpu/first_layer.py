"""The first convolution on a GPU, 3x3 from an image of 1 to 4 channels: the wrappers of
first_layer.cu.

Its filters and their gradients are float32 and so are all products; images and their gradients are
activations (see cuda.py). K is a multiple of 8. Nothing here waits for the GPU.
"""

import numpy as np

from cunet.backend import Array, array_module
from cunet.engines import definition
from cunet.engines.gpu.cuda import blocks, launch
from cunet.engines.gpu.elements import THREADS, plain, to_floats
from cunet.engines.gpu.sums import spread, sum_partials
from cunet.engines.images import split_channels
from cunet.errors import CunetError
from cunet.ops.padding import border

SIZE = (3, 3)
MAX_IMAGE_CHANNELS = 4  # there are kernels for 1 to 4
CHANNELS_PER_BLOCK, ROUNDS_PER_BLOCK, SEGMENT_PIXELS = 64, 2, 24  # as in first_layer.cu


def conv_forward(x: Array, w: Array, b: Array, padding: str = "valid", relu: bool = False) -> Array:
    """y (N, P, Q, K), as definition.conv_forward, in the dtype of x (N, H, W, C)."""
    (n, height, width, _), (c, k) = x.shape, w.shape[2:]
    split_channels(w, (x,))  # raises the error for other channels
    (rows, columns), pad = output_size(x, w.shape[:2], k, padding)
    y = array_module(x).empty((n, rows, columns, k), x.dtype)
    quads = n * rows * blocks(columns, 4)
    grid = (
        blocks(quads, ROUNDS_PER_BLOCK * (THREADS // (min(k, CHANNELS_PER_BLOCK) // 8))),
        blocks(k, CHANNELS_PER_BLOCK),
    )
    problem = x, plain(w), plain(b), y, n, height, width, k, pad, relu
    launch(x, f"first_layer_forward_{c}", grid, THREADS, *problem)
    return y


def conv_backward(
    dy: Array,
    x: Array,
    w: Array,
    y: Array | None = None,
    padding: str = "valid",
    input_gradient: bool = True,
) -> tuple[Array | None, Array, Array]:
    """dx, dw (3, 3, C, K) and db (K), as definition.conv_backward.

    Training does not need dx: it has no kernel and comes from the definition, in float32. The
    ReLU's gradient is already in dy, so y is not used.
    """
    dw, db = by_weights(dy, x, padding)
    if not input_gradient:
        return None, dw, db
    dx, _, _ = definition.conv_backward(to_floats(dy), to_floats(x), w, None, padding)
    return dx, dw, db


def by_weights(dy: Array, x: Array, padding: str = "valid") -> tuple[Array, Array]:
    """dw (3, 3, C, K) and db (K) in float32."""
    (n, height, width, c), k = x.shape, dy.shape[3]
    (rows, columns), pad = output_size(x, SIZE, k, padding)
    takers = THREADS // (min(k, CHANNELS_PER_BLOCK) // (4 if c <= 2 else 2))
    parts = spread(blocks(n * rows * blocks(columns, SEGMENT_PIXELS), takers))
    partial = array_module(x).empty((parts, 9 * c + 1, k), np.float32)
    problem = x, dy, partial, n, height, width, k, pad
    launch(x, f"first_layer_weights_{c}", (parts, blocks(k, CHANNELS_PER_BLOCK)), THREADS, *problem)
    sums = sum_partials(partial)
    return sums[: 9 * c].reshape(3, 3, c, k), sums[9 * c]


def output_size(
    x: Array, size: tuple[int, int], k: int, padding: str
) -> tuple[tuple[int, int], int]:
    """(P, Q) and the zeros around x; CunetError where these kernels cannot take the problem."""
    border(SIZE, padding)  # raises the error for another word
    pad = 1 if padding == "same" else 0
    rows, columns = x.shape[1] + 2 * pad - 2, x.shape[2] + 2 * pad - 2
    if tuple(size) != SIZE or x.shape[3] > MAX_IMAGE_CHANNELS or k % 8 or rows < 1 or columns < 1:
        raise CunetError(
            f"first layer: expected an image of up to {MAX_IMAGE_CHANNELS} channels, filters of "
            f"3x3 that fit into it, and outputs in multiples of 8, found an image {x.shape}, "
            f"filters of {size[0]}x{size[1]} and {k} outputs"
        )
    return (rows, columns), pad
