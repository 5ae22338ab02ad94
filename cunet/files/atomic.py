"""Files that appear whole or not at all: written under a temporary name, synced, renamed."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np

from cunet.errors import CunetError, DeviceError, of_system

_DISK_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


def temporary_name(path: Path) -> Path:
    """A hidden name beside `path`: a rename is atomic only within one file system."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def publish(temporary: Path, path: Path) -> None:
    """Syncs the closed file `temporary` to the disk and renames it to `path`.

    The folder is synced as well, or a power cut could lose the new name.
    """
    _sync(temporary, os.O_RDWR)
    os.replace(temporary, path)
    if os.name == "posix":  # Windows opens no folders
        _sync(path.parent, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Replaces an .npz file, whole or not at all; DeviceError or CunetError if it cannot."""
    temporary = temporary_name(path)
    try:
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # no array is named allow_pickle
        publish(temporary, path)
    except OSError as error:
        raise write_error(error, path, sum(a.nbytes for a in arrays.values())) from error
    finally:
        temporary.unlink(missing_ok=True)


def free_bytes(path: Path) -> int:
    """Bytes free in the folder where `path` is to be written."""
    return shutil.disk_usage(path.parent).free


def write_error(error: OSError, path: Path, needed: int) -> CunetError:
    """The error to raise when writing `path`, a file of `needed` bytes, failed with `error`."""
    if error.errno in _DISK_FULL:
        free = free_bytes(path)
        return DeviceError(
            f"no room for '{path}': it needs {needed:,} bytes, {free:,} are free on that disk. "
            "Free some space or write to another folder."
        )
    return of_system(error, f"cannot write '{path}'")
