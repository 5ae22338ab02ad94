"""Caffe's learning-rate policies (sgd_solver.cpp), and cosine."""

import math
from dataclasses import dataclass

from cunet.checks import fields
from cunet.core_checks import RATE
from cunet.errors import CunetError

POLICIES = ("fixed", "step", "exp", "inv", "multistep", "poly", "sigmoid", "cosine")


@dataclass(frozen=True)
class LearningRate:
    """The rate as a function of completed updates; words as in Caffe's solver. cosine, which Caffe
    lacks, falls from base to 0 at max_iter along half a cosine. CunetError for another policy.

        rate = cunet.LearningRate(1e-3, "step", gamma=0.1, stepsize=5000)
    """

    base: float
    policy: str = "fixed"
    gamma: float = 0.1
    power: float = 1.0
    stepsize: int = 1000
    stepvalues: tuple[int, ...] = ()
    max_iter: int = 1

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise CunetError(f"lr policy: expected one of {POLICIES}, found '{self.policy}'")
        fields(self, RATE)

    def __call__(self, done: int) -> float:
        base, gamma = self.base, self.gamma
        match self.policy:
            case "step":
                return base * gamma ** (done // self.stepsize)
            case "exp":
                return base * gamma**done
            case "inv":
                return base * (1 + gamma * done) ** -self.power
            case "multistep":
                return base * gamma ** self._multistep_stage(done)
            case "poly":
                return base * (1 - min(1, done / self.max_iter)) ** self.power
            case "sigmoid":
                # base / (1 + exp(-gamma (done - stepsize))), in a form that cannot overflow
                return base * (1 + math.tanh(gamma * (done - self.stepsize) / 2)) / 2
            case "cosine":
                return base * (1 + math.cos(math.pi * min(1, done / self.max_iter))) / 2
        return base

    def _multistep_stage(self, done: int) -> int:
        """Caffe raises its stage by one at most per update, even where two values coincide."""
        stage, last = 0, -1
        for value in self.stepvalues:
            last = max(value, last + 1)
            stage += last <= done
        return stage
