"""Sums of numbers that come in parts, against NumPy's over all of them: the same bits."""

import numpy as np
import pytest

from cunet.data import sums
from cunet.data.sums import OrderedSum


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("count", [1, 9, 130, 8193, 300_001])
def test_the_bits_are_those_of_numpy(count, dtype, channels):
    rng = np.random.default_rng(count)
    numbers = (rng.standard_normal((count, channels)) * 90 + 100).astype(dtype)
    total, start = OrderedSum(count, channels, numbers.dtype), 0
    while start < count:
        step = int(rng.integers(1, 40_000))
        total.add(numbers[start : start + step])
        start += step
    np.testing.assert_array_equal(total.total, numbers.sum(axis=0, dtype=np.float64))


def test_parts_of_any_size_and_small_leaves_change_nothing(monkeypatch):
    numbers = np.random.default_rng(1).standard_normal((5_001, 1)) * 1e3
    expected = numbers.sum(axis=0)
    monkeypatch.setattr(sums, "LEAF", 128)
    for step in (1, 7, 1000, 6000):
        total = OrderedSum(len(numbers), 1, numbers.dtype)
        for start in range(0, len(numbers), step):
            total.add(numbers[start : start + step])
        np.testing.assert_array_equal(total.total, expected)


def test_another_order_gives_other_bits():
    """Without this the tests above would show nothing."""
    numbers = np.random.default_rng(1).standard_normal(100_001) * 1e3
    assert numbers.sum() != sum(numbers.tolist())


def test_of_nothing_it_is_nothing():
    assert OrderedSum(0, 2, np.dtype(np.float32)).total.tolist() == [0, 0]
