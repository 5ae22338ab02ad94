"""ReLU on strips of rows, several at a time."""

import numpy as np

from cunet.engines.cpu.buffers import empty
from cunet.engines.cpu.parts import parts
from cunet.ops import relu
from cunet.threads import parallel


def relu_forward(y: np.ndarray) -> np.ndarray:
    """ops.relu.forward in place."""
    parallel(lambda part: relu.forward(y[part], out=y[part]), parts(y))
    return y


def relu_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """ops.relu.backward."""
    dx = empty(y.shape, y.dtype)
    parallel(lambda part: np.multiply(dy[part], y[part] > 0, out=dx[part]), parts(y))
    return dx
