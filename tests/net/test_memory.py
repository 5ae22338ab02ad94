"""Out of memory: what is needed, what is free and what fits, on the CPU and a stand-in for CuPy."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import cupy_double
import numpy as np
import pytest
from lazy_imports import loaded_by

import cunet
from cunet.backend import to_device
from cunet.errors import DeviceError
from cunet.net import memory
from cunet.net.figure1 import memory_bytes
from cunet.net.memory import Task, advice, explained, ran_out
from cunet.net.shape import Shape
from cunet.net.tiles import check_tile
from cunet.segmentation.tiling import plan

PAPER = Task(Shape(), 572)


class OutOfMemoryError(MemoryError):
    """CuPy's own is a MemoryError as well."""

    def __str__(self):
        return "Out of memory allocating 1,024 bytes (allocated so far: 0 bytes)."


@pytest.fixture
def gpu(monkeypatch):
    """A GPU with 1 GB free, of which this process' memory pool holds 0.2 GB besides."""
    runtime = SimpleNamespace(
        memGetInfo=lambda: (gpu.free, 2 * 10**9),
        getDeviceProperties=lambda index: {"name": b"Test GPU"},
        getDeviceCount=lambda: 1,
    )
    pool = SimpleNamespace(total_bytes=lambda: gpu.held)
    gpu = SimpleNamespace(free=10**9, held=2 * 10**8, runtime=runtime)
    cuda = SimpleNamespace(runtime=runtime, Device=cupy_double.cuda.Device)
    fake = SimpleNamespace(cuda=cuda, get_default_memory_pool=lambda: pool)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    return gpu


def net_on(device, width=64, **settings):
    """A net that says it is wide and on a device; memory looks at its settings only."""
    net = cunet.UNet(width=1, **settings)
    net.device, net.shape = device, replace(net.shape, width=width)
    return net


def message(net, error, *arguments, **options):
    with pytest.raises(DeviceError) as raised, explained(net, *arguments, **options):
        raise error
    assert raised.value.exit_code == 4 and raised.value.__cause__ is error
    assert "\n" not in str(raised.value)
    return str(raised.value)


def options(text):
    """{"--tile": 412, ...} of what a message advises."""
    words = text.replace("(", " ").replace(")", " ").split()
    return {a: int(b) for a, b in zip(words, words[1:], strict=False) if a[:2] == "--"}


def test_what_a_message_says(gpu):
    net = net_on("cuda:0")
    text = message(net, OutOfMemoryError(), 572)
    need = memory_bytes(Shape(), 572)["training"]
    assert need > gpu.free + gpu.held
    assert text.startswith(
        "out of memory on Test GPU (cuda:0): a training step at tile 572, batch 1, width 64 needs "
        f"about {need / 1e9:.1f} GB, 1.2 GB are free; --tile "
    )
    assert " fits (or --width 32)" in text


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_what_is_advised_fits_and_more_would_not(training, padding, batch_norm):
    tile = 576 if padding == "same" else 572
    shape = Shape(padding=padding, batch_norm=batch_norm)
    task = replace(PAPER, tile=tile, shape=shape, training=training)
    task = replace(task, batch=8 if training else 1)
    free = 0.7 * task.needed()
    found = options(advice(task, free))
    assert set(found) == ({"--batch", "--tile", "--width"} if training else {"--tile"})
    for name, value in found.items():
        setting = name[2:]
        here = task.changed(setting, value)
        check_tile(here.tile, 4, padding)
        step = {"batch": value + 1, "tile": value + 16, "width": 2 * value}[setting]
        assert here.needed() <= memory.CERTAIN * free
        assert task.changed(setting, step).needed() > memory.CERTAIN * free


def test_the_memory_of_a_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", cupy_double)
    assert memory.gpu_memory("cuda:0") == memory.gpu_memory("cuda") == 8 << 30
    assert memory.gpu_memory("cpu") == memory.gpu_memory("cuda:7") == 0
    monkeypatch.delitem(sys.modules, "cupy")
    assert memory.gpu_memory("cuda:0") == 0


def test_a_task_needs_what_explain_says():
    net = cunet.UNet(2, 3, 3, 4, variant="release2015", dtype="float64", batch_norm=True)
    shape = Shape(2, 3, 3, 4, variant="release2015", batch_norm=True)
    expected = memory_bytes(shape, 140, 5, "adam", "float64")
    assert memory.task_of(net, 140, 5, True, "adam").needed() == expected["training"]
    assert memory.task_of(net, 140, 5, False, "adam").needed() == expected["inference"]
    assert memory.task_of(net, 140, 5, True, "adam", 77).needed() == expected["training"] + 77


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_every_tile_that_may_be_advised_can_segment(depth, padding):
    shape = Shape(depth=depth, padding=padding)
    for tile in replace(PAPER, shape=shape, training=False).tiles():
        plan(2000, depth, tile, padding=padding)


