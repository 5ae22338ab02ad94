"""Work on several threads: every item once, errors, nesting, BLAS' own setting; and used memory."""

import gc
import threading
import time
import weakref

import numpy as np
import pytest
import threadpoolctl

from cunet import buffers, threads


@pytest.fixture(autouse=True, params=[1, 2, 5])
def number(request):
    before = threads.get_threads()
    threads.set_threads(request.param)
    yield request.param
    threads.set_threads(before)


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_every_item_is_worked_on_once(count):
    seen = []
    threads.parallel(seen.append, range(count))
    assert sorted(seen) == list(range(count))


def test_so_many_threads_work_at_the_same_time(number):
    barrier = threading.Barrier(number, timeout=20)  # breaks unless all of them come
    threads.parallel(lambda item: barrier.wait(), range(number))


def test_an_error_is_raised_once_all_have_stopped():
    running, done = [], []

    def work(item):
        running.append(item)
        time.sleep(0.01)
        if item == 3:
            raise ValueError("three")
        done.append(item)

    with pytest.raises(ValueError, match="three"):
        threads.parallel(work, range(1000))
    assert len(running) == len(done) + 1 < 1000
    time.sleep(0.05)
    assert len(running) == len(done) + 1
    threads.parallel(done.append, range(3))  # and the threads are there for the next


def test_parallel_inside_parallel():
    seen = []
    threads.parallel(lambda i: threads.parallel(lambda j: seen.append((i, j)), range(4)), range(4))
    assert sorted(seen) == [(i, j) for i in range(4) for j in range(4)]


def test_the_callers_handling_of_overflow_holds_in_every_thread():
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        threads.parallel(lambda i: np.float32([1e38]) * np.float32(i * 10), range(8))


def test_callers_at_the_same_time():
    """Several threads of a program that each call parallel."""
    sums = [0] * 4

    def call(n):
        part = []
        for _ in range(50):
            threads.parallel(part.append, range(7))
        sums[n] = sum(part)

    callers = [threading.Thread(target=call, args=(n,)) for n in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert sums == [50 * 21] * 4


def test_nothing_is_kept_alive_afterwards():
    def call():
        array = np.zeros(3)
        threads.parallel(lambda item: array.sum() + item, range(8))
        return weakref.ref(array)

    assert call()() is None


def test_the_callers_blas_setting_comes_back():
    def found():
        return [
            p["num_threads"] for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"
        ]

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = found()
        with threads.one_blas_thread(), threads.one_blas_thread():
            assert found() == [1] * len(before)
        assert found() == before
        with pytest.raises(ZeroDivisionError), threads.one_blas_thread():
            raise ZeroDivisionError
        assert found() == before


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_once_the_last_view_is_gone():
    shape = (300, 1024, 4)
    a = buffers.empty(shape, np.float32)
    a[...] = 7
    assert a.shape == shape and a.dtype == np.float32 and a.flags.c_contiguous
    assert a.flags.writeable and address(a) % buffers.LINE == 0
    where, view = address(a), a[5:, ::2, 1:]
    del a
    gc.collect()
    other = buffers.empty(shape, np.float32)
    other[...] = 1
    assert address(other) != where and (view == 7).all()
    del view
    gc.collect()
    again = buffers.empty(shape, np.float32)
    assert address(again) == where


def test_the_pool_never_holds_more_than_was_in_use_at_once():
    pool = buffers._pool
    for size in (3, 5, 4, 9, 2, 30):  # MB; none serves another
        held = [buffers.empty((size << 20,), np.uint8) for _ in range(3)]
        assert pool.total <= pool.peak
        assert pool.total - sum(p.size for p in pool.free) >= 3 * size << 20
        del held
    assert pool.total <= pool.peak


def test_each_thread_has_its_own_scratch(number):
    barrier, found = threading.Barrier(number, timeout=20), []

    def work(item):
        found.append(address(buffers.scratch("test", (10,), np.float32)))
        barrier.wait()

    threads.parallel(work, range(number))
    assert len(set(found)) == number
