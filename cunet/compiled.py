"""Loops that cannot be written as array operations, compiled by Numba.

A watershed and a warping visit pixel after pixel, each seeing what the one before has done.
"""

from collections.abc import Callable
from functools import cache, wraps


def compiled(loop: Callable) -> Callable:
    """Decorate a loop over arrays: machine code, kept on disk, run without the interpreter's lock.

    Numba is loaded with the first call; the first on a machine compiles for a few seconds. Where no
    folder can be written to, every process compiles anew.
    """

    @cache
    def machine_code() -> Callable:
        import numba

        try:
            return numba.njit(cache=True, nogil=True)(loop)
        except RuntimeError:  # Numba found no place for its cache
            return numba.njit(nogil=True)(loop)

    @wraps(loop)
    def call(*arrays):
        return machine_code()(*arrays)

    return call
