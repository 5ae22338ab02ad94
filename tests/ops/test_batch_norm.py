"""Batch normalization and the sigmoid loss: operations, strips of rows, the layer."""

import math

import numpy as np
import pytest
from inputs import normal

import cunet
from cunet import threads
from cunet.engines import cpu
from cunet.engines.cpu import batch_norm as rows
from cunet.errors import CunetError
from cunet.net.layers import Maker
from cunet.net.normed import BatchNorm
from cunet.net.run import Run
from cunet.ops import batch_norm, relu, sigmoid_loss, softmax_loss

SHAPES = [(2, 3, 4, 2), (1, 5, 1, 3), (3, 34, 10, 5), (2, 130, 90, 16)]


def norm_loops(x, gamma, beta, dy):
    """Mean, variance, y, dx, dgamma, dbeta, channel by channel in float64; dx from the definition's
    own derivative matrix d xhat_i / d x_j = ([i = j] - 1/M - xhat_i xhat_j / M) / sigma."""
    answers = [np.empty_like(x), np.empty_like(x), *(np.empty(x.shape[3]) for _ in range(4))]
    y, dx, mean, variance, dgamma, dbeta = answers
    for c in range(x.shape[3]):
        values, g = x[..., c].ravel(), dy[..., c].ravel()
        count = len(values)
        mean[c] = math.fsum(values) / count
        variance[c] = math.fsum((v - mean[c]) ** 2 for v in values) / count
        sigma = math.sqrt(variance[c] + 1e-5)
        xhat = (values - mean[c]) / sigma
        y[..., c] = (gamma[c] * xhat + beta[c]).reshape(x.shape[:3])
        matrix = (np.eye(count) - 1 / count - np.outer(xhat, xhat) / count) / sigma
        dx[..., c] = (gamma[c] * (matrix @ g)).reshape(x.shape[:3])
        dgamma[c], dbeta[c] = math.fsum(g * xhat), math.fsum(g)
    return mean, variance, y, dx, dgamma, dbeta


def test_the_operation_against_loops(inputs):
    shape = (inputs.batch, 4, 5, 3)
    x, gamma, beta, dy = 3 * normal(1, *shape) + 2, normal(2, 3), normal(3, 3), normal(4, *shape)
    mean, variance, y, dx, dgamma, dbeta = norm_loops(x, gamma, beta, dy)
    x, gamma, beta, dy = inputs(x, gamma, beta, dy)
    m, v = batch_norm.statistics(x)
    inputs.close(m, mean)
    inputs.close(v, variance)
    inputs.close(batch_norm.forward(x, gamma, beta, m, v), y)
    for found, expected in zip(
        batch_norm.backward(dy, x, gamma, m, v), (dx, dgamma, dbeta), strict=True
    ):
        inputs.close(found, expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_strips_are_those_of_the_operation(shape, dtype):
    x, dy = (2 * normal(seed, *shape).astype(dtype) for seed in (1, 2))
    gamma, beta = (normal(seed, shape[3]).astype(dtype) for seed in (3, 4))
    near = {"rtol": 0, "atol": 3e-5 if dtype == "float32" else 1e-12}
    m, v = batch_norm.statistics(x)
    for found, expected in zip(rows.norm_statistics(x), (m, v), strict=True):
        np.testing.assert_allclose(found, expected, **near)
        assert found.dtype == dtype
    y = relu.forward(batch_norm.forward(x, gamma, beta, m, v))
    np.testing.assert_allclose(rows.norm_forward(x, gamma, beta, m, v), y, **near)
    for own in (True, False):
        expected = batch_norm.backward(relu.backward(dy, y), x, gamma, m, v, own)
        found = rows.norm_backward(dy, x, y, gamma, m, v, own)
        for a, e in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, e, rtol=0, atol=near["atol"] * max(1, np.abs(e).max()))
            assert a.dtype == dtype


