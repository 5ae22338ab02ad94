"""A learning rate that begins small.

Adam's first steps are as long as its later ones, whatever the gradient, and lead a network just
drawn to where most channels of its lowest levels are 0 on every image: no gradient passes a ReLU
that is closed, so they stay so (`cunet trace` counts them). A rate that rises to its value over the
first updates keeps more of them (Goyal et al. 2017, section 2.2, for SGD with large batches).
"""

from dataclasses import dataclass

from cunet.solvers.rates import LearningRate


@dataclass(frozen=True)
class LinearWarmup(LearningRate):
    """The rate of a policy, times 1/n, 2/n ... 1 in the first n = warmup updates. 0: as it is."""

    warmup: int = 0

    def __call__(self, done: int) -> float:
        rate = super().__call__(done)
        return rate if done >= self.warmup else rate * ((done + 1) / self.warmup)
