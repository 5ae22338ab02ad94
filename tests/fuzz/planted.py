"""Kinds with faults planted on purpose: what the fuzzer must find is found."""

import os
import signal
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from fuzzer.calibration import Calibration
from fuzzer.case import Case, Kind
from fuzzer.images import Images
from fuzzer.models import Models

from cunet import cli
from cunet.errors import DataError


def fails_with(text: str) -> None:
    raise DataError(text)


def busy() -> None:
    while True:
        pass


def bomb() -> None:
    np.ones(1 << 23)  # 64 MB
    fails_with("'file' is too large")


def escape() -> None:
    print("\x1b[31m", file=sys.stderr)
    fails_with("'file' is red")


def interrupt() -> None:
    raise KeyboardInterrupt


def warn() -> None:
    warnings.warn("a word of Python's", RuntimeWarning, stacklevel=1)


def leave(name: str) -> None:
    Path(name).write_text("half")


def leave_elsewhere() -> None:
    import tempfile

    tempfile.NamedTemporaryFile(delete=False).close()


def grow_file() -> None:
    with open("out.tif", "wb") as file:
        file.truncate(1 << 30)


FAULTS = {  # what a command does: the sort of finding that it is
    "nothing": (lambda: None, None),
    "a good error": (lambda: fails_with("'file' is damaged"), None),
    "an error of another class": (lambda: {}["key"], "traceback"),
    "a deep recursion": (lambda: eval("(" * 500), "traceback"),
    "works for ever": (busy, "hang"),
    "waits for ever": (lambda: time.sleep(1000), "hang"),
    "a crash": (lambda: os.kill(os.getpid(), signal.SIGSEGV), "crash"),
    "the end of the process": (lambda: os._exit(0), "crash"),
    "a bomb": (bomb, "memory"),
    "a warning": (warn, "warning"),
    "an error without the name": (lambda: fails_with("something is damaged"), "nameless"),
    "the name of a hidden file": (lambda: fails_with("'file': .a.part is full"), "hidden file"),
    "an escape": (escape, "control characters"),
    "a flood": (lambda: print("'file' " * 10_000, file=sys.stderr), "flood"),
    "an interruption": (interrupt, "exit code"),
    "a temporary file": (lambda: leave(".out.tif.part"), "leftover"),
    "a file elsewhere": (leave_elsewhere, "leftover"),
    "the input overwritten": (lambda: leave("file"), "input changed"),
    "a huge product": (grow_file, "disk"),
    "a wrong product": (lambda: leave("product"), "silent"),
}  # fmt: skip


class Planted(Kind):
    """Commands that misbehave in place of cunet's."""

    name = "planted"
    seconds, growth, file_size = 0.5, 1 << 25, 1 << 24

    def make(self, rng: np.random.Generator, folder: Path) -> Case:
        name = list(FAULTS)[rng.integers(len(FAULTS))]
        (folder / "file").write_text("good")
        cli.cli.main = lambda standalone_mode: FAULTS[name][0]()

        def verdict(result):
            if Path("product").exists():
                yield "the product is wrong"

        return Case([], ["'file'"], name, ("product",), verdict=verdict)


class ShiftedRows(Images):
    """cunet reads rows from one row further down than it should."""

    def prepare(self, folder: Path) -> None:
        from cunet.files.tiff_input import TiffImage

        super().prepare(folder)
        right = TiffImage._rows
        TiffImage._rows = lambda image, page, r0, r1: np.roll(
            right(image, page, 0, image.height), 1, axis=0
        )[r0:r1]


class UncheckedWeights(Models):
    """cunet takes a model file with NaN in its weights, and zeros in their place."""

    def prepare(self, folder: Path) -> None:
        from cunet.net import model_input

        super().prepare(folder)
        model_input._check_numbers = lambda path, name, array: np.nan_to_num(array, copy=False)


class HalfSizes(Calibration):
    """cunet takes pixels for half as wide as they are."""

    def prepare(self, folder: Path) -> None:
        from cunet.files import tiff_input

        super().prepare(folder)
        right = tiff_input.read_calibration

        def read(*arguments):
            found, *more = right(*arguments)
            return replace(found, xres=2 * (found.xres or 1)), *more

        tiff_input.read_calibration = read
