"""The kernels for tensor cores, run by the CPU, against the definition in float64."""

import numpy as np
import pytest
from activations import near, there
from by_definition import by_data, by_weights
from cuda_emulation import SUMS, emulate

from cunet.engines import definition, gpu
from cunet.engines.gpu import (
    box_check,
    convolution,
    cuda,
    elements,
    first_layer,
    head,
    product,
    tiles,
)
from cunet.engines.gpu import conv as conv_
from cunet.errors import CunetError
from cunet.ops import conv, up_conv

CARDS = {"mma": 80, "less shared memory": 86, "boxes": 90}


@pytest.fixture(params=CARDS)
def card(request, monkeypatch):
    monkeypatch.setattr(box_check, "wanted", request.param == "boxes")
    return emulate(monkeypatch, CARDS[request.param])


@pytest.fixture(params=cuda.DTYPES)
def precision(request):
    return request.param


def normal(seed, *shape, divisor=1.0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32) / np.float32(divisor)


def rounded(xp, w, precision):
    """Filters as the tensor cores see them."""
    return there(xp, w, precision)[1]


def tile_named(monkeypatch, tile, parts=1):
    monkeypatch.setattr(tiles, "choose", lambda *a: (tile, parts))


# N, H, W, C, K: odd sizes; channels that do not fill a block of 128 bytes; more than one block each
SHAPES = [(1, 13, 17, 64, 64), (2, 9, 11, 32, 72), (1, 8, 9, 40, 16), (1, 12, 12, 16, 136)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward_with_bias_and_relu(card, precision, shape):
    n, height, width, c, k = shape
    x, x64 = there(card, normal(0, n, height, width, c), precision)
    w, b = normal(1, 3, 3, c, k, divisor=np.sqrt(9 * c)), normal(2, k)
    expected = conv.forward(x64, rounded(card, w, precision), b.astype(np.float64))
    for relu in (False, True):
        y = convolution.conv_forward(x, card.asarray(w), card.asarray(b), relu=relu)
        assert y.dtype == cuda.DTYPES[precision]
        near(y, np.maximum(expected, 0) if relu else expected, precision)


@pytest.mark.parametrize("number", range(3))
def test_every_tile_and_sums_in_parts(card, precision, number, monkeypatch):
    if cuda.capability() == 90:
        pytest.skip("kernels by boxes have tests of their own")
    tile = tiles.available()[number]
    x, x64 = there(card, normal(0, 1, 13, 15, 40), precision)
    w, b = normal(1, 3, 3, 40, 72, divisor=19), normal(2, 72)
    dy, dy64 = there(card, normal(3, 1, 11, 13, 72), precision)
    w64 = rounded(card, w, precision)
    y = definition.conv_forward(x64, w64, b.astype(np.float64), relu=True)
    dx = by_data(dy64, w64) * (x64 > 0)
    for parts in (1, 3):
        tile_named(monkeypatch, tile, parts)
        near(convolution.conv_forward(x, card.asarray(w), card.asarray(b), relu=True), y, precision)
        near(convolution.by_data(dy, card.asarray(w), x=x), dx, precision)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_by_data_with_and_without_the_mask(card, precision, shape):
    n, height, width, c, k = shape
    w = normal(1, 3, 3, c, k, divisor=np.sqrt(9 * k))
    dy, dy64 = there(card, normal(2, n, height - 2, width - 2, k), precision)
    x, x64 = there(card, normal(3, n, height, width, c), precision)
    expected = by_data(dy64, rounded(card, w, precision))
    near(convolution.by_data(dy, card.asarray(w)), expected, precision)
    masked = convolution.by_data(dy, card.asarray(w), x=x)
    near(masked, expected * (x64 > 0), precision)


@pytest.mark.parametrize("shape", [*SHAPES, (2, 37, 41, 8, 8)], ids=str)
def test_by_weights(card, precision, shape):
    n, height, width, c, k = shape
    x, x64 = there(card, normal(0, n, height, width, c), precision)
    dy, dy64 = there(card, normal(1, n, height - 2, width - 2, k), precision)
    dw, db = by_weights(dy64, x64, (3, 3))
    found = convolution.by_weights(dy, x, (3, 3))
    assert found[0].dtype == found[1].dtype == np.float32
    for a, b in zip(found, (dw, db), strict=True):
        np.testing.assert_allclose(a.get(), b, rtol=0, atol=SUMS * np.abs(b).max())


@pytest.mark.parametrize("channels", [(16, 16), (64, 64), (40, 8), (8, 72)], ids=str)
def test_two_images_stand_for_their_channels_side_by_side(card, precision, channels):
    """As at the paper's skips: the second is the centre of a larger image."""
    c, k = sum(channels), 24
    up, up64 = there(card, normal(0, 2, 9, 11, channels[0]), precision)
    whole, whole64 = there(card, normal(1, 2, 15, 15, channels[1]), precision)
    skip, skip64 = whole[:, 3:12, 2:13], whole64[:, 3:12, 2:13]
    w, b = normal(2, 3, 3, c, k, divisor=np.sqrt(9 * c)), normal(3, k)
    dy, dy64 = there(card, normal(4, 2, 7, 9, k), precision)
    w64 = rounded(card, w, precision)
    both = np.concatenate((up64, skip64), axis=3)
    y = convolution.conv_forward((up, skip), card.asarray(w), card.asarray(b))
    near(y, conv.forward(both, w64, b.astype(np.float64)), precision)
    (dup, dskip), dw, db = convolution.conv_backward(dy, (up, skip), card.asarray(w))
    dx = by_data(dy64, w64)
    near(dup, dx[..., : channels[0]], precision)
    near(dskip, dx[..., channels[0] :] * (skip64 > 0), precision)
    for a, e in zip((dw, db), by_weights(dy64, both, (3, 3)), strict=True):
        np.testing.assert_allclose(a.get(), e, rtol=0, atol=SUMS * np.abs(e).max())


@pytest.mark.parametrize(
    "shape", [(1, 9, 7, 64, 32), (2, 5, 6, 16, 8), (1, 3, 3, 136, 72)], ids=str
)
def test_up_convolution_both_ways(card, precision, shape):
    n, height, width, c, k = shape
    x, x64 = there(card, normal(0, n, height, width, c), precision)
    w, b = normal(1, 2, 2, c, k, divisor=np.sqrt(c)), normal(2, k)
    dy, dy64 = there(card, normal(3, n, 2 * height, 2 * width, k), precision)
    w64 = rounded(card, w, precision)
    y = gpu.up_forward(x, card.asarray(w), card.asarray(b))
    near(y, up_conv.forward(x64, w64, b.astype(np.float64)), precision)
    dx, dw, db = gpu.up_backward(dy, x, card.asarray(w))
    expected = up_conv.backward(dy64, x64, w64)
    near(dx, expected[0] * (x64 > 0), precision)
    for a, e in zip((dw, db), expected[1:], strict=True):
        np.testing.assert_allclose(a.get(), e, rtol=0, atol=SUMS * np.abs(e).max())


def test_relu_does_not_hide_what_is_not_a_number(card, precision):
    """A NaN must reach the loss, where it is seen, through every layer that ends in a ReLU."""
    w, b = card.asarray(normal(0, 3, 3, 8, 8)), card.asarray(normal(1, 8))
    x, _ = there(card, np.full((1, 4, 4, 8), np.nan, np.float32), precision)
    results = [
        convolution.conv_forward(x, w, b, relu=True),
        gpu.up_forward(x, card.asarray(normal(2, 2, 2, 8, 8)), b, relu=True),
        first_layer.conv_forward(
            there(card, np.full((1, 4, 4, 1), np.nan, np.float32), precision)[0],
            card.asarray(normal(3, 3, 3, 1, 8)), b, relu=True,
        ),
    ]  # fmt: skip
    for y in results:
        assert np.isnan(elements.to_floats(y).get()).all()


def test_the_same_result_again(card, precision):
    x, _ = there(card, normal(0, 1, 30, 30, 32), precision)
    dy, _ = there(card, normal(1, 1, 28, 28, 32), precision)
    a, b = (convolution.by_weights(dy, x, (3, 3))[0].get() for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_what_the_kernels_cannot_take_is_reported(card):
    x = card.zeros((1, 8, 8, 6), np.float16)
    w, b = card.zeros((3, 3, 6, 8), np.float32), card.zeros(8, np.float32)
    with pytest.raises(CunetError, match="multiples of 8"):
        convolution.conv_forward(x, w, b)
    with pytest.raises(CunetError, match="'same'"):
        convolution.conv_forward(x, w, b, "same")


@pytest.mark.parametrize("field", ["image1", "image2"])
def test_more_numbers_than_the_kernels_can_count_are_an_error(card, field):
    """Places of 16 bytes are int in convolution.cu: here 2^35 bytes, and a little less."""
    x, w = card.zeros((1, 8, 8, 64), np.float16), card.zeros((9, 8, 128), np.float16)
    y = card.zeros((1, 6, 6, 8), np.float16)
    problem = product.problem_of((x, x), w, (128, 1024), [y])
    with pytest.raises(CunetError, match="1 x 8 x 8 pixels .* use a smaller tile"):
        product.launch_tiles("conv", problem._replace(**{field: 2**28}), (6, 6))
    product.launch_tiles("conv", problem._replace(**{field: 2**28 - 1}), (6, 6))


def test_the_problem_has_the_fields_of_its_struct():
    """The arguments of the kernels are positions: both sides must have the same order."""
    text = (cuda.FOLDER / "convolution.cu").read_text(encoding="utf-8")
    for macro, end in (("PROBLEM", "#define"), ("GIVEN", "}")):
        listed = text.partition(f"#define {macro} ")[2].partition(end)[0]
        names = [item.split()[-1].strip("*{") for item in listed.replace("\\", "").split(",")]
        assert tuple(names) == product.Problem._fields, macro


def test_choosing():
    w = np.zeros((3, 3, 64, 64), np.float32)
    assert conv_.choose(w) is convolution
    assert conv_.choose(w[:, :, :1]) is first_layer
    assert conv_.choose(w[:1, :1]) is head
