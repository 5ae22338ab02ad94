"""Winograd in machine code against the definition: where it computes, and where it hands over."""

import sys

import numpy as np
import pytest
from inputs import Inputs, conv_case, normal32

from cunet import threads
from cunet.engines import definition
from cunet.engines.cpu import machine, winograd, winograd_fused

# images of so many channels, K, and H x W: tiles that are whole, cut, and smaller than a patch
SHAPES = [
    ((16,), 32, (9, 6)),
    ((32, 16), 16, (5, 11)),
    ((16, 16, 16), 16, (3, 4)),
    ((16,), 16, (21, 19)),  # more tiles than are computed at a time
]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def loops(channels=16, outputs=16, dtype=np.float32):
    image = np.zeros((1, 4, 4, channels), dtype)
    return winograd_fused.machine_code((image,), np.zeros((3, 3, channels, outputs), dtype))


def test_what_it_computes_itself():
    if loops() is None:
        pytest.skip("this processor has no product with a sum")
    assert loops(32, 48) is loops()
    assert loops(8) is loops(16, 24) is loops(dtype=np.float64) is None
    image, w = np.zeros((1, 4, 4, 8), np.float32), np.zeros((3, 3, 16, 16), np.float32)
    assert winograd_fused.machine_code((image, image), w) is None


@pytest.fixture
def computed(monkeypatch):
    """NumPy's Winograd is not there: what is computed is computed in machine code."""
    if loops() is None:
        pytest.skip("this processor has no product with a sum")
    monkeypatch.delattr(winograd, "conv_forward")
    monkeypatch.delattr(winograd, "conv_backward")


@shapes
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("layout", ["writeable", "read-only", "strided"])
def test_the_oracle(computed, shape, padding, layout):
    (parts, outputs, (height, width)), inputs = shape, Inputs("float32", 2, layout)
    case = conv_case(2, 3, padding, height, width, sum(parts), outputs)
    (x, w, b, dy), (y, dx, dw, db) = case
    images = tuple(inputs(part) for part in np.split(x, np.cumsum(parts)[:-1], axis=3))
    w, b, dy = inputs(w, b, dy)
    inputs.close(winograd_fused.conv_forward(images, w, b, padding), y)
    for found, expected in zip(
        winograd_fused.conv_backward(dy, images, w, padding=padding), (dx, dw, db), strict=True
    ):
        inputs.close(found, expected)
    no, dw_alone, db_alone = winograd_fused.conv_backward(dy, images, w, None, padding, False)
    assert no is None
    inputs.close(dw_alone, dw)
    inputs.close(db_alone, db)
    for given, before in inputs.given:
        np.testing.assert_array_equal(given, before)


@shapes
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_relu(computed, shape, padding):
    parts, outputs, (height, width) = shape
    x, w = normal32(1, 2, height, width, sum(parts)), normal32(2, 3, 3, sum(parts), outputs)
    b, images = normal32(3, outputs), tuple(np.split(x, np.cumsum(parts)[:-1], axis=3))
    y = winograd_fused.conv_forward(images, w, b, padding, relu=True)
    wide = [a.astype(np.float64) for a in (x, w, b)]
    inputs = Inputs("float32", 2, "writeable")
    inputs.close(y, definition.conv_forward(*wide, padding, relu=True))
    assert 0.2 < (y > 0).mean() < 0.8
    dy = normal32(4, *y.shape)
    found = winograd_fused.conv_backward(dy, images, w, y, padding)
    masked = np.where(y > 0, dy, 0).astype(np.float64)
    expected = definition.conv_backward(masked, *wide[:2], padding=padding)
    for a, e in zip(found, expected, strict=True):
        inputs.close(a, e)


def test_a_crop_is_read_in_place_and_nothing_beside_it(computed):
    """The centre of an image, as a skip hands it on; around it are numbers that must not count."""
    whole = np.full((1, 30, 40, 32), np.nan, np.float32)
    crop = whole[:, 7:21, 9:27, 16:]
    crop[...] = normal32(1, *crop.shape)
    w, b = normal32(2, 3, 3, 16, 16), normal32(3, 16)
    for padding in ("valid", "same"):
        y = winograd_fused.conv_forward(crop, w, b, padding)
        np.testing.assert_array_equal(y, winograd_fused.conv_forward(crop.copy(), w, b, padding))
        assert np.isfinite(y).all()
        assert all(
            np.isfinite(g).all() for g in winograd_fused.conv_backward(y, crop, w, y, padding)
        )


def test_what_is_not_a_number_is_not_hidden_by_the_relu(computed):
    x = normal32(1, 1, 12, 12, 16)
    x[0, 5, 5, 3] = np.nan
    y = winograd_fused.conv_forward(x, normal32(2, 3, 3, 16, 16), normal32(3, 16), relu=True)
    assert np.isnan(y[0, 3:6, 3:6]).all() and np.isfinite(y[0, 8:]).all()


def test_the_number_of_threads_changes_no_bit(computed):
    x, w, b = normal32(1, 2, 90, 71, 32), normal32(2, 3, 3, 32, 16), normal32(3, 16)
    results, before = [], threads.get_threads()
    try:
        for count in (1, 2, 5):
            threads.set_threads(count)
            y = winograd_fused.conv_forward(x, w, b, relu=True)
            results.append((y, *winograd_fused.conv_backward(y, x, w, y)))
    finally:
        threads.set_threads(before)
    for other in results[1:]:
        for a, same in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, same)


def test_numpy_computes_where_numba_cannot_be_loaded(monkeypatch):
    monkeypatch.setattr(machine, "usable", machine.usable.__wrapped__)
    monkeypatch.delitem(sys.modules, "cunet.engines.cpu.vectors", raising=False)
    monkeypatch.delattr("cunet.engines.cpu.vectors", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    x, w, b = normal32(1, 1, 12, 10, 16), normal32(2, 3, 3, 16, 16), normal32(3, 16)
    y = winograd_fused.conv_forward(x, w, b)
    np.testing.assert_array_equal(y, winograd.conv_forward(x, w, b))
    for a, same in zip(
        winograd_fused.conv_backward(y, x, w), winograd.conv_backward(y, x, w), strict=True
    ):
        np.testing.assert_array_equal(a, same)


class HandedOver(Exception):
    pass


def test_sizes_that_do_not_fit_are_handed_over(monkeypatch):
    """An address knows no end: machine code would read beyond the arrays."""

    def numpys(*arguments):
        raise HandedOver

    monkeypatch.setattr(winograd, "conv_forward", numpys)
    monkeypatch.setattr(winograd, "conv_backward", numpys)
    x, w, b = normal32(1, 1, 12, 10, 16), normal32(2, 3, 3, 16, 16), normal32(3, 16)
    two, dy = normal32(2, 3, 3, 32, 16), normal32(4, 1, 10, 8, 16)
    for call in (
        lambda: winograd_fused.conv_forward(x, w, b[:7]),
        lambda: winograd_fused.conv_forward((x, x[:, :8]), two, b),
        lambda: winograd_fused.conv_forward((x, x[:0]), two, b),
        lambda: winograd_fused.conv_backward(dy[:, :7], x, w),
        lambda: winograd_fused.conv_backward(dy, x, w, dy[:, :, :5]),
        lambda: winograd_fused.conv_backward(dy, x, w, None, "same"),
    ):
        with pytest.raises(HandedOver):
            call()
