"""The kernels of weights_boxes.cu and weights_boxes_tf32.cu, each for tiles of its own size, and
how a gradient of filters is cut into tiles and its steps into parts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from cunet.engines.gpu import cuda
from cunet.engines.gpu.cuda import blocks

PARTIAL_BYTES = 64 << 20  # that the sums of the parts of a gradient may take
LEAST_STEPS = 2  # of a part
RECTANGLES = ((8, 8), (16, 4))  # of pixels, (wide, high), of a step; TF32 has the first alone
WRITTEN, READ = 2.5e6, 3e6  # bytes of sums in a microsecond: rough, as all estimates here
FIXED = 2.0  # microseconds that a block, or one more launch, takes at least


@dataclass(frozen=True)
class WeightTile:
    """A kernel whose block makes `filters` output channels by `channels` input channels at the
    three taps of each of `rows` rows."""

    sizes: tuple[int, ...]  # in the kernel's name
    filters: int
    channels: int
    rows: int  # 1, and a block for each; or 3
    threads: int
    stage: int  # bytes
    resident: int  # blocks on a multiprocessor at a time
    step: float  # microseconds that a step takes, of all of them together: an estimate

    @property
    def name(self) -> str:
        """The kernel's name."""
        return f"box_weights_{'x'.join(map(str, self.sizes))}_{self.resident}"

    @property
    def shared(self) -> int:
        """Bytes of shared memory, with what it takes to align them: as WeightsStages has it."""
        stages = min(8, (233472 // self.resident - 2176) // self.stage)
        return 1024 + stages * (self.stage + 16)


def of_16_bits(groups: int, rows: int, resident: int, step: float) -> WeightTile:
    """A kernel of weights_boxes.cu, with as many warpgroups as 64 filters and rows of taps."""
    stage = groups * 8192 + (80 if rows == 1 else 112) * 128
    threads = 128 * groups * rows + 32
    sizes = (groups, rows)
    return WeightTile(sizes, 64 * groups, 64, rows, threads, stage, resident, step)


def of_tf32(boxes: int, rows: int, resident: int, step: float) -> WeightTile:
    """A kernel of weights_boxes_tf32.cu, which takes so many boxes of 32 channels."""
    stage = 2 * 8192 + boxes * (80 if rows == 1 else 104) * 128
    return WeightTile((boxes, rows), 64, 32 * boxes, rows, 160, stage, resident, step)


TILES = (
    of_16_bits(1, 3, 1, 0.70),
    of_16_bits(2, 1, 1, 0.50),
    of_16_bits(1, 1, 2, 0.66),
    of_16_bits(1, 1, 3, 0.95),
)
TF32_TILES = (of_tf32(1, 3, 1, 1.35), of_tf32(2, 1, 1, 0.98), of_tf32(2, 1, 2, 1.8))


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
    """How a gradient is cut: the kernel, the rectangle of a step, and the parts of the steps."""

    tile: WeightTile
    wide: int
    high: int
    parts: int

    def steps(self, gradient: Gradient) -> int:
        """Rectangles in all images."""
        across, down = blocks(gradient.columns, self.wide), blocks(gradient.rows, self.high)
        return gradient.images * across * down

    def tiles_of(self, gradient: Gradient) -> tuple[int, list[int]]:
        """Tiles of filters, and of the channels of each picture."""
        tiles = [blocks(channels, self.tile.channels) for channels in gradient.channels]
        return blocks(gradient.filters, self.tile.filters), tiles

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
    for wide, high in RECTANGLES[: 1 if gradient.itemsize == 4 else None]:
        for tile in tiles(gradient.itemsize):
            one = Cut(tile, wide, high, 1)
            at_once, grid = tile.resident * cuda.processors(), one.blocks(gradient)
            wanted = {1} | {rounds * at_once // grid for rounds in (1, 2, 3)}
            limit = min(most, max(1, one.steps(gradient) // LEAST_STEPS))
            for parts in sorted({min(max(1, parts), limit) for parts in wanted}):
                yield one._replace(parts=parts)


def cost(gradient: Gradient, cut: Cut) -> float:
    """What a cut takes in microseconds: a rough model."""
    tile = cut.tile
    rounds = blocks(cut.blocks(gradient), tile.resident * cuda.processors())
    written = tile.filters * tile.channels * tile.rows * 12 * tile.resident * cuda.processors()
    work = rounds * (blocks(cut.steps(gradient), cut.parts) * tile.step + FIXED + written / WRITTEN)
    return work + (FIXED + 4 * gradient.floats * cut.parts / READ if cut.parts > 1 else 0)


def cheapest(gradient: Gradient) -> Cut:
    """The cut that costs least."""
    return min(cuts(gradient), key=lambda cut: cost(gradient, cut))


Choice = Callable[[Gradient], Cut]
choose: Choice = cheapest


@contextmanager
def choosing(function: Choice) -> Iterator[None]:
    """Inside, function(gradient) takes the place of `cheapest`: for measurements of every cut."""
    global choose
    before, choose = choose, function
    try:
        yield
    finally:
        choose = before
