"""Segmentation by tiles against one pass over the whole image, which the test pads by itself."""

from dataclasses import replace

import numpy as np
import pytest
from whole_image import (
    MARGINS,
    SMALLEST_TILE,
    padded_to,
    probabilities,
    random_image,
    random_net,
    whole,
)

import cunet
from cunet.data import mirror
from cunet.errors import CunetError
from cunet.net.normalization import Normalization
from cunet.segmentation import segment, tiling, views

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


def check(found, expected, dtype="float64"):
    assert found.shape == expected.shape and found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize(
    "depth,tile,shape",
    [
        (1, 18, (9, 14)),
        (1, 22, (23, 40)),
        (1, 20, (1, 1)),
        (2, 44, (33, 18)),
        (2, 52, (4, 61)),
        (2, 48, (3, 2)),
        (3, 100, (40, 61)),
        (3, 108, (75, 12)),
        (3, 132, (17, 50)),
        (4, 204, (35, 70)),
        (4, 220, (50, 37)),
        (4, 572, (20, 16)),
    ],
)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_tiles_equal_the_whole_image(depth, tile, shape, dtype):
    net, image = random_net(depth, dtype=dtype), random_image(*shape)
    found, expected = cunet.segment(image, net, tile), whole(image, net)
    check(found, expected, dtype)
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=TOLERANCE[dtype])
    if min(shape) > 3:
        assert np.ptp(expected[..., 1]) > 0.01, "a flat result compares nothing"


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (2, 2), (2, 30), (7, 3), (20, 21)])
def test_images_smaller_than_the_border_are_mirrored_repeatedly(shape):
    net, image = random_net(2), random_image(*shape)
    check(cunet.segment(image, net, 44), whole(image, net))
    check(cunet.segment(image, net, 572), whole(image, net))


def test_several_channels_and_classes_and_integer_images():
    net = random_net(2, in_channels=3, classes=4)
    image = (255 * np.abs(np.sin(random_image(31, 22, 3)))).astype(np.uint8)
    image.flags.writeable = False
    kept = image.copy()
    net.normalization = Normalization(
        (100.0, 50.0, 0.0), (20.0, 40.0, 80.0), (0.0,) * 3, (1.0,) * 3
    )
    scaled = (image.astype(np.float64) - [100, 50, 0]) / [20, 40, 80]
    check(cunet.segment(image, net, 48), whole(scaled, net))
    np.testing.assert_array_equal(image, kept)


def test_both_forms_of_a_grey_image_and_strided_images():
    net, image = random_net(1), random_image(20, 15)
    expected = cunet.segment(image, net, 22)
    np.testing.assert_array_equal(cunet.segment(image[..., None], net, 22), expected)
    strided = np.repeat(image.T, 2, axis=0)[::2].T
    np.testing.assert_array_equal(cunet.segment(strided, net, 22), expected)


@pytest.mark.parametrize("tile", [100, 108])
def test_the_papers_stride_shows_seams_and_the_exact_one_none(tile):
    net, image = random_net(3), random_image(40, 45)
    expected, first = whole(image, net), tile - 88
    exact, paper = (cunet.segment(image, net, tile, stride=s) for s in ("exact", "paper"))
    check(exact, expected)
    assert np.abs(paper - expected).max() > 1e-3
    # the first tile lies on the lattice, the next are shifted by 4 of its 8 pixels
    check(paper[:first, :first], expected[:first, :first])
    assert np.abs(paper - expected)[first : 2 * first, :first].max() > 1e-3
    assert np.abs(paper - expected)[:first, first : 2 * first].max() > 1e-3


def test_the_stride_of_the_papers_tile():
    """388 pixels come out of 572; 384 is the largest multiple of 16 below."""
    assert list(tiling.plan(1000, 4, 572).starts) == [0, 384, 768]
    assert list(tiling.plan(1000, 4, 572, "paper").starts) == [0, 388, 776]
    assert (tiling.plan(388, 4, 572).tile, len(tiling.plan(388, 4, 572).starts)) == (572, 1)
    assert (tiling.plan(1, 4, 572).tile, tiling.plan(36, 4, 572).tile) == (188, 220)
    assert (tiling.plan(37, 4, 572).tile, tiling.plan(389, 4, 572).tile) == (236, 572)


