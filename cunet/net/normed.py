"""Batch normalization as a layer, with the ReLU that follows it, and the convolution before it."""

from typing import Any

from cunet.backend import Array
from cunet.net.layers import Backward, Conv, Maker, Parameter
from cunet.ops import batch_norm


class BareConv(Conv):
    """A convolution without biases and ReLU. The normalization behind it subtracts the mean, so a
    bias would cancel; beta takes its place."""

    def __init__(self, name: str, channels: int, outputs: int, make: Maker, padding: str):
        super().__init__(name, 3, channels, outputs, make, False, padding)  # biases stay zero

    def parameters(self) -> list[Parameter]:
        """Filters."""
        return [self.w]


class BatchNorm:
    """Each channel normalised, scaled and shifted, then the ReLU.

    In a training pass (run.train) a batch is normalised by its own statistics, and the running ones
    move towards these. In any other pass the running ones are used and stay as they are: a trained
    network is a function of its input alone.
    """

    def __init__(self, name: str, channels: int, make: Maker):
        self.name, self.engine = name, make.engine
        self.gamma = Parameter(f"{name}.gamma", make.constant(1, channels), 1, 0)
        self.beta = Parameter(f"{name}.beta", make.constant(0, channels), 1, 0)
        self.mean, self.variance = make.constant(0, channels), make.constant(1, channels)

    def parameters(self) -> list[Parameter]:
        """Gamma, beta."""
        return [self.gamma, self.beta]

    def __call__(self, x: Array, run: Any = None) -> tuple[Array, Backward]:
        gamma, beta, engine = self.gamma, self.beta, self.engine
        own = run is not None and run.train
        if own:
            m, v = engine.norm_statistics(x)
            batch_norm.running(self.mean, m)
            batch_norm.running(self.variance, batch_norm.unbiased(v, x.size // x.shape[3]))
        else:
            m, v = self.mean.copy(), self.variance.copy()  # as they are now, for backward
        y = engine.norm_forward(x, gamma.value, beta.value, m, v)

        def backward(dy: Array) -> Array:
            dx, dgamma, dbeta = engine.norm_backward(dy, x, y, gamma.value, m, v, own)
            engine.add(dgamma, gamma.grad)
            engine.add(dbeta, beta.grad)
            return dx

        return y, backward
