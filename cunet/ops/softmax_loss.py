"""Pixel-wise softmax and the weighted cross-entropy of the paper (eq. 1).

    p_k  = exp(a_k) / sum over j of exp(a_j)                     at every pixel
    loss = - sum over pixels of  w * log p_l  /  norm            l, w: the pixel's label and weight

log p_l = a_l - log(sum over j of exp(a_j)); its derivative by a_k is [k = l] - p_k, where [...] is
1 if true, else 0. So dlogits = w (p_k - [k = l]) / norm.

Shapes: logits a (N, P, Q, K), labels l (N, P, Q) integers 0 ... K-1, weights w (N, P, Q). The
norm is the sum of the weights by default (softmax_loss_layer.cpp in the authors' Caffe of 2018;
what they used in 2015 is not known), the number of pixels (Caffe's VALID) or 1. Pixels of the
ignore label count nowhere and have no gradient. `targets` makes l and w / norm ready for forward
and backward. log p = a - max - log(sum exp(a - max)) never overflows and never takes the logarithm
of 0.
"""

from cunet.backend import Array, array_module
from cunet.core_checks import label_range, loss_arrays
from cunet.errors import CunetError

NORMALIZE = ("weights", "pixels", "none")


def forward(logits: Array, target: Array, scale: Array) -> tuple[float, Array]:
    """The loss and the log-probabilities (N, P, Q, K), which backward needs."""
    xp = array_module(logits)
    log_p = logits - over_classes(xp.maximum, logits)
    log_p -= xp.log(over_classes(xp.add, xp.exp(log_p)))
    picked = xp.zeros_like(scale)
    for k in range(logits.shape[-1]):
        picked += log_p[..., k] * (target == k)
    return float(-(picked * scale).sum(dtype="float64")), log_p


def backward(log_p: Array, target: Array, scale: Array) -> Array:
    """dlogits (N, P, Q, K):  w (p_k - [k = l]) / norm."""
    xp = array_module(log_p)
    one_hot = target[..., None] == xp.arange(log_p.shape[-1])
    return (xp.exp(log_p) - one_hot) * scale[..., None]


def loss(
    logits: Array, labels: Array, weights: Array | None = None, ignore: int | None = None,
    normalize: str = "weights",
) -> tuple[float, Array]:  # fmt: skip
    """The loss (a float) and dlogits (N, P, Q, K), for labels and weights (None: ones) (N, P, Q).

    ignore is a label without effect; normalize is "weights", "pixels" or "none". CunetError for
    labels of another shape, type or range.

        loss, dlogits = cunet.softmax_loss(logits, labels, weights)
        backward(dlogits)
    """
    ready = targets(logits, labels, weights, ignore, normalize)
    value, log_p = forward(logits, *ready)
    return value, backward(log_p, *ready)


def targets(
    logits: Array, labels: Array, weights: Array | None = None, ignore: int | None = None,
    normalize: str = "weights", classes: int | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """The labels with ignored pixels set to 0, and w / norm with 0 at ignored pixels (everywhere if
    the norm is 0, that is, if no pixel counts or all weights are 0).

    classes: how many the labels may name, where it is not the number of logits.
    """
    loss_arrays(logits, labels, weights, ignore)
    xp, classes = array_module(logits), classes or logits.shape[-1]
    counted = xp.ones(labels.shape, bool) if ignore is None else labels != ignore
    target = xp.where(counted, labels, 0).astype(xp.int64)
    label_range(target, labels, classes, ignore)
    scale = counted.astype(logits.dtype)
    if weights is not None:
        scale = xp.where(counted, weights, 0).astype(logits.dtype)
    if normalize == "weights":
        norm = float(scale.sum(dtype="float64"))
    elif normalize == "pixels":
        norm = float(counted.sum())
    elif normalize == "none":
        norm = 1.0
    else:
        raise CunetError(f"loss: normalize is one of {NORMALIZE}, found '{normalize}'")
    return target, scale / logits.dtype.type(norm) if norm else xp.zeros_like(scale)


def probability(logits: Array) -> Array:
    """p (..., K), which sums to 1 over the last axis."""
    xp = array_module(logits)
    p = xp.exp(logits - over_classes(xp.maximum, logits))
    p /= over_classes(xp.add, p)
    return p


def over_classes(operation, a: Array) -> Array:
    """maximum or add over the last axis, which is kept: one pass for each of a few classes is
    many times faster than a reduction along so short an axis."""
    result = a[..., :1].copy()
    for k in range(1, a.shape[-1]):
        operation(result, a[..., k : k + 1], out=result)
    return result
