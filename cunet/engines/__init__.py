"""The functions of `ops` by engine, and which engine and precision a network gets on a device.

    engine       for
    definition   ops as they are: GPUs in float32 and float64, and the tests
    cpu          NumPy: strips of rows for threads and cache, Winograd's convolution
    gpu          NVIDIA tensor cores, by the kernels in the .cu files

An engine is a module; all have the functions of definition.py, with the same arguments (gpu lacks
batch normalization). A layer calls those of the engine that its network was made with.

    precision   products of              activations are kept in      sums, weights
    tf32        10 bits of mantissa      float32                      float32
    float16     10 bits, small range     float16, gradients scaled    float32
    bfloat16    7 bits                   bfloat16                     float32

A GPU that has tensor cores uses tf32 by default, as the convolutions of every framework do.
The kernels are made for the paper's network and the authors' release; others run in float32, and
obstacle() says why.
"""

from types import ModuleType
from typing import Any

import numpy as np

from cunet.engines import cpu, definition, gpu
from cunet.engines.gpu import cuda, first_layer, head
from cunet.errors import CunetError, DeviceError, not_among

TENSOR_CORES = tuple(cuda.DTYPES)
DTYPES = ("float32", "float64")  # of weights
PRECISIONS = (*DTYPES, *TENSOR_CORES)


def engine_of(device: str, precision: str) -> ModuleType:
    """The engine of a network on a device ("cpu" or "cuda:0") that computes in this precision."""
    if device == "cpu":
        return cpu
    return gpu if precision in TENSOR_CORES else definition


def obstacle(device: str, shape: Any) -> str | None:
    """Why a network of this shape (net.shape.Shape) cannot use tensor cores on this device, in a
    few words; None where it can."""
    if device == "cpu":
        return "the CPU has no tensor cores"
    if shape.width % 8:
        return f"width {shape.width} is not a multiple of 8"
    if shape.in_channels > first_layer.MAX_IMAGE_CHANNELS:
        return f"images have more than {first_layer.MAX_IMAGE_CHANNELS} channels"
    if shape.classes > head.MAX_CLASSES:
        return f"there are more than {head.MAX_CLASSES} classes"
    variants = {
        "same padding": shape.padding == "same",
        "batch normalization": shape.batch_norm,
        "a sigmoid": shape.sigmoid,
    }
    for name, used in variants.items():
        if used:
            return f"the network has {name}, which the kernels do not support"
    number = cuda.capability()
    if number < cuda.LEAST_CAPABILITY:
        return f"the GPU's compute capability is {number / 10:.1f}, tensor cores begin with 8.0"
    return None


def describe(device: str, precision: str) -> str:
    """Device and precision, for progress messages: "NVIDIA H200 (cuda:0), tf32"."""
    if device == "cpu":
        return f"CPU, {precision}"
    return f"{cuda.name()} ({device}), {precision}"


def check_dtype(dtype: Any) -> str:
    """The name of a network's dtype; CunetError where it is neither float32 nor float64."""
    try:
        name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    except TypeError:
        name = repr(dtype)
    if name not in DTYPES:
        raise CunetError(f"U-Net dtype: expected one of {DTYPES}, found '{name}'")
    return name


def resolve_precision(name: str | None, dtype: str, obstacle: str | None) -> str:
    """The precision a network computes in; None for the name is tf32 where there is no obstacle.

    dtype: float32 or float64, of the weights. CunetError for another name or one that does not go
    with dtype, DeviceError where there is an obstacle.
    """
    if name is None:
        return "tf32" if obstacle is None and dtype == "float32" else dtype
    check_precision(name)
    if name in DTYPES:
        if name != dtype:
            raise CunetError(f"precision {name}: the weights are {dtype}")
        return name
    if dtype != "float32":
        raise CunetError(f"precision {name}: weights are kept in float32, found {dtype}")
    if obstacle is not None:
        raise DeviceError(f"precision {name} needs tensor cores: {obstacle}; use precision float32")
    return name


def check_precision(name: str | None) -> None:
    """CunetError for the name of no precision."""
    if name is not None and name not in PRECISIONS:
        raise not_among("precision", name, PRECISIONS)
