"""Parts of an image for threads: strips of rows, which stay in the processor's cache.

The functions of this package call an operation for each part; the threads share the parts. The
partition depends on the shapes alone, and partial sums are added in order.
"""

import numpy as np

from cunet.threads import parallel, strips

PARALLEL_ADD_BYTES = 1 << 20  # smaller arrays are added by one thread


def add(a: np.ndarray, b: np.ndarray) -> None:
    """b += a, both of one shape; b is changed in place."""
    if b.nbytes < PARALLEL_ADD_BYTES:
        b += a
        return
    parallel(lambda part: np.add(b[part], a[part], out=b[part]), parts(b))


def parts(x: np.ndarray) -> list[tuple[slice, slice]]:
    """Strips of an image (N, H, W, C): (one image, some rows)."""
    n, rows, width, c = x.shape
    cut = strips(rows, width * c * x.itemsize)
    return [(slice(i, i + 1), rows) for i in range(n) for rows in cut]


def doubled(part: tuple[slice, slice]) -> tuple[slice, slice]:
    """The same strip at twice the resolution."""
    return part[0], slice(2 * part[1].start, 2 * part[1].stop)
