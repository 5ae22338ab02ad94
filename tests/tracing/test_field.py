"""The receptive field of an output pixel: formula, gradients, and a walk through the layers."""

import numpy as np
import pytest
from random_nets import VARIANTS, random_net

import cunet
from cunet.net.receptive_field import context, interval
from cunet.net.sizes import lattice, margin
from cunet.net.tiles import tile_for_output
from cunet.tracing.field import Field, measure


def walked(pixel, depth, padding):
    """The input pixels that an output pixel depends on: sets of pixels, layer by layer backwards.

    Pixels of a level are counted from the first one of the tile's part that this level sees.
    """
    before, after = (1, 1) if padding == "same" else (0, 2)

    def conv(pixels):
        return {p + d for p in pixels for d in range(-before, after + 1)}

    def level(pixels, i):
        if i == depth:
            return conv(conv(pixels))
        pixels = conv(conv(pixels))
        below = level({p // 2 for p in pixels}, i + 1)
        crop = 0
        if padding == "valid":  # what the levels below lose, seen at this resolution
            side = 2 * 200  # any even side: after the pooling half of it
            lost = 4 + sum(8 * 2**k for k in range(depth - i - 1)) + 4 * (2 ** (depth - i - 1) - 1)
            crop = (side - 2 * (side // 2 - lost)) // 2
        across = {p + crop for p in pixels}
        down = {2 * p + d for p in below for d in (0, 1)}
        return conv(conv(across | down))

    return level({pixel}, 0)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_the_interval_is_that_of_a_walk_through_the_layers(depth, padding):
    for pixel in range(2 * lattice(depth)):
        seen = walked(pixel, depth, padding)
        assert interval(pixel, depth, padding) == (min(seen), max(seen)), pixel


def test_the_phases_of_the_paper_see_188_or_204_pixels():
    spans = [interval(phase, 4) for phase in range(16)]
    lengths = [last - first + 1 for first, last in spans]
    assert sorted(set(lengths)) == [188, 204]
    for (first, last), phase in zip(spans, range(16), strict=True):
        assert first <= phase + margin(4) <= last  # the input pixel at the same place
    assert interval(16 + 3, 4) == (spans[3][0] + 16, spans[3][1] + 16)


def random_tile(net, side, seed):
    shape = (1, side, side, net.shape.in_channels)
    return np.random.default_rng(seed).standard_normal(shape).astype(net.dtype)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_measured_equals_the_formula_for_every_phase(depth):
    """Of a network as it is made; rows and columns take all phases, in opposite orders."""
    net = cunet.UNet(width=4 if depth == 4 else 8, depth=depth, dtype="float64", seed=depth)
    phases = lattice(depth)
    x = random_tile(net, tile_for_output(phases, depth), 11)
    for phase in range(phases):
        pixel = phase, phases - 1 - phase
        found = measure(net, x, pixel)
        expected = tuple(interval(p, depth) for p in pixel)
        assert found.measured == found.formula == expected and not found.cut
        if depth == 4:
            assert {last - first + 1 for first, last in found.measured} <= {188, 204}


@pytest.mark.parametrize(
    "settings",
    [
        {"padding": "same"},
        {"variant": "release2015"},
        {"padding": "same", "batch_norm": True, "sigmoid": True},
        {"classes": 3, "in_channels": 3},
    ],
    ids=str,
)
def test_so_does_every_other_kind_of_network(settings):
    net = cunet.UNet(width=8, depth=2, dtype="float64", seed=2, **settings)
    padding = net.shape.padding
    start = 8 * context(2) if padding == "same" else 20
    x = random_tile(net, 2 * start if padding == "same" else tile_for_output(40, 2), 5)
    for phase in range(4):
        pixel = start + phase, start + 3 - phase
        found = measure(net, x, pixel)
        assert found.measured == found.formula == tuple(interval(p, 2, padding) for p in pixel)


def test_with_same_padding_a_field_ends_where_the_tile_ends():
    net = cunet.UNet(width=8, depth=2, dtype="float64", padding="same", seed=2)
    x = random_tile(net, 96, 5)
    found = measure(net, x, (1, 94))
    (top, bottom), (left, right) = interval(1, 2, "same"), interval(94, 2, "same")
    assert top < 0 and right > 95 and found.cut
    assert found.formula == ((0, bottom), (left, 95)) == found.measured


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_the_magnitude_is_what_finite_differences_find(settings):
    net = random_net(dtype="float64", **{"width": 4, "seed": 6} | settings)
    x = random_tile(net, 56 if net.shape.padding == "valid" else 48, 3)
    pixel = (5, 10)
    found, rng = measure(net, x, pixel), np.random.default_rng(0)
    (top, bottom), (left, right) = found.formula
    assert found.magnitude.shape == (bottom - top + 1, right - left + 1)
    assert found.measured is not None
    places = [np.unravel_index(found.magnitude.argmax(), found.magnitude.shape)]
    places += [tuple(int(rng.integers(side)) for side in found.magnitude.shape) for _ in range(4)]
    for row, column in places:
        total = 0.0
        for channel in range(net.shape.in_channels):
            values = []
            for step in (1e-5, -1e-5):
                pushed = x.copy()
                pushed[0, top + row, left + column, channel] += step
                values.append(net(pushed, remember=False)[0, pixel[0], pixel[1], found.logit])
            total += abs(values[0] - values[1]) / 2e-5
        assert found.magnitude[row, column] == pytest.approx(total, rel=1e-3, abs=1e-8)


def test_what_lies_outside_of_the_measured_box_changes_nothing():
    net = cunet.UNet(width=4, depth=2, dtype="float64", seed=1)
    x = random_tile(net, 76, 8)
    found = measure(net, x, (17, 18))
    rows, columns = (slice(first, last + 1) for first, last in found.measured)
    other = random_tile(net, 76, 9)
    other[:, rows, columns] = x[:, rows, columns]
    before, after = (net(one, remember=False)[0, 17, 18] for one in (x, other))
    np.testing.assert_allclose(before, after, rtol=1e-12)


def test_a_product_of_many_small_weights_is_not_taken_for_nothing():
    net = cunet.UNet(width=8, depth=2, seed=2)  # float32, which ends at 1e-45
    for p in net.parameters():
        p.value[...] *= np.float32(1e-5)
    x = random_tile(net, 76, 8)
    found = measure(net, x, (17, 18))
    assert 0 < found.magnitude[found.magnitude > 0].min() < 1e-50
    assert found.measured == found.formula


def test_dead_relus_make_the_field_smaller_and_all_dead_ones_leave_nothing():
    net = cunet.UNet(width=4, depth=1, dtype="float64", seed=1)
    x = random_tile(net, 32, 8)
    for layer in net.levels[1].contract[:2]:
        layer.b.value[:] = -1e6  # nothing passes the bottom: only the skip is left
    found = measure(net, x, (3, 4))
    assert found.formula == (interval(3, 1), interval(4, 1))
    assert found.measured == ((3 + 4, 3 + 12), (4 + 4, 4 + 12))  # four convolutions see 9 pixels
    net.levels[0].expand[1].b.value[:] = -1e6
    nothing = measure(net, x, (3, 4))
    assert nothing.measured is None and nothing.within(0.5) is None
    assert nothing.zeros == nothing.magnitude.size


def test_the_square_that_holds_a_share_is_found_by_counting():
    rng = np.random.default_rng(4)
    magnitude = rng.random((9, 12))
    field = Field(((10, 18), (20, 31)), None, False, magnitude, 0, (13, 26))
    for share in (0.1, 0.5, 0.95, 1 - 1e-9):
        for radius in range(12):
            rows = slice(max(3 - radius, 0), 3 + radius + 1)
            columns = slice(max(6 - radius, 0), 6 + radius + 1)
            if magnitude[rows, columns].sum() >= share * magnitude.sum():
                break
        assert field.within(share) == 2 * radius + 1
