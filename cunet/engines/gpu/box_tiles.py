"""The kernels of boxes.cu, each for tiles of its own size, and how an output is cut into tiles."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from cunet.engines.gpu import cuda
from cunet.engines.gpu.cuda import blocks

MAX_PARTS = 8  # of the taps and channels, where a layer has too few pixels to fill a GPU
MAX_SIDE = 256  # of a box
GATE_BYTES = 8
HALO_WIDE = 10  # pixels of a box with its border


@dataclass(frozen=True)
class BoxTile:
    """A kernel whose block makes 64 `filters` output channels at `groups` times `pixels` pixels."""

    filters: int  # groups of 64
    groups: int  # of pixels
    pixels: int  # of a group
    resident: int  # blocks on a multiprocessor at a time
    halo: bool = False  # a kernel of boxes_halo.cu, for tiles 8 pixels wide

    @property
    def threads(self) -> int:
        """Four warps to a group of filters and pixels, and one that copies."""
        return 128 * self.filters * self.groups + 32

    def shared(self, itemsize: int) -> int:
        """Bytes of shared memory for activations of this size, with what it takes to align them: as
        BoxBlock of boxes.cu has it."""
        out = self.filters * self.groups * 2 * 32 * 64 * itemsize
        room = 233472 // self.resident - 2176 - out
        if self.halo:
            image = 2 * blocks(HALO_WIDE * (self.tall + 2) * 128, 1024) * 1024
            stage = 64 * self.filters * 128
            room, fixed = room - image, image + out + 2 * GATE_BYTES
        else:
            stage, fixed = (64 * self.filters + self.pixels * self.groups) * 128, out
        return 1024 + fixed + min(8, room // stage) * (stage + 2 * GATE_BYTES)

    @property
    def tall(self) -> int:
        """The rows of a tile of a halo's kernel."""
        return self.groups * self.pixels // 8

    def name(self, what: str) -> str:
        """The kernel that does `what`: conv, conv_part, up, up_by_data or up_by_data_part."""
        kind, sizes = "halo" if self.halo else "box", f"{self.filters}x{self.groups}x{self.pixels}"
        return f"{kind}_{what}_{sizes}_{self.resident}"


class Output(NamedTuple):
    """The sizes that decide how an output is made: what makes it, how many images of how many
    pixels and channels it is, how many steps every sum has, and whether it is masked."""

    what: str
    images: int
    rows: int
    columns: int
    channels: int
    steps: int
    masked: bool


class Cut(NamedTuple):
    """How an output is cut: the kernel, the rectangle of pixels of a tile, parts of the steps."""

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


CONV_TILES = (
    BoxTile(2, 1, 128, 1),
    BoxTile(2, 1, 160, 1),
    BoxTile(2, 1, 192, 1),
    BoxTile(1, 2, 128, 1),
    BoxTile(1, 2, 192, 1),
    BoxTile(1, 1, 192, 2),
    BoxTile(1, 1, 128, 2),
    BoxTile(1, 1, 128, 3),
)
HALO_TILES = (
    BoxTile(2, 1, 128, 1, True),
    BoxTile(2, 1, 160, 1, True),
    BoxTile(2, 1, 192, 1, True),
    BoxTile(1, 2, 128, 1, True),
    BoxTile(1, 2, 192, 1, True),
    BoxTile(1, 1, 128, 2, True),
    BoxTile(1, 1, 192, 2, True),
)
HALO_WIDE_TILES = (BoxTile(2, 1, 128, 1, True), BoxTile(2, 1, 192, 1, True))
WIDE_TILES = (BoxTile(2, 1, 128, 1), BoxTile(2, 1, 192, 1))  # that up-convolutions and parts have
TILES = {
    "conv": CONV_TILES + HALO_TILES,
    "conv_part": WIDE_TILES + HALO_WIDE_TILES,
    "up": WIDE_TILES,
    "up_by_data": WIDE_TILES,
    "up_by_data_part": WIDE_TILES,
}


@cache
def rectangle(rows: int, columns: int, groups: int, pixels: int) -> tuple[int, int]:
    """The sides (wide, high) of the rectangle that covers rows x columns pixels with the fewest
    tiles; each of the groups, one below the other, has up to `pixels` pixels."""

    def count(wide: int) -> tuple[int, int]:
        high = tallest(wide)
        return blocks(columns, wide) * blocks(rows, high), -wide

    def tallest(wide: int) -> int:
        return groups * min(pixels // wide, blocks(rows, groups), MAX_SIDE)

    wide = min(range(1, min(columns, pixels, MAX_SIDE) + 1), key=count)
    return wide, tallest(wide)


def cut_by(tile: BoxTile, output: Output, parts: int = 1) -> Cut:
    """An output cut for this kernel."""
    if tile.halo:
        return Cut(tile, 8, tile.tall, parts)
    return Cut(tile, *rectangle(output.rows, output.columns, tile.groups, tile.pixels), parts)


def cuts(output: Output) -> Iterator[Cut]:
    """Every way to cut an output that has a chance."""
    processors = cuda.processors()
    for parts in range(1, min(MAX_PARTS, max(1, output.steps // 8)) + 1):
        if parts > 1 and output.what == "up":
            return
        for tile in TILES[output.what + ("_part" if parts > 1 else "")]:
            cut = cut_by(tile, output, parts)
            if tile.halo and parts > output.steps // 9:
                continue
            if parts == 1 or cut.tiles(output) * (parts - 1) // parts < processors:
                yield cut


def cost(output: Output, cut: Cut) -> float:
    """What a cut costs: a rough model."""
    tile = cut.tile
    at_once = tile.resident * cuda.processors()
    rounds = blocks(cut.tiles(output), at_once)
    work = (
        tile.resident * tile.filters * tile.groups * tile.pixels * blocks(output.steps, cut.parts)
    )
    pixels = output.images * output.rows * output.columns
    sums = pixels * output.channels * cut.parts / cuda.processors() / 64 if cut.parts > 1 else 0
    return rounds * work + sums


def cheapest(output: Output) -> Cut:
    """The cut that costs least."""
    return min(cuts(output), key=lambda cut: cost(output, cut))


Choice = Callable[[Output], Cut]
choose: Choice = cheapest


@contextmanager
def choosing(function: Choice) -> Iterator[None]:
    """Inside, function(output) takes the place of `cheapest`: for measurements of every cut."""
    global choose
    before, choose = choose, function
    try:
        yield
    finally:
        choose = before
