"""Batch normalization and the ReLU after it, on strips of rows, several at a time."""

from collections.abc import Callable

import numpy as np

from cunet.engines.cpu.buffers import empty
from cunet.engines.cpu.parts import parts
from cunet.ops import batch_norm, relu
from cunet.threads import fixed_sums, parallel


@fixed_sums
def norm_statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ops.batch_norm.statistics."""
    m = sums(lambda part: (x[part],), x)[0] / count(x)
    return m, sums(lambda part: (np.square(x[part] - m),), x)[0] / count(x)


def norm_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, m: np.ndarray, v: np.ndarray
) -> np.ndarray:
    """ops.batch_norm.forward, then a ReLU."""
    y = empty(x.shape, x.dtype)

    def one(part: tuple[slice, slice]) -> None:
        y[part] = batch_norm.forward(x[part], gamma, beta, m, v)
        relu.forward(y[part], out=y[part])

    parallel(one, parts(x))
    return y


@fixed_sums
def norm_backward(
    dy: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    gamma: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    own: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ops.relu.backward, then ops.batch_norm.backward; y is what norm_forward returned."""
    dx, sigma = empty(x.shape, dy.dtype), batch_norm.deviation(v)

    def products(part: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
        np.multiply(dy[part], y[part] > 0, out=dx[part])
        return dx[part], dx[part] * (x[part] - m)

    dbeta, along = sums(products, x)
    dgamma = along / sigma

    def one(part: tuple[slice, slice]) -> None:
        target = dx[part]
        if own:
            target -= (x[part] - m) * (dgamma / (sigma * count(x)))
            target -= dbeta / count(x)
        target *= gamma / sigma

    parallel(one, parts(x))
    return dx, dgamma, dbeta


def sums(work: Callable[[tuple[slice, slice]], tuple], x: np.ndarray) -> np.ndarray:
    """The sums per channel of the arrays that work(strip) returns, over all strips of x."""
    pieces = parts(x)
    partial: list = [None] * len(pieces)

    def one(number: int) -> None:
        columns = (a.reshape(-1, x.shape[3]) for a in work(pieces[number]))
        partial[number] = [np.ones(len(rows), x.dtype) @ rows for rows in columns]

    parallel(one, range(len(pieces)))
    return np.sum(partial, axis=0)


def count(x: np.ndarray) -> int:
    """How many values a channel of x (N, H, W, C) has."""
    return x.size // x.shape[3]
