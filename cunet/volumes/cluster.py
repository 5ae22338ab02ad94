"""Dask as the engine: runs of blocks on the workers of a cluster, on this machine or many.

A task of Dask is a run of about 64 blocks, of which the worker itself keeps the journal: what Dask
spends on a task vanishes beside it, and a run that is tried again, since its worker was killed,
does only what is missing. Runs are submitted in waves, so that the scheduler never knows more than
a few for each worker: a million blocks cost it the memory of some hundred tasks.
"""

import os
import platform
import secrets
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import gettempdir
from threading import Lock
from typing import Any

import numpy as np

from cunet.backend import ALL_GPUS, gpus, resolve_device
from cunet.errors import CunetError, DeviceError
from cunet.files.lock import held
from cunet.terminal import plural
from cunet.threads import available_threads, get_threads, set_threads
from cunet.volumes.stages import Stage, do_run, runs_of

ANSWER = 20  # seconds that a scheduler may take to answer
SCHEMES = ("tcp", "tls", "ucx", "ws", "wss")
RETRIES = 2  # of a run that failed: a disk of the network may answer the next time
AHEAD = 2  # runs that the scheduler knows for each thread of a worker
_kept = ExitStack()  # the lock of the GPU that this process works on
_device: str | None = None
_choosing = Lock()  # a worker of Dask may have several threads


class Cluster:
    """An engine: see work.Engine. client: Dask's; threads: of each worker, None is its own."""

    def __init__(self, client: Any, device: str, threads: int | None = None):
        self.client, self.device, self.threads = client, device, threads

    @classmethod
    def on(cls, client: Any, device: str, address: str) -> "Cluster":
        """That of dask_client(address): workers of this machine share its processors."""
        engine = cls(client, device)
        if address.startswith("local"):
            engine.threads = max(1, get_threads() // max(1, engine.slots))
        return engine

    def run(self, output: str, stage: Stage, left: np.ndarray) -> Iterator[int]:
        """Have the units done on the workers, in any order."""
        from distributed.comm import CommClosedError

        try:
            yield from self._run(output, stage, left)
        except (CancelledError, CommClosedError):  # Dask's answers where its scheduler is gone
            raise DeviceError(
                f"the Dask scheduler was lost at {stage.what}: see that it runs, and run the same "
                "command again"
            ) from None

    def _run(self, output: str, stage: Stage, left: np.ndarray) -> Iterator[int]:
        from distributed import as_completed
        from distributed.scheduler import KilledWorker

        runs = runs_of(left.tolist(), max(1, self.slots))
        waiting = as_completed()
        token = secrets.token_hex(8)  # a key that another client has is the other's task

        def submit() -> None:
            while waiting.count() < AHEAD * max(1, self.slots):
                units = next(runs, None)
                if units is None:
                    return
                future = self.client.submit(
                    work, output, stage.name, stage.units, units, self.device, self.threads,
                    pure=False, retries=RETRIES, key=f"{stage.name}-{units[0]}-{token}",
                )  # fmt: skip
                waiting.add(future)

        submit()
        for future in waiting:
            try:
                done = future.result()
            except KilledWorker as error:
                raise DeviceError(
                    f"workers died several times at {stage.what} ({error}); look for what ended "
                    "them, such as too little memory, and run the same command again"
                ) from None
            future.release()
            submit()
            yield done

    @property
    def slots(self) -> int:
        """How many runs the workers can do at once, now: they come and go."""
        return sum(self.client.nthreads().values())


def work(
    output: str, stage: str, total: int, units: list[int], device: str, threads: int | None
) -> int:
    """What a worker does with a run; returns how many units it has."""
    if threads is not None and threads != get_threads():
        set_threads(threads)
    for _ in do_run(output, stage, total, units, own_gpu(device) if stage == "net" else "cpu"):
        pass
    return len(units)


def own_gpu(device: str) -> str:
    """The device that this worker uses for as long as it lives: of several workers on a machine
    with GPUs each takes one. DeviceError where others have them all."""
    global _device
    if device not in ("auto", "cuda", ALL_GPUS):
        return device
    with _choosing:
        if _device is None:
            count = gpus()
            without = "cpu" if device == "auto" else "cuda"  # an error then, which says why
            _device = _free_gpu(count) if count else resolve_device(without)
        return _device


def _free_gpu(count: int) -> str:
    """A GPU that no other worker of this machine has; this process keeps it."""
    user = getattr(os, "getuid", int)()  # Windows has no such numbers
    for number in range(count):
        lock = Path(gettempdir()) / f"cunet-gpu-{user}-{number}.lock"
        with suppress(CunetError):
            _kept.enter_context(held(lock, lock))
            return resolve_device(f"cuda:{number}")
    raise DeviceError(
        f"other workers on {platform.node()} use all of its {plural(count, 'GPU')}; start as many "
        "workers as GPUs, or give --device cpu"
    )


def check_cluster(address: str | None) -> None:
    """CunetError for what is no address of a cluster."""
    kind, _, rest = (address or "local").partition(":")
    if kind == "local":
        _count(str(address), rest)
    elif kind not in SCHEMES:
        raise CunetError(
            f"--cluster {address}: expected local, local:4 (workers of this machine) or the "
            "address of a Dask scheduler, as in tcp://host:8786"
        )


def dask_client(address: str) -> Any:
    """A client of the cluster "local", "local:4" or "tcp://host:8786". CunetError for another
    address, DeviceError where none answers there."""
    try:
        import dask
        import distributed
    except ImportError as error:
        raise CunetError(
            f'--cluster needs Dask ({error}): run  pip install "cunet[dask]"'
        ) from None
    check_cluster(address)
    kind, _, rest = address.partition(":")
    # what a connection keeps of the messages it has sent: 1,000 by default, of all sizes
    dask.config.set({"distributed.admin.low-level-log-length": 10})
    if kind == "local":
        count = _count(address, rest)
        # no dashboard; the server, which there always is, has a free port: two clusters may run
        quiet = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
        cluster = distributed.LocalCluster(
            n_workers=count, threads_per_worker=1, processes=True, scheduler_kwargs=quiet,
            memory_limit=0, silence_logs="ERROR",
        )  # fmt: skip
        return distributed.Client(cluster)
    try:
        return distributed.Client(address, timeout=ANSWER)
    except (OSError, TimeoutError, ValueError) as error:
        raise DeviceError(
            f"--cluster {address}: no Dask scheduler answers there ({error}); start one with  "
            "dask scheduler  and workers with  dask worker"
        ) from error


def _count(address: str, text: str) -> int:
    """The number of workers in "local:4"; by default one for each GPU, else for each processor."""
    if not text:
        return gpus() or available_threads()
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise CunetError(f"--cluster {address}: expected a number of workers, as in local:4")
    return int(text)
