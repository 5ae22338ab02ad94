"""The first and the last layer and the loss on a GPU (first_layer.cu, head.cu) against the
operations in float64 on the host, in the three precisions, without a GPU."""

import numpy as np
import pytest
from by_definition import by_data, by_weights
from cuda_emulation import SUMS
from inputs import normal32 as normal

from cunet.engines import definition
from cunet.engines.gpu import cuda, elements, first_layer, head
from cunet.engines.gpu import softmax_loss as softmax_loss_
from cunet.errors import CunetError
from cunet.ops import conv, softmax_loss

ROUNDING = {"tf32": 2**-11, "float16": 2**-11, "bfloat16": 2**-8}  # of an activation


@pytest.fixture
def xp(emulated):
    return emulated


@pytest.fixture(params=list(cuda.DTYPES))
def precision(request, monkeypatch):
    monkeypatch.setitem(cuda.loaded, 0, request.param)  # whose kernels of float32 arrays to take
    return request.param


def activation(xp, precision, a):
    """a as an activation, and what that holds as float64 on the host."""
    x = elements.to_elements(xp.asarray(a), precision)
    return x, elements.to_floats(x).get().astype(np.float64)


def assert_close(actual, expected, rounding=0.0):
    """Equal in shape, and close by the largest value that is expected."""
    assert actual.shape == expected.shape
    if actual.dtype != np.float32:
        actual = elements.to_floats(actual)
    largest = max(np.abs(expected).max(), 1e-30)
    np.testing.assert_allclose(
        actual.get(), expected, rtol=0, atol=(rounding + SUMS) * largest
    )  # fmt: skip


# the first layer

FIRST_CASES = [  # image, outputs
    ((2, 13, 61, 1), 72),
    ((2, 5, 30, 1), 8),
    ((1, 7, 28, 2), 24),
    ((2, 6, 29, 3), 64),
    ((2, 4, 27, 4), 40),
    ((1, 3, 3, 1), 8),
]


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("shape", "k"), FIRST_CASES)
def test_first_layer(xp, precision, shape, k, padding):
    x, x_host = activation(xp, precision, normal(1, *shape))
    w, b = normal(2, 3, 3, shape[3], k), normal(3, k)
    y = first_layer.conv_forward(x, xp.asarray(w), xp.asarray(b), padding)
    expected = definition.conv_forward(x_host, w.astype(np.float64), b, padding)
    assert y.dtype == x.dtype
    assert_close(y, expected, ROUNDING[precision])

    y = first_layer.conv_forward(x, xp.asarray(w), xp.asarray(b), padding, relu=True)
    assert_close(y, np.maximum(expected, 0), ROUNDING[precision])

    dy, dy_host = activation(xp, precision, normal(4, *expected.shape))
    dx, dw, db = first_layer.conv_backward(dy, x, xp.asarray(w), y, padding)
    dw_expected, db_expected = by_weights(dy_host, x_host, (3, 3), padding)
    assert_close(dw, dw_expected)
    assert_close(db, db_expected)
    assert_close(dx, by_data(dy_host, w.astype(np.float64), padding))
    assert first_layer.conv_backward(dy, x, xp.asarray(w), y, padding, False)[0] is None


@pytest.mark.parametrize(
    ("image", "size", "k"),
    [((1, 5, 5, 5), 3, 8), ((1, 5, 5, 1), 3, 12), ((1, 5, 5, 1), 5, 8), ((1, 2, 5, 1), 3, 8)],
)
def test_first_layer_of_another_kind(xp, image, size, k):
    x, w = xp.zeros(image, np.float32), xp.zeros((size, size, image[3], k), np.float32)
    with pytest.raises(CunetError, match="first layer"):
        first_layer.conv_forward(x, w, xp.zeros(k, np.float32))


def test_first_layer_of_wrong_channels(xp):
    w, b = xp.zeros((3, 3, 2, 8), np.float32), xp.zeros(8, np.float32)
    with pytest.raises(CunetError, match="expect 2 channels"):
        first_layer.conv_forward(xp.zeros((1, 5, 5, 1), np.float32), w, b)
    with pytest.raises(CunetError, match="padding"):
        first_layer.conv_forward(xp.zeros((1, 5, 5, 2), np.float32), w, b, "reflect")


