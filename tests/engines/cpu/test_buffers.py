"""Memory that is used again: arrays never overlap, gaps are joined, threads have their own."""

import importlib.util
import itertools
import os
import threading

import numpy as np
import pytest

from cunet import threads
from cunet.engines.cpu import buffers


@pytest.fixture
def fresh():
    """The module loaded once more: its range of addresses has served no array yet."""
    spec = importlib.util.spec_from_file_location("fresh_buffers", buffers.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


def test_arrays_never_overlap_and_gaps_are_joined(fresh):
    """Arrays come and go at random; once all are gone, one array can take the whole range again."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    start = address(fresh.empty((total,), np.uint8))
    rng, held = np.random.default_rng(0), []
    for number in range(400):
        if held and rng.random() < 0.5:
            array, mark = held.pop(int(rng.integers(len(held))))
            assert (array[::4096] == mark).all()
            del array
        else:
            array = fresh.empty((int(rng.integers(1 << 20, 2 << 20)),), np.uint8)
            array[::4096] = number % 251
            held.append((array, number % 251))
            del array
        ranges = sorted((address(a), address(a) + a.size) for a, _ in held)
        assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(ranges))
        assert all(start <= begin and end <= start + total for begin, end in ranges)
    held.clear()
    assert address(fresh.empty((total,), np.uint8)) == start


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


def test_without_addresses_arrays_come_from_numpy(fresh, monkeypatch):
    shape = (2, 1 << 20)
    assert not buffers.empty(shape, np.float32).flags.owndata
    monkeypatch.setattr(os, "sysconf", lambda name: 1 << 30)  # more than there can be
    array = fresh.empty(shape, np.float32)
    assert array.shape == shape and array.flags.owndata


@pytest.mark.parametrize("number", [1, 2, 5])
def test_each_thread_has_its_own_scratch(number, threads_as_before):
    threads.set_threads(number)
    barrier, found = threading.Barrier(number, timeout=20), []

    def work(item):
        found.append(address(buffers.scratch("test", (10,), np.float32)))
        barrier.wait()

    threads.parallel(work, range(number))
    assert len(set(found)) == number
