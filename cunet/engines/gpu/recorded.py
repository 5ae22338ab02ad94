"""A network on a GPU's tensor cores as recorded work: one CUDA graph for a training step, and one
for the prediction of tiles of each shape."""

import math
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from cunet.backend import Array, array_module
from cunet.engines.gpu import softmax_loss
from cunet.engines.gpu.cuda import DTYPES
from cunet.engines.gpu.dropout import Keys
from cunet.engines.gpu.fresh import Fresh
from cunet.engines.gpu.fused import FIRST_SCALE, Fused, fused
from cunet.engines.gpu.graphs import Graph, Inbox
from cunet.engines.gpu.packing import Packed
from cunet.engines.gpu.record import Record, filters_of, forget, record_of
from cunet.engines.gpu.sample import DeviceSamples, HostBatches, sample_bytes
from cunet.errors import CunetError, NumericError

TILE_SHAPES_KEPT = 4  # of a net; the graphs of the oldest are dropped


class CapturedStep:
    """Training steps of a net: forward, weighted loss, backward and, with SGD or Adam, the update.

    Where a step averages several batches (iter_size), or the solver is one of the user's own, the
    update is not part of the graph, and gradients are added into each parameter's .grad as
    anywhere. Where it is, the gradients lie in arrays of the step (fresh.py) and no .grad is read
    or written. ignore: the label of pixels that count nowhere. samples: those that the GPU makes
    itself, in the graph, if it can; else batches are arrays. With float16 the loss is multiplied
    by a scale that keeps small gradients from vanishing; a step whose gradients overflow changes
    nothing but the scale.
    """

    def __init__(
        self,
        net: Any,
        solver: Any,
        normalize: str,
        ignore: int | None = None,
        samples: Any = None,
    ):
        self.net, self.solver, self.normalize, self.ignore = net, solver, normalize, ignore
        self.record, self.scaling = record_of(net), net.precision == "float16"
        self.place = self.record.place
        if self.scaling and not solver.recordable:
            raise CunetError(
                "precision float16 scales the loss, for cunet.SGD and cunet.Adam alone"
            )
        self.fused: Fused | None = None
        self.fresh: Fresh | None = None
        self.skipped, self.scale = 0.0, FIRST_SCALE if self.scaling else 1.0
        if solver.recordable:
            if solver.iter_size == 1:
                self.fresh = Fresh(solver.parameters)
            self.fused = fused(solver, self.scaling, self.fresh.arrays if self.fresh else None)
            self.rate = Inbox((1,), "float32", self.fused.rate)
            if self.scaling and solver.scaling is not None:
                self.fused.set_scale(*solver.scaling)
                self.scale, _, self.skipped = solver.scaling
        self.inside = self.fused if self.fresh else None  # its update is in the graph
        filters, dtype = filters_of(net), DTYPES[net.precision]
        # dx of a layer needs its filters as they lie, and comes before dw: so they share memory
        self.packed = Packed(filters, dtype, [self._room(w, dtype) for w in filters])
        own = self.fresh.parameters if self.fresh else ()
        # of the rest, made before anything is recorded that holds their addresses
        self.gradients = [p.grad for p in net.parameters() if p not in own]
        self.keys = Keys(2) if net.shape.dropout else None
        self.sample_bytes = 0 if samples is None else sample_bytes(samples)
        self.source = DeviceSamples(samples) if self.sample_bytes else HostBatches()
        self.written: tuple | None = None  # the batch that is ready to be sent
        self.gradient: Any = Graph(self.place, self._step)  # None once this is closed
        self.update_graph: Any = Graph(self.place, self.fused.step) if self.fused else None

    def _room(self, w: Array, dtype: np.dtype) -> Array:
        """Memory for a packed copy of w."""
        own = self.fresh.pairs.get(w.data.ptr, (None, None))[0] if self.fresh else None
        return array_module(w).empty(w.size, dtype) if own is None else own

    def accumulate(
        self,
        batch: tuple,
        rng: np.random.Generator,
        prepare: Callable[[], tuple | None] | None = None,
    ) -> float:
        """One forward and backward pass: adds into the gradients, returns the loss.

        batch: x (N, H, W, C), labels (N, P, Q), weights (N, P, Q), on the host, or where the GPU
        makes the samples their records. Where one batch makes a step the update is done as well, if
        the numbers are finite. prepare() is called for the next batch while the GPU works.
        """
        if (name := self.record.replaced(self.net)) is not None:
            raise CunetError(
                f"recorded step: the array of parameter '{name}' is another one than at first; "
                "write into it, as p.value[...] = values does, or make another step"
            )
        if self.fused is not None:
            self.fused.check()
        if self.written is not batch:
            self._write(batch)
        self.source.send(self.place)
        if self.keys is not None:
            self.keys.put(rng, self.place)
        if self.inside is not None:
            self._send_rate(self.inside)
        total = self.gradient()
        following = prepare() if prepare is not None else None
        if following is not None:
            self._write(following)
        self.place.stream.synchronize()
        loss = float(total.get()[0])
        if self.inside is not None and math.isfinite(loss):
            self._check(self.inside)
        return loss

    def update(self) -> float:
        """One update by the solver, unless accumulate has done it; returns the learning rate."""
        if self.fused is None:
            return self.solver.step()
        if self.inside is None:
            self._send_rate(self.fused)
            self.update_graph()
            self.place.stream.synchronize()
            self._check(self.fused)
        rate = self.solver.rate(self.solver.done)
        self.solver.done += 1
        return rate

    def _write(self, batch: tuple) -> None:
        self.source.write(batch)
        self.written = batch

    def batch(self) -> tuple:
        """x, labels and weights of the last batch, read back from the GPU."""
        return tuple(array.get() for array in self.source.arrays)

    def _send_rate(self, fused: Fused) -> None:
        self.rate.put(fused.next_rate(), self.place)

    def close(self) -> None:
        """Give the memory of this net's graphs back now, rather than when Python next looks for
        objects that hold each other."""
        self.gradient = self.update_graph = None
        forget(self.net)

    def _check(self, fused: Fused) -> None:
        """NumericError where an update was left out although the loss scale was 1 already."""
        scale, good, skipped = map(float, fused.read_scale())
        left_out, before = skipped > self.skipped, self.scale
        self.skipped, self.scale = skipped, scale
        if self.scaling:
            self.solver.scaling = [scale, good, skipped]
        if left_out and before <= 1:
            raise NumericError(
                "the gradient is not finite although the loss is. Lower --lr, clip the gradient "
                "with --clip 1, or use --precision float32"
            )

    def _step(self) -> Any:
        if self.keys is not None:
            self.keys.restart()
        scale = self.fused.loss_scale if self.fused is not None and self.scaling else None
        self.source.make()
        x, labels, weights = self.source.arrays
        with self.packed.ready(), self.fresh.written() if self.fresh else nullcontext():
            logits, backward = self.net(x, self.keys, remember="once")
            loss, dlogits = softmax_loss.loss(
                logits, labels, weights, self.ignore, self.normalize, scale
            )
            backward(dlogits)
        if self.inside is not None:
            self.inside.step()
        return loss


