"""Caffe's stochastic gradient descent (sgd_solver.cpp).

    g <- clip(g);  g <- g / iter_size;  g <- g + weight_decay * decay_mult * W
    V <- momentum * V + rate * lr_mult * g
    W <- W - V

The rate stands inside V, so a drop of the rate does not shrink the steps already under way. On a
constant gradient g the step grows to rate g (1 + m + m^2 + ...) = rate g / (1 - m) for momentum m:
100 rate g for 0.99, half of it after 69 updates.
"""

from cunet.backend import Array, array_module
from cunet.core_checks import of_solver
from cunet.net.layers import Parameter
from cunet.net.shown import ShownSolver
from cunet.solvers.gradients import prepare_gradients
from cunet.solvers.rates import LearningRate
from cunet.threads import for_each


class SGD(ShownSolver):
    """The solver over a list of parameters. lr: a number (fixed policy) or a LearningRate.

    clip: largest L2 norm of all gradients, summed over the iter_size backward passes that an update
    averages (None: off). step() updates every parameter and clears its gradient.

        solver = cunet.SGD(net.parameters(), lr=1e-3, momentum=0.99)
    """

    recordable = "sgd"  # what engines/gpu/fused.py calls this update, as part of a recorded step

    @of_solver
    def __init__(
        self, parameters: list[Parameter], lr: float | LearningRate = 1e-3, momentum: float = 0.99,
        weight_decay: float = 0.0, clip: float | None = None, iter_size: int = 1,
    ):  # fmt: skip
        self.parameters = parameters
        self.rate = lr if isinstance(lr, LearningRate) else LearningRate(lr)
        self.momentum, self.weight_decay = momentum, weight_decay
        self.clip, self.iter_size = clip, iter_size
        self.done = 0  # completed updates
        # of float16 on a GPU, kept here for resuming: loss scale, updates since, updates left out
        self.scaling: list[float] | None = None
        self.velocity = [array_module(p.value).zeros_like(p.value) for p in parameters]

    def step(self) -> float:
        """One update; returns the learning rate it used."""
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
