"""Convolutions by boxes, run by the CPU as a card of compute capability 9.0, against float64."""

import ctypes

import numpy as np
import pytest
from activations import near, there
from by_definition import by_data
from cuda_emulation import emulate
from inputs import normal32

from cunet.engines import gpu
from cunet.engines.gpu import (
    box_check,
    box_tiles,
    convolution,
    cuda,
    elements,
    product,
    tensor_map,
)
from cunet.errors import CunetError, DeviceError
from cunet.ops import conv, up_conv

KERNELS = [
    *(("conv", tile, 1) for tile in box_tiles.CONV_TILES),
    ("conv", box_tiles.PART_TILE, 2),
    *((what, tile, 1) for what in ("up", "up_by_data") for tile in box_tiles.UP_TILES),
]
NAMES = [tile.name(what, parts) for what, tile, parts in KERNELS]


@pytest.fixture
def card(monkeypatch):
    return emulate(monkeypatch, 90)


def choosing(tile, parts=1):
    return box_tiles.choosing(lambda output: box_tiles.cut_by(tile, output, parts))


def normal(seed, *shape, divisor=1.0):
    return normal32(seed, *shape) / np.float32(divisor)


@pytest.mark.parametrize("precision", cuda.DTYPES)
@pytest.mark.parametrize(("what", "tile", "parts"), KERNELS, ids=NAMES)
def test_every_kernel_both_ways(card, precision, what, tile, parts):
    """Two images whose second is cut from a larger one, a batch, channels that fill no block, more
    tiles than blocks; in parts where the kernel is for parts."""
    if what != "conv":
        return check_up(card, precision, what, tile)
    up, up64 = there(card, normal(0, 2, 20, 19, 64), precision)
    whole, whole64 = there(card, np.maximum(normal(1, 2, 26, 23, 72), 0), precision)
    skip, skip64 = whole[:, 3:23, 2:21], whole64[:, 3:23, 2:21]
    w, b, dy = normal(2, 3, 3, 136, 72, divisor=35), normal(3, 72), normal(4, 2, 18, 17, 72)
    w64 = there(card, w, precision)[1]
    dy, dy64 = there(card, dy, precision)
    w, b = card.asarray(w), card.asarray(b)
    with choosing(tile, parts):
        y = convolution.conv_forward((up, skip), w, b, relu=True)
        dup, dskip = convolution.by_data(dy, w, (up, skip))
    both = np.concatenate((up64, skip64), axis=3)
    near(y, np.maximum(conv.forward(both, w64, b.get().astype(np.float64)), 0), precision)
    dx = by_data(dy64, w64)
    near(dup, dx[..., :64], precision)
    near(dskip, dx[..., 64:] * (skip64 > 0), precision)
    return None


def check_up(card, precision, what, tile):
    x, x64 = there(card, np.maximum(normal(0, 2, 11, 13, 136), 0), precision)
    w, b = normal(1, 2, 2, 136, 72, divisor=12), normal(2, 72)
    w64 = there(card, w, precision)[1]
    dy, dy64 = there(card, normal(3, 2, 22, 26, 72), precision)
    with choosing(tile):
        if what == "up":
            y = gpu.up_forward(x, card.asarray(w), card.asarray(b))
            near(y, up_conv.forward(x64, w64, b.astype(np.float64)), precision)
        else:
            dx, _, _ = gpu.up_backward(dy, x, card.asarray(w))
            near(dx, up_conv.backward(dy64, x64, w64)[0] * (x64 > 0), precision)


@pytest.mark.parametrize("precision", cuda.DTYPES)
def test_sums_are_the_same_in_any_order_of_threads(card, precision):
    """Every launch of the emulation runs its threads, and has its boxes arrive, in other orders."""
    x, _ = there(card, normal(0, 1, 21, 20, 40), precision)
    w, b = card.asarray(normal(1, 3, 3, 40, 24)), card.asarray(normal(2, 24))
    with choosing(box_tiles.CONV_TILES[0]):
        a, c = (elements.to_floats(convolution.conv_forward(x, w, b)).get() for _ in range(2))
    np.testing.assert_array_equal(a, c)


