"""Caffe's stochastic gradient descent and its learning-rate policies (sgd_solver.cpp).

    g <- clip(g);  g <- g / iter_size;  g <- g + weight_decay * decay_mult * W
    V <- momentum * V + rate * lr_mult * g
    W <- W - V

The rate stands inside V, so a drop of the rate does not shrink the steps already under way.
With momentum 0.99 the effective step is rate / (1 - momentum) = 100 rate.
"""

import math
from collections.abc import Callable

import numpy as np

from cunet.backend import Array, array_module
from cunet.net.layers import Parameter
from cunet.solvers.rates import LearningRate
from cunet.threads import parallel


class SGD:
    """The solver over a list of parameters. lr: a number (fixed policy) or a LearningRate.

    clip: largest global L2 norm of the gradient (None: off). iter_size: how many backward passes
    one update averages. step() updates every parameter and clears its gradient.
    """

    def __init__(
        self,
        parameters: list[Parameter],
        lr: float | LearningRate = 1e-3,
        momentum: float = 0.99,
        weight_decay: float = 0.0,
        clip: float | None = None,
        iter_size: int = 1,
    ):
        self.parameters = parameters
        self.rate = lr if isinstance(lr, LearningRate) else LearningRate(lr)
        self.momentum, self.weight_decay = momentum, weight_decay
        self.clip, self.iter_size = clip, iter_size
        self.done = 0  # completed updates
        # with float16: loss scale, good updates since it changed, updates left out
        self.scaling: list[float] | None = None
        self.velocity = [array_module(p.value).zeros_like(p.value) for p in parameters]

    def step(self) -> float:
        """One update; answers the learning rate it used."""
        rate = self.rate(self.done)
        prepare_gradients(self.parameters, self.clip, self.iter_size, self.weight_decay)

        def update(p: Parameter, v: Array) -> None:
            p.grad *= rate * p.lr_mult
            v *= self.momentum
            v += p.grad
            p.value -= v
            p.grad.fill(0)

        for_each(update, self.parameters, self.velocity)
        self.done += 1
        return rate

    def state(self) -> dict[str, Array]:
        """The arrays that a resumed solver needs, by name."""
        return {
            f"velocity/{p.name}": v for p, v in zip(self.parameters, self.velocity, strict=True)
        }


def for_each(update: Callable[..., None], parameters: list[Parameter], *states: list) -> None:
    """update(parameter, its states): several at a time on the CPU, in turn on a device."""
    together = list(zip(parameters, *states, strict=True))
    if all(isinstance(p.value, np.ndarray) for p in parameters):
        together.sort(key=lambda one: one[0].value.size, reverse=True)  # the longest work first
        parallel(lambda one: update(*one), together)
    else:
        for one in together:
            update(*one)


def prepare_gradients(
    parameters: list[Parameter], clip: float | None, iter_size: int, weight_decay: float
) -> None:
    """Caffe's order, in place: clip the accumulated gradients, average them, add L2 decay."""
    if clip is not None:
        norm = gradient_norm(parameters)
        if norm > clip:
            for p in parameters:
                p.grad *= clip / norm
    for p in parameters:
        if iter_size != 1:
            p.grad /= iter_size
        if weight_decay * p.decay_mult:
            p.grad += weight_decay * p.decay_mult * p.value


def gradient_norm(parameters: list[Parameter]) -> float:
    """The L2 norm of all gradients together."""
    return math.sqrt(sum(float((p.grad * p.grad).sum(dtype="float64")) for p in parameters))
