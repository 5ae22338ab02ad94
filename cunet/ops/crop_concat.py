"""Crop and concatenate: the up-sampled image beside the centre of the skip, without a copy.

    y = (up | centre of skip),   channels of `up` first, as in the authors' 2015 release

Shapes: up (N, P, Q, A), skip (N, H, W, B) with H - P and W - Q even, y (N, P, Q, A + B). y is
returned as the pair (up, view of skip): engines take such a tuple as channels side by side.
"""

from cunet.backend import Array
from cunet.errors import CunetError


def forward(up: Array, skip: Array) -> tuple[Array, Array]:
    """The pair (up, centre of skip), which stands for their concatenation."""
    return up, centre(skip, up.shape[1], up.shape[2])


def backward(dy: Array | tuple[Array, Array], up_channels: int) -> tuple[Array, Array]:
    """The pair (dup, dcentre), views of dy, or dy itself if it is such a pair already. The border
    that was cropped off the skip gets no gradient from here."""
    if isinstance(dy, tuple):
        return dy
    return dy[..., :up_channels], dy[..., up_channels:]


def centre(image: Array, rows: int, columns: int) -> Array:
    """The view (N, rows, columns, C) of the middle of an image (N, H, W, C)."""
    top, odd_rows = divmod(image.shape[1] - rows, 2)
    left, odd_columns = divmod(image.shape[2] - columns, 2)
    if top < 0 or left < 0 or odd_rows or odd_columns:
        raise CunetError(
            f"crop: {rows}x{columns} pixels cannot be cut from the middle of "
            f"{image.shape[1]}x{image.shape[2]}; the differences must be even and not negative"
        )
    return image[:, top : top + rows, left : left + columns]
