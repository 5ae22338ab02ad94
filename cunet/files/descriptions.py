"""The text in a file that says what it was made from: TIFF, PNG, OME-Zarr, zip and CSV."""

import csv
import io
import zipfile
from pathlib import Path

import tifffile

from cunet.files.ome_zarr.nodes import read_node
from cunet.files.png_chunks import PNG, chunks

KEYWORD = "Description"  # of the text in a PNG
MADE_BY = "made_by"  # the column of a table that holds the text
_ZIP = b"PK"
_LONGEST = 1 << 16  # characters of a table's first two lines


def stored_text(text: str) -> str:
    """What every kind of file can hold of a text: ASCII, with ? for each other character.

    To be compared with what `read_description` answers.
    """
    return text.encode("ascii", "replace").decode().strip()


def writable(text: str) -> str:
    """The text without the halves of characters that stand for bytes of a name in no encoding."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def read_description(path: str | Path) -> str:
    """The `stored_text` that a file was written with; "" where there is none."""
    path = Path(path)
    try:
        if path.is_dir():
            return stored_text(read_node(path).attributes["cunet"]["description"])
        with open(path, "rb") as file:
            start = file.read(len(PNG))
        if path.suffix.lower() == ".csv":
            return stored_text(_of_table(path))
        if start.startswith(_ZIP):
            return stored_text(_of_zip(path))
        return stored_text(_of_png(path) if start == PNG else _of_tiff(path))
    except MemoryError:
        raise
    except Exception:  # a file that was not made by us may hold anything
        return ""


def _of_table(path: Path) -> str:
    """The last field of the first row."""
    with open(path, encoding="ascii", newline="") as file:
        records = csv.reader(io.StringIO(file.read(_LONGEST), newline=""))
    columns, row = next(records), next(records)
    return row[-1] if columns[-1] == MADE_BY and len(row) == len(columns) else ""


def _of_zip(path: Path) -> str:
    with zipfile.ZipFile(path) as file:
        return file.comment.decode()


def _of_tiff(path: Path) -> str:
    with tifffile.TiffFile(path) as file:
        notes = file.imagej_metadata or {}
        return str(notes.get("Info") or file.pages.first.description)


def _of_png(path: Path) -> str:
    head = KEYWORD.encode() + b"\0\0\0"  # not compressed
    for kind, data in chunks(path):
        if kind == b"iTXt" and data.startswith(head):
            return data[len(head) :].split(b"\0", 2)[2].decode("utf-8")
    return ""
