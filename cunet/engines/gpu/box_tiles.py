"""The kernels of boxes_conv.cu and boxes_up.cu, each for tiles of its own size, and how an output
is cut into tiles."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Protocol

from cunet.engines.gpu import cuda
from cunet.engines.gpu.choice import Choice
from cunet.engines.gpu.cuda import blocks

MAX_PARTS = 8  # of the channels, where a layer has too few pixels to fill a GPU
MAX_SIDE = 256  # of a box
MAX_NUMBERS = 2**31 - 1  # of an output from a tile's first row to its last: the kernels' int
GATE_BYTES = 8
MULTIPROCESSOR_BYTES = 233472  # of shared memory on a card of compute capability 9.0
SPARE_BYTES = 2176  # of a block: 1 KB that the system takes, what aligns the rest, gates
TALLER, WIDER = 2, 2  # pixels of a convolution's box than of its tile
CONV_WIDE = 8  # pixels of a convolution's tile


@dataclass(frozen=True)
class BoxTile:
    """A kernel whose block makes 64 `filters` output channels at `pixels` pixels.

    The last four are microseconds, fitted to times measured on an H200 (in 16 bits and TF32, where
    steps take about as long): of a step where all blocks of a multiprocessor are busy, of one where
    a block is alone there, of a tile besides its steps, and of its mask.
    """

    filters: int  # groups of 64
    pixels: int
    resident: int  # blocks on a multiprocessor at a time
    step: float
    alone: float
    tile: float
    mask: float

    @property
    def threads(self) -> int:
        """Four warps to 64 filters, and one that copies."""
        return 128 * self.filters + 32

    def shared(self, what: str, itemsize: int) -> int:
        """Bytes of shared memory for activations of this size, with what it takes to align them: as
        ConvBlock and UpBlock of the .cu files have it."""
        filters, out = 64 * self.filters * 128, self.filters * 2 * 32 * 64 * itemsize
        room, image = MULTIPROCESSOR_BYTES // self.resident - SPARE_BYTES - out, 0
        stage = filters + self.pixels * 128
        if what == "conv":
            box = (CONV_WIDE + WIDER) * (self.pixels // CONV_WIDE + TALLER) * 128
            image, stage = 2 * blocks(box, 1024) * 1024, filters
        stages = min(8, (room - image) // stage)
        gates = 2 * stages + (2 if what == "conv" else 0)
        return 1024 + image + stages * stage + out + gates * GATE_BYTES

    def name(self, what: str, parts: int = 1) -> str:
        """The kernel that does `what`: conv, up or up_by_data, in parts or not."""
        part = "_part" if parts > 1 else ""
        return f"box_{what}{part}_{self.filters}x{self.pixels}_{self.resident}"


CONV_TILES = (
    BoxTile(1, 128, 2, 0.36, 0.23, 3.0, 0.6),
    BoxTile(1, 192, 2, 0.52, 0.24, 4.0, 1.9),
    BoxTile(2, 160, 1, 0.40, 0.40, 3.0, 1.9),
)
PART_TILE = BoxTile(2, 128, 1, 0.36, 0.36, 2.0, 0.0)
PART, SUMS = 6.0, 2e-6  # microseconds of parts: of one more launch, and of each sum kept
UP_TILES = (BoxTile(2, 128, 1, 0.33, 0.33, 3.0, 1.0), BoxTile(2, 192, 1, 0.47, 0.47, 4.0, 2.0))


class Output(NamedTuple):
    """The sizes that decide how an output is made.

    what: conv, up or up_by_data; images of rows x columns pixels (of one corner) of so many
    channels; each sum has `taps` times `channel_blocks` (128 bytes of channels) steps; masked: by
    the input of the layer.
    """

    what: str
    images: int
    rows: int
    columns: int
    channels: int
    taps: int
    channel_blocks: int
    masked: bool


class Cut(NamedTuple):
    """How an output is cut: the kernel, the rectangle of pixels of a tile, and parts of the blocks
    of channels."""

    tile: BoxTile
    wide: int
    high: int
    parts: int

    def rectangles(self, output: Output) -> tuple[int, int]:
        """How many rectangles lie side by side, and one below the other."""
        return blocks(output.columns, self.wide), blocks(output.rows, self.high)

    def tiles(self, output: Output) -> int:
        """How many tiles there are in all."""
        across, down = self.rectangles(output)
        filters = blocks(output.channels, 64 * self.tile.filters)
        return output.images * across * down * filters * self.parts


@cache
def rectangle(rows: int, columns: int, pixels: int, highest: int = MAX_SIDE) -> tuple[int, int]:
    """The sides (wide, high) of the rectangle of at most this many pixels, and not above `highest`,
    that covers rows x columns with the fewest tiles; of several the widest."""

    def high(wide: int) -> int:
        return min(pixels // wide, rows, highest)

    def order(wide: int) -> tuple[int, int]:
        return blocks(columns, wide) * blocks(rows, high(wide)), -wide

    wide = min(range(1, min(columns, pixels, MAX_SIDE) + 1), key=order)
    return wide, high(wide)


def cut_by(tile: BoxTile, output: Output, parts: int = 1) -> Cut:
    """An output cut for this kernel."""
    if output.what == "conv":
        return Cut(tile, CONV_WIDE, tile.pixels // CONV_WIDE, parts)
    highest = min(MAX_SIDE, max(1, MAX_NUMBERS // (output.columns * output.channels)))
    return Cut(tile, *rectangle(output.rows, output.columns, tile.pixels, highest), parts)


def cuts(output: Output) -> Iterator[Cut]:
    """Every way to cut an output that has a chance."""
    if output.what != "conv":
        yield from (cut_by(tile, output) for tile in UP_TILES)
        return
    yield from (cut_by(tile, output) for tile in CONV_TILES)
    for parts in range(2, min(MAX_PARTS, output.channel_blocks) + 1):
        cut = cut_by(PART_TILE, output, parts)
        if cut.tiles(output) <= 2 * cuda.processors():
            yield cut


class Timed(Protocol):
    """A kernel whose steps were timed, in microseconds: see BoxTile."""

    @property
    def resident(self) -> int: ...
    @property
    def step(self) -> float: ...
    @property
    def alone(self) -> float: ...


def in_rounds(count: int, kernel: Timed, steps: int, each: float) -> float:
    """The microseconds of `count` tiles of so many steps, of which each takes `each` besides: a GPU
    works on as many at a time as its multiprocessors hold, and the last round may be thin."""
    processors = cuda.processors()
    rounds, rest = divmod(count, kernel.resident * processors)
    step = kernel.alone if rest <= processors else kernel.step
    return rounds * (steps * kernel.step + each) + (steps * step + each if rest else 0)


def cost(output: Output, cut: Cut) -> float:
    """What a cut takes in microseconds, by the times of its tile: a model, so that the choice
    follows from sizes alone and is the same on every card of as many multiprocessors."""
    tile, steps = cut.tile, output.taps * blocks(output.channel_blocks, cut.parts)
    took = in_rounds(cut.tiles(output), tile, steps, tile.tile + tile.mask * output.masked)
    if cut.parts > 1:
        numbers = output.images * output.rows * output.columns * output.channels * cut.parts
        took += PART + SUMS * numbers
    return took


def cheapest(output: Output) -> Cut:
    """The cut that costs least."""
    return min(cuts(output), key=lambda cut: cost(output, cut))


choose = Choice(cheapest)
choosing = choose.by  # for measurements of every way
