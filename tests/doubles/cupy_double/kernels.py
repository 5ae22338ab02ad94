"""Kernels on the device double: those of a shared object that cuda_emulation has built."""

import ctypes
import itertools

import numpy as np

from cupy_double.arrays import ndarray
from cupy_double.parts import CUDADriverError, most_shared, work

ALWAYS_SHARED = 48 << 10  # bytes of shared memory that need not be asked for


class RawModule:
    """The kernels of a shared object that tests/doubles/cuda_emulation has built."""

    def __init__(self, code=None, *, path=None):
        if path is None:
            raise NotImplementedError("the double has no compiler: kernels come from a file")
        self._library = ctypes.PyDLL(path)  # one launch at a time, whatever threads there are

    def get_function(self, name):
        try:
            return Kernel(name, self._library[f"launch_{name}"])
        except AttributeError:
            raise CUDADriverError(f"CUDA_ERROR_NOT_FOUND: symbol not found: {name}") from None


class Kernel:
    """kernel(grid, block, args): arrays are passed as the address of their first element."""

    def __init__(self, name, function):
        self.name, self._function, self._shared = name, function, ALWAYS_SHARED
        function.restype = ctypes.c_char_p
        self._seeds = itertools.count(1)  # every launch runs the threads in another order

    @property
    def max_dynamic_shared_size_bytes(self):
        return self._shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size):
        self._check(size <= most_shared(), f"{size} bytes of shared memory")
        self._shared = size

    def _check(self, valid, what):
        if not valid:
            raise CUDADriverError(f"CUDA_ERROR_INVALID_VALUE: {self.name}: {what}")

    def __call__(self, grid, block, args, *, shared_mem=0):
        grid, block = (*grid, 1, 1)[:3], (*block, 1, 1)[:3]
        self._check(min(grid) > 0 and max(grid[1:]) < 65536, f"grid {grid}")
        self._check(0 < block[0] <= 1024 and block[1:] == (1, 1), f"block {block}")
        self._check(shared_mem <= self._shared, f"{shared_mem} bytes of shared memory")
        values = [self._value(i, a) for i, a in enumerate(args)]  # kept with what is recorded
        sizes = [-v.itemsize if v.dtype.kind == "f" else v.itemsize for v in values]
        pointers = (ctypes.c_void_p * len(values))(*(v.ctypes.data for v in values))
        rest = pointers, (ctypes.c_int * len(values))(*sizes), len(values)
        first = (ctypes.c_uint * 3)(*grid), ctypes.c_uint(block[0]), ctypes.c_size_t(shared_mem)

        def run(kept=(args, values)):
            error = self._function(*first, ctypes.c_uint(next(self._seeds)), *rest)
            if error is not None:
                raise CUDADriverError(f"{self.name}: {error.decode()}")

        work(run)

    def _value(self, number, value):
        """The bytes that the kernel takes, as an array of one."""
        if isinstance(value, ndarray):
            value = np.uint64(value.data.ptr)
        if isinstance(value, np.ndarray) and value.ndim == 0:  # by value, as CuPy passes it
            return value.reshape(1).copy()
        if not isinstance(value, np.generic):
            raise TypeError(f"{self.name}: argument {number} is a {type(value).__name__}")
        return np.array([value])
