"""The emulation sees what a GPU would punish now and then: a barrier or a wait that is not there.

Each mutant is the kernels' own source with one line changed; the check that passes for the source
must fail for the mutant.
"""

import numpy as np
import pytest
from by_definition import by_weights as dw_by_definition
from cuda_emulation import build_text, emulate, source
from inputs import normal32 as normal

from cunet.data.augment import Augmentation
from cunet.data.samples import Samples
from cunet.engines.gpu import (
    convolution,
    cuda,
    elements,
    packing,
    sample,
    sums,
    tiles,
)  # fmt: skip
from cunet.engines.gpu import softmax_loss as gpu_loss
from cunet.engines.gpu.graphs import Place
from cunet.ops import conv, softmax_loss


def forward(xp):
    x, w, b = normal(0, 1, 10, 14, 72), normal(1, 3, 3, 72, 40), normal(2, 40)
    x, w = (elements.to_floats(elements.to_elements(xp.asarray(a), "tf32")).get() for a in (x, w))
    y = convolution.conv_forward(*map(xp.asarray, (x, w, b))).get()
    expected = conv.forward(*(a.astype(np.float64) for a in (x, w, b)))
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-3 * np.abs(expected).max())


def by_weights(xp):
    x, dy = normal(0, 2, 13, 14, 72), normal(1, 2, 11, 12, 40)
    x, dy = (elements.to_floats(elements.to_elements(xp.asarray(a), "tf32")).get() for a in (x, dy))
    dw, _ = convolution.by_weights(xp.asarray(dy), xp.asarray(x), (3, 3))
    expected, _ = dw_by_definition(dy.astype(np.float64), x.astype(np.float64), (3, 3))
    np.testing.assert_allclose(dw.get(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def packing_one(xp):
    w = normal(0, 3, 3, 40, 72)
    packed = elements.pack(xp.asarray(w), np.dtype(np.float32), transposed=True)
    expected = w.reshape(9, 40, 72).swapaxes(1, 2)
    np.testing.assert_allclose(packed.get(), expected, rtol=2**-11)


def packing_all(xp):
    w, dtype = normal(0, 3, 3, 40, 72), np.dtype(np.float32)
    filters = xp.asarray(w)
    with packing.Packed([filters], dtype).ready():
        packed = packing.packed(filters, dtype, True)
    np.testing.assert_allclose(packed.get(), w.reshape(9, 40, 72).swapaxes(1, 2), rtol=2**-11)


def sums_over_pixels(xp):
    logits, labels = normal(0, 1, 40, 50, 2), np.zeros((1, 40, 50), np.int32)
    loss, _ = gpu_loss.loss(xp.asarray(logits), xp.asarray(labels))
    expected = softmax_loss.loss(logits.astype(np.float64), labels)[0]
    np.testing.assert_allclose(loss.get()[0], expected, rtol=1e-6)
    dy = normal(1, 1, 40, 50, 40)
    found = sums.column_sums(xp.asarray(dy)).get()
    np.testing.assert_allclose(found, dy.astype(np.float64).sum((0, 1, 2)), rtol=0, atol=1e-3)


def bent_samples(xp):
    image, labels = normal(0, 40, 50, 1), normal(1, 40, 50) > 0
    samples = Samples(
        [image], [labels.astype(np.uint8)], [image[..., 0]], 41, 33, Augmentation(noise=0), 0
    )
    maker = sample.DeviceSamples(samples)
    maker.write(samples.records(0))
    maker.send(Place())
    maker.make()
    for found, expected in zip(maker.arrays, samples.stacked(0), strict=True):
        np.testing.assert_allclose(found.get(), expected, rtol=0, atol=2e-4)


WAIT, SYNC = "wait<STAGES - 2>();", "__syncthreads();"
# file, what stands there, what the mutant has instead, the check that must fail
MUTANTS = {
    "convolution without its barrier": ("warp", SYNC, "", forward),
    "convolution without its wait": ("warp", WAIT, "", forward),
    "convolution that waits for one group too few": (
        "warp", WAIT, "wait<STAGES - 1>();", forward,
    ),
    "convolution whose copies are never closed": (
        "warp", "load(shared + next * STAGE);\n        commit();",
        "load(shared + next * STAGE);", forward,
    ),
    "filters without their barrier": ("weights", SYNC, "", by_weights),
    "filters without their wait": ("weights", WAIT, "", by_weights),
    "samples without their barrier": ("sample", SYNC, "", bent_samples),
    "packing without its barrier": ("images", SYNC, "", packing_one),
    "packing all filters without its barrier": ("packing", SYNC, "", packing_all),
    "sums without their barriers": ("images", SYNC, "", sums_over_pixels),
}  # fmt: skip


def small():
    """The sources without what a mutant's check does not need, and what g++ takes long for."""
    text = source()
    return "\n".join(li for li in text.split("\n") if not li.startswith("CONVOLVE_ALL(128, 64"))


def changed(text, file, old, new):
    """The source with every occurrence of `old` in one file replaced."""
    before, mark, rest = text.partition(f'/{file}.cu"')
    assert mark, file
    body, line, after = rest.partition("\n#line")
    assert old in body, (file, old)
    return before + mark + body.replace(old, new) + line + after


def prepare(monkeypatch, text):
    xp = emulate(monkeypatch)
    monkeypatch.setattr(cuda, "compiled", lambda precision, arch: build_text(text, precision))
    tile = tiles.available()[0]
    monkeypatch.setattr(tiles, "choose", lambda *a: (tile, 1))
    return xp


def test_the_source_passes_what_its_mutants_fail(monkeypatch):
    xp = prepare(monkeypatch, small())
    for check in (forward, by_weights, bent_samples, packing_one, packing_all, sums_over_pixels):
        check(xp)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_seen(name, monkeypatch):
    file, old, new, check = MUTANTS[name]
    text = changed(small(), file, old, new)
    xp = prepare(monkeypatch, text)
    build_text(text, "tf32")  # it compiles: what fails is the check
    with pytest.raises((AssertionError, RuntimeError)):
        check(xp)
