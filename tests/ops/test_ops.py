"""Every other operation against the oracle: both dtypes, one and three images, awkward layouts."""

import numpy as np
import oracle
import pytest
from inputs import TOLERANCE, loss_case, normal

from cunet.errors import CunetError
from cunet.ops import crop_concat, dropout, max_pool, relu, softmax_loss, up_conv

# ReLU and max-pooling


def test_relu(inputs):
    x, dy = normal(1, inputs.batch, 3, 4, 2), normal(2, inputs.batch, 3, 4, 2)
    x[:, 0] = 0
    x[:, 1, 0] = -0.0
    x_in, dy_in, y_in = inputs(x, dy, oracle.relu_forward(x))
    y, dx = relu.forward(x_in), relu.backward(dy_in, y_in)
    inputs.close(y, oracle.relu_forward(x))
    inputs.close(dx, oracle.relu_backward(dy, x))
    own = np.array(x_in)
    assert relu.forward(own, out=own) is own
    np.testing.assert_array_equal(own, y)


@pytest.mark.parametrize("values", ["permutation", "ties"])
def test_max_pool(inputs, values):
    shape, rng = (inputs.batch, 4, 6, 2), np.random.default_rng(1)
    size = int(np.prod(shape))
    x = rng.permutation(size) - 20.0 if values == "permutation" else rng.integers(0, 2, size) * 1.0
    x, dy = x.reshape(shape), normal(2, inputs.batch, 2, 3, 2)
    y, dx = oracle.max_pool_forward(x), oracle.max_pool_backward(dy, x)
    x_in, y_in, dy_in = inputs(x, y, dy)
    inputs.close(max_pool.forward(x_in), y)
    inputs.close(max_pool.backward(dy_in, x_in, y_in), dx)


@pytest.mark.parametrize(
    ("height", "width", "message"),
    [(5, 6, "5x6.* 6x6 .*4x6"), (6, 7, "6x7.* 6x8 .*6x6"), (5, 7, "5x7.* 6x8 .*4x6")],
)
def test_max_pool_of_odd_sizes_names_the_sizes_that_fit(height, width, message):
    with pytest.raises(CunetError, match=message):
        max_pool.forward(np.zeros((1, height, width, 1), np.float32))


# Up-convolution, crop and concatenation


@pytest.mark.parametrize("shape", [(2, 3, 4, 2), (1, 1, 1, 3), (3, 2, 2, 1)], ids=str)
def test_up_conv(inputs, shape):
    height, width, channels, outputs = shape
    x, w = normal(1, inputs.batch, height, width, channels), normal(2, 2, 2, channels, outputs)
    b, dy = normal(3, outputs), normal(4, inputs.batch, 2 * height, 2 * width, outputs)
    x_in, w_in, b_in, dy_in = inputs(x, w, b, dy)
    inputs.close(up_conv.forward(x_in, w_in, b_in), oracle.up_conv_forward(x, w, b))
    gradients = up_conv.backward(dy_in, x_in, w_in)
    for actual, expected in zip(gradients, oracle.up_conv_backward(dy, x, w), strict=True):
        inputs.close(actual, expected)


def test_up_conv_of_wrong_channels():
    with pytest.raises(CunetError, match="3 channels.* 2"):
        up_conv.forward(np.ones((1, 2, 2, 2)), np.ones((2, 2, 3, 1)), np.zeros(1))


@pytest.mark.parametrize("skip_size", [(2, 3), (6, 5), (4, 9)])
def test_crop_concat(inputs, skip_size):
    up, skip = normal(1, inputs.batch, 2, 3, 2), normal(2, inputs.batch, *skip_size, 1)
    dy = normal(3, inputs.batch, 2, 3, 3)
    up_in, skip_in, dy_in = inputs(up, skip, dy)
    pair = crop_concat.forward(up_in, skip_in)
    inputs.close(np.concatenate(pair, axis=3), oracle.crop_concat_forward(up, skip))
    assert np.shares_memory(pair[0], up_in) and np.shares_memory(pair[1], skip_in)
    dup, dcentre = crop_concat.backward(dy_in, 2)
    dup_expected, dskip_expected = oracle.crop_concat_backward(dy, up.shape, skip.shape)
    inputs.close(dup, dup_expected)
    dskip = np.zeros(skip.shape, dcentre.dtype)
    crop_concat.centre(dskip, 2, 3)[...] = dcentre
    inputs.close(dskip, dskip_expected)


@pytest.mark.parametrize("skip_size", [(3, 3), (2, 4), (0, 3), (2, 1)])
def test_crop_concat_needs_even_differences(skip_size):
    with pytest.raises(CunetError, match="2x3 .*even"):
        crop_concat.forward(np.zeros((1, 2, 3, 1)), np.zeros((1, *skip_size, 1)))


# Dropout


