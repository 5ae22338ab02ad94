"""The end of the U-Net on a GPU: its 1x1 convolution, with the functions of ops.conv, softmax, and
the weighted loss of ops.softmax_loss. The wrappers of head.cu.

x (N, P, Q, C) is an activation (see cuda.py), C a multiple of 8; filters (1, 1, C, K), logits
(N, P, Q, K) and gradients of either are float32; 1 <= K <= 32. Nothing here waits for the GPU.
"""

import numpy as np

from cunet.backend import Array, array_module
from cunet.errors import CunetError
from cunet.kernels.cuda import blocks, launch
from cunet.kernels.images import THREADS, spread, sum_partials
from cunet.ops import conv
from cunet.ops.softmax_loss import NORMALIZE

CLASSES = (2, 4, 8, 16, 32)  # that there are kernels for; fewer take the next one
MOST_CLASSES = CLASSES[-1]
LOSS_PARTS = 1024  # of the sum over pixels


def forward(x: Array, w: Array, b: Array, padding: str = "valid", relu: bool = False) -> Array:
    """The logits (N, P, Q, K), as ops.conv.forward."""
    classes, (c, k) = check(x, w), w.shape[2:]
    conv.check_padding(padding)
    pixels, lanes = x.size // c, min(32, 1 << ((c // 8).bit_length() - 1))
    logits = array_module(x).empty((*x.shape[:3], k), np.float32)
    each = THREADS // lanes * (4 if classes <= 8 else 1)
    launch(
        x, f"head_forward_{classes}", blocks(pixels, each), THREADS, x, w, b, logits, pixels, c, k,
        relu, shared=4 * c * classes + 1024,
    )  # fmt: skip
    return logits


def backward(
    x: Array,
    dlogits: Array,
    w: Array,
    padding: str = "valid",
    input_gradient: bool = True,
    y: Array | None = None,
) -> tuple[Array | None, Array, Array]:
    """dx (in the dtype of x), dw (1, 1, C, K) and db (K), as ops.conv.backward.

    x has come out of a ReLU, and dx is the gradient before it: zero where x is. There is no ReLU
    behind the logits, so y is not looked at.
    """
    classes, (c, k) = check(x, w), w.shape[2:]
    xp, pixels = array_module(x), x.size // c
    dx = xp.empty(x.shape, x.dtype) if input_gradient else None
    each = 8 if classes <= 4 else 4 if classes == 8 else 2  # channels of a thread
    takers = THREADS // min(32, c // each)
    parts = spread(blocks(pixels, 4 * takers))
    partial = xp.empty((parts, c + 1, k), np.float32)
    grid = parts, blocks(c // each, 32)
    problem = x, dlogits, w, dx, partial, pixels, c, k
    launch(x, f"head_backward_{classes}", grid, THREADS, *problem)
    sums = sum_partials(partial)
    return dx, sums[:c].reshape(1, 1, c, k), sums[c]


def check(x: Array, w: Array) -> int:
    """For how many classes the kernel is; CunetError where there is none."""
    conv.split_channels(w, (x,))  # which says what is wrong with other channels
    if w.shape[:2] != (1, 1) or w.shape[2] % 8 or w.shape[3] > MOST_CLASSES:
        raise CunetError(
            f"head: expected filters (1, 1, C, K), C a multiple of 8 and K up to {MOST_CLASSES}, "
            f"found {w.shape}; use precision float32"
        )
    return next(classes for classes in CLASSES if classes >= w.shape[3])


def softmax(logits: Array) -> Array:
    """The probabilities p (N, P, Q, K)."""
    p, k = array_module(logits).empty(logits.shape, np.float32), logits.shape[-1]
    pixels = logits.size // k
    launch(None, "softmax", blocks(pixels, THREADS), THREADS, logits, p, pixels, k)
    return p


def loss(
    logits: Array,
    labels: Array,
    weights: Array | None = None,
    ignore: int | None = None,
    normalize: str = "weights",
    scale: Array | None = None,
) -> tuple[Array, Array]:
    """The loss (an array of one float64) and dlogits (N, P, Q, K), as ops.softmax_loss.

    labels (N, P, Q) int32, weights (N, P, Q) float32 or None for ones. A label that names no class
    and is not `ignore` makes the loss NaN and has no gradient. scale: an array of one float32 that
    dlogits is multiplied by, or None.
    """
    if labels.shape != logits.shape[:-1] or (weights is not None and weights.shape != labels.shape):
        raise CunetError(
            f"loss: logits {logits.shape} need labels and weights of shape {logits.shape[:-1]}, "
            f"found {labels.shape}" + (f" and {weights.shape}" if weights is not None else "")
        )
    if labels.dtype != np.int32:
        raise CunetError(f"loss: labels must be int32 on a GPU, found {labels.dtype}")
    if normalize not in NORMALIZE:
        raise CunetError(f"loss: normalize is one of {NORMALIZE}, found '{normalize}'")
    xp = array_module(logits)
    pixels, k = labels.size, logits.shape[-1]
    ignored, parts = (ignore is not None, ignore or 0), spread(blocks(pixels, THREADS), LOSS_PARTS)
    norms = None
    if normalize != "none":
        norms = xp.empty(spread(blocks(pixels, 4 * THREADS), THREADS), np.float64)
        counted = weights if normalize == "weights" else None
        launch(None, "loss_norm", norms.size, THREADS, labels, counted, norms, pixels, *ignored)
    losses, total = xp.empty(parts, np.float64), xp.empty(1, np.float64)
    dlogits = xp.empty(logits.shape, np.float32)
    launch(
        None, "loss_pixels", parts, THREADS, logits, labels, weights, norms,
        norms.size if norms is not None else 0, scale, losses, dlogits, pixels, k, *ignored,
    )  # fmt: skip
    launch(None, "loss_sum", 1, THREADS, losses, total, parts)
    return total, dlogits
