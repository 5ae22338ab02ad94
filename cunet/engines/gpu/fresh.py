"""Gradients that are written, not added to: for recorded steps of one batch each.

There every parameter gets one gradient a step, so nothing has to be cleared or added. A step has
arrays of its own for them: outside of it a parameter's .grad is what it always is, and what the
step leaves in its arrays can get into no sum.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from cunet.backend import Array, array_module
from cunet.engines.gpu import packing
from cunet.errors import CunetError


class Fresh:
    """Arrays for the gradients of these parameters (layers.Parameter), in their order.

    Filters and biases of a layer have its name before the dot. The arrays of values must not be
    replaced.
    """

    def __init__(self, parameters: list[Any]):
        self.parameters = parameters
        self.arrays = [
            array_module(p.value).empty(p.value.shape, p.value.dtype) for p in parameters
        ]
        self.names = {a.data.ptr: p.name for p, a in zip(parameters, self.arrays, strict=True)}
        self.arrived: Counter[int] = Counter()
        # by the address of filters: the gradients of them and of their biases
        self.pairs: dict[int, tuple[Array | None, Array | None]] = {}
        both = list(zip(parameters, self.arrays, strict=True))
        of_biases = {p.name: array for p, array in both if p.value.ndim == 1}
        for p, dw in both:
            if p.value.ndim == 4:
                layer = p.name.rpartition(".")[0]
                self.pairs[p.value.data.ptr] = dw, of_biases.get(f"{layer}.biases")

    @contextmanager
    def written(self) -> Iterator[None]:
        """Inside, each parameter's .grad is the array of this step, and sums.add writes there.

        CunetError at the end where a parameter did not get exactly one gradient.
        """
        before = [vars(p).get("grad") for p in self.parameters]
        self.arrived.clear()
        token = _now.set(self)
        for p, own in zip(self.parameters, self.arrays, strict=True):
            p.grad = own
        try:
            yield
        finally:
            _now.reset(token)
            for p, grad in zip(self.parameters, before, strict=True):
                if grad is None:
                    del p.grad  # it is made when somebody asks for it
                else:
                    p.grad = grad
        for place, name in self.names.items():
            if self.arrived[place] != 1:
                raise CunetError(
                    f"recorded step: parameter '{name}' got {self.arrived[place]} gradients from "
                    "one batch, expected 1: each parameter belongs to one layer of the network"
                )

    def take(self, a: Array, b: Array) -> bool:
        """Make b the gradient a, if b is an array of this step; whether it is."""
        here, there = a.data.ptr, b.data.ptr
        if here != there and here in self.names:
            raise CunetError(
                f"recorded step: the gradient of '{self.names.get(there, 'another parameter')}' "
                f"was written to that of '{self.names[here]}'"
            )
        if there not in self.names:
            return False
        self.arrived[there] += 1
        if here != there:
            array_module(b).copyto(b, a)
        return True


_now: ContextVar[Fresh | None] = ContextVar("fresh", default=None)


def gradients_of(w: Array) -> tuple[Array | None, Array | None]:
    """Where to write dw and db of the layer whose filters are w; None where that is anywhere.

    CunetError where a packed copy of w, which may lie there, has not been used yet.
    """
    now = _now.get()
    if now is None:
        return None, None
    if packing.waiting(w):
        raise CunetError(
            f"recorded step: the gradient of filters {w.shape} comes before dx, which needs them"
        )
    return now.pairs.get(w.data.ptr, (None, None))


def took(a: Array, b: Array) -> bool:
    """Whether b is the array of a recorded step's gradient; it is a then."""
    now = _now.get()
    return now is not None and now.take(a, b)
