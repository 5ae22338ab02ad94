"""The same sums as in `ops`, faster: algorithms of the CPU, and kernels for a GPU's tensor cores.

Each algorithm of a convolution is a module with the operation's own functions - forward, backward,
backward_data, backward_weights. Those of the CPU stand in one table; the oracle test, the gradient
check and the signature test run over the table, so a new algorithm is tested by being listed.

On a GPU a network of precision float32 or float64 runs the definitions, through CuPy and cuBLAS;
one of precision tf32, float16 or bfloat16 runs the kernels in the .cu files (see cuda.py).
"""

from types import ModuleType

import numpy as np

from cunet.backend import Array
from cunet.kernels import convolution, cuda, first_layer, head, images, rows, strips, winograd
from cunet.ops import conv

ALGORITHMS: dict[str, ModuleType] = {"definition": conv, "strips": strips, "winograd": winograd}


def supports(algorithm: ModuleType, size: tuple[int, int]) -> bool:
    """Whether the algorithm takes filters of this size; most take any."""
    return getattr(algorithm, "SIZE", size) == size


def choose(w: Array, precision: str = "float32") -> ModuleType:
    """The algorithm for filters w (R, S, C, K) on their device and in this precision.

    On the CPU: Winograd for 3x3 filters of more than a few channels, strips for all else. Measured
    on one core, effective GFLOP/s of forward, strips and Winograd: 410x410 16 -> 16 channels 68 and
    87, 202x202 32 -> 32 79 and 116, 100x100 64 -> 64 99 and 228, 568x568 64 -> 64 79 and 233,
    28x28 1024 -> 1024 56 and 150. With one channel strips gather the taps instead (4 against 25 ms
    at 572x572 -> 16). On a GPU without tensor cores the definition runs as it stands, each product
    going to the GPU's own BLAS.
    """
    if precision in cuda.DTYPES:
        if w.shape[:2] == (1, 1):
            return head
        return first_layer if w.shape[2] <= first_layer.MOST_CHANNELS else convolution
    if not isinstance(w, np.ndarray):
        return conv
    return winograd if w.shape[:2] == winograd.SIZE and w.shape[2] > strips.FEW else strips


def choose_rows(precision: str) -> ModuleType:
    """What does ReLU, pooling and sums of images: the module images on tensor cores, else rows."""
    return images if precision in cuda.DTYPES else rows


def choose_up(precision: str) -> ModuleType:
    """What does up-convolutions: a module with up_forward and up_backward."""
    return convolution if precision in cuda.DTYPES else rows
