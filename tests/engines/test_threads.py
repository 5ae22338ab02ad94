"""Work on several threads: every item once, errors, nesting, BLAS' own setting."""

import threading
import time
import weakref

import numpy as np
import pytest
import threadpoolctl

from cunet import threads


@pytest.fixture(autouse=True, params=[1, 2, 5])
def number(request, threads_as_before):
    threads.set_threads(request.param)
    return request.param


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


@pytest.mark.parametrize("allowed", [0, 1])
def test_where_the_system_allows_fewer_threads_the_work_is_done_by_those(monkeypatch, allowed):
    started, start = [], threading.Thread.start

    def limited(thread):
        if len(started) >= allowed:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    helpers = threads.Helpers(3, "test")
    assert len(helpers) == allowed
    futures = [helpers.submit(divmod, number, 3) for number in range(10)]
    failing = helpers.submit(divmod, 1, 0)
    assert [future.result(20) for future in futures] == [divmod(n, 3) for n in range(10)]
    assert isinstance(failing.exception(20), ZeroDivisionError)
    helpers.close()
    assert not any(thread.is_alive() for thread in started)

    seen = []
    threads.parallel(seen.append, range(20))
    assert sorted(seen) == list(range(20))


def test_one_ahead_keeps_the_order_and_is_one_item_ahead():
    begun, taken = [], []

    def work(item):
        begun.append(item)
        return item * item

    for result in threads.one_ahead(work, range(6)):
        taken.append(result)
        assert len(begun) <= len(taken) + 1
    assert taken == [0, 1, 4, 9, 16, 25] and begun == list(range(6))


def test_an_error_one_ahead_comes_after_the_results_before_it():
    def work(item):
        if item == 3:
            raise ValueError("three")
        return item

    results = threads.one_ahead(work, range(6))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert not [t for t in threading.enumerate() if t.name.startswith("cunet-ahead")]


def test_whoever_takes_no_more_ends_the_thread():
    results = threads.one_ahead(lambda item: item, range(1000))
    assert next(results) == 0
    results.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("cunet-ahead")]
