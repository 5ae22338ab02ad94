"""The command line of cunet in this process, and what it does and takes."""

import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from cunet import cli
from fuzzer.case import Result


def run_command(command: list[str], folder: Path, words: Path) -> Result:
    """The command line in this process, in `folder`; its words go through files in `words`."""
    caught: dict[str, None] = {}  # in their order, each once

    def show(message, category, filename, lineno, *more):
        if not issubclass(category, ResourceWarning):  # whose time is the garbage collector's
            caught[f"{category.__name__}: {message} ({filename.split('/')[-1]}:{lineno})"] = None

    before = sys.argv, os.getcwd()
    click.utils.should_strip_ansi = lambda *stream: False  # what a terminal would get is judged
    with _streams(words), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        sys.argv = ["cunet", *command]
        os.chdir(folder)
        base, start = _memory(reset=True), time.perf_counter()
        try:
            code = _exit_code()
        finally:
            seconds, growth = time.perf_counter() - start, _memory() - base
            sys.argv = before[0]
            os.chdir(before[1])
    out, err = (
        (words / name).read_text(encoding="utf-8", errors="surrogateescape")
        for name in ("out", "err")
    )
    return Result(code, out, err, list(caught), seconds, growth)


def succeed(command: list[str], folder: Path) -> None:
    """Runs a command that prepares something; OSError where it fails."""
    with tempfile.TemporaryDirectory() as words:
        result = run_command(command, folder, Path(words))
    if result.code:
        raise OSError(f"cunet {' '.join(command)}: exit {result.code}, {result.err}")


@contextmanager
def _streams(words: Path) -> Iterator[None]:
    """Standard output and error are files in `words`, for Python, C and whoever writes to 1 and 2;
    standard input is empty. They are as strict about text as those of a terminal are."""
    before, handles = (sys.stdin, sys.stdout, sys.stderr), [os.dup(n) for n in range(3)]
    paths = [Path(os.devnull), words / "out", words / "err"]
    files = [open(path, mode, encoding="utf-8", errors=errors) for path, mode, errors in zip(
        paths, "raa", ("strict", "strict", "backslashreplace"), strict=True)]  # fmt: skip
    try:
        for number, file in enumerate(files):
            os.dup2(file.fileno(), number)
        sys.stdin, sys.stdout, sys.stderr = files
        yield
    finally:
        for file in files:
            file.close()
        sys.stdin, sys.stdout, sys.stderr = before
        for number, handle in enumerate(handles):
            os.dup2(handle, number)
            os.close(handle)


def _exit_code() -> int:
    try:
        cli.main()
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    except BaseException as error:  # past cli.main, which lets nothing pass
        print(
            f"Traceback (most recent call last)\n{type(error).__name__}: {error}", file=sys.stderr
        )
        return 1
    return 0


def _memory(reset: bool = False) -> int:
    """The most memory this process has held, in bytes; with reset from now on."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return 1024 * int(line.split()[1])
    raise OSError("no VmHWM in /proc/self/status")
