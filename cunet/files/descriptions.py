"""The text in an image file that says what it was made from."""

from pathlib import Path

import tifffile

from cunet.files.png_chunks import PNG, chunks

KEYWORD = "Description"  # of the text in a PNG


def stored_text(text: str) -> str:
    """What every kind of file can hold of a text: ASCII, with ? for each other character.

    To be compared with what `read_description` answers.
    """
    return text.encode("ascii", "replace").decode().strip()


def writable(text: str) -> str:
    """The text without the halves of characters that stand for bytes of a name in no encoding."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def read_description(path: str | Path) -> str:
    """The `stored_text` that TiffOutput or write_png was given; "" where there is none."""
    try:
        with open(path, "rb") as file:
            png = file.read(len(PNG)) == PNG
        return stored_text(_of_png(Path(path)) if png else _of_tiff(path))
    except MemoryError:
        raise
    except Exception:  # a file that was not made by us may hold anything
        return ""


def _of_tiff(path: str | Path) -> str:
    with tifffile.TiffFile(path) as file:
        notes = file.imagej_metadata or {}
        return str(notes.get("Info") or file.pages.first.description)


def _of_png(path: Path) -> str:
    head = KEYWORD.encode() + b"\0\0\0"  # not compressed
    for kind, data in chunks(path):
        if kind == b"iTXt" and data.startswith(head):
            return data[len(head) :].split(b"\0", 2)[2].decode("utf-8")
    return ""
