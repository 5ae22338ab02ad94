"""The network over blocks: one is read and one is written while a third is computed.

H W: rows and columns of a block; N: its sections; C: channels; K: classes.
"""

import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cunet.backend import resolve_devices
from cunet.data.dataset import sha256
from cunet.errors import CunetError
from cunet.net.checkpoint import load
from cunet.net.normalization import Normalization
from cunet.net.unet import UNet
from cunet.segmentation.segment import cover_of
from cunet.segmentation.segment_file import classes
from cunet.segmentation.several import sharing
from cunet.segmentation.window import Applied, Window
from cunet.threads import one_ahead
from cunet.volumes.books import Books
from cunet.volumes.output import Output
from cunet.volumes.source import open_for, open_source
from cunet.volumes.statistics import Statistics
from cunet.volumes.task import Task, written

WRITERS = 2  # a block takes longer to compress than a fast GPU to compute


@lru_cache(1)
def network(model: str, model_hash: str, device: str, precision: str | None) -> UNet:
    """The network of a task, which a worker keeps. CunetError where the file has changed."""
    if sha256(Path(model)) != model_hash:
        raise CunetError(
            f"model '{model}' has changed since this segmentation was begun; put the old file "
            "back, or begin anew with --overwrite"
        )
    return load(model, device, precision)


@dataclass
class Made:
    """What a block became: arrays to write, by product, and what the journal notes."""

    unit: int
    arrays: dict[str, np.ndarray]
    note: dict[str, Any]


class Blocks:
    """Does the blocks of a task, in this process."""

    def __init__(self, task: Task, books: Books, device: str):
        self.task, self.books = task, books
        devices = resolve_devices(device)
        self.net = network(task.model, task.model_hash, devices[0], task.precision)
        self.several = sharing(self.net, devices)
        self.image = open_for(
            self.net,
            open_source(task.source, task.level, task.channel, task.time, task.sections),
        )
        self.statistics = Statistics(self.net.normalization, self.image, books)
        self.output = Output(books.output)
        self.cover = cover_of(*task.shape[1:], self.net, task.tile, "exact")

    def do(self, units: list[int]) -> Generator[dict[str, Any], None, None]:
        """Do these blocks; yields the note of each when it is on the disk.

        A thread reads the next one and others write the last ones meanwhile, so that a GPU is not
        kept waiting: the memory is that of the pixels of two and the products of three blocks.
        """
        writing: deque[Future[dict[str, Any]]] = deque()
        with (
            closing(one_ahead(self.read, units)) as ahead,
            ThreadPoolExecutor(WRITERS) as writers,
        ):
            for unit, pixels, numbers in ahead:
                made = self.compute(unit, pixels, numbers)
                del pixels
                writing.append(writers.submit(self.write, made))
                del made
                while len(writing) > WRITERS:
                    yield writing.popleft().result()
            while writing:
                yield writing.popleft().result()

    def close(self) -> None:
        """Close the source, and end the threads of several devices."""
        self.image.close()
        if self.several is not None:
            self.several.close()

    def window(self, unit: int) -> Window:
        """The rows and columns of a block."""
        _, y, x = self.task.grid.region(unit)
        return Window(self.cover, (y.start, y.stop), (x.start, x.stop))

    def read(self, unit: int) -> tuple[int, np.ndarray, list[Normalization]]:
        """The block, all pixels (N, H', W', C) that its tiles see, and the normalisation of each of
        its sections. Only one thread may do this: a file has one place where it is read."""
        z, _, _ = self.task.grid.region(unit)
        numbers = [self.statistics.of(page) for page in range(z.start, z.stop)]
        return unit, self.image.read_block(z.start, z.stop, *self.window(unit).needs), numbers

    def compute(self, unit: int, pixels: np.ndarray, numbers: list[Normalization]) -> Made:
        """The products of a block; pixels, numbers: as `read` returns them."""
        start, task, window = time.perf_counter(), self.task, self.window(unit)
        first = task.grid.region(unit)[0].start
        shape = len(pixels), *window.shape
        arrays = product_arrays(task, shape)
        counts, computed = np.zeros(task.classes, np.int64), 0
        for page, own in enumerate(numbers):
            name = f"'{task.source}' page {first + page}"
            applied = Applied(self.net, own, task.average, task.skip_empty, name, self.several)
            found, tiles = window.probabilities(pixels[page], applied)
            computed += tiles
            counts += put_section(
                arrays, page, found.astype(np.float32, copy=False), task.threshold
            )
        tiles = window.tiles * len(pixels)
        if not computed and task.classes == 2:
            arrays = {}  # the output is 0 where nothing is written
        seconds = round(time.perf_counter() - start, 4)
        note = {"unit": unit, "tiles": tiles, "skipped": tiles - computed}
        return Made(unit, arrays, note | {"classes": counts.tolist(), "seconds": seconds})

    def write(self, made: Made) -> dict[str, Any]:
        """Write the products of a block, and see them on the disk; returns its note."""
        region = self.task.grid.region(made.unit)
        for product, array in made.arrays.items():
            self.output.write(product, region, array)
        return made.note


def product_arrays(task: Task, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Arrays for the products of a block of this shape (N, H, W)."""
    kinds = {"prob": task.prob, "image": "u1", "mask": "u1"}
    return {
        name: np.empty((*task.planes, *shape) if name == "prob" else shape, kinds[name])
        for name in written(task)
        if name in kinds
    }


def put_section(
    arrays: dict[str, np.ndarray], page: int, found: np.ndarray, threshold: float
) -> np.ndarray:
    """Put what a section became, probabilities (H, W, K) float32, into the products of a block;
    returns how many of its pixels are of each class, (K,)."""
    count = found.shape[2]
    ids = classes(found, threshold)
    if "mask" in arrays:
        arrays["mask"][page] = ids
    if "image" in arrays:
        arrays["image"][page] = ids * np.uint8(255)
    if "prob" in arrays and count == 2:
        arrays["prob"][page] = as_stored(found[..., 1], arrays["prob"].dtype)
    elif "prob" in arrays:
        arrays["prob"][:, page] = as_stored(np.moveaxis(found, 2, 0), arrays["prob"].dtype)
    if count == 2:
        ones = np.count_nonzero(ids)
        return np.array([ids.size - ones, ones])
    return np.bincount(ids.ravel(), minlength=count)


def as_stored(probability: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Probabilities as they are, or as uint8 round(255 p)."""
    if dtype != np.uint8:
        return probability
    scaled = probability * np.float32(255)
    return np.rint(scaled, out=scaled).astype(np.uint8)
