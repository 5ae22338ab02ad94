"""The images that a convolution takes: one, or a tuple that stands for their channels side by side.

Since conv(a|b) = conv(a) + conv(b), fast engines never copy a concatenation.
"""

from cunet.backend import Array
from cunet.errors import CunetError
from cunet.ops.padding import forward as with_zeros


def as_images(x: Array | tuple[Array, ...]) -> tuple[Array, ...]:
    """One image as a tuple of one."""
    return x if isinstance(x, tuple) else (x,)


def split_channels(w: Array, images: tuple[Array, ...]) -> list[Array]:
    """The filters w (R, S, C, K) as views, one for the channels of each image."""
    views, first = [], 0
    for image in images:
        views.append(w[:, :, first : first + image.shape[3]])
        first += image.shape[3]
    if first != w.shape[2]:
        raise CunetError(f"convolution: the filters expect {w.shape[2]} channels, x has {first}")
    return views


def pad(images: tuple[Array, ...], size: tuple[int, int], padding: str) -> tuple[Array, ...]:
    """The images with the zeros that filters of `size` (R, S) need."""
    return tuple(with_zeros(x, size, padding) for x in images)


def output_size(image: Array, w: Array) -> tuple[int, int]:
    """(P, Q) of a valid convolution, or a CunetError where the filter is larger than the image."""
    rows, columns = image.shape[1] - w.shape[0] + 1, image.shape[2] - w.shape[1] + 1
    if rows < 1 or columns < 1:
        raise CunetError(
            f"convolution: a filter of {w.shape[0]}x{w.shape[1]} does not fit into an image of "
            f"{image.shape[1]}x{image.shape[2]} pixels"
        )
    return rows, columns
