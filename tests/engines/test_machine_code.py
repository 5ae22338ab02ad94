"""Direct convolution, up-convolution and pooling in machine code against the oracle."""

import numpy as np
import pytest
from inputs import Inputs, conv_case, normal, normal32

from cunet.engines import cpu, definition
from cunet.engines.cpu import lines, machine, strips
from cunet.ops import max_pool, up_conv

layouts = pytest.mark.parametrize("layout", ["writeable", "read-only", "strided"])


@pytest.fixture(autouse=True)
def _machine_code():
    if not machine.usable():
        pytest.skip("this processor has no product with a sum")


def test_what_is_computed_in_machine_code():
    a, b = np.zeros(3, np.float32), np.zeros(3)
    assert machine.takes((16, 48), (a, a))
    assert not machine.takes((16, 24), (a, a)) and not machine.takes((16,), (a, b))
    assert not machine.takes((16,), (a.astype(">f4"),))


@layouts
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("size", [1, 3, (2, 4), (5, 1)])
@pytest.mark.parametrize("channels, outputs", [(1, 16), (3, 48), (32, 16)])
def test_lines(layout, padding, size, channels, outputs, monkeypatch):
    monkeypatch.delattr(strips, "conv_forward")
    inputs = Inputs("float32", 2, layout)
    (x, w, b, _), (y, *_) = conv_case(2, size, padding, 9, 17, channels, outputs)
    x, w, b = inputs(x, w, b)
    x = x if channels == 1 and layout != "strided" else np.ascontiguousarray(x)
    inputs.close(lines.conv_forward(x, w, b, padding), y)
    inputs.close(lines.conv_forward(x, w, b, padding, relu=True), np.maximum(y, 0))
    for given, before in inputs.given:
        np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize("width", range(14, 28))
def test_lines_of_any_length(width, monkeypatch):
    monkeypatch.delattr(strips, "conv_forward")
    x, w, b = normal(1, 1, 4, width, 2), normal(2, 3, 3, 2, 16), normal(3, 16)
    y = lines.conv_forward(*(a.astype(np.float32) for a in (x, w, b)))
    Inputs("float32", 1, "writeable").close(y, definition.conv_forward(x, w, b))


@pytest.mark.parametrize("width, parts", [(13, (2,)), (40, (1, 1))])  # too short; two images
def test_lines_leave_to_strips(width, parts):
    x, w, b = normal32(1, 1, 4, width, 2), normal32(2, 3, 3, 2, 16), normal32(3, 16)
    images = tuple(np.split(x, np.cumsum(parts)[:-1], axis=3))
    expected = strips.conv_forward(images, w, b)
    np.testing.assert_array_equal(lines.conv_forward(images, w, b), expected)


@layouts
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("height, width, channels, outputs", [(3, 12, 5, 16), (7, 29, 32, 48)])
def test_up_convolution(layout, relu, height, width, channels, outputs):
    x, w = normal(1, 2, height, width, channels), normal(2, 2, 2, channels, outputs)
    b, inputs = normal(3, outputs), Inputs("float32", 2, layout)
    expected = definition.up_forward(x, w, b, relu)
    inputs.close(cpu.up_forward(*inputs(x, w, b), relu), expected)
    for given, before in inputs.given:
        np.testing.assert_array_equal(given, before)


def test_up_convolution_is_not_numpys(monkeypatch):
    monkeypatch.delattr("cunet.engines.cpu.up_conv.by_corner")
    x, w, b = normal32(1, 1, 4, 12, 5), normal32(2, 2, 2, 5, 16), normal32(3, 16)
    assert cpu.up_forward(x, w, b).shape == up_conv.forward(x, w, b).shape


@layouts
@pytest.mark.parametrize("channels", [16, 48])
def test_pooling(layout, channels):
    """Whole numbers, of which many are equal: the first of equals gets the gradient."""
    x = np.random.default_rng(0).integers(-2, 3, (2, 10, 14, channels)).astype(np.float32)
    y, dy = max_pool.forward(x), normal32(1, 2, 5, 7, channels)
    beside, inputs = normal32(2, 2, 6, 8, channels), Inputs("float32", 2, layout)
    x_in, y_in, dy_in, beside_in = inputs(x, y, dy, beside)
    np.testing.assert_array_equal(cpu.pool_forward(x_in), y)
    expected = max_pool.backward(dy, x, y)
    np.testing.assert_array_equal(cpu.pool_backward(dy_in, x_in, y_in), expected)
    expected[:, 2:8, 3:11] += beside
    np.testing.assert_array_equal(cpu.pool_backward(dy_in, x_in, y_in, beside_in), expected)


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_pooling_hides_nothing_that_is_not_a_number(place):
    x = np.zeros((1, 4, 4, 16), np.float32)
    x[(0, *place, 5)] = np.nan
    y = cpu.pool_forward(x)
    assert np.isnan(y[0, 0, 0, 5]) and np.isnan(y).sum() == 1


def test_pooling_is_not_numpys(monkeypatch):
    monkeypatch.delattr(max_pool, "forward")
    monkeypatch.delattr(max_pool, "backward")
    x = np.zeros((1, 4, 4, 16), np.float32)
    assert cpu.pool_backward(cpu.pool_forward(x), x, cpu.pool_forward(x)).shape == x.shape


def test_sizes_that_do_not_fit_are_left_to_numpy_which_says_so():
    """An address knows no end: machine code would read beyond the arrays."""
    x, b = normal32(1, 1, 12, 20, 16), normal32(2, 16)
    y = cpu.pool_forward(x)
    for call in (
        lambda: lines.conv_forward(x, normal32(3, 3, 3, 16, 16), b[:7]),
        lambda: cpu.up_forward(x, normal32(3, 2, 2, 16, 16), b[:7]),
        lambda: cpu.pool_backward(y[:, :3], x, y),
        lambda: cpu.pool_backward(y, x, y[:, :, :3]),
    ):
        with pytest.raises(ValueError, match="shape|broadcast"):
            call()