@pytest.mark.parametrize("shift", [8, 16])
def test_an_image_cut_on_the_lattice_gives_the_same_away_from_its_border(shift):
    net, image = random_net(3), random_image(120, 130)
    all_of_it, rest = (cunet.segment(i, net, 108) for i in (image, image[shift:, shift:]))
    inner = np.s_[52:-52, 52:-52]  # a pixel sees 44 pixels around it and the rest of its period
    np.testing.assert_allclose(rest[inner], all_of_it[shift:, shift:][inner], rtol=0, atol=1e-12)


# Averages over flips and rotations

VIEWS = {
    "none": [(0, False)],
    "flips": [(0, False), (0, True), (2, False), (2, True)],
    "rotations": [(turns, flip) for turns in range(4) for flip in (False, True)],
}


def averaged_tiles(image, net, tile, average):
    """Tile by tile: turn by 90 degrees, flip, one pass, and the same undone; then the mean."""
    step, height, width = tile - 2 * MARGINS[net.shape.depth], *image.shape
    step -= step % 2**net.shape.depth
    result = np.zeros((height, width, net.shape.classes))
    grown = [tile + step * ((length - 1) // step) for length in (height, width)]
    mirrored = padded_to(image[..., None], grown, net.shape.depth)
    for top in range(0, height, step):
        for left in range(0, width, step):
            cut, total = mirrored[top : top + tile, left : left + tile], 0
            for turns, flip in VIEWS[average]:
                view = np.rot90(cut, turns)
                view = np.fliplr(view) if flip else view
                p = probabilities(net(np.ascontiguousarray(view)[None], remember=False))[0]
                p = np.fliplr(p) if flip else p
                total = total + np.rot90(p, -turns)
            piece = result[top : top + step, left : left + step]
            piece[...] = (total / len(VIEWS[average]))[: piece.shape[0], : piece.shape[1]]
    return result


@pytest.mark.parametrize("average", VIEWS)
@pytest.mark.parametrize("depth,tile,shape", [(1, 22, (15, 20)), (2, 48, (13, 26))])
def test_averages_over_transformed_tiles(average, depth, tile, shape):
    net, image = random_net(depth), random_image(*shape)
    expected = averaged_tiles(image, net, tile, average)
    check(cunet.segment(image, net, tile, average), expected)
    if average != "none":
        assert np.abs(expected - whole(image, net)).max() > 1e-3


@pytest.mark.parametrize("average", VIEWS)
def test_averages_do_not_depend_on_the_tiles(average):
    net, image = random_net(2), random_image(18, 29)
    first, *others = (cunet.segment(image, net, tile, average) for tile in (44, 56, 108))
    for other in others:
        np.testing.assert_allclose(other, first, rtol=0, atol=1e-12)


@pytest.mark.parametrize("average", ["flips", "rotations"])
def test_an_average_keeps_the_symmetry(average):
    """One tile that stands symmetrically: the flipped image gives the flipped result."""
    net, image = random_net(1), random_image(6, 6)
    tile = np.pad(image, 8, mode="reflect")[..., None]
    several = views.AVERAGES[average]
    expected = views.average_views(net, tile, several)
    transforms = [np.flipud, np.fliplr] + [np.rot90] * (average == "rotations")
    for transform in transforms:
        found = views.average_views(net, np.ascontiguousarray(transform(tile)), several)
        np.testing.assert_allclose(found, transform(expected), rtol=0, atol=1e-12)


# Bands and the plan


@pytest.mark.parametrize("height,width", [(1, 5), (8, 20), (9, 7), (41, 13)])
def test_bands_hold_one_row_of_tiles(height, width):
    net, image = random_net(2), random_image(height, width, 1)
    tile, step = 48, 8
    asked = []

    def read_rows(first, last):
        assert 0 <= first < last <= height
        asked.append(last - first)
        return image[first:last]

    firsts, pieces = [], []
    for first, band in segment.bands(read_rows, height, width, net, tile):
        assert len(asked) == len(pieces) + 1, "rows are read when they are needed"
        assert len(band) <= step and band.shape[1:] == (width, 2)
        firsts.append(first)
        pieces.append(band)
    assert firsts == list(range(0, height, step)) and max(asked) <= tile
    np.testing.assert_array_equal(np.concatenate(pieces), cunet.segment(image, net, tile))


@pytest.mark.parametrize("first,count,size", [(-5, 20, 7), (-20, 50, 3), (0, 4, 9), (-9, 19, 1)])
def test_mirrored_indices_are_numpys(first, count, size):
    before, after = max(0, -first), max(0, first + count - size)
    reference = np.pad(np.arange(size), (before, after), mode="reflect")
    start = first + before
    np.testing.assert_array_equal(
        mirror.reflect(first, count, size), reference[start : start + count]
    )


@pytest.mark.parametrize("stride", tiling.STRIDES)
@pytest.mark.parametrize("depth,tile", [(1, 20), (2, 44), (3, 108), (4, 572), (4, 204)])
def test_plans_cover_every_pixel(depth, tile, stride):
    for pixels in (1, 2, 16, 20, 21, 50, 388, 389, 777):
        plan = tiling.plan(pixels, depth, tile, stride)
        outputs, covered = plan.tile - 2 * MARGINS[depth], np.zeros(pixels, bool)
        assert plan.tile <= tile and (plan.tile - SMALLEST_TILE[depth]) % 2**depth == 0
        for start in plan.starts:
            assert stride == "paper" or start % 2**depth == 0
            covered[start : start + outputs] = True
        assert covered.all() and plan.starts[-1] < pixels
        if len(plan.starts) == 1:  # no smaller tile would do
            assert plan.tile == SMALLEST_TILE[depth] or outputs - 2**depth < pixels


@pytest.mark.parametrize(
    "arguments,reported",
    [
        ({"tile": 570}, "570 does not fit"),
        ({"average": "median"}, "expected one of .*flips.*found 'median'"),
        ({"stride": "wide"}, "expected one of exact, .*found 'wide'"),
    ],
)
def test_invalid_arguments(arguments, reported):
    net = random_net(4, width=1)
    with pytest.raises(CunetError, match=reported) as caught:
        cunet.segment(random_image(5, 5), net, **arguments)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("shape", [(5,), (5, 5, 2), (2, 5, 5, 1), (0, 5), (5, 0, 1)])
def test_images_of_another_shape(shape):
    with pytest.raises(CunetError, match=r"\(H, W\) or \(H, W, 1\)"):
        cunet.segment(np.zeros(shape), random_net(1), 18)


def test_a_tile_below_one_period_says_which_suffices():
    """A tile of 188 gives 4 pixels, less than a period of 16; it is enough for an image of 4."""
    net = random_net(4, width=1)
    assert cunet.segment(random_image(4, 4), net, 188).shape == (4, 4, 2)
    with pytest.raises(CunetError, match="tile 188 .* 204"):
        cunet.segment(random_image(5, 4), net, 188)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_each_image_may_have_its_own_mean_and_deviation(padding, tmp_path):
    """Then neither brightness nor contrast of an image matters, in however many tiles and rows."""
    net = random_net(2, in_channels=2, padding=padding)
    net.normalization = replace(Normalization.identity(2), per_image=True)
    image = random_image(300, 90, 2)  # more rows than are read at once
    scaled = (image - image.mean((0, 1))) / image.std((0, 1))
    plain = random_net(2, in_channels=2, padding=padding)
    expected = cunet.segment(scaled, plain, 96)
    check(cunet.segment(image, net, 96), expected)
    brighter = image * [3.0, 0.5] + [7.0, -2.0]
    check(cunet.segment(brighter, net, 96), expected)
    cunet.save(tmp_path / "net.npz", net)
    again = cunet.load(tmp_path / "net.npz")
    assert again.normalization.per_image
    check(cunet.segment(image, again, 96), expected)
    flat = cunet.segment(np.full((20, 20, 2), 5), net, 96)
    assert np.isfinite(flat).all()


def test_progress_is_called_after_every_band_of_tiles():
    net, image = cunet.UNet(width=1, depth=1), np.random.default_rng(3).random((45, 30))
    seen = []
    with_progress = cunet.segment(image, net, tile=28, progress=lambda *now: seen.append(now))
    step = 28 - 16 - (28 - 16) % 2  # of output rows, on the pooling grid
    bands = range(step, 45, step)
    assert seen == [*((rows, 45) for rows in bands), (45, 45)]
    np.testing.assert_array_equal(with_progress, cunet.segment(image, net, tile=28))
    seen.clear()
    cunet.segment(image[:5], net, progress=lambda *now: seen.append(now))
    assert seen == [(5, 5)]
