"""Zeros around an image, so that a valid convolution returns one of the image's own size.

"valid" adds none; "same" adds (R - 1) // 2 rows before and R // 2 after, columns likewise, for a
filter of R x S taps. Zeros have no gradient: backward cuts them off.
"""

from cunet.backend import Array, array_module
from cunet.errors import CunetError


def forward(x: Array, size: tuple[int, int], padding: str) -> Array:
    """x (N, H, W, C) with the zeros that filters of `size` (R, S) need."""
    (top, bottom), (left, right) = border(size, padding)
    if padding == "valid":
        return x
    return array_module(x).pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))


def backward(dy: Array, size: tuple[int, int], padding: str) -> Array:
    """dx: the gradient without that of the zeros, a view of dy."""
    (top, bottom), (left, right) = border(size, padding)
    return dy[:, top : dy.shape[1] - bottom, left : dy.shape[2] - right]


def border(size: tuple[int, int], padding: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows of zeros (above, below) and columns (left, right); CunetError for other paddings."""
    if padding not in ("valid", "same"):
        raise CunetError(f"convolution: padding is 'valid' or 'same', found '{padding}'")
    height, width = size if padding == "same" else (1, 1)
    return ((height - 1) // 2, height // 2), ((width - 1) // 2, width // 2)
