"""Work on several threads: every item once, errors, nesting, BLAS' own setting; and used memory."""

import itertools
import threading
import time
import weakref

import numpy as np
import pytest
import threadpoolctl

from cunet import threads
from cunet.engines.cpu import buffers


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
    assert a.flags.writeable and address(a) % 64 == 0
    where, view = address(a), a[5:, ::2, 1:]
    del a
    other = buffers.empty(shape, np.float32)
    other[...] = 1
    assert address(other) != where and (view == 7).all()
    del view
    again = buffers.empty(shape, np.float32)
    assert address(again) == where


def test_arrays_never_overlap_and_gaps_are_joined():
    rng, held = np.random.default_rng(0), []
    arena = buffers._Arena()
    for number in range(400):
        if held and rng.random() < 0.5:
            start, size, mark = held.pop(int(rng.integers(len(held))))
            assert (arena.memory[start : start + size : 4096] == mark).all()
            arena.left.append((start, size))
        else:
            start, size = arena.take(int(rng.integers(1, 200_000)))
            arena.memory[start : start + size : 4096] = number % 251
            held.append((start, size, number % 251))
        ranges = sorted([*held, *arena.gaps, *arena.left])
        assert all(a[0] + a[1] <= b[0] for a, b in itertools.pairwise(ranges))
        assert sum(size for _, size, *_ in ranges) == len(arena.memory)
    arena.left.extend((start, size) for start, size, _ in held)
    assert arena.take(1) == (0, buffers.PAGE)
    assert arena.gaps == [(buffers.PAGE, len(arena.memory) - buffers.PAGE)]


def test_the_second_time_needs_no_more_than_the_first():
    """A training's steps ask for the same sizes in the same order."""
    rng = np.random.default_rng(1)
    sizes = [int(s) for s in rng.integers(1 << 20, 8 << 20, 12)]

    def step():
        held = [buffers.empty((size,), np.uint8) for size in sizes]
        highest = max(address(a) + a.size for a in held)
        while held:
            held.pop(len(held) // 2)
            for _ in range(3):
                highest = max(highest, address(a := buffers.empty((sizes[0],), np.uint8)) + a.size)
        return highest

    first = step()
    assert [step() for _ in range(3)] == [first] * 3


def test_without_addresses_arrays_come_from_numpy(monkeypatch):
    monkeypatch.setattr(buffers.os, "sysconf", lambda name: 1 << 30)  # more than there can be
    arena = buffers._Arena()
    assert arena.gaps == [] and arena.take(1) is None
    monkeypatch.setattr(buffers, "_arena", arena)
    assert buffers.empty((2, 1 << 20), np.float32).shape == (2, 1 << 20)


def test_each_thread_has_its_own_scratch(number):
    barrier, found = threading.Barrier(number, timeout=20), []

    def work(item):
        found.append(address(buffers.scratch("test", (10,), np.float32)))
        barrier.wait()

    threads.parallel(work, range(number))
    assert len(set(found)) == number
