"""Gradients of a whole network along random directions, against differences of its loss."""

import numpy as np

import cunet
from cunet.net import gradcheck
from cunet.ops import softmax_loss


def off_kinks(net, rng):
    """Biases that are not zero, which would put many ReLUs on their kink."""
    for p in net.parameters():
        if p.value.ndim == 1:
            p.value += 0.1 * rng.standard_normal(p.value.shape)
    return net


def check_gradients(net, x, limit=1e-6):
    """Along random directions, which hold all elements of an array: differences against backward.

    The step is small, since a wide one moves some of the thousands of units over their kinks.
    """
    rng = np.random.default_rng(8)
    shape = net(x, remember=False).shape
    labels, weights = rng.integers(0, shape[3], shape[:3]), rng.random(shape[:3]) + 0.1

    def loss():
        return softmax_loss.loss(net(x, remember=False), labels, weights)[0]

    logits, backward = net(x)
    dx = backward(cunet.softmax_loss(logits, labels, weights)[1], input_gradient=True)
    arrays = [(p.name, p.value, p.grad) for p in net.parameters()] + [("input", x, dx)]
    for name, value, gradient in arrays:
        direction, kept = rng.standard_normal(value.shape), value.copy()
        along = np.zeros(1)

        def moved(value=value, kept=kept, direction=direction, along=along):
            value[...] = kept + along[0] * direction
            return loss()

        numeric = gradcheck.difference(moved, along, (0,), 1e-7)
        value[...] = kept
        analytic = (gradient * direction).sum()
        assert abs(analytic) > 1e-5, name
        assert gradcheck.relative_error(analytic, np.array(numeric)) < limit, name