@pytest.mark.parametrize("rate", [0.0, 0.25, 0.5, 0.9])
def test_dropout_is_philox_by_element(inputs, rate):
    shape, key = (inputs.batch, 3, 5, 3), 0x0123456789ABCDEF
    x, dy = normal(1, *shape), normal(2, *shape)
    words = [
        word
        for i in range(-(-x.size // 4))
        for word in oracle.philox4x32_10((i, 0, 0, 0), (0x89ABCDEF, 0x01234567))
    ]
    kept = np.array([word >= rate * 2**32 for word in words[: x.size]]).reshape(shape)
    assert rate == 0 or 0 < kept.sum() < kept.size
    x_in, dy_in = inputs(x, dy)
    inputs.close(dropout.forward(x_in, rate, key), x * kept / (1 - rate))
    inputs.close(dropout.backward(dy_in, rate, key), dy * kept / (1 - rate))


def test_dropout_keeps_the_mean_and_differs_by_key():
    x = np.ones((1, 100, 100, 10), np.float32)
    a, b = (dropout.forward(x, 0.5, key) for key in (1, 1 << 32))
    for y in (a, b):
        assert y.mean() == pytest.approx(1, abs=0.02)  # six standard deviations: 0.019
        assert set(np.unique(y)) == {0, 2}
    assert (a == b).mean() == pytest.approx(0.5, abs=0.01)


# Softmax and its loss


@pytest.mark.parametrize("normalize", ["weights", "pixels", "none"])
@pytest.mark.parametrize("ignore", [None, 255, 1])
@pytest.mark.parametrize("weighted", [True, False])
def test_softmax_loss(inputs, normalize, ignore, weighted):
    logits, labels, weights = loss_case(inputs.batch)
    if ignore != 255:
        labels = np.where(labels == 255, 0, labels)
    weights = weights if weighted else None
    expected, gradient = oracle.softmax_loss(logits, labels, weights, ignore, normalize)
    logits_in, labels_in = inputs(logits, labels)
    rest = (labels_in, inputs(weights) if weighted else None, ignore, normalize)
    loss, dlogits = softmax_loss.loss(logits_in, *rest)
    assert type(loss) is float
    assert loss == pytest.approx(expected, rel=TOLERANCE[inputs.dtype])
    inputs.close(dlogits, gradient)


def test_softmax_loss_takes_signed_labels_and_divides_by_the_weights(inputs):
    logits, labels, weights = loss_case(inputs.batch)
    labels = np.where(labels == 255, -1, labels.astype(np.int64))
    expected, gradient = oracle.softmax_loss(logits, labels, weights, -1)
    rest = (*inputs(labels, weights), -1)
    loss, dlogits = softmax_loss.loss(inputs(logits), *rest)
    assert loss == pytest.approx(expected, rel=TOLERANCE[inputs.dtype])
    inputs.close(dlogits, gradient)


@pytest.mark.parametrize("normalize", ["weights", "pixels"])
def test_softmax_loss_of_nothing_is_zero(inputs, normalize):
    logits, labels, weights = loss_case(inputs.batch)
    nothing = np.full_like(labels, 255), weights, 255, normalize
    loss, dlogits = softmax_loss.loss(inputs(logits), *nothing)
    assert loss == 0 and not dlogits.any()
    nothing = labels, 0 * weights, 255, normalize
    loss, dlogits = softmax_loss.loss(inputs(logits), *nothing)
    assert loss == 0 and not dlogits.any()


def test_softmax_loss_of_extreme_logits_is_finite(inputs):
    logits = np.zeros((inputs.batch, 1, 2, 2)) + [[[[1e4, -1e4], [-1e30, 1e30]]]]
    labels = np.ones((inputs.batch, 1, 2), np.uint8)
    loss, dlogits = softmax_loss.loss(inputs(logits), inputs(labels))
    assert loss == pytest.approx(1e4, rel=TOLERANCE[inputs.dtype])
    inputs.close(dlogits, oracle.softmax_loss(logits, labels)[1])
    p = softmax_loss.probability(inputs(logits))
    inputs.close(p, np.broadcast_to([[[[1.0, 0], [0, 1]]]], logits.shape))


def test_softmax(inputs):
    logits = normal(1, inputs.batch, 2, 3, 4)
    expected = np.exp(logits) / np.exp(logits).sum(3, keepdims=True)
    inputs.close(softmax_loss.probability(inputs(logits)), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros((1, 4, 4), np.uint8)}, r"\(1, 4, 5\), found \(1, 4, 4\)"),
        ({"weights": np.ones((4, 5))}, r"\(1, 4, 5\), found .* and \(4, 5\)"),
        ({"ignore": None}, r"0 \.\.\. 2, found 0 \.\.\. 255"),
        ({"normalize": "batch"}, "'batch'"),
    ],
)
def test_softmax_loss_errors(change, message):
    logits, labels, weights = loss_case(1)
    arguments = {"labels": labels, "weights": weights, "ignore": 255} | change
    with pytest.raises(CunetError, match=message):
        softmax_loss.loss(logits, **arguments)
