"""Gradients of a recorded step that are written and not added to."""

import numpy as np
import pytest
from inputs import normal32 as normal

from cunet.engines.gpu import convolution, cuda, sums, up_conv
from cunet.engines.gpu.fresh import Fresh, gradients_of
from cunet.errors import CunetError
from cunet.net.layers import Parameter


@pytest.fixture
def xp(emulated):
    return emulated


def layer(xp, name, *shape):
    """Filters and biases."""
    w, b = xp.asarray(normal(1, *shape)), xp.asarray(normal(2, shape[3]))
    return [Parameter(f"{name}.filters", w), Parameter(f"{name}.biases", b)]


@pytest.mark.parametrize("multiprocessors", [1, 132])  # one part, and several to be summed
def test_the_kernels_write_into_the_arrays_of_the_step(xp, multiprocessors, monkeypatch):
    monkeypatch.setattr(cuda, "processors", lambda: multiprocessors)
    conv, up = layer(xp, "conv", 3, 3, 16, 8), layer(xp, "up", 2, 2, 16, 8)
    x = xp.asarray(normal(3, 1, 20, 20, 16))
    dy_conv, dy_up = xp.asarray(normal(4, 1, 18, 18, 8)), xp.asarray(normal(5, 1, 40, 40, 8))

    def backward():
        _, dw, db = convolution.conv_backward(dy_conv, x, conv[0].value)
        _, dw_up, db_up = up_conv.up_backward(dy_up, x, up[0].value)
        return dw, db, dw_up, db_up

    expected = [a.get() for a in backward()]
    parameters = [*conv, *up]
    fresh = Fresh(parameters)
    with fresh.written():
        found = backward()
        for a, p, own in zip(found, parameters, fresh.arrays, strict=True):
            assert a.data.ptr == own.data.ptr and p.grad is own
            sums.add(a, p.grad)
    for own, a in zip(fresh.arrays, expected, strict=True):
        np.testing.assert_array_equal(own.get(), a)
    for a, b in zip(backward(), fresh.arrays, strict=True):  # outside they are new arrays again
        assert a.data.ptr != b.data.ptr


def test_other_arrays_are_copied_into_those_of_the_step_and_added_to_all_others(xp):
    first, other = layer(xp, "conv", 3, 3, 1, 8), xp.asarray(normal(5, 7))
    fresh, a = Fresh(first), xp.asarray(normal(4, 10, 8))
    for _ in range(2):
        before = other.get()
        with fresh.written():
            sums.add(a[:9].reshape(3, 3, 1, 8), first[0].grad)
            sums.add(a[9], first[1].grad)
            sums.add(other[:], other)
        np.testing.assert_array_equal(fresh.arrays[0].get().ravel(), a.get()[:9].ravel())
        np.testing.assert_array_equal(fresh.arrays[1].get(), a.get()[9])
        np.testing.assert_array_equal(other.get(), 2 * before)


def test_the_gradients_of_parameters_stay_what_they_are(xp):
    parameters = layer(xp, "conv", 3, 3, 16, 8)
    parameters[0].grad += 1
    mine = parameters[0].grad
    with pytest.raises(KeyError), Fresh(parameters).written():
        assert parameters[0].grad is not mine
        raise KeyError
    assert parameters[0].grad is mine and (mine.get() == 1).all()
    assert "grad" not in vars(parameters[1]) and not parameters[1].grad.get().any()
    assert gradients_of(parameters[0].value) == (None, None)


@pytest.mark.parametrize("number", [0, 2])
def test_each_parameter_gets_one_gradient(xp, number):
    parameters = layer(xp, "conv", 3, 3, 16, 8)
    dw, db = (xp.ones(p.value.shape, np.float32) for p in parameters)
    expected = f"'conv.biases' got {number} gradients from one batch, expected 1"
    with pytest.raises(CunetError, match=expected), Fresh(parameters).written():
        sums.add(dw, parameters[0].grad)
        for _ in range(number):
            sums.add(db, parameters[1].grad)


@pytest.mark.parametrize("order", [(2, 0, 3, 1), (1, 0, 3, 2), (0, 2), (0, 3), (1, 2)], ids=str)
def test_the_order_of_parameters_and_those_left_out_change_no_gradient(xp, order):
    """Two layers of as many outputs, the second of which gets its gradients first."""
    layers = layer(xp, "a", 3, 3, 16, 8), layer(xp, "b", 3, 3, 8, 8)
    whole = [p for pair in layers for p in pair]
    x = [xp.asarray(normal(3, 1, 12, 12, c)) for c in (16, 8)]
    dy = [xp.asarray(normal(4 + i, 1, 10, 10, 8)) for i in range(2)]

    def backward():
        for i in (1, 0):
            _, *found = convolution.conv_backward(dy[i], x[i], layers[i][0].value)
            for a, p in zip(found, layers[i], strict=True):
                sums.add(a, p.grad)

    backward()
    expected = [p.grad.get() for p in whole]
    for p in whole:
        del p.grad
    fresh = Fresh([whole[i] for i in order])
    with fresh.written():
        backward()
    found = dict(zip(order, fresh.arrays, strict=True))
    for i, p in enumerate(whole):
        np.testing.assert_array_equal(found.get(i, p.grad).get(), expected[i])


def test_a_gradient_that_went_to_another_parameter_is_an_error(xp):
    """As it would be where two layers have one name."""
    filters, biases = layer(xp, "conv", 3, 3, 16, 8)
    others = Parameter("conv.biases", xp.zeros(8, np.float32))
    expected = "the gradient of 'another parameter' was written to that of 'conv.biases'"
    with pytest.raises(CunetError, match=expected), Fresh([filters, others]).written():
        db = gradients_of(filters.value)[1]
        sums.add(db, biases.grad)
