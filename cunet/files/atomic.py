"""Files that appear whole or not at all: written under a hidden name, synced, renamed.

The hidden file is made under a name that cannot be foretold, and locked while its owner lives, so
that whoever finds it without a lock knows that its owner was killed and may remove it.
"""

import errno
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np

from cunet.files.disk import write_error
from cunet.files.lock import NotLockable, Taken, lock

# What file systems answer that know no fsync of a folder: CIFS, FUSE, shared folders of machines.
_NO_SYNC = {errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.ENOSYS, errno.EACCES, errno.EPERM}
_PART = re.compile(r"\..*\.[0-9a-f]{16}\.part", re.DOTALL)
_swept: set[Path] = set()  # folders in which this process has looked for what others left


class Part:
    """A file under way, which appears at `path` when it is whole.

    file    open for binary reading and writing
    needed  about how many bytes it will have, for the error of a full disk; 0 is unknown

    with Part(path) as part:
        part.file.write(...)

    At the end of the block the file is synced and takes its name, replacing an older one; after an
    error `path` is as it was. Raises DeviceError where the disk has no room or fails, CunetError
    where the file cannot be written.
    """

    def __init__(self, path: str | Path, needed: int = 0):
        self.path, self.needed = Path(path), needed
        try:
            if self.path.parent not in _swept:
                _swept.add(self.path.parent)
                remove_abandoned(self.path.parent)
            self.hidden, self.file = _create(self.path)
        except OSError as error:
            raise write_error(error, self.path, needed) from error

    def add(self, data: bytes | memoryview) -> None:
        """Write, to the disk at once; errors as in the block."""
        try:
            self.file.write(data)
            self.file.flush()
        except OSError as error:
            self.discard()
            raise write_error(error, self.path, self.needed) from error

    def publish(self) -> None:
        """Sync the file to the disk and give it its name. The folder is synced as well, or a power
        cut could lose the new name."""
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
            if os.name != "posix":  # Windows renames no open file
                self.file.close()
            os.replace(self.hidden, self.path)
            self.file.close()
            sync_folder(self.path.parent)
        except BaseException as error:
            self.discard()
            if isinstance(error, OSError):
                raise write_error(error, self.path, self.needed) from error
            raise

    def discard(self) -> None:
        """Remove what was written; `path` stays as it was."""
        with suppress(OSError):  # its buffer finds no room either; nothing in it is needed
            self.file.close()
        with suppress(OSError):  # a disk that fails is told as the first error told it
            self.hidden.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.publish()
            return
        self.discard()
        if isinstance(error, OSError):
            raise write_error(error, self.path, self.needed) from error


def _create(path: Path) -> tuple[Path, IO[bytes]]:
    """A new hidden file beside `path` (a rename is atomic only within one file system), locked."""
    while True:
        # 40 characters of the name, so that the longest name still has a hidden one
        hidden = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.part")
        file = open(hidden, "x+b")  # never one that is there
        with suppress(NotLockable):
            lock(file.fileno(), wait=True)
        if hidden.exists():  # else it was taken for abandoned before it was locked
            return hidden, file
        file.close()


def remove_abandoned(folder: Path) -> None:
    """Remove the hidden files of processes that were killed; those in use are locked and stay."""
    with suppress(OSError):
        for path in [p for p in folder.iterdir() if _PART.fullmatch(p.name)]:
            with suppress(OSError, Taken, NotLockable):
                handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
                try:
                    lock(handle)
                    if os.name == "posix":
                        path.unlink()
                finally:
                    os.close(handle)
                if os.name != "posix":  # Windows removes no open file
                    path.unlink()


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to the disk, where the file system can."""
    if os.name != "posix":  # Windows opens no folders
        return
    handle = None
    try:
        handle = os.open(folder, os.O_RDONLY)
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        if handle is not None:
            os.close(handle)


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Replaces an .npz file, whole or not at all; DeviceError or CunetError if it cannot."""
    with Part(path, sum(a.nbytes for a in arrays.values())) as part:
        np.savez(part.file, **arrays)  # type: ignore[arg-type]  # no array is named allow_pickle


def write_text(path: Path, text: str) -> None:
    """Replace a small text file completely, or leave it as it was.

    Names that are not UTF-8 are written as the bytes that the file system has.
    """
    data = text.encode("utf-8", "surrogateescape")
    with Part(path, len(data)) as part:
        part.file.write(data)
