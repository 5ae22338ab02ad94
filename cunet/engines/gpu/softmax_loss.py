"""Softmax and the weighted loss on a GPU."""

import numpy as np

from cunet.backend import Array, array_module
from cunet.core_checks import loss_arrays
from cunet.engines.gpu.cuda import blocks, launch
from cunet.engines.gpu.elements import THREADS
from cunet.engines.gpu.sums import spread
from cunet.errors import CunetError
from cunet.ops.softmax_loss import NORMALIZE

LOSS_PARTS = 1024  # of the sum over pixels


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

    labels (N, P, Q) int32, weights (N, P, Q) float32 or None for ones. A label that is no class
    and not `ignore` makes the loss NaN and has no gradient. scale: an array of one float32 that
    dlogits is multiplied by, or None.
    """
    loss_arrays(logits, labels, weights, ignore)
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
