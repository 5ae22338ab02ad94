"""Every operation on the device double, and on CuPy where a GPU answers: the same numbers."""

import numpy as np
import pytest
from inputs import DEVICES, TOLERANCE, conv_case, cupy, loss_case, normal

from cunet.engines import cpu, definition
from cunet.ops import (
    batch_norm,
    crop_concat,
    dropout,
    max_pool,
    relu,
    sigmoid_loss,
    softmax_loss,
    up_conv,
)


def conv_on_its_device(x, w, b, dy):
    """All of a convolution by the engine for where w lies."""
    engine = cpu if isinstance(w, np.ndarray) else definition
    return engine.conv_forward(x, w, b), *engine.conv_backward(dy, x, w)


def conv_by_definition(padding):
    def run(x, w, b, dy):
        gradients = definition.conv_backward(dy, x, w, padding=padding)
        return definition.conv_forward(x, w, b, padding), *gradients

    return run


def loss_and_gradient(normalize):
    def run(logits, labels, weights):
        loss, dlogits = softmax_loss.loss(logits, labels, weights, 255, normalize)
        return loss, dlogits, softmax_loss.probability(logits)

    return run


def norm_and_gradient(x, gamma, beta, dy):
    m, v = batch_norm.statistics(x)
    old = m * 0
    batch_norm.running(old, m)
    y = batch_norm.forward(x, gamma, beta, m, v)
    return m, v, old, y, *batch_norm.backward(dy, x, gamma, m, v)


def sigmoid_and_gradient(logits, labels, weights):
    loss, dlogits = sigmoid_loss.loss(logits[..., :1], labels // 2, weights, 127)
    return loss, dlogits, sigmoid_loss.probability(logits[..., :1])


X, Y = normal(1, 2, 4, 6, 3), normal(2, 2, 4, 6, 3)
ON_A_DEVICE = {
    "conv": (conv_by_definition("valid"), (X, *conv_case(2, 3, "valid", 4, 6)[0][1:])),
    "conv same": (conv_by_definition("same"), (X, *conv_case(2, 4, "same", 4, 6)[0][1:])),
    "conv of a tuple": (
        conv_by_definition("same"),
        ((X[..., :1], X[..., 1:]), *conv_case(2, 3, "same", 4, 6)[0][1:]),
    ),
    "conv chosen": (conv_on_its_device, (X, *conv_case(2, 3, "valid", 4, 6)[0][1:])),
    "relu": (lambda x, dy: (relu.forward(x), relu.backward(dy, x)), (X, Y)),
    "relu in place": (lambda x: relu.forward(x, out=x), (X,)),
    "max_pool": (
        lambda x, dy: max_pool.backward(dy, x, max_pool.forward(x)),
        (X, normal(3, 2, 2, 3, 3)),
    ),
    "up_conv": (
        lambda x, w, b, dy: (up_conv.forward(x, w, b), *up_conv.backward(dy, x, w)),
        (X, normal(3, 2, 2, 3, 2), normal(4, 2), normal(5, 2, 8, 12, 2)),
    ),
    "crop_concat": (crop_concat.forward, (X, normal(3, 2, 6, 10, 2))),
    "crop_concat backward": (lambda dy: crop_concat.backward(dy, 2), (X,)),
    "batch_norm": (norm_and_gradient, (X, normal(3, 3), normal(4, 3), Y)),
    "sigmoid loss": (sigmoid_and_gradient, loss_case(2)),
    "dropout": (lambda x: (dropout.forward(x, 0.5, 7), dropout.backward(x, 0.5, 7)), (X,)),
    **{f"loss by {n}": (loss_and_gradient(n), loss_case(2)) for n in ("weights", "pixels", "none")},
}


def flat(results):
    return [a for r in results for a in flat(r)] if isinstance(results, tuple) else [results]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", ON_A_DEVICE)
@pytest.mark.parametrize("xp", DEVICES, ids=lambda module: module.__name__)
def test_a_device_gives_the_same(xp, name, dtype):
    run, arguments = ON_A_DEVICE[name]

    def each(function, values):
        return tuple(each(function, v) if isinstance(v, tuple) else function(v) for v in values)

    arguments = each(lambda a: a.astype(dtype) if a.dtype.kind == "f" else a, arguments)
    there = each(xp.asarray, arguments)
    on_device = flat(run(*there))
    here = flat(run(*each(np.copy, arguments)))
    assert len(on_device) == len(here)
    for device, host in zip(on_device, here, strict=True):
        if isinstance(host, np.ndarray):
            assert type(device) is xp.ndarray and device.dtype == host.dtype == dtype
            device = device.get()
        if xp is cupy or name == "conv chosen":  # sums in another order than on the host
            np.testing.assert_allclose(device, host, rtol=0, atol=30 * TOLERANCE[dtype])
        else:
            np.testing.assert_array_equal(device, host)
