"""Gradients of filters and biases by boxes, run by the CPU, against the definition in float64."""

import activations
import numpy as np
import pytest
from by_definition import by_weights
from cuda_emulation import SUMS, emulate

from cunet.engines.gpu import box_check, convolution, cuda, elements, product, weight_tiles
from cunet.engines.gpu.weight_boxes import PROBLEM, launch_weight_boxes
from cunet.engines.gpu.weight_tiles import Cut, Gradient

WAYS = [
    (precision, tile)
    for precision in cuda.DTYPES
    for tile in weight_tiles.tiles(cuda.DTYPES[precision].itemsize)
]
NAMES = [f"{precision}-{tile.name}" for precision, tile in WAYS]


@pytest.fixture
def card(monkeypatch):
    return emulate(monkeypatch, 90)


def there(xp, seed, shape, precision):
    """Normal numbers as an activation on the device, and what it holds as float64 on the host."""
    a = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return activations.there(xp, a, precision)


def near(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a.get(), b, rtol=0, atol=SUMS * np.abs(b).max())


def always(*cut):
    return weight_tiles.choosing(lambda gradient: Cut(*cut))


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize(("precision", "tile"), WAYS, ids=NAMES)
def test_every_kernel_and_sums_in_parts(card, precision, tile, parts):
    """Two images of odd sizes; channels that fill no tile of any kernel, of which there are two."""
    x, x64 = there(card, 0, (2, 13, 20, 72), precision)
    dy, dy64 = there(card, 1, (2, 11, 18, 136), precision)
    with always(tile, parts):
        near(launch_weight_boxes((x,), dy), by_weights(dy64, x64, (3, 3)))


@pytest.mark.parametrize("channels", [(64, 64), (40, 8), (8, 72)], ids=str)
@pytest.mark.parametrize(("precision", "tile"), WAYS, ids=NAMES)
def test_two_pictures_of_which_one_is_the_centre_of_a_larger_image(card, precision, tile, channels):
    """Beyond its edges there are numbers that must not be used; not even where dy is zero."""
    up, up64 = there(card, 0, (1, 9, 12, channels[0]), precision)
    whole, whole64 = there(card, 1, (1, 15, 16, channels[1]), precision)
    dy, dy64 = there(card, 2, (1, 7, 10, 24), precision)
    nan = elements.to_elements(card.full((1, 1, 1, 1), np.nan, np.float32), precision)
    inside = whole[:, 3:12, 2:14].copy()
    whole[...] = nan
    whole[:, 3:12, 2:14] = inside
    both = np.concatenate((up64, whole64[:, 3:12, 2:14]), axis=3)
    with always(tile, 2):
        found = launch_weight_boxes((up, whole[:, 3:12, 2:14]), dy)
    near(found, by_weights(dy64, both, (3, 3)))


@pytest.mark.parametrize("precision", cuda.DTYPES)
@pytest.mark.parametrize(
    "shape", [(1, 3, 3, 8, 8), (3, 4, 3, 16, 8), (1, 40, 5, 8, 16), (1, 5, 45, 24, 8)], ids=str
)
def test_small_and_narrow_images(card, precision, shape):
    n, height, width, c, k = shape
    x, x64 = there(card, 0, (n, height, width, c), precision)
    dy, dy64 = there(card, 1, (n, height - 2, width - 2, k), precision)
    near(convolution.by_weights(dy, x, (3, 3)), by_weights(dy64, x64, (3, 3)))


def test_channels_of_a_single_chunk_in_tf32(card):
    x, x64 = there(card, 0, (1, 12, 12, 4), "tf32")
    dy, dy64 = there(card, 1, (1, 10, 10, 12), "tf32")
    near(convolution.by_weights(dy, x, (3, 3)), by_weights(dy64, x64, (3, 3)))


@pytest.mark.parametrize("precision", cuda.DTYPES)
def test_many_parts_give_the_same_bits_in_any_order_of_threads(card, precision):
    """Every launch of the double runs the threads in another order. Above 16 parts are added by
    32 slices; the longest part has more steps than there are stages."""
    x, x64 = there(card, 0, (1, 66, 66, 16), precision)
    dy, dy64 = there(card, 1, (1, 64, 64, 8), precision)
    expected = by_weights(dy64, x64, (3, 3))
    for parts in (2, 21):
        with always(weight_tiles.tiles(x.dtype.itemsize)[0], parts):
            first, again = (launch_weight_boxes((x,), dy) for _ in range(2))
        near(first, expected)
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a.get(), b.get())


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("precision", cuda.DTYPES)
def test_results_are_written_into_given_arrays_and_nowhere_else(card, precision, parts):
    x, x64 = there(card, 0, (1, 12, 12, 16), precision)
    dy, dy64 = there(card, 1, (1, 10, 10, 8), precision)
    size, guard = 9 * 16 * 8, 64
    memory = card.full(size + 8 + 3 * guard, np.nan, np.float32)
    dw = memory[guard : guard + size].reshape(3, 3, 16, 8)
    db = memory[2 * guard + size : 2 * guard + size + 8]
    with always(weight_tiles.tiles(x.dtype.itemsize)[0], parts):
        found = launch_weight_boxes((x,), dy, (dw, db))
    assert found[0] is dw and found[1] is db
    near(found, by_weights(dy64, x64, (3, 3)))
    assert np.isnan(memory.get()).sum() == 3 * guard


