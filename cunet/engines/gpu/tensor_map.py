"""Tensor maps (CUtensorMap): what Hopper's copy engine must know of an array, by ctypes.

A map is 128 bytes that the driver's cuTensorMapEncodeTiled makes. CuPy passes a NumPy array of one
element by value, so a map is a 0-d array of 128 raw bytes and the kernel's parameter is a
`const __grid_constant__ TensorMap` (device_tma.cu).
"""

import ctypes
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from cunet.errors import DeviceError

MAP = np.dtype((np.void, 128))
ALIGNMENT = 64  # of the bytes that the driver writes
# as in cuda.h; by the dtype of an activation (see cuda.py)
TYPES = {np.dtype("float32"): 7, np.dtype("float16"): 6, np.dtype("uint16"): 9}
SWIZZLE_128_BYTES, PROMOTE_TO_256_BYTES = 3, 3


@cache
def driver() -> Any:
    """cuTensorMapEncodeTiled; DeviceError where the driver is not there or does not have it."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        function = ctypes.CDLL(name).cuTensorMapEncodeTiled
    except (OSError, AttributeError) as error:
        raise DeviceError(f"the driver makes no tensor maps: {error}") from error
    number, numbers = ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32)
    longs = ctypes.POINTER(ctypes.c_uint64)
    function.argtypes = [
        ctypes.c_void_p, ctypes.c_int, number, ctypes.c_void_p, longs, longs, numbers, numbers,
        ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int,
    ]  # fmt: skip
    function.restype = ctypes.c_int
    return function


def tiled(
    address: int,
    dtype: np.dtype,
    lengths: Sequence[int],
    strides: Sequence[int],
    box: Sequence[int],
) -> np.ndarray:
    """The map of an array at an address of the GPU, whose boxes have rows of 128 bytes.

    lengths and box: from the innermost dimension, 3 to 5 of them; strides: in elements, of all but
    the innermost. What lies outside of the lengths arrives as 0. Chunks of 16 bytes are swapped by
    the three address bits above the row. DeviceError where the driver refuses.
    """
    memory = np.zeros(MAP.itemsize + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    rank = len(lengths)
    code = driver()(
        memory.ctypes.data + start, TYPES[dtype], rank, address,
        (ctypes.c_uint64 * rank)(*lengths),
        (ctypes.c_uint64 * (rank - 1))(*(stride * dtype.itemsize for stride in strides)),
        (ctypes.c_uint32 * rank)(*box), (ctypes.c_uint32 * rank)(*(1,) * rank),
        0, SWIZZLE_128_BYTES, PROMOTE_TO_256_BYTES, 0,
    )  # fmt: skip
    if code:
        raise DeviceError(
            f"the driver refuses a tensor map (error {code}): lengths {tuple(lengths)}, strides "
            f"{tuple(strides)}, box {tuple(box)}, {dtype}"
        )
    return memory[start : start + MAP.itemsize].view(MAP).reshape(()).copy()
