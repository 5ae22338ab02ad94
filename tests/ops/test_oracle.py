"""The oracle against cases worked out by hand, and its gradients against each other."""

import math

import numpy as np
import oracle
import pytest

SIZES = (1, 2, 3, 4, 5)


def column(values):
    """A list of rows of pixels as an image (1, H, W, 1)."""
    return np.array(values, float)[None, :, :, None]


def taps(values):
    """A list of rows of filter taps as a filter (R, S, 1, 1)."""
    return np.array(values, float)[:, :, None, None]


def test_valid_convolution_by_hand():
    x, w = column([[1, 2, 3], [4, 5, 6], [7, 8, 9]]), taps([[1, 2], [3, 4]])
    # 1*1 + 2*2 + 4*3 + 5*4 = 37: the filter is not turned
    y = oracle.conv_forward(x, w, [0.5])
    np.testing.assert_array_equal(y, column([[37.5, 47.5], [67.5, 77.5]]))
    dx = oracle.conv_backward_data(column([[1, 0], [0, 10]]), w, x.shape)
    np.testing.assert_array_equal(dx, column([[1, 2, 0], [3, 14, 20], [0, 30, 40]]))
    dw, db = oracle.conv_backward_weights(x, column([[1, 0], [0, 10]]), 2)
    np.testing.assert_array_equal(dw, taps([[51, 62], [84, 95]]))
    np.testing.assert_array_equal(db, [11])


def test_same_convolution_puts_the_odd_zero_behind():
    x = column([[1, 10]])
    y = oracle.conv_forward(x, taps([[1, 2]]), None, "same")  # x1 + 2 x2, x2 + 2 * 0
    np.testing.assert_array_equal(y, column([[21, 10]]))
    y = oracle.conv_forward(x, taps([[1, 2, 3]]), None, "same")
    np.testing.assert_array_equal(y, column([[32, 21]]))
    y = oracle.conv_forward(x, taps([[1, 2, 3, 4]]), None, "same")  # one zero before, two behind
    np.testing.assert_array_equal(y, column([[32, 21]]))
    y = oracle.conv_forward(column([[1], [10], [100]]), taps([[1], [2]]), None, "same")
    np.testing.assert_array_equal(y, column([[21], [210], [100]]))


def test_convolution_mixes_channels_and_keeps_images_apart():
    x = np.array([[1.0, 2.0], [10.0, 20.0]]).reshape(2, 1, 1, 2)
    w = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 3.0]]).reshape(1, 1, 2, 3)
    y = oracle.conv_forward(x, w, [0, 0, 100])
    np.testing.assert_array_equal(y[:, 0, 0], [[1, 2, 108], [10, 20, 180]])


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("columns", (1, 2, 3))
def test_convolution_is_adjoint(rows, columns, padding):
    rng = np.random.default_rng(rows)
    x, w = rng.normal(size=(2, 5, 6, 2)), rng.normal(size=(rows, columns, 2, 3))
    y = oracle.conv_forward(x, w, None, padding)
    assert padding == "valid" or y.shape == (2, 5, 6, 3)
    dy = rng.normal(size=y.shape)
    product = (y * dy).sum()
    dx = oracle.conv_backward_data(dy, w, x.shape, padding)
    dw, db = oracle.conv_backward_weights(x, dy, (rows, columns), padding)
    assert (x * dx).sum() == pytest.approx(product)
    assert (w * dw).sum() == pytest.approx(product)
    np.testing.assert_allclose(db, dy.sum((0, 1, 2)))


def test_relu_by_hand():
    x = column([[-1, 0], [2, -0.0]])
    np.testing.assert_array_equal(oracle.relu_forward(x), column([[0, 0], [2, 0]]))
    dx = oracle.relu_backward(column([[5, 6], [7, 8]]), x)
    np.testing.assert_array_equal(dx, column([[0, 0], [7, 0]]))


def test_the_first_maximum_in_reading_order_wins():
    x = column([[1, 3, 0, 0], [3, 2, 0, 0], [-2, -1, 4, 1], [-3, -1, 5, 5]])
    np.testing.assert_array_equal(oracle.max_pool_forward(x), column([[3, 0], [-1, 5]]))
    dx = oracle.max_pool_backward(column([[1, 2], [3, 4]]), x)
    expected = column([[0, 1, 2, 0], [0, 0, 0, 0], [0, 3, 0, 0], [0, 0, 4, 0]])
    np.testing.assert_array_equal(dx, expected)


