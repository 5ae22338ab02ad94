"""The size arithmetic against published tables, a walk through the layers, and real networks."""

import numpy as np
import pytest

from cunet.engines import definition
from cunet.errors import CunetError
from cunet.net import sizes, tiles
from cunet.net.receptive_field import receptive_field
from cunet.net.unet import UNet

# d: input -> output of the authors' tiler, with input = 16 d + 60
PUBLISHED = {
    10: (220, 36),
    12: (252, 68),
    16: (316, 132),
    20: (380, 196),
    24: (444, 260),
    28: (508, 324),
    30: (540, 356),
    32: (572, 388),
    36: (636, 452),
    40: (700, 516),
    44: (764, 580),
    52: (892, 708),
}


def walk(size, depth):
    """The output side, layer by layer; None where a layer cannot do with what it gets."""
    skips = []
    for _ in range(depth):
        for _ in range(2):
            size -= 2
        if size <= 0 or size % 2 == 1:
            return None
        skips.append(size)
        size = size // 2
    for _ in range(2):
        size -= 2
    if size <= 0:
        return None
    for skip in reversed(skips):
        size = size * 2
        assert skip >= size and (skip - size) % 2 == 0
        for _ in range(2):
            size -= 2
        if size <= 0:
            return None
    return size


@pytest.mark.parametrize("d", PUBLISHED)
def test_the_published_table(d):
    size, output = PUBLISHED[d]
    assert size == 16 * d + 60
    assert sizes.fits(size, 4) and sizes.output_size(size, 4) == output
    assert tiles.tile_for_output(output, 4) == size
    assert tiles.tile_for_output(output + 1, 4) == size + 16


def test_the_numbers_of_the_paper():
    assert sizes.output_size(572, 4) == 388
    assert sizes.shrinkage(4) == 184 and sizes.margin(4) == 92 and sizes.lattice(4) == 16
    assert tiles.smallest_tile(4) == 188
    assert tiles.tile_for_output(512, 4) == 700


@pytest.mark.parametrize("depth", range(1, 6))
def test_a_walk_through_the_layers_finds_the_same_sizes(depth):
    valid = {size: walk(size, depth) for size in range(700) if walk(size, depth)}
    assert valid
    for size in range(-5, 700):
        assert sizes.fits(size, depth) == (size in valid), size
    for size, output in valid.items():
        assert sizes.output_size(size, depth) == output
    assert tiles.smallest_tile(depth) == min(valid)
    assert tiles.valid_tiles(depth, 0, 699) == sorted(valid)
    assert tiles.valid_tiles(depth, 500, 640) == [s for s in sorted(valid) if 500 <= s <= 640]
    for pixels in range(1, 200):
        best = min(size for size, output in valid.items() if output >= pixels)
        assert tiles.tile_for_output(pixels, depth) == best


@pytest.mark.parametrize("depth", range(1, 6))
def test_an_invalid_size_is_refused_with_the_nearest_valid_ones(depth):
    valid = [size for size in range(900) if walk(size, depth)]
    for size in range(1, 800):
        if size in valid:
            tiles.check_tile(size, depth)
            continue
        with pytest.raises(CunetError) as caught:
            tiles.check_tile(size, depth)
        numbers = [int(word) for word in str(caught.value).split() if word.isdigit()]
        below, above = [s for s in valid if s < size], [s for s in valid if s > size]
        assert numbers == [size, *below[-1:], above[0]]


def test_the_text_for_570():
    with pytest.raises(CunetError, match=r"tile 570 does not fit.*4 levels.* 556 and 572"):
        tiles.check_tile(570, 4)


def test_figure_1_of_the_paper():
    net = UNet(width=1, dropout=0)
    seen = {}
    net(
        np.zeros((1, 572, 572, 1), np.float32),
        remember=False,
        watch=lambda n, y: seen.update({n: y.shape}),
    )
    sides = [shape[1] for shape in seen.values()]
    down = [570, 568, 282, 280, 138, 136, 66, 64, 30, 28]
    up = [56, 54, 52, 104, 102, 100, 200, 198, 196, 392, 390, 388]
    assert sides == [*down, *up, 388]


@pytest.mark.parametrize("size", [188, 204, 252])
def test_the_crops_are_88_40_16_4(monkeypatch, size):
    from cunet.ops import crop_concat

    cropped, original = [], crop_concat.forward

    def recording(up, skip):
        cropped.append((skip.shape[1] - up.shape[1], skip.shape[2] - up.shape[2]))
        return original(up, skip)

    monkeypatch.setattr(crop_concat, "forward", recording)
    UNet(width=1)(np.zeros((1, size, size + 16, 1), np.float32), remember=False)
    assert cropped == [(2 * c, 2 * c) for c in (4, 16, 40, 88)]


def seen_by(depth, output_pixels):
    """First and last row and column of x that the output pixels (p, p) depend on, in a real net.

    With positive weights every ReLU passes. A max-pool passes the gradient to one pixel in four:
    the first where x falls along both axes, the last where x rises, which are the extremes.
    """
    net = UNet(width=1, depth=depth, dropout=0, dtype="float64", engine=definition)
    for p in net.parameters():
        p.value[...] = 1 / p.value[..., 0].size
    side = tiles.tile_for_output(sizes.lattice(depth), depth)
    ramp = 1.0 + np.add.outer(np.arange(side), np.arange(side)) / side
    found = {}
    for x in (ramp, ramp[::-1, ::-1]):
        logits, backward = net(np.ascontiguousarray(x)[None, :, :, None])
        for p in output_pixels:
            dlogits = np.zeros_like(logits)
            dlogits[0, p, p, 0] = 1
            dx = backward(dlogits, input_gradient=True)[0, :, :, 0]
            rows, columns = dx.any(axis=1).nonzero()[0], dx.any(axis=0).nonzero()[0]
            ends = [rows[0], rows[-1], columns[0], columns[-1]]
            old = found.get(p, ends)
            found[p] = [f(a, b) for f, a, b in zip((min, max) * 2, old, ends, strict=True)]
    return found


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_the_receptive_field_measured_by_gradients(depth):
    # Winograd mixes the pixels of a tile, so its zeros are rounded; the definition's are exact
    found = seen_by(depth, range(sizes.lattice(depth)))
    assert all(ends[:2] == ends[2:] for ends in found.values())
    lengths = {last - first + 1 for first, last, *_ in found.values()}
    assert sorted(lengths) == receptive_field(depth)


def test_the_receptive_field_of_the_paper():
    assert receptive_field(4) == [188, 204]
