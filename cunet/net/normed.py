"""A convolution with batch normalization."""

import numpy as np

from cunet import engines
from cunet.backend import Array, array_module, to_device
from cunet.engines import cpu
from cunet.net.layers import Parameter, he_normal
from cunet.ops import batch_norm


class NormedConv:
    """A convolution without biases, batch normalization, and a ReLU.

    A bias would be taken away again with the mean; beta stands in its place. What is remembered for
    a backward pass is normalised by its own statistics, and the running ones move towards these;
    with remember=False the running ones are used: a trained network is a function of its input
    alone.
    """

    def __init__(
        self,
        name: str,
        size: int,
        channels: int,
        outputs: int,
        rng: np.random.Generator,
        *,
        padding: str = "valid",
        dtype: str = "float32",
        device: str = "cpu",
    ):
        shape = size, size, channels, outputs
        filters = to_device(he_normal(rng, shape, size * size * channels, dtype), device)
        one, zero = (to_device(np.full(outputs, i, dtype), device) for i in (1, 0))
        self.name, self.padding = name, padding
        self.w = Parameter(f"{name}.filters", filters)
        self.gamma = Parameter(f"{name}.gamma", one, 1, 0)
        self.beta = Parameter(f"{name}.beta", zero, 1, 0)
        self.mean, self.variance = zero.copy(), one.copy()  # running

    def parameters(self) -> list[Parameter]:
        """Filters, gamma, beta."""
        return [self.w, self.gamma, self.beta]

    def __call__(self, x: Array | tuple[Array, ...], remember: bool | str = True) -> tuple:
        w, gamma, beta = self.w, self.gamma, self.beta
        algorithm = engines.choose(w.value)
        z = algorithm.forward(
            x, w.value, array_module(w.value).zeros_like(beta.value), self.padding
        )
        if not remember:
            y = cpu.norm_forward(z, gamma.value, beta.value, self.mean, self.variance)
            return y, None
        m, v = cpu.norm_statistics(z)
        batch_norm.running(self.mean, m)
        batch_norm.running(self.variance, batch_norm.unbiased(v, z.size // z.shape[3]))
        y = cpu.norm_forward(z, gamma.value, beta.value, m, v)

        def backward(dy: Array, input_gradient: bool = True) -> Array | None:
            nonlocal x, y, z
            dz, dgamma, dbeta = cpu.norm_backward(dy, z, y, gamma.value, m, v)
            if remember == "once":
                y = z = None
            dx, dw, _ = algorithm.backward(x, dz, w.value, self.padding, input_gradient)
            if remember == "once":
                x = None
            cpu.add(dw, w.grad)
            gamma.grad += dgamma
            beta.grad += dbeta
            return dx

        return y, backward
