"""Checks and times of the network on a GPU, alone or in pairs with PyTorch, for `cunet bench`.

The work is cut into stages. One that fails is recorded and the rest goes on; the document is handed
out after each, so nothing is lost where time runs out; one for which too little time is left is
skipped. All is one process: on a GPU libraries do not disturb each other as threads on a CPU do.

Times in milliseconds. Without more words a time is the GPU's own, between two events, of work that
lies ready on it; "with transfers" is what a caller waits for, from arrays on the host to answers on
the host. A step is forward with dropout, weighted loss, backward, and SGD with momentum 0.99; no
side clips its gradients.
"""

import gc
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from importlib.util import find_spec
from itertools import product
from typing import Any

import numpy as np

from cunet import bench_cuda_layers as single
from cunet.backend import import_cupy, resolve_device, to_device, to_host
from cunet.bench_worker import RATE
from cunet.captured import CapturedStep, predict
from cunet.errors import CunetError, DeviceError
from cunet.kernels import cuda
from cunet.layers import weighted_softmax_loss
from cunet.precision import obstacle
from cunet.sgd import SGD
from cunet.sizes import check_tile, output_size
from cunet.unet import UNet

BESIDE = {"tf32": "tf32", "float16": "bfloat16", "bfloat16": "bfloat16"}  # PyTorch's closest
ORDER = ("tf32", "bfloat16", "float16")  # the most telling first
KEY = 5  # of dropout, the same on both sides of a comparison


