"""Convolutions by boxes, run by the CPU as a card of compute capability 9.0, against float64."""

import ctypes

import numpy as np
import pytest
from activations import near, there
from by_definition import by_data
from cuda_emulation import build_text, emulate, source
from inputs import normal32

from cunet.engines import gpu
from cunet.engines.gpu import box_tiles, boxes, convolution, cuda, elements, tensor_map
from cunet.errors import DeviceError
from cunet.ops import conv, up_conv

KERNELS = [(what, tile) for what, tiles in box_tiles.TILES.items() for tile in tiles]


@pytest.fixture
def card(monkeypatch):
    return emulate(monkeypatch, 90)


def name(value):
    return value if isinstance(value, str) else value.name("").replace("__", "_")


def choosing(tile, parts=1):
    return box_tiles.choosing(lambda output: box_tiles.cut_by(tile, output, parts))


def normal(seed, *shape, divisor=1.0):
    return normal32(seed, *shape) / np.float32(divisor)


@pytest.mark.parametrize("precision", cuda.DTYPES)
@pytest.mark.parametrize(("what", "tile"), KERNELS, ids=name)
def test_every_kernel_both_ways(card, precision, what, tile):
    """Two images whose second is cut from a larger one, a batch, channels that fill no block, more
    tiles than blocks; in parts where the kernel is for parts."""
    kind, parts = what.removesuffix("_part"), 2 if what.endswith("_part") else 1
    if kind != "conv":
        return check_up(card, precision, kind, tile, parts)
    up, up64 = there(card, normal(0, 2, 30, 19, 64), precision)
    whole, whole64 = there(card, np.maximum(normal(1, 2, 36, 23, 72), 0), precision)
    skip, skip64 = whole[:, 3:33, 2:21], whole64[:, 3:33, 2:21]
    w, b, dy = normal(2, 3, 3, 136, 72, divisor=35), normal(3, 72), normal(4, 2, 28, 17, 72)
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


def check_up(card, precision, kind, tile, parts):
    x, x64 = there(card, np.maximum(normal(0, 2, 11, 13, 136), 0), precision)
    w, b = normal(1, 2, 2, 136, 72, divisor=12), normal(2, 72)
    w64 = there(card, w, precision)[1]
    dy, dy64 = there(card, normal(3, 2, 22, 26, 72), precision)
    with choosing(tile, parts):
        if kind == "up":
            y = gpu.up_forward(x, card.asarray(w), card.asarray(b))
            near(y, up_conv.forward(x64, w64, b.astype(np.float64)), precision)
        else:
            dx, _, _ = gpu.up_backward(dy, x, card.asarray(w))
            near(dx, up_conv.backward(dy64, x64, w64)[0] * (x64 > 0), precision)


@pytest.mark.parametrize("precision", cuda.DTYPES)
@pytest.mark.parametrize("halo", [False, True])
def test_sums_are_the_same_in_any_order_of_threads(card, precision, halo):
    """Every launch of the emulation runs its threads, and has its boxes arrive, in other orders."""
    tile = next(t for t in box_tiles.TILES["conv"] if t.halo == halo)
    x, _ = there(card, normal(0, 1, 21, 20, 40), precision)
    w, b = card.asarray(normal(1, 3, 3, 40, 24)), card.asarray(normal(2, 24))
    with choosing(tile):
        a, c = (elements.to_floats(convolution.conv_forward(x, w, b)).get() for _ in range(2))
    np.testing.assert_array_equal(a, c)


