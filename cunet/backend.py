"""Arrays and devices: which library owns an array, and the three places where arrays change device.

`xp` always comes from the array itself, so every operation runs on NumPy and on CuPy from one
body of code. The device is named once, where a program begins, as "cpu", "cuda" or "cuda:1".
"""

import re
import sys
import warnings
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from cunet.errors import CunetError, DeviceError
from cunet.terminal import plural

Array = Any  # numpy.ndarray or cupy.ndarray
ALL_GPUS = "cuda:all"


def array_module(x: Array) -> ModuleType:
    """The library that owns x: numpy, or the package that defines the type of x (cupy)."""
    if isinstance(x, np.ndarray):
        return np
    return sys.modules[type(x).__module__.partition(".")[0]]


def import_cupy() -> ModuleType:
    """CuPy, or a DeviceError that says which package to install."""
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(
            f"a GPU needs CuPy, which cannot be imported ({error}): run  pip install "
            '"cupy-cuda12x[ctk]"  or  "cupy-cuda13x[ctk]"  as your driver allows, '
            "or use --device cpu"
        ) from error
    return cupy


def import_nccl() -> ModuleType:
    """CuPy's binding of NCCL, which adds up arrays of several GPUs; DeviceError without NCCL."""
    cupy = import_cupy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy's words on the same
        nccl = import_module("cupy.cuda.nccl")
    if not nccl.available:
        version = cupy.cuda.runtime.runtimeGetVersion() // 1000
        raise DeviceError(
            "several GPUs add up their gradients by NVIDIA's NCCL, which is not installed: run  "
            f'pip install "cunet[nccl{version}]"  or use one GPU'
        )
    return nccl


def cuda_problem() -> str | None:
    """Why no GPU can be used, in one line; None where one can."""
    try:
        cupy = import_cupy()
        if not cupy.is_available():
            return "no usable NVIDIA GPU"
        cupy.ones((2, 2), np.float32) @ cupy.ones((2, 2), np.float32)  # cuBLAS can be loaded
        cupy.ones(2, np.float32) + 1  # NVRTC can compile
    except DeviceError as error:
        return str(error)
    except Exception as error:  # the driver, cuBLAS and NVRTC each raise types of their own
        return f"the GPU cannot be used ({type(error).__name__}: {error}); run  cunet doctor"
    return None


def gpus() -> int:
    """How many GPUs can be used; 0 without any."""
    return 0 if cuda_problem() else int(import_cupy().cuda.runtime.getDeviceCount())


def check_device(name: str) -> None:
    """CunetError where no device has such a name, whether this machine has it or not."""
    if name == ALL_GPUS:
        raise CunetError(
            f"device '{name}' is for cunet segment, whose tiles all GPUs share: here give cuda; "
            "cunet train takes --devices 2, and cunet crossval gives each GPU a fold by itself"
        )
    if not isinstance(name, str) or not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,9})?", name):
        raise CunetError(
            f"device '{name}' is not known: expected auto, cpu, cuda or cuda:0, cuda:1 ..."
        )


def resolve_device(name: str) -> str:
    """The device "cpu" or "cuda:i" that "auto", "cpu", "cuda" or "cuda:i" means.

    A GPU becomes the current one of this thread. CunetError for another name, DeviceError for a
    GPU that cannot be used.
    """
    check_device(name)
    if name == "cpu":
        return name
    if name == "auto":
        return "cuda:0" if cuda_problem() is None else "cpu"
    problem = cuda_problem()
    if problem is not None:
        raise DeviceError(f"device '{name}': {problem}")
    cuda = import_cupy().cuda
    index, count = gpu_number(name) or 0, cuda.runtime.getDeviceCount()
    if index >= count:
        raise DeviceError(
            f"device '{name}': this machine has {plural(count, 'GPU')}, numbered from 0"
        )
    cuda.Device(index).use()  # all that follows in this thread runs there
    return f"cuda:{index}"


def resolve_devices(name: str) -> list[str]:
    """The devices that a name means: as resolve_device, and all GPUs for "cuda:all"."""
    if name != ALL_GPUS:
        return [resolve_device(name)]
    first = resolve_device("cuda")
    count = import_cupy().cuda.runtime.getDeviceCount()
    return [first, *(f"cuda:{index}" for index in range(1, count))]


def working_on(device: str) -> AbstractContextManager:
    """Within it, a GPU is the current one of this thread."""
    return nullcontext() if device == "cpu" else import_cupy().cuda.Device(gpu_number(device) or 0)


def gpu_number(device: str) -> int | None:
    """The number in "cuda:1"; None for "cuda", the current GPU."""
    number = device.partition(":")[2]
    return int(number) if number else None


def check_current(device: str) -> None:
    """CunetError where `device` is a GPU, but not the one that this thread works on."""
    if device == "cpu":
        return
    index, current = gpu_number(device) or 0, import_cupy().cuda.Device().id
    if index != current:
        raise CunetError(
            f"the network is on {device}, but GPU {current} is this thread's current one; call "
            f"cupy.cuda.Device({index}).use() first"
        )


def to_device(x: Array, device: str) -> Array:
    """x as an array on the device, without a copy if it is there already."""
    if device == "cpu":
        return to_host(x)
    cupy = import_cupy()
    with cupy.cuda.Device(gpu_number(device)):
        return cupy.asarray(x)


def to_host(x: Array) -> np.ndarray:
    """x as a NumPy array, without a copy if it is one already."""
    return x if isinstance(x, np.ndarray) else x.get()
