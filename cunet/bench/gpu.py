"""Checks and times of the network on a GPU, alone or in pairs with PyTorch, for `cunet bench`.

The work is done in stages. A stage that fails is recorded, and the others go on. The document is
handed out after each stage, so that nothing is lost when time runs out; a stage for which too
little time is left is skipped. Both sides run in one process: on a GPU libraries do not disturb
each other as their threads do on a CPU.

Times in milliseconds. Unless noted, times are GPU times between two events, with the work already
queued; "with transfers" is what a caller waits for, from arrays on the host to results on the
host. A step is forward with dropout, weighted loss, backward, and SGD with momentum 0.99; no side
clips its gradients.
"""

import gc
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from typing import Any

import numpy as np

from cunet.backend import import_cupy, resolve_device, to_device, to_host
from cunet.bench import gpu_layers, problems
from cunet.bench.cpu_side import LEARNING_RATE, installed
from cunet.bench.gpu_side import (
    DROPOUT_SEED,
    Ours,
    Task,
    gradients_by_hand,
    in_turns,
    problem_of_gpu,
)
from cunet.bench.gpu_small_kernels import small_kernels
from cunet.engines import obstacle
from cunet.engines.gpu import cuda
from cunet.engines.gpu.recorded import CapturedStep
from cunet.errors import CunetError, DeviceError
from cunet.net.shape import Shape
from cunet.net.tiles import check_tile
from cunet.solvers.sgd import SGD

PYTORCH_PRECISION = {
    "tf32": "tf32",
    "float16": "bfloat16",
    "bfloat16": "bfloat16",
}  # PyTorch's closest
TELLING_ORDER = ("tf32", "bfloat16", "float16")  # the most telling first
COMPILED_STAGE_SECONDS = 90  # seconds that a comparison with torch.compile may take

Stage = tuple[str, float, Callable[[], Any]]  # name, seconds at most on a large card, the work


def compile_kernels(precisions: Iterable[str], architectures: Iterable[str] = ()) -> None:
    """Compile the kernels that are not on disk yet, all at the same time: NVRTC releases Python's
    lock. architectures: such as "sm_90a"; by default the current GPU's own."""
    names = tuple(architectures) or (cuda.architecture(cuda.capability()),)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda pair: cuda.compiled(*pair), product(precisions, names)))


def agreement(task: Task, precision: str) -> dict:
    """The relative differences from the CPU: the largest one of the logits; those of the gradients
    in L2, over all parameters together and of the worst parameter."""
    net, (logits, truth) = task.net(device="cuda", precision=precision), task.truth
    if precision == "float32":
        found = gradients_by_hand(net, task.batch)
    else:  # the recorded step; with two batches to an update, so that the gradients stay
        work = CapturedStep(net, SGD(net.parameters(), lr=LEARNING_RATE, iter_size=2), "weights")
        work.accumulate(task.batch, np.random.default_rng(DROPOUT_SEED))
        scale = 1.0
        if work.fused is not None and work.scaling:
            scale = float(work.fused.loss_scale.get()[0])
        found = {p.name: p.grad.get() / np.float32(scale) for p in net.parameters()}
    there = to_host(net(to_device(task.batch[0], "cuda"), remember=False))
    off, size = (
        np.array([np.linalg.norm(a) for a in arrays])
        for arrays in ([found[name] - truth[name] for name in truth], truth.values())
    )
    worst = int(np.argmax(off / size))  # of a NaN, if there is one
    return {
        "logits": float(np.abs(there - logits).max() / np.abs(logits).max()),
        "gradients": float(np.linalg.norm(off) / np.linalg.norm(size)),
        "worst": {"parameter": list(truth)[worst], "error": float((off / size)[worst])},
    }


def alone(task: Task, precision: str) -> dict:
    """Times of our side, and the memory that its step takes."""
    ours = Ours(task, precision)
    times = {job: in_turns({"cunet": timer}, task)["cunet"] for job, timer in ours.times.items()}
    return {"milliseconds": times, "bytes": ours.peak}


