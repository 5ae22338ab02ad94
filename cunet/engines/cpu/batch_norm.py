"""Batch normalization on strips of rows."""

from collections.abc import Callable

import numpy as np

from cunet.backend import Array
from cunet.engines.cpu.buffers import empty
from cunet.engines.cpu.parts import parts
from cunet.ops import batch_norm, relu
from cunet.threads import fixed_sums, parallel


@fixed_sums
def norm_statistics(x: Array) -> tuple[Array, Array]:
    """ops.batch_norm.statistics."""
    if not isinstance(x, np.ndarray):
        return batch_norm.statistics(x)
    m = sums(lambda part: (x[part],), x)[0] / count(x)
    return m, sums(lambda part: (np.square(x[part] - m),), x)[0] / count(x)


def norm_forward(x: Array, gamma: Array, beta: Array, m: Array, v: Array) -> Array:
    """ops.batch_norm.forward, then a ReLU."""
    if not isinstance(x, np.ndarray):
        return relu.forward(batch_norm.forward(x, gamma, beta, m, v))
    y = empty(x.shape, x.dtype)

    def one(part: tuple[slice, slice]) -> None:
        y[part] = batch_norm.forward(x[part], gamma, beta, m, v)
        relu.forward(y[part], out=y[part])

    parallel(one, parts(x))
    return y


@fixed_sums
def norm_backward(
    dy: Array, x: Array, y: Array, gamma: Array, m: Array, v: Array
) -> tuple[Array, Array, Array]:
    """ops.relu.backward, y what norm_forward answered, then ops.batch_norm.backward."""
    if not isinstance(x, np.ndarray):
        return batch_norm.backward(relu.backward(dy, y), x, gamma, m, v)
    dx, sigma = empty(x.shape, dy.dtype), batch_norm.deviation(v)

    def products(part: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
        np.multiply(dy[part], y[part] > 0, out=dx[part])
        return dx[part], dx[part] * (x[part] - m)

    dbeta, along = sums(products, x)
    dgamma = along / sigma

    def one(part: tuple[slice, slice]) -> None:
        target = dx[part]
        target -= (x[part] - m) * (dgamma / (sigma * count(x)))
        target -= dbeta / count(x)
        target *= gamma / sigma

    parallel(one, parts(x))
    return dx, dgamma, dbeta


def sums(work: Callable[[tuple[slice, slice]], tuple], x: np.ndarray) -> np.ndarray:
    """The sums per channel of the arrays that work(strip) answers, over all strips of x."""
    pieces = parts(x)
    partial: list = [None] * len(pieces)

    def one(number: int) -> None:
        answers = (a.reshape(-1, x.shape[3]) for a in work(pieces[number]))
        partial[number] = [np.ones(len(rows), x.dtype) @ rows for rows in answers]

    parallel(one, range(len(pieces)))
    return np.sum(partial, axis=0)


def count(x: np.ndarray) -> int:
    """The values of a channel of x (N, H, W, C)."""
    return x.size // x.shape[3]
