"""Caffe's SGD on a GPU, over all parameters at once: the wrapper of solver.cu.

Three launches for a whole net. Nothing is read by the host, not even whether the gradient
was finite, so that an update can be part of a recorded step.
"""

import numpy as np

from cunet.backend import Array, array_module
from cunet.engines.gpu.cuda import launch
from cunet.engines.gpu.elements import THREADS

PIECE_VALUES = 16384  # that a block takes
FIRST_SCALE, LARGEST_SCALE = 2.0**16, 2.0**24  # of the loss, for float16
UPDATES_BEFORE_DOUBLING = 2000  # good ones with a loss scale, before it is doubled


class FusedSGD:
    """sgd.SGD over parameters (layers.Parameter) whose arrays are float32 on one GPU.

    clip: largest global L2 norm of the gradient (None: off). iter_size: how many backward passes
    one update averages. scaling: gradients come multiplied by `loss_scale` (an array of one
    float32); where they are not finite the update is left out and the scale halved, and after 2000
    good updates it is doubled. The caller writes the learning rate into `rate` (an array of one
    float32) before step(). The arrays of values, gradients and velocities must not be
    replaced by others.
    """

    def __init__(
        self,
        parameters: list,
        velocity: list[Array],
        momentum: float,
        weight_decay: float,
        clip: float | None,
        iter_size: int,
        scaling: bool,
    ):
        xp = array_module(parameters[0].value)
        table = pieces(parameters, velocity)
        self.arrays = [(p.value, p.grad, v) for p, v in zip(parameters, velocity, strict=True)]
        self.momentum, self.weight_decay = float(momentum), float(weight_decay)
        self.clip, self.iter_size, self.scaling = clip, iter_size, scaling
        self.table, self.pieces = xp.asarray(table), len(table)
        self.squares = xp.empty(len(table), np.float64)
        self.factor = xp.empty(1, np.float32)
        first = FIRST_SCALE if scaling else 1
        self.state = xp.asarray(np.array([0, first, 0, 0], np.float32))
        self.rate, self.loss_scale = self.state[0:1], self.state[1:2]

    def step(self) -> None:
        """One update of all parameters; their gradients are cleared."""
        table, state = self.table, self.state
        launch(None, "gradient_squares", self.pieces, THREADS, table, state, self.squares)
        launch(
            None, "clip_factor", 1, THREADS, self.squares, self.pieces, state, self.factor,
            -1.0 if self.clip is None else float(self.clip), float(self.iter_size), self.scaling,
            UPDATES_BEFORE_DOUBLING, LARGEST_SCALE,
        )  # fmt: skip
        launch(
            None, "sgd_update", self.pieces, THREADS, table, state, self.factor, self.momentum,
            self.weight_decay,
        )  # fmt: skip

    def read_scale(self) -> np.ndarray:
        """For a checkpoint: the loss scale, the good updates since it changed, and how many updates
        were left out, as 3 float32."""
        return self.state.get()[1:]

    def set_scale(self, scale: float, good: float = 0, skipped: float = 0) -> None:
        """Go on from the three numbers that read_scale returned."""
        self.state[1:].set(np.array([scale, good, skipped], np.float32))


def pieces(parameters: list, velocity: list[Array]) -> np.ndarray:
    """The table of solver.cu, a row of 5 uint64 to a Piece: three addresses, how many values, and
    the two multipliers, which are float32."""
    rows = []
    for p, v in zip(parameters, velocity, strict=True):
        multipliers = np.array([p.lr_mult, p.decay_mult], np.float32).view(np.uint64)[0]
        places = [array.data.ptr for array in (p.value, p.grad, v)]
        for first in range(0, p.value.size, PIECE_VALUES):
            count = min(PIECE_VALUES, p.value.size - first)
            rows.append([*(place + 4 * first for place in places), count, multipliers])
    return np.array(rows, np.uint64)
