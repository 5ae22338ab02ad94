"""Winograd's convolution against the definition, in both schedules; and its matrices."""

import numpy as np
import pytest
from inputs import normal

from cunet.engines import definition
from cunet.engines.cpu import winograd, winograd_cuts, winograd_tiles


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    "shape",
    [
        *((1, 12 + r, 15 - r, 5, 17) for r in range(4)),  # every remainder of the size by 4
        (1, 3, 3, 17, 3),  # a single tile, cut on both sides
        (2, 90, 70, 24, 20),  # many strips of two images
        (2, 11, 14, 70, 60),  # chunks of channels, the last one short
        (1, 150, 130, 40, 24),  # products in blocks of tiles that need not be packed, and a rest
    ],
    ids=lambda shape: "x".join(map(str, shape)),
)
def test_winograd_against_the_definition(shape, padding, monkeypatch):
    """Both schedules, in float64 against the definition, in float32 against the same in float64."""
    n, height, width, c, k = shape
    monkeypatch.setattr(winograd_cuts, "CHUNK_CHANNELS", 16)  # so that small layers are deep
    tiles = winograd_tiles.tiles_along(height) * winograd_tiles.tiles_along(width)
    assert winograd_cuts.deep(tiles, c, k) == (c == 70)
    x, w, b = normal(1, n, height, width, c), normal(2, 3, 3, c, k), normal(3, k)
    y = definition.conv_forward(x, w, b, padding)
    dy = normal(4, *y.shape)
    expected = y, *definition.conv_backward(dy, x, w, padding=padding)
    for dtype, limit in (("float64", 1e-13), ("float32", 1e-5)):
        a, v, c0, d = (array.astype(dtype) for array in (x, w, b, dy))
        images = a[..., :3], a[..., 3:]
        gradients = winograd.conv_backward(d, images, v, padding=padding)
        found = winograd.conv_forward(images, v, c0, padding), *gradients
        for one, other in zip(found, expected, strict=True):
            assert np.abs(one - other).max() <= limit * np.abs(other).max()


def test_the_matrices_of_winograd_satisfy_toom_and_cook():
    """AT [(G g) * (BT d)] is the correlation of d with g, for numbers that float64 holds."""
    for seed in range(5):
        d, g = normal(seed, 6), normal(seed + 10, 3)
        y = winograd_tiles.AT @ ((winograd_tiles.G @ g) * (winograd_tiles.BT @ d))
        np.testing.assert_allclose(y, np.correlate(d, g, "valid"), rtol=0, atol=1e-14)
