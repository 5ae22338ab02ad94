"""All filters packed by one launch, against those that elements.pack makes one by one."""

import numpy as np
import pytest
from inputs import normal32 as normal

from cunet.engines.gpu import cuda, elements, packing
from cunet.engines.gpu.fresh import Fresh, gradients_of
from cunet.engines.gpu.packing import Packed
from cunet.errors import CunetError
from cunet.net.layers import Parameter

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
@pytest.mark.parametrize("forms", [(True, False), (True,)])
def test_the_same_as_one_by_one(xp, precision, forms):
    filters = [xp.asarray(special(normal(i, *shape))) for i, shape in enumerate(SHAPES)]
    dtype = cuda.DTYPES[precision]
    expected = {(i, form): elements.pack(w, dtype, form) for i, w in enumerate(filters)
                for form in (True, False)}  # fmt: skip
    rooms = [xp.full(w.size + 3, np.nan, np.float32) for w in filters]  # with a guard
    packed = Packed(filters, dtype, rooms if False in forms else None)
    with packed.ready():
        for i, w in enumerate(filters):
            for form in forms:
                assert packing._now.get().keys() >= {(w.data.ptr, w.shape, dtype, form)}
                found = elements.pack(w, dtype, form)
                assert found.shape == expected[i, form].shape and found.dtype == dtype
                np.testing.assert_array_equal(bits(found), bits(expected[i, form]))
        assert not packing._now.get()  # all were handed out
    for w, room in zip(filters, rooms, strict=True):
        used = -(-w.size * dtype.itemsize // 4) if False in forms else 0
        assert np.isnan(room.get()[used:]).all()
    places = [place * dtype.itemsize for place in packed.places]
    assert all(place % packing.ALIGNMENT == 0 for place in places)


def test_a_copy_is_handed_out_once_and_only_inside(xp):
    w, dtype = xp.asarray(normal(1, 3, 3, 8, 16)), np.dtype(np.float32)
    with Packed([w], dtype).ready():
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
        with packed.ready():
            copy = elements.pack(w, dtype, True)
        graph = stream.end_capture()
    for times in (1, -3):
        w *= times
        graph.launch(stream)
        np.testing.assert_array_equal(copy.get(), elements.pack(w, dtype, True).get())


def test_memory_is_free_when_the_last_copy_was_used(xp):
    filters, dtype = [xp.asarray(normal(i, *s)) for i, s in enumerate(SHAPES)], np.dtype("f2")
    rooms = [xp.empty(w.size, dtype) for w in filters]
    packed, pool = Packed(filters, dtype, rooms), xp.cuda.MemoryPool()
    with xp.cuda.using_allocator(pool.malloc), packed.ready():
        assert pool.used_bytes() == -(-2 * packed.size // 512) * 512
        for w in filters[:-1]:
            elements.pack(w, dtype, True)
        assert pool.used_bytes()
        elements.pack(filters[-1], dtype, True)
        assert pool.used_bytes() == 0
        found = elements.pack(filters[0], dtype, False)
    assert found.data.ptr == rooms[0].data.ptr  # straight copies lie in their rooms


def test_a_gradient_is_not_written_over_filters_that_are_still_needed(xp):
    w, dtype = xp.asarray(normal(1, 3, 3, 8, 16)), np.dtype(np.float32)
    fresh = Fresh([Parameter("a", w), Parameter("b", xp.zeros(16, np.float32))])
    packed = Packed([w], dtype, fresh.arrays[:1])
    with pytest.raises(CunetError, match=r"filters \(3, 3, 8, 16\) comes before dx"):
        with packed.ready(), fresh.written():
            gradients_of(w)
    with pytest.raises(CunetError, match="got 0 gradients"):
        with packed.ready(), fresh.written():
            elements.pack(w, dtype, False)
            assert gradients_of(w)[0] is fresh.arrays[0]


def test_a_net_without_such_filters(xp):
    with Packed([], np.dtype(np.float32), []).ready():
        w = xp.asarray(normal(1, 3, 3, 8, 16))
        assert elements.pack(w, np.dtype(np.float32), True).shape == (9, 16, 8)
