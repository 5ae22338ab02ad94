"""Convolution on the CPU, by the algorithm that is fastest for its filters.

An algorithm is a module with conv_forward and conv_backward. They are in one table; the oracle
test, the gradient check and the signature test run over it, so that a new algorithm is tested by
being listed.
"""

from types import ModuleType

import numpy as np

from cunet.engines import definition
from cunet.engines.cpu import strips, winograd

ALGORITHMS: dict[str, ModuleType] = {
    "definition": definition,
    "strips": strips,
    "winograd": winograd,
}


def supports(algorithm: ModuleType, size: tuple[int, int]) -> bool:
    """Whether the algorithm takes filters of this size (R, S); most take any."""
    return getattr(algorithm, "SIZE", size) == size


def choose(w: np.ndarray) -> ModuleType:
    """The algorithm for filters w (R, S, C, K): Winograd for 3x3 filters of more than a few
    channels, strips for all else.

    Measured on one core, effective GFLOP/s of forward, strips and Winograd: 410x410 16 -> 16
    channels 68 and 87, 202x202 32 -> 32 79 and 116, 100x100 64 -> 64 99 and 228, 568x568 64 -> 64
    79 and 233, 28x28 1024 -> 1024 56 and 150. With one channel strips gather the taps instead (4
    against 25 ms at 572x572 -> 16).
    """
    wide = w.shape[2] > strips.GATHERED_CHANNELS
    return winograd if w.shape[:2] == winograd.SIZE and wide else strips


def conv_forward(
    x: np.ndarray | tuple[np.ndarray, ...],
    w: np.ndarray,
    b: np.ndarray,
    padding: str = "valid",
    relu: bool = False,
) -> np.ndarray:
    """y (N, P, Q, K), as definition.conv_forward."""
    return choose(w).conv_forward(x, w, b, padding, relu)


def conv_backward(
    dy: np.ndarray,
    x: np.ndarray | tuple[np.ndarray, ...],
    w: np.ndarray,
    y: np.ndarray | None = None,
    padding: str = "valid",
    input_gradient: bool = True,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """dx or None, dw and db, as definition.conv_backward."""
    return choose(w).conv_backward(dy, x, w, y, padding, input_gradient)
