"""The last layer of the U-Net on a GPU, its 1x1 convolution: the wrappers of head.cu.

x (N, P, Q, C) is an activation (see cuda.py), C a multiple of 8; filters (1, 1, C, K), logits
(N, P, Q, K) and gradients of either are float32; 1 <= K <= 32. Nothing here waits for the GPU.
"""

import numpy as np

from cunet.backend import Array, array_module
from cunet.engines.gpu.cuda import blocks, launch
from cunet.engines.gpu.elements import THREADS, in_order, plain
from cunet.engines.gpu.sums import spread, sum_partials
from cunet.engines.images import split_channels
from cunet.errors import CunetError
from cunet.ops.padding import border

CLASSES = (2, 4, 8, 16, 32)  # that there are kernels for; other numbers take the next larger one
MAX_CLASSES = CLASSES[-1]


def conv_forward(x: Array, w: Array, b: Array, padding: str = "valid", relu: bool = False) -> Array:
    """The logits (N, P, Q, K), as definition.conv_forward."""
    classes, (c, k) = check(x, w), w.shape[2:]
    border((1, 1), padding)  # raises the error for another word
    pixels, lanes = x.size // c, min(32, 1 << ((c // 8).bit_length() - 1))
    logits = array_module(x).empty((*x.shape[:3], k), np.float32)
    share = THREADS // lanes * (4 if classes <= 8 else 1)
    launch(
        x, f"head_forward_{classes}", blocks(pixels, share), THREADS, x, plain(w), plain(b),
        logits, pixels, c, k, relu, shared=4 * c * classes + 1024,
    )  # fmt: skip
    return logits


def conv_backward(
    dy: Array,
    x: Array,
    w: Array,
    y: Array | None = None,
    padding: str = "valid",
    input_gradient: bool = True,
) -> tuple[Array | None, Array, Array]:
    """dx (in the dtype of x), dw (1, 1, C, K) and db (K), as definition.conv_backward.

    x has come out of a ReLU, and dx is the gradient before it: zero where x is. No ReLU follows the
    logits, so y is not used. dy may have any strides; CunetError for another shape or dtype.
    """
    classes, (c, k) = check(x, w), w.shape[2:]
    if dy.shape != (*x.shape[:3], k) or dy.dtype != np.float32:
        raise CunetError(
            f"head: expected the gradient of logits {(*x.shape[:3], k)} in float32, found "
            f"{dy.shape} in {dy.dtype}"
        )
    xp, pixels, dy = array_module(x), x.size // c, in_order(dy)
    dx = xp.empty(x.shape, x.dtype) if input_gradient else None
    channels = 8 if classes <= 4 else 4 if classes == 8 else 2  # of a thread
    takers = THREADS // min(32, c // channels)
    parts = spread(blocks(pixels, 4 * takers))
    partial = xp.empty((parts, c + 1, k), np.float32)
    grid = parts, blocks(c // channels, 32)
    problem = x, dy, plain(w), dx, partial, pixels, c, k
    launch(x, f"head_backward_{classes}", grid, THREADS, *problem)
    sums = sum_partials(partial)
    return dx, sums[:c].reshape(1, 1, c, k), sums[c]


def check(x: Array, w: Array) -> int:
    """The number of classes of the kernel to use; CunetError where there is none."""
    split_channels(w, (x,))  # raises the error for other channels
    if w.shape[:2] != (1, 1) or w.shape[2] % 8 or w.shape[3] > MAX_CLASSES:
        raise CunetError(
            f"head: expected filters (1, 1, C, K), C a multiple of 8 and K up to {MAX_CLASSES}, "
            f"found {w.shape}; use precision float32"
        )
    return next(classes for classes in CLASSES if classes >= w.shape[3])
