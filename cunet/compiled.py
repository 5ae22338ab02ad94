"""Loops that cannot be written as array operations, compiled by Numba.

A watershed and a warping visit pixel after pixel, and each depends on those before it.
"""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any


def compiled(loop: Callable) -> Callable:
    """Decorate a loop over arrays: it becomes machine code, which is kept on disk and runs without
    the interpreter's lock.

    Numba is loaded by the first call; the first call on a machine compiles for a few seconds. Where
    no folder can be written to, every process compiles again.
    """

    @cache
    def machine_code() -> Callable:
        import numba

        try:
            return numba.njit(cache=True, nogil=True)(loop)
        except RuntimeError:  # Numba found no place for its cache
            return numba.njit(nogil=True)(loop)

    @wraps(loop)
    def call(*arrays: Any) -> Any:
        return machine_code()(*arrays)

    return call
