"""Two ranks on GPUs: the device double, in two threads that stand for the processes, with a double
of NCCL that adds the arrays behind the addresses it is given. Two numbers have one sum, so the
training is that of one device with iter_size 2, bit for bit."""

import ctypes
import threading
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from small_trainings import settings

from cunet.backend import to_host
from cunet.engines import TENSOR_CORES
from cunet.training import ranks, sums
from cunet.training.loop import make_net
from cunet.training.passes import Passes
from cunet.training.prepared import prepare
from cunet.training.rank import arrays_of
from cunet.training.steps import make_step

WAIT = 60  # seconds
PARAMETERS = 16  # of a net of depth 1: 7 convolutions and an up-convolution, with biases


class Meeting:
    """What two threads have said, once both have."""

    def __init__(self):
        self.barrier, self.said = threading.Barrier(2), [None, None]

    def exchange(self, rank, value):
        self.said[rank] = value
        self.barrier.wait(WAIT)
        found = list(self.said)
        self.barrier.wait(WAIT)
        return found


class Nccl:
    """The module of CuPy: sums over the ranks, in place, when a group of them ends."""

    NCCL_FLOAT32, NCCL_FLOAT64, NCCL_SUM, available = "float32", "float64", "sum", True

    def __init__(self):
        self.meeting, self.calls, self.here = Meeting(), 0, threading.local()

    def groupStart(self):
        self.here.asked = []

    def groupEnd(self):
        for rank, own in self.here.asked:
            one, other = self.meeting.exchange(rank, own.copy())
            own[...] = one + other
            self.calls += rank == 0

    def NcclCommunicator(self, count, key, rank):
        assert count == 2 and key == ("key",)

        def all_reduce(source, target, size, kind, operation, stream):
            assert source == target and operation == "sum"
            memory = (ctypes.c_char * (size * np.dtype(kind).itemsize)).from_address(source)
            self.here.asked.append((rank, np.frombuffer(memory, kind)))

        return SimpleNamespace(allReduce=all_reduce, abort=lambda: None)


class Link:
    """A rank's connection with the other one."""

    def __init__(self, rank, meeting):
        self.rank, self.meeting, self.sums = rank, meeting, None

    def gather(self, numbers):
        return np.array(self.meeting.exchange(self.rank, numbers.copy()))

    def add(self, first):
        self.sums.add(first)

    def finish(self):
        self.sums.finish()


def trained(config, prepared, link, lock):
    """The losses that a rank has seen, and all that its network and its solver have learned."""
    net = make_net(config, prepared)
    solver = config.make_solver(net.parameters())
    if link is not None:
        link.sums = sums.GpuSums(net.parameters(), link.rank, 2, ("key",), lambda: None)
    with lock:  # the emulation runs one kernel at a time
        work = make_step(config, prepared, net, solver)
    one_at_a_time(work, lock)
    losses = []
    with closing(work), closing(Passes(config, net, work, prepared.samples, 0, link)) as passes:
        for step in range(1, config.steps + 1):
            losses += [loss for loss, _ in passes(step)]
            work.update()
        assert (work.sample_bytes > 0) == (net.precision in TENSOR_CORES)
    return losses, {name: to_host(array) for name, array in arrays_of(net, solver).items()}


def one_at_a_time(work, lock):
    for name in ("accumulate", "update"):
        method = getattr(work, name)

        def locked(*given, method=method):
            with lock:
                return method(*given)

        setattr(work, name, locked)


@pytest.mark.parametrize(
    ("precision", "solver", "iter_size"),
    [("float32", "adam", 2), ("float32", "sgd", 4), ("float16", "adam", 2)],
)
def test_two_gpus_are_one(tmp_path, data, emulated, monkeypatch, precision, solver, iter_size):
    config = settings(data, device="cuda:0", width=8, tile=28, steps=2, precision=precision,
                      solver=solver, iter_size=iter_size, clip=0.1)  # fmt: skip
    prepared, lock = prepare(config), threading.Lock()
    losses, arrays = trained(config, prepared, None, lock)
    nccl, meeting, found = Nccl(), Meeting(), [None, None]
    monkeypatch.setattr(sums, "import_nccl", lambda: nccl)

    def rank(number):
        try:
            link = Link(number, meeting)
            found[number] = trained(replace(config, devices=2), prepared, link, lock)
        except BaseException:
            nccl.meeting.barrier.abort()
            meeting.barrier.abort()
            raise

    threads = [threading.Thread(target=rank, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert nccl.calls == 2 * PARAMETERS
    for number in range(2):
        assert len(found[number][0]) == 2 * iter_size
        if iter_size == 2:
            assert found[number][0] == losses
        for name, array in arrays.items():
            if iter_size == 2:
                np.testing.assert_array_equal(found[number][1][name], array, err_msg=name)
            else:  # each adds its own two first
                np.testing.assert_allclose(found[number][1][name], array, rtol=1e-3, atol=1e-5)
    for name in arrays:
        np.testing.assert_array_equal(found[0][1][name], found[1][1][name], err_msg=name)


def test_a_sum_that_another_rank_will_not_join_ends(monkeypatch):
    """NCCL waits for ever; the other process has ended meanwhile."""
    event, asked = SimpleNamespace(done=False), []

    def check():
        asked.append(event)
        if len(asked) == 3:
            raise ranks.RankEnded("it has ended")

    stream = SimpleNamespace(ptr=7, record=lambda: event)
    cuda = SimpleNamespace(get_current_stream=lambda: stream)
    communicator = SimpleNamespace(allReduce=lambda *given: None, abort=lambda: asked.append("end"))
    nccl = SimpleNamespace(
        NCCL_FLOAT32=0, NCCL_FLOAT64=1, NCCL_SUM=2, groupStart=lambda: None, groupEnd=lambda: None,
        NcclCommunicator=lambda *given: communicator,
    )  # fmt: skip
    monkeypatch.setattr(sums, "import_nccl", lambda: nccl)
    monkeypatch.setattr(sums, "import_cupy", lambda: SimpleNamespace(cuda=cuda))
    own = sums.GpuSums([], 0, 2, ("key",), check)
    with pytest.raises(ranks.RankEnded), closing(own):
        own.finish()
    assert asked[-1] == "end"
