"""A rank of a training on several devices, but for the first: see passes.py. It is a process of its
own, `python -m cunet.training.rank`, which ranks.py starts.

Rank 0 is the training itself, with its validations and its run folder. The others make passes and
updates and keep nothing: they end when rank 0 does, however that was. They read what to do from
stdin, and say on stdout what others must know: see Upwards.
"""

import os
import pickle
import select
import signal
import struct
import sys
from contextlib import closing
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from cunet.backend import resolve_device, to_device
from cunet.data.labels import IGNORE
from cunet.data.samples import Samples
from cunet.errors import CunetError, DeviceError
from cunet.net.checkpoint import learned
from cunet.net.unet import UNet
from cunet.threads import set_threads
from cunet.training.config import Config
from cunet.training.passes import Passes
from cunet.training.steps import told_of_memory
from cunet.training.stop import ending_signals
from cunet.training.sums import GpuSums, SharedSums

LENGTH = struct.Struct("<q")  # before a pickle
GOOD, BAD = b"\0", b"\1"  # before numbers, which may be none, and before an error


@dataclass
class Job:
    """What a rank has to know.

    config   with the device of rank 0
    net      the arguments that make the network again; precision: in which it computes
    arrays   values of the network and of its solver, by name
    solver   what else the solver has: its `done` and `scaling`
    done     updates that were made before
    records  whether the device makes the samples
    memory   the name of the shared memory, on the CPU
    key      of NCCL, on GPUs
    """

    rank: int
    config: Config
    samples: Samples
    net: dict[str, Any]
    precision: str
    arrays: dict[str, np.ndarray]
    solver: dict[str, Any]
    done: int
    records: bool
    threads: int
    memory: str | None
    key: tuple | None


class Upwards:
    """What connects a rank with rank 0, see passes.Link."""

    def __init__(self, rank: int, ranks: int, read: IO[bytes], write: IO[bytes]):
        self.rank, self.ranks, self.read, self.write = rank, ranks, read, write
        self.sums: Any = None

    def gather(self, numbers: np.ndarray) -> np.ndarray:
        """(ranks, n): the numbers of all ranks; ends the process where rank 0 has ended."""
        try:
            send(self.write, GOOD + numbers.tobytes())
            found = exactly(self.read, 1 + self.ranks * numbers.nbytes)[1:]
        except (EOFError, OSError):
            os._exit(0)
        return np.frombuffer(found).reshape(self.ranks, -1)

    def meet(self) -> None:
        """Wait until all ranks are here."""
        self.gather(np.empty(0))

    def check(self) -> None:
        """End the process where rank 0 has ended, which otherwise says nothing now."""
        if select.select([self.read], [], [], 0)[0]:
            os._exit(0)

    def add(self, first: bool) -> None:
        self.sums.add(first)

    def finish(self) -> None:
        self.sums.finish()


def exactly(file: IO[bytes], count: int) -> bytes:
    """So many bytes of a pipe; EOFError where there are fewer."""
    found = bytearray()
    while len(found) < count:
        piece = file.read(count - len(found))
        if not piece:
            raise EOFError
        found += piece
    return bytes(found)


def send(file: IO[bytes], data: bytes) -> None:
    """Write all of it to a pipe, which may take less at a time."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def training_of(job: Job) -> tuple[UNet, Any]:
    """The network and the solver of rank 0, on the device of this rank."""
    net = UNet(**job.net, device=job.config.device, precision=job.precision)
    solver = job.config.make_solver(net.parameters())
    solver.done, solver.scaling = job.solver["done"], job.solver["scaling"]
    for name, array in arrays_of(net, solver).items():
        array[...] = to_device(job.arrays[name], net.device)
    return net, solver


def arrays_of(net: UNet, solver: Any) -> dict[str, Any]:
    """All that a network and its solver have learned."""
    return learned(net) | solver.state()


def work(job: Job, up: Upwards) -> None:
    """Make the passes and the updates of a rank, to the last."""
    config = job.config
    if config.device == "cpu":
        set_threads(job.threads)
    resolve_device(config.device)
    net, solver = training_of(job)
    if job.memory is not None:
        up.sums = SharedSums(net.parameters(), job.rank, config.devices, up.meet, job.memory)
    up.meet()  # all have come so far: what follows waits for all
    if job.key is not None:
        up.sums = GpuSums(net.parameters(), job.rank, config.devices, job.key, up.check)
    samples = job.samples if job.records else None
    with told_of_memory(config, net):
        steps = net.engine.step(net, solver, config.normalize, IGNORE, samples)
    with closing(steps), closing(Passes(config, net, steps, job.samples, job.done, up)) as passes:
        for step in range(job.done + 1, config.steps + 1):
            for _ in passes(step):
                pass
            steps.update()
        up.read.read(1)  # rank 0 goes on, and misses a rank that has ended


def main() -> None:
    """Do the job that stands on stdin."""
    for number in ending_signals():
        signal.signal(number, signal.SIG_IGN)  # rank 0 hears them, and ends the others
    read, write = os.fdopen(0, "rb", 0, closefd=False), os.fdopen(os.dup(1), "wb", 0)
    os.dup2(2, 1)  # what a library prints is not for rank 0
    try:
        job: Job = pickle.loads(exactly(read, LENGTH.unpack(exactly(read, LENGTH.size))[0]))
        work(job, Upwards(job.rank, job.config.devices, read, write))
    except EOFError:
        return  # rank 0 has ended
    except CunetError as error:
        send(write, BAD + pickle.dumps(error))
    except MemoryError as error:
        send(write, BAD + pickle.dumps(DeviceError(f"out of memory ({error})")))


if __name__ == "__main__":
    main()
    sys.stdout = None  # type: ignore[assignment]  # nothing is left to be written at the end
