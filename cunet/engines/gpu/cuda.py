"""Kernels for NVIDIA GPUs: compiled by NVRTC when first needed, kept on disk, launched by name.

The .cu files beside this one are compiled for each of three precisions. An activation's dtype says
which one it has: float32 (whose products are TF32), float16, or uint16, which holds the bits of
bfloat16, a type that NumPy does not have. Cards of compute capability 8.0 and later have tensor
cores for these; those of 9.0 also have a copy engine and the products of a warpgroup (wgmma).
"""

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cunet.backend import Array, import_cupy
from cunet.compiled import only_ours
from cunet.errors import DeviceError
from cunet.terminal import printable

DTYPES: dict[str, np.dtype] = {
    "tf32": np.dtype("float32"),
    "float16": np.dtype("float16"),
    "bfloat16": np.dtype("uint16"),
}
KINDS = {"tf32": 0, "bfloat16": 1, "float16": 2}  # as in device.cu
FOLDER = Path(__file__).parent
SOURCES = (
    "device", "convolution", "warp", "weights", "first_layer", "head", "images", "packing",
    "sample", "solver",
)  # fmt: skip
HOPPER_SOURCES = (
    "device_90a", "device_tma", "boxes", "boxes_conv", "boxes_up", "boxes_weights",
    "boxes_weights_tf32",
)  # fmt: skip
loaded: dict[int, str] = {}  # GPU: a precision whose kernels it has
CACHE_FORMAT = "2"  # of the files that are kept: after a change they are made again
Argument = Array | np.ndarray | np.generic | int | float | None  # of a kernel
LEAST_CAPABILITY = 80  # compute capability from which there are tensor cores for TF32 and bfloat16
WARPGROUP_CAPABILITY = 90  # the only one with wgmma


def precision_of(x: Array | None) -> str:
    """The precision that the dtype of an activation stands for.

    None: any precision that is loaded, since kernels on float32 arrays are the same in all.
    """
    if x is None:
        return loaded.get(import_cupy().cuda.Device().id, "tf32")
    return next(name for name, dtype in DTYPES.items() if dtype == x.dtype)


def capability() -> int:
    """The compute capability of the current GPU: 80 for 8.0."""
    return int(import_cupy().cuda.Device().compute_capability)


def name() -> str:
    """The name of the current GPU."""
    return _properties(import_cupy().cuda.Device().id)["name"].decode()


def processors() -> int:
    """The multiprocessors of the current GPU."""
    return _properties(import_cupy().cuda.Device().id)["multiProcessorCount"]


def shared_memory() -> int:
    """The most shared memory, in bytes, that a block may have on the current GPU."""
    return _properties(import_cupy().cuda.Device().id)["sharedMemPerBlockOptin"]


@cache
def _properties(index: int) -> dict[str, Any]:
    return import_cupy().cuda.runtime.getDeviceProperties(index)


def sources(arch: str) -> list[Path]:
    """The files that are compiled together for an architecture such as "sm_90a"."""
    hopper = arch == f"sm_{WARPGROUP_CAPABILITY}a"
    names = (*SOURCES, *(HOPPER_SOURCES if hopper else ()))
    return [FOLDER / f"{name}.cu" for name in names]


def architecture(number: int) -> str:
    """What NVRTC calls a compute capability; for wgmma it is "sm_90a", not "sm_90"."""
    return f"sm_{number}a" if number == WARPGROUP_CAPABILITY else f"sm_{number}"


def source(arch: str) -> str:
    """All kernels in one text; errors of the compiler name the file and its line."""
    return "".join(f'#line 1 "{p.name}"\n{p.read_text(encoding="utf-8")}\n' for p in sources(arch))


def load_nvrtc() -> Any:
    """CuPy's binding of NVRTC; DeviceError where the library cannot be loaded."""
    import_cupy()
    try:
        from cupy_backends.cuda.libs import nvrtc

        nvrtc.getVersion()
    except Exception as error:  # ImportError, or what loading a shared library raises
        raise DeviceError(
            f"NVRTC, which compiles the kernels, cannot be loaded ({error}): run  pip install "
            '"cupy-cuda13x[ctk]"  (or cupy-cuda12x), or use --precision float32'
        ) from error
    return nvrtc


