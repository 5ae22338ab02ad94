"""Adam (Kingma and Ba 2015) in Caffe's form (adam_solver.cpp), with t = completed updates + 1:

    m <- b1 m + (1 - b1) g;    v <- b2 v + (1 - b2) g^2
    W <- W - rate * lr_mult * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + delta)

Clipping, iter_size and weight decay act on g beforehand, as in gradients.py.
"""

import math

from cunet.backend import Array, array_module
from cunet.core_checks import of_solver
from cunet.net.layers import Parameter
from cunet.net.shown import ShownSolver
from cunet.solvers.gradients import prepare_gradients
from cunet.solvers.rates import LearningRate
from cunet.threads import for_each


class Adam(ShownSolver):
    """The solver over a list of parameters; see SGD for lr, clip, iter_size and step().

    solver = cunet.Adam(net.parameters(), lr=1e-4)
    """

    recordable, scaling = "adam", None  # see SGD

    @of_solver
    def __init__(
        self, parameters: list[Parameter], lr: float | LearningRate = 1e-3, momentum: float = 0.9,
        momentum2: float = 0.999, delta: float = 1e-8, weight_decay: float = 0.0,
        clip: float | None = None, iter_size: int = 1,
    ):  # fmt: skip
        self.parameters = parameters
        self.rate = lr if isinstance(lr, LearningRate) else LearningRate(lr)
        self.momentum, self.momentum2, self.delta = momentum, momentum2, delta
        self.weight_decay, self.clip, self.iter_size = weight_decay, clip, iter_size
        self.done = 0  # completed updates
        self.m = [array_module(p.value).zeros_like(p.value) for p in parameters]
        self.v = [array_module(p.value).zeros_like(p.value) for p in parameters]

    def step(self) -> float:
        """One update; returns the learning rate it used."""
        rate, t = self.rate(self.done), self.done + 1
        b1, b2 = self.momentum, self.momentum2
        correction = math.sqrt(1 - b2**t) / (1 - b1**t)
        prepare_gradients(self.parameters, self.clip, self.iter_size, self.weight_decay)

        def update(p: Parameter, m: Array, v: Array) -> None:
            m *= b1
            m += (1 - b1) * p.grad
            v *= b2
            v += (1 - b2) * p.grad * p.grad
            root = array_module(v).sqrt(v)
            root += self.delta
            p.value -= rate * p.lr_mult * correction * m / root
            p.grad.fill(0)

        for_each(update, self.parameters, self.m, self.v)
        self.done = t
        return rate

    def state(self) -> dict[str, Array]:
        """The arrays that a resumed solver needs, by name."""
        names = [p.name for p in self.parameters]
        first = {f"m/{name}": m for name, m in zip(names, self.m, strict=True)}
        return first | {f"v/{name}": v for name, v in zip(names, self.v, strict=True)}
