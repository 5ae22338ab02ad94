"""Memory that is reused: getting new pages from the system costs more than computing the sums
that are written to them.

scratch() gives each thread buffers that it keeps from call to call. empty() is numpy.empty with
reuse: when the last view of an array is gone, its memory serves later arrays. The memory stays with
the process. A GPU's arrays need neither, because CuPy keeps a pool of its own.
"""

import math
import mmap
import os
from bisect import bisect
from contextlib import suppress
from threading import Lock, local

import numpy as np

# From this size on empty() reuses memory; the C library does so for smaller arrays.
LARGE_ARRAY_BYTES = 1 << 20
PAGE = 4096


class _Arena:
    """A range of addresses as long as the machine's memory, whose pages exist once they are written
    to. An array takes the smallest gap that is large enough; when it is gone, its range joins the
    gaps beside it. So the second step of a training finds all its memory where the first had it."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.memory = reserve()
        self.gaps = [(0, len(self.memory))] if len(self.memory) else []  # (start, size), in order
        self.left: list[tuple[int, int]] = []  # ranges of arrays that are gone, not joined yet

    def take(self, size: int) -> tuple[int, int] | None:
        """(start, size) of a free range of whole pages, None where there is none."""
        size = -(-size // PAGE) * PAGE
        with self.lock:
            while self.left:
                self.join(*self.left.pop())
            best = min((gap for gap in self.gaps if gap[1] >= size), key=_size, default=None)
            if best is None:
                return None
            i = self.gaps.index(best)
            self.gaps[i : i + 1] = [(best[0] + size, best[1] - size)] if best[1] > size else []
            return best[0], size

    def join(self, start: int, size: int) -> None:
        """Make a range free again, as one with the gaps beside it."""
        i = bisect(self.gaps, (start, size))
        if i < len(self.gaps) and start + size == self.gaps[i][0]:
            size += self.gaps.pop(i)[1]
        if i > 0 and sum(self.gaps[i - 1]) == start:
            i, (start, more) = i - 1, self.gaps.pop(i - 1)
            size += more
        self.gaps.insert(i, (start, size))


def _size(gap: tuple[int, int]) -> int:
    return gap[1]


def reserve() -> np.ndarray:
    """As many addresses as the machine has bytes of memory; an empty array where the system
    refuses."""
    try:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
        memory = mmap.mmap(-1, size, flags=flags)
    except (AttributeError, ValueError, OverflowError, OSError):  # Windows, or a limit on addresses
        return np.empty(0, np.uint8)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without large pages
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)


_arena: _Arena | None = None
_making = Lock()


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """numpy.empty(shape, dtype); a large array gets memory of arrays that are gone."""
    global _arena
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < LARGE_ARRAY_BYTES:
        return np.empty(shape, dtype)
    with _making:
        if _arena is None:
            _arena = _Arena()
    place = _arena.take(size)
    if place is None:
        return np.empty(shape, dtype)
    return np.asarray(_Place(_arena, place, shape, dtype))


class _Place:
    """What an array from empty() holds on to; its range is free again when the array is gone."""

    def __init__(self, arena: _Arena, place: tuple[int, int], shape: tuple, dtype: np.dtype):
        self.place, self.arena = place, arena
        self.__array_interface__ = {
            "version": 3,
            "data": (arena.memory.ctypes.data + place[0], False),
            "shape": tuple(map(int, shape)),
            "typestr": np.dtype(dtype).str,
        }

    def __del__(self) -> None:
        self.arena.left.append(self.place)  # not joined here: this thread may be inside take()


class _Scratch(local):
    """Buffers that each thread keeps and reuses from call to call."""

    def __init__(self) -> None:
        self.kept: dict[str, np.ndarray] = {}
        self.views: dict[tuple, np.ndarray] = {}  # called often, so views are cached

    def __call__(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        view = self.views.get((name, shape, dtype))
        if view is not None:
            return view
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if name not in self.kept or self.kept[name].size < size:
            self.kept[name] = empty((max(size, LARGE_ARRAY_BYTES),), np.dtype(np.uint8))
            self.views = {key: old for key, old in self.views.items() if key[0] != name}
        view = self.kept[name][:size].view(dtype).reshape(shape)
        self.views[name, shape, dtype] = view
        return view


scratch = _Scratch()
