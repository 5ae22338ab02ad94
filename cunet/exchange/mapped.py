"""The bytes of a file of another program, mapped into memory: only what is used is read."""

import mmap
import os
import stat
from pathlib import Path

from cunet.errors import CunetError, DataError, of_system


def mapped(path: str | Path) -> memoryview:
    """All bytes of a file, which cannot be written.

    CunetError where it is missing or a folder, DataError where it is empty or no regular file,
    DeviceError where the machine cannot read it.
    """
    path = Path(path)
    if not path.exists() or path.is_dir():
        found = "a folder" if path.is_dir() else "nothing"
        raise CunetError(
            f"network '{path}': expected a .caffemodel, .pt, .pth or .safetensors file, found "
            f"{found} of this name"
        )
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for
            raise DataError(f"network '{path}': expected a regular file, found a device or a pipe")
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise DataError(f"network '{path}': the file is empty; use another copy")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise of_system(error, f"cannot read network '{path}'") from error
    return memoryview(data)


def damaged(path: str | Path, what: str, why: object) -> DataError:
    """The error for a file that breaks its format; what: the format."""
    return DataError(f"network '{path}' is damaged or no {what} ({why}); use another copy")
