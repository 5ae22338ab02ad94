"""The installation of CuPy: its wheels, the driver's CUDA version, and whether they go together."""

import ctypes
import re
import sys
from collections.abc import Callable
from importlib.metadata import distributions
from types import ModuleType

from cunet.doctor.finding import BROKEN, NOTE, OK, Finding, one_line, reinstall

SUPPORTED = (12, 13)  # CUDA versions that cunet has an extra for
OLDEST_CUPY = 14
USE_CPU = "use --device cpu"

Version = tuple[int, int]  # of CUDA: major, minor


def cupy_wheels() -> dict[str, str]:
    """The installed distributions of CuPy and their versions."""
    found = {}
    for package in distributions():
        name = (package.metadata["Name"] or "").lower()
        if re.fullmatch(r"cupy(-cuda\w+|-rocm[\w-]+)?", name):
            found[name] = package.version
    return dict(sorted(found.items()))


def driver_cuda() -> Version | None:
    """The newest CUDA version that the installed driver runs, or None without a driver."""
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    number = ctypes.c_int()
    try:
        if ctypes.CDLL(library).cuDriverGetVersion(ctypes.byref(number)) != 0:
            return None
    except (OSError, AttributeError):
        return None
    return split(number.value) if number.value else None


def split(number: int) -> Version:
    """CUDA's version number as (major, minor): 12040 is 12.4."""
    return number // 1000, number % 1000 // 10


def extra_for(driver: Version | None) -> int:
    """The newest extra that the driver can run; the newest of all where that is unknown."""
    return max((v for v in SUPPORTED if driver and v <= driver[0]), default=SUPPORTED[-1])


def install(driver: Version | None) -> str:
    """The command that installs the wheel this driver can run."""
    return f'pip install "cupy-cuda{extra_for(driver)}x[ctk]"'


def swap(wheel: str, driver: Version | None) -> str:
    """The command that replaces another wheel by it."""
    return f"pip uninstall -y {wheel} && {install(driver)}"


def install_parts(wheel: str, driver: Version) -> str:
    """The command that installs CUDA's libraries for this wheel."""
    return f'pip install "{wheel}[ctk]"' if "cuda" in wheel else swap(wheel, driver)


def look(
    wheels: dict[str, str], driver: Version | None, load: Callable[[], ModuleType]
) -> tuple[list[Finding], ModuleType | None]:
    """The findings, and CuPy if it can be asked for GPUs; without a driver it is None."""
    found = [driver_finding(driver)]
    if len(wheels) > 1:
        text = f"{' and '.join(wheels)} are both installed and overwrite each other"
        return [*found, Finding("CuPy", BROKEN, text, swap(" ".join(wheels), driver))], None
    try:
        cupy = load()
    except Exception as error:  # an absent module, but also a library that cannot be loaded
        return [*found, not_loaded(wheels, driver, error)], None
    wheel = next(iter(wheels), "cupy")
    cuda = wheel_cuda(wheel, cupy)
    found.append(cupy_finding(wheel, cupy, cuda))
    if driver is None:
        return [*found, Finding("GPU", NOTE, "no usable NVIDIA GPU: running on the CPU")], None
    if cuda is not None and cuda > driver[0]:
        return [*found, old_driver(driver, wheel, f"CUDA {cuda}")], None
    return found, cupy


def driver_finding(driver: Version | None) -> Finding:
    if driver is None:
        return Finding("NVIDIA driver", NOTE, "none found")
    text = f"runs CUDA up to {driver[0]}.{driver[1]}"
    if driver[0] < min(SUPPORTED):
        text += f"; CuPy {OLDEST_CUPY} needs CUDA {min(SUPPORTED)}: install a newer driver"
        return Finding("NVIDIA driver", NOTE, text)
    return Finding("NVIDIA driver", OK, text)


def not_loaded(wheels: dict[str, str], driver: Version | None, error: Exception) -> Finding:
    """CuPy cannot be imported: absent, or installed and broken."""
    if wheels:
        wheel = next(iter(wheels))
        text = f"{wheel} is installed but cannot be imported: {one_line(error)}"
        return Finding("CuPy", BROKEN, text, reinstall(f'"{wheel}[ctk]"'))
    if not isinstance(error, ImportError):
        return Finding("CuPy", BROKEN, f"cannot be imported: {one_line(error)}", install(driver))
    if driver is None or driver[0] < min(SUPPORTED):
        text = "not installed, and no usable NVIDIA GPU: running on the CPU"
        return Finding("CuPy", NOTE, text)
    return Finding(
        "CuPy", NOTE, "not installed: the GPU is not used, running on the CPU", install(driver)
    )


def wheel_cuda(wheel: str, cupy: ModuleType) -> int | None:
    """The CUDA version CuPy was made for, by the wheel's name or else by CuPy itself."""
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


def old_driver(driver: Version, wheel: str, needs: str) -> Finding:
    """The driver cannot run what the wheel was made for."""
    text = f"the driver, for CUDA up to {driver[0]}.{driver[1]}, is too old: {wheel} needs {needs}"
    if driver[0] >= min(SUPPORTED) and f'"{wheel}[' not in install(driver):
        return Finding("CUDA version", BROKEN, text, swap(wheel, driver))
    return Finding("CUDA version", BROKEN, f"{text}; install a newer driver, or {USE_CPU}")