@pytest.mark.parametrize("size", [(1, 1), (3, 300), (300, 3), (28, 28), (570, 570)], ids=str)
@pytest.mark.parametrize(("what", "tile", "parts"), KERNELS, ids=NAMES)
def test_rectangles_cover_an_output_and_fit_into_boxes(what, tile, parts, size):
    output = box_tiles.Output(what, 1, *size, 64, 9, parts, False)
    cut = box_tiles.cut_by(tile, output, parts)
    across, down = cut.rectangles(output)
    assert (across - 1) * cut.wide < size[1] <= across * cut.wide
    assert (down - 1) * cut.high < size[0] <= down * cut.high
    assert cut.wide * cut.high <= tile.pixels and max(cut.wide, cut.high) <= 254


@pytest.mark.parametrize("tile", box_tiles.UP_TILES, ids=["128", "192"])
@pytest.mark.parametrize(
    "size", [(128, 8001), (256, 65521), (191, 30011), (384, 1_000_003)], ids=str
)
@pytest.mark.parametrize("channels", [4, 4096])
def test_places_within_a_tile_fit_into_32_bits(tile, size, channels):
    """From the first row of a tile to its last, where an image is very wide."""
    columns = size[1]
    cut = box_tiles.cut_by(tile, box_tiles.Output("up", 1, *size, channels, 1, 1, False))
    assert cut.high == 1 or cut.high * columns * channels < 2**31
    assert 1 <= cut.wide * cut.high <= tile.pixels