def step(
    net: Any, solver: Any, normalize: str, ignore: int | None = None, samples: Any = None
) -> CapturedStep:
    """The object that does the training steps of this net, as definition.step."""
    return CapturedStep(net, solver, normalize, ignore, samples)


def predict(net: Any, x: np.ndarray) -> np.ndarray:
    """The probabilities (N, P, Q, K) of images x (N, H, W, C), from the host to the host. Threads
    that share a net take turns."""
    record = record_of(net)
    with record.place.lock:
        inbox, graph = prediction(net, record, x.shape)
        inbox.put(x, record.place)
        p = graph()
        record.place.stream.synchronize()
        return p.get()


def prediction(net: Any, record: Record, shape: tuple[int, ...]) -> tuple[Inbox, Graph]:
    """Where images of this shape go, and the graph of their prediction."""
    made = record.predictions.get(shape)
    if made is None:
        if len(record.predictions) == TILE_SHAPES_KEPT:
            record.predictions.pop(next(iter(record.predictions)))
        fresh, packed = Inbox(shape, "float32"), record.packed
        still: Callable[[], Any] = weakref.ref(net)  # the record must not keep the net alive

        def work() -> Any:
            with packed.ready():
                return softmax_loss.softmax(still()(fresh.array, remember=False))

        made = record.predictions[shape] = fresh, Graph(record.place, work)
    return made
