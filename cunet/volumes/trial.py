"""A few tiles of a volume made in earnest, to know what all of them take on this machine.

H W: rows and columns of what one tile gives.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from cunet.files.image_file import ImageFile
from cunet.files.ome_zarr.output import create
from cunet.files.ome_zarr.pyramid import halve
from cunet.files.pieces import Spans
from cunet.net.unet import UNet
from cunet.segmentation.tiling import Piece, Plan
from cunet.segmentation.window import Applied, Window
from cunet.volumes.blocks import product_arrays, put_section
from cunet.volumes.counts import Counts
from cunet.volumes.objects import Block, relabel, scan
from cunet.volumes.output import IMAGES, Output
from cunet.volumes.task import Task, written
from cunet.volumes.wanted import whole_chunks

SAMPLE = 64  # tiles of which it is asked whether they hold only 0
TIMED = 3  # tiles that are timed, after one that warms up
LONGEST = 20.0  # seconds after which no more of the sample is read
SEED = 0
PYRAMID = 4 / 3  # voxels of all lower resolutions, in units of those of the first of them


class Place(NamedTuple):
    """A tile: its section, and what it gives along y and x."""

    section: int
    down: Piece
    across: Piece


@dataclass
class Trial:
    """
    sampled, empty   tiles that were looked at, and those of them that hold only 0
    seconds          of each timed tile: the network, and its products made of it
    read_seconds     CPU seconds of the sample, read_bytes: what was decoded for it
    write_seconds    CPU seconds of a tile to write its products
    finish_seconds   CPU seconds of a tile for its labels and its share of lower resolutions
    stored           product -> bytes on disk of a pixel: at full resolution, and at the next
    """

    sampled: int = 0
    empty: int = 0
    seconds: list[float] = field(default_factory=list)
    read_seconds: float = 0.0
    read_bytes: int = 0
    write_seconds: float = 0.0
    finish_seconds: float = 0.0
    stored: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def seconds_a_tile(self) -> float:
        """Their median."""
        return float(np.median(self.seconds))

    @property
    def empty_share(self) -> float:
        """Of the tiles, about."""
        return self.empty / self.sampled


def try_out(
    image: ImageFile, net: UNet, counts: Counts, progress: Callable[[int, int, str], None]
) -> Trial:
    """Look at a sample of tiles, then compute, label, compress and write a few that are not empty
    (empty ones where there are no others). progress(done, in all, of what) is called."""
    trial, busy = Trial(), []
    places = sample(counts)
    start = time.perf_counter()
    for number, place in enumerate(places):
        if look(trial, image, counts, place):
            busy.append(place)
        progress(number + 1, len(places), "tiles looked at")
        if time.perf_counter() - start > LONGEST and len(busy) > TIMED:
            break
    chosen = (busy or places)[: 1 + TIMED]
    with TemporaryDirectory(prefix="cunet-plan-") as folder:
        made = []
        for number in range(1 + TIMED):
            arrays, seconds = compute(image, net, counts, chosen[number % len(chosen)])
            if number < len(chosen):
                made.append(arrays)
            if number:  # the first one warms up
                trial.seconds.append(seconds)
            progress(number + 1, 1 + TIMED, "tiles computed")
        store(trial, counts.task, made, Path(folder))
    return trial


def sample(counts: Counts) -> list[Place]:
    """At most SAMPLE different tiles, the same ones at every call; all where there are no more."""
    shape, task = counts.tiles_of_section, counts.task
    total = shape[0] * shape[1] * shape[2]
    numbers = np.random.default_rng(SEED).choice(total, min(SAMPLE, total), replace=False)
    z, y, x = np.unravel_index(numbers, shape)
    down, across = counts.cover.down, counts.cover.across
    return [
        Place(int(k), piece(down, int(i), task.shape[1]), piece(across, int(j), task.shape[2]))
        for k, i, j in zip(z, y, x, strict=True)
    ]


def piece(plan: Plan, number: int, pixels: int) -> Piece:
    """What one of the tiles along an axis gives."""
    starts, after = plan.starts, number + 1
    last = starts[after] if after < len(starts) else pixels
    return Piece(plan.inputs[number], starts[number], last)


def look(trial: Trial, image: ImageFile, counts: Counts, place: Place) -> bool:
    """Whether the image holds anything where a tile gives its result."""
    z, down, across = place
    box = (z, z + 1), (down.first, down.last), (across.first, across.last)
    start = time.process_time()
    pixels = image.read_block(*box[0], *box[1], *box[2])
    trial.read_seconds += time.process_time() - start
    spans = [Spans(np.array([first]), np.array([last])) for first, last in box]
    trial.read_bytes += counts.pieces.reads(*spans).bytes
    trial.sampled += 1
    trial.empty += not pixels.any()
    return bool(pixels.any())


def compute(
    image: ImageFile, net: UNet, counts: Counts, place: Place
) -> tuple[dict[str, np.ndarray], float]:
    """The products (..., 1, H, W) of one tile, and the seconds that they took."""
    z, down, across = place
    task = counts.task
    window = Window(counts.cover, (down.first, down.last), (across.first, across.last))
    pixels = image.read_block(z, z + 1, *window.needs)[0]
    numbers = net.normalization.fitted(lambda r0, r1: pixels[r0:r1], len(pixels))
    name = f"'{task.source}' page {z}"
    start = time.perf_counter()
    applied = Applied(net, numbers, task.average, False, name)
    found, _ = window.probabilities(pixels, applied)
    arrays = product_arrays(task, (1, *window.shape))
    put_section(arrays, 0, found.astype(np.float32, copy=False), task.threshold)
    return arrays, time.perf_counter() - start


def store(trial: Trial, task: Task, made: list[dict[str, np.ndarray]], folder: Path) -> None:
    """Write the products of some tiles as a segmentation does, and at half the resolution."""
    sizes = {product: [0, 0, 0, 0] for product in written(task)}  # bytes and pixels, twice
    writing, finishing = [], []
    for number, arrays in enumerate(made):
        writing.append(write(task, arrays, folder / f"{number}.zarr", sizes, 0))
        start = time.process_time()
        labels = {"labels": numbered(arrays["mask"], task)} if "labels" in task.products else {}
        seconds = time.process_time() - start
        seconds += write(task, labels, folder / f"{number}_labels.zarr", sizes, 0)
        start = time.process_time()
        halves = {
            name: halve(array, name not in IMAGES) for name, array in (arrays | labels).items()
        }
        half = time.process_time() - start
        half += write(task, halves, folder / f"{number}_half.zarr", sizes, 1)
        finishing.append(seconds + PYRAMID * half * (task.levels > 1))
    trial.write_seconds = float(np.median(writing))
    trial.finish_seconds = float(np.median(finishing))
    for product, (full, pixels, half, fewer) in sizes.items():
        trial.stored[product] = full / pixels, half / fewer


def numbered(mask: np.ndarray, task: Task) -> np.ndarray:
    """The objects (1, H, W) uint32 of a tile's mask, found as the stages after the network do."""
    block, volume = Block((0, 0, 0), mask.shape, mask.shape), task.objects == "volume"
    pieces = scan(mask, block, task.connectivity, volume).classes
    numbers = np.arange(len(pieces) + 1, dtype=np.uint32)
    return relabel(mask, block, numbers, task.connectivity, volume)


