"""Threads: the caller and a few helpers share pieces of work, and BLAS keeps to one thread.

The sums that BLAS forms depend on how many threads it uses. cunet therefore limits BLAS to one
thread inside every operation and cuts the work itself, by shapes alone: results are the same
bit for bit whatever the number of threads.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import closing, contextmanager
from contextvars import copy_context
from functools import wraps
from queue import SimpleQueue
from threading import Lock, Thread, local
from typing import Any
from weakref import finalize

import numpy as np

from cunet.checks import whole_from_1

_lock = Lock()
_here = local()  # .working: this thread is inside parallel()
_pool: "Helpers | None" = None
_count = 0  # 0: not chosen yet
_limit: Any = None  # the BLAS limit in force while _inside > 0
_inside = 0
_controller: Any = None


def available_threads() -> int:
    """How many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def get_threads() -> int:
    """The number of threads that operations use."""
    return _count or available_threads()


def set_threads(count: int) -> None:
    """Use `count` threads in every operation of this process from now on.

    1 uses the caller's thread alone; the default is all processors of the process. Results do not
    depend on it. Raises CunetError for a count below 1.

        cunet.set_threads(4)
    """
    global _pool, _count
    count = whole_from_1("threads", count)
    with _lock:
        old, _pool, _count = _pool, None, count
    if old is not None:
        old.close()  # outside the lock, which its threads may need to finish


class Helpers:
    """Threads that do what is submitted: `count` of them, or as many as the system allows."""

    def __init__(self, count: int, name: str) -> None:
        self._tasks: SimpleQueue = SimpleQueue()
        self._threads: list[Thread] = []
        for number in range(count):
            # daemon: a process ends by close(), which its end calls, not by waiting for the idle
            label = f"{name}_{number}"
            thread = Thread(target=_serve, args=(self._tasks,), name=label, daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError):  # "can't start new thread": ulimit, a container
                break
            self._threads.append(thread)
        self.close = finalize(self, _dismiss, self._tasks, self._threads)

    def __len__(self) -> int:
        return len(self._threads)

    def submit(self, work: Callable, *args: Any) -> Future:
        """Have work(*args) done: by a thread, or where none could be started now, by the caller."""
        future: Future = Future()
        task = future, work, args
        if self._threads:
            self._tasks.put(task)
        else:
            _do(*task)
        return future


def _serve(tasks: SimpleQueue) -> None:
    """What a thread does: one task after the other, until None comes."""
    while (task := tasks.get()) is not None:
        _do(*task)
        del task  # its arrays are not kept until the next


def _do(future: Future, work: Callable, args: tuple) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work(*args)
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


def _dismiss(tasks: SimpleQueue, threads: list[Thread]) -> None:
    """End the threads after what they have begun and what was submitted before."""
    for _ in threads:
        tasks.put(None)
    for thread in threads:
        thread.join()


def _nothing(item: Any) -> None:
    """Takes the place of work that is over."""


def parallel(work: Callable[[Any], None], items: Iterable[Any]) -> None:
    """Call work(item) for every item, each exactly once, in no fixed order; errors are raised here.

    The caller and its helpers take the next item from one queue until it is empty. No two calls of
    work may write to the same place. Called from inside such work, it does its items one by one.
    """
    global _pool
    queue = deque(items)
    helpers = min(get_threads(), len(queue)) - 1
    if helpers < 1 or getattr(_here, "working", False):
        for item in queue:
            work(item)
        return

    def take_turns() -> None:
        _here.working = True
        try:
            while True:
                try:
                    item = queue.popleft()
                except IndexError:
                    return
                work(item)
        except BaseException:
            queue.clear()  # the other threads stop after the items they are at
            raise
        finally:
            _here.working = False

    with _lock:
        if _pool is None:
            _pool = Helpers(max(1, get_threads() - 1), "cunet")
        # each helper sees the caller's context, which holds NumPy's handling of overflow
        futures = [
            _pool.submit(copy_context().run, take_turns) for _ in range(min(helpers, len(_pool)))
        ]
    try:
        take_turns()
    finally:
        begun = [future for future in futures if not future.cancel()]
        wait(begun)  # none still writes when this returns or raises
        work = _nothing  # what was cancelled stays queued a while, and must not keep arrays alive
    for future in begun:
        future.result()


def one_ahead(work: Callable[[Any], Any], items: Iterable[Any]) -> Generator[Any, None, None]:
    """work(item) for every item, in order, by a thread that is one item ahead of whoever takes the
    results: for what is read or prepared while the last one is worked on."""
    pool, waiting = Helpers(1, "cunet-ahead"), deque[Future]()
    with closing(pool):
        try:
            for item in items:
                waiting.append(pool.submit(copy_context().run, work, item))
                if len(waiting) > 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def for_each(update: Callable[..., None], parameters: list, *states: list) -> None:
    """update(parameter, its states): several at a time on the CPU, in turn on a device."""
    together = list(zip(parameters, *states, strict=True))
    if all(isinstance(p.value, np.ndarray) for p in parameters):
        together.sort(key=lambda one: one[0].value.size, reverse=True)  # the longest work first
        parallel(lambda one: update(*one), together)
    else:
        for one in together:
            update(*one)


def strips(rows: int, row_bytes: int, target: int = 1 << 20) -> list[slice]:
    """Cut `rows` rows into strips of about `target` bytes, at least four if there are four rows."""
    height = max(1, min(target // max(1, row_bytes), -(-rows // 4)))
    return [slice(first, min(rows, first + height)) for first in range(0, rows, height)]


def blas_libraries() -> list[dict]:
    """What threadpoolctl reports of every BLAS in this process: its name, version, core type."""
    import threadpoolctl

    np.ones((2, 2)) @ np.ones((2, 2))  # the library is loaded now, if ever
    return [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """While any thread is inside, BLAS uses one thread; when the last one has left, the caller's
    own setting is back."""
    global _inside, _limit, _controller
    with _lock:
        if _inside == 0:
            if _controller is None:
                import threadpoolctl

                _controller = threadpoolctl.ThreadpoolController()
            _limit = _controller.limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _limit.restore_original_limits()


def fixed_sums(operation: Callable) -> Callable:
    """Decorate an operation whose matrix products must not depend on the threads of BLAS."""

    @wraps(operation)
    def limited(*args: Any, **kwargs: Any) -> Any:
        with one_blas_thread():
            return operation(*args, **kwargs)

    return limited
