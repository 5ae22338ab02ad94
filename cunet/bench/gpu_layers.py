"""Every convolution of the network alone on a GPU, by every kernel that can do it, and the kernels
that are as fast as memory: stages of bench_cuda.py.

Short kernels are over before Python has launched the next one. So calls are recorded as one graph,
as they are in a step, and its replays are timed. The time of a convolution has in it that its
filters are rounded and transposed, and that partial sums are added.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any
from unittest.mock import patch

import numpy as np

from cunet.backend import Array, array_module, import_cupy, to_device
from cunet.bench.gpu_side import by_events, repeats
from cunet.bench.problems import TURN, Problem
from cunet.engines.gpu import (
    convolution,
    cuda,
    dropout,
    elements,
    first_layer,
    head,
    max_pool,
    softmax_loss,
    sums,
)
from cunet.engines.gpu import up_conv as up_conv_
from cunet.engines.gpu.graphs import Graph, Place
from cunet.engines.gpu.sgd import FusedSGD
from cunet.errors import DeviceError
from cunet.net.figure1 import rows
from cunet.net.sizes import output_size
from cunet.ops import conv, crop_concat, up_conv

SHARES = (0.25, 0.5, 1, 2, 4)  # of the parts that the gradient of filters is summed in
LIMITS = {"tf32": 1e-3, "float16": 1e-3, "bfloat16": 8e-3}  # of errors, L2: a rounding


class Clock:
    """clock(call): milliseconds of the GPU for a call that only launches kernels."""

    def __init__(self, task: Any):
        self.place, self.task = Place(), task

    def __call__(self, call: Callable[[], Any]) -> float:
        def work() -> None:
            for _ in range(self.task.calls):
                call()

        timer = by_events(Graph(self.place, work), self.place.stream)
        timer(1)  # records the graph
        number = repeats(timer, min(TURN, self.task.turn))
        times = [timer(number) for _ in range(min(3, self.task.pairs))]
        return float(np.median(times)) / self.task.calls


class Data:
    """What a problem takes and gives, in a precision, from one row of random numbers."""

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
        """Normal numbers (float32), aligned as CuPy aligns; others for another number."""
        count, start = int(np.prod(shape)), 1024 * number
        while start + count > self.noise.size:  # repeated: no kernel minds
            self.noise = array_module(self.noise).concatenate((self.noise, self.noise))
        return self.noise[start : start + count].reshape(shape)

    def image(self, side: int, channels: int, number: int) -> Array:
        """An activation as a ReLU leaves it."""
        x = self.cut((1, side, side, channels), number)
        return elements.to_elements(array_module(x).maximum(x, 0), self.precision)

    def calls(self) -> dict[str, Callable[[], Any]]:
        """What is timed: ours."""
        x, w, b, dy = self.x, self.w, self.b, self.dy
        if self.p.up:
            return {
                "forward": lambda: up_conv_.up_forward(x, w, b),
                "backward": lambda: up_conv_.up_backward(dy, x, w),
            }
        return {
            "forward": lambda: convolution.forward(x, w, b, relu=True),
            "by data": lambda: convolution.backward_data(dy, w, x=x),
            "by weights": lambda: convolution.backward_weights(x, dy, (3, 3)),
        }

    def expected(self) -> dict[str, tuple[Array, ...]]:
        """The same by definition, in float32, from the numbers as the tensor cores see them."""
        xp, w = (
            array_module(self.w),
            elements.to_floats(elements.to_elements(self.w, self.precision)),
        )
        x = tuple(elements.to_floats(xp.ascontiguousarray(part)) for part in conv.as_images(self.x))
        dy = elements.to_floats(self.dy)
        if self.p.up:
            dx, dw, db = up_conv.backward(dy, x[0], w)
            dx, y = xp.where(x[0] > 0, dx, 0), up_conv.forward(x[0], w, self.b)
            return {"forward": (y,), "backward": (dx, dw, db)}
        dx = conv.backward_data(dy, w)
        masked = xp.where(x[-1] > 0, dx[..., -x[-1].shape[3] :], 0)
        return {
            "forward": (conv.forward(x, w, self.b, relu=True),),
            "by data": (dx[..., : x[0].shape[3]], masked) if len(x) > 1 else (masked,),
            "by weights": conv.backward_weights(x, dy, (3, 3)),
        }


def error(found: Any, expected: tuple[Array, ...]) -> float:
    """The largest of the answers' L2 errors, relative; NaN where one is not finite."""
    worst = 0.0
    for a, b in zip(found if isinstance(found, tuple) else (found,), expected, strict=True):
        a = a if a.dtype == np.float32 else elements.to_floats(a)
        off, size = (float((v * v).sum(dtype="float64")) for v in (a - b, b))
        worst = float(np.maximum(worst, (off / size) ** 0.5))  # NaN stays
    return worst


def problem_of_gpu() -> str | None:
    """Why the GPU does not answer any more; None where it does."""
    try:
        float((import_cupy().ones(2, np.float32) + 1).sum())
        import_cupy().cuda.Device().synchronize()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def peer(name: str) -> Any:
    """What PyTorch's side has under this name; its module cannot be imported without PyTorch."""
    return getattr(import_module("cunet.bench.gpu_pytorch"), name)


def layer(task: Any, precision: str, problem: Problem, against: str | None) -> dict:
    """Times, errors and choices of a convolution, and PyTorch's times of the same."""
    clock, data = Clock(task), Data(problem, precision, to_device(task.noise, "cuda"))
    row, expected = {**vars(problem), "out": problem.out, "ours": {}}, data.expected()
    for what, call in data.calls().items():
        row["ours"][what] = sweep(what, call, expected[what], clock, problem, LIMITS[precision])
    if against:
        row["torch"] = peer("layer_times")(problem, precision, task)
    return row