def test_nothing_fits():
    text = advice(replace(PAPER, batch=2), 1e6)
    assert "no smaller --batch or --tile or --width fits" in text


def test_a_net_that_scales_its_images_segments_each_in_one_tile(gpu):
    net = net_on("cuda:0", padding="same", resize=512)
    text = message(net, OutOfMemoryError(), 512, training=False)
    assert "segmenting at tile 512, width 64" in text and not options(text)


def test_an_estimate_that_was_wrong_gives_the_error_its_say(gpu):
    gpu.free = 10**10
    text = message(net_on("cuda:0"), OutOfMemoryError(), 572, 2)
    assert "10.2 GB are free (Out of memory allocating 1,024 bytes" in text
    assert options(text)["--batch"] == 1 and options(text)["--tile"] < 572


def test_what_is_held_when_a_step_fails_counts_as_free(gpu):
    net = net_on("cuda:0")
    net.engine = SimpleNamespace(recorded_bytes=lambda net: 3 * 10**8)
    with pytest.raises(DeviceError, match="1.0 GB are free"), explained(net, 572):
        gpu.free, gpu.held = 10**8, 6 * 10**8
        raise OutOfMemoryError


def test_the_memory_of_the_host(monkeypatch):
    net = net_on("cpu")
    found = memory.room(net)
    assert found > 10**6 if sys.platform == "linux" else found is None
    answers = {"MemAvailable": 3, "RssAnon": 4}  # in kB: what is free, and what arrays hold now
    monkeypatch.setattr(memory, "_kilobytes", lambda path, name: answers[name])
    assert memory.room(net) == 7 * 1024
    monkeypatch.setattr(memory, "_kilobytes", lambda path, name: int(""))
    assert memory.room(net) is None


def test_a_driver_that_no_longer_answers(gpu):
    def fail(*arguments):
        raise RuntimeError("cudaErrorUnknown")

    gpu.runtime.memGetInfo = gpu.runtime.getDeviceProperties = fail
    text = message(net_on("cuda:0"), OutOfMemoryError(), 572)
    assert text.startswith("out of memory on cuda:0: a training step")
    assert "are free" not in text and "1,024 bytes" in text and options(text)["--tile"] < 572


def test_a_step_on_a_device_whose_memory_is_full(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", cupy_double)
    net = cunet.UNet(width=2, depth=1, device="cuda", precision="float32")
    x = to_device(np.ones((1, 60, 60, 1), np.float32), net.device)
    pool = cupy_double.get_default_memory_pool()
    pool.set_limit(pool.used_bytes() + 100_000)
    try:
        with pytest.raises(DeviceError) as raised, explained(net, 60):
            net(x)
    finally:
        pool.set_limit()
    assert "on double (cuda:0): a training step at tile 60, batch 1, width 2" in str(raised.value)
    assert "GB are free (Out of memory allocating" in str(raised.value)
    net(x)


def test_numpy_on_the_cpu():
    with pytest.raises(DeviceError, match="on this machine.*Unable to allocate") as raised:
        with explained(net_on("cpu"), 572):
            np.empty(10**16, np.uint8)
    assert options(str(raised.value))["--tile"] < 572


REFUSED = "CUDA_ERROR_OUT_OF_MEMORY: out of memory"


@pytest.mark.parametrize("error", [MemoryError(), OutOfMemoryError(), RuntimeError(REFUSED)])
def test_errors_of_memory(error):
    assert ran_out(error)
    capture = RuntimeError("cudaErrorStreamCaptureInvalidated: a previous error")
    assert not ran_out(capture)
    capture.__context__ = error  # the recording ended because of it
    assert ran_out(capture)


@pytest.mark.parametrize(
    "error", [ValueError(REFUSED), RuntimeError("cudaErrorIllegalAddress"), KeyboardInterrupt()]
)
def test_other_errors_pass_through(error, gpu):
    assert not ran_out(error)
    with pytest.raises(type(error)) as raised, explained(net_on("cuda:0"), 572):
        raise error
    assert raised.value is error


def test_cupy_itself_calls_it_so():
    cupy = pytest.importorskip("cupy")
    assert ran_out(cupy.cuda.memory.OutOfMemoryError(1024, 0))
    assert {"get_default_memory_pool"} <= set(dir(cupy))
    assert {"total_bytes", "free_bytes"} <= set(dir(cupy.cuda.MemoryPool))


def test_nothing_raised_is_nothing_done():
    with explained(cunet.UNet(width=1, depth=1), 44):
        pass


def test_cupy_is_not_imported():
    code = (
        "import cunet\n"
        "from cunet.net.memory import explained\n"
        "from cunet.errors import DeviceError\n"
        "try:\n"
        "    with explained(cunet.UNet(width=1, depth=1), 44): raise MemoryError\n"
        "except DeviceError: pass\n"
    )
    assert "cupy" not in loaded_by(code)
