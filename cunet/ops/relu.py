"""Rectified linear unit:  y = max(x, 0), element by element, for arrays of any shape."""

from cunet.backend import Array, array_module


def forward(x: Array, out: Array | None = None) -> Array:
    """max(x, 0); written into `out` where that is given (it may be x itself)."""
    return array_module(x).maximum(x, 0, out=out)


def backward(dy: Array, y: Array) -> Array:
    """dx = dy where y > 0, else 0. y remembers all that is needed: y > 0 exactly where x > 0."""
    return dy * (y > 0)
