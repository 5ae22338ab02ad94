"""The kernels that are as fast as the memory, each timed alone on a GPU."""

from collections.abc import Callable

import numpy as np

from cunet.backend import array_module, to_device
from cunet.bench.gpu_layers import Clock, Data
from cunet.bench.gpu_side import Task
from cunet.bench.problems import Problem
from cunet.engines.gpu import cuda, dropout, elements, first_layer, head, max_pool, sums
from cunet.engines.gpu import softmax_loss as loss
from cunet.engines.gpu.fused import fused
from cunet.engines.gpu.packing import Packed
from cunet.engines.gpu.record import filters_of
from cunet.net.figure1 import rows
from cunet.net.shape import Shape
from cunet.net.sizes import output_size
from cunet.ops import crop_concat
from cunet.solvers.adam import Adam
from cunet.solvers.sgd import SGD


def small_kernels(task: Task, precision: str) -> list[dict]:
    """Milliseconds, and bytes a second, of every kernel that reads and writes memory once."""
    clock, dtype, made = Clock(task), cuda.DTYPES[precision], []
    width, tile, deep = task.width, task.tile, task.width << task.depth
    out, table = output_size(tile, task.depth), rows(Shape(task.width, task.depth), tile)
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
    moved, pooled = x1.nbytes + y.nbytes, max_pool.pool_forward(x)
    row("first layer", moved, lambda: first_layer.conv_forward(x1, w1, b1, relu=True))
    row("first layer by weights", moved, lambda: first_layer.by_weights(y, x1))
    row("pool", 1.25 * x.nbytes, lambda: max_pool.pool_forward(x))
    skip = crop_concat.centre(x, out + 4, out + 4).copy()
    moved = 2.25 * x.nbytes + skip.nbytes
    row("pool backward, with skip", moved, lambda: max_pool.pool_backward(pooled, x, pooled, skip))
    low, key = cut.image(bottom, deep, 3), to_device(np.ones(1, np.uint64), "cuda")
    row("drop", 2 * low.nbytes, lambda: dropout.drop(low, 0.5, key))
    row("column_sums", x.nbytes, lambda: sums.column_sums(x))
    z, w, b = cut.image(out, width, 4), cut.cut((1, 1, width, 2), 5), cut.cut((2,), 6)
    logits = head.conv_forward(z, w, b)
    row("head", z.nbytes + logits.nbytes, lambda: head.conv_forward(z, w, b))
    row("head backward", 2 * z.nbytes + logits.nbytes, lambda: head.conv_backward(logits, z, w))
    labels, weights = (to_device(a, "cuda") for a in task.batch[1:])
    moved = 2 * logits.nbytes + 2 * labels.nbytes + weights.nbytes
    row("loss", moved, lambda: loss.loss(logits, labels, weights, 255))
    row("softmax", 2 * logits.nbytes, lambda: loss.softmax(logits))
    filters = cut.cut((3, 3, deep // 2, deep), 7)
    moved = filters.size * (4 + dtype.itemsize)
    row("pack, transposed", moved, lambda: elements.pack(filters, dtype, True))
    row("add", 3 * filters.nbytes, lambda: sums.add(filters, filters))
    net = task.net(device="cuda", precision=precision)
    parameters, every = net.parameters(), filters_of(net)
    packed = Packed(every, dtype, [xp.empty(w.size, dtype) for w in every])

    def pack_all() -> None:
        with packed.ready():
            pass

    moved = sum(w.nbytes + 2 * dtype.itemsize * w.size for w in every)
    row("pack, all filters", moved, pack_all)
    nbytes = sum(p.value.nbytes for p in parameters)
    for name, solver, arrays in (("sgd", SGD(parameters), 6), ("adam", Adam(parameters), 8)):
        update = fused(solver, False, [xp.zeros_like(p.value) for p in parameters])
        row(f"{name}, all parameters", arrays * nbytes, update.step)
    return made