def compile_source(precision: str, arch: str) -> tuple[bytes, str]:
    """The machine code of all kernels, and what the compiler reports of registers and spills.

    Needs NVRTC, but no GPU. DeviceError where it cannot be loaded or refuses the source.
    """
    nvrtc = load_nvrtc()
    program = nvrtc.createProgram(source(arch), "kernels.cu", (), ())
    options = (f"-arch={arch}", "-std=c++17", f"-DKIND={KINDS[precision]}", "--ptxas-options=-v")
    try:
        nvrtc.compileProgram(program, options)
        # CuPy cuts off the last byte, as if it ended a string; it is the last of the ELF file
        return nvrtc.getCUBIN(program) + b"\0", nvrtc.getProgramLog(program)
    except nvrtc.NVRTCError as error:
        log = nvrtc.getProgramLog(program)
        raise DeviceError(f"the kernels cannot be compiled for {arch}: {error}\n{log}") from error
    finally:
        nvrtc.destroyProgram(program)


def cache_folder() -> Path:
    """Where compiled kernels are kept: CuPy's own folder, or where others can write to that, one of
    this process."""
    found = cupy_folder()
    return found if only_ours(found) else Path(_private_folder().name)


def cupy_folder() -> Path:
    """Where CuPy keeps its kernels."""
    asked = os.environ.get("CUPY_CACHE_DIR")
    return Path(asked or os.path.expanduser(os.path.join("~", ".cupy", "kernel_cache")))


@cache
def _private_folder() -> tempfile.TemporaryDirectory:
    """A folder that is removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="cunet-kernels-")


def compiled(precision: str, arch: str) -> Path:
    """The file of compiled kernels, made when it is not there yet."""
    version = str(load_nvrtc().getVersion())
    text = "\n".join((source(arch), precision, arch, version, CACHE_FORMAT))
    name = f"cunet-{hashlib.sha256(text.encode()).hexdigest()[:24]}.cubin"
    path = cache_folder() / name
    if path.is_file():
        return path
    announce(f"compiling the kernels for {arch}, {precision} (once; kept in {path.parent})")
    start = time.perf_counter()
    code, _ = compile_source(precision, arch)
    announce(f"compiled in {time.perf_counter() - start:.0f} s")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as part:
            temporary = Path(part, name)
            temporary.write_bytes(code)
            temporary.replace(path)
    except OSError as error:
        raise DeviceError(
            f"the compiled kernels cannot be kept in '{path.parent}' ({error.strerror}): run  "
            "export CUPY_CACHE_DIR=FOLDER  with one that can be written"
        ) from error
    return path


def to_stderr(text: str) -> None:
    """Print a line at once, and not among what a program writes to stdout."""
    with suppress(OSError):  # nobody reads it any more
        print(printable(text), file=sys.stderr, flush=True)


# The first call on a machine compiles for seconds and says why it takes so long; assign another
# function to show the text elsewhere, or nowhere
announce: Callable[[str], None] = to_stderr


@cache
def function(precision: str, index: int, name: str) -> Any:
    """A kernel, ready to be launched on GPU number index."""
    return module(precision, index).get_function(name)


@cache
def module(precision: str, index: int) -> Any:
    """All kernels of a precision, loaded on GPU number index."""
    path = compiled(precision, architecture(capability()))
    loaded[index] = precision
    return import_cupy().RawModule(path=str(path))


def launch(
    like: Array | None,
    name: str,
    grid: int | tuple[int, ...],
    block: int,
    *arguments: Argument,
    shared: int = 0,
) -> None:
    """Run the kernel `name`, of the precision that like's dtype stands for; None: of any.

    grid: blocks; block: threads; shared: bytes of dynamic shared memory. Python's whole numbers
    are passed as int, other numbers as float, None as a null pointer. Arrays are passed as the
    address of their first element, whatever their strides; NumPy arrays of one element by value.
    """
    kernel = function(precision_of(like), import_cupy().cuda.Device().id, name)
    if shared > 48 * 1024:  # more has to be asked for
        kernel.max_dynamic_shared_size_bytes = shared
    grid = grid if isinstance(grid, tuple) else (grid,)
    kernel(grid, (block,), tuple(map(argument, arguments)), shared_mem=shared)


def argument(value: Argument) -> Any:
    """A value as the kernel takes it."""
    if value is None:
        return np.uint64(0)
    if isinstance(value, bool | int):
        return np.int32(value)
    return np.float32(value) if type(value) is float else value


def blocks(count: int, size: int) -> int:
    """How many blocks of this size it takes for `count`."""
    return -(-count // size)


@contextmanager
def dividing_for(count: int) -> Iterator[None]:
    """Inside, work is divided as for a GPU of `count` multiprocessors: for measurements that try
    other numbers of parts."""
    global processors
    before, processors = processors, lambda: count
    try:
        yield
    finally:
        processors = before