def write(
    task: Task, arrays: dict[str, np.ndarray], path: Path, sizes: dict[str, list[int]], level: int
) -> float:
    """Write a tile's products as an OME-Zarr of their own; adds bytes on disk and pixels of each to
    sizes, and returns the CPU seconds of the writing."""
    if not arrays:
        return 0.0
    planes, axes = task.planes, "czyx" if task.planes else "zyx"
    shape = next(iter(arrays.values())).shape[-3:]
    every = tuple(1 for _ in planes)
    shard = whole_chunks(shape, task.chunk, shape)
    labels = {name: array.dtype for name, array in arrays.items() if name not in IMAGES}
    create(
        path, (*planes, *shape), axes, image_type(arrays),
        chunk=(*every, *task.chunk), shard=(*every, *shard), version=task.version, labels=labels,
    )  # fmt: skip
    output, region = Output(path), (slice(shape[0]), slice(shape[1]), slice(shape[2]))
    folders = {product: output.array(product).path for product in arrays}
    start = time.process_time()
    for product, array in arrays.items():
        output.write(product, region, array)
    seconds = time.process_time() - start
    for product, folder in folders.items():
        sizes[product][2 * level] += bytes_of_pixels(folder)
        sizes[product][2 * level + 1] += shape[0] * shape[1] * shape[2]
    return seconds


def bytes_of_pixels(folder: Path) -> int:
    """Of the files of an array, without its metadata."""
    metadata = ("zarr.json", ".zarray", ".zattrs")
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in metadata)
    return sum(path.stat().st_size for path in files)


def image_type(arrays: dict[str, np.ndarray]) -> np.dtype | None:
    """The type of the image among these products, if one is."""
    return next((arrays[name].dtype for name in IMAGES if name in arrays), None)
