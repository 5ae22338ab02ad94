"""Convolution by every algorithm against the oracle: both dtypes, batches, awkward layouts."""

import numpy as np
import pytest
from inputs import TOLERANCE, Inputs, conv_case, normal

from cunet import threads
from cunet.engines import definition
from cunet.engines.cpu import lines, strips, winograd, winograd_cuts, winograd_fused
from cunet.engines.cpu.conv import ALGORITHMS, choose, supports
from cunet.errors import CunetError

FILTERS = (1, 2, 3, 4, 5, (2, 3), (5, 1))
algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)


def check_conv(algorithm, inputs, case, padding, parts=None):
    """All functions; with parts, x is the tuple of images of so many channels."""
    if not supports(algorithm, case[0][1].shape[:2]):
        pytest.skip("this algorithm takes 3x3 filters only")
    (x, w, b, dy), (y, dx, dw, db) = case
    w_in, b_in, dy_in = inputs(w, b, dy)
    if parts is None:
        x_in = inputs(x)
    else:
        x_in = tuple(inputs(part) for part in np.split(x, np.cumsum(parts)[:-1], axis=3))
    inputs.close(algorithm.conv_forward(x_in, w_in, b_in, padding), y)
    gradients = algorithm.conv_backward(dy_in, x_in, w_in, padding=padding)
    for found, expected in zip(gradients, (dx, dw, db), strict=True):
        inputs.close(found, expected)
    without = algorithm.conv_backward(dy_in, x_in, w_in, padding=padding, input_gradient=False)
    assert without[0] is None
    for found, expected in zip(without[1:], (dw, db), strict=True):
        inputs.close(found, expected)


@algorithms
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("size", FILTERS)
def test_conv(inputs, algorithm, size, padding):
    case = conv_case(inputs.batch, size, padding)
    check_conv(ALGORITHMS[algorithm], inputs, case, padding)


@algorithms
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("shape", [(1, 6, 5, 3, 2), (2, 31, 26, 1, 4), (2, 18, 14, 70, 60)])
def test_a_relu_is_the_same_as_one_afterwards_and_before(algorithm, shape, padding, monkeypatch):
    """The fused ReLU against the definition with a ReLU beside it."""
    monkeypatch.setattr(winograd_cuts, "CHUNK_CHANNELS", 16)  # so that the last shape is deep
    n, height, width, c, k = shape
    x, w, b = normal(1, n, height, width, c), normal(2, 3, 3, c, k), normal(3, k)
    y = np.maximum(definition.conv_forward(x, w, b, padding), 0)
    module = ALGORITHMS[algorithm]
    np.testing.assert_allclose(
        module.conv_forward(x, w, b, padding, relu=True), y, rtol=0, atol=1e-11
    )
    dy = normal(4, *y.shape)
    assert 0.2 < (y > 0).mean() < 0.8
    expected = definition.conv_backward(np.where(y > 0, dy, 0), x, w, padding=padding)
    kept = dy.copy()
    for a, e in zip(module.conv_backward(dy, x, w, y, padding), expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=0, atol=1e-12 * np.abs(e).max())
    np.testing.assert_array_equal(dy, kept)


@algorithms
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("parts", [(3,), (1, 2), (1, 1, 1)])
def test_conv_of_a_tuple_takes_the_channels_side_by_side(inputs, algorithm, parts, padding):
    case = conv_case(inputs.batch, 3, padding)
    check_conv(ALGORITHMS[algorithm], inputs, case, padding, parts)


@algorithms
@pytest.mark.parametrize(
    "shape",
    [(4, 3, 96, 88), (29, 3, 1, 2), (3, 31, 2, 1), (7, 9, 1, 1)],
    ids=lambda shape: "x".join(map(str, shape)),
)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_conv_of_other_shapes(algorithm, shape, dtype):
    """Many channels, tall, wide and single-channel images; (H, W, C, K)."""
    case = conv_case(1, 3 if shape[2] < 9 else 2, "valid", *shape)
    check_conv(ALGORITHMS[algorithm], Inputs(dtype, 1, "writeable"), case, "valid")


@algorithms
def test_conv_pads_with_nothing_by_default(algorithm):
    (x, w, b, dy), (y, dx, dw, _) = conv_case(1, 3, "valid")
    module = ALGORITHMS[algorithm]
    assert module.conv_forward(x, w, b).shape == y.shape
    shapes = [gradient.shape for gradient in module.conv_backward(dy, x, w)]
    assert shapes[:2] == [dx.shape, dw.shape]


@algorithms
def test_conv_is_the_same_with_any_number_of_threads(algorithm):
    module, results = ALGORITHMS[algorithm], []
    x, w, b, dy = (
        normal(1, 2, 40, 30, 8),
        normal(2, 3, 3, 8, 5),
        normal(3, 5),
        normal(4, 2, 38, 28, 5),
    )
    before = threads.get_threads()
    try:
        for count in (1, 2, 5):
            threads.set_threads(count)
            results.append(
                (
                    module.conv_forward(x, w, b),
                    *module.conv_backward(dy, x, w),
                )
            )
    finally:
        threads.set_threads(before)
    for other in results[1:]:
        for a, same in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, same)


@algorithms
def test_conv_errors(algorithm):
    forward = ALGORITHMS[algorithm].conv_forward
    x, b = np.ones((1, 4, 6, 2)), np.zeros(1)
    with pytest.raises(CunetError, match="3 channels.* 2"):
        forward(x, np.ones((3, 3, 3, 1)), b)
    with pytest.raises(CunetError, match="3 channels.* 4"):
        forward((x, x), np.ones((3, 3, 3, 1)), b)
    with pytest.raises(CunetError, match="3x3.*2x6"):
        forward(x[:, :2], np.ones((3, 3, 2, 1)), b)
    with pytest.raises(CunetError, match="'valid' or 'same'.*'full'"):
        forward(x, np.ones((3, 3, 2, 1)), b, "full")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_unknown_padding_is_refused_both_ways(algorithm):
    module, w = ALGORITHMS[algorithm], np.zeros((3, 3, 1, 1))
    x = np.zeros((1, 5, 5, 1))
    for call in (
        lambda: module.conv_forward(x, w, np.zeros(1), "full"),
        lambda: module.conv_backward(x[:, 2:, 2:], x, w, None, "full"),
    ):
        with pytest.raises(CunetError, match="'valid' or 'same', found 'full'"):
            call()


def test_the_choice_by_shape():
    def chosen(*shape):
        return choose(np.zeros(shape, np.float32))

    assert chosen(3, 3, 16, 16) is chosen(3, 3, 256, 128) is winograd_fused
    assert chosen(3, 3, 256, 256) is winograd
    assert chosen(3, 3, 1, 64) is lines
    assert chosen(1, 1, 64, 2) is strips
