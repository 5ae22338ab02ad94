"""images.cu against the operations on the host, in the three precisions, without a GPU."""

import numpy as np
import pytest
from inputs import normal32 as normal

from cunet.engines import gpu
from cunet.engines.gpu import cuda, elements, sums
from cunet.engines.gpu.dropout import drop
from cunet.engines.gpu.relu import relu_backward
from cunet.errors import CunetError
from cunet.ops import dropout, max_pool
from cunet.philox import philox

PRECISIONS = list(cuda.DTYPES)
MANTISSA = {"tf32": 11, "float16": 11, "bfloat16": 8}  # bits of it, the first one included


@pytest.fixture
def xp(emulated):
    return emulated


@pytest.fixture(params=PRECISIONS)
def precision(request, monkeypatch):
    """The kernels of float32 arrays are taken from this precision's as well."""
    monkeypatch.setitem(cuda.loaded, 0, request.param)
    return request.param


def some(xp, precision, seed, *shape):
    """Normal numbers as an activation, and the same as float32 on the host."""
    a = elements.to_elements(xp.asarray(normal(seed, *shape)), precision)
    return a, elements.to_floats(a).get()


def rounded(a, precision):
    """float32 numbers with the mantissa of the precision: to nearest, ties to even or away."""
    mantissa, exponent = np.frexp(a.astype(np.float64))
    scaled = mantissa * 2.0 ** MANTISSA[precision]
    away = np.trunc(scaled + np.copysign(0.5, scaled))
    whole = away if precision == "tf32" else np.rint(scaled)
    return np.ldexp(whole, exponent - MANTISSA[precision]).astype(np.float32)


# from float32 and back


@pytest.mark.parametrize("size", [1, 7, 4096, 9001])
def test_numbers_are_rounded_to_nearest(xp, precision, size):
    x = normal(1, size)
    x[0] = 1 + 2.0 ** -MANTISSA[precision]  # half way between two numbers
    a = elements.to_elements(xp.asarray(x), precision)
    assert a.dtype == cuda.DTYPES[precision] and a.shape == x.shape
    np.testing.assert_array_equal(elements.to_floats(a).get(), rounded(x, precision))


def test_views_that_do_not_begin_at_16_bytes(xp, precision):
    x = normal(1, 5003)
    a = elements.to_elements(xp.asarray(x)[3:], precision)
    np.testing.assert_array_equal(elements.to_floats(a).get(), rounded(x[3:], precision))
    expected = elements.to_floats(a)[1:].get()
    np.testing.assert_array_equal(elements.to_floats(a[1:]).get(), expected)


def test_what_is_not_finite_stays_so(xp, precision):
    x = np.array([np.nan, np.inf, -np.inf, 1e5, 0, -0.0, 1, 2], np.float32)
    y = elements.to_floats(elements.to_elements(xp.asarray(x), precision)).get()
    expected = np.where(x == 1e5, np.inf, x) if precision == "float16" else rounded(x, precision)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("shape", [(3, 3, 8, 40), (2, 2, 72, 16), (3, 3, 40, 8), (1, 1, 33, 35)])
def test_pack(xp, precision, shape):
    w = normal(1, *shape)
    taps, dtype = shape[0] * shape[1], cuda.DTYPES[precision]
    for transposed in (False, True):
        a = elements.pack(xp.asarray(w), dtype, transposed)
        expected = rounded(w, precision).reshape(taps, *shape[2:])
        expected = expected.swapaxes(1, 2) if transposed else expected
        assert a.dtype == dtype and a.shape == expected.shape
        np.testing.assert_array_equal(elements.to_floats(a).get(), expected)


# ReLU, dropout, addition


def test_relu(xp, precision):
    y, y_host = some(xp, precision, 1, 2, 5, 31, 24)
    dy, dy_host = some(xp, precision, 2, 2, 5, 31, 24)
    y[0, 0], y_host[0, 0] = 0, 0
    dx = relu_backward(dy, y)
    assert dx.dtype == y.dtype
    np.testing.assert_array_equal(elements.to_floats(dx).get(), np.where(y_host > 0, dy_host, 0))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1 - 2.0**-33])
@pytest.mark.parametrize("shape", [(2, 3, 45, 24), (4099,)])
def test_drop(xp, precision, rate, shape):
    x, host = some(xp, precision, 1, *shape)
    key = 0xFEDCBA9876543210
    y = drop(x, rate, xp.asarray(np.array([key], np.uint64)))
    with np.errstate(over="ignore", invalid="ignore"):
        expected = dropout.forward(host, rate, key)
    expected = elements.to_elements(xp.asarray(expected), precision)
    np.testing.assert_array_equal(elements.to_floats(y).get(), elements.to_floats(expected).get())
    again = drop(x, rate, np.uint64(key))
    np.testing.assert_array_equal(again.get(), y.get())


def test_a_number_that_is_just_the_rate_is_kept(xp, precision):
    x, _ = some(xp, precision, 1, 1, 2, 2, 8)
    numbers = philox(np, 0, 8, 3).ravel()
    rate = int(np.sort(numbers)[16]) / 2**32
    y = elements.to_floats(drop(x, rate, 3)).get().ravel()
    np.testing.assert_array_equal(y != 0, numbers >= np.sort(numbers)[16])


