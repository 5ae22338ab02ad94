"""One network on several devices, which share the tiles of an image.

    with Several.on(net, ["cuda:0", "cuda:1"]) as nets:
        for output in nets.predict_tiles(cuts):  # (P, Q, K) of every tile (H, W, C), in their order
            ...

Each device has a copy of the network and a thread. Tile i is always that of device i % n, so that
a result does not depend on which device was faster; on the CPU, and on GPUs of one kind, it is that
of one device, bit for bit.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack
from contextvars import copy_context
from types import TracebackType
from typing import Any

import numpy as np

from cunet.backend import to_device, to_host, working_on
from cunet.errors import CunetError
from cunet.net.checkpoint import learned
from cunet.net.unet import UNet
from cunet.threads import Helpers

TILES_A_DEVICE = 2  # in memory: one that is computed, and one that waits


class Several:
    """Networks of equal weights, each on its device. close(), or the end of a `with`, ends the
    threads. One after the other may use it, not several threads at a time."""

    def __init__(self, nets: Sequence[UNet]):
        if not nets:
            raise CunetError("nets: expected one network or more, found none")
        self.nets = list(nets)
        self.threads = [Helpers(1, f"cunet-device-{number}") for number in range(len(nets))]

    @classmethod
    def on(cls, net: UNet, devices: Sequence[str]) -> "Several":
        """Of a network on each of these devices; where it is already, it is taken as it is."""
        return cls([net if device == net.device else copied(net, device) for device in devices])

    def __enter__(self) -> "Several":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the threads, after the tiles that they are at."""
        with ExitStack() as stack:
            for thread in self.threads:
                stack.callback(thread.close)

    def predict_tiles(
        self,
        cuts: Iterable[np.ndarray],
        predict: Callable[[UNet, np.ndarray], Any] | None = None,
    ) -> Generator[Any, None, None]:
        """What predict(net, cut) returns for every cut, in their order; by default the
        probabilities (P, Q, K) of a tile (H, W, C) of normalised pixels.

        No more cuts are taken than TILES_A_DEVICE for each device beyond what was yielded. An error
        in a thread is raised here before any further result, and nothing new is begun then.
        """
        waiting: deque = deque()
        failed: list[BaseException] = []
        most = TILES_A_DEVICE * len(self.nets)

        def one(net: UNet, cut: np.ndarray) -> Any:
            try:
                with working_on(net.device):
                    return None if failed else (predict or probability)(net, cut)
            except BaseException as error:
                failed.append(error)
                raise

        def first() -> Any:
            result = waiting.popleft().result()
            if failed:
                raise failed[0]
            return result

        try:
            for number, cut in enumerate(cuts):
                place = number % len(self.nets)
                # a thread sees the caller's context, which holds NumPy's handling of overflow
                work = copy_context().run
                waiting.append(self.threads[place].submit(work, one, self.nets[place], cut))
                if len(waiting) == most:
                    yield first()
            while waiting:
                yield first()
        finally:
            for future in waiting:
                future.cancel()


def sharing(net: UNet, devices: Sequence[str]) -> Several | None:
    """A network on the devices that share its tiles; None where there is but one."""
    return Several.on(net, devices) if len(devices) > 1 else None


def probability(net: UNet, cut: np.ndarray) -> np.ndarray:
    """The probabilities (P, Q, K) of one tile (H, W, C)."""
    return net.engine.predict(net, np.ascontiguousarray(cut)[None])[0]


def copied(net: UNet, device: str) -> UNet:
    """The same network on another device: its weights, statistics, normalisation and precision."""
    with working_on(device):
        copy = UNet(**net.settings(), device=device, precision=net.precision)
        copy.normalization, copy.trained_on = net.normalization, net.trained_on
        targets = learned(copy)
        for name, values in learned(net).items():
            targets[name][...] = to_device(to_host(values), device)
    return copy
