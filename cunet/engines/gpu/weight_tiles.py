"""The kernels of boxes_weights.cu and boxes_weights_tf32.cu, each for tiles of its own size, and
how a gradient of filters is cut into tiles and its steps into parts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cunet.engines.gpu import cuda
from cunet.engines.gpu.box_tiles import (
    GATE_BYTES,
    MULTIPROCESSOR_BYTES,
    SPARE_BYTES,
    in_rounds,
)
from cunet.engines.gpu.choice import Choice
from cunet.engines.gpu.cuda import blocks

PARTIAL_BYTES = 64 << 20  # that the sums of the parts of a gradient may take
LEAST_STEPS = 2  # of a part
SIDE = 8  # of the square of pixels of a step
FILTERS = 64  # of a tile


@dataclass(frozen=True)
class WeightTile:
    """A kernel whose block makes 64 output channels by `channels` input channels at the three taps
    of each of `rows` rows.

    The last three are microseconds, fitted to times measured on an H200: of a step where all blocks
    of a multiprocessor are busy, of one where a block is alone there, of a block besides its steps.
    """

    rows: int  # 1, and a block for each; or 3
    channels: int
    warps: int  # that multiply
    stage: int  # bytes
    resident: int  # blocks on a multiprocessor at a time
    step: float
    alone: float
    block: float

    @property
    def name(self) -> str:
        """The kernel's name."""
        return f"box_weights_{self.rows}_{self.resident}"

    @property
    def threads(self) -> int:
        """Those of the warps that multiply, and of one that copies."""
        return 32 * (self.warps + 1)

    @property
    def shared(self) -> int:
        """Bytes of shared memory, with what it takes to align them: as WeightsStages has it."""
        stages = min(8, (MULTIPROCESSOR_BYTES // self.resident - SPARE_BYTES) // self.stage)
        return 1024 + stages * (self.stage + 2 * GATE_BYTES)


# stages: 64 pixels of dy, 10 x 8 or 10 x 10 of x, rows of 128 bytes in whole groups of 8
TILES = (
    WeightTile(3, 64, 12, (64 + 104) * 128, 1, 0.655, 0.655, 4.1),
    WeightTile(1, 64, 4, (64 + 80) * 128, 2, 0.525, 0.385, 2.8),
)
TF32_TILES = (WeightTile(3, 32, 4, (2 * 64 + 104) * 128, 1, 1.39, 1.39, 2.7),)
PARTS, SUMS = 2.0, 1.6e-6  # microseconds of parts: of one more launch, and of each sum


class Gradient(NamedTuple):
    """The sizes that decide how a gradient of filters is made: of dy (images, rows, columns, K),
    the channels of each picture, and the bytes of their numbers."""

    images: int
    rows: int
    columns: int
    filters: int
    channels: tuple[int, ...]
    itemsize: int

    @property
    def floats(self) -> int:
        """How many numbers the gradients of filters and biases have."""
        return (9 * sum(self.channels) + 1) * self.filters


class Cut(NamedTuple):
    """How a gradient is cut: the kernel, and the parts of the steps."""

    tile: WeightTile
    parts: int

    def steps(self, gradient: Gradient) -> int:
        """Squares of pixels in all images."""
        return gradient.images * blocks(gradient.columns, SIDE) * blocks(gradient.rows, SIDE)

    def tiles_of(self, gradient: Gradient) -> tuple[int, list[int]]:
        """Tiles of filters, and of the channels of each picture."""
        tiles = [blocks(channels, self.tile.channels) for channels in gradient.channels]
        return blocks(gradient.filters, FILTERS), tiles

    def blocks(self, gradient: Gradient) -> int:
        """How many blocks there are in all."""
        filters, channels = self.tiles_of(gradient)
        return filters * sum(channels) * (3 // self.tile.rows) * self.parts


def tiles(itemsize: int) -> tuple[WeightTile, ...]:
    """The kernels for numbers of this size."""
    return TF32_TILES if itemsize == 4 else TILES


def cuts(gradient: Gradient) -> Iterator[Cut]:
    """Every way to cut a gradient that has a chance: with few parts, or so many that the blocks
    are just below a multiple of those that run at a time."""
    most = max(1, PARTIAL_BYTES // (4 * gradient.floats))
    for tile in tiles(gradient.itemsize):
        one = Cut(tile, 1)
        at_once, grid = tile.resident * cuda.processors(), one.blocks(gradient)
        wanted = {1} | {rounds * at_once // grid for rounds in (1, 2, 3)}
        limit = min(most, max(1, one.steps(gradient) // LEAST_STEPS))
        for parts in sorted({min(max(1, parts), limit) for parts in wanted}):
            yield Cut(tile, parts)


def cost(gradient: Gradient, cut: Cut) -> float:
    """What a cut takes in microseconds, by the times of its tile: a model, so that the choice
    follows from sizes alone and is the same on every card of as many multiprocessors."""
    tile, steps = cut.tile, blocks(cut.steps(gradient), cut.parts)
    took = in_rounds(cut.blocks(gradient), tile, steps, tile.block)
    return took + (PARTS + SUMS * gradient.floats * cut.parts if cut.parts > 1 else 0)


def cheapest(gradient: Gradient) -> Cut:
    """The cut that costs least."""
    return min(cuts(gradient), key=lambda cut: cost(gradient, cut))


choose = Choice(cheapest)
choosing = choose.by  # for measurements of every way