def test_threads_change_no_bit():
    x, dy, gamma, beta = normal(1, 2, 130, 90, 16), normal(2, 2, 130, 90, 16), *normal(3, 2, 16)
    before, answers = threads.get_threads(), []
    try:
        for number in (1, 3):
            threads.set_threads(number)
            m, v = rows.norm_statistics(x)
            y = rows.norm_forward(x, gamma, beta, m, v)
            answers.append([m, v, y, *rows.norm_backward(dy, x, y, gamma, m, v)])
    finally:
        threads.set_threads(before)
    for a, b in zip(*answers, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_large_mean_costs_no_precision():
    """The variance is that of the differences from the mean, not E x^2 - (E x)^2."""
    x = (1000 + normal(1, 2, 40, 50, 2)).astype(np.float32)
    _, v = rows.norm_statistics(x)
    np.testing.assert_allclose(v, x.astype(np.float64).var((0, 1, 2)), rtol=1e-4)


TRAIN = Run(train=True)


def layer_and_input():
    layer = BatchNorm("c", 3, Maker(0, "float64", "cpu", cpu))
    layer.gamma.value[...], layer.beta.value[...] = (1.5, 0.5, 2.0), (0.1, -0.2, 0.3)
    return layer, normal(1, 2, 6, 7, 3)


def test_a_layer_that_trains_uses_the_batch_and_moves_the_running_statistics():
    layer, x = layer_and_input()
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    y, _ = layer(x, TRAIN)
    xhat = (x - mean) / np.sqrt(variance + 1e-5)
    expected = np.maximum(0, xhat * layer.gamma.value + layer.beta.value)
    np.testing.assert_allclose(y, expected, atol=1e-12)
    count = x[..., 0].size
    np.testing.assert_allclose(layer.mean, 0.1 * mean, atol=1e-14)
    np.testing.assert_allclose(layer.variance, 0.9 + 0.1 * variance * count / (count - 1))


@pytest.mark.parametrize("run", [None, Run(), Run(remember=False), Run(np.random.default_rng(0))])
def test_a_layer_that_does_not_train_uses_the_running_statistics_and_leaves_them(run):
    layer, x = layer_and_input()
    layer.mean[...], layer.variance[...] = (0.5, -1, 2), (4, 0.25, 1)
    kept = layer.mean.copy(), layer.variance.copy()
    y, _ = layer(x, run)
    np.testing.assert_array_equal((layer.mean, layer.variance), kept)
    one, _ = layer(x[:1, :5, :5], run)  # no pixel depends on the others of the batch
    np.testing.assert_allclose(one, y[:1, :5, :5], rtol=1e-12)


def test_a_pass_that_does_not_train_has_the_gradients_of_a_fixed_scale_and_shift():
    """Against finite differences; and a later training pass changes nothing for its backward."""
    layer, x = layer_and_input()
    layer.mean[...], layer.variance[...] = (0.5, -1, 2), (4, 0.25, 1)
    x += 0.01 * np.sign(x)
    dy = normal(2, *x.shape)
    _, backward = layer(x)

    def loss():
        return float((layer(x)[0] * dy).sum())

    for array, index in ((x, (0, 2, 3, 1)), (layer.gamma.value, (2,)), (layer.beta.value, (0,))):
        kept = array[index]
        array[index] = kept + 1e-6
        above = loss()
        array[index] = kept - 1e-6
        slope = (above - loss()) / 2e-6
        array[index] = kept
        for p in layer.parameters():
            p.grad.fill(0)
        dx = backward(dy)
        found = {id(x): dx, id(layer.gamma.value): layer.gamma.grad}.get(id(array), layer.beta.grad)
        assert found[index] == pytest.approx(slope, rel=1e-6, abs=1e-8)
    before = backward(dy)
    layer(x, TRAIN)
    np.testing.assert_array_equal(backward(dy), before)


def test_running_statistics_come_to_those_of_the_data():
    layer, rng = layer_and_input()[0], np.random.default_rng(0)
    for _ in range(300):
        layer(rng.standard_normal((8, 12, 12, 3)), TRAIN)
    x = rng.standard_normal((64, 12, 12, 3))
    trained, inferred = layer(x, TRAIN)[0], layer(x)[0]
    assert np.abs(trained - inferred).max() < 0.1 * np.abs(trained).max()


@pytest.mark.parametrize("remember", [True, "once"])
def test_gradients_add_up(remember):
    layer, x = layer_and_input()
    run = Run(remember=remember, train=True)
    dy, found = normal(2, *x.shape), []
    for _ in range(2):
        y, backward = run(layer, x)
        found.append(backward(dy))
    np.testing.assert_array_equal(found[0], found[1])
    double = [p.grad.copy() for p in layer.parameters()]
    for p in layer.parameters():
        p.grad.fill(0)
    run(layer, x)[1](dy)
    for p, twice in zip(layer.parameters(), double, strict=True):
        assert np.abs(p.grad).max() > 0
        np.testing.assert_allclose(2 * p.grad, twice, rtol=1e-12)


def test_a_net_whose_pass_is_no_training_pass_leaves_its_statistics_alone():
    net = cunet.UNet(width=2, depth=1, padding="same", batch_norm=True, seed=1)
    x, rng = normal(1, 1, 8, 8, 1).astype(np.float32), np.random.default_rng
    before = {name: a.copy() for name, a in net.statistics().items()}

    def moved():
        now = net.statistics()
        return any(not np.array_equal(now[name], before[name]) for name in before)

    net(x)
    net(x, remember="once")
    net(x, remember=False)
    net(x, rng(0), train=False)
    assert not moved()
    net(x, rng(0))
    assert moved()
    before = {name: a.copy() for name, a in net.statistics().items()}
    net(x, train=True)
    assert moved()


# The sigmoid and its loss


def test_the_loss_against_its_formula(inputs):
    logits, weights = 3 * normal(1, inputs.batch, 3, 4, 1), np.abs(normal(2, inputs.batch, 3, 4))
    labels = np.random.default_rng(0).integers(0, 2, weights.shape)
    labels[:, 0, 1] = 255
    total, norm, gradient = 0.0, 0.0, np.zeros_like(logits)
    for index in np.ndindex(labels.shape):
        if labels[index] == 255:
            continue
        p = 1 / (1 + math.exp(-logits[index][0]))
        norm += weights[index]
        total -= weights[index] * math.log(p if labels[index] else 1 - p)
        gradient[index] = weights[index] * (p - labels[index])
    given, held = inputs(logits, weights)
    loss, dlogits = sigmoid_loss.loss(given, labels, held, 255)
    assert loss == pytest.approx(total / norm, rel=1e-5)
    inputs.close(dlogits, gradient / norm)


def test_one_output_is_a_softmax_over_zero_and_it():
    a, labels = 4 * normal(1, 2, 3, 4, 1), np.random.default_rng(0).integers(0, 2, (2, 3, 4))
    two = np.concatenate((np.zeros_like(a), a), axis=3)
    for normalize in ("weights", "pixels", "none"):
        loss, gradient = sigmoid_loss.loss(a, labels, None, None, normalize)
        expected, both = softmax_loss.loss(two, labels, None, None, normalize)
        assert loss == pytest.approx(expected, rel=1e-12)
        np.testing.assert_allclose(gradient, both[..., 1:], atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_logits_neither_overflow_nor_vanish(dtype):
    a = np.array([-1e4, -90, 0, 90, 1e4], dtype).reshape(1, 1, 5, 1)
    p = sigmoid_loss.sigmoid(a)
    assert p.dtype == dtype and np.isfinite(p).all()
    np.testing.assert_allclose(p.ravel(), [0, math.exp(-90), 0.5, 1, 1], rtol=1e-5)
    loss, gradient = sigmoid_loss.loss(a, np.array([[[1, 1, 1, 0, 0]]]), normalize="none")
    assert loss == pytest.approx(2e4 + 180 + math.log(2), rel=1e-6)
    np.testing.assert_allclose(gradient.ravel(), [-1, -1, -0.5, 1, 1], rtol=1e-5)


def test_labels_that_are_not_two_classes():
    with pytest.raises(CunetError, match=r"labels must be 0 ... 1.*found 0 ... 2"):
        sigmoid_loss.loss(np.zeros((1, 1, 2, 1)), np.array([[[0, 2]]]))
    with pytest.raises(CunetError, match="one output can separate only two classes, found 3"):
        cunet.UNet(width=2, depth=1, classes=3, sigmoid=True)