# the head

HEAD_CASES = [  # image, classes
    ((2, 9, 13, 64), 2),
    ((2, 23, 31, 16), 2),
    ((1, 5, 7, 8), 1),
    ((2, 3, 11, 24), 3),
    ((1, 6, 5, 264), 2),
    ((2, 5, 9, 32), 5),
    ((1, 5, 9, 72), 11),
    ((1, 3, 5, 8), 16),
    ((1, 7, 9, 72), 20),
    ((2, 3, 7, 16), 32),
]


@pytest.mark.parametrize(("shape", "k"), HEAD_CASES)
def test_head(xp, precision, shape, k):
    x, x_host = activation(xp, precision, np.maximum(normal(1, *shape), 0))
    w, b = normal(2, 1, 1, shape[3], k), normal(3, k)
    logits = head.conv_forward(x, xp.asarray(w), xp.asarray(b))
    expected = conv.forward(x_host, w.astype(np.float64), b)
    assert logits.dtype == np.float32
    assert_close(logits, expected)
    assert_close(
        head.conv_forward(x, xp.asarray(w), xp.asarray(b), relu=True), np.maximum(expected, 0)
    )

    dlogits = normal(4, *expected.shape)
    dx, dw, db = head.conv_backward(xp.asarray(dlogits), x, xp.asarray(w))
    dlogits = dlogits.astype(np.float64)
    expected, dw_expected, db_expected = conv.backward(dlogits, x_host, w.astype(np.float64))
    assert dx.dtype == x.dtype
    assert_close(dx, expected * (x_host > 0), ROUNDING[precision])
    assert_close(dw, dw_expected)
    assert_close(db, db_expected)
    without, dw_again, _ = head.conv_backward(
        xp.asarray(dlogits.astype(np.float32)), x, xp.asarray(w), input_gradient=False
    )
    assert without is None
    np.testing.assert_array_equal(dw_again.get(), dw.get())


def test_head_of_another_kind(xp):
    x = xp.zeros((1, 2, 2, 8), np.float32)
    for shape in ((3, 3, 8, 2), (1, 1, 8, 33)):
        with pytest.raises(CunetError, match="head"):
            head.conv_forward(x, xp.zeros(shape, np.float32), xp.zeros(shape[3], np.float32))
    with pytest.raises(CunetError, match="12 channels"):
        head.conv_forward(x, xp.zeros((1, 1, 12, 2), np.float32), xp.zeros(2, np.float32))
    with pytest.raises(CunetError, match="multiple of 8"):
        w = xp.zeros((1, 1, 12, 2), np.float32)
        head.conv_forward(xp.zeros((1, 2, 2, 12), np.float32), w, xp.zeros(2, np.float32))


# softmax and its loss


def loss_inputs(k, shape=(2, 17, 19), ignore=255):
    """Logits, some of them large, labels with some to ignore, weights with some zeros."""
    rng = np.random.default_rng(1)
    logits = rng.normal(scale=3, size=(*shape, k)).astype(np.float32)
    logits[0, 0] *= 200
    labels = rng.integers(0, k, shape).astype(np.int32)
    labels[rng.random(shape) < 0.1] = ignore
    weights = rng.exponential(size=shape).astype(np.float32)
    weights[0, :3] = 0
    return logits, labels, weights


@pytest.mark.parametrize("k", [1, 2, 7, 32])
def test_softmax(xp, precision, k):
    logits = loss_inputs(k)[0]
    p = softmax_loss_.softmax(xp.asarray(logits))
    assert_close(p, softmax_loss.probability(logits.astype(np.float64)))


@pytest.mark.parametrize("normalize", softmax_loss.NORMALIZE)
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("ignore", [255, None])
def test_loss(xp, monkeypatch, normalize, weighted, ignore):
    monkeypatch.setattr(softmax_loss_, "LOSS_PARTS", 2)  # a thread takes several pixels
    logits, labels, weights = loss_inputs(3)
    labels = labels if ignore is not None else np.where(labels == 255, 1, labels).astype(np.int32)
    weights = weights if weighted else None
    rest = labels, weights, ignore, normalize
    expected, gradient = softmax_loss.loss(logits.astype(np.float64), *rest)
    on_device = xp.asarray(labels), xp.asarray(weights) if weighted else None, ignore, normalize
    loss, dlogits = softmax_loss_.loss(xp.asarray(logits), *on_device)
    assert loss.shape == (1,) and loss.dtype == np.float64 and dlogits.dtype == np.float32
    np.testing.assert_allclose(loss.get()[0], expected, rtol=1e-6)
    assert_close(dlogits, gradient)
    scale = xp.asarray(np.array([1024], np.float32))
    scaled_loss, scaled = softmax_loss_.loss(xp.asarray(logits), *on_device, scale=scale)
    assert scaled_loss.get()[0] == loss.get()[0]
    np.testing.assert_array_equal(scaled.get(), 1024 * dlogits.get())


