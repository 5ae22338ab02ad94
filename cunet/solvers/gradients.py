"""What every solver does with the gradients before its own rule: clip, average, decay."""

import math
from collections.abc import Callable

import numpy as np

from cunet.net.layers import Parameter
from cunet.threads import parallel


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
    if clip is not None:  # by the L2 norm of all gradients together
        squares = (float((p.grad * p.grad).sum(dtype="float64")) for p in parameters)
        if (norm := math.sqrt(sum(squares))) > clip:
            for p in parameters:
                p.grad *= clip / norm
    for p in parameters:
        if iter_size != 1:
            p.grad /= iter_size
        if weight_decay * p.decay_mult:
            p.grad += weight_decay * p.decay_mult * p.value
