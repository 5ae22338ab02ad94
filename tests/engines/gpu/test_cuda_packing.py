"""All filters packed by one launch, against those that elements.pack makes one by one."""

import numpy as np
import pytest
from inputs import normal32 as normal

from cunet.engines.gpu import cuda, elements, packing
from cunet.engines.gpu.packing import Packed

# sizes around those of a block, 32 x 128, and odd ones
SHAPES = [
    (3, 3, 8, 40), (2, 2, 72, 16), (1, 1, 33, 35), (3, 3, 1, 1), (2, 2, 32, 128), (1, 3, 31, 129),
    (3, 2, 65, 257), (1, 1, 64, 127),
]  # fmt: skip


@pytest.fixture
def xp(emulated):
    return emulated


def bits(a):
    """An array's bits: rounding errors, signs of zeros and NaNs all count."""
    return a.get().view(np.uint16 if a.dtype.itemsize == 2 else np.uint32)


def special(w):
    """w with what is rounded in a way of its own: zeros, denormal and huge numbers, infinity."""
    flat = w.ravel()
    numbers = [0, -0.0, 1e-40, -1e-7, 70000, 1e38, np.inf, -np.inf]
    flat[: len(numbers)] = numbers[: flat.size]
    return flat.reshape(w.shape)


@pytest.mark.parametrize("precision", cuda.DTYPES)
@pytest.mark.parametrize("forms", [(True, False), (True,), (False,)])
def test_the_same_as_one_by_one(xp, precision, forms):
    filters = [xp.asarray(special(normal(i, *shape))) for i, shape in enumerate(SHAPES)]
    dtype = cuda.DTYPES[precision]
    expected = {(i, form): elements.pack(w, dtype, form) for i, w in enumerate(filters)
                for form in (True, False)}  # fmt: skip
    packed = Packed(filters, dtype)
    with packed.ready(*forms):
        for i, w in enumerate(filters):
            for form in forms:
                assert packing._now.get().keys() >= {(w.data.ptr, w.shape, dtype, form)}
                found = elements.pack(w, dtype, form)
                assert found.shape == expected[i, form].shape and found.dtype == dtype
                np.testing.assert_array_equal(bits(found), bits(expected[i, form]))
        assert not packing._now.get()  # all were handed out
    places = [place * dtype.itemsize for place in packed.places]
    assert all(place % packing.ALIGNMENT == 0 for place in places)


def test_a_copy_is_handed_out_once_and_only_inside(xp):
    w, dtype = xp.asarray(normal(1, 3, 3, 8, 16)), np.dtype(np.float32)
    with Packed([w], dtype).ready(True):
        first, second = (elements.pack(w, dtype, True) for _ in range(2))
        other = elements.pack(w, cuda.DTYPES["bfloat16"], True)
        straight = elements.pack(w, dtype, False)
        whole = w.reshape(1, 9, 8, 16)  # the same address, but other taps
        assert elements.pack(whole, dtype, True).shape == (9, 16, 8)
    assert first.data.ptr != second.data.ptr
    np.testing.assert_array_equal(first.get(), second.get())
    assert other.dtype == np.uint16 and straight.shape == (9, 8, 16)
    after = elements.pack(w, dtype, True)
    np.testing.assert_array_equal(after.get(), first.get())


def test_filters_are_read_by_every_replay(xp):
    w, dtype = xp.asarray(normal(1, 3, 3, 8, 16)), np.dtype(np.float32)
    packed, stream = Packed([w], dtype), xp.cuda.Stream()
    with stream:
        stream.begin_capture()
        with packed.ready(True):
            copy = elements.pack(w, dtype, True)
        graph = stream.end_capture()
    for times in (1, -3):
        w *= times
        graph.launch(stream)
        np.testing.assert_array_equal(copy.get(), elements.pack(w, dtype, True).get())


def test_memory_is_free_when_the_last_copy_of_a_form_was_used(xp):
    filters, dtype = [xp.asarray(normal(i, *s)) for i, s in enumerate(SHAPES)], np.dtype("f2")
    packed, pool = Packed(filters, dtype), xp.cuda.MemoryPool()
    one = -(-2 * packed.size // 512) * 512
    with xp.cuda.using_allocator(pool.malloc), packed.ready(True, False):
        assert pool.used_bytes() == 2 * one
        for w in filters[:-1]:
            elements.pack(w, dtype, True)
        assert pool.used_bytes() == 2 * one
        elements.pack(filters[-1], dtype, True)
        assert pool.used_bytes() == one
    assert pool.used_bytes() == 0


def test_a_net_without_such_filters(xp):
    with Packed([], np.dtype(np.float32)).ready(True, False):
        w = xp.asarray(normal(1, 3, 3, 8, 16))
        assert elements.pack(w, np.dtype(np.float32), True).shape == (9, 16, 8)
