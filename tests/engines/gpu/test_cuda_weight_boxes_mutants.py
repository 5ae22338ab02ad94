"""What a GPU would punish now and then in the gradients by boxes: the emulation sees it.

Each mutant is the kernels' own source with a change; the check that passes for the source must fail
for the mutant.
"""

import numpy as np
import pytest
from by_definition import by_weights
from cuda_emulation import build_text, emulate
from inputs import normal32 as normal

from cunet.engines.gpu import cuda, elements, weight_tiles
from cunet.engines.gpu.weight_boxes import launch_weight_boxes

FILES = (
    "convolution",
    "boxes",
    "boxes_weights",
    "boxes_weights_tf32",
    "images",
)  # that the check needs
SHARED, COMMON, TF32 = "boxes", "boxes_weights", "boxes_weights_tf32"
TURN = "stage = 0, round ^= 1"
WAIT = "gate_wait(full + ring.stage, ring.round);"
READ = "__syncwarp();  // every lane has read what it needs of the stage\n"
# file, what stands there, what the mutant has instead
MUTANTS = {
    "bfloat16": {
        "no wait for the boxes": (COMMON, WAIT, ""),
        "no wait for a free stage": (COMMON, "gate_wait(empty + ring.stage, ring.round ^ 1);", ""),
        "a stage given back at once": (
            COMMON, "gate_arrive(empty + before)", "gate_arrive(empty + ring.stage)",
        ),
        "a stage given back before its products are done": (
            COMMON, "warpgroup_wait<1>();", "warpgroup_wait<2>();",
        ),
        "a stage given back by one warp of four": (
            COMMON, "gate_open(empty + i, 4 * RG)", "gate_open(empty + i, RG)",
        ),
        "no wait for the last products": (COMMON, "warpgroup_wait<0>();", ""),
        "too few bytes announced": (COMMON, "(8 + RG - 1)) * 128", "8) * 128"),
        "too many bytes announced": (COMMON, "(DYS * 64 +", "(DYS * 64 + 1 +"),
        "a parity that is not turned": (SHARED, TURN, "stage = 0"),
        "gates that are opened too late": (
            COMMON, "gates_ready();\n    }\n    __syncthreads();", "gates_ready();\n    }",
        ),
        "sums of biases of one lane": (
            COMMON, "sums[e] += __shfl_xor_sync(~0u, sums[e], other);", ";",
        ),
    },
    "tf32": {
        "no wait for the boxes": (TF32, WAIT, ""),
        "no wait for a free stage": (COMMON, "gate_wait(empty + ring.stage, ring.round ^ 1);", ""),
        "a stage given back at once": (
            TF32, WAIT, f"{WAIT}\n        if (lane == 0) gate_arrive(empty + ring.stage);",
        ),
        "a stage given back before all lanes have read it": (TF32, READ, "\n"),
        "a stage given back by one warp of four": (
            TF32, "gate_open(empty + i, Sizes::WARPS)", "gate_open(empty + i, 1)",
        ),
        "a parity that is not turned": (SHARED, TURN, "stage = 0"),
        "gates that are opened too late": (
            TF32, "gates_ready();\n    }\n    __syncthreads();", "gates_ready();\n    }",
        ),
    },
}  # fmt: skip
CASES = [(precision, name) for precision, mutants in MUTANTS.items() for name in mutants]


def text(changed="", old="", new=""):
    """The sources of FILES, one of them with every occurrence of `old` replaced."""
    parts = []
    for name in FILES:
        part = (cuda.FOLDER / f"{name}.cu").read_text(encoding="utf-8")
        assert name != changed or old in part, (changed, old)
        parts.append(part.replace(old, new) if name == changed else part)
    return "\n".join(parts)


def check(monkeypatch, source, precision):
    """Gradients of two images and more steps than there are stages, by a block of all three rows of
    taps, are those of the definition."""
    xp = emulate(monkeypatch, 90)
    monkeypatch.setattr(cuda, "compiled", lambda precision, arch: build_text(source, precision))
    x, dy = normal(0, 2, 26, 20, 72), normal(1, 2, 24, 18, 40)
    x, dy = (elements.to_elements(xp.asarray(a), precision) for a in (x, dy))
    expected = by_weights(*(elements.to_floats(a).get().astype(float) for a in (dy, x)), (3, 3))
    tile = weight_tiles.tiles(x.dtype.itemsize)[0]
    assert tile.rows == 3
    with weight_tiles.choosing(lambda gradient: weight_tiles.Cut(tile, 1)):
        found = launch_weight_boxes((x,), dy)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.get(), b, rtol=0, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize("precision", MUTANTS)
def test_the_source_passes_what_its_mutants_fail(precision, monkeypatch):
    check(monkeypatch, text(), precision)


@pytest.mark.parametrize(("precision", "name"), CASES)
def test_a_mutant_is_seen(precision, name, monkeypatch):
    source = text(*MUTANTS[precision][name])
    build_text(source, precision)  # it compiles: what fails is the check
    with pytest.raises((AssertionError, RuntimeError)):
        check(monkeypatch, source, precision)
