"""Memory used again: fresh pages from the operating system cost more than the sums written to them.

scratch() gives each thread buffers that it keeps from call to call; empty() is numpy.empty whose
memory, once the last array in it is gone, serves the next array of about that size. A GPU's arrays
need neither: CuPy keeps a pool of its own.
"""

import math
import mmap
from contextlib import suppress
from threading import Lock, local

import numpy as np

POOLED = 1 << 20  # bytes from which empty() keeps memory; the C library does as well below
LINE = 64  # bytes of a cache line
SLACK = 1.25  # how much larger than wanted a used piece of memory may be


class _Pool:
    """Pieces of memory that lie free. In all they and those in use never take more than was once
    in use at the same time."""

    def __init__(self) -> None:
        self.lock, self.free = Lock(), []  # the longest free comes first
        self.total = self.peak = 0  # bytes: free and in use now, most in use so far

    def take(self, size: int) -> np.ndarray:
        """The smallest free piece of about `size` bytes, or a new one."""
        with self.lock:
            used = self.total - sum(piece.size for piece in self.free)
            self.peak = max(self.peak, used + size)
            fitting = [p.size for p in self.free if size <= p.size <= SLACK * size]
            if fitting:
                best = min(fitting)
                return self.free.pop([p.size for p in self.free].index(best))
            while self.free and self.total + size > self.peak:
                self.total -= self.free.pop(0).size
            self.total += size
        return _pages(size)


def _pages(size: int) -> np.ndarray:
    """Bytes on pages of their own, which go back whole; in the C library's heap they would leave
    holes."""
    if not hasattr(mmap, "MAP_PRIVATE"):  # Windows
        return np.frombuffer(mmap.mmap(-1, size), np.uint8)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without large pages
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)


_pool = _Pool()


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """numpy.empty(shape, dtype), in memory that was used before where some of that size is free."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < POOLED:
        return np.empty(shape, dtype)
    return np.asarray(_Piece(_pool.take(size), shape, dtype))


def _aligned(size: int) -> np.ndarray:
    """Bytes that begin on a cache line, which wide vector instructions prefer."""
    memory = np.empty(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size]


class _Piece:
    """What an array from empty() holds on to; its memory is free again when the array is gone."""

    def __init__(self, memory: np.ndarray, shape: tuple[int, ...], dtype: np.dtype):
        self.memory = memory
        self.__array_interface__ = {
            "version": 3,
            "data": (memory.ctypes.data, False),
            "shape": tuple(map(int, shape)),
            "typestr": np.dtype(dtype).str,
        }

    def __del__(self, free=_pool.free) -> None:
        free.append(self.memory)  # without the lock, which this thread may hold


class _Scratch(local):
    """Buffers that each thread keeps and reuses from call to call."""

    def __init__(self) -> None:
        self.kept: dict[str, np.ndarray] = {}
        self.views: dict[tuple, np.ndarray] = {}  # this is called often: the same view again

    def __call__(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        view = self.views.get((name, shape, dtype))
        if view is not None:
            return view
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if name not in self.kept or self.kept[name].size < size:
            self.kept[name] = _aligned(size)
            self.views = {key: old for key, old in self.views.items() if key[0] != name}
        view = self.kept[name][:size].view(dtype).reshape(shape)
        self.views[name, shape, dtype] = view
        return view


scratch = _Scratch()