@dataclass
class Task:
    """The network and the images that all stages share."""

    width: int = 64
    tile: int = 572
    forward_tile: int = 700
    depth: int = 4
    pairs: int = 7
    turn: float = 0.15  # seconds that a side is timed for before the other one has its turn
    numbers: int = 24 << 20  # random ones, from which images and filters are cut
    calls: int = 10  # of a kernel in a graph
    parts: tuple[int, ...] = (1, 2, 3, 4, 6, 8)  # that convolutions are tried with
    copied: int = 1 << 29  # bytes, to see how fast memory is
    until: float = np.inf  # on time.perf_counter

    def left(self) -> float:
        """Seconds until everything must be over."""
        return self.until - time.perf_counter()

    def net(self, **place: Any) -> UNet:
        """The untrained network, the same weights wherever it is."""
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
        """Normal numbers."""
        return np.random.default_rng(2).standard_normal(self.numbers, np.float32)

    @cached_property
    def truth(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Logits without dropout and gradients with it, of the CPU in float32."""
        net = self.net()
        return net(self.batch[0], remember=False), gradients_by_hand(net, self.batch)


def gradients_by_hand(net: UNet, batch: tuple) -> dict[str, np.ndarray]:
    """Every gradient by its parameter's name, after a step operation by operation."""
    x, labels, weights = (to_device(a, net.device) for a in batch)
    logits, backward = net(x, np.random.default_rng(KEY), remember="once")
    backward(weighted_softmax_loss(logits, labels, weights)[1])
    return {p.name: to_host(p.grad) for p in net.parameters()}


def agreement(task: Task, precision: str) -> dict:
    """How far logits (largest difference of the largest) and gradients (L2, of all parameters
    together, and of the worst) lie from the CPU's."""
    net, (logits, truth) = task.net(device="cuda", precision=precision), task.truth
    if precision == "float32":
        found = gradients_by_hand(net, task.batch)
    else:  # the recorded step; of two batches to an update, so that the gradients stay
        work = CapturedStep(net, SGD(net.parameters(), lr=RATE, iter_size=2), "weights")
        work.accumulate(task.batch, np.random.default_rng(KEY))
        scale = float(work.fused.loss_scale.get()[0]) if work.scaling else 1.0
        found = {p.name: p.grad.get() / np.float32(scale) for p in net.parameters()}
    there = to_host(net(to_device(task.batch[0], "cuda"), remember=False))
    off, size = (
        np.array([np.linalg.norm(a) for a in arrays])
        for arrays in ([found[name] - truth[name] for name in truth], truth.values())
    )
    worst = int(np.argmax(off / size))  # a NaN, where there is one
    return {
        "logits": float(np.abs(there - logits).max() / np.abs(logits).max()),
        "gradients": float(np.linalg.norm(off) / np.linalg.norm(size)),
        "worst": {"parameter": list(truth)[worst], "error": float((off / size)[worst])},
    }


class Ours:
    """The network as `cunet train` and `cunet segment` use it. times: for each job a function that
    does it n times and answers milliseconds for one. peak: bytes that a step takes."""

    def __init__(self, task: Task, precision: str):
        self.net = task.net(device="cuda", precision=precision)
        self.work = CapturedStep(self.net, SGD(self.net.parameters(), lr=RATE), "weights")
        self.batch, stream = task.batch, self.work.place.stream
        self.step()
        self.times = {
            "step": single.by_events(self.work.gradient, stream),
            "step with transfers": by_clock(self.step),
        }
        # of a step alone: predictions take memory of their own; pools give nothing back
        pool = import_cupy().get_default_memory_pool()
        self.peak = {"reserved": pool.total_bytes() + self.net.place.bytes()}
        for side in dict.fromkeys((task.tile, task.forward_tile)):
            x = task.image(side)
            predict(self.net, x)
            _, graph = self.net.predictions[x.shape]
            self.times[f"forward {side}"] = single.by_events(graph, stream)
            self.times[f"forward {side} with transfers"] = by_clock(
                lambda x=x: predict(self.net, x)
            )

    def step(self) -> None:
        """One training step, from a batch on the host to the loss on the host."""
        self.work.accumulate(self.batch, np.random.default_rng(KEY))
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
    """Milliseconds of each side, and the first side's time as a share of the second's, formed
    within each pair of turns."""
    number = {name: single.repeats(timer, task.turn) for name, timer in sides.items()}
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for i in range(task.pairs):
        for name in sides if i % 2 else reversed(sides):
            taken[name].append(sides[name](number[name]))
    result: dict = {n: {"median": float(np.median(v)), "all": v} for n, v in taken.items()}
    if len(sides) == 2:
        every = np.divide(*taken.values())
        names = {"median": np.median, "lowest": np.min, "highest": np.max}
        result["ratio"] = {name: float(of(every)) for name, of in names.items()}
    return result


def alone(task: Task, precision: str) -> dict:
    """Times of our side, and the memory that its step takes."""
    ours = Ours(task, precision)
    times = {job: in_turns({"cunet": timer}, task)["cunet"] for job, timer in ours.times.items()}
    return {"milliseconds": times, "bytes": ours.peak}


def beside(task: Task, precision: str, compiled: bool = False) -> dict:
    """Times in pairs with PyTorch."""
    return single.peer("beside")(task, precision, BESIDE[precision], compiled)


def card() -> dict[str, Any]:
    """The GPU and its software."""
    cupy, asked = import_cupy(), ("driverGetVersion", "runtimeGetVersion")
    return {
        "name": cuda.name(),
        "compute_capability": cuda.capability() / 10,
        "multiprocessors": cuda.processors(),
        "memory_bytes": int(cupy.cuda.runtime.memGetInfo()[1]),
        "driver_and_runtime": [getattr(cupy.cuda.runtime, n, int)() for n in asked],
        "cupy": getattr(cupy, "__version__", None),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "cunet": version("cunet"),
    }


def compile_kernels(precision: str) -> None:
    """Load the kernels; the stage is short where they are kept from before."""
    cuda.module(precision, import_cupy().cuda.Device().id)


def stages(
    task: Task, precisions: tuple[str, ...], against: str | None, layers: bool
) -> Iterator[tuple[str, float, Callable[[], Any]]]:
    """Name, the seconds that it takes at most on a large card, and the work itself, in order."""
    for p in precisions:
        yield f"compile {p}", 30, partial(compile_kernels, p)
    for p in ("float32", *precisions):
        yield f"agreement {p}", 20, partial(agreement, task, p)
    for p in precisions:
        yield f"alone {p}", 15, partial(alone, task, p)
    if against:
        for p in precisions:
            yield f"beside torch {p}", 40, partial(beside, task, p)
        yield "products of torch", 10, lambda: single.peer("products")(task)
    if layers:
        every = list(single.problems(task.width, task.depth, task.tile))
        for p, one in product([p for p in ORDER if p in precisions], every):
            yield f"layer {p} {one.name}", 5, partial(single.layer, task, p, one, against)
        for p in precisions:
            yield f"small kernels {p}", 10, partial(single.small_kernels, task, p)
    if against:
        for p in [p for p in precisions if BESIDE[p] == p]:
            yield f"beside torch.compile {p}", 90, partial(beside, task, p, True)


def measure(
    width: int = 64,
    tile: int = 572,
    forward_tile: int = 700,
    precisions: tuple[str, ...] = ("tf32", "float16", "bfloat16"),
    against: str | None = None,
    layers: bool = True,
    say: Callable[[str], None] = lambda text: None,
    deadline_seconds: float = 540,
    keep: Callable[[dict], None] = lambda document: None,
    document: dict | None = None,
    **settings: Any,
) -> dict:
    """Everything that `cunet bench --device cuda` says, ready for JSON.

    keep(document) is called before and after every stage. document: an earlier one to go on with,
    whose stages are not done again. settings: other fields of Task. DeviceError where the GPU does
    not answer any more after a stage that failed.
    """
    resolve_device("cuda")
    if against is not None and find_spec("torch") is None:
        raise CunetError("bench --against torch: PyTorch is not installed here")
    start = time.perf_counter()
    task = Task(width, tile, forward_tile, until=start + deadline_seconds, **settings)
    for side in (tile, forward_tile):
        check_tile(side, task.depth)
    if (why := obstacle("cuda", width, 1, 2)) is not None:
        raise CunetError(f"bench: what is measured on a GPU is its tensor cores, but {why}")
    document = {} if document is None else document
    document.setdefault("card", card())
    document |= {"width": width, "depth": task.depth, "tile": tile, "forward_tile": forward_tile}
    for part in ("results", "failed", "skipped", "seconds"):
        document.setdefault(part, {})
    for name, needed, work in stages(task, tuple(precisions), against, layers):
        if any(name in document[part] for part in ("results", "failed", "skipped")):
            continue
        if task.left() < needed:
            document["skipped"][name] = f"{task.left():.0f} s were left"
            continue
        document["running"] = name
        keep(document)
        say(f"{time.perf_counter() - start:4.0f} s  {name}")
        began = time.perf_counter()
        try:
            document["results"][name] = work()
        except Exception as error:  # whatever it is, the other stages are measured
            document["failed"][name] = f"{type(error).__name__}: {error}"[:2000]
            say(f"        failed: {document['failed'][name]}")
        document["seconds"][document.pop("running")] = round(time.perf_counter() - began, 2)
        keep(document)
        if (problem := clean_up()) is not None:
            raise DeviceError(f"bench: after stage '{name}' the GPU does not answer: {problem}")
    keep(document)
    return document


def clean_up() -> str | None:
    """Give memory back; why the GPU cannot go on, None where it can."""
    gc.collect()
    if (problem := single.problem_of_gpu()) is None:
        import_cupy().get_default_memory_pool().free_all_blocks()
    return problem
