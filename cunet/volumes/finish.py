"""What follows when every block is there: objects across blocks, and lower resolutions.

    scan    each block: the pieces of objects in its mask (objects.py)
    join    each slab of blocks, or the volume: which pieces are one object (join.py)
    labels  each block: the numbers of its voxels
    levels  each shard of each lower resolution, from the one above

Each is a stage: numbered units, done in any order by any worker, noted in the books.
"""

from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from cunet.files.atomic import write_npz
from cunet.files.ome_zarr.pyramid import halve
from cunet.threads import get_threads
from cunet.volumes.books import Books
from cunet.volumes.grid import Grid, Index
from cunet.volumes.join import join
from cunet.volumes.objects import Block, Scan, relabel, scan
from cunet.volumes.output import IMAGES, Output
from cunet.volumes.task import Task, written

AT_ONCE = 4  # units that one process does side by side: memory is that of so many blocks


class Finishing:
    """What these stages have in common."""

    def __init__(self, task: Task, books: Books):
        self.task, self.books, self.grid = task, books, task.grid
        self.output = Output(books.output)
        self.volume = task.objects == "volume"
        self.output.array(written(task)[0])  # opened here, once for all threads

    def do(self, units: list[int]) -> Generator[dict[str, Any], None, None]:
        """Do these units, some at a time; yields the note of each when it is on the disk."""
        with ThreadPoolExecutor(min(AT_ONCE, get_threads())) as threads:
            for unit, note in zip(units, threads.map(self.one, units), strict=True):
                yield {"unit": unit} | note

    def close(self) -> None:
        """Nothing is held open."""

    def one(self, unit: int) -> dict[str, Any]:
        """Do one unit; returns what is to be noted of it."""
        raise NotImplementedError

    def block(self, unit: int) -> Block:
        """Where a block lies."""
        region = self.grid.region(unit)
        start, shape = zip(*((s.start, s.stop - s.start) for s in region), strict=True)
        return Block(start, shape, self.task.shape)

    def mask(self, block: Block) -> np.ndarray:
        """The mask of a block and one voxel beyond."""
        return self.output.read("mask", block.window(self.volume))

    def path(self, kind: str, unit: int) -> Path:
        """The file that keeps something of a block; a thousand to a folder."""
        folder = self.books.folder / kind / f"{unit // 1000:06}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{unit:09}.npz"


class Scanning(Finishing):
    """A unit is a block."""

    def one(self, unit: int) -> dict[str, Any]:
        block = self.block(unit)
        found = scan(self.mask(block), block, self.task.connectivity, self.volume)
        found.save(self.path("scans", unit))
        return {"pieces": len(found.classes)}


class Joining(Finishing):
    """A unit is one slab of blocks, of one z; in a volume there is one unit."""

    def one(self, unit: int) -> dict[str, Any]:
        scans = Scans(self, None if self.volume else unit)
        joined = join(scans, self.task.min_area)
        for index, numbers in joined.numbers.items():
            path = self.path("numbers", scans.unit(index))
            write_npz(path, {"numbers": numbers})
        return {"objects": int(joined.counts.sum())}


class Scans(Mapping[Index, Scan]):
    """The scans of a slab or of all blocks, read when they are asked for."""

    def __init__(self, stage: Finishing, slab: int | None):
        self.stage, self.counts = stage, stage.grid.counts
        z, y, x = self.counts
        slabs = range(z) if slab is None else range(slab, slab + 1)
        self.units = range(slabs.start * y * x, slabs.stop * y * x)

    def unit(self, index: Index) -> int:
        """The number of a block."""
        return int(np.ravel_multi_index(index, self.counts))

    def __getitem__(self, index: Index) -> Scan:
        return Scan.load(self.stage.path("scans", self.unit(index)))

    def __iter__(self) -> Iterator[Index]:
        return map(self.stage.grid.index, self.units)

    def __len__(self) -> int:
        return len(self.units)


class Numbering(Finishing):
    """A unit is a block."""

    def one(self, unit: int) -> dict[str, Any]:
        block = self.block(unit)
        with np.load(self.path("numbers", unit), allow_pickle=False) as stored:
            numbers = stored["numbers"]
        if not numbers.any():
            return {}  # the output is 0 where nothing is written
        task = self.task
        found = relabel(self.mask(block), block, numbers, task.connectivity, self.volume)
        self.output.write("labels", self.grid.region(unit), found)
        return {}


class Level(Finishing):
    """A lower resolution of one product; a unit is one of its shards."""

    def __init__(self, task: Task, books: Books, product: str, level: int):
        super().__init__(task, books)
        self.product, self.level = product, level
        self.grid = level_grid(self.output, product, level)

    def one(self, unit: int) -> dict[str, Any]:
        region = self.grid.region(unit)
        *_, height, width = self.output.array(self.product, self.level - 1).shape
        z, y, x = region
        rows = slice(2 * y.start, min(2 * y.stop, height))
        columns = slice(2 * x.start, min(2 * x.stop, width))
        pixels = self.output.read(self.product, (z, rows, columns), self.level - 1)
        if not pixels.any():
            return {}  # the output is 0 where nothing is written
        half = halve(pixels, self.product not in IMAGES)
        self.output.write(self.product, region, half, self.level)
        return {}


def level_grid(output: Output, product: str, level: int) -> Grid:
    """The shards of a level."""
    array = output.array(product, level)
    return Grid(array.shape[-3:], array.file[-3:])  # type: ignore[arg-type]
