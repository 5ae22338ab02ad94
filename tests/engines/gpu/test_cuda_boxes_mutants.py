"""The emulation sees what a GPU would punish now and then in convolutions by boxes.

Each mutant is the kernels' own source with one line changed; the check that passes for the source
must fail for the mutant.
"""

import numpy as np
import pytest
from activations import near, there
from cuda_emulation import build_text, emulate
from inputs import normal32

from cunet.engines import gpu
from cunet.engines.gpu import box_check, box_tiles, convolution, cuda
from cunet.ops import conv, up_conv


def normal(seed, *shape, divisor=1.0):
    return normal32(seed, *shape) / np.float32(divisor)


def forward(xp):
    """A convolution whose blocks make several tiles each; an error where it is wrong."""
    x, x64 = there(xp, normal(0, 1, 40, 34, 136), "bfloat16")
    w, b = normal(1, 3, 3, 136, 64, divisor=35), normal(2, 64)
    w64 = there(xp, w, "bfloat16")[1]
    with choosing(CONV):
        y = convolution.conv_forward(x, xp.asarray(w), xp.asarray(b))
    near(y, conv.forward(x64, w64, b.astype(np.float64)), "bfloat16")


def up(xp):
    """An up-convolution whose blocks make several tiles each; an error where it is wrong."""
    x, x64 = there(xp, normal(0, 1, 30, 34, 264), "bfloat16")
    w, b = normal(1, 2, 2, 264, 64, divisor=16), normal(2, 64)
    w64 = there(xp, w, "bfloat16")[1]
    with choosing(UP):
        y = gpu.up_forward(x, xp.asarray(w), xp.asarray(b))
    near(y, up_conv.forward(x64, w64, b.astype(np.float64)), "bfloat16")


FILES = ("convolution", "boxes", "boxes_conv", "boxes_up", "images")  # that the checks need
CONV, UP = box_tiles.CONV_TILES[0], box_tiles.UP_TILES[0]
WAIT_X = "if (tap == 0) gate_wait(full_x + x.stage, x.round);"
MUTANTS = {
    "no wait for pixels": ("boxes_conv", WAIT_X, "", forward),
    "no wait for filters": ("boxes_conv", "gate_wait(full + ring.stage, ring.round);", "", forward),
    "no wait for a free stage": (
        "boxes_conv", "gate_wait(empty + ring.stage, ring.round ^ 1);", "", forward,
    ),
    "a stage given back before its products are done": (
        "boxes_conv", "warpgroup_wait<1>();", "warpgroup_wait<2>();", forward,
    ),
    "a stage given back by one warp for all": (
        "boxes_conv", "gate_open(empty + i, 4 * F);", "gate_open(empty + i, F);", forward,
    ),
    "last products not waited for": ("boxes_conv", "warpgroup_wait<0>();", "", forward),
    "one stage of pixels": (
        "boxes_conv", "if (++tap == 9) tap = 0, x.go();", "if (++tap == 9) tap = 0;", forward,
    ),
    "rows of a box as those of a tile": (
        "boxes_conv", "row * 128, Block::WIDE * 128);", "row * 128, 8 * 128);", forward,
    ),
    "taps across and down exchanged": (
        "boxes_conv", "tap / 3 * Block::WIDE + tap % 3", "tap % 3 * Block::WIDE + tap / 3", forward,
    ),
    "fewer bytes announced than come": (
        "boxes_conv", "gate_expect(full_x + x.stage, Block::PIXEL_BYTES);",
        "gate_expect(full_x + x.stage, Block::PIXEL_BYTES - 128);", forward,
    ),
    "the parity of a round not turned": (
        "boxes", "stage = 0, round ^= 1;", "stage = 0;", forward,
    ),
    "output read before all have written it": ("boxes", "meet(1 + group, 128);", "", forward),
    "one output for all rounds": ("boxes", "turn ^= 1;", "", forward),
    "up without the wait for data": (
        "boxes_up", "gate_wait(full + ring.stage, ring.round);", "", up,
    ),
    "up without the wait for a free stage": (
        "boxes_up", "gate_wait(empty + ring.stage, ring.round ^ 1);", "", up,
    ),
    "up whose stage is given back before its products are done": (
        "boxes_up", "warpgroup_wait<1>();", "warpgroup_wait<2>();", up,
    ),
    "up whose bytes are those of whole boxes": (
        "boxes_up", "(Block::FILTERS + a.wide * a.high) * 128;", "Block::STAGE;", up,
    ),
}  # fmt: skip


def choosing(tile):
    return box_tiles.choosing(lambda output: box_tiles.cut_by(tile, output))


def text(changed="", old="", new=""):
    """The sources of FILES, one of them with every occurrence of `old` replaced."""
    kept = (f"CONVOLVE_BOXES({CONV.name('conv')},", f"UP_BOXES({UP.name('up')},")
    kernels, lines = ("CONVOLVE_BOXES(", "UP_BOXES("), []
    for name in FILES:
        part = (cuda.FOLDER / f"{name}.cu").read_text(encoding="utf-8")
        assert name != changed or old in part, (changed, old)
        part = part.replace(old, new) if name == changed else part
        lines += [
            li for li in part.split("\n") if not li.startswith(kernels) or li.startswith(kept)
        ]
    return "\n".join(lines)


def use(monkeypatch, source):
    xp = emulate(monkeypatch, 90)
    monkeypatch.setattr(cuda, "compiled", lambda precision, arch: build_text(source, precision))
    monkeypatch.setattr(box_check, "usable", lambda x: True)
    return xp


def test_the_source_passes_what_its_mutants_fail(monkeypatch):
    xp = use(monkeypatch, text())
    forward(xp)
    up(xp)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_seen(name, monkeypatch):
    *change, check = MUTANTS[name]
    source = text(*change)
    xp = use(monkeypatch, source)
    build_text(source, "bfloat16")  # it compiles: what fails is the check
    with pytest.raises((AssertionError, RuntimeError)):
        for _ in range(5):  # the order of threads is another one each time
            check(xp)
