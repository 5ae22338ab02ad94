"""The strips of rows against the operations that they stand for."""

import numpy as np
import pytest
from inputs import normal

from cunet import threads
from cunet.engines import definition
from cunet.engines.cpu import max_pool as max_pool_
from cunet.engines.cpu import parts
from cunet.engines.cpu import relu as relu_
from cunet.engines.cpu import up_conv as up_conv_
from cunet.errors import CunetError
from cunet.ops import max_pool, relu, up_conv

SHAPES = [(1, 2, 2, 1), (2, 6, 8, 3), (3, 34, 10, 5), (1, 260, 130, 16)]


@pytest.fixture(params=[1, 3], autouse=True)
def number_of_threads(request, threads_as_before):
    threads.set_threads(request.param)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_relu_and_pool_are_those_of_the_operation(shape):
    x, dy = normal(1, *shape), normal(2, *shape)
    y = relu.forward(x)
    np.testing.assert_array_equal(relu_.relu_forward(x.copy()), y)
    np.testing.assert_array_equal(relu_.relu_backward(dy, y), relu.backward(dy, y))
    pooled = max_pool.forward(y)  # zeros of the ReLU make equal maxima
    np.testing.assert_array_equal(max_pool_.pool_forward(y), pooled)
    small = normal(3, *pooled.shape)
    expected = max_pool.backward(small, y, pooled)
    np.testing.assert_array_equal(max_pool_.pool_backward(small, y, pooled), expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_up_convolution_is_that_of_the_operation(shape):
    n, height, width, c = shape
    x, w, b = normal(1, *shape), normal(2, 2, 2, c, 7), normal(3, 7)
    y = up_conv.forward(x, w, b)
    np.testing.assert_allclose(up_conv_.up_forward(x, w, b), y, rtol=0, atol=1e-12)
    dy = normal(4, *y.shape)
    for kept in (None, np.maximum(y, 0)):  # without a ReLU, and with one
        expected = definition.up_backward(dy, x, w, kept)
        for a, e in zip(up_conv_.up_backward(dy, x, w, kept), expected, strict=True):
            np.testing.assert_allclose(a, e, rtol=0, atol=1e-11 * np.abs(e).max())


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 200, 90, 16), (3, 3, 200, 150)], ids=str)
def test_an_addition_in_place(shape):
    n, height, width, c = shape
    a, whole = normal(1, *shape), normal(2, n, height + 4, width + 2, c)
    expected = whole.copy()
    expected[:, 2:-2, 1:-1] += a
    parts.add(a, whole[:, 2:-2, 1:-1])
    np.testing.assert_array_equal(whole, expected)


def test_errors_are_those_of_the_operation():
    with pytest.raises(CunetError, match="5x4"):
        max_pool_.pool_forward(np.ones((1, 5, 4, 1)))
    with pytest.raises(CunetError, match="expect 3 channels"):
        up_conv_.up_forward(np.ones((1, 2, 2, 2)), np.ones((2, 2, 3, 1)), np.ones(1))
