"""CUDA kernels without a GPU: g++ compiles them with cuda_cpu.h in the place of device.cu.

`emulate` makes the device double the GPU of a test: cunet.engines.gpu.cuda.launch then runs the
kernels, from the same .cu files, on the CPU. See cuda_cpu.h for the mistakes that become visible.
"""

import atexit
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import cupy_double
import numpy as np
import pytest

from cunet.backend import cuda_problem, import_cupy
from cunet.compiled import only_ours
from cunet.engines.gpu import box_check, cuda, tensor_map

REAL = os.environ.get("CUNET_TEST_GPU") == "1"
SUMS = 3e-5 if REAL else 2e-6  # of float32 sums, relative: tensor cores cut off, mma here rounds
FOLDER = Path(__file__).parent
HEADERS = sorted(FOLDER.glob("*.h"))
FLAGS = "-std=c++17 -w -march=native -fPIC -shared -fvisibility=hidden -x c++ -I".split()


def source(arch: str = "sm_80") -> str:
    """The .cu files for an architecture in one text, without the GPU's own instructions."""
    kept = [p for p in cuda.sources(arch) if not p.name.startswith("device") and p.is_file()]
    return "".join(f'#line 1 "{p}"\n{p.read_text(encoding="utf-8")}\n' for p in kept)


def build(precision: str, arch: str = "sm_80") -> Path:
    """A shared object of all kernels for a precision; made once for the same text."""
    return build_text(source(arch), precision, "-O2")


def build_text(text: str, precision: str, level: str = "-O0") -> Path:
    """A shared object of the kernels in a text, such as source() with a change in it.

    level: of g++'s optimisation; without one it compiles in a third of the time.
    RuntimeError with the words of the compiler where it refuses the text.
    """
    compiler = shutil.which("g++")
    if compiler is None or platform.machine() != "x86_64":
        pytest.skip("kernels are tried without a GPU by g++ on x86-64, which is not here")
    flags = [level, *FLAGS, str(FOLDER), f"-DKIND={cuda.KINDS[precision]}"]
    # in a namespace without a name all __shared__ arrays, also those of templates, are of one kind
    # and lie in one section
    whole = f'#include "cuda_cpu.h"\nnamespace {{\n{text}\n}}\n'
    known = [*(path.read_text(encoding="utf-8") for path in HEADERS), whole, *flags]
    name = hashlib.sha256("\n".join(known).encode()).hexdigest()[:24]
    folder = kept_in(Path(tempfile.gettempdir(), f"cunet-emulation-{os.getuid()}"))
    path = folder / f"{name}.so"
    if path.is_file():
        return path
    with locked(path.with_suffix(".lock")), tempfile.TemporaryDirectory(dir=folder) as part:
        if path.is_file():  # another process has built it meanwhile
            return path
        made = Path(part, "made.so")
        command = [compiler, *flags, "-o", str(made), "-"]
        result = subprocess.run(command, input=whole, capture_output=True, text=True)
        if result.returncode:
            raise RuntimeError(f"g++ refuses the kernels:\n{result.stderr[:5000]}")
        made.replace(path)  # in one step
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits while another process is inside with the same file."""
    import fcntl  # not on Windows, which has no g++ for us either

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@functools.cache
def kept_in(folder: Path) -> Path:
    """The folder, made if it is not there; another one, of this process, where it is not ours
    alone: anyone may make a folder of this name."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if only_ours(folder):
        return folder
    own = tempfile.mkdtemp(prefix="cunet-emulation-")
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return Path(own)


def emulate(monkeypatch: pytest.MonkeyPatch, capability: int = 80) -> ModuleType:
    """The double as `cupy`, a GPU of this compute capability whose kernels are emulated.

    Kernels loaded in a test, and what it found out about the GPU, are forgotten with monkeypatch.
    Where the environment has CUNET_TEST_GPU=1 it is CuPy and a real GPU, which then passes for one
    of this capability.
    """
    for module in (cuda, box_check):
        for name, value in list(vars(module).items()):
            if hasattr(value, "cache_clear"):
                monkeypatch.setattr(module, name, functools.cache(value.__wrapped__))
    if REAL:
        return real(monkeypatch, capability)
    monkeypatch.setitem(sys.modules, "cupy", cupy_double)
    monkeypatch.setattr(cupy_double.cuda.Device, "compute_capability", str(capability))
    monkeypatch.setattr(cuda, "compiled", build)
    monkeypatch.setattr(tensor_map, "driver", lambda: None)
    monkeypatch.setattr(tensor_map, "tiled", emulated_map)
    return cupy_double


def emulated_map(
    address: int,
    dtype: np.dtype,
    lengths: Sequence[int],
    strides: Sequence[int],
    box: Sequence[int],
) -> np.ndarray:
    """What tensor_map.tiled returns, as tma.h reads it; it refuses what a driver refuses."""
    size, rank = np.dtype(dtype).itemsize, len(lengths)
    assert len(strides) == rank - 1 and len(box) == rank <= 5
    assert address % 16 == 0 and all(stride * size % 16 == 0 for stride in strides)
    assert all(0 < side <= 256 for side in box) and box[0] * size == 128
    words = np.zeros(16, np.uint64)
    words[0], words[1] = address, size | rank << 8 | 1 << 16
    words[2 : 2 + rank] = lengths
    words[7 : 7 + rank - 1] = [stride * size for stride in strides]
    words[11 : 11 + rank] = box
    return words.view(tensor_map.MAP).reshape(())


def real(monkeypatch: pytest.MonkeyPatch, capability: int) -> ModuleType:
    """CuPy; kernels of another capability than the GPU's are compiled for the GPU, where it has
    the instructions."""
    problem = cuda_problem()
    if problem is not None:
        pytest.skip(problem)
    found = cuda.capability()
    if capability == cuda.WARPGROUP_CAPABILITY != found:
        pytest.skip("this GPU has no wgmma")
    monkeypatch.setattr(cuda, "capability", lambda: capability)
    if capability != found:
        monkeypatch.setattr(cuda, "architecture", lambda number: f"sm_{found}")
    return import_cupy()
