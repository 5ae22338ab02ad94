"""What a disk answers when it does not take a file, in words."""

import errno
import shutil
from pathlib import Path

from cunet.errors import CunetError, DeviceError

_DISK_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def free_bytes(path: Path) -> int:
    """Bytes free in the folder where `path` is to be written."""
    return shutil.disk_usage(path.parent).free


def write_error(error: OSError, path: Path, needed: int = 0) -> CunetError:
    """The error to raise when writing `path`, a file of about `needed` bytes, failed."""
    if error.errno in _DISK_FULL:
        return no_room(path, needed)
    kind = DeviceError if error.errno == errno.EIO else CunetError
    return kind(f"cannot write '{path}': {error.strerror or error}")


def no_room(path: Path, needed: int = 0) -> DeviceError:
    """The error for a full disk."""
    try:
        room = f"{free_bytes(path):,} are free on that disk"
    except OSError:
        room = "that disk is full"
    needs = f"it needs {needed:,} bytes, " if needed else ""
    return DeviceError(
        f"no room for '{path}': {needs}{room}. Free some space or write to another folder."
    )
