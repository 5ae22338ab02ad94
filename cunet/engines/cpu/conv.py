"""Convolution on the CPU, by the algorithm that is fastest for its filters.

An algorithm is a module with conv_forward and conv_backward. They are in one table; the oracle
test, the gradient check and the signature test run over it, so that a new algorithm is tested by
being listed.
"""

from types import ModuleType

import numpy as np

from cunet.engines import definition
from cunet.engines.cpu import lines, strips, winograd, winograd_fused

ALGORITHMS: dict[str, ModuleType] = {
    "definition": definition,
    "strips": strips,
    "lines": lines,
    "winograd": winograd,
    "winograd_fused": winograd_fused,
}
SINGLE = {"lines", "winograd_fused"}  # machine code of float32 alone; they hand float64 to others
FUSED_PRODUCT = 256 * 128  # C K above which BLAS and large strips are as fast


def supports(algorithm: ModuleType, size: tuple[int, int]) -> bool:
    """Whether the algorithm takes filters of this size (R, S); most take any."""
    return getattr(algorithm, "SIZE", size) == size


def choose(w: np.ndarray) -> ModuleType:
    """The algorithm for filters w (R, S, C, K): lines for few channels, Winograd for 3x3 filters of
    more, fused where there are not too many, strips for all else.

    Measured on one core with AVX2 (sgemm 75 GFLOP/s), effective GFLOP/s of forward, Winograd and
    fused: 568x568 16 -> 16 channels 30 and 114, 280x280 32 -> 32 64 and 142, 136x136 64 -> 64 118
    and 193, 54x54 256 -> 128 109 and 165, 28x28 256 -> 256 106 and 115, where fused backward is
    slower. Strips: 68, 79, 99 and 56 on another core. With one channel lines take 2.5 ms at 572x572
    -> 16, strips, which gather the taps, 10, and Winograd more.
    """
    r, s, c, k = w.shape
    if c <= strips.GATHERED_CHANNELS:
        return lines
    if (r, s) != winograd.SIZE:
        return strips
    return winograd_fused if c * k <= FUSED_PRODUCT else winograd


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
