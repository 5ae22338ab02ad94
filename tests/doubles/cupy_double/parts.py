"""The parts of CuPy that lie below the module itself: devices, streams, memory.

Streams do their work at once, except while one is captured: then kernels, fills and copies between
device arrays are recorded, and whatever reads values or computes otherwise raises RuntimeError.
"""

import threading
import time
import weakref
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np

UNIT = 512  # bytes; memory is given in multiples


def is_available():
    return True


class CUDARuntimeError(RuntimeError):
    """What the CUDA runtime refuses, such as a device number beyond the only one."""


class CUDADriverError(RuntimeError):
    """What the driver refuses, such as a kernel that a module does not have."""


class OutOfMemoryError(MemoryError):
    """A pool has reached its limit."""

    def __init__(self, size, total, limit=0):
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes, "
            f"limit set to: {limit:,} bytes)."
        )


class Device:
    """`with Device(0):` as CuPy has it; there is one device."""

    compute_capability = "80"
    attributes = {"MultiProcessorCount": 4}

    def __init__(self, device=None):
        self.id = 0 if device is None else int(device)

    def use(self):
        if self.id != 0:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    def synchronize(self):
        self.use()
        refuse("synchronize")

    def __enter__(self):
        self.use()
        return self

    def __exit__(self, *exc):
        return None

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    __hash__ = None


# ---- streams


class State(threading.local):
    """What is current in a thread: the stream, what gives memory for a number of bytes, and who
    hears of it."""

    stream, hooks = None, ()

    def allocator(self, size):
        return _pool.malloc(size)


state = State()


def recorded():
    """The list of the work that the current stream records; None where it does the work."""
    return None if state.stream is None else state.stream._recorded


def work(action):
    """Do it, or record it."""
    action() if recorded() is None else recorded().append(action)


def refuse(name):
    """What reads values, and computing that is not done by kernels of ours, cannot be recorded."""
    if recorded() is not None:
        raise RuntimeError(f"{name}: operation not permitted when stream is capturing")


class Graph:
    """The work that a stream has recorded; it keeps the arrays that were made meanwhile, of which a
    kernel may have an address alone."""

    def __init__(self, actions, kept):
        self._actions, self._kept = actions, kept

    def launch(self, stream=None):
        refuse("launch of a graph")
        for action in self._actions:
            action()


class Stream:
    """`with Stream():` makes it the current one of the thread."""

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.is_null, self._recorded, self._kept, self._before = null, None, [], []
        self.ptr = 0 if null else id(self)

    def use(self):
        state.stream = self
        return self

    def __enter__(self):
        self._before.append(state.stream)
        return self.use()

    def __exit__(self, *exc):
        state.stream = self._before.pop()

    def begin_capture(self, mode=None):
        if self.is_null:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self._recorded is not None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream is captured already")
        self._recorded, self._kept = [], []

    def end_capture(self):
        if self._recorded is None:
            raise RuntimeError("cudaErrorIllegalState: the stream is not captured")
        graph, self._recorded = Graph(self._recorded, self._kept), None
        return graph

    def is_capturing(self):
        return self._recorded is not None

    def synchronize(self):
        if self._recorded is not None:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: synchronize")

    def record(self, event=None):
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event):
        pass


Stream.null = Stream(null=True)


def get_current_stream(device_id=-1):
    return Stream.null if state.stream is None else state.stream


