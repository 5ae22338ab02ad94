"""Loops that cannot be written as array operations, compiled by Numba.

A watershed and a warping visit pixel after pixel, each seeing what the one before has done.
"""

from collections.abc import Callable

import numba


def compiled(loop: Callable) -> Callable:
    """Decorate a loop over arrays: machine code, kept on disk, run without the interpreter's lock.

    The first call on a machine compiles for a few seconds. Where no folder can be written to, every
    process compiles anew.
    """
    try:
        return numba.njit(cache=True, nogil=True)(loop)
    except RuntimeError:  # Numba found no place for its cache
        return numba.njit(nogil=True)(loop)
