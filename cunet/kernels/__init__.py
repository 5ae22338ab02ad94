"""Convolution algorithms: the same sums as `ops.conv`, faster.

Each algorithm is a module with the operation's own three functions - forward, backward_data,
backward_weights. They stand in one table; the oracle test, the gradient check and the signature
test run over the table, so a new algorithm is tested by being listed.
"""

from types import ModuleType

import numpy as np

from cunet.backend import Array
from cunet.kernels import strips
from cunet.ops import conv

ALGORITHMS: dict[str, ModuleType] = {"definition": conv, "strips": strips}


def choose(w: Array) -> ModuleType:
    """The algorithm for filters w on their device.

    On the CPU strips win at every layer of every width: they keep each piece of the image in the
    cache and use all cores. On another device the definition runs as it stands, each product
    going to that device's own BLAS.
    """
    return strips if isinstance(w, np.ndarray) else conv
