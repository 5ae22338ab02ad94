"""What is done to every number of an image on a GPU, and sums over pixels: wrappers of images.cu.

Activations (N, H, W, C) have C a multiple of 8; all arrays are contiguous. Functions with the names
of those in rows.py stand for the same operations. Nothing here waits for the GPU.
"""

import numpy as np

from cunet.backend import Array, array_module
from cunet.kernels.cuda import DTYPES, blocks, launch, precision_of
from cunet.ops import crop_concat, max_pool

THREADS = 256
EACH = 2  # chunks that a thread takes of a long row: CHUNKS_EACH in images.cu
PARTS = 264  # of a sum over an image: two blocks for each multiprocessor of a large GPU
LARGEST = 2**32 - 1


def chunk(x: Array) -> int:
    """How many elements of an activation are 16 bytes."""
    return 16 // x.dtype.itemsize


def spread(units: int, most: int = PARTS) -> int:
    """Into how many blocks, `most` at most, to deal units of work, so that all have as much.

    It depends on the units alone, and with it the order of a sum.
    """
    return blocks(units, blocks(units, most))


def launch_long(like: Array | None, name: str, count: int, *arguments: object) -> None:
    """Launch a kernel that takes an array of `count` as one long row."""
    each = THREADS * EACH * 16 // DTYPES[precision_of(like)].itemsize
    launch(like, name, blocks(count, each), THREADS, *arguments, np.int64(count))


def to_elements(x: Array, precision: str) -> Array:
    """float32 x as an activation of the precision, in its shape: rounded to nearest."""
    y = array_module(x).empty(x.shape, DTYPES[precision])
    launch_long(y, "to_elements", x.size, x, y)
    return y


def to_floats(a: Array) -> Array:
    """An activation as float32, exactly."""
    y = array_module(a).empty(a.shape, np.float32)
    launch_long(a, "to_floats", a.size, a, y)
    return y


def pack(w: Array, like_dtype: np.dtype, transposed: bool) -> Array:
    """Filters w (R, S, C, K) float32 rounded to an activation's dtype: (R S, C, K), or with each
    tap's matrix transposed (R S, K, C)."""
    (c, k), taps = w.shape[2:], w.shape[0] * w.shape[1]
    y = array_module(w).empty((taps, k, c) if transposed else (taps, c, k), like_dtype)
    if transposed:
        launch(y, "pack_transposed", (blocks(c, 32), blocks(k, 32), taps), THREADS, w, y, c, k)
    else:
        launch_long(y, "to_elements", w.size, w, y)
    return y


def relu_backward(dy: Array, y: Array) -> Array:
    """ops.relu.backward."""
    dx = array_module(y).empty(y.shape, y.dtype)
    launch_long(y, "relu_backward", y.size, dy, y, dx)
    return dx


def drop(x: Array, rate: float, key: Array | int | np.uint64) -> Array:
    """ops.dropout.forward, and backward where x is dy, with the same mask.

    key: a number, or an array of one uint64 on the device, which is read when the kernel runs.
    """
    xp = array_module(x)
    y = xp.empty(x.shape, x.dtype)
    if isinstance(key, int | np.integer):
        key = xp.asarray(np.array([key], np.uint64))
    least = np.uint32(min(int(rate * 2**32), LARGEST))
    launch_long(x, "drop", x.size, x, y, key, least, np.float32(1 / (1 - rate)))
    return y


def pool_forward(x: Array) -> Array:
    """ops.max_pool.forward."""
    n, height, width, c = x.shape
    if height % 2 or width % 2:
        return max_pool.forward(x)  # which says what is wrong with odd sizes
    y = array_module(x).empty((n, height // 2, width // 2, c), x.dtype)
    launch(x, "pool_forward", pool_grid(y), THREADS, x, y, y.shape[2], c)
    return y


def pool_backward(dy: Array, x: Array, y: Array, beside: Array | None = None) -> Array:
    """ops.max_pool.backward, plus `beside` (N, P, Q, C) in the middle of dx where it is given: the
    gradient that comes back along the skip.

    The kernel finds the maxima in x again, so y is not looked at.
    """
    if beside is not None:
        crop_concat.centre(x, *beside.shape[1:3])  # which says what is wrong with other sizes
    dx = array_module(x).empty(x.shape, x.dtype)
    rows, columns, c = dy.shape[1:]
    inner = beside.shape[1:3] if beside is not None else (0, 0)
    problem = dy, x, beside, dx, rows, columns, c, *inner
    launch(x, "pool_backward", pool_grid(dy), THREADS, *problem)
    return dx


def pool_grid(y: Array) -> tuple[int, int]:
    """Blocks for the small image y (N, P, Q, C): its rows, and the parts of a row."""
    n, rows, columns, c = y.shape
    return n * rows, blocks(columns * c // chunk(y), THREADS)


def add(a: Array, b: Array) -> None:
    """b += a for float32 arrays of one shape, in place."""
    launch_long(None, "add_floats", b.size, a, b)


def column_sums(dy: Array) -> Array:
    """The sums (K) in float32 of an activation (..., K) over all but its last axis."""
    k = dy.shape[-1]
    rows, chunks = dy.size // k, k // chunk(dy)
    parts = spread(blocks(rows, 4 * (THREADS // min(32, chunks))))
    partial = array_module(dy).empty((parts, k), np.float32)
    launch(dy, "column_partials", (parts, blocks(chunks, 32)), THREADS, dy, partial, rows, k)
    return sum_partials(partial)


def sum_partials(ws: Array) -> Array:
    """The sum of float32 ws (S, ...) over its first axis, in this order; where S is above 16 in 32
    runs, each in order, which are then added in order."""
    sums = array_module(ws).empty(ws.shape[1:], np.float32)
    slices, four = 1 if len(ws) <= 16 else 32, sums.size % 4 == 0
    launch(
        None,
        "sum_partials_by_four" if four else "sum_partials",
        blocks(sums.size, THREADS // slices * (4 if four else 1)),
        THREADS, ws, sums, len(ws), np.int64(sums.size), slices,
    )  # fmt: skip
    return sums
