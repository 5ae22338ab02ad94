"""How exactly a network computes: float32 or float64 anywhere, and on the tensor cores of a GPU

    precision   products of              activations are kept in      sums, weights
    tf32        10 bits of mantissa      float32                      float32
    float16     10 bits, small range     float16, gradients scaled    float32
    bfloat16    7 bits                   bfloat16                     float32

A GPU that has tensor cores uses tf32 unless told otherwise, as every framework's convolutions do.
The kernels are made for the paper's network: a variant that they do not know runs in float32.
"""

from cunet.errors import CunetError, DeviceError
from cunet.kernels import cuda, first_layer, head

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
