"""The package zarr: loaded when an OME-Zarr image is first opened, and kept quiet."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cunet.errors import CunetError

OLDEST = (3, 0, 10)
_INSTALL = 'pip install "cunet[zarr]"'
_one_at_a_time = threading.Lock()  # the filters of warnings belong to the whole process


def zarr_package() -> Any:
    """The module zarr. Raises CunetError where it is missing or too old."""
    try:
        with _one_at_a_time, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import zarr
    except ImportError as error:
        raise CunetError(
            f"OME-Zarr needs the package zarr, which cannot be loaded ({error}). Install it: "
            f"{_INSTALL}"
        ) from error
    numbers = [int(part) for part in zarr.__version__.split(".")[:3] if part.isdigit()]
    if tuple(numbers) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise CunetError(
            f"OME-Zarr needs the package zarr {oldest} or newer, found {zarr.__version__}. "
            f"Install it: {_INSTALL}"
        )
    return zarr


@contextmanager
def quiet_zarr() -> Iterator[Any]:
    """The module zarr inside a block in which its warnings are not shown.

    It warns of codecs outside the specification and of files that it does not know; whatever
    matters of these is checked here.
    """
    zarr = zarr_package()
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield zarr
