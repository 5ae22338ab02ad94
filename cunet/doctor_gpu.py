"""The GPU's part of the doctor: driver, CuPy, NVRTC, cuBLAS, memory and kernel cache.

A machine without a GPU or without CuPy is not broken; CuPy that is installed and cannot compute
on a GPU that is there is.
"""

import ctypes
import os
import re
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType

import numpy as np

from cunet.doctor import BROKEN, NOTE, OK, Finding, attempt, one_line, reinstall

SUPPORTED = (12, 13)  # CUDA versions with an extra of their own
OLDEST_CUPY = 14
KERNEL = 'extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= 2; }'


def examine_gpu() -> list[Finding]:
    """Look at this machine's driver, CuPy and GPUs."""
    return gpu(cupy_wheels(), driver_cuda(), load_cupy)


def load_cupy() -> ModuleType:
    """CuPy; ImportError and what else its libraries raise."""
    import cupy

    return cupy


def cupy_wheels() -> dict[str, str]:
    """The installed distributions of CuPy and their versions."""
    found = {}
    for package in distributions():
        name = (package.metadata["Name"] or "").lower()
        if re.fullmatch(r"cupy(-cuda\w+|-rocm[\w-]+)?", name):
            found[name] = package.version
    return dict(sorted(found.items()))


def driver_cuda() -> tuple[int, int] | None:
    """The newest CUDA version that the installed driver runs, or None without a driver."""
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    number = ctypes.c_int()
    try:
        if ctypes.CDLL(library).cuDriverGetVersion(ctypes.byref(number)) != 0:
            return None
    except (OSError, AttributeError):
        return None
    return split(number.value) if number.value else None


def split(number: int) -> tuple[int, int]:
    """CUDA's version number as (major, minor): 12040 is 12.4."""
    return number // 1000, number % 1000 // 10


def gpu(
    wheels: dict[str, str], driver: tuple[int, int] | None, load: Callable[[], ModuleType]
) -> list[Finding]:
    """What is found, given the wheels installed, the driver's CUDA version and how to load CuPy."""
    found = [driver_finding(driver)]
    extra = f'pip install "cupy-cuda{extra_for(driver)}x[ctk]"'
    if len(wheels) > 1:
        text = f"{' and '.join(wheels)} are both installed and overwrite each other"
        mend = f"pip uninstall -y {' '.join(wheels)} && {extra}"
        return [*found, Finding("CuPy", BROKEN, text, mend)]
    wheel = next(iter(wheels), "cupy")
    try:
        cupy = load()
    except Exception as error:  # an absent module, but also a library that cannot be loaded
        return [*found, not_loaded(wheels, driver, error, extra)]
    cuda = wheel_cuda(wheel, cupy)
    found.append(cupy_finding(wheel, cupy, cuda))
    if driver is None:
        return [*found, Finding("GPU", NOTE, "no usable NVIDIA GPU: running on the CPU")]
    if cuda is not None and cuda > driver[0]:
        text = (
            f"the driver runs CUDA up to {driver[0]}.{driver[1]}, {wheel} needs CUDA {cuda}: "
            "the driver is too old for this wheel"
        )
        mend = f"pip uninstall -y {wheel} && {extra}" if driver[0] >= min(SUPPORTED) else ""
        return [*found, Finding("CUDA version", BROKEN, text, mend)]
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CUDARuntimeError, which only CuPy knows
        return [*found, no_device(error)]
    if count == 0:
        return [*found, no_device(None)]
    ctk = f'pip install "{wheel}[ctk]"'
    return [
        *found,
        *(attempt(f"GPU {i}", lambda i=i: describe(cupy, i), "nvidia-smi") for i in range(count)),
        cache_finding(),
        attempt("kernel (NVRTC)", lambda: try_kernel(cupy), ctk),
        attempt("matmul (cuBLAS)", lambda: try_matmul(cupy), ctk),
    ]


def extra_for(driver: tuple[int, int] | None) -> int:
    """The newest extra that the driver can run; the newest of all where that is unknown."""
    return max((v for v in SUPPORTED if driver and v <= driver[0]), default=SUPPORTED[-1])


def driver_finding(driver: tuple[int, int] | None) -> Finding:
    if driver is None:
        return Finding("NVIDIA driver", NOTE, "none found")
    text = f"runs CUDA up to {driver[0]}.{driver[1]}"
    if driver[0] < min(SUPPORTED):
        text += f"; CuPy {OLDEST_CUPY} needs CUDA {min(SUPPORTED)}: install a newer driver"
        return Finding("NVIDIA driver", NOTE, text)
    return Finding("NVIDIA driver", OK, text)


