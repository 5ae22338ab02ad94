"""The solvers on a GPU, over all parameters at once: the wrappers of solver.cu.

Three launches for a whole net. Nothing is read by the host, not even whether the gradient
was finite, so that an update can be part of a recorded step.
"""

import math
from typing import Any

import numpy as np

from cunet.backend import Array, array_module
from cunet.engines.gpu.cuda import launch
from cunet.engines.gpu.elements import THREADS
from cunet.errors import CunetError

PIECE_VALUES = 16384  # that a block takes
FIRST_SCALE, LARGEST_SCALE = 2.0**16, 2.0**24  # of the loss, for float16
UPDATES_BEFORE_DOUBLING = 2000  # good ones with a loss scale, before it is doubled


class Fused:
    """The updates of a solver (solvers.SGD, Adam) whose parameters are float32 on one GPU.

    scaling: gradients come multiplied by `loss_scale` (an array of one float32); where they are not
    finite the update is left out and the scale halved, and after 2000 good updates it is doubled.
    gradients: the arrays that hold them, which are written anew for every update; by default each
    parameter's .grad, which is cleared. The caller writes next_rate() into `rate` (an array of one
    float32) before step(). No array of values, gradients and the solver may be replaced by another.
    """

    kernel = ""  # of solver.cu, for the rule

    def __init__(self, solver: Any, scaling: bool, gradients: list[Array] | None = None):
        parameters = solver.parameters
        self.solver, self.scaling, self.clear = solver, scaling, gradients is None
        if gradients is None:
            gradients = [p.grad for p in parameters]
        self.arrays = [[p.value for p in parameters], gradients, *self.states()]
        xp = array_module(parameters[0].value)
        table = pieces(parameters, self.arrays)
        self.table, self.pieces = xp.asarray(table), len(table)
        self.squares = xp.empty(len(table), np.float64)
        self.factor = xp.empty(1, np.float32)
        first = FIRST_SCALE if scaling else 1
        self.state = xp.asarray(np.array([0, first, 0, 0], np.float32))
        self.rate, self.loss_scale = self.state[0:1], self.state[1:2]
        self.recorded = self.settings()

    def states(self) -> list[list[Array]]:
        """What the solver keeps of every parameter: one list of arrays, or two."""
        raise NotImplementedError

    def constants(self) -> tuple[float, ...]:
        """The rule's own numbers, as its kernel takes them."""
        raise NotImplementedError

    def settings(self) -> tuple:
        """All that a recorded update has fixed."""
        solver = self.solver
        multipliers = ((p.lr_mult, p.decay_mult) for p in solver.parameters)
        return solver.clip, solver.iter_size, solver.weight_decay, *self.constants(), *multipliers

    def check(self) -> None:
        """CunetError where settings were changed since, which a recorded update would not know."""
        if self.settings() != self.recorded:
            raise CunetError(
                "recorded step: clip, momentum, weight_decay or another setting of the solver, or "
                "a parameter's multiplier, was changed since the step was made; make another step"
            )

    def next_rate(self) -> float:
        """What the next update multiplies its steps by."""
        return self.solver.rate(self.solver.done)

    def step(self) -> None:
        """One update of all parameters."""
        table, state, solver = self.table, self.state, self.solver
        launch(None, "gradient_squares", self.pieces, THREADS, table, state, self.squares)
        launch(
            None, "clip_factor", 1, THREADS, self.squares, self.pieces, state, self.factor,
            -1.0 if solver.clip is None else float(solver.clip), float(solver.iter_size),
            self.scaling, UPDATES_BEFORE_DOUBLING, LARGEST_SCALE,
        )  # fmt: skip
        launch(
            None, self.kernel, self.pieces, THREADS, table, state, self.factor,
            float(solver.weight_decay), self.clear, *self.constants(),
        )  # fmt: skip

    def read_scale(self) -> np.ndarray:
        """For a checkpoint: the loss scale, the good updates since it changed, and how many updates
        were left out, as 3 float32."""
        return self.state.get()[1:]

    def set_scale(self, scale: float, good: float = 0, skipped: float = 0) -> None:
        """Go on from the three numbers that read_scale returned."""
        self.state[1:].set(np.array([scale, good, skipped], np.float32))


class FusedSGD(Fused):
    """The updates of solvers.SGD."""

    kernel = "sgd_update"

    def states(self) -> list[list[Array]]:
        return [self.solver.velocity]

    def constants(self) -> tuple[float, ...]:
        return (float(self.solver.momentum),)


class FusedAdam(Fused):
    """The updates of solvers.Adam."""

    kernel = "adam_update"

    def states(self) -> list[list[Array]]:
        return [self.solver.m, self.solver.v]

    def constants(self) -> tuple[float, ...]:
        b1, b2 = float(self.solver.momentum), float(self.solver.momentum2)
        return b1, 1 - b1, b2, 1 - b2, float(self.solver.delta)  # 1 - b2 in float32 would be coarse

    def next_rate(self) -> float:
        """The learning rate times the correction. Updates that were left out do not count: m and v
        are as they were before."""
        left_out = int(self.solver.scaling[2]) if self.solver.scaling else 0
        t = max(1, self.solver.done + 1 - left_out)
        b1, b2 = self.solver.momentum, self.solver.momentum2
        return super().next_rate() * math.sqrt(1 - b2**t) / (1 - b1**t)


RULES: dict[str, type[Fused]] = {"sgd": FusedSGD, "adam": FusedAdam}


def fused(solver: Any, scaling: bool, gradients: list[Array] | None = None) -> Fused:
    """The updates of a solver, by its attribute `recordable`; see Fused."""
    return RULES[solver.recordable](solver, scaling, gradients)


def pieces(parameters: list, arrays: list[list[Array]]) -> np.ndarray:
    """The table of solver.cu, a row of 6 uint64 to a Piece: up to four addresses, how many values,
    and the two multipliers, which are float32. arrays: values, gradients, and the solver's own."""
    rows = []
    for p, *own in zip(parameters, *arrays, strict=True):
        multipliers = np.array([p.lr_mult, p.decay_mult], np.float32).view(np.uint64)[0]
        places = [array.data.ptr for array in own]
        for first in range(0, p.value.size, PIECE_VALUES):
            count = min(PIECE_VALUES, p.value.size - first)
            addresses = [place + 4 * first for place in places] + [0] * (4 - len(places))
            rows.append([*addresses, count, multipliers])
    return np.array(rows, np.uint64)
