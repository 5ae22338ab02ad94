"""Which tile of an image is traced: one around a pixel, placed on the pooling grid as the tiles of
a segmentation are, so that its results are theirs."""

from dataclasses import dataclass

import numpy as np

from cunet.data.mirror import reflect
from cunet.net.shape import Shape
from cunet.net.sizes import lattice, margin
from cunet.segmentation.tiling import plan


@dataclass(frozen=True)
class Side:
    """A tile along one axis of an image of so many pixels.

    first   its first input pixel, in coordinates of the image: it may lie before it
    tile    input pixels
    lost    pixels that the output lacks at each end
    """

    first: int
    tile: int
    lost: int
    pixels: int

    @property
    def seen(self) -> np.ndarray:
        """The pixels of the image that the tile shows, mirrored beyond the border."""
        return reflect(self.first, self.tile, self.pixels)

    @property
    def output(self) -> int:
        """The first output pixel, in coordinates of the image."""
        return self.first + self.lost

    @property
    def inside(self) -> slice:
        """Which output pixels lie in the image: others are computed, and count nowhere."""
        return slice(0, min(self.tile - 2 * self.lost, self.pixels - self.output))


def place(pixel: int, pixels: int, shape: Shape, tile: int) -> Side:
    """The tile of side `tile`, or a smaller one where that suffices for the whole image, in whose
    middle an output pixel lies as nearly as image and grid allow; errors as in segmentation."""
    depth, padding = shape.depth, shape.padding
    tiles, lost, step = plan(pixels, depth, tile, "exact", padding), margin(depth, padding), 1
    if len(tiles.inputs) == 1:
        return Side(tiles.inputs[0], tiles.tile, lost, pixels)
    output, step = tiles.tile - 2 * lost, lattice(depth)
    start = (pixel - output // 2 + step // 2) // step * step
    last = -(-(pixels - output) // step) * step  # the output ends at the image's end, or behind it
    return Side(min(max(start, 0), last) - lost, tiles.tile, lost, pixels)
