"""An image that is given to a network as an array: its shape and numbers are checked."""

import numpy as np

from cunet.checks import refused


def image_of_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """The image (H, W) or (H, W, channels) as (H, W, channels); CunetError for any other array.

    A grey one (H, W) becomes three equal channels where the network was made for colours.
    """
    if image.dtype.kind not in "buif":
        raise refused("image", "an array of real numbers", image)
    given = image[..., None] if image.ndim == 2 else image
    if image.ndim == 2 and channels == 3:
        given = np.broadcast_to(given, (*image.shape, 3))
    if given.ndim != 3 or given.shape[2] != channels or 0 in given.shape:
        expected = "(H, W) or " * (channels in (1, 3)) + f"(H, W, {channels})"
        raise refused("image", f"an array {expected}", image, _advice(image.shape, channels))
    return given


def _advice(shape: tuple[int, ...], channels: int) -> str:
    """What to do about an image whose shape does not fit."""
    if 0 in shape or not 2 <= len(shape) <= 4:
        return "see cunet.read_image, whose pages are such images"
    if len(shape) == 4:
        return "a stack: call it for each page"
    if len(shape) == 2:
        return f"the network was made for {channels} channels"
    if shape[0] == channels and channels > 1:
        return "channels last: image.transpose(1, 2, 0)"
    if shape[2] == 4 and channels == 3:
        return "RGBA: leave out the last channel, image[..., :3]"
    if shape[2] in (3, 4) and channels == 1:
        return "the network was made for grey images: take one channel, image[..., 0]"
    if channels == 1:
        return "a stack: call it for each page; or channels, of which this network takes one"
    return f"the network was made for {channels} channels"
