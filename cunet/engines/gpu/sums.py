"""Sums on a GPU."""

import numpy as np

from cunet.backend import Array, array_module
from cunet.engines.gpu import fresh
from cunet.engines.gpu.cuda import blocks, launch
from cunet.engines.gpu.elements import THREADS, chunk, launch_long

MAX_PARTS = 264  # of a sum over an image: two blocks for each multiprocessor of a large GPU


def spread(units: int, most: int = MAX_PARTS) -> int:
    """How many blocks, at most `most`, share units of work evenly.

    The number depends on the units alone, and so does the order of a sum.
    """
    return blocks(units, blocks(units, most))


def add(a: Array, b: Array) -> None:
    """b += a for float32 arrays of one shape, in place. b = a where b is the gradient of a recorded
    step that gets but one (fresh.py)."""
    if not fresh.took(a, b):
        launch_long(None, "add_floats", b.size, a, b)


def column_sums(dy: Array, into: Array | None = None) -> Array:
    """The sums (K) in float32 of an activation (..., K) over all but its last axis. into: an array
    for them, by default a new one."""
    k = dy.shape[-1]
    rows, chunks = dy.size // k, k // chunk(dy)
    parts = spread(blocks(rows, 4 * (THREADS // min(32, chunks))))
    partial = array_module(dy).empty((parts, k), np.float32)
    launch(dy, "column_partials", (parts, blocks(chunks, 32)), THREADS, dy, partial, rows, k)
    return sum_partials(partial, into)


def sum_partials(ws: Array, into: Array | None = None) -> Array:
    """The sum of float32 ws (S, ...) over its first axis, in its order. For S above 16 there are 32
    runs, each summed in order, whose sums are then added in order. into: an array for it, which
    begins at a multiple of 16 bytes; by default a new one."""
    sums = array_module(ws).empty(ws.shape[1:], np.float32) if into is None else into
    slices, four = 1 if len(ws) <= 16 else 32, sums.size % 4 == 0
    launch(
        None,
        "sum_partials_by_four" if four else "sum_partials",
        blocks(sums.size, THREADS // slices * (4 if four else 1)),
        THREADS, ws, sums, len(ws), np.int64(sums.size), slices,
    )  # fmt: skip
    return sums


def sum_filter_partials(ws: Array, dw: Array, db: Array) -> None:
    """The sum of float32 ws (S, size of dw and of db) over its first axis, in the order that
    sum_partials has, to dw and db; their sizes are multiples of 4."""
    slices, n = 1 if len(ws) <= 16 else 32, ws.shape[1]
    launch(
        None, "sum_filter_partials", blocks(n, THREADS // slices * 4), THREADS,
        ws, dw, db, len(ws), np.int64(dw.size), np.int64(n), slices,
    )  # fmt: skip
