"""Work on a GPU that is recorded once and then started with one call: CUDA graphs.

A training step is some two hundred kernels, most of them shorter than the time in which Python
launches one. A graph keeps all launches with their arguments, so what changes from one replay to
the next - images, learning rate, keys of dropout - must be in arrays that are written in between.
"""

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np

from cunet.backend import Array, import_cupy


class Place:
    """A stream, and a pool of memory of its own, for work that is recorded.

    A graph holds addresses. No other work may get the memory that it took from the pool while it
    was recorded, so the pool serves graphs alone. The graphs of one place share its memory, which
    is right because they run one after the other. The memory must not go back to the GPU either,
    as a pool's free memory does when memory runs out; so it is kept here for as long as the place.

    The stream waits for earlier work on the default stream, as CUDA's streams do by default, and so
    sees weights that ordinary operations have changed.

    lock: for threads that share the place, from what they send to what they have read back.
    """

    def __init__(self) -> None:
        cuda = import_cupy().cuda
        self.stream, self.lock = cuda.Stream(), Lock()
        taken: list[Any] = []
        self.taken = taken

        def take(size: int) -> Any:
            taken.append(cuda.Memory(size))
            return cuda.MemoryPointer(taken[-1], 0)

        self.pool = cuda.MemoryPool(take)

    def bytes(self) -> int:
        """How much memory the place has taken from the GPU."""
        return sum(memory.size for memory in self.taken)


class Graph:
    """work(), which launches kernels and neither waits nor reads. The first call does it and then
    records it, every later one replays the record. `results` is what it returns; every replay
    writes the same arrays again. A call does not wait for the GPU."""

    def __init__(self, place: Place, work: Callable[[], Any]):
        self.place, self.work = place, work
        self.results: Any = None
        self._graph: Any = None

    def __call__(self) -> Any:
        stream = self.place.stream
        if self._graph is not None:
            self._graph.launch(stream)
            return self.results
        cupy = import_cupy()
        cupy.cuda.Device().synchronize()  # so that what other streams write is there
        with cupy.cuda.using_allocator(self.place.pool.malloc), stream:
            done = self.work()  # compiles the kernels, and fills the pool with what they take
            stream.begin_capture()
            try:
                self.results = self.work()
            finally:
                graph = stream.end_capture()
        self._graph = graph
        return done


class Inbox:
    """An array on the GPU that the host fills through pinned memory, which the GPU reads by itself.

    There are two pieces of pinned memory: while one is being read, the next values may be written
    into the other.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str, array: Array | None = None):
        cupy, kind = import_cupy(), np.dtype(dtype)
        count = int(np.prod(shape))
        self.array = cupy.empty(shape, kind) if array is None else array
        self._hosts = []
        for _ in range(2):
            memory = cupy.cuda.alloc_pinned_memory(count * kind.itemsize)
            self._hosts.append(np.frombuffer(memory, kind, count).reshape(shape))

    def write(self, values: Array) -> None:
        """Keep values for the next send(). The transfer sent last may still be under way; the one
        before it must be done."""
        self._hosts.reverse()
        self._hosts[0][...] = values

    def send(self, place: Place) -> None:
        """Send what was written last, after what the place's stream is doing."""
        self.array.set(self._hosts[0], place.stream)

    def put(self, values: Array, place: Place) -> None:
        """Write and send."""
        self.write(values)
        self.send(place)
