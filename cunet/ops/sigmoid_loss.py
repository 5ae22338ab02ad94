"""Pixel-wise sigmoid and the weighted binary cross-entropy: two classes from one number.

    p    = 1 / (1 + exp(-a))                                           at every pixel
    loss = - sum over pixels of  w (l log p + (1 - l) log(1 - p))  /  norm

Shapes: logits a (N, P, Q, 1), labels l (N, P, Q) of 0 and 1, weights w (N, P, Q). Norm, ignored
pixels, targets and errors are those of softmax_loss.py; a softmax over the two numbers 0 and a is
the same function. log p = min(a, 0) - log(1 + exp(-|a|)) never overflows and never takes the
logarithm of 0; log(1 - p) = log p - a.
"""

from cunet.backend import Array, array_module
from cunet.ops.softmax_loss import targets


def forward(logits: Array, target: Array, scale: Array) -> tuple[float, Array]:
    """The loss and the probabilities p (N, P, Q, 1), which backward needs."""
    xp, a = array_module(logits), logits[..., 0]
    log_p = xp.minimum(a, 0) - xp.log1p(xp.exp(-xp.abs(a)))
    loss = -((log_p - (target == 0) * a) * scale).sum(dtype="float64")
    return float(loss), sigmoid(logits)


def backward(p: Array, target: Array, scale: Array) -> Array:
    """dlogits (N, P, Q, 1):  w (p - l) / norm."""
    return (p - target[..., None].astype(p.dtype)) * scale[..., None]


def loss(
    logits: Array, labels: Array, weights: Array | None = None, ignore: int | None = None,
    normalize: str = "weights",
) -> tuple[float, Array]:  # fmt: skip
    """The loss and dlogits (N, P, Q, 1); arguments as in softmax_loss.loss."""
    ready = targets(logits, labels, weights, ignore, normalize, classes=2)
    value, p = forward(logits, *ready)
    return value, backward(p, *ready)


def probability(logits: Array) -> Array:
    """The probabilities (..., 2) of both classes from logits (..., 1)."""
    p = sigmoid(logits)
    return array_module(p).concatenate((1 - p, p), axis=-1)


def sigmoid(logits: Array) -> Array:
    """p of any shape, exact at both ends, since exp is never taken of a positive number."""
    xp = array_module(logits)
    small = xp.exp(-xp.abs(logits))
    return xp.where(logits >= 0, 1, small) / (1 + small)