def test_up_convolution_by_hand():
    w = taps([[1, 2], [3, 4]])
    y = oracle.up_conv_forward(column([[1, 10]]), w, [0.5])
    np.testing.assert_array_equal(y, column([[1.5, 2.5, 10.5, 20.5], [3.5, 4.5, 30.5, 40.5]]))


def test_up_convolution_is_adjoint():
    rng = np.random.default_rng(0)
    x, w, dy = (rng.normal(size=s) for s in [(2, 2, 3, 3), (2, 2, 3, 2), (2, 4, 6, 2)])
    product = (oracle.up_conv_forward(x, w, [0, 0]) * dy).sum()
    dx, dw, db = oracle.up_conv_backward(dy, x, w)
    assert (x * dx).sum() == pytest.approx(product)
    assert (w * dw).sum() == pytest.approx(product)
    np.testing.assert_allclose(db, dy.sum((0, 1, 2)))


def test_crop_concat_by_hand():
    up, skip = column([[1, 2]]), column([[3, 4, 5, 6], [7, 8, 9, 10], [11, 12, 13, 14]])
    y = oracle.crop_concat_forward(up, skip)
    np.testing.assert_array_equal(y[0, 0], [[1, 8], [2, 9]])
    dup, dskip = oracle.crop_concat_backward(10 * y, up.shape, skip.shape)
    np.testing.assert_array_equal(dup, 10 * up)
    np.testing.assert_array_equal(dskip, column([[0] * 4, [0, 80, 90, 0], [0] * 4]))


def pixels(*values):
    """One row of pixels (1, 1, Q, ...)."""
    return np.array(values)[None, None]


def test_softmax_loss_by_hand():
    # probabilities 1/4 and 3/4, and 1/2 and 1/2
    logits, labels = pixels([0, math.log(3)], [1000.0, 1000.0]), pixels(0, 1)
    loss, dlogits = oracle.softmax_loss(logits, labels, normalize="none")
    assert loss == pytest.approx(math.log(4) + math.log(2))
    np.testing.assert_allclose(dlogits, pixels([-0.75, 0.75], [0.5, -0.5]))
    weights = pixels(1.0, 3.0)
    loss, dlogits = oracle.softmax_loss(logits, labels, weights)
    assert loss == pytest.approx((math.log(4) + 3 * math.log(2)) / 4)
    np.testing.assert_allclose(dlogits, pixels([-0.75, 0.75], [1.5, -1.5]) / 4)
    loss, _ = oracle.softmax_loss(logits, labels, weights, normalize="pixels")
    assert loss == pytest.approx((math.log(4) + 3 * math.log(2)) / 2)


@pytest.mark.parametrize("normalize", ["weights", "pixels"])
def test_softmax_loss_leaves_ignored_pixels_out(normalize):
    logits, labels = pixels([0, math.log(3)], [5.0, 1.0]), pixels(0, 255)
    loss, dlogits = oracle.softmax_loss(logits, labels, pixels(1.0, 9.0), 255, normalize)
    assert loss == pytest.approx(math.log(4))
    np.testing.assert_allclose(dlogits, pixels([-0.75, 0.75], [0, 0]))
    loss, dlogits = oracle.softmax_loss(logits, pixels(255, 255), None, 255, normalize)
    assert loss == 0 and not dlogits.any()


def test_softmax_loss_gradient_is_its_slope():
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(1, 2, 2, 3)), rng.integers(0, 3, (1, 2, 2))
    weights, step = rng.uniform(1, 2, (1, 2, 2)), 1e-6
    _, dlogits = oracle.softmax_loss(logits, labels, weights)
    for at in oracle.indices(*logits.shape):
        change = np.zeros(logits.shape)
        change[at] = step
        higher, _ = oracle.softmax_loss(logits + change, labels, weights)
        lower, _ = oracle.softmax_loss(logits - change, labels, weights)
        assert dlogits[at] == pytest.approx((higher - lower) / (2 * step), abs=1e-8)


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ("00000000 " * 4, "00000000 " * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff " * 4, "ffffffff " * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            "243f6a88 85a308d3 13198a2e 03707344",
            "a4093822 299f31d0",
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_known_answers(counter, key, answer):
    """The kat_vectors of Random123, by the authors of Philox."""
    counter, key, answer = (
        [int(word, 16) for word in text.split()] for text in (counter, key, answer)
    )
    assert list(oracle.philox4x32_10(counter, key)) == answer


def test_arguments_are_checked():
    with pytest.raises(ValueError):
        oracle.conv_forward(np.ones((1, 3, 3, 2)), np.ones((2, 2, 1, 1)), [0])
    with pytest.raises(ValueError):
        oracle.conv_forward(np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1)), [0], "full")
