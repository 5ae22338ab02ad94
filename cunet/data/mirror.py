"""Beyond its border an image is mirrored; the border pixel is not repeated."""

import numpy as np


def reflect(first: int, count: int, size: int) -> np.ndarray:
    """The `count` indices from `first` on, mirrored into 0 ... size - 1 as often as needed."""
    if size == 1:
        return np.zeros(count, np.intp)
    index = np.arange(first, first + count) % (2 * size - 2)
    return np.minimum(index, 2 * size - 2 - index)
