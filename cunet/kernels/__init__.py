"""Convolution algorithms: the same sums as `ops.conv`, faster.

Each algorithm is a module with the operation's own functions - forward, backward, backward_data,
backward_weights. They stand in one table; the oracle test, the gradient check and the signature
test run over the table, so a new algorithm is tested by being listed.
"""

from types import ModuleType

import numpy as np

from cunet.backend import Array
from cunet.kernels import strips, winograd
from cunet.ops import conv

ALGORITHMS: dict[str, ModuleType] = {"definition": conv, "strips": strips, "winograd": winograd}


def supports(algorithm: ModuleType, size: tuple[int, int]) -> bool:
    """Whether the algorithm takes filters of this size; most take any."""
    return getattr(algorithm, "SIZE", size) == size


def choose(w: Array) -> ModuleType:
    """The algorithm for filters w (R, S, C, K) on their device.

    On the CPU: Winograd for 3x3 filters of more than a few channels, strips for all else. Measured
    on one core, effective GFLOP/s of forward, strips and Winograd: 410x410 16 -> 16 channels 68 and
    87, 202x202 32 -> 32 79 and 116, 100x100 64 -> 64 99 and 228, 568x568 64 -> 64 79 and 233,
    28x28 1024 -> 1024 56 and 150. With one channel strips gather the taps instead (4 against 25 ms
    at 572x572 -> 16). On another device the definition runs as it stands, each product going to
    that device's own BLAS.
    """
    if not isinstance(w, np.ndarray):
        return conv
    return winograd if w.shape[:2] == winograd.SIZE and w.shape[2] > strips.FEW else strips
