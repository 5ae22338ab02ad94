"""Inputs for operations: seeded numbers, awkward memory layouts, devices, and two cases."""

import functools

import cupy_double
import numpy as np
import oracle

try:
    import cupy  # can be imported where there is no GPU
except ImportError:
    cupy = None

DEVICES = [cupy_double, cupy] if cupy and cupy.is_available() else [cupy_double]

TOLERANCE = {np.dtype("float32"): 2e-5, np.dtype("float64"): 1e-12}


def normal(seed, *shape):
    """Normal numbers that float32 holds exactly, so that both dtypes have the same input."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32).astype(np.float64)


def normal32(seed, *shape):
    """The same numbers as float32."""
    return normal(seed, *shape).astype(np.float32)


def noise(shape, dtype, seed=0):
    """Pixels of any value that the dtype has; of floats, normal numbers."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def strided(a):
    """The same numbers, spread out in memory, with the axes in another order and one backwards."""
    spread = np.full([2 * size for size in reversed(a.shape)], 77, a.dtype)
    view = spread[(slice(None, None, -2), *[slice(None, None, 2)] * (a.ndim - 1))].T
    view[...] = a
    return view


class Inputs:
    """Hands out arrays of one dtype and layout, and checks later whether any was changed."""

    def __init__(self, dtype, batch, layout):
        self.dtype, self.batch, self.layout, self.given = np.dtype(dtype), batch, layout, []

    def __call__(self, *arrays):
        held = tuple(self.hold(a) for a in arrays)
        return held if len(held) > 1 else held[0]

    def hold(self, a):
        if a.dtype.kind == "f":
            a = a.astype(self.dtype)
        a = strided(a) if self.layout == "strided" else np.array(a, order="C")
        a.flags.writeable = self.layout == "writeable"
        self.given.append((a, a.copy()))
        return a

    def close(self, actual, expected):
        """Same shape and dtype, and close by the largest value that is expected."""
        assert actual.shape == expected.shape and actual.dtype == self.dtype
        largest = max(1.0, np.abs(expected).max(initial=0))
        np.testing.assert_allclose(actual, expected, rtol=0, atol=largest * TOLERANCE[self.dtype])


@functools.cache
def conv_case(batch, size, padding, height=6, width=5, channels=3, outputs=2):
    """x, w, b, dy and what the oracle makes of them: y, dx, dw, db."""
    rows, columns = size if isinstance(size, tuple) else (size, size)
    x, w = normal(1, batch, height, width, channels), normal(2, rows, columns, channels, outputs)
    b = normal(3, outputs)
    y = oracle.conv_forward(x, w, b, padding)
    dy = normal(4, *y.shape)
    dx = oracle.conv_backward_data(dy, w, x.shape, padding)
    return (x, w, b, dy), (y, dx, *oracle.conv_backward_weights(x, dy, (rows, columns), padding))


def loss_case(batch):
    """Logits, labels with some 255, and weights with some 0."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, (batch, 4, 5)).astype(np.uint8)
    weights = np.abs(normal(6, batch, 4, 5))
    labels[:, 1, :2], weights[:, 2] = 255, 0
    return 3 * normal(7, batch, 4, 5, 3), labels, weights
