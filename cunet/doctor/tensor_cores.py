"""cunet's own kernels on a GPU's tensor cores, tried in every precision."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from cunet.doctor.finding import NOTE, OK, Finding, attempt
from cunet.engines.gpu import box_check, convolution, elements
from cunet.engines.gpu.cuda import DTYPES, LEAST_CAPABILITY, WARPGROUP_CAPABILITY
from cunet.ops import conv

USE_FLOAT32 = "use --precision float32"

# the module that convolves, the one that rounds arrays to a precision and back, and the one that
# knows why a GPU does not convolve by its copy engine
Kernels = tuple[Any, Any, Any]


def load_kernels() -> Kernels:
    """cunet's own; what is wrong with them shows when they are first used."""
    return convolution, elements, box_check


def properties(cupy: ModuleType, index: int) -> tuple[str, int]:
    """A GPU's name and its compute capability: 90 for 9.0."""
    found = cupy.cuda.runtime.getDeviceProperties(index)
    return found["name"].decode(), 10 * found["major"] + found["minor"]


def tensor_cores(
    cupy: ModuleType, usable: list[int], load: Callable[[], Kernels], fix: str
) -> Finding:
    """A convolution by cunet's own kernels in each precision, on every GPU that has them."""
    capable = [i for i in usable if properties(cupy, i)[1] >= LEAST_CAPABILITY]
    if not capable:
        return Finding("tensor cores", NOTE, "none (compute capability 8.0 or later): float32 only")

    def work() -> str:
        for index in capable:
            for precision in DTYPES:
                with cupy.cuda.Device(index):
                    if not convolves(cupy, *load()[:2], precision):
                        raise ArithmeticError(f"GPU {index}: a {precision} convolution is wrong")
        return f"a convolution in {', '.join(DTYPES)} equals its definition"

    return attempt("tensor cores", work, fix, USE_FLOAT32)


def copy_engine(cupy: ModuleType, usable: list[int], load: Callable[[], Kernels]) -> list[Finding]:
    """Whether the GPUs that have Hopper's copy engine convolve by it in each precision, which is
    fastest; no finding where there is no such GPU."""
    hopper = [i for i in usable if properties(cupy, i)[1] == WARPGROUP_CAPABILITY]
    problems = []

    def work() -> str:
        for index in hopper:
            for precision in DTYPES:
                with cupy.cuda.Device(index):
                    if (problem := load()[2].problem(precision, index)) is not None:
                        problems.append(f"GPU {index}: not used in {precision}: {problem}")
        return f"brings the operands of convolutions in {', '.join(DTYPES)}"

    if not hopper:
        return []
    found = attempt("copy engine", work, "", USE_FLOAT32)
    if found.state == OK and problems:
        text = "; ".join(problems) + ": convolutions are slower"
        found = Finding("copy engine", NOTE, text)
    return [found]


def convolves(cupy: ModuleType, kernels: Any, images: Any, precision: str) -> bool:
    """Whether a convolution by cunet's kernels equals its definition by NumPy."""
    rng = np.random.default_rng(0)
    shapes = (1, 21, 30, 64), (3, 3, 64, 64), (64,)
    # sums of such numbers stay small: every precision holds them exactly
    x, w, b = (rng.integers(-1, 2, shape).astype(np.float32) for shape in shapes)
    image = images.to_elements(cupy.asarray(x), precision)
    y = kernels.conv_forward(image, cupy.asarray(w), cupy.asarray(b))
    return np.array_equal(cupy.asnumpy(images.to_floats(y)), conv.forward(x, w, b))
