"""Where the tile lies, and that its result is what `cunet.segment` finds there."""

from dataclasses import replace

import numpy as np
import pytest
from random_nets import random_net

import cunet
from cunet.net.receptive_field import context
from cunet.net.shape import Shape
from cunet.net.sizes import fits, lattice
from cunet.tracing.place import place


@pytest.mark.parametrize(
    ("depth", "padding", "tile"),
    [(1, "valid", 20), (2, "valid", 44), (2, "valid", 48), (2, "valid", 76), (2, "same", 112),
     (1, "same", 60), (4, "valid", 204), (4, "valid", 572), (4, "same", 572 // 16 * 16 + 16)],
)  # fmt: skip
def test_the_tile_lies_on_the_grid_around_the_pixel(depth, padding, tile):
    shape, step = Shape(depth=depth, padding=padding), lattice(depth)
    for pixels in (1, 7, 40, 101, 700):
        for pixel in range(0, pixels, 1 if depth < 4 else 7):
            side = place(pixel, pixels, shape, tile)
            output = side.tile - 2 * side.lost
            assert fits(side.tile, depth, padding) and side.tile <= tile
            assert side.output == side.first + side.lost and side.output % step == 0
            assert 0 <= side.output <= pixel < side.output + output
            assert side.inside == slice(0, min(output, pixels - side.output))
            assert len(side.seen) == side.tile
            if side.tile < tile:
                assert side.output == 0 and output >= pixels
            elif side.output > 0 and side.output + output < pixels:  # neither end is near
                assert abs(pixel - (side.output + output // 2)) <= step
                if padding == "same":
                    edges = pixel - side.first, side.first + side.tile - 1 - pixel
                    assert min(edges) >= context(depth) - 1


@pytest.mark.parametrize(
    ("size", "pixel", "tile"),
    [
        ((60, 71), (30, 30), 60),
        ((60, 71), (59, 70), 44),
        ((13, 90), (2, 89), 48),
        ((1, 1), (0, 0), None),
    ],
)
@pytest.mark.parametrize(
    "settings", [{}, {"batch_norm": True}, {"sigmoid": True}, {"in_channels": 3, "classes": 3}],
    ids=str,
)  # fmt: skip
def test_the_result_is_that_of_segment(size, pixel, tile, settings):
    net = random_net(dtype="float64", **settings)
    image = np.random.default_rng(1).integers(0, 256, (*size, net.shape.in_channels))
    traced = cunet.trace(net, image, pixel, tile=tile)
    whole = cunet.segment(image, net, tile=76)
    top, left = traced.down.output, traced.across.output
    height, width = traced.probability.shape[:2]
    part = whole[top : top + height, left : left + width]
    np.testing.assert_allclose(traced.probability, part, rtol=1e-7, atol=1e-10)
    assert top <= pixel[0] < top + height and left <= pixel[1] < left + width


def test_with_same_padding_the_chosen_pixel_is_that_of_segment():
    net = random_net(dtype="float64", padding="same")
    image = np.random.default_rng(1).integers(0, 256, (130, 140))
    whole = cunet.segment(image, net)
    for pixel in ((0, 0), (66, 67), (129, 20)):
        traced = cunet.trace(net, image, pixel, tile=60)
        here = traced.probability[pixel[0] - traced.down.output, pixel[1] - traced.across.output]
        np.testing.assert_allclose(here, whole[pixel], rtol=1e-7, atol=1e-10)


def test_an_image_normalised_by_its_own_pixels():
    net = random_net(dtype="float64")
    net.normalization = replace(net.normalization, per_image=True)
    image = np.random.default_rng(1).integers(0, 60, (40, 50))
    traced = cunet.trace(net, image, (20, 20), tile=44)
    whole = cunet.segment(image, net)
    top, left = traced.down.output, traced.across.output
    height, width = traced.probability.shape[:2]
    np.testing.assert_allclose(traced.probability, whole[top:, left:][:height, :width], rtol=1e-7)


def test_a_network_that_scales_images_sees_the_scaled_one_and_the_pixel_there():
    net = random_net(resize=20, in_channels=3)
    image = np.random.default_rng(1).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    labels = np.zeros((40, 60), np.uint8)
    labels[:, 30:] = 1
    traced = cunet.trace(net, image, (39, 31), labels)
    assert traced.picture.scaled == 20 and traced.picture.size == (40, 60)
    assert traced.pixel == (19, 10)
    assert traced.probability.shape == (20, 20, 2)
    np.testing.assert_array_equal(traced.labels, [[0] * 10 + [1] * 10] * 20)
    with pytest.raises(cunet.CunetError, match="tile 44: this network scales.*20 x 20"):
        cunet.trace(net, image, tile=44)
