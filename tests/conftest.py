"""Fixtures that several test files use."""

import itertools
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
import tifffile
from cuda_emulation import emulate
from inputs import TOLERANCE, Inputs
from PIL import Image

from cunet import cli, threads

# The files that take longest, the longest first: of several processes none ends with one of them
# while the others have nothing to do. `pytest --durations 50` tells what belongs here.
FIRST = (
    "engines/gpu/test_cuda_compile.py",
    "crash/test_crash.py",
    "engines/gpu/test_cuda_net.py",
    "bench/test_bench_cuda.py",
    "fuzz/test_fuzz.py",
    "engines/gpu/test_cuda_step.py",
    "cli/test_cuda_command.py",
    "engines/gpu/test_cuda_convolution.py",
    "docs/test_commands.py",
    "volumes/test_segment_volume.py",
    "volumes/test_hostile.py",
    "engines/gpu/test_cuda_sample.py",
    "reporting/test_report.py",
    "docs/test_book.py",
    "engines/gpu/test_cuda_weight_boxes_mutants.py",
    "engines/gpu/test_cuda_boxes_mutants.py",
    "engines/gpu/test_cuda_mutants.py",
    "engines/gpu/test_gpu.py",
    "volumes/test_plan.py",
    "engines/gpu/test_cuda_images.py",
    "engines/gpu/test_cuda_boxes.py",
    "engines/test_machine_code.py",
    "lessons/test_second_lessons.py",
    "volumes/test_objects.py",
)


def pytest_configure(config):
    """Processes of pytest-xdist take files in the order of FIRST, not by numbers of tests. They
    share the cores, so each computes with one thread unless a test sets another number."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False
    if hasattr(config, "workerinput"):
        threads.set_threads(1)
        threadpoolctl.threadpool_limits(1)


def pytest_collection_modifyitems(items):
    place = {Path(__file__).parent / name: n for n, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path, len(FIRST)))


@pytest.fixture(
    params=list(itertools.product(TOLERANCE, (1, 3), ("writeable", "read-only", "strided"))),
    ids=lambda p: f"{p[0]}-{p[1]}-{p[2]}",
)
def inputs(request):
    inputs = Inputs(*request.param)
    yield inputs
    for now, before in inputs.given:
        np.testing.assert_array_equal(now, before)


@pytest.fixture
def run(monkeypatch, capsys):
    """run("train", ...) -> (exit code, stdout, stderr) of the command line, in this process."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["cunet", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = capsys.readouterr()
        return stopped.value.code, out, err

    return call


@pytest.fixture
def save(tmp_path):
    """save("name.tif", array): a file of pages (n, H, W), or a PNG of (H, W)."""

    def write(name, array, **options):
        path = tmp_path / name
        if path.suffix == ".png":
            Image.fromarray(array).save(path)
        else:
            tifffile.imwrite(path, array, **({"photometric": "minisblack"} | options))
        return path

    return write


@pytest.fixture
def threads_as_before():
    """Puts the number of threads back that the test found."""
    before = threads.get_threads()
    yield before
    threads.set_threads(before)


@pytest.fixture
def emulated(monkeypatch):
    """The device double as CuPy: a GPU of compute capability 8.0 whose kernels the CPU runs."""
    return emulate(monkeypatch)


NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU")  # not all on Windows
HANDLERS = {n: signal.getsignal(n) for name in NAMES if (n := getattr(signal, name, None))}


@pytest.fixture(autouse=True)
def signals_as_at_first():
    """Puts the handlers of signals back: a command that runs in this process, also in a fixture of
    a whole module, ignores them at its end, and processes that are started would inherit that."""

    def put_back():
        for number, handler in HANDLERS.items():
            if handler is not None:
                signal.signal(number, handler)

    put_back()
    yield
    put_back()


@pytest.fixture
def usual_ctrl_c():
    """Ctrl-C raises KeyboardInterrupt, whatever was set in this process."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
