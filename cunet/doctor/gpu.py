"""The GPU's part of the doctor: is CuPy installed correctly, is there a GPU, does it compute?

A machine without a GPU or without CuPy is not broken. It is broken if both are there and CuPy
cannot compute.
"""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from types import ModuleType

import numpy as np

from cunet.doctor import installation
from cunet.doctor.finding import BROKEN, NOTE, OK, Finding, attempt, one_line
from cunet.doctor.installation import Version
from cunet.doctor.tensor_cores import (
    Kernels,
    copy_engine,
    load_kernels,
    properties,
    tensor_cores,
)
from cunet.engines.gpu.cuda import DTYPES, LEAST_CAPABILITY, cache_folder, cupy_folder
from cunet.net.memory import fits_the_paper

KERNEL = 'extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= 2; }'


def examine_gpu() -> list[Finding]:
    """Look at this machine's driver, CuPy and GPUs."""
    wheels, driver = installation.cupy_wheels(), installation.driver_cuda()
    return gpu(wheels, driver, load_cupy, load_kernels)


def load_cupy() -> ModuleType:
    """CuPy; ImportError, or whatever else its libraries raise."""
    import cupy

    return cupy


def gpu(
    wheels: dict[str, str],
    driver: Version | None,
    load: Callable[[], ModuleType],
    load_own: Callable[[], Kernels],
) -> list[Finding]:
    """The findings, from the wheels installed, the driver's CUDA version, and how to load CuPy and
    cunet's kernels."""
    found, cupy = installation.look(wheels, driver, load)
    if cupy is None or driver is None:
        return found
    wheel = next(iter(wheels), "cupy")
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CUDARuntimeError, which only CuPy knows
        if "InsufficientDriver" in str(error):
            return [*found, installation.old_driver(driver, wheel, one_line(error))]
        return [*found, no_device(error)]
    if count == 0:
        return [*found, no_device(None)]
    fix = installation.install_parts(wheel, driver)
    return found + trials(cupy, count, driver, load_own, fix)


def trials(
    cupy: ModuleType, count: int, driver: Version, load_own: Callable[[], Kernels], fix: str
) -> list[Finding]:
    """What the GPUs are, and whether they compute. fix: the command that installs CUDA's parts."""
    gpus = [attempt(f"GPU {i}", partial(describe, cupy, i), "nvidia-smi") for i in range(count)]
    usable = [i for i, one in enumerate(gpus) if one.state == OK]
    kept, nvrtc = own_kernels(), nvrtc_finding(cupy, driver, fix)
    tried = [nvrtc]
    if nvrtc.state == OK:
        tried.append(attempt("kernel (NVRTC)", lambda: try_kernel(cupy), fix))
        cores = tensor_cores(cupy, usable, load_own, fix)
        tried.append(cores)
        if cores.state == OK:
            tried += copy_engine(cupy, usable, load_own)
    tried.append(attempt("matmul (cuBLAS)", lambda: try_matmul(cupy), fix))
    return [*gpus, cache_finding(kept), *tried]


def no_device(error: Exception | None) -> Finding:
    """A driver but no device: no fault if it is hidden or absent, else one."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if error is None or "NoDevice" in str(error):
        text = "no usable NVIDIA GPU: running on the CPU"
        if hidden is None:
            return Finding("GPU", NOTE, text)
        text += f" (CUDA_VISIBLE_DEVICES='{hidden}' may hide it)"
        return Finding("GPU", NOTE, text, "unset CUDA_VISIBLE_DEVICES")
    return Finding("GPU", BROKEN, f"the driver reports {one_line(error)}", "nvidia-smi")


def describe(cupy: ModuleType, index: int) -> str:
    """A GPU's name, memory, precisions, and the largest tile of the paper's network there."""
    name, number = properties(cupy, index)
    with cupy.cuda.Device(index):
        free, total = cupy.cuda.runtime.memGetInfo()
    paths = "float32 only (plain path)"
    if number >= LEAST_CAPABILITY:
        paths = f"{', '.join(DTYPES)} on tensor cores"
    return (
        f"{name}, compute capability {number // 10}.{number % 10}, {free / 1e9:.1f} of "
        f"{total / 1e9:.1f} GB free; {paths}; {fits_the_paper(free)}"
    )


def own_kernels() -> int:
    """How many files of cunet's compiled kernels are kept."""
    return len(list(cache_folder().glob("cunet-*.cubin")))


def cache_finding(before: int) -> Finding:
    """Whether compiled kernels can be kept; where they cannot, nothing is compiled at all.

    before: how many of cunet's own were there before the trials.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        text = f"'{folder}' cannot be written: {error.strerror}"
        fix = f"export CUPY_CACHE_DIR={os.path.join(tempfile.gettempdir(), 'cupy')}"
        return Finding("kernel cache", BROKEN, text, fix)
    if folder != (shared := cupy_folder()):
        text = f"others can write to '{shared}': cunet's kernels are compiled again in every run"
        return Finding("kernel cache", NOTE, text, f"chmod go-w {shared}")
    own = "the first call will compile for some seconds"
    if own_kernels():
        own = "cunet's own are there" + ("" if before else ", compiled just now")
    if os.environ.get("CUPY_CACHE_IN_MEMORY") == "1":
        text = f"CuPy's is in memory: its kernels are compiled again in every run; {folder}: {own}"
        return Finding("kernel cache", NOTE, text, "unset CUPY_CACHE_IN_MEMORY")
    return Finding("kernel cache", OK, f"kernels are compiled once and kept in {folder}; {own}")


def nvrtc_finding(cupy: ModuleType, driver: Version, fix: str) -> Finding:
    """NVRTC's version: what one of a newer CUDA compiles, the driver cannot run."""
    try:
        major, minor = cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # ImportError, or what loading a shared library raises
        return Finding("NVRTC", BROKEN, one_line(error), fix)
    if major <= driver[0]:
        return Finding("NVRTC", OK, f"{major}.{minor}")
    text = f"{major}.{minor} compiles what a driver for CUDA {driver[0]}.{driver[1]} cannot load"
    return Finding("NVRTC", BROKEN, text, f"pip uninstall -y nvidia-cuda-nvrtc && {fix}")


def try_kernel(cupy: ModuleType) -> str:
    """Compile a kernel, run it, look at what it wrote."""
    x = cupy.arange(4, dtype=np.float32)
    cupy.RawKernel(KERNEL, "twice")((1,), (4,), (x,))
    if cupy.asnumpy(x).tolist() != [0, 2, 4, 6]:
        raise ArithmeticError(f"a kernel that doubles 0 1 2 3 wrote {cupy.asnumpy(x).tolist()}")
    return "compiled and run"


def try_matmul(cupy: ModuleType) -> str:
    """A matrix product, against NumPy's."""
    a = np.arange(64 * 48, dtype=np.float32).reshape(64, 48) % 7
    found = cupy.asnumpy(cupy.asarray(a) @ cupy.asarray(a.T))
    if not np.array_equal(found, a @ a.T):  # small whole numbers: exact in any order
        raise ArithmeticError("a matrix product differs from NumPy's")
    return "equals NumPy's"
