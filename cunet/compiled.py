"""Loops that cannot be array operations, compiled by Numba; and folders to keep machine code in.

A watershed and a warping visit pixel after pixel, and each depends on those before it.
"""

import os
import pickle
import stat
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any

import numpy as np

from cunet.errors import DeviceError
from cunet.interrupts import uninterrupted


def compiled(loop: Callable) -> Callable:
    """Decorate a loop over arrays: it becomes machine code, which is kept on disk and runs without
    the interpreter's lock.

    Numba is loaded by the first call; the first call on a machine compiles for a few seconds. Where
    no folder can be written to, or others can write to it, every process compiles again. The call
    raises DeviceError where Numba cannot be loaded.
    """

    @cache
    def machine_code(kept: bool) -> tuple[Any, set]:
        jit = _jit()
        try:
            code = jit(cache=kept, nogil=True)(loop)
        except RuntimeError:  # Numba found no place for its cache
            return machine_code(False)
        beside = Path(loop.__code__.co_filename).parent  # whoever can write there owns this program
        folder = Path(code.stats.cache_path) if kept else beside
        trusted = beside in folder.parents or only_ours(folder)
        return (code, set()) if trusted else machine_code(False)

    @wraps(loop)
    def call(*arrays: Any) -> Any:
        try:
            return ready(*machine_code(True), arrays)(*arrays)
        except (OSError, EOFError, pickle.UnpicklingError):  # of the cache: no room, or damaged
            return ready(*machine_code(False), arrays)(*arrays)

    return call


def ready(code: Any, known: set, arrays: tuple[Any, ...]) -> Callable:
    """The machine code, compiled for these arrays. An interruption waits until that is done: in the
    middle it may leave Numba's lock closed, and other threads would wait for it for ever.

    known: the looks of arrays that it is compiled for; Numba takes longer to name their types than
    many a call takes.
    """
    from numba import typeof

    if (looks := tuple(map(_look, arrays))) not in known:
        kinds = tuple(typeof(array) for array in arrays)
        if kinds not in code.overloads:
            with uninterrupted():
                code.compile(kinds)
        known.add(looks)
    return code


def _look(value: Any) -> tuple:
    """What decides Numba's type of an array or a number."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.ndim, value.flags.num
    return (type(value),)


def _jit() -> Callable:
    """numba.njit. An installation may be damaged, and its parts may find no memory."""
    try:
        from numba import njit

        return njit
    except Exception as error:  # ImportError, OSError of LLVM's library, AttributeError of halves
        text = " ".join(str(error).split())[:200]
        raise DeviceError(
            f"Numba, which compiles this part of the work, cannot be loaded ({text}): allow more "
            "memory if it is limited (ulimit -v), or run  pip install --force-reinstall numba"
        ) from error


def only_ours(folder: Path) -> bool:
    """Whether nobody but this user and the system's can write to a folder: machine code of others
    is not run. A folder that does not exist yet is ours."""
    if not hasattr(os, "getuid"):  # Windows keeps a user's folders from others
        return True
    try:
        found, link = folder.stat(), folder.lstat()
    except OSError:  # it is not there yet; if it cannot be made or entered, that says why
        return True
    shared = found.st_mode & stat.S_IWOTH
    if found.st_mode & stat.S_IWGRP and not _group_of_one(found.st_gid):
        shared = True
    return not shared and {found.st_uid, link.st_uid} <= {0, os.getuid()}


def _group_of_one(group: int) -> bool:
    """Whether a group is the one that many systems give to every user, with nobody else in it."""
    import grp
    import pwd

    try:
        me, found = pwd.getpwuid(os.getuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return group == me.pw_gid and found.gr_name == me.pw_name and {*found.gr_mem} <= {me.pw_name}
