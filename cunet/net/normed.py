"""Batch normalization as a layer, with the ReLU that follows it, and the convolution before it."""

from typing import Any

from cunet.backend import Array
from cunet.net.layers import Backward, Maker, Parameter
from cunet.ops import batch_norm


class BareConv:
    """A 3x3 convolution without biases and ReLU. The normalization behind it subtracts the mean, so
    a bias would cancel; beta takes its place."""

    def __init__(self, name: str, channels: int, outputs: int, make: Maker, padding: str):
        self.name, self.padding, self.engine = name, padding, make.engine
        self.w = make.filters(name, (3, 3, channels, outputs), 9 * channels)
        self.zeros = make.constant(0, outputs)

    def parameters(self) -> list[Parameter]:
        return [self.w]

    def __call__(self, x: Array | tuple[Array, ...], run: Any = None) -> tuple[Array, Backward]:
        w, engine = self.w, self.engine
        y = engine.conv_forward(x, w.value, self.zeros, self.padding)

        def backward(dy: Array, input_gradient: bool = True) -> Array | None:
            dx, dw, _ = engine.conv_backward(dy, x, w.value, None, self.padding, input_gradient)
            engine.add(dw, w.grad)
            return dx

        return y, backward


class BatchNorm:
    """Each channel normalised, scaled and shifted, then the ReLU.

    In a training pass (run.train) a batch is normalised by its own statistics, and the running ones
    move towards these. In any other pass the running ones are used and stay as they are: a trained
    network is a function of its input alone. newest: the last batch's own, for training/passes.py.
    """

    def __init__(self, name: str, channels: int, make: Maker):
        self.name, self.engine = name, make.engine
        self.gamma = Parameter(f"{name}.gamma", make.constant(1, channels), 1, 0)
        self.beta = Parameter(f"{name}.beta", make.constant(0, channels), 1, 0)
        self.mean, self.variance = make.constant(0, channels), make.constant(1, channels)

    def parameters(self) -> list[Parameter]:
        return [self.gamma, self.beta]

    def __call__(self, x: Array, run: Any = None) -> tuple[Array, Backward]:
        gamma, beta, engine = self.gamma, self.beta, self.engine
        own = run is not None and run.train
        if own:
            m, v = engine.norm_statistics(x)
            self.newest = m, batch_norm.unbiased(v, x.size // x.shape[3])
            batch_norm.running(self.mean, m)
            batch_norm.running(self.variance, self.newest[1])
        else:
            m, v = self.mean.copy(), self.variance.copy()  # as they are now, for backward
        y = engine.norm_forward(x, gamma.value, beta.value, m, v)

        def backward(dy: Array) -> Array:
            dx, dgamma, dbeta = engine.norm_backward(dy, x, y, gamma.value, m, v, own)
            engine.add(dgamma, gamma.grad)
            engine.add(dbeta, beta.grad)
            return dx

        return y, backward
