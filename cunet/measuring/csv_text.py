"""Tables as CSV (RFC 4180): a header, a record for each row, a decimal point, full precision.

The last column, `made_by`, says what a row was made from and how, so that a table needs no second
file to be known again, and rows of several tables can be put together.
"""

import csv
import io
from pathlib import Path

import numpy as np

from cunet.files.descriptions import MADE_BY, stored_text

FIRST = "page,label,"  # how the header of a table begins


def header(columns: list[str]) -> bytes:
    """The first line."""
    return _text([[*columns, MADE_BY]])


def rows(table: dict[str, np.ndarray], made_by: str) -> bytes:
    """The rows of a table whose columns are arrays (n,)."""
    columns = [_words(column) for column in table.values()]
    made_by = stored_text(made_by)
    return _text([[*row, made_by] for row in zip(*columns, strict=True)])


def bare(path: Path) -> bool:
    """Whether a file is a table without rows, of which nothing says how it was made."""
    try:
        with open(path, "rb") as file:
            text = file.read(1 << 16)
    except OSError:
        return False
    return text.startswith(FIRST.encode()) and text.find(b"\r\n") == len(text) - 2


def _words(column: np.ndarray) -> list:
    """Values as they are written: numbers as Python writes them, so that no digit is lost."""
    if column.dtype.kind == "b":
        return ["true" if value else "false" for value in column]
    return column.tolist()


def _text(records: list[list]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(records)
    return text.getvalue().encode("ascii")
