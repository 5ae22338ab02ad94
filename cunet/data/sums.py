"""Sums over more numbers than fit into memory, with the bits of NumPy's sum over all of them.

The rounding of a sum follows from its order. NumPy adds the rows of (N, C) one after the other, a
single column by halves (pairwise summation), and numbers of another type than the sum's in pieces
of its buffer. Here the same additions are made while the numbers come in parts.
"""

from collections.abc import Generator
from typing import Any

import numpy as np

LEAF = 1 << 17  # numbers that are handed to NumPy at once; NumPy itself halves down to 128
EXACT = 1 << 53  # up to here float64 holds every whole number, and the order plays no part

Adding = Generator[int, np.ndarray, Any]  # asks for so many rows, in the end returns the sum


class OrderedSum:
    """numbers.sum(axis=0, dtype=float64) of numbers (count, channels), which are added in parts."""

    def __init__(self, count: int, channels: int, dtype: np.dtype) -> None:
        self._parts: list[np.ndarray] = []
        self._there = 0
        self.total = np.zeros(channels)
        if dtype.kind in "bui" and dtype.itemsize <= 2 and count * 65535 < EXACT:
            self._adding = _any_order(count)
        elif channels > 1:
            self._adding = _row_by_row(count, channels)
        else:
            self._adding = _by_halves(count) if dtype == np.float64 else _by_buffers(count)
        self._wanted = next(self._adding) if count else 0

    def add(self, numbers: np.ndarray) -> None:
        """The next rows (n, channels)."""
        self._parts.append(numbers)
        self._there += len(numbers)
        while self._wanted and self._there >= self._wanted:
            have = np.concatenate(self._parts) if len(self._parts) > 1 else self._parts[0]
            part, rest = have[: self._wanted], have[self._wanted :]
            self._parts, self._there = [rest], len(rest)
            try:
                self._wanted = self._adding.send(part)
            except StopIteration as end:
                self.total, self._wanted = np.atleast_1d(end.value), 0
        if self._there:
            self._parts = [part.copy() for part in self._parts]  # no views of large blocks


def _any_order(count: int) -> Adding:
    """Of whole numbers so small that every order gives the same."""
    total, beside = np.zeros(1), 1 << 10
    while count:
        part = yield min(count, LEAF)
        count -= len(part)
        whole = len(part) - len(part) % beside
        # Long rows are added several times as fast as short ones; 32 bits hold LEAF / 1024 of them.
        long = part[:whole].reshape(-1, beside * part.shape[1]).sum(axis=0, dtype=np.int32)
        total = total + long.reshape(beside, -1).sum(axis=0, dtype=np.float64)
        total += part[whole:].sum(axis=0, dtype=np.float64)
    return total


def _row_by_row(count: int, channels: int) -> Adding:
    total = np.zeros(channels)
    while count:
        part = yield min(count, LEAF)
        total, count = np.concatenate([total[None], part]).sum(axis=0), count - len(part)
    return total


def _by_halves(count: int) -> Adding:
    if count <= LEAF:
        part = yield count
        return np.add.reduce(part[:, 0])
    half = count // 2
    half -= half % 8  # NumPy adds eight at a time
    first = yield from _by_halves(half)
    return first + (yield from _by_halves(count - half))


def _by_buffers(count: int) -> Adding:
    total, whole = np.float64(0), 16 * np.getbufsize()
    while count:
        part = yield min(count, whole)
        total = np.add.reduce(part[:, 0], dtype=np.float64, initial=total)
        count -= len(part)
    return total
