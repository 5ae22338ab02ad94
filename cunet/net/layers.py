"""Layers: operations of an engine (cunet/engines) with their parameters. A layer is called with x
and the pass (run.py), and returns (y, backward); backward(dy) adds into its parameters' .grad and
returns dx. What it must remember is freed with the closure it lives in."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from cunet.backend import Array, array_module, to_device
from cunet.net.shown import ShownParameter

Backward = Callable[..., Any]


class Parameter(ShownParameter):
    """An array that is learned, its gradient (made when first used), Caffe's two multipliers."""

    grad = cached_property(lambda p: array_module(p.value).zeros(p.value.shape, p.value.dtype))

    def __init__(self, name: str, value: Array, lr_mult: float = 1, decay_mult: float = 1):
        self.name, self.value, self.lr_mult, self.decay_mult = name, value, lr_mult, decay_mult


class Maker:
    """What all layers of a net are made with: random numbers, a dtype, a device, an engine."""

    def __init__(self, seed: int, dtype: str, device: str, engine: Any):
        self.rng, self.dtype = np.random.default_rng(seed), dtype
        self.device, self.engine = device, engine

    def filters(self, name: str, shape: tuple[int, ...], incoming: int) -> Parameter:
        """Normal numbers of standard deviation sqrt(2 / incoming nodes): section 3 of the paper."""
        drawn = self.rng.standard_normal(shape) * np.sqrt(2 / incoming)
        return Parameter(f"{name}.filters", to_device(drawn.astype(self.dtype), self.device))

    def biases(self, name: str, count: int) -> Parameter:
        """Zeros; as in the authors' files they learn twice as fast and do not decay."""
        return Parameter(f"{name}.biases", self.constant(0, count), 2, 0)

    def constant(self, value: float, count: int) -> Array:
        """`count` times one value."""
        return to_device(np.full(count, value, self.dtype), self.device)


class Conv:
    """A size x size convolution, followed by a ReLU where relu is true."""

    def __init__(self, name: str, size: int, channels: int, outputs: int, make: Maker, relu=True,
                 padding="valid"):  # fmt: skip
        self.name, self.relu, self.padding, self.engine = name, relu, padding, make.engine
        self.w = make.filters(name, (size, size, channels, outputs), size * size * channels)
        self.b = make.biases(name, outputs)

    def parameters(self) -> list[Parameter]:
        return [self.w, self.b]

    def __call__(self, x: Array | tuple[Array, ...], run: Any = None) -> tuple[Array, Backward]:
        w, b, engine = self.w, self.b, self.engine
        y = engine.conv_forward(x, w.value, b.value, self.padding, self.relu)
        kept = y if self.relu else None  # from which the engine sees where the ReLU passed

        def backward(dy: Array, input_gradient: bool = True) -> Array | None:
            dx, dw, db = engine.conv_backward(dy, x, w.value, kept, self.padding, input_gradient)
            engine.add(dw, w.grad)  # w.grad += dw
            engine.add(db, b.grad)
            return dx

        return y, backward


class UpConv:
    """A 2x2 up-convolution, followed by a ReLU where relu is true."""

    def __init__(self, name: str, channels: int, outputs: int, make: Maker, relu: bool = False):
        # an output pixel sees one input pixel: `channels` nodes (Caffe would take 4 * outputs)
        self.name, self.relu, self.engine = name, relu, make.engine
        self.w = make.filters(name, (2, 2, channels, outputs), channels)
        self.b = make.biases(name, outputs)

    def parameters(self) -> list[Parameter]:
        return [self.w, self.b]

    def __call__(self, x: Array, run: Any = None) -> tuple[Array, Backward]:
        w, b, engine = self.w, self.b, self.engine
        y = engine.up_forward(x, w.value, b.value, self.relu)
        kept = y if self.relu else None

        def backward(dy: Array) -> Array:
            dx, dw, db = engine.up_backward(dy, x, w.value, kept)
            engine.add(dw, w.grad)
            engine.add(db, b.grad)
            return dx

        return y, backward


class Pool:
    """2x2 max-pooling; backward(dy, beside) adds what came back by another way, x's centre."""

    def __init__(self, make: Maker):
        self.engine = make.engine

    def __call__(self, x: Array, run: Any = None) -> tuple[Array, Backward]:
        y = self.engine.pool_forward(x)
        return y, lambda dy, beside=None: self.engine.pool_backward(dy, x, y, beside)


class Dropout:
    """Dropout with a 64-bit key drawn from run.rng; the identity without rng or at rate 0."""

    def __init__(self, rate: float, make: Maker):
        self.rate, self.engine = rate, make.engine

    def __call__(self, x: Array, run: Any = None) -> tuple[Array, Backward]:
        if run is None or run.rng is None or self.rate == 0:
            return x, lambda dy: dy
        y, kept = self.engine.drop_forward(x, self.rate, run.rng.integers(2**64, dtype=np.uint64))
        return y, lambda dy: self.engine.drop_backward(dy, kept)
