"""Every convolution of the network alone on a GPU, by every kernel that can do it.

Short kernels are over before Python has launched the next one. So calls are recorded as one graph,
as they are in a step, and its replays are timed. The time of a convolution includes rounding
and transposing its filters, and adding partial sums.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from cunet.backend import Array, array_module, to_device
from cunet.bench.gpu_side import Task, by_events, problem_of_gpu, repeats
from cunet.bench.gpu_ways import Asked, label, others, remembering
from cunet.bench.problems import TURN_SECONDS, Problem
from cunet.engines import definition
from cunet.engines.gpu import convolution, elements
from cunet.engines.gpu import up_conv as gpu_up_conv
from cunet.engines.gpu.graphs import Graph, Place
from cunet.engines.images import as_images
from cunet.errors import DeviceError
from cunet.ops import crop_concat, up_conv

ERROR_LIMITS = {"tf32": 1e-3, "float16": 1e-3, "bfloat16": 8e-3}  # of errors, L2: a rounding


class Clock:
    """clock(call): milliseconds of the GPU for a call that only launches kernels."""

    def __init__(self, task: Task):
        self.place, self.task = Place(), task

    def __call__(self, call: Callable[[], Any]) -> float:
        def work() -> None:
            for _ in range(self.task.calls):
                call()

        timer = by_events(Graph(self.place, work), self.place.stream)
        timer(1)  # records the graph
        number = repeats(timer, min(TURN_SECONDS, self.task.turn))
        times = [timer(number) for _ in range(min(3, self.task.pairs))]
        return float(np.median(times)) / self.task.calls


class Data:
    """The arrays of a problem in a precision, cut from one long array of random numbers."""

    def __init__(self, problem: Problem, precision: str, noise: Array):
        self.p, self.noise, self.precision = problem, noise, precision
        c, k, size = sum(problem.channels), problem.outputs, 2 if problem.up else 3
        self.w = self.cut((size, size, c, k), 1) * np.float32((2 / (size * size * c)) ** 0.5)
        self.b = self.cut((k,), 2)
        self.dy = elements.to_elements(self.cut((1, problem.out, problem.out, k), 3), precision)
        self.x = self.image(problem.side, problem.channels[0], 4)
        if problem.outer:
            skip = self.image(problem.outer, problem.channels[1], 5)
            self.x = crop_concat.forward(self.x, skip)

    def cut(self, shape: tuple[int, ...], number: int) -> Array:
        """Normally distributed float32, aligned as CuPy does; another `number` gives other ones."""
        count, start = int(np.prod(shape)), 1024 * number
        while start + count > self.noise.size:  # repetitions do no harm
            self.noise = array_module(self.noise).concatenate((self.noise, self.noise))
        return self.noise[start : start + count].reshape(shape)

    def image(self, side: int, channels: int, number: int) -> Array:
        """An activation as a ReLU leaves it."""
        x = self.cut((1, side, side, channels), number)
        return elements.to_elements(array_module(x).maximum(x, 0), self.precision)

    def calls(self) -> dict[str, Callable[[], Any]]:
        """The operations of ours that are timed."""
        x, w, b, dy = self.x, self.w, self.b, self.dy
        if self.p.up:
            return {
                "forward": lambda: gpu_up_conv.up_forward(x, w, b),
                "backward": lambda: gpu_up_conv.up_backward(dy, x, w),
            }
        return {
            "forward": lambda: convolution.conv_forward(x, w, b, relu=True),
            "by data": lambda: convolution.by_data(dy, w, x),
            "by weights": lambda: convolution.by_weights(dy, x, (3, 3)),
        }

    def expected(self) -> dict[str, tuple[Array, ...]]:
        """The same by definition, in float32, from the numbers that the tensor cores see."""
        xp = array_module(self.w)
        w = elements.to_floats(elements.to_elements(self.w, self.precision))
        x = tuple(elements.to_floats(xp.ascontiguousarray(part)) for part in as_images(self.x))
        dy = elements.to_floats(self.dy)
        if self.p.up:
            dx, dw, db = up_conv.backward(dy, x[0], w)
            dx, y = xp.where(x[0] > 0, dx, 0), up_conv.forward(x[0], w, self.b)
            return {"forward": (y,), "backward": (dx, dw, db)}
        dx, dw, db = definition.conv_backward(dy, x, w)
        masked = xp.where(x[-1] > 0, dx[..., -x[-1].shape[3] :], 0)
        return {
            "forward": (definition.conv_forward(x, w, self.b, relu=True),),
            "by data": (dx[..., : x[0].shape[3]], masked) if len(x) > 1 else (masked,),
            "by weights": (dw, db),
        }


def error(found: Any, expected: tuple[Array, ...]) -> float:
    """The largest relative L2 error of the arrays found; NaN where one is not finite."""
    worst = 0.0
    for a, b in zip(found if isinstance(found, tuple) else (found,), expected, strict=True):
        a = a if a.dtype == np.float32 else elements.to_floats(a)
        off, size = (float((v * v).sum(dtype="float64")) for v in (a - b, b))
        worst = float(np.maximum(worst, (off / size) ** 0.5))  # NaN stays
    return worst


def layer(task: Task, precision: str, problem: Problem, theirs: Callable[..., dict] | None) -> dict:
    """Times, errors and choices of a convolution; theirs: what times the same in PyTorch."""
    clock, data = Clock(task), Data(problem, precision, to_device(task.noise, "cuda"))
    row: dict[str, Any] = {**vars(problem), "out": problem.out, "ours": {}}
    expected = data.expected()
    for what, call in data.calls().items():
        row["ours"][what] = sweep(
            what, call, expected[what], clock, problem, ERROR_LIMITS[precision]
        )
    if theirs is not None:
        row["torch"] = theirs(problem, precision, task)
    return row


def sweep(
    what: str, call: Callable, expected: tuple, clock: Clock, problem: Problem, limit: float
) -> dict:
    """One operation with the tile and parts that cunet chooses, and with all others. wrong: those
    that fail, or whose results are further from the expected ones than `limit`."""
    asked: Asked = []
    call()  # the first of a precision compiles, and checks the card by a convolution of its own
    with remembering(asked):
        off = error(call(), expected)
        chosen = label(asked[0][2]) if asked else "x1"
    ms = clock(call)
    flops = problem.flops * (2 if what == "backward" else 1)
    result: dict[str, Any] = {"ms": ms, "tflops": flops / ms / 1e9, "error": off, "chosen": chosen}
    tried: dict[str, float] = {chosen: ms}
    wrong: dict[str, float | str] = {} if off <= limit else {chosen: off}
    for name, way in others(asked, clock.task.parts):
        if name == chosen or clock.task.left() < 3:
            continue
        try:
            with way:
                off = error(call(), expected)
                if off <= limit:
                    tried[name] = clock(call)
                else:
                    wrong[name] = off
        except Exception as failure:
            wrong[name] = f"{type(failure).__name__}: {failure}"[:300]
            if (lost := problem_of_gpu()) is not None:
                raise DeviceError(f"{what} by {name}: {wrong[name]}; {lost}") from failure
    best = min(tried, key=tried.__getitem__)
    return result | {"best": best, "best_ms": tried[best], "tried": tried, "wrong": wrong}
