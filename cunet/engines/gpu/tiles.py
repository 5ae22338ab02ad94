"""The kernels that make a product on tensor cores, each for tiles of its own size, and the choice
among them."""

from collections.abc import Iterator
from dataclasses import dataclass

from cunet.engines.gpu import cuda
from cunet.engines.gpu.choice import Choice
from cunet.engines.gpu.cuda import blocks

MAX_PARTS = 8  # of the taps and channels, where a layer has too few pixels to fill a GPU


@dataclass(frozen=True)
class Tile:
    """A kernel that makes rows x columns (pixels x output channels) of y in one block."""

    rows: int
    columns: int
    threads: int
    stages: int
    speed: float  # of the products, relative to the fastest tile: an estimate

    @property
    def shared(self) -> int:
        """Bytes of shared memory, with what it takes to align them."""
        return (self.rows + self.columns) * 128 * self.stages + 1024

    def name(self, what: str) -> str:
        """The kernel that does `what`: conv, up or up_by_data."""
        return f"{what}_{self.rows}x{self.columns}"


TILES = (
    Tile(128, 128, 256, 3, 1.0),
    Tile(128, 64, 128, 3, 0.85),
    Tile(64, 64, 128, 4, 0.7),
)


def available() -> tuple[Tile, ...]:
    """The kernels that this GPU has room for."""
    room = cuda.shared_memory()
    return tuple(tile for tile in TILES if tile.shared <= room)


def cheapest(pixels: int, channels: int, steps: int) -> tuple[Tile, int]:
    """The tile, and the number of parts of the `steps` along taps and channels, that cost least.

    The cost is a rough model, not a measurement, and nothing is published that it is taken from.
    A GPU works on about one block per multiprocessor at a time, and a last round with few blocks
    takes as long as a full one. Where there are too few blocks, parts fill the GPU; writing and
    reading their partial sums is taken as half a unit of work for each number. `cunet bench`
    times every tile and number of parts and shows where another choice would have been faster.
    """
    _, tile, parts = min(costs(pixels, channels, steps), key=lambda way: way[0])
    return tile, parts


def costs(pixels: int, channels: int, steps: int) -> Iterator[tuple[float, Tile, int]]:
    """(cost, tile, parts) of everything that cheapest() compares."""
    processors = cuda.processors()
    for tile in available():
        grid = blocks(pixels, tile.rows) * blocks(channels, tile.columns)
        for parts in range(1, min(MAX_PARTS, max(1, steps // 8)) + 1):
            if parts > 1 and grid * (parts - 1) >= processors:
                break
            rounds = blocks(grid * parts, processors)
            work = tile.rows * tile.columns / tile.speed * blocks(steps, parts)
            sums = pixels * channels * parts / processors * 0.5 if parts > 1 else 0
            yield rounds * work + sums, tile, parts


choose = Choice(cheapest)
choosing = choose.by  # for measurements of every way
