"""The processor's side of the examination: Python, packages, BLAS, threads, a convolution."""

import os
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import numpy as np

from cunet.doctor.finding import BROKEN, NOTE, OK, Finding
from cunet.engines import cpu
from cunet.engines.cpu import machine
from cunet.threads import available_threads, blas_libraries

PACKAGES = {  # module: what pip calls it
    "numpy": "numpy",
    "scipy": "scipy",
    "tifffile": "tifffile",
    "imagecodecs": "imagecodecs",
    "PIL": "pillow",
    "matplotlib": "matplotlib",
    "click": "click",
    "threadpoolctl": "threadpoolctl",
    "numba": "numba",
}
OLD_CORES = {"Prescott", "Core2", "generic"}  # what OpenBLAS uses for processors it does not know
THREAD_VARIABLES = ("MKL_NUM_THREADS", "OMP_NUM_THREADS")  # OpenBLAS gets one from cunet


def python() -> Finding:
    """Python's version and the machine."""
    text = f"{platform.python_version()} on {platform.platform()}, {platform.machine()}"
    return Finding("Python", OK, text)


def packages(find: Callable[[str], object] = find_spec) -> Finding:
    """The packages cunet needs, and their versions."""
    missing = [name for module, name in PACKAGES.items() if find(module) is None]
    if missing:
        text = f"missing: {', '.join(missing)}"
        return Finding("packages", BROKEN, text, f"pip install {' '.join(missing)}")
    versions = [f"{name} {installed(name) or '(version unknown)'}" for name in PACKAGES.values()]
    return Finding("packages", OK, ", ".join([f"cunet {installed('cunet') or '?'}", *versions]))


def installed(name: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def blas(
    pools: list[dict] | None = None, environment: dict[str, str] | None = None
) -> list[Finding]:
    """The BLAS that NumPy uses and the processor it was made for, one finding or two."""
    environment = dict(os.environ) if environment is None else environment
    if pools is None:
        pools = blas_libraries()
    if not pools:
        text = "no BLAS found that can be held to one thread: sums may depend on the threads"
        return [Finding("BLAS", NOTE, text)]
    kinds = {f"{p['internal_api']} {p.get('version')} {p.get('architecture', '')}" for p in pools}
    names = sorted(kind.strip() for kind in kinds)
    found = [Finding("BLAS", OK, "; ".join(names))]
    pinned = environment.get("OPENBLAS_CORETYPE")
    if pinned:
        text = f"OPENBLAS_CORETYPE={pinned} pins OpenBLAS to this processor; it may be slow here"
        found.append(Finding("BLAS core type", NOTE, text, "unset OPENBLAS_CORETYPE"))
    elif any(p.get("architecture") in OLD_CORES for p in pools):
        text = "OpenBLAS does not know this processor and uses its slowest code"
        found.append(Finding("BLAS core type", NOTE, text, "pip install --upgrade numpy scipy"))
    return found


def threads() -> Finding:
    """How many threads cunet uses, and what the environment sets for BLAS."""
    set_here = [f"{name}={os.environ[name]}" for name in THREAD_VARIABLES if name in os.environ]
    text = f"{available_threads()} of {os.cpu_count()} processors"
    if set_here:
        text += f" ({', '.join(set_here)}: for BLAS only, cunet's own are set by --threads)"
    return Finding("threads", OK, text)


def try_convolution() -> str:
    """Convolutions as in training, in matrix products and in machine code, against the definition
    without BLAS."""
    rng, worst = np.random.default_rng(0), 0.0
    for channels in (24, 32):  # no multiple of 16, and one
        x = rng.standard_normal((1, 40, 40, channels), np.float32)
        w = rng.standard_normal((3, 3, channels, 16), np.float32)
        y = cpu.conv_forward(x, w, np.zeros(16, np.float32))
        views = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (3, 3), (1, 2))
        expected = np.einsum("npqcrs,rsck->npqk", views, w.astype(np.float64))
        error = float(np.abs(y - expected).max() / np.abs(expected).max())
        if not error < 1e-5:
            raise ArithmeticError(
                f"a convolution of {channels} channels is wrong: relative error {error:.2g}"
            )
        worst = max(worst, error)
    return f"agrees with its definition to {worst:.1e}"


def machine_code() -> Finding:
    """Whether layers of 16, 32 ... channels run in machine code that Numba compiles."""
    if machine.usable():
        from cunet.engines.cpu.vectors import LANES

        return Finding("machine code", OK, f"compiled by Numba, vectors of {LANES} numbers")
    text = "not usable here: NumPy computes all convolutions, more slowly at small widths"
    return Finding("machine code", NOTE, text, "pip install --force-reinstall numba")
