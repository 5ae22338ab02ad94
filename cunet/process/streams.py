"""The streams of a command: messages on stderr, answers on stdout.

Messages are help for a reader. When they cannot be written any more, because `| head` has ended or
a disk is full, the work goes on without them. An answer is what the command was run for: it is
written, or the command fails; only a reader that has left is taken to have read enough.
"""

import errno
import os
import sys

from cunet.errors import DeviceError
from cunet.terminal import printable


def prepare() -> None:
    """Open what is closed, and print what an encoding lacks as an escape.

    The next file to be opened would get the number of a closed stream, and messages would be
    written into an image. In the place of stdout comes what cannot be written to, so that an
    answer is not lost silently.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # gets the lowest free number, which is this one
            os.set_inheritable(number, True)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", errors="backslashreplace"))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def message(text: str, end: str = "\n") -> None:
    """Write to stderr, if that is still possible."""
    try:
        sys.stderr.write(text + end)
        sys.stderr.flush()
    except OSError:
        _give_up(2)


def answer(text: str, needed: bool = False) -> None:
    """Write lines to stdout; DeviceError where that fails. Nothing is said where the reader has
    left, unless the whole text is needed by it."""
    lines = "\n".join(printable(line) for line in text.split("\n"))
    try:
        sys.stdout.write(lines + "\n")
        sys.stdout.flush()
    except OSError as error:
        _give_up(1)
        if needed or not isinstance(error, BrokenPipeError):
            why = "it is closed" if error.errno == errno.EBADF else error.strerror
            raise DeviceError(
                f"the answer cannot be written to stdout: {why}; the work itself is done"
            ) from error


def finish() -> None:
    """Write what is still kept, or nothing more."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            _give_up(number)


def _give_up(number: int) -> None:
    """From now on nothing that is written to this stream goes anywhere; Python would try again at
    its end, and fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)
