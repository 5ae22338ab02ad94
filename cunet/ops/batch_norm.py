"""Batch normalization (Ioffe and Szegedy 2015, algorithm 1): each channel gets a learned mean
(beta) and deviation (gamma).

    m = mean of x,   v = mean of (x - m)^2         over the N H W values of a channel
    xhat = (x - m) / sqrt(v + EPSILON),   y = gamma xhat + beta

An x moves its own y directly, and every y of the channel through m and through v. The way through m
takes the mean of dy off, since a shift of all x changes no y; the way through v takes off what lies
along xhat, since a stretch of all x changes none either:

    dbeta = sum of dy,   dgamma = sum of dy xhat
    dx = gamma / sqrt(v + EPSILON) * (dy - (dbeta + xhat dgamma) / (N H W))

Shapes: x, y (N, H, W, C); gamma, beta, m, v (C). A trained network uses running means of m and of
the unbiased v instead: y is then a fixed scale and shift of x, and so is dx of dy.
"""

from cunet.backend import Array, array_module

EPSILON = 1e-5
NEWEST = 0.1  # weight of the newest batch in the running statistics


def statistics(x: Array) -> tuple[Array, Array]:
    """The mean and the variance (C) of every channel of x (N, H, W, C)."""
    m = x.mean((0, 1, 2))
    return m, array_module(x).square(x - m).mean((0, 1, 2))


def forward(x: Array, gamma: Array, beta: Array, m: Array, v: Array) -> Array:
    """y (N, H, W, C), with the statistics of x itself or with running ones."""
    return (x - m) * (gamma / deviation(v)) + beta


def backward(
    dy: Array, x: Array, gamma: Array, m: Array, v: Array, own: bool = True
) -> tuple[Array, Array, Array]:
    """dx (N, H, W, C), dgamma (C) and dbeta (C).

    own: m and v are the statistics of x itself, as in training; otherwise they are constants.
    """
    xhat = (x - m) / deviation(v)
    dgamma, dbeta = (dy * xhat).sum((0, 1, 2)), dy.sum((0, 1, 2))
    if not own:
        return gamma / deviation(v) * dy, dgamma, dbeta
    count = x.size // x.shape[3]
    return gamma / deviation(v) * (dy - (dbeta + xhat * dgamma) / count), dgamma, dbeta


def deviation(v: Array) -> Array:
    """sqrt(v + EPSILON), in the dtype of v."""
    return array_module(v).sqrt(v + v.dtype.type(EPSILON))


def running(old: Array, new: Array) -> None:
    """old <- (1 - NEWEST) old + NEWEST new, in place."""
    old += NEWEST * (new - old)


def unbiased(v: Array, count: int) -> Array:
    """The unbiased variance estimated from `count` values: algorithm 2, line 10."""
    return v * (count / max(1, count - 1))
