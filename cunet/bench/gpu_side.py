"""Our side of a benchmark on a GPU, and its clocks."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from cunet.backend import import_cupy, to_device, to_host
from cunet.bench.cpu_side import LEARNING_RATE, summary
from cunet.engines.gpu.record import record_of
from cunet.engines.gpu.recorded import CapturedStep, predict
from cunet.net.sizes import output_size
from cunet.net.unet import UNet
from cunet.ops import softmax_loss
from cunet.solvers.sgd import SGD

DROPOUT_SEED = 5  # of dropout, the same on both sides of a comparison


@dataclass
class Task:
    """The network and the images that all stages share, and how long to measure."""

    width: int = 64
    tile: int = 572
    forward_tile: int = 700
    depth: int = 4
    pairs: int = 7  # of turns
    turn: float = 0.15  # seconds that a side is timed for before it is the other side's turn
    numbers: int = 24 << 20  # random numbers, from which images and filters are cut
    calls: int = 10  # of a kernel in a graph
    parts: tuple[int, ...] = (1, 2, 3, 4, 6, 8)  # numbers of parts that convolutions try
    copied: int = 1 << 29  # bytes that are copied to see how fast memory is
    until: float = np.inf  # when everything must be over, on time.perf_counter

    def left(self) -> float:
        """Seconds until everything must be over."""
        return self.until - time.perf_counter()

    def net(self, **place: Any) -> UNet:
        """The untrained network, with the same weights on every device."""
        return UNet(width=self.width, depth=self.depth, seed=0, **place)

    def image(self, tile: int) -> np.ndarray:
        """x (1, H, W, 1)."""
        return np.random.default_rng(0).standard_normal((1, tile, tile, 1), np.float32)

    @cached_property
    def batch(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x (1, H, W, 1), labels (1, P, Q) int32 and weights (1, P, Q)."""
        rng, out = np.random.default_rng(1), output_size(self.tile, self.depth)
        labels = rng.integers(0, 2, (1, out, out)).astype(np.int32)
        return self.image(self.tile), labels, rng.random((1, out, out), np.float32) + 0.5

    @cached_property
    def noise(self) -> np.ndarray:
        """Normally distributed numbers."""
        return np.random.default_rng(2).standard_normal(self.numbers, np.float32)

    @cached_property
    def truth(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Logits without dropout and gradients with it, of the CPU in float32."""
        net = self.net()
        return net(self.batch[0], remember=False), gradients_by_hand(net, self.batch)


def gradients_by_hand(net: UNet, batch: tuple) -> dict[str, np.ndarray]:
    """Every gradient by its parameter's name, after a step operation by operation."""
    x, labels, weights = (to_device(a, net.device) for a in batch)
    logits, backward = net(x, np.random.default_rng(DROPOUT_SEED), remember="once")
    backward(softmax_loss.loss(logits, labels, weights)[1])
    return {p.name: to_host(p.grad) for p in net.parameters()}


def memory_watch() -> Any:
    """`with memory_watch() as held:` counts what arrays take on the GPU: held.most is the most
    bytes that were in use at one time, in all pools together."""

    class Watch(import_cupy().cuda.MemoryHook):  # type: ignore[misc]  # a base that is Any
        name = "cunet.bench"
        now = most = 0

        def malloc_postprocess(self, **event: Any) -> None:
            self.now += event["mem_size"]
            self.most = max(self.most, self.now)

        def free_postprocess(self, **event: Any) -> None:
            self.now -= event["mem_size"]

    return Watch()


class Ours:
    """The network as `cunet train` and `cunet segment` use it.

    times: for each job a function that does it n times and returns the milliseconds of one.
    peak: the bytes of a step: allocated, what arrays take at most; reserved, what the pools hold.
    """

    def __init__(self, task: Task, precision: str):
        with memory_watch() as held:  # of a step alone: predictions take memory of their own
            self.net = task.net(device="cuda", precision=precision)
            self.work = CapturedStep(
                self.net, SGD(self.net.parameters(), lr=LEARNING_RATE), "weights"
            )
            self.batch, stream = task.batch, self.work.place.stream
            self.step()
        reserved = import_cupy().get_default_memory_pool().total_bytes() + self.work.place.bytes()
        self.peak = {"allocated": held.most, "reserved": reserved}
        self.times = {
            "step": by_events(self.work.gradient, stream),
            "step with transfers": by_clock(self.step),
        }
        for side in dict.fromkeys((task.tile, task.forward_tile)):
            x = task.image(side)
            predict(self.net, x)
            _, graph = record_of(self.net).predictions[x.shape]
            self.times[f"forward {side}"] = by_events(graph, stream)
            self.times[f"forward {side} with transfers"] = by_clock(partial(predict, self.net, x))

    def step(self) -> None:
        """One training step, from a batch on the host to the loss on the host."""
        self.work.accumulate(self.batch, np.random.default_rng(DROPOUT_SEED))
        self.work.update()


def by_clock(call: Callable[[], Any]) -> Callable[[int], float]:
    """Milliseconds that a caller waits for one of n calls that wait for the GPU themselves."""

    def timer(number: int) -> float:
        start = time.perf_counter()
        for _ in range(number):
            call()
        return 1e3 * (time.perf_counter() - start) / number

    return timer


def in_turns(sides: dict[str, Callable[[int], float]], task: Task) -> dict:
    """Milliseconds of each side, and the ratio of the first side's to the second's, which is formed
    within each pair of turns."""
    number = {name: repeats(timer, task.turn) for name, timer in sides.items()}
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for i in range(task.pairs):
        for name in sides if i % 2 else reversed(sides):
            taken[name].append(sides[name](number[name]))
    result: dict = {n: {"median": float(np.median(v)), "all": v} for n, v in taken.items()}
    if len(sides) == 2:
        ours, theirs = taken.values()
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        result["ratio"] = summary(ratios)
    return result


def by_events(call: Callable[[], Any], stream: Any) -> Callable[[int], float]:
    """Milliseconds of the GPU for one of n calls that launch work on a stream."""

    def timer(number: int) -> float:
        device = import_cupy().cuda
        start, end = device.Event(), device.Event()
        start.record(stream)
        for _ in range(number):
            call()
        end.record(stream)
        end.synchronize()
        return device.get_elapsed_time(start, end) / number

    return timer


def repeats(timer: Callable[[int], float], seconds: float) -> int:
    """How many calls take about this long, after a few to warm up."""
    if seconds == 0:
        return 1
    timer(2)
    return min(1000, max(1, round(1e3 * seconds / max(timer(2), 1e-4))))


def problem_of_gpu() -> str | None:
    """Why the GPU no longer works; None where it does."""
    try:
        float((import_cupy().ones(2, np.float32) + 1).sum())
        import_cupy().cuda.Device().synchronize()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
