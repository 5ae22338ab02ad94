"""Work on a GPU that is recorded once and then started with one call: CUDA graphs.

A training step is some two hundred kernels, most of them shorter than the time in which Python
launches one. A graph keeps all launches with their arguments, so what changes from one replay to
the next - images, learning rate, keys of dropout - must lie in arrays that are written in between.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from cunet.backend import Array, import_cupy


class Place:
    """A stream, and a pool of memory of its own, for work that is recorded.

    A graph holds addresses. What it took from the pool while it was recorded must not be given to
    anybody else, so the pool serves graphs alone; and those of one place share its memory, which is
    right because they run one after the other. Nor must it be given back to the GPU, as a pool does
    by itself with what is free when memory runs out: so it is kept here for as long as the place.

    The stream waits for what was done before on the default stream, as CUDA's streams do unless
    they are told not to: weights that ordinary operations have changed are there.
    """

    def __init__(self) -> None:
        cuda = import_cupy().cuda
        self.stream = cuda.Stream()
        self.taken = taken = []

        def take(size: int) -> Any:
            taken.append(cuda.Memory(size))
            return cuda.MemoryPointer(taken[-1], 0)

        self.pool = cuda.MemoryPool(take)

    def bytes(self) -> int:
        """What the place has taken from the GPU."""
        return sum(memory.size for memory in self.taken)


class Graph:
    """work(), which launches kernels and neither waits nor reads: done by hand and then recorded
    at the first call, replayed at every later one. `results` is what it answers; every replay
    writes the same arrays anew. Nothing is waited for."""

    def __init__(self, place: Place, work: Callable[[], Any]):
        self.place, self.work, self.results, self._graph = place, work, None, None

    def __call__(self) -> Any:
        stream = self.place.stream
        if self._graph is not None:
            self._graph.launch(stream)
            return self.results
        cupy = import_cupy()
        cupy.cuda.Device().synchronize()  # what other streams have written is there
        with cupy.cuda.using_allocator(self.place.pool.malloc), stream:
            done = self.work()  # compiles the kernels, and shows the pool what they take
            stream.begin_capture()
            try:
                self.results = self.work()
            finally:
                graph = stream.end_capture()
        self._graph = graph
        return done


class Inbox:
    """An array on the GPU that the host fills through memory which the GPU reads by itself.

    There are two such pieces of memory: while one is being read, the next values may be written
    into the other.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str, array: Array | None = None):
        cupy, dtype = import_cupy(), np.dtype(dtype)
        count = int(np.prod(shape))
        self.array = cupy.empty(shape, dtype) if array is None else array
        self._hosts = []
        for _ in range(2):
            memory = cupy.cuda.alloc_pinned_memory(count * dtype.itemsize)
            self._hosts.append(np.frombuffer(memory, dtype, count).reshape(shape))

    def write(self, values: Array) -> None:
        """Lay values ready; what was sent last may still be on its way, what was sent before that
        must have arrived."""
        self._hosts.reverse()
        self._hosts[0][...] = values

    def send(self, place: Place) -> None:
        """Send what was written last, after what the place's stream is doing."""
        self.array.set(self._hosts[0], place.stream)

    def put(self, values: Array, place: Place) -> None:
        """Write and send."""
        self.write(values)
        self.send(place)
