"""Images on a GPU, rounded to a precision and back: wrappers of images.cu.

Activations (N, H, W, C) have C a multiple of 8; all arrays are contiguous. Nothing here waits for
the GPU.
"""

from typing import Any

import numpy as np

from cunet.backend import Array, array_module
from cunet.engines.gpu.cuda import DTYPES, blocks, launch, precision_of
from cunet.engines.gpu.packing import packed
from cunet.errors import CunetError

THREADS = 256
CHUNKS_PER_THREAD = 2  # of a long row: as in images.cu


def chunk(x: Array) -> int:
    """How many elements of an activation 16 bytes hold."""
    return 16 // x.dtype.itemsize


def launch_long(like: Array | None, name: str, count: int, *arguments: Any) -> None:
    """Launch a kernel that takes an array of `count` as one long row."""
    block = THREADS * CHUNKS_PER_THREAD * 16 // DTYPES[precision_of(like)].itemsize
    launch(like, name, blocks(count, block), THREADS, *arguments, np.int64(count))


def to_elements(x: Array, precision: str) -> Array:
    """float32 x, of any strides, as an activation of the precision, in its shape: rounded to
    nearest."""
    x = in_order(x)
    y = array_module(x).empty(x.shape, DTYPES[precision])
    launch_long(y, "to_elements", x.size, x, y)
    return y


def to_floats(a: Array) -> Array:
    """An activation as float32, exactly."""
    y = array_module(a).empty(a.shape, np.float32)
    launch_long(a, "to_floats", a.size, a, y)
    return y


def in_order(x: Array) -> Array:
    """x as the kernels read it, element after element: a copy if it is a view with gaps."""
    return x if x.flags.c_contiguous else array_module(x).ascontiguousarray(x)


def plain(w: Array) -> Array:
    """The value of a parameter; CunetError where it has gaps or is not float32, as an array that
    was assigned to p.value may be: no kernel would see that."""
    if w.flags.c_contiguous and w.dtype == np.float32:
        return w
    raise CunetError(
        f"tensor cores: a parameter's array must be float32 and in C's order, found {w.dtype} "
        f"{w.shape} with strides {w.strides}; use p.value[...] = values"
    )


def pack(w: Array, like_dtype: np.dtype, transposed: bool) -> Array:
    """Filters w (R, S, C, K) float32 rounded to an activation's dtype: (R S, C, K), or with each
    tap's matrix transposed (R S, K, C). Recorded work may have a copy already, see packing.py."""
    if (ready := packed(w, like_dtype, transposed)) is not None:
        return ready
    plain(w)
    (c, k), taps = w.shape[2:], w.shape[0] * w.shape[1]
    y = array_module(w).empty((taps, k, c) if transposed else (taps, c, k), like_dtype)
    if transposed:
        launch(y, "pack_transposed", (blocks(c, 32), blocks(k, 32), taps), THREADS, w, y, c, k)
    else:
        launch_long(y, "to_elements", w.size, w, y)
    return y


def enter(x: Array, precision: str) -> Array:
    """An image (float32) as the layers take it, as definition.enter."""
    return to_elements(x, precision)


def leave(y: Array) -> Array:
    """What a layer returned, as float32."""
    return to_floats(y)
