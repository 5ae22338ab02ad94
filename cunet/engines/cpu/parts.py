"""ReLU, max-pooling, up-convolution and batch normalization on strips of rows, several at a time.

Each function has the signature of the operation that it stands for and calls it on parts of the
image, which stay in the cache and are taken by the threads in turn. The partition depends on the
shapes alone, and partial sums are added in order. On another device the operation itself runs.
"""

import numpy as np

from cunet.backend import Array
from cunet.threads import parallel, strips

WORTH = 1 << 20  # bytes whose addition is worth a second thread


def add(a: Array, b: Array) -> None:
    """b += a, both (N, H, W, C); b is changed in place."""
    if not isinstance(b, np.ndarray) or b.nbytes < WORTH:
        b += a
        return
    parallel(lambda part: np.add(b[part], a[part], out=b[part]), parts(b))


def parts(x: np.ndarray) -> list[tuple[slice, slice]]:
    """Strips of an image (N, H, W, C): (one image, some rows)."""
    n, rows, width, c = x.shape
    cut = strips(rows, width * c * x.itemsize)
    return [(slice(i, i + 1), rows) for i in range(n) for rows in cut]