def not_loaded(wheels, driver, error: Exception, extra: str) -> Finding:
    """CuPy cannot be imported: absent, or installed and broken."""
    if wheels:
        wheel = next(iter(wheels))
        text = f"{wheel} is installed but cannot be imported: {one_line(error)}"
        return Finding("CuPy", BROKEN, text, reinstall(f'"{wheel}[ctk]"'))
    if not isinstance(error, ImportError):
        return Finding("CuPy", BROKEN, f"cannot be imported: {one_line(error)}", extra)
    if driver is None or driver[0] < min(SUPPORTED):
        text = "not installed, and no usable NVIDIA GPU: running on the CPU"
        return Finding("CuPy", NOTE, text)
    return Finding("CuPy", NOTE, "not installed: the GPU is not used, running on the CPU", extra)


def wheel_cuda(wheel: str, cupy: ModuleType) -> int | None:
    """The CUDA version CuPy was made for, by the wheel's name or else its own answer."""
    named = re.search(r"cuda(\d{2})", wheel)
    if named:
        return int(named[1])
    try:
        return split(cupy.cuda.runtime.runtimeGetVersion())[0]
    except Exception:  # a source build without its runtime library
        return None


def cupy_finding(wheel: str, cupy: ModuleType, cuda: int | None) -> Finding:
    text = f"{wheel} {cupy.__version__}" + (f" for CUDA {cuda}" if cuda else "")
    if int(cupy.__version__.split(".")[0]) < OLDEST_CUPY:
        text += f"; cunet is made for {OLDEST_CUPY} or later"
        return Finding("CuPy", NOTE, text, f'pip install --upgrade "{wheel}[ctk]"')
    return Finding("CuPy", OK, text)


def no_device(error: Exception | None) -> Finding:
    """A driver but no device: hidden or absent is no fault, any other answer is one."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if error is None or "NoDevice" in str(error):
        text = "no usable NVIDIA GPU: running on the CPU"
        if hidden is None:
            return Finding("GPU", NOTE, text)
        text += f" (CUDA_VISIBLE_DEVICES='{hidden}' may hide it)"
        return Finding("GPU", NOTE, text, "unset CUDA_VISIBLE_DEVICES")
    return Finding("GPU", BROKEN, f"the driver answers {one_line(error)}", "nvidia-smi")


def describe(cupy: ModuleType, index: int) -> str:
    """A GPU's name, memory, and the largest tile the paper's network can be trained on there."""
    from cunet.explain import memory_bytes
    from cunet.sizes import smallest_tile, valid_tiles

    properties = cupy.cuda.runtime.getDeviceProperties(index)
    with cupy.cuda.Device(index):
        free, total = cupy.cuda.runtime.memGetInfo()
    text = (
        f"{properties['name'].decode()}, compute capability {properties['major']}."
        f"{properties['minor']}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    )

    def needed(tile: int) -> int:
        return memory_bytes(64, 4, tile)["training"]

    if needed(572) <= free:
        return f"{text}; the paper's network at tile 572 needs {needed(572) / 1e9:.1f} GB"
    fitting = [tile for tile in valid_tiles(4, smallest_tile(4), 572) if needed(tile) <= free]
    advice = f"--tile {fitting[-1]} fits" if fitting else "use a smaller --width"
    return f"{text}; the paper's network at tile 572 needs {needed(572) / 1e9:.1f} GB: {advice}"


def cache_finding() -> Finding:
    """Whether CuPy can keep compiled kernels; where it cannot, it does not compile at all."""
    if os.environ.get("CUPY_CACHE_IN_MEMORY") == "1":
        return Finding("kernel cache", NOTE, "in memory: kernels are compiled anew in every run")
    folder = Path(os.environ.get("CUPY_CACHE_DIR") or Path.home() / ".cupy" / "kernel_cache")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        text = f"'{folder}' cannot be written: {error.strerror}"
        mend = f"export CUPY_CACHE_DIR={Path(tempfile.gettempdir()) / 'cupy'}"
        return Finding("kernel cache", BROKEN, text, mend)
    return Finding("kernel cache", OK, f"kernels are compiled once and kept in {folder}")


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