@pytest.mark.parametrize("boxes", [True, False])
@pytest.mark.parametrize("axis", [1, 2])
def test_gaps_that_the_kernels_of_gradients_do_not_know_are_an_error(
    card, axis, boxes, monkeypatch
):
    monkeypatch.setattr(box_check, "wanted", boxes)
    whole, _ = there(card, normal(0, 2, 12, 12, 16), "float16")
    dy = whole[:, 2:] if axis == 1 else whole[:, :, 2:]
    x, _ = there(card, normal(1, 2, *(side // 2 for side in dy.shape[1:3]), 8), "float16")
    with pytest.raises(CunetError, match="expected a gradient without gaps, found .2, 1"):
        gpu.up_backward(dy, x, card.asarray(normal(2, 2, 2, 8, 16)))
    if not boxes:  # boxes know all gaps
        larger = card.zeros((2, dy.shape[1] + 2, dy.shape[2] + 2, 8), np.float16)
        with pytest.raises(CunetError, match="expected a gradient without gaps"):
            convolution.by_weights(dy, larger, (3, 3))


def test_an_input_that_is_some_channels_of_a_larger_one_is_an_error(card):
    whole, _ = there(card, normal(0, 1, 12, 12, 24), "float16")
    dy, _ = there(card, normal(1, 1, 10, 10, 16), "float16")
    w = card.asarray(normal(2, 3, 3, 16, 16))
    with pytest.raises(CunetError, match="pixels must lie side by side"):
        convolution.by_data(dy, w, whole[..., 8:])
    with pytest.raises(CunetError, match="pixels must lie side by side"):
        convolution.conv_forward(whole[..., 8:], w, card.zeros(16, np.float32))


def test_the_check_changes_no_choice_of_other_threads(card, monkeypatch):
    chosen = []
    launched = box_check.boxes.launch_boxes

    def look(*arguments, **named):
        chosen.append(box_tiles.choose.function)
        return launched(*arguments, **named)

    monkeypatch.setattr(box_check.boxes, "launch_boxes", look)
    assert box_check.difference("bfloat16") < box_check.LARGEST_ERROR
    assert chosen == [box_tiles.cheapest]


def test_shared_memory_fits_as_many_blocks_as_a_kernel_is_made_for():
    for what, tile, _ in KERNELS:
        for size in (2, 4):
            each = 1024 + tile.shared(what, size)  # the system takes 1 KB of every block
            assert tile.resident * each <= 228 << 10 and tile.shared(what, size) <= 227 << 10


def test_the_cheapest_cut_is_that_of_the_times_that_were_measured(monkeypatch):
    """Layers of the paper's net on 132 multiprocessors, and what was fastest there in 16 bits."""
    monkeypatch.setattr(cuda, "processors", lambda: 132)

    def chosen(side, channels, blocks, masked=False):
        cut = box_tiles.cheapest(
            box_tiles.Output("conv", 1, side, side, channels, 9, blocks, masked)
        )
        return cut.tile.filters, cut.tile.pixels, cut.parts

    assert chosen(568, 64, 1) in ((1, 128, 1), (1, 192, 1))  # contract0.conv2
    assert chosen(570, 64, 1, True) == (1, 128, 1)
    assert chosen(136, 256, 4) == (2, 160, 1)  # contract2.conv2
    assert chosen(32, 512, 16, True)[2] > 1  # contract4.conv1 by data, in parts


def test_other_gpus_and_those_that_differ_use_the_other_kernels(card, monkeypatch):
    said = []
    monkeypatch.setattr(cuda, "announce", said.append)
    x = elements.to_elements(card.asarray(normal(0, 1, 9, 9, 16)), "tf32")
    assert box_check.usable(x) and not said
    box_check.problem.cache_clear()
    launched = box_check.launch_tiles

    def wrong(what, problem, size):
        launched(what, problem, size)
        problem.y1[...] *= 1.02

    monkeypatch.setattr(box_check, "launch_tiles", wrong)
    assert not box_check.usable(x) and not box_check.usable(x)
    assert len(said) == 1 and "differs by 0.02" in said[0]
    w, b = card.asarray(normal(1, 3, 3, 16, 16)), card.zeros(16, np.float32)
    names = []
    launch = product.launch
    monkeypatch.setattr(
        product, "launch", lambda x, name, *a, **k: (names.append(name), launch(x, name, *a, **k))
    )
    convolution.conv_forward(x, w, b)
    assert names == ["conv_64x64"] or names[0].startswith("conv_")
    monkeypatch.setattr(cuda, "capability", lambda: 86)
    assert not box_check.usable(x) and len(said) == 1


def test_a_driver_that_refuses_a_map_is_told(monkeypatch):
    tensor_map.driver.cache_clear()

    def refuse(*arguments):
        return 1

    monkeypatch.setattr(tensor_map, "driver", lambda: refuse)
    with pytest.raises(DeviceError, match=r"error 1.*\(64, 7, 7, 1\)"):
        tensor_map.tiled(256, np.dtype("uint16"), (64, 7, 7, 1), (64, 448, 3136), (64, 7, 7, 1))


def test_a_map_is_what_the_driver_writes(monkeypatch):
    """The arguments in cuda.h's order, from the innermost dimension; 128 bytes, aligned to 64."""
    seen = {}

    def encode(to, kind, rank, address, lengths, strides, box, steps, *rest):
        seen.update(aligned=to % 64, kind=kind, rank=rank, address=address, rest=rest)
        seen.update(lengths=list(lengths), strides=list(strides), box=list(box), steps=list(steps))
        ctypes.memset(to, 7, 128)
        return 0

    monkeypatch.setattr(tensor_map, "driver", lambda: encode)
    made = tensor_map.tiled(4096, np.dtype("uint16"), (8, 9, 5), (8, 72), (64, 3, 2))
    assert made.shape == () and made.tobytes() == b"\7" * 128
    assert (
        seen["lengths"] == [8, 9, 5] and seen["strides"] == [16, 144] and seen["box"] == [64, 3, 2]
    )
    assert (seen["aligned"], seen["kind"], seen["rank"], seen["address"]) == (0, 9, 3, 4096)
    assert seen["steps"] == [1, 1, 1] and seen["rest"] == (0, 3, 3, 0)


def test_without_the_driver_the_other_kernels_are_used(card, monkeypatch):
    def missing():
        raise DeviceError("no driver")

    said = []
    monkeypatch.setattr(cuda, "announce", said.append)
    monkeypatch.setattr(tensor_map, "driver", missing)
    x = elements.to_elements(card.asarray(normal(0, 1, 9, 9, 16)), "tf32")
    w, b = card.asarray(normal(1, 3, 3, 16, 16)), card.zeros(16, np.float32)
    assert convolution.conv_forward(x, w, b).shape == (1, 7, 7, 16)
    assert said == ["the copy engine's kernels are not used in tf32: no driver"]
