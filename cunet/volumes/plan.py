"""What segmenting a volume will take, known before anything is made: tiles, hours, memory, bytes.

Counts are exact. Times are measured on this device, of a few tiles of the volume itself; the share
of empty tiles and the sizes after compression are estimates from a sample of it.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from cunet.backend import resolve_devices
from cunet.checks import arguments, callback, instance, path, text, whole
from cunet.engines import describe
from cunet.files.image_file import ImageFile
from cunet.files.pieces import pieces_of
from cunet.net.checkpoint import load, model_file
from cunet.net.memory import task_of
from cunet.net.unet import UNet
from cunet.segmentation.segment import cover_of
from cunet.threads import get_threads
from cunet.volumes.counts import Counts
from cunet.volumes.finish import AT_ONCE
from cunet.volumes.grid import step_of
from cunet.volumes.source import network_for, open_for, open_source, sections_of
from cunet.volumes.task import written
from cunet.volumes.trial import Trial, try_out
from cunet.volumes.wanted import FLOAT_BYTES, Wanted, float_bytes

HOUR = 3600


@arguments(
    source=path, model=path, wanted=instance(Wanted, "import it from cunet.volumes.wanted"),
    device=text, pages=text, level=whole, channel=whole, time=whole, progress=callback,
)  # fmt: skip
def plan_volume(
    source: str | Path,
    model: str | Path | None = None,
    wanted: Wanted | None = None,
    device: str = "auto",
    pages: str | None = None,
    level: int = 0,
    channel: int | None = None,
    time: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """What `cunet segment source --out out.ome.zarr` will take with these settings. Nothing is
    made; a sample of at most 64 tiles is read, and four of them are computed. model: by default the
    network that comes with cunet which is made for such images, see segmentation/looks.py.

    Where float32 probabilities would have to be asked for, the plan is that of uint8 ones.
    progress(done, in all, of what) is called as it goes on.

    Returns a dict, ready for JSON, whose groups are volume, blocks, tiles, time, feeding, memory,
    reads and products; seconds are of one tile. Raises CunetError for settings that do not fit,
    DataError for what no image holds, DeviceError where memory, device or disk do not suffice.
    """
    wanted, selection = wanted or Wanted(), {"level": level, "channel": channel, "time": time}
    devices = resolve_devices(device)
    file = model_file(model or network_for(source, **selection).model)
    net = load(file, devices[0], wanted.precision)
    with ExitStack() as stack:
        with open_source(source, level, channel, time) as every:
            sections = sections_of(pages, every)
        opened = stack.enter_context(open_source(source, level, channel, time, sections))
        image = open_for(net, opened)
        wanted = storable(wanted, image, net, sections)
        task = wanted.task(image, net, file.resolve(), selection, sections)
        cover = cover_of(*task.shape[1:], net, task.tile, "exact")
        counts = Counts(task, cover, pieces_of(opened))
        trial = try_out(image, net, counts, progress or (lambda done, total, what: None))
        groups = Groups(counts, net, opened, trial, len(devices))
        return {
            "image": str(source),
            "model": str(file),
            "device": describe(net.device, net.precision),
            "volume": groups.volume(),
            "blocks": {
                "shape": list(task.block), "chunk": list(task.chunk), "count": len(task.grid),
            },
            "tiles": groups.tiles(),
            "time": groups.time(),
            "feeding": groups.feeding(),
            "memory": groups.memory(),
            "reads": groups.reads(),
            "products": {product: groups.product(product) for product in written(task)},
        }  # fmt: skip


def storable(
    wanted: Wanted, image: ImageFile, net: UNet, sections: tuple[int, int] | None
) -> Wanted:
    """The same with uint8 probabilities, where those of float32 are so large that a segmentation
    would refuse to begin without --prob."""
    if wanted.prob is not None or "prob" not in wanted.products:
        return wanted
    first, last = sections or (0, image.pages)
    size = float_bytes(net.shape.classes, (last - first, image.height, image.width))
    return replace(wanted, prob="uint8") if size > FLOAT_BYTES else wanted


class Groups:
    """The groups of a plan, from what was counted and what was tried out."""

    def __init__(self, counts: Counts, net: UNet, image: ImageFile, trial: Trial, devices: int):
        self.counts, self.net, self.image, self.trial = counts, net, image, trial
        self.task, self.devices = counts.task, devices
        skipped = trial.empty_share if self.task.skip_empty else 0.0
        self.busy = 1 - skipped  # the share of tiles that are computed

    def volume(self) -> dict[str, Any]:
        """Its size."""
        z, y, x = self.task.shape
        voxel = self.image.channels * self.image.dtype.itemsize
        return {
            "shape": [z, y, x], "voxels": z * y * x, "dtype": str(self.image.dtype),
            "bytes": z * y * x * voxel,
        }  # fmt: skip

    def tiles(self) -> dict[str, Any]:
        """How many, and how many of them are empty by the sample."""
        count, trial = self.counts.tiles, self.trial
        return {
            "side": self.task.tile, "count": count, "sampled": trial.sampled,
            "sampled_empty": trial.empty, "empty": round(count * trial.empty_share),
            "skip_empty": self.task.skip_empty,
        }  # fmt: skip

    def cpu_seconds(self) -> dict[str, float]:
        """Of a tile: what reading and writing blocks cost, and the stages after the network."""
        trial, counts = self.trial, self.counts
        bytes_a_tile = counts.reads.bytes / counts.tiles
        return {
            "read": trial.read_seconds / trial.read_bytes * bytes_a_tile,
            "write": trial.write_seconds,
            "finish": trial.finish_seconds,
        }

    def time(self) -> dict[str, Any]:
        """On this device by one process; hours with all tiles computed, and without empty ones."""
        seconds, cpu, tiles = self.trial.seconds_a_tile, self.cpu_seconds(), self.counts.tiles
        network = seconds / self.devices
        if self.net.device == "cpu":  # the same processors feed it
            network += (cpu["read"] + cpu["write"]) / get_threads()
        threads = min(get_threads(), AT_ONCE)  # of what follows the network
        hours = tiles * (network + cpu["finish"] / threads) / HOUR
        gpu = None if self.net.device == "cpu" else tiles * self.busy * seconds / HOUR
        return {
            "seconds_a_tile": seconds, "devices": self.devices, "hours": hours,
            "hours_without_empty": hours * self.busy, "gpu_hours": gpu,
            "finishing_cpu_hours": tiles * self.busy * cpu["finish"] / HOUR,
        }  # fmt: skip

    def feeding(self) -> dict[str, Any]:
        """CPU seconds of a tile beside the network, and how many cores a device keeps busy so."""
        cpu = self.cpu_seconds()
        cores = (cpu["read"] + cpu["write"]) / self.trial.seconds_a_tile
        return {"read_seconds": cpu["read"], "write_seconds": cpu["write"], "cores": cores}

    def memory(self) -> dict[str, int]:
        """Bytes of a worker; on a GPU the network's are those of the device."""
        network = task_of(self.net, self.counts.cover.tile, 1, training=False).needed()
        blocks = self.counts.block_memory(self.voxel)
        return {"network": network, "blocks": blocks, "worker": network + blocks}

    @property
    def voxel(self) -> int:
        """Bytes of a voxel in memory."""
        return self.net.shape.in_channels * self.image.dtype.itemsize

    def reads(self) -> dict[str, Any]:
        """Bytes that are decoded, the halo and the rest of chunks among them, and requests."""
        counts, whole = self.counts, self.volume()["bytes"]
        found = counts.reads
        amount, requests = found.bytes, found.requests
        if self.net.normalization.per_image:
            more = counts.sections_read()
            amount, requests = amount + more.bytes, requests + more.requests
        other = counts.better(step_of(self.task.tile, self.net.shape))
        return {
            "bytes": amount, "ratio": amount / whole, "requests": requests,
            "chunk": list(counts.pieces.piece), "times_along_z": counts.times_read,
            "better": other and {
                "block": list(other.task.block), "ratio": other.reads.bytes / whole,
                "worker_bytes": other.block_memory(self.voxel) + self.memory()["network"],
            },
        }  # fmt: skip

    def product(self, product: str) -> dict[str, Any]:
        """Bytes and files of a product with all its resolutions. Files are PUTs, one each."""
        planes, size = self.counts.numbers(product)
        voxels = [z * y * x for z, y, x in self.counts.levels()]
        full, half = self.trial.stored[product]
        stored = self.busy * (full * voxels[0] + half * sum(voxels[1:]))
        files = self.counts.files(product)
        return {
            "dtype": {1: "uint8", 4: "uint32" if product == "labels" else "float32"}[size],
            "levels": len(files), "bytes": planes * size * sum(voxels),
            "compressed_bytes": round(stored), "files": sum(files), "files_of_levels": files,
        }  # fmt: skip