class Event:
    """A moment in a stream."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self._time, self._timed = None, not disable_timing

    done = True  # what was asked of a stream is done at once

    def record(self, stream=None):
        self._time = time.perf_counter()

    def synchronize(self):
        refuse("synchronize")


def get_elapsed_time(start_event, end_event):
    """Milliseconds from one recorded event to another."""
    for event in (start_event, end_event):
        if event._time is None or not event._timed:
            raise CUDARuntimeError("cudaErrorInvalidResourceHandle: an event without a time")
    return 1000 * (end_event._time - start_event._time)


# ---- memory


class Memory:
    """Bytes taken from the device."""

    def __init__(self, size):
        self.size = size


class MemoryPointer:
    """A place in such memory."""

    def __init__(self, mem, offset):
        self.mem, self.offset = mem, offset


class MemoryHook:
    """`with hook:` its methods hear of what every pool gives and gets back in this thread."""

    def __enter__(self):
        state.hooks = (*state.hooks, self)
        return self

    def __exit__(self, *exc):
        state.hooks = tuple(hook for hook in state.hooks if hook is not self)

    def malloc_postprocess(self, **given):
        pass

    def free_postprocess(self, **given):
        pass


class Block:
    """Bytes of a pool, given back when nothing refers to them any more."""

    def __init__(self, pool, size):
        self.mem, self._pool = SimpleNamespace(size=size), pool
        for hook in state.hooks:
            hook.malloc_postprocess(device_id=0, size=size, mem_size=size, mem_ptr=0, pmem_id=0)

    def __del__(self):
        self._pool._used -= self.mem.size
        for hook in state.hooks:
            hook.free_postprocess(device_id=0, mem_size=self.mem.size, mem_ptr=0, pmem_id=0)


class MemoryPool:
    """An account of bytes; NumPy has the memory itself."""

    def __init__(self, allocator=None):
        self._used = self._total = self._limit = 0
        self._allocator = allocator

    def malloc(self, size):
        size = -(-size // UNIT) * UNIT
        if self._limit and self._used + size > self._limit:
            raise OutOfMemoryError(size, self._total, self._limit)
        self._used += size
        if self._used > self._total and self._allocator is not None:
            self._allocator(self._used - self._total)
        self._total = max(self._total, self._used)
        return Block(self, size)

    def used_bytes(self):
        return self._used

    def total_bytes(self):
        return self._total

    def free_bytes(self):
        return self._total - self._used

    def free_all_blocks(self, stream=None):
        self._total = self._used

    def get_limit(self):
        return self._limit

    def set_limit(self, size=None, fraction=None):
        self._limit = size or 0


memory = {}  # by the id of the NumPy array that stands for it
_pool = MemoryPool()


def hold(a):
    """Take memory of the device for as long as the NumPy array that owns a's values lives."""
    while getattr(a, "base", None) is not None:
        a = a.base
    if recorded() is not None:
        state.stream._kept.append(a)
    if isinstance(a, np.ndarray) and id(a) not in memory:
        memory[id(a)] = state.allocator(a.nbytes)
        weakref.finalize(a, memory.pop, id(a)).atexit = False


def get_default_memory_pool():
    return _pool


@contextmanager
def using_allocator(allocator=None):
    before, state.allocator = state.allocator, allocator or _pool.malloc
    try:
        yield
    finally:
        state.allocator = before


def alloc_pinned_memory(size):
    """Memory of the host for np.frombuffer; longer than asked for, as CuPy's is."""
    return bytearray(-(-size // UNIT) * UNIT)


def memory_of_device():
    """Free and all bytes."""
    return (8 << 30) - _pool.total_bytes(), 8 << 30


def most_shared():
    """Bytes of shared memory that a block can ask for."""
    return {"80": 163, "90": 227, "100": 227}.get(Device.compute_capability, 99) << 10


cuda = SimpleNamespace(
    Device=Device,
    Event=Event,
    Graph=Graph,
    Memory=Memory,
    MemoryHook=MemoryHook,
    MemoryPointer=MemoryPointer,
    MemoryPool=MemoryPool,
    Stream=Stream,
    alloc_pinned_memory=alloc_pinned_memory,
    get_current_stream=get_current_stream,
    get_elapsed_time=get_elapsed_time,
    is_available=is_available,
    memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    runtime=SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda device: {
            "name": b"double",
            "multiProcessorCount": Device.attributes["MultiProcessorCount"],
            "major": int(Device.compute_capability[:-1]),
            "minor": int(Device.compute_capability[-1]),
            "sharedMemPerBlockOptin": most_shared(),
        },
        memGetInfo=memory_of_device,
    ),
    using_allocator=using_allocator,
)