def test_a_recorded_drop_reads_its_key_again(xp):
    x, _ = some(xp, "bfloat16", 1, 1, 4, 4, 8)
    keys = xp.zeros(2, np.uint64)
    stream = xp.cuda.Stream()
    with stream:
        stream.begin_capture()
        y = drop(x, 0.5, keys[1:])
        graph = stream.end_capture()
    results = []
    for key in (5, 6):
        keys[1] = key
        graph.launch(stream)
        results.append(y.get())
        np.testing.assert_array_equal(results[-1], drop(x, 0.5, key).get())
    assert (results[0] != results[1]).any()


@pytest.mark.parametrize("shape", [(3, 3, 24, 40), (1,), (4097,)])
@pytest.mark.parametrize("first", [0, 1])
def test_add(xp, precision, shape, first):
    size = int(np.prod(shape))
    a, b = normal(1, size + first)[first:].reshape(shape), normal(2, *shape)
    device_a = xp.asarray(normal(1, size + first))[first:].reshape(shape)  # perhaps not aligned
    device_b = xp.asarray(b)
    sums.add(device_a, device_b)
    np.testing.assert_array_equal(device_b.get(), b + a)
    np.testing.assert_array_equal(device_a.get(), a)


# pooling


@pytest.mark.parametrize("shape", [(2, 6, 10, 24), (1, 2, 70, 72), (3, 2, 2, 8)])
def test_pool(xp, precision, shape):
    x = np.random.default_rng(1).integers(-1, 3, shape).astype(np.float32)  # many ties
    device_x = elements.to_elements(xp.asarray(x), precision)
    y = gpu.pool_forward(device_x)
    expected = max_pool.forward(x)
    np.testing.assert_array_equal(elements.to_floats(y).get(), expected)
    dy, dy_host = some(xp, precision, 2, *expected.shape)
    dx = gpu.pool_backward(dy, device_x, y)
    assert dx.dtype == dy.dtype
    expected = max_pool.backward(dy_host, x, expected)
    np.testing.assert_array_equal(elements.to_floats(dx).get(), expected)


@pytest.mark.parametrize("inner", [(8, 14), (6, 12), (4, 2), (2, 14)])
def test_pool_backward_adds_what_came_back_along_the_skip(xp, precision, inner):
    shape = 2, 8, 14, 24
    x, x_host = some(xp, precision, 1, *shape)
    y = gpu.pool_forward(x)
    dy, dy_host = some(xp, precision, 2, *y.shape)
    beside, beside_host = some(xp, precision, 3, 2, *inner, 24)
    top, left = (8 - inner[0]) // 2, (14 - inner[1]) // 2
    expected = max_pool.backward(dy_host, x_host, elements.to_floats(y).get())
    expected[:, top : top + inner[0], left : left + inner[1]] += beside_host
    dx = elements.to_floats(gpu.pool_backward(dy, x, y, beside)).get()
    np.testing.assert_array_equal(dx, rounded(expected, precision))


@pytest.mark.parametrize("place", range(4))
def test_the_maximum_with_what_is_not_a_number_is_not_one(xp, precision, place):
    x = normal(1, 1, 2, 2, 8)
    x[0, place // 2, place % 2, 3] = np.nan
    y = gpu.pool_forward(elements.to_elements(xp.asarray(x), precision))
    np.testing.assert_array_equal(np.isnan(elements.to_floats(y).get()).ravel(), np.arange(8) == 3)


def test_pool_of_wrong_sizes(xp):
    with pytest.raises(CunetError, match="5x6"):
        gpu.pool_forward(xp.zeros((1, 5, 6, 8), np.float32))
    x, y = xp.zeros((1, 6, 6, 8), np.float32), xp.zeros((1, 3, 3, 8), np.float32)
    with pytest.raises(CunetError, match="cannot be cut"):
        gpu.pool_backward(y, x, y, y)


# sums


@pytest.mark.parametrize("shape", [(2, 7, 9, 24), (700, 8), (3, 5, 296), (1, 1, 2, 64)])
def test_column_sums(xp, precision, shape):
    dy, host = some(xp, precision, 1, *shape)
    found = sums.column_sums(dy)
    expected = host.astype(np.float64).reshape(-1, shape[-1]).sum(0)
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found.get(), expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("rows", [1, 5, 16, 17, 300])
@pytest.mark.parametrize("shape", [(1,), (3, 7), (10, 64), (4, 300)])
def test_sum_partials_in_order(xp, precision, rows, shape):
    ws = normal(1, rows, *shape)
    each = -(-rows // 32) if rows > 16 else rows
    runs = []
    for first in range(0, rows, each):
        run = np.zeros(shape, np.float32)
        for row in ws[first : first + each]:
            run = run + row
        runs.append(run)
    expected = runs[0]
    for run in runs[1:]:
        expected = expected + run
    found = sums.sum_partials(xp.asarray(ws))
    np.testing.assert_array_equal(found.get(), expected)


def test_work_is_dealt_evenly():
    for units, most in ((1, 4), (4, 4), (5, 4), (9, 4), (1000, 264)):
        parts = sums.spread(units, most)
        assert parts <= most and -(-units // parts) == -(-units // most)