def peer(name: str) -> Callable[..., Any]:
    """The function of PyTorch's side with this name; that module needs PyTorch."""
    return getattr(import_module("cunet.bench.gpu_pytorch"), name)


def beside(task: Task, precision: str, seconds: float = np.inf, compiled: bool = False) -> dict:
    """Times in pairs with PyTorch."""
    return peer("beside")(task, precision, PYTORCH_PRECISION[precision], seconds, compiled)


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
        "cunet": installed("cunet"),
    }


def stages(
    task: Task, precisions: tuple[str, ...], torch: bool, layers: bool, more: Iterable[Stage]
) -> Iterator[Stage]:
    """All stages, the most telling first; `more` before the single layers."""
    ordered = [p for p in TELLING_ORDER if p in precisions]
    yield "compile", 40, partial(compile_kernels, precisions)
    for p in ("float32", *ordered):
        yield f"agreement {p}", 20, partial(agreement, task, p)
    for p in ordered:
        yield f"alone {p}", 15, partial(alone, task, p)
    if torch:
        for p in ordered:
            yield f"beside eager {p}", 40, partial(beside, task, p)
        for p in [p for p in ordered if PYTORCH_PRECISION[p] == p]:
            seconds = COMPILED_STAGE_SECONDS
            yield f"beside compiled {p}", seconds, partial(beside, task, p, seconds, True)
    yield from more
    if torch:
        yield "products of torch", 10, lambda: peer("products")(task)
    if layers:
        every = list(problems.problems(task.width, task.depth, task.tile))
        theirs = (lambda *problem: peer("layer_times")(*problem)) if torch else None
        for p, one in product(ordered, every):
            yield f"layer {p} {one.name}", 5, partial(gpu_layers.layer, task, p, one, theirs)
        for p in ordered:
            yield f"small kernels {p}", 10, partial(small_kernels, task, p)


def chosen(every: list[Stage], only: tuple[str, ...]) -> list[Stage]:
    """The stages whose names begin with one of `only`, in its order; all where it is empty."""
    if not only:
        return every
    return [stage for prefix in only for stage in every if stage[0].startswith(prefix)]


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
    more: Iterable[Stage] = (),
    only: tuple[str, ...] = (),
    **settings: Any,
) -> dict:
    """Everything that `cunet bench --device cuda` reports, ready for JSON.

    keep(document) is called before and after every stage. document: an earlier one to go on with,
    whose stages are not done again. more: further stages; only: do the stages whose names begin so,
    in this order. settings: other fields of Task. DeviceError where the GPU no
    longer works after a stage that failed.
    """
    resolve_device("cuda")
    if against is not None and find_spec("torch") is None:
        raise CunetError("bench --against torch: PyTorch is not installed here")
    start = time.perf_counter()
    task = Task(width, tile, forward_tile, until=start + deadline_seconds, **settings)
    for side in (tile, forward_tile):
        check_tile(side, task.depth)
    if (why := obstacle("cuda", Shape(width))) is not None:
        raise CunetError(f"bench: on a GPU tensor cores are measured, but {why}")
    document = {} if document is None else document
    document.setdefault("card", card())
    document |= {"width": width, "depth": task.depth, "tile": tile, "forward_tile": forward_tile}
    for part in ("results", "failed", "skipped", "seconds"):
        document.setdefault(part, {})
    every = list(stages(task, tuple(precisions), against is not None, layers, more))
    for name, needed, work in chosen(every, only):
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
            raise DeviceError(f"bench: after stage '{name}' the GPU no longer works: {problem}")
    keep(document)
    return document


def clean_up() -> str | None:
    """Give memory back; return why the GPU cannot go on, None where it can."""
    gc.collect()
    if (problem := problem_of_gpu()) is None:
        import_cupy().get_default_memory_pool().free_all_blocks()
    return problem
