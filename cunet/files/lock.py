"""Locks: that two processes do not write the same files.

The operating system holds a lock as long as its owner lives and gives it up with it, however it
ends, so that a crash leaves no obstacle; on network disks the server does the same for all its
machines. Where a file system knows no locks, the existence of a file with the owner's name counts;
it may be taken over once its owner, a process of this machine, has ended.
"""

import hashlib
import json
import os
import platform
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from cunet.errors import CunetError
from cunet.files.disk import write_error
from cunet.interrupts import uninterrupted

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

_FAR = 2**30  # Windows locks bytes, and hides them from readers: one beyond the owner's name


class InUse(CunetError):
    """Another process holds what is asked for."""


class Taken(Exception):
    """Another process holds the lock."""


class NotLockable(Exception):
    """The file system knows no locks."""


def lock(handle: int, wait: bool = False, shared: bool = False) -> None:
    """Lock an open file until it is closed; `shared` with others who do so. Raises Taken,
    NotLockable, as for shared locks on Windows, which knows none."""
    try:
        if os.name == "posix":
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(handle, kind | (0 if wait else fcntl.LOCK_NB))
        elif shared:
            raise NotLockable
        else:
            os.lseek(handle, _FAR, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)  # type: ignore
            os.lseek(handle, 0, os.SEEK_SET)
    except (BlockingIOError, PermissionError) as error:
        raise Taken from error
    except OSError as error:
        raise NotLockable from error


def lock_of(path: Path) -> Path:
    """The lock file of a file to be written: hidden beside it, however long its name is."""
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]
    return path.with_name(f".{path.name[:40]}.{digest}.lock")


@contextmanager
def held(path: Path, locked: Path, kind: str = "") -> Iterator[int | None]:
    """Hold the lock file `path` inside the block; it is removed at the end.

    locked  what it locks, for errors
    kind    of it, such as "run folder"

    Yields its file descriptor: a process that inherits it holds the lock too, until the last of
    them has ended. None where the file system knows no locks. Raises CunetError where another
    process holds the lock, and where the file cannot be made.
    """
    what = f"{kind} '{locked}'".strip()
    with ExitStack() as stack:
        try:
            with uninterrupted():  # a lock that is taken is one that is let go
                handle, lockable = _open(path, what)
                stack.callback(_let_go, path, handle)
                if not lockable:
                    owner = path.with_name(path.name + "-owner")
                    _take(owner, what)
                    stack.callback(_remove, owner)
        except OSError as error:
            raise write_error(error, locked) from error
        if lockable:
            with suppress(OSError):  # a full disk: the lock holds, without a name on it
                os.ftruncate(handle, 0)
                os.write(handle, _myself().encode())
        try:
            yield handle if lockable else None
        finally:
            with uninterrupted():
                stack.close()


def _let_go(path: Path, handle: int) -> None:
    """Remove a lock file and close it."""
    # While it is locked: whoever opened it before sees that it has lost its name.
    if os.name == "posix":
        _remove(path)
    with suppress(OSError):  # closed all the same
        os.close(handle)
    if os.name != "posix":  # Windows removes no open file, so none that another has
        _remove(path)


def _open(path: Path, what: str) -> tuple[int, bool]:
    """The open lock file, and whether it could be locked; CunetError where another has it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            lock(handle)
        except NotLockable:
            return handle, False
        except Taken:
            os.close(handle)
            raise _taken(what, path, _owner(path)) from None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle, True
        os.close(handle)  # its holder has just removed it


def _take(path: Path, what: str) -> None:
    """Put the file that is the lock where a file system knows no other; CunetError as in held."""
    while not _put(path, _myself()):
        owner = _owner(path)
        if not _has_ended(owner):
            raise _taken(what, path, owner)
        _take_away(path)


def _put(path: Path, text: str) -> bool:
    """Make a file that says who holds a lock; False where one is there.

    It is a link to nowhere, since that appears with its text in one step: a process killed between
    making a file and writing its name into it would leave a lock that nobody can judge.
    """
    with suppress(OSError, NotImplementedError):  # FAT, Windows: a file after all
        os.symlink(text, path)
        return True
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    try:
        os.write(handle, text.encode())
    except OSError:
        _remove(path)
        raise
    finally:
        with suppress(OSError):
            os.close(handle)
    return True


def _take_away(path: Path) -> None:
    """Remove the lock of a process that has ended, but not one that another has just put there."""
    moved = path.with_name(f"{path.name}-{secrets.token_hex(8)}")
    with suppress(FileNotFoundError):
        os.rename(path, moved)
        owner = _owner(moved)
        if not _has_ended(owner):
            _put(path, json.dumps(owner))
    _remove(moved)


def _remove(path: Path) -> None:
    """Remove a lock file. Where the disk fails it stays, in nobody's way: no process holds it."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _taken(what: str, path: Path, owner: dict[str, Any]) -> InUse:
    by = "another process"
    if owner:
        by += f" ({owner.get('process')} on {owner.get('host')}, since {owner.get('since')})"
    hint = "wait until it has ended, or stop it"
    if path.name.endswith("-owner"):  # no system gives it up for a machine that was switched off
        hint += f"; if it has ended, remove '{path}'"
    return InUse(f"{what} is in use by {by}; {hint}")


def _myself() -> str:
    """Who holds a lock, for the error that another process prints."""
    return json.dumps(
        {
            "host": platform.node(),
            "process": os.getpid(),
            "began": _began(os.getpid()),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
    )


def _owner(path: Path) -> dict[str, Any]:
    """What the holder wrote into a lock; {} where it cannot be read."""
    try:
        text = os.readlink(path) if path.is_symlink() else path.read_text(encoding="utf-8")
        return dict(json.loads(text[:1000]))
    except (OSError, ValueError, TypeError):
        return {}


def _has_ended(owner: dict[str, Any]) -> bool:
    """Whether the owner is a process of this machine that is there no more."""
    process = owner.get("process")
    if owner.get("host") != platform.node() or type(process) is not int or os.name != "posix":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return owner.get("began") != _began(process)  # its number went to another process


def _began(process: int) -> str:
    """When a process of this machine began, which tells it from others of its number; "" where the
    system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[19]}"
    except (OSError, IndexError):
        return ""
