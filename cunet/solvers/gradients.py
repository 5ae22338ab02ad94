"""What every solver does with the gradients before its own rule: clip, average, decay."""

import math

from cunet.net.layers import Parameter


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
