"""Blocks, tiles, reads and files of a task, counted along each axis alone: a volume of any size is
counted in the time of its sides, not of its voxels.

A block lies in a grid and its window is a rectangle, so that what all blocks read or compute is a
product of three sums.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from cunet.data.mirror import reflect
from cunet.files.ome_zarr.pyramid import halved_shape
from cunet.files.pieces import Pieces, Reads, Spans
from cunet.segmentation.tiling import Cover, Plan
from cunet.volumes.grid import Index
from cunet.volumes.stages import run_length
from cunet.volumes.task import Task, written

LARGEST_BLOCK = 512 << 20  # bytes of the products of a block that is suggested
WORTH_SAYING = 0.9  # of the bytes now: what another block must read at most to be suggested


@dataclass(frozen=True)
class Side:
    """The blocks along one axis: how many tiles each meets, and the pixels that these see."""

    tiles: np.ndarray
    needs: Spans
    whole: Spans  # the axis as one

    @classmethod
    def of(cls, plan: Plan, pixels: int, block: int) -> "Side":
        """As segmentation/window.py finds them for a window of each block."""
        starts = np.array(plan.starts, np.int64)
        ends = np.append(starts[1:], pixels)
        low = np.array(plan.inputs, np.int64)
        high = low + plan.tile
        for i in np.flatnonzero((low < 0) | (high > pixels)):  # these see the border mirrored
            seen = reflect(int(low[i]), plan.tile, pixels)
            low[i], high[i] = seen.min(), seen.max() + 1
        blocks = blocks_along(pixels, block)
        first = np.searchsorted(ends, blocks.first, "right")
        last = np.searchsorted(starts, blocks.last, "left")
        each = np.stack([first, last], 1).ravel()
        low, high = np.append(low, pixels), np.append(high, 0)  # `last` may lie behind all tiles
        needs = Spans(np.minimum.reduceat(low, each)[::2], np.maximum.reduceat(high, each)[::2])
        return cls(last - first, needs, blocks_along(pixels, pixels))

    @property
    def longest(self) -> int:
        """The most pixels that a block needs."""
        return int((self.needs.last - self.needs.first).max())


def blocks_along(pixels: int, block: int) -> Spans:
    """The blocks themselves."""
    first = np.arange(0, pixels, block, dtype=np.int64)
    return Spans(first, np.minimum(first + block, pixels))


class Counts:
    """What a task counts, for its own blocks."""

    def __init__(self, task: Task, cover: Cover, pieces: Pieces):
        self.task, self.cover, self.pieces = task, cover, pieces
        self.z = blocks_along(task.shape[0], task.block[0])
        self.y = Side.of(cover.down, task.shape[1], task.block[1])
        self.x = Side.of(cover.across, task.shape[2], task.block[2])

    @property
    def tiles(self) -> int:
        """Tiles of all blocks; one that several blocks meet counts for each."""
        return self.task.shape[0] * int(self.y.tiles.sum()) * int(self.x.tiles.sum())

    @property
    def tiles_of_section(self) -> Index:
        """Sections, and the different tiles down and across: places for a sample."""
        return self.task.shape[0], len(self.cover.down.starts), len(self.cover.across.starts)

    @property
    def reads(self) -> Reads:
        """What all blocks read, done by one process."""
        if self.pieces.kept and self.task.block[0] == 1:
            page = self.pieces.reads(blocks_along(1, 1), self.y.whole, self.x.whole)
            return Reads(page.bytes * self.page_visits, page.requests * self.page_visits)
        return self.pieces.reads(self.z, self.y.needs, self.x.needs)

    @property
    def page_visits(self) -> int:
        """How often a run of blocks comes to another section: each run opens the image anew."""
        blocks, sections = len(self.task.grid), self.task.shape[0]
        length = run_length(blocks, 1)
        both = -(-blocks // math.lcm(length, blocks // sections))  # begin with a run and a section
        return -(-blocks // length) + sections - both

    def sections_read(self) -> Reads:
        """What it takes to read every section once, whole, as it does for its mean."""
        z = blocks_along(self.task.shape[0], 1)
        return self.pieces.reads(z, self.y.whole, self.x.whole)

    @property
    def times_read(self) -> float:
        """How often a piece of the input is read because blocks end within it along z."""
        z = self.z.moved(self.pieces.first)
        whole = Spans(z.first[:1], z.last[-1:])
        return z.touched(self.pieces.piece[0]) / whole.touched(self.pieces.piece[0])

    @property
    def voxel_bytes(self) -> int:
        """Of all products of a voxel, before compression."""
        return sum(planes * size for planes, size in map(self.numbers, written(self.task)))

    def numbers(self, product: str) -> tuple[int, int]:
        """Numbers of a voxel and bytes of each."""
        if product == "image":
            return 1, 1
        if product != "prob":
            return 1, {"mask": 1, "labels": 4}[product]
        return math.prod(self.task.planes), 1 if self.task.prob == "uint8" else 4

    def block_memory(self, voxel: int) -> int:
        """Bytes of three blocks, input (`voxel` bytes each) and output, and of the float32
        probabilities of a section of one: one is read and one written while one is computed."""
        z, y, x = self.task.block
        inputs = z * self.y.longest * self.x.longest * voxel
        return 3 * (inputs + z * y * x * self.voxel_bytes) + 2 * 4 * self.task.classes * y * x

    def levels(self) -> list[Index]:
        """The shape of every resolution."""
        z, y, x = self.task.shape
        sides = (halved_shape((y, x), level) for level in range(self.task.levels))
        return [(z, *side) for side in sides]  # type: ignore[misc]

    def files(self, product: str) -> list[int]:
        """Files of each resolution, those that hold nothing but 0 and are not written among
        them."""
        size = self.task.chunk if self.task.version == "0.4" else self.task.block
        planes, _ = self.numbers(product)
        return [
            planes * math.prod(-(-n // s) for n, s in zip(shape, size, strict=True))
            for shape in self.levels()
        ]

    def with_block(self, block: Index) -> "Counts":
        """The same volume in other blocks."""
        return Counts(replace(self.task, block=block), self.cover, self.pieces)

    def better(self, step: int) -> "Counts | None":
        """The same in blocks of whole chunks of the input along z, where these read much less.

        Rows and columns are halved, in multiples of `step`, until such a block is not too large.
        """
        if self.times_read == 1:
            return None
        thick = self.pieces.piece[0]
        thick = min(-(-self.task.block[0] // thick) * thick, self.task.shape[0])
        y, x = self.task.block[1:]
        while thick * y * x * self.voxel_bytes > LARGEST_BLOCK and max(y, x) > step:
            y, x = (n if n <= step else max(step, n // 2 // step * step) for n in (y, x))
        found = self.with_block((thick, y, x))
        fits = thick * y * x * self.voxel_bytes <= LARGEST_BLOCK
        less = found.reads.bytes <= WORTH_SAYING * self.reads.bytes
        return found if fits and less else None
