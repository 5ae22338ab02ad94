"""Overlap-tile segmentation (paper section 2, Fig. 2): which tiles cover an image, without a seam.

A net of valid convolutions computes only the middle of its input tile. The image is covered with
tiles whose outputs meet; beyond the image's border a tile is filled by mirroring (numpy's
"reflect", which does not repeat the border pixel).

Tiles start at multiples of 2^depth, so that every pixel keeps its place on the pooling grid: the
result is then the same as from one tile around the whole image. For the paper's tile of 572 the
stride is 384, not the output size 388. --stride paper takes 388, which shifts the grid from tile to
tile and leaves seams.

A net with "same" padding computes every pixel of its tile, but sees zeros where the tile ends. Its
tiles overlap so far that no pixel is used that depends on a tile's edge, except at the image's own
border, where zeros are right. Such an image is first mirrored beyond its lower and right border, up
to the next multiple of 2^depth.

Which tiles there are depends on the image's size and the tile's alone, never on the part of the
image that is asked for: so every part comes out the same, bit for bit, whoever computes it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cunet.errors import CunetError, not_among
from cunet.net.receptive_field import context
from cunet.net.shape import Shape
from cunet.net.sizes import lattice, margin, output_size
from cunet.net.tiles import check_tile, tile_for_output, usual_tile

STRIDES = ("exact", "paper")


class Piece(NamedTuple):
    """What one tile gives along one axis."""

    source: int  # its first input pixel, which may lie before the image
    first: int  # the first output pixel that is taken from it
    last: int  # the last one + 1


@dataclass(frozen=True)
class Plan:
    """How tiles cover the image along one axis."""

    tile: int  # side of the input tile
    starts: Sequence[int]  # of every tile the first pixel taken from it, up to the next tile's
    inputs: Sequence[int]  # of every tile its first input pixel

    def pieces(self, pixels: int) -> Iterator[Piece]:
        """Every tile's piece of an image of so many pixels."""
        for source, first, last in zip(
            self.inputs, self.starts, [*self.starts[1:], pixels], strict=True
        ):
            yield Piece(source, first, last)


@dataclass(frozen=True)
class Cover:
    """How tiles cover an image of height x width pixels; lost: pixels that an output lacks on each
    side of its tile."""

    height: int
    width: int
    down: Plan
    across: Plan
    lost: int

    @classmethod
    def of(
        cls, height: int, width: int, shape: Shape, tile: int = 572, stride: str = "exact"
    ) -> "Cover":
        """That of a network of this shape; CunetError for a tile or stride that does not fit."""
        down, across = (
            plan(side, shape.depth, tile, stride, shape.padding) for side in (height, width)
        )
        return cls(height, width, down, across, margin(shape.depth, shape.padding))

    @property
    def tile(self) -> int:
        """The longer side of the tiles."""
        return max(self.down.tile, self.across.tile)


def plan(pixels: int, depth: int, tile: int, stride: str = "exact", padding: str = "valid") -> Plan:
    """How tiles of side `tile` cover `pixels` pixels; a smaller tile where one suffices."""
    check_tile(tile, depth, padding)
    if stride not in STRIDES:
        raise not_among("stride", stride, STRIDES)
    if padding == "same" and stride != "exact":
        raise CunetError(f"stride {stride}: a net with same padding has none; leave it out")
    if pixels <= output_size(tile, depth, padding):
        whole = tile_for_output(pixels, depth, padding)
        return Plan(whole, range(0, pixels, pixels), [-margin(depth, padding)])
    if padding == "same":
        return _overlapping(pixels, depth, tile)
    step = output_size(tile, depth)
    if stride == "exact":
        step -= step % lattice(depth)
    if step == 0:
        smallest = tile_for_output(lattice(depth), depth)
        raise CunetError(
            f"tile {tile} gives {output_size(tile, depth)} pixels, less than one period of the "
            f"pooling grid ({lattice(depth)}); use --tile {smallest} or larger"
        )
    starts = range(0, pixels, step)
    return Plan(tile, starts, [start - margin(depth) for start in starts])


def _overlapping(pixels: int, depth: int, tile: int) -> Plan:
    """The plan of a net with "same" padding: a tile gives the pixels at least `context` from its
    edges. The first tile begins where the image begins, the last ends where the grown image ends.
    """
    seen = context(depth)
    step = tile - 2 * seen
    if step <= 0:
        raise CunetError(
            f"tile {tile} of a net with same padding lies within {seen} pixels of its edges, where "
            f"pixels depend on them; use --tile {2 * seen + lattice(depth)} or larger"
        )
    last = tile_for_output(pixels, depth, "same") - tile
    inputs = [*range(0, last, step), last]
    return Plan(tile, [0, *(first + seen for first in inputs[1:])], inputs)


def whole_tile(image: np.ndarray, shape: Shape, largest: int = 764) -> int:
    """The tile around a whole image (H, W, ...), or one of about 572 pixels where that would be
    more than `largest` pixels wide. shape: the network's."""
    whole = tile_for_output(max(image.shape[:2]), shape.depth, shape.padding)
    return whole if whole <= largest else usual_tile(shape.depth, shape.padding)
