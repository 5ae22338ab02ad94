"""The errors a user can cause or meet, each with the exit code that the command line returns.

Every message names the object, what was expected, what was found and what to do.
"""

import errno
import os
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TypeGuard


class CunetError(ValueError):
    """Wrong usage: a missing file, an unknown setting, a tile that does not fit.

    All errors of this package are of this class or one of those below.

        try:
            net = cunet.load(path)
        except cunet.CunetError as error:
            print(error)  # names the file, what was expected, what was found and what to do
    """

    exit_code = 2


class DataError(CunetError):
    """The content of an image, a label file or a model file is not valid."""

    exit_code = 3


class DeviceError(CunetError):
    """The device, its memory or the disk cannot do what was asked."""

    exit_code = 4


class NumericError(CunetError):
    """The numbers went wrong: NaN, infinity, divergence."""

    exit_code = 5


class CheckError(CunetError):
    """A check that was asked for failed."""

    exit_code = 6


# What the operating system answers when the machine, not the user, is at fault, and what helps
_MACHINE = {
    "EIO": "the disk, or the way to it, is failing: copy the data to another one",
    "ENOSPC": "free some space or write to another folder",
    "EDQUOT": "free some space or write to another folder",
    "EFBIG": "the limit of a file's size is reached (ulimit -f): raise it",
    "EROFS": "write to another folder",
    "EMFILE": "allow more open files: ulimit -n 1024",
    "ENFILE": "too many files are open on this machine: close other programs",
    "ENOMEM": "free some memory, or allow more: ulimit -v unlimited",
    "EAGAIN": "allow more processes and threads: ulimit -u 4096",
    "ENODEV": "connect the disk again",
    "ENXIO": "connect the disk again",
    "ESTALE": "connect the network disk again",
    "ETIMEDOUT": "connect the network disk again",
    "ENOTCONN": "connect the network disk again",
}
_ADVICE = {getattr(errno, name): text for name, text in _MACHINE.items() if hasattr(errno, name)}


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """ "; did you mean 'paper'?" for a word that looks like a known one, else ""."""
    near = get_close_matches(str(word).lower(), list(known), 1)
    return f"; did you mean '{near[0]}'?" if near else ""


def one_of(known: Iterable[str], found: object) -> str:
    """What to say where a name is none of those there are: expected one of sgd, adam, found ..."""
    known = list(known)
    text = f"expected one of {', '.join(known)}, found '{found!s:.60}'"
    return text + did_you_mean(found, known)


def not_among(what: str, found: object, known: Iterable[str]) -> CunetError:
    """The error to raise there; what: whose name it is."""
    return CunetError(f"{what}: {one_of(known, found)}")


def machine_failed(error: BaseException) -> TypeGuard[OSError]:
    """Whether an error says that the machine is at fault: a file that it cannot read is not
    damaged."""
    return isinstance(error, OSError) and error.errno in _ADVICE


def of_system(error: OSError, doing: str = "") -> CunetError:
    """The error to raise for one of the operating system: DeviceError where the machine is at
    fault. doing: what failed, with the name of the file ("cannot read 'a.tif'"); by default the
    file that `error` names."""
    name = error.filename2 or error.filename
    if not doing:
        doing = f"'{visible_name(name)}'" if name is not None else "reading or writing a file"
    text = f"{doing}: {error.strerror or error}"
    if error.errno in _ADVICE:
        return DeviceError(f"{text}; {_ADVICE[error.errno]}")
    return CunetError(text)


def no_memory(path: object) -> DeviceError:
    """The error to raise where there is no memory to read a file."""
    return DeviceError(f"no memory to read '{path}': close other programs, or take a smaller file")


def visible_name(path: object) -> str:
    """The name of a file as its user knows it: of a hidden temporary one (.a.tif.77.part), that of
    the file it was to become."""
    folder, name = os.path.split(os.fsdecode(path) if isinstance(path, bytes) else str(path))
    if name.startswith(".") and name.endswith(".part"):
        name = name[1:].rsplit(".", 2)[0]
    return os.path.join(folder, name)