@pytest.mark.parametrize("k", [1, 2, 32])
def test_loss_of_other_numbers_of_classes(xp, precision, k):
    logits, labels, weights = loss_inputs(k)
    expected, gradient = softmax_loss.loss(logits.astype(np.float64), labels, weights, 255)
    loss, dlogits = softmax_loss_.loss(
        xp.asarray(logits), xp.asarray(labels), xp.asarray(weights), 255
    )
    np.testing.assert_allclose(loss.get()[0], expected, rtol=1e-6, atol=1e-12)
    assert_close(dlogits, gradient)


@pytest.mark.parametrize("normalize", softmax_loss.NORMALIZE)
def test_loss_where_nothing_counts(xp, normalize):
    logits, labels, weights = loss_inputs(2)
    arrays = xp.asarray(logits), xp.full(labels.shape, 255, np.int32), xp.asarray(weights)
    loss, dlogits = softmax_loss_.loss(*arrays, 255, normalize)
    assert loss.get()[0] == 0 and not dlogits.get().any()
    loss, dlogits = softmax_loss_.loss(arrays[0], xp.zeros(labels.shape, np.int32), arrays[2] * 0)
    assert loss.get()[0] == 0 and not dlogits.get().any()


@pytest.mark.parametrize("wrong", [-1, 2, 254])
def test_loss_of_a_label_that_names_no_class_is_not_a_number(xp, wrong):
    logits, labels, weights = loss_inputs(2)
    labels[1, 4, 4] = wrong
    loss, dlogits = softmax_loss_.loss(
        xp.asarray(logits), xp.asarray(labels), xp.asarray(weights), 255, "pixels"
    )
    assert np.isnan(loss.get()[0])
    assert not dlogits.get()[1, 4, 4].any() and np.isfinite(dlogits.get()).all()


def test_loss_of_what_is_not_a_number(xp):
    logits, labels, weights = loss_inputs(2)
    logits[1, 2, 3, 0] = np.nan
    labels[1, 2, 3] = 1
    loss, dlogits = softmax_loss_.loss(
        xp.asarray(logits), xp.asarray(labels), xp.asarray(weights), 255
    )
    assert np.isnan(loss.get()[0]) and np.isnan(dlogits.get()[1, 2, 3]).all()


def test_loss_of_wrong_arguments(xp):
    logits, labels, weights = map(xp.asarray, loss_inputs(2))
    for arguments, message in [
        ((logits, labels[:1]), "need labels"),
        ((logits, labels, weights[:1]), "labels and weights"),
        ((logits, labels.astype(np.int64)), "int32"),
        ((logits, labels, None, 255, "mean"), "normalize"),
    ]:
        with pytest.raises(CunetError, match=message):
            softmax_loss_.loss(*arguments)


def test_the_last_layer_can_be_recorded(xp):
    x, _ = activation(xp, "bfloat16", np.maximum(normal(1, 1, 4, 5, 16), 0))
    w, b = xp.asarray(normal(2, 1, 1, 16, 2)), xp.asarray(normal(3, 2))
    labels = xp.zeros((1, 4, 5), np.int32)

    def work():
        loss, dlogits = softmax_loss_.loss(head.conv_forward(x, w, b), labels)
        return (loss, *head.conv_backward(dlogits, x, w))

    expected, stream = [a.get() for a in work()], xp.cuda.Stream()
    with stream:
        stream.begin_capture()
        results = work()
        graph = stream.end_capture()
    graph.launch(stream)
    for actual, value in zip(results, expected, strict=True):
        np.testing.assert_array_equal(actual.get(), value)
