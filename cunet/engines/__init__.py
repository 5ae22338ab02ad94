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
from cunet.engines import cpu, gpu
from cunet.engines.cpu import strips, winograd
from cunet.engines.gpu import convolution, cuda, first_layer, head
from cunet.errors import CunetError, DeviceError
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
    """What does ReLU, pooling, up-convolution and sums of images."""
    return gpu if precision in cuda.DTYPES else cpu


TENSOR_CORES = tuple(cuda.DTYPES)
PRECISIONS = ("float32", "float64", *TENSOR_CORES)


def obstacle(
    device: str,
    width: int,
    in_channels: int,
    classes: int,
    padding: str = "valid",
    batch_norm: bool = False,
    sigmoid: bool = False,
) -> str | None:
    """Why a network cannot use tensor cores, in a few words; None where it can."""
    if device == "cpu":
        return "the CPU has no tensor cores"
    if width % 8:
        return f"width {width} is not a multiple of 8"
    if in_channels > first_layer.MOST_CHANNELS:
        return f"images have more than {first_layer.MOST_CHANNELS} channels"
    if classes > head.MOST_CLASSES:
        return f"there are more than {head.MOST_CLASSES} classes"
    variants = {"same padding": padding == "same", "batch normalization": batch_norm}
    for name, used in (variants | {"a sigmoid": sigmoid}).items():
        if used:
            return f"the network has {name}, which the kernels do not know"
    number = cuda.capability()
    if number < cuda.LEAST:
        return f"the GPU's compute capability is {number / 10:.1f}, tensor cores begin with 8.0"
    return None


def describe(device: str, precision: str) -> str:
    """Where and how exactly, for the person who waits: "NVIDIA H200 (cuda:0), tf32"."""
    if device == "cpu":
        return f"CPU, {precision}"
    return f"{cuda.name()} ({device}), {precision}"


def resolve_precision(name: str | None, dtype: str, obstacle: str | None) -> str:
    """The precision a network computes in; name None is tf32 where nothing stands against it.

    dtype: float32 or float64, of the weights. CunetError for another name or one that does not go
    with dtype, DeviceError where the device or the network stands against it.
    """
    if name is None:
        return "tf32" if obstacle is None and dtype == "float32" else dtype
    check_precision(name)
    if name in ("float32", "float64"):
        if name != dtype:
            raise CunetError(f"precision {name}: the weights are {dtype}")
        return name
    if dtype != "float32":
        raise CunetError(f"precision {name}: weights are kept in float32, found {dtype}")
    if obstacle is not None:
        raise DeviceError(f"precision {name} needs tensor cores: {obstacle}; use precision float32")
    return name


def check_precision(name: str | None) -> None:
    """CunetError for a name that no precision has."""
    if name is not None and name not in PRECISIONS:
        raise CunetError(f"precision: expected one of {', '.join(PRECISIONS)}, found '{name}'")
