"""ReLU on strips of rows."""

import numpy as np

from cunet.backend import Array
from cunet.engines.cpu.buffers import empty
from cunet.engines.cpu.parts import parts
from cunet.ops import relu
from cunet.threads import parallel


def relu_forward(y: Array) -> Array:
    """ops.relu.forward in place."""
    if not isinstance(y, np.ndarray):
        return relu.forward(y, out=y)
    parallel(lambda part: relu.forward(y[part], out=y[part]), parts(y))
    return y


def relu_backward(dy: Array, y: Array) -> Array:
    """ops.relu.backward."""
    if not isinstance(y, np.ndarray):
        return relu.backward(dy, y)
    dx = empty(y.shape, y.dtype)
    parallel(lambda part: np.multiply(dy[part], y[part] > 0, out=dx[part]), parts(y))
    return dx
