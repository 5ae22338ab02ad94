"""The other ranks of a training on several devices, as rank 0 sees them: see passes.py.

Each is a process (rank.py) that is told what to do through a pipe. Numbers that all must know go
through these pipes too, gradients through shared memory or NCCL (sums.py). A rank whose pipe ends
has died: that ends the training. The others are killed then, and at any other end; they keep
nothing, and a rank whose rank 0 was killed ends by itself at its next pass.
"""

import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np

from cunet.backend import import_cupy, import_nccl, resolve_device, to_host
from cunet.data.samples import Samples
from cunet.errors import CunetError, DeviceError
from cunet.interrupts import uninterrupted
from cunet.net.unet import UNet
from cunet.terminal import plural
from cunet.threads import available_threads, get_threads, set_threads
from cunet.training.config import Config
from cunet.training.rank import GOOD, LENGTH, Job, arrays_of, exactly, send
from cunet.training.sums import GpuSums, SharedSums

PATIENCE = 10  # seconds for a process to end that has closed its pipe


class RankEnded(DeviceError):
    """The process of another rank has ended before the training."""


def first_device(config: Config) -> str:
    """The device of rank 0: "cpu" or "cuda:i". DeviceError where this machine has fewer GPUs than
    config.devices, or no NCCL to add up what several have."""
    device, count = resolve_device(config.device), config.devices
    if device != "cpu" and count > 1:
        found = import_cupy().cuda.runtime.getDeviceCount()
        if found < count:
            raise DeviceError(
                f"devices {count}: this machine has {plural(found, 'GPU')}; give --devices {found} "
                "or --device cpu"
            )
        import_nccl()
    return device


def told_of_devices(config: Config) -> tuple[str, ...]:
    """What to say of an update that several devices share; nothing of one device's."""
    if config.devices == 1:
        return ()
    each = config.iter_size // config.devices
    batches = f"iter_size is {config.iter_size}: an update averages that many batches"
    return (f"{config.devices} devices, {batches}, {plural(each, 'batch', 'batches')} a device",)


@contextmanager
def share_of_threads(config: Config) -> Iterator[int]:
    """Within it, this process uses its share of the CPU's threads, where several ranks are on the
    CPU; yields the number."""
    before = get_threads()
    if config.device == "cpu" and config.devices > 1:
        set_threads(max(1, (config.threads or available_threads()) // config.devices))
    try:
        yield get_threads()
    finally:
        if get_threads() != before:
            set_threads(before)


@contextmanager
def others(
    config: Config, net: UNet, solver: Any, samples: Samples, done: int, records: bool
) -> Iterator["Ranks | None"]:
    """The other ranks at work while the block lasts; None where there are none. Arguments: see
    rank.Job."""
    if config.devices == 1:
        yield None
        return
    with ExitStack() as stack:
        threads = stack.enter_context(share_of_threads(config))
        key = import_nccl().get_unique_id() if config.device != "cpu" else None
        ranks = stack.enter_context(closing(Ranks(config.devices)))
        if key is None:
            ranks.share(net)
        job = Job(
            0, config, samples, net.settings(), net.precision,
            {name: to_host(array) for name, array in arrays_of(net, solver).items()},
            {"done": solver.done, "scaling": getattr(solver, "scaling", None)},
            done, records, threads, ranks.memory, key,
        )  # fmt: skip
        ranks.start(job)
        if key is not None:
            ranks.sums = GpuSums(net.parameters(), 0, config.devices, key, ranks.check)
        yield ranks


class Ranks:
    """What connects rank 0 with the other ranks, see passes.Link."""

    rank = 0

    def __init__(self, count: int):
        self.count = count
        self.sums: Any = None  # what adds up the gradients
        self.processes: list[subprocess.Popen] = []
        self.said: list[Any] = []  # of every process, what it wrote to stderr

    def share(self, net: UNet) -> None:
        """Make the shared memory of the gradients."""
        self.sums = SharedSums(net.parameters(), 0, self.count, self.meet)

    @property
    def memory(self) -> str | None:
        """The name of the shared memory, if there is any."""
        return None if self.sums is None else self.sums.name

    def start(self, job: Job) -> None:
        """Start the processes and tell each what to do; returns when all are ready."""
        command = [sys.executable, "-P", "-m", "cunet.training.rank"]
        for _ in range(1, self.count):
            with uninterrupted():  # none is started that is not in the list
                self.said.append(tempfile.TemporaryFile())
                self.processes.append(
                    subprocess.Popen(
                        command,
                        bufsize=0,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=self.said[-1],
                        start_new_session=True,  # Ctrl-C reaches rank 0, which ends the others
                    )
                )
        device = job.config.device
        for number in range(1, self.count):
            own = device if device == "cpu" else f"cuda:{number}"
            data = pickle.dumps(replace(job, rank=number, config=replace(job.config, device=own)))
            self._send(number, LENGTH.pack(len(data)) + data)
        self.meet()

    def gather(self, numbers: np.ndarray) -> np.ndarray:
        """(ranks, n): the numbers of all ranks, once all have given theirs."""
        found = np.empty((self.count, numbers.size))
        found[0] = numbers
        for number in range(1, self.count):
            found[number] = np.frombuffer(self._receive(number, numbers.nbytes))
        for number in range(1, self.count):
            self._send(number, GOOD + found.tobytes())
        return found

    def meet(self) -> None:
        """Wait until all ranks are here."""
        self.gather(np.empty(0))

    def add(self, first: bool) -> None:
        """Take the gradients of a pass; first: of an update."""
        self.sums.add(first)

    def finish(self) -> None:
        """Make every parameter's .grad the sum over all passes of all ranks."""
        self.sums.finish()

    def check(self) -> None:
        """RankEnded where a rank has ended."""
        for number, process in enumerate(self.processes, 1):
            if process.poll() is not None:
                raise self._ended(number)

    def close(self) -> None:
        """End the processes."""
        with uninterrupted():
            for process in self.processes:
                process.kill()
            for process in self.processes:
                process.wait()
                for pipe in (process.stdin, process.stdout):
                    with suppress(OSError):
                        pipe.close()  # type: ignore[union-attr]
            for file in self.said:
                file.close()
            if self.sums is not None:
                self.sums.close()

    def _send(self, number: int, data: bytes) -> None:
        try:
            send(self.processes[number - 1].stdin, data)  # type: ignore[arg-type]
        except OSError as error:
            raise self._ended(number) from error

    def _receive(self, number: int, count: int) -> bytes:
        """What rank `number` sends. An error that it sends instead is raised here."""
        pipe: Any = self.processes[number - 1].stdout
        try:
            if exactly(pipe, 1) == GOOD:
                return exactly(pipe, count)
        except EOFError as error:
            raise self._ended(number) from error
        found: CunetError = pickle.loads(pipe.readall())
        found.args = (f"device {number} of 0 to {self.count - 1}: {found}",)
        raise found

    def _ended(self, number: int) -> CunetError:
        """What to raise where a rank has ended that said nothing of an error."""
        process = self.processes[number - 1]
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        error = RankEnded(
            f"the process of device {number} of 0 to {self.count - 1} {how}; if memory was short "
            "use fewer --devices. What was trained is saved: continue it with --resume"
        )
        file = self.said[number - 1]
        file.seek(0)
        for line in file.read().decode(errors="replace").splitlines():
            error.add_note(line)
        return error