@pytest.mark.parametrize("size", [(1, 1), (3, 300), (300, 3), (28, 28), (570, 570)], ids=str)
@pytest.mark.parametrize("tile", box_tiles.TILES["conv"], ids=name)
def test_rectangles_cover_an_output_and_fit_into_boxes(tile, size):
    output = box_tiles.Output("conv", 1, *size, 64, 9, False)
    cut = box_tiles.cut_by(tile, output)
    across, down = cut.rectangles(output)
    assert (across - 1) * cut.wide < size[1] <= across * cut.wide
    assert (down - 1) * cut.high < size[0] <= down * cut.high
    assert cut.wide * cut.high <= tile.pixels * tile.groups and cut.high % tile.groups == 0
    assert max(cut.wide, cut.high // tile.groups) <= 256


def test_shared_memory_fits_as_many_blocks_as_a_kernel_is_made_for():
    for _, tile in KERNELS:
        for size in (2, 4):
            each = 1024 + tile.shared(size)  # the system takes 1 KB of every block
            assert tile.resident * each <= 228 << 10 and tile.shared(size) <= 227 << 10


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

    monkeypatch.setattr(tensor_map, "driver", missing)
    assert not boxes.usable()
    x = elements.to_elements(card.asarray(normal(0, 1, 9, 9, 16)), "tf32")
    w, b = card.asarray(normal(1, 3, 3, 16, 16)), card.zeros(16, np.float32)
    assert convolution.conv_forward(x, w, b).shape == (1, 7, 7, 16)


# ---- mistakes that a GPU would punish now and then


def forward(xp, tile):
    """A convolution whose blocks make several tiles each; an error where it is wrong."""
    x, x64 = there(xp, normal(0, 1, 40, 34, 136), "bfloat16")
    w, b = normal(1, 3, 3, 136, 64, divisor=35), normal(2, 64)
    w64 = there(xp, w, "bfloat16")[1]
    with choosing(tile):
        y = convolution.conv_forward(x, xp.asarray(w), xp.asarray(b))
    near(y, conv.forward(x64, w64, b.astype(np.float64)), "bfloat16")


BOX, HALO = box_tiles.BoxTile(1, 1, 128, 3), box_tiles.BoxTile(1, 1, 128, 2, True)
MUTANTS = {
    "boxes without the wait for data": (BOX, "gate_wait(full + stage, round);", ""),
    "boxes without the wait for a free stage": (
        BOX, "gate_wait(empty + stage, round ^ 1);", "",
    ),
    "a stage given back before its products are done": (
        BOX, "warpgroup_wait<1>();", "warpgroup_wait<2>();",
    ),
    "a stage given back by one warp for all": (
        BOX, "gate_open(empty + i, 4 * Block::GROUPS);", "gate_open(empty + i, Block::GROUPS);",
    ),
    "fewer bytes announced than come": (
        BOX, "(Block::FILTERS + a.wide * a.high) * 128;",
        "(Block::FILTERS + a.wide * a.high) * 128 - 128;",
    ),
    "the parity of a round not turned": (
        BOX, "if (++stage == Block::STAGES) stage = 0, round ^= 1;\n        } while",
        "if (++stage == Block::STAGES) stage = 0;\n        } while",
    ),
    "output read before all have written it": (BOX, "meet(1 + group, 128);", ""),
    "one output for all rounds": (BOX, "turn ^= 1;", ""),
    "taps across and down exchanged": (
        BOX, "t.q + tap % WHAT - a.pad,", "t.q + tap / WHAT - a.pad,",
    ),
    "a halo without the wait for pixels": (
        HALO, "if (tap == 0) gate_wait(full_x + x.stage, x.round);", "",
    ),
    "a halo with one stage of pixels": (
        HALO, "if (++tap == 9) tap = 0, x.go();", "if (++tap == 9) tap = 0;",
    ),
    "a halo without the wait for filters": (HALO, "gate_wait(full + ring.stage, ring.round);", ""),
    "a halo without the wait for a free stage of filters": (
        HALO, "gate_wait(empty + ring.stage, ring.round ^ 1);", "",
    ),
    "a halo whose last products are not waited for": (HALO, "warpgroup_wait<0>();", ""),
    "a halo whose rows are those of a tile": (
        HALO, "row * 128, Block::WIDE * 128);", "row * 128, 8 * 128);",
    ),
}  # fmt: skip


def small():
    """The sources with the two kernels alone that the mutants change."""
    lines, kept = (
        source("sm_90a").split("\n"),
        ("BOXES_CONV(1, 1, 128, 3)", "HALO_CONV(1, 1, 128, 2)"),
    )
    kernels = ("BOXES_", "HALO_CONV", "CONVOLVE_WARPGROUPS_ALL(")
    return "\n".join(li for li in lines if not li.startswith(kernels) or li.startswith(kept))


def use(monkeypatch, text):
    xp = emulate(monkeypatch, 90)
    monkeypatch.setattr(cuda, "compiled", lambda precision, arch: build_text(text, precision))
    return xp


def test_the_source_passes_what_its_mutants_fail(monkeypatch):
    xp = use(monkeypatch, small())
    forward(xp, BOX)
    forward(xp, HALO)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_seen(name, monkeypatch):
    tile, old, new = MUTANTS[name]
    text, mark = small(), "boxes_halo.cu" if tile.halo else "boxes.cu"
    before, line, after = text.partition(f'/{mark}"')
    body, next_line, rest = after.partition("\n#line")
    assert old in body, old
    text = before + line + body.replace(old, new) + next_line + rest
    xp = use(monkeypatch, text)
    build_text(text, "bfloat16")  # it compiles: what fails is the check
    with pytest.raises((AssertionError, RuntimeError)):
        for _ in range(5):  # the order of threads is another one each time
            forward(xp, tile)
