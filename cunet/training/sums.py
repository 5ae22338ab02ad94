"""The sum of the gradients of several ranks (see passes.py): on the CPU in memory that their
processes share, on GPUs by NVIDIA's library NCCL."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cunet.backend import import_cupy, import_nccl
from cunet.errors import DeviceError
from cunet.net.layers import Parameter
from cunet.net.memory import gigabytes

if TYPE_CHECKING:
    from multiprocessing.shared_memory import SharedMemory

SHARED = "/dev/shm"  # where Linux has such memory, and in a container often little of it
CHECK_EVERY = 1e-4  # seconds between looks at a sum that is under way


class SharedSums:
    """Sums on the CPU. Every rank has a row of the shared memory, and the last row is their sum.

    After a pass each rank writes its gradients to its row; then it adds up its part of all rows, in
    the order of the ranks, to what earlier passes of the update have left there. meet: returns when
    all ranks have called it. name: of the memory; without one it is made, and removed by close().
    """

    def __init__(
        self, parameters: list[Parameter], rank: int, ranks: int, meet: Callable[[], Any],
        name: str | None = None,
    ):  # fmt: skip
        self.parameters, self.rank, self.ranks, self.meet = parameters, rank, ranks, meet
        self.count = sum(p.value.size for p in parameters)
        dtype = parameters[0].value.dtype
        size = (ranks + 1) * self.count * dtype.itemsize
        self.own = name is None
        self.memory = attached(name) if name is not None else made(size)
        shape = ranks + 1, self.count
        self.rows: Any = np.ndarray(shape, dtype, self.memory.buf)

    @property
    def name(self) -> str:
        """By which another process finds the memory."""
        return self.memory.name

    @np.errstate(over="ignore", invalid="ignore")  # the loss shows it, and is checked
    def add(self, first: bool) -> None:
        """Add the gradients of a pass of every rank, and clear them; first: of an update."""
        for p, place in self._places():
            self.rows[self.rank, place] = p.grad.ravel()
            p.grad.fill(0)
        self.meet()
        ends = [self.count * r // self.ranks for r in (self.rank, self.rank + 1)]
        part = slice(*ends)  # no view is kept: an interruption would keep it, and the memory open
        if first:
            self.rows[-1, part] = self.rows[0, part]
        for rank in range(int(first), self.ranks):
            self.rows[-1, part] += self.rows[rank, part]
        self.meet()

    def finish(self) -> None:
        """Make every parameter's .grad the sum."""
        for p, place in self._places():
            p.grad[...] = self.rows[-1, place].reshape(p.value.shape)

    def _places(self) -> Iterator[tuple[Parameter, slice]]:
        """Every parameter, and where in a row its gradient lies."""
        at = 0
        for p in self.parameters:
            yield p, slice(at, at + p.value.size)
            at += p.value.size

    def close(self) -> None:
        """Let go of the memory."""
        self.rows = None  # nothing may refer to the memory when it is closed
        self.memory.close()
        if self.own:
            self.memory.unlink()


def made(size: int) -> "SharedMemory":
    """New shared memory; DeviceError where there is too little of it."""
    free = shutil.disk_usage(SHARED).free if os.path.isdir(SHARED) else size
    if free < size:
        raise DeviceError(
            f"the gradients of several processes need {gigabytes(size)} of shared memory, "
            f"'{SHARED}' has {gigabytes(free)}: use fewer --devices, a smaller --width, or make it "
            "larger (of a container: docker run --shm-size)"
        )
    # imported only here: with it a program's own variables outlive the modules at its end, among
    # them a training that is then to be saved
    from multiprocessing.shared_memory import SharedMemory

    return SharedMemory(create=True, size=size)


def attached(name: str) -> "SharedMemory":
    """The shared memory of this name, which whoever made it removes."""
    from multiprocessing.shared_memory import SharedMemory

    if sys.version_info >= (3, 13):
        return SharedMemory(name, track=False)
    memory = SharedMemory(name)
    if os.name == "posix":  # else Python removes it when this process ends
        from multiprocessing import resource_tracker

        resource_tracker.unregister(memory._name, "shared_memory")  # type: ignore[attr-defined]
    return memory


class GpuSums:
    """Sums on GPUs, each of which has a process of its own: one sum of each array before an update.

    NCCL adds in an order of its own, which is the same for all ranks: their networks stay equal.
    All ranks make one at the same time, with the key that one of them got from NCCL. check() raises
    an error where another rank has ended, for which NCCL would wait for ever.
    """

    def __init__(
        self, parameters: list[Parameter], rank: int, ranks: int, key: tuple,
        check: Callable[[], None],
    ):  # fmt: skip
        self.parameters, self.check, self.nccl = parameters, check, import_nccl()
        self.communicator = self.nccl.NcclCommunicator(ranks, key, rank)

    def add(self, first: bool) -> None:
        """Nothing: a rank's own gradients are added by its passes."""

    def finish(self) -> None:
        """Make every parameter's .grad the sum."""
        nccl, cuda = self.nccl, import_cupy().cuda
        kinds = {"float32": nccl.NCCL_FLOAT32, "float64": nccl.NCCL_FLOAT64}
        stream = cuda.get_current_stream()
        nccl.groupStart()
        for p in self.parameters:
            place, kind = p.grad.data.ptr, kinds[p.grad.dtype.name]
            self.communicator.allReduce(place, place, p.grad.size, kind, nccl.NCCL_SUM, stream.ptr)
        nccl.groupEnd()
        done = stream.record()
        while not done.done:
            self.check()
            time.sleep(CHECK_EVERY)

    def close(self) -> None:
        """End what is under way."""
        self.communicator.abort()