def test_launches(card, monkeypatch):
    """One for both pictures and the biases, and one for the sums of parts."""
    names = []
    function = cuda.function

    def named(precision, index, name):
        names.append(name)
        return function(precision, index, name)

    monkeypatch.setattr(cuda, "function", named)
    up, skip = card.zeros((1, 20, 20, 16), np.float16), card.zeros((1, 20, 20, 8), np.float16)
    dy, tile = card.zeros((1, 18, 18, 8), np.float16), weight_tiles.TILES[0]
    convolution.by_weights(dy, (up, skip), (3, 3))  # with the check of the first call
    for parts, expected in ((1, [tile.name]), (2, [tile.name, "sum_filter_partials"])):
        names.clear()
        with always(tile, parts):
            convolution.by_weights(dy, (up, skip), (3, 3))
        assert names == expected
    names.clear()
    product.launch_by_weights("up", (up,), card.zeros((1, 40, 40, 8), np.float16), (2, 2, 16, 8))
    assert names[0].startswith("up_by_weights")


def test_other_kernels_where_boxes_are_not_wanted(card, monkeypatch):
    x, x64 = there(card, 0, (1, 10, 10, 8), "bfloat16")
    dy, dy64 = there(card, 1, (1, 8, 8, 8), "bfloat16")
    monkeypatch.setattr(box_check, "wanted", False)
    with weight_tiles.choosing(lambda gradient: pytest.fail("boxes were used")):
        near(convolution.by_weights(dy, x, (3, 3)), by_weights(dy64, x64, (3, 3)))


def test_the_problem_has_the_fields_of_its_struct():
    text = (cuda.FOLDER / "boxes_weights.cu").read_text(encoding="utf-8")
    lines = text.partition("struct WeightsProblem {")[2].partition("};")[0].split("\n")
    declared = " ".join(line.partition("//")[0] for line in lines).split(";")
    names = [name.split()[-1].strip("*") for some in declared[:-1] for name in some.split(",")]
    assert tuple(names) == PROBLEM.names


def paper_gradients(itemsize):
    """Those of a U-Net of width 64 with tiles of 572, as (rows of dy, filters, channels)."""
    down = [(568, 64), (280, 128), (136, 256), (64, 512), (28, 1024)]
    for rows, k in down:
        yield Gradient(1, rows, rows, k, (k,), itemsize)
        if k > 64:
            yield Gradient(1, rows + 2, rows + 2, k, (k // 2,), itemsize)
    for rows, k in [(54, 512), (102, 256), (198, 128), (390, 64)]:
        yield Gradient(1, rows, rows, k, (k, k), itemsize)
        yield Gradient(1, rows - 2, rows - 2, k, (k,), itemsize)


@pytest.mark.parametrize("itemsize", [2, 4])
@pytest.mark.parametrize("processors", [114, 132])
def test_parts_fill_the_last_round_of_blocks(itemsize, processors, monkeypatch):
    monkeypatch.setattr(cuda, "processors", lambda: processors)
    for gradient in paper_gradients(itemsize):
        cut = weight_tiles.choose(gradient)
        at_once = cut.tile.resident * processors
        rounds = -(-cut.blocks(gradient) // at_once)
        assert cut.blocks(gradient) >= 0.7 * rounds * at_once, gradient
        assert cut.parts * 4 * gradient.floats <= weight_tiles.PARTIAL_BYTES
        assert 1 <= cut.parts <= cut.steps(gradient)


def test_small_gradients_have_a_part_for_every_two_steps_at_most(monkeypatch):
    monkeypatch.setattr(cuda, "processors", lambda: 132)
    for rows in (1, 8, 9, 30):
        gradient = Gradient(1, rows, rows, 8, (8,), 2)
        for cut in weight_tiles.cuts(gradient):
            assert cut.parts == 1 or cut.parts * weight_tiles.LEAST_STEPS <= cut.steps(gradient)
