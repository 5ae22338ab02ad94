"""What is read from a file of another program: a network, and notes for its user."""

from typing import NamedTuple

from cunet.net.normalization import Normalization
from cunet.net.unet import UNet

WHITE = 255.0  # of 8-bit images


class Imported(NamedTuple):
    """format: of the file, in words. notes: lines for the user."""

    net: UNet
    format: str
    notes: list[str]


def takes_0_to_1(net: UNet, white: float | None) -> str:
    """Normalise images of 0 to `white` to the 0 to 1 that a network was trained on; returns a note.

    The range is stored as that of its training images, so that `cunet segment` warns of an image
    of 16 bits where 8 were expected, and of the reverse.
    """
    white, channels = WHITE if white is None else white, net.shape.in_channels
    net.normalization = Normalization(
        (0.0,) * channels, (white,) * channels, (0.0,) * channels, (white,) * channels
    )
    kind = {255.0: ", as of 8-bit images", 65535.0: ", as of 16-bit images"}.get(white, "")
    return (
        f"input: the network knows images from 0 to 1; grey values are divided by {white:g}{kind} "
        "(--white: the value that is white)"
    )
