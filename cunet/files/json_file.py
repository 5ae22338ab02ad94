"""Small text files and JSON: read without surprises, written so that every reader takes them."""

import errno
import json
import math
import os
import stat
from pathlib import Path
from typing import Any

from cunet.errors import DataError, of_system

LARGEST = 64 << 20  # bytes: hashes of half a million data files


def read_text(path: Path, largest: int = LARGEST, errors: str = "strict") -> str:
    """The text of a regular file of at most `largest` bytes; errors: as in bytes.decode.

    OSError where it cannot be read; ValueError, which says why, where it is too large, no file (a
    pipe would be waited for) or not UTF-8.
    """
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("not a regular file")
    if found.st_size > largest:
        raise ValueError(f"{found.st_size:,} bytes, expected at most {largest:,}")
    with open(path, encoding="utf-8", newline="", errors=errors) as file:
        return file.read(largest)


def text_of(path: Path, what: str, largest: int = LARGEST) -> str:
    """read_text with the errors of cunet; what: the kind of file, such as "card"."""
    try:
        return read_text(path, largest)
    except OSError as error:
        raise of_system(error, f"cannot read {what} '{path}'") from error
    except ValueError as error:
        raise DataError(
            f"{what} '{path}': expected text of at most {largest:,} bytes ({error})"
        ) from error


def read_json(path: Path, largest: int = LARGEST) -> dict[str, Any]:
    """The object in a JSON file; errors as in read_text, ValueError also for any other content."""
    try:
        found = json.loads(read_text(path, largest))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"expected an object, found {type(found).__name__}")
    return found


def json_text(document: Any) -> str:
    """A document as JSON; NaN and infinity, which JSON has not, become null."""
    return json.dumps(finite(document), indent=2, allow_nan=False)


def finite(value: Any) -> Any:
    """A document with None in place of NaN and infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value
