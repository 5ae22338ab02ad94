"""Out of memory: how much a step needs, how much is free, and what would fit, in one error.

Works for a GPU and for the CPU. CuPy is asked only where a program has imported it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cunet.backend import gpu_number
from cunet.errors import DeviceError
from cunet.net.figure1 import memory_bytes
from cunet.net.receptive_field import context
from cunet.net.shape import Shape
from cunet.net.sizes import lattice
from cunet.net.tiles import smallest_tile, tile_for_output, valid_tiles
from cunet.net.unet import UNet

CERTAIN = 0.8  # estimates are within 20 %, so advice uses only this share of the memory
IMPOSSIBLE = 0.5  # not even this share of the estimate is there
NARROWEST = 8  # channels; narrower networks are never suggested
# Libraries below CuPy have no type of their own for it, but say so
REFUSALS = ("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED")


@dataclass(frozen=True)
class Task:
    """What decides the memory of a training step or of segmenting one tile, see figure1.py.

    data: bytes of images that lie on the GPU beside it.
    """

    shape: Shape
    tile: int
    batch: int = 1
    solver: str = "sgd"
    precision: str = "float32"
    training: bool = True
    data: int = 0

    def needed(self) -> int:
        """About how many bytes a process takes for it."""
        need = memory_bytes(self.shape, self.tile, self.batch, self.solver, self.precision)
        return need["training" if self.training else "inference"] + self.data

    def fitting(self, name: str, values: list[int], limit: float) -> int | None:
        """The largest of the values, smallest first, of setting `name` (width, tile or batch) that
        needs at most `limit` bytes; None where none does."""
        fits = [v for v in reversed(values) if self.changed(name, v).needed() <= limit]
        return fits[0] if fits else None

    def changed(self, name: str, value: int) -> "Task":
        """The same task with another width, tile or batch."""
        if name == "width":
            return replace(self, shape=replace(self.shape, width=value))
        return replace(self, batch=value) if name == "batch" else replace(self, tile=value)

    def tiles(self) -> list[int]:
        """The smaller sides of tiles that training or segmentation takes."""
        depth, padding = self.shape.depth, self.shape.padding
        least = smallest_tile(depth, padding)
        if not self.training:  # tiles must meet on the pooling grid
            least = tile_for_output(lattice(depth), depth, padding)
            if padding == "same":
                least += 2 * context(depth)
        return valid_tiles(depth, least, self.tile - 1, padding)


def task_of(
    net: UNet, tile: int, batch: int, training: bool, solver: str = "sgd", data: int = 0
) -> Task:
    """What this network is asked to do with tiles of this side."""
    return Task(net.shape, tile, batch, solver, net.precision, training, data)


def fits_the_paper(free: float) -> str:
    """What training the paper's network needs, and the largest tile that fits into free bytes."""
    paper = Task(Shape(), 572)
    text = f"the paper's network at tile 572 needs {gigabytes(paper.needed())}"
    if paper.needed() <= free:
        return text
    tile = paper.fitting("tile", paper.tiles(), free)
    return f"{text}: {f'--tile {tile} fits' if tile else 'use a smaller --width'}"


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out, NumPy's, CuPy's or that of CUDA itself."""
    if isinstance(error, MemoryError):  # CuPy's OutOfMemoryError is one
        return True
    if not isinstance(error, RuntimeError):
        return False
    if "StreamCapture" in str(error) and error.__context__ is not None:
        return ran_out(error.__context__)  # what ends a recording fails after it
    return any(name in str(error) for name in REFUSALS)


def room(net: UNet) -> int | None:
    """The bytes that this process may use on the net's device, including what its arrays hold now
    (a step's need includes them); None where unknown."""
    try:
        return _room_of_cpu() if net.device == "cpu" else _room_of_gpu(net)
    except Exception:  # another system than Linux, or a driver in no state to answer
        return None


def _room_of_cpu() -> int:
    import resource  # not on Windows

    held = 1024 * _kilobytes("/proc/self/status", "RssAnon")
    room = held + 1024 * _kilobytes("/proc/meminfo", "MemAvailable")
    most = resource.getrlimit(resource.RLIMIT_AS)[0]  # ulimit -v; it counts what is only reserved
    if most != resource.RLIM_INFINITY:
        room = min(room, held + most - 1024 * _kilobytes("/proc/self/status", "VmSize"))
    return room


def refuse_impossible(task: Task, device: str) -> None:
    """DeviceError, before anything is made, for what needs far more memory than the CPU has.

    The system may promise such memory and end the process when it is used. A GPU does not.
    """
    if device != "cpu":
        return
    try:
        free = _room_of_cpu() + 1024 * _kilobytes("/proc/meminfo", "SwapFree") + _cache_of_zfs()
    except Exception:  # another system than Linux
        return
    if IMPOSSIBLE * task.needed() > free:
        raise DeviceError(explain(MemoryError(), task, free, device))


def _cache_of_zfs() -> int:
    """Bytes that a file system of this kind gives back when they are needed, uncounted by Linux."""
    path = Path("/proc/spl/kstat/zfs/arcstats")
    if not path.exists():
        return 0
    found = {line.split()[0]: line.split()[-1] for line in path.read_text().splitlines()[2:]}
    return max(0, int(found["size"]) - int(found["c_min"]))


def _kilobytes(path: str, name: str) -> int:
    lines = Path(path).read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def _room_of_gpu(net: UNet) -> int:
    cupy = sys.modules["cupy"]
    with cupy.cuda.Device(gpu_number(net.device)):
        free = cupy.cuda.runtime.memGetInfo()[0]
        held = cupy.get_default_memory_pool().total_bytes()
    return int(free + held + net.engine.recorded_bytes(net))


def gpu_memory(device: str) -> int:
    """The bytes of a GPU's memory, whoever uses them now; 0 for the CPU or where unknown."""
    if device == "cpu":
        return 0
    try:
        cupy = sys.modules["cupy"]
        with cupy.cuda.Device(gpu_number(device)):
            return int(cupy.cuda.runtime.memGetInfo()[1])
    except Exception:  # CuPy was not imported, or a driver in no state to answer
        return 0


def device_name(device: str) -> str:
    """What a person calls the device: the GPU's name, or "this machine"."""
    if device == "cpu":
        return "this machine"
    try:
        properties = sys.modules["cupy"].cuda.runtime.getDeviceProperties(gpu_number(device) or 0)
        return f"{properties['name'].decode()} ({device})"
    except Exception:
        return device


def advice(task: Task, free: int | None, resized: bool = False) -> str:
    """What fits into `free` bytes, as options of the command line.

    resized: a net that scales its images; it segments each in one tile.
    """
    need = task.needed()
    # where the estimate says that it fits, it was wrong or something else took the memory
    limit = CERTAIN * min(need, need if free is None else free)
    found = {}
    if task.training and task.batch > 1:
        found["--batch"] = task.fitting("batch", list(range(1, task.batch)), limit)
    if task.training or not resized:
        found["--tile"] = task.fitting("tile", task.tiles(), limit)
    if task.training:
        widths = [w for w in (task.shape.width >> i for i in range(8, 0, -1)) if w >= NARROWEST]
        found["--width"] = task.fitting("width", widths, limit)
    options = [f"{name} {value}" for name, value in found.items() if value is not None]
    if not options:
        tried = " or ".join(name for name in found) or "tile"
        return f"no smaller {tried} fits; free some memory, or use another --device"
    others = f" (or {' or '.join(options[1:])})" if options[1:] else ""
    return f"{options[0]} fits{others}"


def explain(
    error: BaseException, task: Task, free: int | None, device: str = "cpu", resized: bool = False
) -> str:
    """One line for an error of memory: who ran out, what was needed, what is free, what fits."""
    need, what = task.needed(), "a training step" if task.training else "segmenting"
    batch = f", batch {task.batch}" if task.training else ""
    text = (
        f"{what} at tile {task.tile}{batch}, width {task.shape.width} needs about {gigabytes(need)}"
    )
    if free is not None:
        text += f", {gigabytes(free)} are free"
    if free is None or free >= need:  # then its own words say more
        text += f" ({' '.join(str(error).split())[:200] or type(error).__name__})"
    return f"out of memory on {device_name(device)}: {text}; {advice(task, free, resized)}"


def gigabytes(count: float) -> str:
    """Bytes as a person reads them: 5.2 GB, or 0.03 GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e9:.2g} GB"


@contextmanager
def explained(
    net: UNet,
    tile: int,
    batch: int = 1,
    training: bool = True,
    solver: str = "sgd",
    data: int = 0,
) -> Iterator[None]:
    """DeviceError, with what would fit, in place of errors of memory raised within. Costs nothing
    until then."""
    try:
        yield
    except Exception as error:
        if not ran_out(error):
            raise
        what, resized = task_of(net, tile, batch, training, solver, data), net.resize is not None
        raise DeviceError(explain(error, what, room(net), net.device, resized)) from error