def sweep(
    what: str, call: Callable, expected: tuple, clock: Clock, problem: Problem, limit: float
) -> dict:
    """One operation as it is chosen, and by all other tiles and parts. wrong: those that fail, or
    whose answers lie further from the expected ones than `limit`."""
    asked, task, label = [], clock.task, "{0[0].prefix}{0[0].rows}x{0[0].columns}/{0[1]}".format
    choose, count = convolution.choose, cuda.processors

    def remembering(*sizes: int) -> tuple:
        asked.append((sizes, choose(*sizes)))
        return asked[-1][1]

    with patch.object(convolution, "choose", remembering):
        off = error(call(), expected)
        chosen = label(asked[0][1]) if asked else "x1"
        ms = clock(call)
    flops = problem.flops * (2 if what == "backward" else 1)
    result = {"ms": ms, "tflops": flops / ms / 1e9, "error": off, "chosen": chosen}
    tried, wrong, ways = {chosen: ms}, {} if off <= limit else {chosen: off}, {}
    if asked:
        (pixels, channels, steps), _ = asked[0]
        for tile in convolution.tiles():
            grid = cuda.blocks(pixels, tile.rows) * cuda.blocks(channels, tile.columns)
            for parts in task.parts:
                way = tile, parts
                if parts == 1 or (parts <= steps // 4 and grid * (parts - 1) < 2 * count()):
                    ways[label(way)] = convolution, "choose", lambda *a, way=way: way
    for share in SHARES if not asked else ():
        many = max(1, int(share * count()))
        ways[f"x{share:g}"] = cuda, "processors", lambda many=many: many
    for name, way in ways.items():
        if name == chosen or task.left() < 3:
            continue
        with patch.object(*way):
            try:
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


def small_kernels(task: Any, precision: str) -> list[dict]:
    """Milliseconds and bytes a second of what reads and writes memory once."""
    clock, dtype, made = Clock(task), cuda.DTYPES[precision], []
    width, tile, deep = task.width, task.tile, task.width << task.depth
    out, table = output_size(tile, task.depth), rows(task.width, task.depth, tile)
    cut = Data(Problem("", False, 3, (8,), 8, 0), precision, to_device(task.noise, "cuda"))
    bottom = next(r for r in table if r.name == f"contract{task.depth}.conv2").shape[0]

    def row(name: str, moved: float, call: Callable) -> None:
        ms = clock(call)
        made.append({"name": name, "bytes": moved, "ms": ms, "bytes_per_s": 1e3 * moved / ms})

    xp = array_module(cut.noise)
    source, target = (xp.ones(task.copied // 4, np.float32) for _ in range(2))
    row("copy", 2 * source.nbytes, lambda: xp.copyto(target, source))
    picture = cut.cut((1, tile, tile, 1), 0)
    x1 = elements.to_elements(picture, precision)
    w1, b1 = cut.cut((3, 3, 1, width), 1), cut.cut((width,), 2)
    x, y = cut.image(tile - 4, width, 1), cut.image(tile - 2, width, 2)
    row("to_elements", 4 * x1.size + x1.nbytes, lambda: elements.to_elements(picture, precision))
    row("first layer", x1.nbytes + y.nbytes, lambda: first_layer.forward(x1, w1, b1, relu=True))
    moved, pooled = x1.nbytes + y.nbytes, max_pool.pool_forward(x)
    row("first layer by weights", moved, lambda: first_layer.backward_weights(x1, y, (3, 3)))
    row("pool", 1.25 * x.nbytes, lambda: max_pool.pool_forward(x))
    skip = crop_concat.centre(x, out + 4, out + 4).copy()
    moved = 2.25 * x.nbytes + skip.nbytes
    row("pool backward, with skip", moved, lambda: max_pool.pool_backward(pooled, x, pooled, skip))
    low, key = cut.image(bottom, deep, 3), to_device(np.ones(1, np.uint64), "cuda")
    row("drop", 2 * low.nbytes, lambda: dropout.drop(low, 0.5, key))
    row("column_sums", x.nbytes, lambda: sums.column_sums(x))
    z, w, b = cut.image(out, width, 4), cut.cut((1, 1, width, 2), 5), cut.cut((2,), 6)
    logits = head.forward(z, w, b)
    row("head", z.nbytes + logits.nbytes, lambda: head.forward(z, w, b))
    row("head backward", 2 * z.nbytes + logits.nbytes, lambda: head.backward(z, logits, w))
    labels, weights = (to_device(a, "cuda") for a in task.batch[1:])
    moved = 2 * logits.nbytes + 2 * labels.nbytes + weights.nbytes
    row("loss", moved, lambda: softmax_loss.loss(logits, labels, weights, 255))
    row("softmax", 2 * logits.nbytes, lambda: softmax_loss.softmax(logits))
    filters = cut.cut((3, 3, deep // 2, deep), 7)
    moved = filters.size * (4 + dtype.itemsize)
    row("pack, transposed", moved, lambda: elements.pack(filters, dtype, True))
    row("add", 3 * filters.nbytes, lambda: sums.add(filters, filters))
    parameters = task.net(device="cuda", precision=precision).parameters()
    velocity = [xp.zeros_like(p.value) for p in parameters]
    solver = FusedSGD(parameters, velocity, 0.99, 0.0, None, 1, False)
    row("sgd, all parameters", 6 * sum(p.value.nbytes for p in parameters), solver.step)
    return made
