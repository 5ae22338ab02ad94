"""The GPU's part of the doctor: driver, CuPy, NVRTC, tensor cores, cuBLAS, memory, kernel cache.

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
from types import ModuleType

import numpy as np

from cunet.doctor.cpu import BROKEN, NOTE
from cunet.doctor.finding import OK, Finding, attempt, one_line, reinstall

SUPPORTED = (12, 13)  # CUDA versions with an extra of their own
OLDEST_CUPY = 14
CPU, PLAIN = "use --device cpu", "use --precision float32"
KERNEL = 'extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= 2; }'


def examine_gpu() -> list[Finding]:
    """Look at this machine's driver, CuPy and GPUs."""
    return gpu(cupy_wheels(), driver_cuda(), load_cupy, load_kernels)


def load_cupy() -> ModuleType:
    """CuPy; ImportError and what else its libraries raise."""
    import cupy

    return cupy


def load_kernels() -> tuple[ModuleType, ModuleType]:
    """Of cunet's own kernels the convolution, and what takes arrays to a precision and back."""
    from cunet.engines.gpu import convolution, elements

    return convolution, elements


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
    wheels: dict[str, str],
    driver: tuple[int, int] | None,
    load: Callable[[], ModuleType],
    load_own: Callable[[], tuple],
) -> list[Finding]:
    """What is found, given the wheels installed, the driver's CUDA version, and how to load CuPy
    and cunet's kernels."""
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
    swap = f"pip uninstall -y {wheel} && {extra}"
    if cuda is not None and cuda > driver[0]:
        return [*found, old_driver(driver, wheel, f"CUDA {cuda}", swap)]
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CUDARuntimeError, which only CuPy knows
        if "InsufficientDriver" in str(error):
            return [*found, old_driver(driver, wheel, one_line(error), swap)]
        return [*found, no_device(error)]
    if count == 0:
        return [*found, no_device(None)]
    ctk = f'pip install "{wheel}[ctk]"' if "cuda" in wheel else swap
    gpus = [attempt(f"GPU {i}", lambda i=i: describe(cupy, i), "nvidia-smi") for i in range(count)]
    kept = own_kernels()
    trials = [nvrtc_finding(cupy, driver, ctk)]
    usable = [i for i, one in enumerate(gpus) if one.state == OK]
    if trials[0].state == OK:
        trials.append(attempt("kernel (NVRTC)", lambda: try_kernel(cupy), ctk))
        trials.append(tensor_cores(cupy, usable, load_own, ctk))
    trials.append(attempt("matmul (cuBLAS)", lambda: try_matmul(cupy), ctk))
    return [*found, *gpus, cache_finding(kept), *trials]


def old_driver(driver: tuple[int, int], wheel: str, needs: str, swap: str) -> Finding:
    """The driver cannot run what the wheel was made for."""
    text = f"the driver, for CUDA up to {driver[0]}.{driver[1]}, is too old: {wheel} needs {needs}"
    if driver[0] >= min(SUPPORTED) and f'"{wheel}[' not in swap:
        return Finding("CUDA version", BROKEN, text, swap)
    return Finding("CUDA version", BROKEN, f"{text}; install a newer driver, or {CPU}")


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


def properties(cupy: ModuleType, index: int) -> tuple[str, int]:
    """A GPU's name and its compute capability: 90 for 9.0."""
    found = cupy.cuda.runtime.getDeviceProperties(index)
    return found["name"].decode(), 10 * found["major"] + found["minor"]


def describe(cupy: ModuleType, index: int) -> str:
    """A GPU's name, memory, precisions, and the largest tile of the paper's network there."""
    from cunet.engines.gpu.cuda import DTYPES, LEAST
    from cunet.net.memory import fits_the_paper

    name, number = properties(cupy, index)
    with cupy.cuda.Device(index):
        free, total = cupy.cuda.runtime.memGetInfo()
    fast, slow = f"{', '.join(DTYPES)} on tensor cores", "float32 only (plain path)"
    return (
        f"{name}, compute capability {number // 10}.{number % 10}, {free / 1e9:.1f} of "
        f"{total / 1e9:.1f} GB free; {fast if number >= LEAST else slow}; {fits_the_paper(free)}"
    )


def own_kernels() -> int:
    """How many files of cunet's compiled kernels are kept."""
    from cunet.engines.gpu.cuda import cache_folder

    return len(list(cache_folder().glob("cunet-*.cubin")))


def cache_finding(before: int) -> Finding:
    """Whether compiled kernels can be kept; where they cannot, nothing is compiled at all.

    before: how many of cunet's own were there before the trials.
    """
    from cunet.engines.gpu.cuda import cache_folder

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        text = f"'{folder}' cannot be written: {error.strerror}"
        mend = f"export CUPY_CACHE_DIR={os.path.join(tempfile.gettempdir(), 'cupy')}"
        return Finding("kernel cache", BROKEN, text, mend)
    own = "the first call will compile for some seconds"
    if own_kernels():
        own = "cunet's own are there" + ("" if before else ", compiled just now")
    if os.environ.get("CUPY_CACHE_IN_MEMORY") == "1":
        text = f"CuPy's is in memory: its kernels are compiled anew in every run; {folder}: {own}"
        return Finding("kernel cache", NOTE, text, "unset CUPY_CACHE_IN_MEMORY")
    return Finding("kernel cache", OK, f"kernels are compiled once and kept in {folder}; {own}")


def nvrtc_finding(cupy: ModuleType, driver: tuple[int, int], ctk: str) -> Finding:
    """NVRTC's version: what one of a newer CUDA compiles, the driver cannot run."""
    try:
        major, minor = cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # ImportError, or what loading a shared library raises
        return Finding("NVRTC", BROKEN, one_line(error), ctk)
    if major <= driver[0]:
        return Finding("NVRTC", OK, f"{major}.{minor}")
    text = f"{major}.{minor} compiles what a driver for CUDA {driver[0]}.{driver[1]} cannot load"
    return Finding("NVRTC", BROKEN, text, f"pip uninstall -y nvidia-cuda-nvrtc && {ctk}")


def tensor_cores(cupy: ModuleType, usable: list[int], load_own: Callable, ctk: str) -> Finding:
    """A convolution by cunet's own kernels in each precision, on every GPU that has them."""
    from cunet.engines.gpu.cuda import DTYPES, LEAST

    capable = [i for i in usable if properties(cupy, i)[1] >= LEAST]
    if not capable:
        return Finding("tensor cores", NOTE, "none (compute capability 8.0 or later): float32 only")

    def work() -> str:
        for index in capable:
            for precision in DTYPES:
                with cupy.cuda.Device(index):
                    if not convolves(cupy, *load_own(), precision):
                        raise ArithmeticError(f"GPU {index}: a {precision} convolution is wrong")
        return f"a convolution in {', '.join(DTYPES)} equals its definition"

    return attempt("tensor cores", work, ctk, PLAIN)


def convolves(cupy: ModuleType, convolution, images, precision: str) -> bool:
    """Whether a convolution by cunet's kernels equals its definition by NumPy."""
    from cunet.ops import conv

    rng = np.random.default_rng(0)
    shapes = (1, 21, 30, 64), (3, 3, 64, 64), (64,)
    # sums of such numbers stay small: every precision holds them exactly
    x, w, b = (rng.integers(-1, 2, shape).astype(np.float32) for shape in shapes)
    elements = images.to_elements(cupy.asarray(x), precision)
    y = convolution.forward(elements, cupy.asarray(w), cupy.asarray(b))
    return np.array_equal(cupy.asnumpy(images.to_floats(y)), conv.forward(x, w, b))


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
